//! The container of recordings: 16-bit WAV at 8 kHz, as `sidetone-record-core` makes it.

use std::io;

use sidetone_record_core::{HEADER_LEN, Patch, SampleFormat, WavFormat, WavWriter, repaired_header};

/// Bytes of a file's header.
pub(super) const HEADER: usize = HEADER_LEN;

/// One file being made.
#[derive(Debug)]
pub(super) struct Wav(WavWriter);

/// Bytes to be written over those at an offset.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

impl Wav {
    /// An empty file, and the header it begins with.
    pub(super) fn new(channels: u16) -> (Self, Vec<u8>) {
        let (writer, header) =
            WavWriter::new(WavFormat { samples: SampleFormat::Pcm16, channels, rate_hz: 8000 });
        (Self(writer), header)
    }

    /// What is to be appended for interleaved samples that begin at sample `at`.
    pub(super) fn write(&mut self, at: u64, samples: &[i16]) -> io::Result<Vec<u8>> {
        let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut out = Vec::with_capacity(pcm.len());
        self.0.write(at, &pcm, &mut out).map_err(io::Error::other)?;
        Ok(out)
    }

    /// The header for what was given out so far.
    pub(super) fn header(&mut self) -> Header {
        self.0.patch().into()
    }

    pub(super) fn duration_ms(&self) -> u64 {
        self.0.duration().as_millis() as u64
    }
}

/// The header that makes everything in a left-behind file count, and its length in ms; none for what is not a recording.
pub(super) fn repair(start: &[u8], file_bytes: u64) -> Option<(Header, u64)> {
    let header: Header = repaired_header(start, file_bytes).ok()?.into();
    let frame = u64::from(u16::from_le_bytes([*start.get(32)?, *start.get(33)?])).max(1);
    Some((header, file_bytes.saturating_sub(HEADER as u64) / frame / 8))
}

impl From<Patch> for Header {
    fn from(patch: Patch) -> Self {
        Self { offset: patch.offset, bytes: patch.bytes }
    }
}
