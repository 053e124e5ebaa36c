//! One recording's file, and the window in which what is said is put together.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sidetone_dsp::g711;

use crate::recorder::Finished;
use crate::recorder::wav::Wav;
use crate::worker::rings::{FRAME_BYTES, RecordingFrame};

/// How far behind the clock the file is written, in samples: what comes later than that is lost.
const BEHIND: u64 = 4000;
/// The least that is written at once, in samples.
const STEP: u64 = 1600;
/// The longest window, in samples. A frame beyond it is not of this recording's time.
const WINDOW_MAX: u64 = 80_000;

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct RecordingFile {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) began_ms: u64,
    file: File,
    writer: Wav,
    length: u64,
    channels: usize,
    /// Sums of the samples from `flushed` on, channels interleaved.
    window: VecDeque<i32>,
    flushed: u64,
}

impl RecordingFile {
    /// Begins in an empty file.
    pub(super) fn new(
        id: String,
        name: String,
        began_ms: u64,
        file: File,
        channels: u16,
    ) -> io::Result<Self> {
        let (writer, header) = Wav::new(channels);
        file.write_all_at(&header, 0)?;
        let (length, channels) = (header.len() as u64, usize::from(channels));
        let window = VecDeque::new();
        Ok(Self { id, name, began_ms, file, writer, length, channels, window, flushed: 0 })
    }

    /// Adds what one leg said.
    pub(super) fn add(&mut self, frame: &RecordingFrame) {
        let mut samples = [0; FRAME_BYTES];
        let length = usize::from(frame.length).min(FRAME_BYTES);
        g711::decode(frame.law, &frame.bytes[..length], &mut samples[..length]);
        let late = self.flushed.saturating_sub(frame.position) as usize;
        let Some(heard) = samples[..length].get(late..) else { return };
        let first = (frame.position.max(self.flushed) - self.flushed) as usize;
        if first as u64 > WINDOW_MAX {
            return;
        }
        let end = (first + heard.len()) * self.channels;
        if self.window.len() < end {
            self.window.resize(end, 0);
        }
        let channel = usize::from(frame.channel).min(self.channels - 1);
        for (n, sample) in heard.iter().enumerate() {
            self.window[(first + n) * self.channels + channel] += i32::from(*sample);
        }
    }

    /// Writes what is old enough at `now_ms`.
    pub(super) fn flush_until(&mut self, now_ms: u64) -> io::Result<()> {
        let end = self.clock(now_ms).saturating_sub(BEHIND);
        if end < self.flushed + STEP { Ok(()) } else { self.write_until(end) }
    }

    /// Writes everything and puts the header right for the last time.
    pub(super) fn finish(mut self, now_ms: u64, failure: Option<String>) -> Finished {
        let end = self.clock(now_ms);
        let written = self.write_until(end).and_then(|()| self.file.sync_all());
        let failure = failure.or_else(|| written.err().map(|error| format!("writing failed: {error}")));
        Finished {
            id: self.id,
            file: self.name,
            duration_ms: self.writer.duration_ms(),
            size_bytes: self.length,
            failure,
        }
    }

    fn clock(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.began_ms) * 8
    }

    fn write_until(&mut self, end: u64) -> io::Result<()> {
        let wanted = end.saturating_sub(self.flushed) as usize * self.channels;
        let mut samples = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            let sum = self.window.pop_front().unwrap_or(0);
            samples.push(sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16);
        }
        let bytes = self.writer.write(self.flushed, &samples)?;
        self.flushed = end.max(self.flushed);
        self.file.write_all_at(&bytes, self.length)?;
        self.length += bytes.len() as u64;
        // Last, so that the header never promises what is not there yet.
        let header = self.writer.header();
        self.file.write_all_at(&header.bytes, header.offset)
    }
}
