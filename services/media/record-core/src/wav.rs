//! Streaming WAV (RIFF/WAVE): header, timeline, periodic size patches and repair.

use std::time::Duration;
use thiserror::Error;

/// How one sample is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleFormat {
    /// 16-bit linear, little endian: `WAVE_FORMAT_PCM`.
    Pcm16,
    /// G.711 mu-law: `WAVE_FORMAT_MULAW`.
    MuLaw,
    /// G.711 A-law: `WAVE_FORMAT_ALAW`.
    ALaw,
}

/// What the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavFormat {
    /// How samples are stored.
    pub samples: SampleFormat,
    /// 1, or 2 with one party a side.
    pub channels: u16,
    /// Sample rate in Hz.
    pub rate_hz: u32,
}

/// Bytes to be written over those at `offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// From the start of the file.
    pub offset: u64,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

/// Why a spool cannot be adopted or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WavError {
    /// The file is shorter than a header.
    #[error("the file ends inside its header")]
    TooShort,
    /// It does not begin with a header that this writer wrote.
    #[error("not a recording of ours")]
    Foreign,
    /// The input is not a whole number of sample frames.
    #[error("not a whole number of sample frames")]
    Ragged,
    /// RIFF sizes are 32 bits: the next part belongs in a new file.
    #[error("the file is full")]
    Full,
}

/// One file being written.
#[derive(Debug)]
pub struct WavWriter {
    format: WavFormat,
    /// Sample frames given out.
    position: u64,
    /// Sample frames covered by the last patch.
    patched: u64,
    overlapped: u64,
    filled: u64,
}

impl WavFormat {
    /// Bytes of one sample of all channels.
    pub fn frame_bytes(&self) -> usize {
        self.sample_bytes() * usize::from(self.channels)
    }

    fn sample_bytes(&self) -> usize {
        if self.samples == SampleFormat::Pcm16 { 2 } else { 1 }
    }

    fn silence(&self) -> u8 {
        match self.samples {
            SampleFormat::Pcm16 => 0,
            SampleFormat::MuLaw => 0xFF,
            SampleFormat::ALaw => 0xD5,
        }
    }

    fn tag(&self) -> u16 {
        match self.samples {
            SampleFormat::Pcm16 => 1,
            SampleFormat::ALaw => 6,
            SampleFormat::MuLaw => 7,
        }
    }

    /// The whole header for so many bytes of audio.
    fn header(&self, data_len: u32) -> [u8; HEADER_LEN] {
        let mut h = [0; HEADER_LEN];
        let frame = self.frame_bytes() as u32;
        let mut put = |at: usize, bytes: &[u8]| h[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"RIFF");
        put(4, &(data_len + RIFF_OVERHEAD).to_le_bytes());
        put(8, b"WAVEfmt ");
        put(16, &18u32.to_le_bytes());
        put(20, &self.tag().to_le_bytes());
        put(22, &self.channels.to_le_bytes());
        put(24, &self.rate_hz.to_le_bytes());
        put(28, &(self.rate_hz * frame).to_le_bytes());
        put(32, &(frame as u16).to_le_bytes());
        put(34, &(self.sample_bytes() as u16 * 8).to_le_bytes());
        put(38, b"fact");
        put(42, &4u32.to_le_bytes());
        put(46, &(data_len / frame.max(1)).to_le_bytes());
        put(50, b"data");
        put(54, &data_len.to_le_bytes());
        h
    }

    fn of_header(h: &[u8; HEADER_LEN]) -> Option<Self> {
        let word = |at: usize| u16::from_le_bytes([h[at], h[at + 1]]);
        let samples = match word(20) {
            1 => SampleFormat::Pcm16,
            6 => SampleFormat::ALaw,
            7 => SampleFormat::MuLaw,
            _ => return None,
        };
        let rate_hz = u32::from_le_bytes([h[24], h[25], h[26], h[27]]);
        let format = Self { samples, channels: word(22), rate_hz };
        let sane = (1..=2).contains(&format.channels) && (1..=192_000).contains(&rate_hz);
        let sizes = |h: &[u8; HEADER_LEN]| {
            let mut fixed = *h;
            fixed[4..8].fill(0);
            fixed[46..50].fill(0);
            fixed[54..58].fill(0);
            fixed
        };
        (sane && sizes(&format.header(0)) == sizes(h)).then_some(format)
    }
}

impl WavWriter {
    /// A file with nothing in it. Append the header to the file before anything else.
    pub fn new(format: WavFormat) -> (Self, Vec<u8>) {
        let header = format.header(0).to_vec();
        (Self { format, position: 0, patched: 0, overlapped: 0, filled: 0 }, header)
    }

    /// The header of a file that holds so many bytes of audio and will not grow.
    pub fn header_for(format: WavFormat, data_bytes: u64) -> Vec<u8> {
        format.header(data_bytes.min(MAX_DATA) as u32).to_vec()
    }

    /// Appends to `out` what belongs in the file when `samples` (bytes in the file's format, channels interleaved) start at
    /// sample frame `at`: silence for a gap before them, and only what is new where they overlap what was written.
    pub fn write(&mut self, at: u64, samples: &[u8], out: &mut Vec<u8>) -> Result<(), WavError> {
        let frame = self.format.frame_bytes();
        if frame == 0 || !samples.len().is_multiple_of(frame) {
            return Err(WavError::Ragged);
        }
        let frames = (samples.len() / frame) as u64;
        let end = at.checked_add(frames).ok_or(WavError::Full)?.max(self.position);
        if end.checked_mul(frame as u64).is_none_or(|bytes| bytes > MAX_DATA) {
            return Err(WavError::Full);
        }
        self.fill_until(at, out);
        let skip = (self.position - at).min(frames);
        self.overlapped += skip;
        out.extend_from_slice(&samples[skip as usize * frame..]);
        self.position += frames - skip;
        Ok(())
    }

    /// Appends silence up to sample frame `at`, if the file is not as long yet; for the end of a recording.
    pub fn pad_to(&mut self, at: u64, out: &mut Vec<u8>) -> Result<(), WavError> {
        self.write(at, &[], out)
    }

    /// The new sizes, once a second of audio was given out since the last ones. Write it after the appended bytes.
    pub fn due_patch(&mut self) -> Option<Patch> {
        (self.position - self.patched >= u64::from(self.format.rate_hz)).then(|| self.patch())
    }

    /// The sizes as they are now; the last patch of a recording that ends.
    pub fn patch(&mut self) -> Patch {
        self.patched = self.position;
        let data_len = self.position * self.format.frame_bytes() as u64;
        Patch { offset: 0, bytes: self.format.header(data_len as u32).to_vec() }
    }

    /// Length of the recording.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.position * 1_000 / u64::from(self.format.rate_hz.max(1)))
    }

    /// Sample frames given out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Sample frames that came twice and were dropped.
    pub fn overlapped(&self) -> u64 {
        self.overlapped
    }

    /// Sample frames of silence put into gaps.
    pub fn filled(&self) -> u64 {
        self.filled
    }

    fn fill_until(&mut self, at: u64, out: &mut Vec<u8>) {
        let gap = at.saturating_sub(self.position);
        out.resize(out.len() + gap as usize * self.format.frame_bytes(), self.format.silence());
        self.filled += gap;
        self.position += gap;
    }
}

/// The header that makes every whole sample frame of a left-behind file count. `first_bytes` are at least [`HEADER_LEN`] bytes
/// from its start, `file_len` its length. Bytes of a frame that was cut are left behind the data.
pub fn repaired_header(first_bytes: &[u8], file_len: u64) -> Result<Patch, WavError> {
    let header = first_bytes.first_chunk::<HEADER_LEN>().ok_or(WavError::TooShort)?;
    let format = WavFormat::of_header(header).ok_or(WavError::Foreign)?;
    let data = file_len.checked_sub(HEADER_LEN as u64).ok_or(WavError::TooShort)?.min(MAX_DATA);
    let whole = data - data % format.frame_bytes() as u64;
    Ok(Patch { offset: 0, bytes: format.header(whole as u32).to_vec() })
}

/// Bytes before the audio: RIFF, `fmt ` with 18 bytes, `fact`, `data`.
pub const HEADER_LEN: usize = 58;

const RIFF_OVERHEAD: u32 = HEADER_LEN as u32 - 8;
/// So that the sizes fit 32 bits and stay even.
const MAX_DATA: u64 = u32::MAX as u64 - 63;
