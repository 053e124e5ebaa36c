//! Files decoded to telephone sound, whatever they are made of.

use std::io::Cursor;

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::Resampler as _;
use sidetone_dsp::{Law, g711};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

use crate::error::MediaError;

/// The longest prompt, in seconds: all of it is held in memory.
const SECONDS_MAX: usize = 600;
/// Frames resampled at a time: long enough to keep the telephone band whole, for files only.
const RESAMPLE_CHUNK: usize = 2048;
/// Files without a header, by their ending: the laws, and 16 bit at 8 kHz in the order of little-endian machines.
const RAW: [&str; 3] = ["ulaw", "alaw", "sln"];
/// The endings under which a prompt is looked for, in this order.
pub(super) const ENDINGS: [&str; 7] = ["wav", "mp3", "flac", "ogg", RAW[0], RAW[1], RAW[2]];

/// Mono samples at 8 kHz out of a whole file. The ending is a hint; for files without a header it decides.
pub(super) fn decode(bytes: Vec<u8>, ending: &str) -> Result<Vec<i16>, MediaError> {
    if RAW.contains(&ending) {
        let of_law = |law| {
            let mut samples = vec![0; bytes.len()];
            g711::decode(law, &bytes, &mut samples);
            samples
        };
        let samples = match ending {
            "ulaw" => of_law(Law::Mu),
            "alaw" => of_law(Law::A),
            _ => bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(),
        };
        return if samples.len() > SECONDS_MAX * 8000 { Err(too_long()) } else { Ok(samples) };
    }
    let (mono, rate_hz) = decode_container(bytes, ending)?;
    let at_8k = if rate_hz == 8000 { mono } else { resample(&mono, rate_hz)? };
    let to_16_bits = |sample: &f32| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    Ok(at_8k.iter().map(to_16_bits).collect())
}

/// Mono samples, and how many a second.
fn decode_container(bytes: Vec<u8>, ending: &str) -> Result<(Vec<f32>, u32), MediaError> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(ending);
    let mut format = symphonia::default::get_probe()
        .probe(&hint, stream, Default::default(), Default::default())
        .map_err(broken)?;
    let track = format.default_track(TrackType::Audio).ok_or(UNREADABLE)?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or(UNREADABLE)?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(broken)?;
    let (mut mono, mut rate_hz, mut interleaved) = (Vec::new(), 0, Vec::<f32>::new());
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) if packet.track_id == id => packet,
            Ok(Some(_)) => continue,
            // A file that was cut is heard as far as it goes.
            Ok(None) | Err(Error::IoError(_)) => break,
            Err(error) => return Err(broken(error)),
        };
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_) | Error::IoError(_)) => continue,
            Err(error) => return Err(broken(error)),
        };
        rate_hz = decoded.spec().rate();
        let channels = decoded.num_planes().max(1);
        interleaved.clear();
        decoded.copy_to_vec_interleaved(&mut interleaved);
        mono.extend(interleaved.chunks(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
        if mono.len() > SECONDS_MAX * rate_hz as usize {
            return Err(too_long());
        }
    }
    if mono.is_empty() || !(4000..=384_000).contains(&rate_hz) {
        Err(UNREADABLE)
    } else {
        Ok((mono, rate_hz))
    }
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

const UNREADABLE: MediaError =
    MediaError::Invalid { field: "prompt", problem: "no sound that this node can decode" };

fn broken(_: Error) -> MediaError {
    UNREADABLE
}

fn too_long() -> MediaError {
    MediaError::Invalid { field: "prompt", problem: "the file is longer than ten minutes" }
}
