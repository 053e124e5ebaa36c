//! Files decoded to telephone sound, whatever they are made of.

use std::io::SeekFrom;
use std::ops::RangeInclusive;

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::Resampler as _;
use sidetone_dsp::{Law, g711};
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::packet::Packet;
use symphonia::core::units::{TimeBase, Timestamp};

use super::ogg_opus::{self, OggOpus};
use crate::error::MediaError;

/// A longer prompt is decoded as it is played, in samples: two minutes.
const WHOLE_MAX: usize = 120 * RATE_HZ;
/// The longest prompt of all, in samples: twelve hours.
const LONG_MAX: usize = 12 * 3600 * RATE_HZ;
/// What is decoded to, a second.
pub(super) const RATE_HZ: usize = 8000;
/// Read of a file without a header at a time, in bytes.
const RAW_BYTES: usize = 4096;
/// How many samples a second a file may have.
const RATES_HZ: RangeInclusive<u32> = 4000..=192_000;
/// Frames resampled at a time: long enough to keep the telephone band whole, for files only.
const RESAMPLE_CHUNK: usize = 2048;
/// Before a place that is gone to so much is decoded and thrown away, in ms: what a frame of MP3 takes from those in front of it, the
/// bits that it keeps in them (ISO/IEC 11172-3, 2.4.2.7) and half of its waves; Opus finds into its sound in 80 (RFC 7845, section 4.6).
const PREROLL_MS: u64 = 150;
/// Files without a header, by their ending: the laws, and 16 bit at 8 kHz in the order of little-endian machines.
const RAW: [&str; 3] = ["ulaw", "alaw", "sln"];
/// The endings under which a prompt is looked for, in this order.
pub(super) const ENDINGS: [&str; 8] = ["wav", "mp3", "flac", "ogg", "opus", RAW[0], RAW[1], RAW[2]];

/// A file that is being decoded: mono samples at 8 kHz, bit by bit.
pub(crate) struct Decoding {
    form: Form,
    made: usize,
    /// How long the file says that it is, in ms.
    duration_ms: Option<u64>,
}

enum Form {
    Raw { file: Box<dyn MediaSource>, law: Option<Law>, odd: Option<u8> },
    Container(Box<Container>),
}

struct Container {
    format: Box<dyn FormatReader>,
    track: u32,
    /// How many samples a second it says that it has, which is what its timestamps count.
    rate_hz: Option<u32>,
    /// The timestamp from which on it is heard after a jump; none once it has been.
    wanted: Option<i64>,
    #[cfg(test)]
    packets: usize,
    decoder: AnyDecoder,
    mono: Vec<f32>,
    at_8k: Option<At8k>,
}

enum AnyDecoder {
    Opus(OggOpus),
    Other(Box<dyn AudioDecoder>, Vec<f32>),
}

/// What a file holds.
pub(super) enum Decoded {
    Whole(Vec<i16>),
    /// More than is held in memory, and how long it says that it is, in ms.
    Long(Option<u64>),
}

impl std::fmt::Debug for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoding").field("made", &self.made).finish_non_exhaustive()
    }
}

/// All of a file, unless it is long. The ending is a hint; for files without a header it decides.
pub(super) fn decode(file: Box<dyn MediaSource>, ending: &str) -> Result<Decoded, MediaError> {
    let mut decoding = Decoding::open(file, ending)?;
    let mut samples = Vec::new();
    while decoding.more(&mut samples)? {
        if samples.len() > WHOLE_MAX {
            return match decoding.duration_ms {
                Some(ms) if ms > (LONG_MAX / RATE_HZ) as u64 * 1000 => Err(too_long()),
                duration_ms => Ok(Decoded::Long(duration_ms)),
            };
        }
    }
    Ok(Decoded::Whole(samples))
}

impl Decoding {
    pub(super) fn open(file: Box<dyn MediaSource>, ending: &str) -> Result<Self, MediaError> {
        let law = match ending {
            "ulaw" => Some(Law::Mu),
            "alaw" => Some(Law::A),
            "sln" => None,
            _ => return Self::open_container(file, ending),
        };
        let bytes_a_sample = if law.is_some() { 1 } else { 2 };
        let duration_ms = file.byte_len().map(|bytes| bytes * 1000 / (RATE_HZ as u64 * bytes_a_sample));
        Ok(Self { form: Form::Raw { file, law, odd: None }, made: 0, duration_ms })
    }

    fn open_container(file: Box<dyn MediaSource>, ending: &str) -> Result<Self, MediaError> {
        let stream = MediaSourceStream::new(file, Default::default());
        let mut hint = Hint::new();
        hint.with_extension(ending);
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, Default::default(), Default::default())
            .map_err(broken)?;
        let found = format.default_track(TrackType::Audio).ok_or(UNREADABLE)?;
        let (track, frames) = (found.id, found.num_frames);
        let parameters = found.codec_params.as_ref().and_then(|p| p.audio()).ok_or(UNREADABLE)?;
        let of_rate = |rate_hz: u32| frames.map(|frames| frames * 1000 / u64::from(rate_hz.max(1)));
        let duration_ms = parameters.sample_rate.and_then(of_rate);
        let decoder = if parameters.codec == CODEC_ID_OPUS {
            let head = parameters.extra_data.as_deref().unwrap_or_default();
            AnyDecoder::Opus(OggOpus::new(head).ok_or(UNREADABLE)?)
        } else {
            let made = symphonia::default::get_codecs()
                .make_audio_decoder(parameters, &AudioDecoderOptions::default())
                .map_err(broken)?;
            AnyDecoder::Other(made, Vec::new())
        };
        let (rate_hz, mono) = (parameters.sample_rate, Vec::new());
        let container = Container {
            format,
            track,
            rate_hz,
            wanted: None,
            #[cfg(test)]
            packets: 0,
            decoder,
            mono,
            at_8k: None,
        };
        let form = Form::Container(Box::new(container));
        Ok(Self { form, made: 0, duration_ms })
    }

    /// Goes to a sample without decoding what lies before it. It is the very one that decoding from the beginning would come to, to
    /// half a sample of a file's own rate; of a file that says something wrong of its frames to what it says. False where that
    /// cannot be, or is not there: nothing can be decoded then.
    pub(super) fn seek(&mut self, sample: usize) -> bool {
        let found = match &mut self.form {
            Form::Raw { file, law, odd } => {
                *odd = None;
                let bytes_a_sample = if law.is_some() { 1 } else { 2 };
                let within = file.byte_len().is_none_or(|length| (sample * bytes_a_sample) as u64 <= length);
                within && file.seek(SeekFrom::Start((sample * bytes_a_sample) as u64)).is_ok()
            }
            Form::Container(container) => container.seek(sample as u64),
        };
        self.made = sample;
        found
    }

    /// How many packets were decoded.
    #[cfg(test)]
    pub(super) fn packets(&self) -> usize {
        match &self.form {
            Form::Raw { .. } => 0,
            Form::Container(container) => container.packets,
        }
    }

    /// Adds a few more samples; false when there are none behind them.
    pub(super) fn more(&mut self, out: &mut Vec<i16>) -> Result<bool, MediaError> {
        let before = out.len();
        let goes_on = match &mut self.form {
            Form::Raw { file, law, odd } => read_raw(file.as_mut(), *law, odd, out)?,
            Form::Container(container) => container.more(out)?,
        };
        self.made += out.len() - before;
        if self.made > LONG_MAX { Err(too_long()) } else { Ok(goes_on) }
    }
}

fn read_raw(
    file: &mut dyn MediaSource,
    law: Option<Law>,
    odd: &mut Option<u8>,
    out: &mut Vec<i16>,
) -> Result<bool, MediaError> {
    let mut bytes = [0; RAW_BYTES];
    let kept = usize::from(odd.is_some());
    bytes[0] = odd.take().unwrap_or(0);
    let problem =
        |error: std::io::Error| MediaError::Io { what: "reading a prompt", problem: error.to_string() };
    let length = kept + file.read(&mut bytes[kept..]).map_err(problem)?;
    if length == kept {
        return Ok(false);
    }
    let bytes = &bytes[..length];
    match law {
        Some(law) => {
            let before = out.len();
            out.resize(before + length, 0);
            g711::decode(law, bytes, &mut out[before..]);
        }
        None => {
            let pairs = bytes.chunks_exact(2);
            *odd = pairs.remainder().first().copied();
            out.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
    }
    Ok(true)
}

impl Container {
    /// Goes to a sample of 8 kHz: frame headers are walked, a table of the file's is looked at, or pages of Ogg are halved.
    fn seek(&mut self, sample: u64) -> bool {
        // In Ogg, a page of another stream would be waited at for ever.
        let (Some(rate_hz), [track]) = (self.rate_hz, self.format.tracks()) else { return false };
        let first = match &self.decoder {
            // Granule positions count at 48 kHz, what a decoder leaves out at the start included (RFC 7845, section 4).
            AnyDecoder::Opus(opus) => track.start_ts.get() + opus.left_out(),
            AnyDecoder::Other(..) => {
                let counts_samples = |base: TimeBase| (base.numer.get(), base.denom.get()) == (1, rate_hz);
                if track.id != self.track || !track.time_base.is_some_and(counts_samples) {
                    return false;
                }
                // What is trimmed from the start lies before 0.
                track.start_ts.get().max(0)
            }
        };
        let native = first + (sample * u64::from(rate_hz) / RATE_HZ as u64) as i64;
        let before = native - (PREROLL_MS * u64::from(rate_hz) / 1000) as i64;
        let begins = track.start_ts.get().max(0);
        let to = SeekTo::Timestamp { ts: Timestamp::new(before.max(begins)), track_id: self.track };
        if self.format.seek(SeekMode::Accurate, to).is_err() {
            return false;
        }
        (self.at_8k, self.wanted) = (None, Some(native));
        match &mut self.decoder {
            AnyDecoder::Opus(opus) => opus.begin_anew(),
            AnyDecoder::Other(decoder, _) => {
                decoder.reset();
                true
            }
        }
    }

    /// Leaves out what lies before the place that was gone to; what is missing there is silent.
    fn leave_out(&mut self, pts: i64) {
        let Some(wanted) = self.wanted.filter(|_| !self.mono.is_empty()) else { return };
        let ticks = self.decoder.ticks_a_sample();
        let early = (wanted - pts) / ticks;
        if early >= self.mono.len() as i64 {
            return self.mono.clear();
        }
        self.wanted = None;
        match usize::try_from(early) {
            Ok(early) => drop(self.mono.drain(..early)),
            Err(_) => {
                let second = u64::from(self.rate_hz.unwrap_or(0)) / ticks as u64;
                let missing = early.unsigned_abs().min(second) as usize;
                self.mono.splice(0..0, std::iter::repeat_n(0.0, missing));
            }
        }
    }

    fn more(&mut self, out: &mut Vec<i16>) -> Result<bool, MediaError> {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) if packet.track_id == self.track => packet,
            Ok(Some(_)) => return Ok(true),
            // A file that was cut is heard as far as it goes.
            Ok(None) | Err(Error::IoError(_)) => return self.finish(out),
            Err(error) => return Err(broken(error)),
        };
        self.mono.clear();
        #[cfg(test)]
        {
            self.packets += 1;
        }
        let rate_hz = self.decoder.decode(&packet, &mut self.mono)?;
        self.leave_out(packet.pts.get());
        if self.mono.is_empty() {
            return Ok(true);
        }
        let at_8k = match &mut self.at_8k {
            Some(at_8k) if at_8k.rate_hz == rate_hz => at_8k,
            // Another file of another rate that was put behind the first.
            Some(_) => return self.finish(out),
            none => none.insert(At8k::new(rate_hz)?),
        };
        at_8k.push(&self.mono, out).map(|()| true)
    }

    fn finish(&mut self, out: &mut Vec<i16>) -> Result<bool, MediaError> {
        self.at_8k.as_mut().ok_or(UNREADABLE)?.finish(out).map(|()| false)
    }
}

impl AnyDecoder {
    /// How far timestamps go with each sample that it gives.
    fn ticks_a_sample(&self) -> i64 {
        if let Self::Opus(_) = self { ogg_opus::GRANULES as i64 } else { 1 }
    }

    /// Adds the mono samples of a packet, and says how many there are a second, or 0 for a packet that has none.
    fn decode(&mut self, packet: &Packet, mono: &mut Vec<f32>) -> Result<u32, MediaError> {
        let (decoder, interleaved) = match self {
            Self::Opus(opus) => {
                opus.decode(packet, mono);
                return Ok(ogg_opus::RATE.hz());
            }
            Self::Other(decoder, interleaved) => (decoder, interleaved),
        };
        let decoded = match decoder.decode(packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_) | Error::IoError(_)) => return Ok(0),
            Err(error) => return Err(broken(error)),
        };
        let channels = decoded.num_planes().max(1);
        interleaved.clear();
        decoded.copy_to_vec_interleaved(interleaved);
        mono.extend(interleaved.chunks(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
        Ok(decoded.spec().rate())
    }
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
    /// Samples that came, and those that were made of them.
    came: usize,
    made: usize,
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
        Ok(Self { rate_hz, resampler, waiting: Vec::new(), skip, came: 0, made: 0 })
    }

    fn push(&mut self, mono: &[f32], out: &mut Vec<i16>) -> Result<(), MediaError> {
        self.came += mono.len();
        self.bring(mono, out)
    }

    fn bring(&mut self, mono: &[f32], out: &mut Vec<i16>) -> Result<(), MediaError> {
        let before = out.len();
        let Some(resampler) = &mut self.resampler else {
            out.extend(mono.iter().map(to_16_bits));
            self.made += mono.len();
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
            out.extend(output[late..].iter().map(to_16_bits));
        }
        self.waiting.drain(..taken);
        self.made += out.len() - before;
        Ok(())
    }

    /// The rest, as long as what came.
    fn finish(&mut self, out: &mut Vec<i16>) -> Result<(), MediaError> {
        let chunk = self.resampler.as_ref().map_or(0, |r| r.input_frames_next());
        let whole = (self.came as u64 * RATE_HZ as u64 / u64::from(self.rate_hz)) as usize;
        while self.made < whole {
            self.bring(&vec![0.0; chunk - self.waiting.len()], out)?;
        }
        out.truncate(out.len() - (self.made - whole).min(out.len()));
        Ok(())
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
    MediaError::Invalid { field: "prompt", problem: "the file is longer than twelve hours" }
}
