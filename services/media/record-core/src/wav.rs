//! WAV (RIFF) with 16-bit linear PCM or G.711.

use crate::{Patch, RecordError};

/// The longest gap that is filled with silence: one hour at 8 kHz.
pub const GAP_FRAMES_MAX: u64 = 3600 * 8000;

/// Bytes before the first frame. The same for every encoding: the `fact` chunk that G.711 needs is always there.
pub const HEADER_BYTES: usize = 58;

const RIFF_SIZE_AT: u64 = 4;
const FACT_FRAMES_AT: u64 = 46;
const DATA_SIZE_AT: u64 = 54;

/// How a sample is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 16-bit linear, little endian.
    Pcm16,
    /// G.711 mu-law (`WAVE_FORMAT_MULAW`).
    Mulaw,
    /// G.711 A-law (`WAVE_FORMAT_ALAW`).
    Alaw,
}

impl Encoding {
    fn tag(self) -> u16 {
        match self {
            Self::Pcm16 => 1,
            Self::Alaw => 6,
            Self::Mulaw => 7,
        }
    }

    fn from_tag(tag: u16) -> Option<Self> {
        [Self::Pcm16, Self::Alaw, Self::Mulaw].into_iter().find(|encoding| encoding.tag() == tag)
    }

    fn bytes(self) -> u16 {
        match self {
            Self::Pcm16 => 2,
            Self::Mulaw | Self::Alaw => 1,
        }
    }

    /// Silence as one sample: the code of the smallest positive value for G.711.
    fn silence(self) -> &'static [u8] {
        match self {
            Self::Pcm16 => &[0, 0],
            Self::Mulaw => &[0xff],
            Self::Alaw => &[0xd5],
        }
    }
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavSpec {
    /// Frames in a second.
    pub rate_hz: u32,
    /// 1 or 2. Left comes first.
    pub channels: u16,
    /// How a sample is kept.
    pub encoding: Encoding,
}

impl WavSpec {
    fn frame_bytes(self) -> u16 {
        self.channels * self.encoding.bytes()
    }

    /// The header of a file with that many bytes of sound.
    pub fn header(self, data_bytes: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let frame = self.frame_bytes();
        let fields: [(usize, &[u8]); 17] = [
            (0, b"RIFF"),
            (4, &riff_size(data_bytes).to_le_bytes()),
            (8, b"WAVE"),
            (12, b"fmt "),
            // 18: with the size of an extension, which is 0. Readers want that of everything but PCM.
            (16, &18u32.to_le_bytes()),
            (20, &self.encoding.tag().to_le_bytes()),
            (22, &self.channels.to_le_bytes()),
            (24, &self.rate_hz.to_le_bytes()),
            (28, &(self.rate_hz * u32::from(frame)).to_le_bytes()),
            (32, &frame.to_le_bytes()),
            (34, &(self.encoding.bytes() * 8).to_le_bytes()),
            (36, &0u16.to_le_bytes()),
            (38, b"fact"),
            (42, &4u32.to_le_bytes()),
            (46, &(data_bytes / u32::from(frame)).to_le_bytes()),
            (50, b"data"),
            (54, &data_bytes.to_le_bytes()),
        ];
        for (at, bytes) in fields {
            header[at..at + bytes.len()].copy_from_slice(bytes);
        }
        header
    }
}

/// The size field of the RIFF chunk: all but its own first 8 bytes, and an odd data chunk is padded.
fn riff_size(data_bytes: u32) -> u32 {
    data_bytes.saturating_add(HEADER_BYTES as u32 - 8).saturating_add(data_bytes & 1)
}

fn size_patches(data_bytes: u32, frame_bytes: u16) -> [Patch; 3] {
    [
        Patch { offset: RIFF_SIZE_AT, bytes: riff_size(data_bytes).to_le_bytes() },
        Patch { offset: FACT_FRAMES_AT, bytes: (data_bytes / u32::from(frame_bytes)).to_le_bytes() },
        Patch { offset: DATA_SIZE_AT, bytes: data_bytes.to_le_bytes() },
    ]
}

/// One file in the making.
#[derive(Debug, Clone)]
pub struct WavWriter {
    spec: WavSpec,
    frames: u64,
    overlapped_frames: u64,
    silent_frames: u64,
}

impl WavWriter {
    /// A new file. The first bytes of it are [`WavSpec::header`] of 0.
    pub fn new(spec: WavSpec) -> Self {
        Self { spec, frames: 0, overlapped_frames: 0, silent_frames: 0 }
    }

    /// Goes on with a file that holds `frames` frames already.
    pub fn resumed(spec: WavSpec, frames: u64) -> Self {
        Self { frames, ..Self::new(spec) }
    }

    /// Places linear samples, interleaved, at frame `at`, appending what the file needs to `out`.
    ///
    /// # Errors
    /// See [`RecordError`]; nothing has been appended then. The file must be linear (`Pcm16`): with G.711 use
    /// [`WavWriter::write_coded`].
    pub fn write(&mut self, at: u64, samples: &[i16], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let whole = samples.len().is_multiple_of(usize::from(self.spec.channels));
        if !whole || self.spec.encoding != Encoding::Pcm16 {
            return Err(RecordError::PartialFrame { samples: samples.len(), channels: self.spec.channels });
        }
        let frames = (samples.len() / usize::from(self.spec.channels)) as u64;
        let skipped = self.make_room(at, frames, out)?;
        let first = (skipped as usize) * usize::from(self.spec.channels);
        out.extend(samples[first..].iter().flat_map(|sample| sample.to_le_bytes()));
        self.frames += frames - skipped;
        Ok(())
    }

    /// Places bytes that are encoded as the file is, interleaved, at frame `at`.
    ///
    /// # Errors
    /// See [`RecordError`]; nothing has been appended then.
    pub fn write_coded(&mut self, at: u64, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let frame = usize::from(self.spec.frame_bytes());
        if !bytes.len().is_multiple_of(frame) {
            return Err(RecordError::PartialFrame { samples: bytes.len(), channels: self.spec.channels });
        }
        let frames = (bytes.len() / frame) as u64;
        let skipped = self.make_room(at, frames, out)?;
        out.extend_from_slice(&bytes[skipped as usize * frame..]);
        self.frames += frames - skipped;
        Ok(())
    }

    /// Fills the gap before `at`, or tells how many of `frames` lie before the file's end and are to be dropped.
    fn make_room(&mut self, at: u64, frames: u64, out: &mut Vec<u8>) -> Result<u64, RecordError> {
        let gap = at.saturating_sub(self.frames);
        if gap > GAP_FRAMES_MAX {
            return Err(RecordError::GapTooLong { frames: gap });
        }
        let skipped = self.frames.saturating_sub(at).min(frames);
        let bytes_after = (self.frames + gap + frames - skipped) * u64::from(self.spec.frame_bytes());
        if bytes_after > u64::from(u32::MAX) - HEADER_BYTES as u64 {
            return Err(RecordError::Full);
        }
        for _ in 0..gap * u64::from(self.spec.channels) {
            out.extend_from_slice(self.spec.encoding.silence());
        }
        self.frames += gap;
        self.silent_frames += gap;
        self.overlapped_frames += skipped;
        Ok(skipped)
    }

    /// What makes the header true for everything written so far.
    pub fn patches(&self) -> [Patch; 3] {
        // `make_room` keeps the size below 4 GiB.
        let bytes = (self.frames * u64::from(self.spec.frame_bytes())) as u32;
        size_patches(bytes, self.spec.frame_bytes())
    }

    /// Frames in the file: where the next block fits without a gap.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.frames * 1000 / u64::from(self.spec.rate_hz)
    }

    /// Frames dropped because something was there already.
    pub fn overlapped_frames(&self) -> u64 {
        self.overlapped_frames
    }

    /// Frames of silence put in because nothing came.
    pub fn silent_frames(&self) -> u64 {
        self.silent_frames
    }
}

/// A file that was left behind, made whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What to write into the header.
    pub patches: [Patch; 3],
    /// How long the file must be: a half-written last frame is cut off.
    pub file_bytes: u64,
    /// Its form.
    pub spec: WavSpec,
    /// Frames in it.
    pub frames: u64,
}

/// Makes the sizes in a header match the file's real length. `start` is the file's first [`HEADER_BYTES`] bytes.
///
/// # Errors
/// [`RecordError::NotOurs`] when the header is not one of ours, or not complete.
pub fn repair(start: &[u8], file_bytes: u64) -> Result<Repaired, RecordError> {
    let spec = parse(start).ok_or(RecordError::NotOurs)?;
    let frame = u64::from(spec.frame_bytes());
    let sound = file_bytes.saturating_sub(HEADER_BYTES as u64).min(u64::from(u32::MAX) - HEADER_BYTES as u64);
    let frames = sound / frame;
    let patches = size_patches((frames * frame) as u32, spec.frame_bytes());
    Ok(Repaired { patches, file_bytes: HEADER_BYTES as u64 + frames * frame, spec, frames })
}

fn parse(start: &[u8]) -> Option<WavSpec> {
    let half = |at: usize| Some(u16::from_le_bytes(start.get(at..at + 2)?.try_into().ok()?));
    let spec = WavSpec {
        encoding: Encoding::from_tag(half(20)?)?,
        channels: half(22)?,
        rate_hz: u32::from_le_bytes(start.get(24..28)?.try_into().ok()?),
    };
    let sizes = [RIFF_SIZE_AT as usize, FACT_FRAMES_AT as usize, DATA_SIZE_AT as usize];
    let same = spec.header(0).iter().zip(start).enumerate().all(|(at, (ours, theirs))| {
        ours == theirs || sizes.iter().any(|size| (*size..size + 4).contains(&at))
    });
    let plausible = matches!(spec.channels, 1 | 2) && spec.rate_hz > 0 && start.len() >= HEADER_BYTES;
    (same && plausible).then_some(spec)
}
