//! Prompts: decoded, resampled and encoded once, then shared by all who hear them.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::Resampler as _;
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, g711};

use crate::error::MediaError;
use crate::playout::FRAME;

/// One prompt at 8 kHz, a whole number of 20 ms frames, in every form in which it is played.
#[derive(Debug)]
pub(crate) struct Prompt {
    linear: Box<[[i16; FRAME]]>,
    mu: Box<[[u8; FRAME]]>,
    a: Box<[[u8; FRAME]]>,
}

/// The prompts that have been asked for so far.
#[derive(Debug)]
pub(crate) struct Prompts {
    folder: PathBuf,
    loaded: HashMap<Box<str>, Arc<Prompt>>,
}

/// The built-in greeting: 8 kHz, mono, 16 bit.
const WELCOME: &[u8] = include_bytes!("../prompts/welcome.wav");
/// The longest prompt, in seconds: all of it is held in memory.
const SECONDS_MAX: usize = 600;
/// Prompts held in memory at a time.
const LOADED_MAX: usize = 256;

impl Prompt {
    /// A prompt out of samples at 8 kHz; the last frame is filled up with silence.
    pub(crate) fn new(samples: &[i16]) -> Self {
        let mut linear = Vec::with_capacity(samples.len().div_ceil(FRAME));
        for part in samples.chunks(FRAME) {
            let mut frame = [0; FRAME];
            frame[..part.len()].copy_from_slice(part);
            linear.push(frame);
        }
        let encode = |law| {
            let encode_frame = |samples: &[i16; FRAME]| {
                let mut bytes = [0; FRAME];
                g711::encode(law, samples, &mut bytes);
                bytes
            };
            linear.iter().map(encode_frame).collect()
        };
        Self { mu: encode(Law::Mu), a: encode(Law::A), linear: linear.into() }
    }

    pub(crate) fn frames(&self) -> usize {
        self.linear.len()
    }

    pub(crate) fn duration_ms(&self) -> u64 {
        self.frames() as u64 * 20
    }

    pub(crate) fn linear(&self, frame: usize) -> &[i16; FRAME] {
        &self.linear[frame]
    }

    pub(crate) fn encoded(&self, law: Law, frame: usize) -> &[u8; FRAME] {
        match law {
            Law::Mu => &self.mu[frame],
            Law::A => &self.a[frame],
        }
    }
}

impl Prompts {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), loaded: HashMap::new() }
    }

    /// A prompt that has been loaded before.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Prompt>> {
        self.loaded.get(name).cloned()
    }

    /// Keeps a prompt that was loaded with [`load`].
    pub(crate) fn keep(&mut self, name: &str, prompt: Arc<Prompt>) {
        if self.loaded.len() >= LOADED_MAX {
            // Only those that nobody hears now; a fuller house than that is refilled on demand.
            self.loaded.retain(|_, prompt| Arc::strong_count(prompt) > 1);
        }
        self.loaded.insert(name.into(), prompt);
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Reads a prompt: a file of the folder, or a built-in one. A file goes before the built-in one of the same name.
pub(crate) fn load(folder: &Path, name: &str) -> Result<Prompt, MediaError> {
    let is_plain = !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !is_plain {
        return Err(MediaError::Invalid { field: "prompt", problem: "expected a plain name without ending" });
    }
    match std::fs::File::open(folder.join(format!("{name}.wav"))) {
        Ok(file) => read_wav(std::io::BufReader::new(file)),
        Err(_) if name == "welcome" => read_wav(WELCOME),
        Err(_) if name == "tone" => Ok(tone()),
        Err(_) if name == "beep" => Ok(beep()),
        Err(_) => Err(MediaError::NotFound("prompt")),
    }
}

/// One second of 440 Hz, whole waves, so that it can be repeated without a click.
fn tone() -> Prompt {
    let mut samples = vec![0; 8000];
    ToneGenerator::new(8000, &[Tone { freq_hz: 440.0, level_dbm0: -12.0 }]).fill(&mut samples);
    Prompt::new(&samples)
}

/// What tells that a recording begins: 200 ms of 1400 Hz.
fn beep() -> Prompt {
    let mut samples = vec![0; 1600];
    ToneGenerator::new(8000, &[Tone { freq_hz: 1400.0, level_dbm0: -16.0 }]).fill(&mut samples);
    Prompt::new(&samples)
}

fn read_wav(source: impl Read) -> Result<Prompt, MediaError> {
    let bad = |error: hound::Error| MediaError::Io { what: "reading a prompt", problem: error.to_string() };
    let mut reader = hound::WavReader::new(source).map_err(bad)?;
    let spec = reader.spec();
    if reader.duration() as usize > SECONDS_MAX * spec.sample_rate as usize {
        return Err(MediaError::Invalid { field: "prompt", problem: "the file is longer than ten minutes" });
    }
    let interleaved: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>().map_err(bad)?,
        hound::SampleFormat::Int => {
            let full = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
            let scaled = |sample: Result<i32, hound::Error>| sample.map(|sample| sample as f32 / full);
            reader.samples::<i32>().map(scaled).collect::<Result<_, _>>().map_err(bad)?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<f32> =
        interleaved.chunks(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    let at_8k = if spec.sample_rate == 8000 { mono } else { resample(&mono, spec.sample_rate)? };
    let samples: Vec<i16> =
        at_8k.iter().map(|sample| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect();
    Ok(Prompt::new(&samples))
}

/// To 8 kHz, without the start-up delay of the filter.
fn resample(samples: &[f32], rate_hz: u32) -> Result<Vec<f32>, MediaError> {
    let bad = |problem: String| MediaError::Io { what: "resampling a prompt", problem };
    let window = rubato::WindowFunction::BlackmanHarris2;
    let fixed = rubato::FixedSync::Input;
    let mut resampler =
        rubato::Fft::<f32>::new_custom(rate_hz as usize, 8000, RESAMPLE_CHUNK, 1, 1, window, fixed)
            .map_err(|error| bad(error.to_string()))?;
    let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|error| bad(error.to_string()))?;
    let output =
        resampler.process_all(&input, samples.len(), None).map_err(|error| bad(error.to_string()))?;
    let mut at_8k = output.take_data();
    at_8k.truncate((samples.len() as u64 * 8000 / u64::from(rate_hz.max(1))) as usize);
    Ok(at_8k)
}

/// Frames resampled at a time: long enough to keep the telephone band whole, for files only.
const RESAMPLE_CHUNK: usize = 2048;

#[cfg(test)]
mod tests {
    use sidetone_dsp::goertzel::tone_level_dbov;

    use super::*;

    fn write(folder: &Path, name: &str, rate_hz: u32, channels: u16) {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(folder.join(format!("{name}.wav")), spec).unwrap();
        for n in 0..rate_hz {
            let turns = f64::from(n) * 1000.0 / f64::from(rate_hz);
            for _ in 0..channels {
                writer.write_sample(((turns * std::f64::consts::TAU).sin() * 8000.0) as i16).unwrap();
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn files_of_any_rate_play_at_the_right_pitch_and_length() {
        let folder = tempfile::tempdir().unwrap();
        for (rate_hz, channels) in [(8000, 1), (16_000, 1), (44_100, 2), (48_000, 1)] {
            write(folder.path(), "greeting", rate_hz, channels);
            let prompt = load(folder.path(), "greeting").unwrap();
            assert!((980..=1020).contains(&prompt.duration_ms()), "{rate_hz}: {}", prompt.duration_ms());
            let samples: Vec<i16> = prompt.linear.iter().flatten().copied().collect();
            let level = tone_level_dbov(&samples[800..7200], 8000, 1000.0);
            assert!((-16.0..-11.0).contains(&level), "{rate_hz}: {level}");
        }
    }

    #[test]
    fn built_in_prompts_are_there_and_paths_are_refused() {
        let nowhere = Path::new("/nonexistent");
        assert!((2000..10_000).contains(&load(nowhere, "welcome").unwrap().duration_ms()));
        assert_eq!(load(nowhere, "tone").unwrap().duration_ms(), 1000);
        assert_eq!(load(nowhere, "other").unwrap_err(), MediaError::NotFound("prompt"));
        for bad in ["", "../welcome", "a/b", ".hidden"] {
            assert!(matches!(load(nowhere, bad), Err(MediaError::Invalid { .. })), "{bad}");
        }
    }
}
