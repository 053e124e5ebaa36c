//! One file of a recording, and the window in which what is said is put together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sidetone_record_core::{Container, Encoder, Mixdown};

/// How far behind the clock a file is written, in samples: what comes later than that is lost.
const BEHIND: u64 = 4000;
/// The least that is written at once, in samples.
const STEP: u64 = 1600;
/// The most that is encoded in one piece, in samples.
const PIECE: usize = 80_000;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: String,
    file: File,
    encoder: Encoder,
    window: Mixdown,
    length: u64,
}

impl Track {
    /// Begins in an empty file.
    pub(super) fn new(name: String, file: File, container: Container, channels: u16) -> io::Result<Self> {
        let (encoder, header) = Encoder::new(container, channels).map_err(io::Error::other)?;
        file.write_all_at(&header, 0)?;
        Ok(Self { name, file, encoder, window: Mixdown::new(channels), length: header.len() as u64 })
    }

    /// Adds what one leg said.
    pub(super) fn add(&mut self, at: u64, channel: usize, samples: &[i16]) {
        // What is late by more than half a second is lost, as the jitter buffer of a phone would lose it.
        self.window.add(at, channel, samples);
    }

    /// Writes what is old enough when the recording is `now` samples long.
    pub(super) fn flush_until(&mut self, now: u64) -> io::Result<()> {
        let end = now.saturating_sub(BEHIND);
        if end < self.window.taken() + STEP { Ok(()) } else { self.write_until(end) }
    }

    /// Writes everything; the length of the file.
    pub(super) fn finish(&mut self, end: u64) -> io::Result<()> {
        self.write_until(end)?;
        let mut bytes = Vec::new();
        self.encoder.finish(&mut bytes).map_err(io::Error::other)?;
        self.append(&bytes)?;
        self.file.sync_all()
    }

    pub(super) fn duration_ms(&self) -> u64 {
        self.encoder.duration_ms()
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn write_until(&mut self, end: u64) -> io::Result<()> {
        while self.window.taken() < end {
            let samples = self.window.take_until(end, PIECE);
            let mut bytes = Vec::with_capacity(samples.len() * 2);
            self.encoder.write(&samples, &mut bytes).map_err(io::Error::other)?;
            self.append(&bytes)?;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        // Last, so that the header never promises what is not there yet.
        match self.encoder.patch() {
            Some(patch) => self.file.write_all_at(&patch.bytes, patch.offset),
            None => Ok(()),
        }
    }
}
