//! Files decoded to telephone sound, whatever they are made of.

use std::io::Cursor;
use std::ops::RangeInclusive;

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::Resampler as _;
use sidetone_dsp::{Law, g711};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;

use super::ogg_opus::{self, OggOpus};
use crate::error::MediaError;

/// The longest prompt, in seconds: all of it is held in memory.
const SECONDS_MAX: usize = 600;
/// How many samples a second a file may have.
const RATES_HZ: RangeInclusive<u32> = 4000..=192_000;
/// Frames resampled at a time: long enough to keep the telephone band whole, for files only.
const RESAMPLE_CHUNK: usize = 2048;
/// Files without a header, by their ending: the laws, and 16 bit at 8 kHz in the order of little-endian machines.
const RAW: [&str; 3] = ["ulaw", "alaw", "sln"];
/// The endings under which a prompt is looked for, in this order.
pub(super) const ENDINGS: [&str; 8] = ["wav", "mp3", "flac", "ogg", "opus", RAW[0], RAW[1], RAW[2]];

/// Mono samples at 8 kHz out of a whole file. The ending is a hint; for files without a header it decides.
pub(super) fn decode(bytes: Vec<u8>, ending: &str) -> Result<Vec<i16>, MediaError> {
    if !RAW.contains(&ending) {
        return decode_container(bytes, ending);
    }
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
    if samples.len() > SECONDS_MAX * 8000 { Err(too_long()) } else { Ok(samples) }
}

fn decode_container(bytes: Vec<u8>, ending: &str) -> Result<Vec<i16>, MediaError> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(ending);
    let mut format = symphonia::default::get_probe()
        .probe(&hint, stream, Default::default(), Default::default())
        .map_err(broken)?;
    let track = format.default_track(TrackType::Audio).ok_or(UNREADABLE)?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or(UNREADABLE)?;
    if parameters.codec == CODEC_ID_OPUS {
        let head = parameters.extra_data.as_deref().unwrap_or_default();
        let mut opus = OggOpus::new(head).ok_or(UNREADABLE)?;
        return each_packet(&mut *format, id, |packet, mono| {
            opus.decode(packet, mono);
            Ok(ogg_opus::RATE.hz())
        });
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(broken)?;
    let mut interleaved = Vec::<f32>::new();
    each_packet(&mut *format, id, |packet, mono| {
        let decoded = match decoder.decode(packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_) | Error::IoError(_)) => return Ok(0),
            Err(error) => return Err(broken(error)),
        };
        let channels = decoded.num_planes().max(1);
        interleaved.clear();
        decoded.copy_to_vec_interleaved(&mut interleaved);
        mono.extend(interleaved.chunks(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
        Ok(decoded.spec().rate())
    })
}

/// Reads a track to its end. `decode` adds the mono samples of a packet and says how many there are a second, or 0 for a
/// packet that has none.
fn each_packet(
    format: &mut dyn FormatReader,
    track: u32,
    mut decode: impl FnMut(&Packet, &mut Vec<f32>) -> Result<u32, MediaError>,
) -> Result<Vec<i16>, MediaError> {
    let (mut at_8k, mut mono) = (None::<At8k>, Vec::new());
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) if packet.track_id == track => packet,
            Ok(Some(_)) => continue,
            // A file that was cut is heard as far as it goes.
            Ok(None) | Err(Error::IoError(_)) => break,
            Err(error) => return Err(broken(error)),
        };
        mono.clear();
        let rate_hz = decode(&packet, &mut mono)?;
        if mono.is_empty() {
            continue;
        }
        let at_8k = match &mut at_8k {
            Some(at_8k) if at_8k.rate_hz == rate_hz => at_8k,
            // Another file of another rate that was put behind the first.
            Some(_) => break,
            none => none.insert(At8k::new(rate_hz)?),
        };
        at_8k.push(&mono)?;
    }
    at_8k.ok_or(UNREADABLE)?.finish()
}

/// Sound on its way to 8 kHz, packet by packet: as a whole and at its own rate, a small file may be a gigabyte of samples.
struct At8k {
    rate_hz: u32,
    /// None where nothing is to be done.
    resampler: Option<rubato::Fft<f32>>,
    /// What does not make a chunk yet.
    waiting: Vec<f32>,
    /// Samples that are still to be left out: the start-up delay of the filter.
    skip: usize,
    /// Samples that came.
    came: usize,
    made: Vec<i16>,
}

impl At8k {
    fn new(rate_hz: u32) -> Result<Self, MediaError> {
        if !RATES_HZ.contains(&rate_hz) {
            return Err(UNREADABLE);
        }
        let (window, fixed) = (rubato::WindowFunction::BlackmanHarris2, rubato::FixedSync::Input);
        let make = || rubato::Fft::new_custom(rate_hz as usize, 8000, RESAMPLE_CHUNK, 1, 1, window, fixed);
        let resampler = if rate_hz == 8000 { None } else { Some(make().map_err(resampling)?) };
        let skip = resampler.as_ref().map_or(0, |resampler| resampler.output_delay());
        Ok(Self { rate_hz, resampler, waiting: Vec::new(), skip, came: 0, made: Vec::new() })
    }

    fn push(&mut self, mono: &[f32]) -> Result<(), MediaError> {
        self.came += mono.len();
        if self.came > SECONDS_MAX * self.rate_hz as usize {
            return Err(too_long());
        }
        let Some(resampler) = &mut self.resampler else {
            self.made.extend(mono.iter().map(to_16_bits));
            return Ok(());
        };
        self.waiting.extend_from_slice(mono);
        let mut taken = 0;
        while self.waiting.len() - taken >= resampler.input_frames_next() {
            let chunk = &self.waiting[taken..taken + resampler.input_frames_next()];
            taken += chunk.len();
            let input = InterleavedSlice::new(chunk, 1, chunk.len()).map_err(resampling)?;
            let output = resampler.process(&input, None).map_err(resampling)?.take_data();
            let late = self.skip.min(output.len());
            self.skip -= late;
            self.made.extend(output[late..].iter().map(to_16_bits));
        }
        self.waiting.drain(..taken);
        Ok(())
    }

    /// The rest, as long as what came.
    fn finish(mut self) -> Result<Vec<i16>, MediaError> {
        let (came, chunk) = (self.came, self.resampler.as_ref().map_or(0, |r| r.input_frames_next()));
        let whole = (came as u64 * 8000 / u64::from(self.rate_hz)) as usize;
        while self.made.len() < whole {
            self.came = 0;
            self.push(&vec![0.0; chunk - self.waiting.len()])?;
        }
        self.made.truncate(whole);
        Ok(self.made)
    }
}

fn to_16_bits(sample: &f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

fn resampling(error: impl std::fmt::Display) -> MediaError {
    MediaError::Io { what: "resampling a prompt", problem: error.to_string() }
}

const UNREADABLE: MediaError =
    MediaError::Invalid { field: "prompt", problem: "no sound that this node can decode" };

fn broken(_: Error) -> MediaError {
    UNREADABLE
}

fn too_long() -> MediaError {
    MediaError::Invalid { field: "prompt", problem: "the file is longer than ten minutes" }
}
