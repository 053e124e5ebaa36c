//! What of a file is whole: MP3 frames, Ogg pages, FLAC frames, samples.
//!
//! Most containers here have units of one size, and where they end follows from the length of the file. Frames of FLAC have to be
//! looked for, in the bytes that [`Units::wanted`] asks for.

use std::ops::Range;

use crate::container::Container;
use crate::{Form, HEADER_LEN, Patch, flac, repaired_header};

/// Counts the whole units of a file from its first sound on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    container: Container,
    form: Form,
    count: u64,
    /// Where the last of them ends in the file.
    end: u64,
    /// In them, of one channel.
    samples: u64,
}

/// A left-behind file made whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// To be written over its start.
    pub patch: Option<Patch>,
    /// To what length it is to be cut.
    pub length: u64,
    /// Of the sound in it, in ms.
    pub duration_ms: u64,
}

/// The most bytes that are asked for at once, for each kHz: more than ten seconds ever take.
const LOOK_A_KHZ: u64 = 64 * 1024;

impl Units {
    /// Of a file of a form, none of them seen yet.
    pub fn new(container: Container, form: Form) -> Self {
        Self { container, form, count: 0, end: container.header_bytes(form), samples: 0 }
    }

    /// Where the last whole unit that was seen ends, in bytes from the start of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Samples of one channel in the units seen.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How long the sound in the units seen is, in whole ms.
    pub fn duration_ms(&self) -> u64 {
        self.form.ms(self.samples)
    }

    /// Which bytes of a file of this length [`Self::see`] has to be shown next: none where units have one size.
    pub fn wanted(&self, file_bytes: u64) -> Range<u64> {
        let to = match self.container.unit(self.form) {
            Some(_) => self.end,
            None => file_bytes.clamp(self.end, self.end + self.form.samples(1) * LOOK_A_KHZ),
        };
        self.end..to
    }

    /// Counts on, up to `samples_max` samples a channel, in a file of this length. `bytes` are those that were wanted; a file
    /// that has `ended` grows no more. Whether there were any units: then there may be more.
    pub fn see(&mut self, file_bytes: u64, bytes: &[u8], samples_max: u64, ended: bool) -> bool {
        let before = self.count;
        match self.container.unit(self.form) {
            Some((size, samples)) => {
                let there = file_bytes.saturating_sub(self.end) / size;
                self.add(there.min(samples_max.saturating_sub(self.samples) / samples), size, samples);
            }
            None => self.see_frames(bytes, samples_max, ended && file_bytes == self.end + bytes.len() as u64),
        }
        self.count > before
    }

    fn see_frames(&mut self, bytes: &[u8], samples_max: u64, ended: bool) {
        let mut rest = bytes;
        while let Some(frame) = flac::frame_at(rest, self.count as u32, self.form, ended) {
            if self.samples + frame.samples > samples_max {
                return;
            }
            self.add(1, frame.bytes as u64, frame.samples);
            rest = &rest[frame.bytes..];
        }
    }

    fn add(&mut self, count: u64, bytes: u64, samples: u64) {
        self.count += count;
        self.end += count * bytes;
        self.samples += count * samples;
    }

    /// What a left-behind file of so many bytes holds when all its units were seen; `start` are its first [`HEADER_LEN`] bytes,
    /// if it has as many. None for what is not of this container, or holds nothing.
    pub fn repair(&self, start: &[u8], file_bytes: u64) -> Option<Repair> {
        if file_bytes < self.end {
            return None;
        }
        let patch = match self.container {
            Container::Wav => Some(repaired_header(start, file_bytes).ok()?),
            Container::Flac => Some(Patch { offset: 0, bytes: flac::header_for(self.form, self.samples) }),
            Container::Mp3 | Container::OggOpus => None,
        };
        Some(Repair { patch, length: self.end, duration_ms: self.duration_ms() })
    }
}

impl Container {
    /// The units of a file, by its first [`HEADER_LEN`] bytes; none for what is not of this container.
    pub fn units_of(self, start: &[u8]) -> Option<Units> {
        let start = start.get(..HEADER_LEN).unwrap_or(start);
        self.form_of(start).map(|form| Units::new(self, form))
    }
}
