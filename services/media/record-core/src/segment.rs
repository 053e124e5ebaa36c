//! A recording's file in segments: pieces of at most 10 s that play by themselves and, joined, are the file.
//!
//! Where a segment ends follows from the file alone: from its length, where all units of the container have one size, and from the
//! frames that are in it otherwise. Nothing has to be written down to find the segments of a file again after its process died.

use std::ops::Range;

use crate::container::{Container, wav};
use crate::units::Units;
use crate::{Form, WavWriter};

/// Cuts a file from its start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    container: Container,
    form: Form,
    index: u32,
    /// Where the open segment begins, in bytes of the file and on the timeline.
    from: u64,
    first_sample: u64,
    units: Units,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// From 0.
    pub index: u32,
    /// On the recording's timeline.
    pub first_sample: u64,
    /// Where its sound lies in the file.
    pub bytes: Range<u64>,
}

/// The longest segment, in ms.
const LENGTH_MS_MAX: u64 = 10_000;

impl Segments {
    /// Of a file of a form.
    pub fn new(container: Container, form: Form) -> Self {
        let units = Units::new(container, form);
        Self { container, form, index: 0, from: units.end(), first_sample: 0, units }
    }

    /// Which bytes of a file of this length [`Self::next`] has to be shown.
    pub fn wanted(&self, file_bytes: u64) -> Range<u64> {
        self.units.wanted(file_bytes)
    }

    /// The next segment, if a file of so many bytes holds all of it, or, at the file's end, anything of it. `bytes` are those that
    /// were wanted. Asked again after the file grew, it goes on where it was.
    pub fn next(&mut self, file_bytes: u64, bytes: &[u8], ended: bool) -> Option<Segment> {
        let end = self.first_sample + self.samples_max();
        self.units.see(file_bytes, bytes, end, ended);
        if self.units.samples() < end && (!ended || self.units.end() == self.from) {
            return None;
        }
        let segment = Segment {
            index: self.index,
            first_sample: self.first_sample,
            bytes: self.from..self.units.end(),
        };
        (self.index, self.from, self.first_sample) = (self.index + 1, self.units.end(), self.units.samples());
        Some(segment)
    }

    /// The samples of a whole segment: as many units as fit.
    fn samples_max(&self) -> u64 {
        let unit = self.container.unit(self.form).map_or(1, |(_, samples)| samples);
        self.form.samples(LENGTH_MS_MAX) / unit * unit
    }

    /// What goes before its bytes, so that it plays alone.
    pub fn header(&self, segment: &Segment) -> Vec<u8> {
        match self.container {
            Container::Wav => WavWriter::header_for(wav(self.form), segment.bytes.end - segment.bytes.start),
            Container::Mp3 => Vec::new(),
            Container::OggOpus | Container::Flac => self.container.stream_header(self.form),
        }
    }
}

#[cfg(test)]
mod tests {
    use sidetone_dsp::Rate;

    use super::*;

    #[test]
    fn segments_cover_the_file_and_play_alone() {
        let mut cut = Segments::new(Container::Wav, Form::new(2, Rate::Narrow));
        let length = 58 + 25 * 32_000;
        assert_eq!(cut.wanted(length), 58..58, "units of one size need not be looked for");
        let mut running = cut;
        assert_eq!(std::iter::from_fn(|| running.next(length, &[], false)).count(), 2, "it may still grow");
        let segments: Vec<Segment> = std::iter::from_fn(|| cut.next(length, &[], true)).collect();
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[0].bytes, 58..58 + 320_000);
        assert_eq!((segments[1].bytes.start, segments[1].first_sample), (58 + 320_000, 80_000));
        assert_eq!(segments[2].bytes.end, length);
        let mut alone = cut.header(&segments[2]);
        alone.extend(vec![0; (segments[2].bytes.end - segments[2].bytes.start) as usize]);
        assert_eq!(hound::WavReader::new(&alone[..]).unwrap().duration(), 40_000);
    }

    #[test]
    fn mp3_is_cut_between_frames_and_under_ten_seconds() {
        let mut cut = Segments::new(Container::Mp3, Form::new(1, Rate::Narrow));
        assert_eq!(cut.next(30_000, &[], false), None);
        let first = cut.next(50_000, &[], false).unwrap();
        assert_eq!(first.bytes, 0..138 * 288);
        assert_eq!(cut.next(50_000, &[], false), None);
        assert_eq!(cut.next(50_000, &[], true).unwrap().first_sample, 138 * 576);
    }
}
