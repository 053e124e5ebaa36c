//! A recording's file in segments: pieces of at most 10 s that play by themselves and, joined, are the file.
//!
//! Containers here have a constant rate of bytes, so a segment is a range of bytes that follows from its index alone. Nothing
//! has to be written down to find the segments of a file again after its process died.

use std::ops::Range;

use crate::container::{Container, RATE_HZ};
use crate::{SampleFormat, WavFormat, WavWriter};

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    container: Container,
    channels: u16,
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

/// The longest segment, in samples of one channel.
const SAMPLES_MAX: u64 = 10 * RATE_HZ as u64;

impl Segments {
    /// Of a file with 1 or 2 channels.
    pub fn new(container: Container, channels: u16) -> Self {
        Self { container, channels }
    }

    /// The segment of an index, if a file of so many bytes holds all of it, or, at the file's end, anything of it.
    pub fn get(&self, index: u32, file_bytes: u64, ended: bool) -> Option<Segment> {
        let (unit_bytes, unit_samples) = self.container.unit(self.channels);
        let units = SAMPLES_MAX / unit_samples;
        let from = self.container.header_bytes(self.channels) + u64::from(index) * units * unit_bytes;
        let whole = from + units * unit_bytes;
        let to = if ended { whole.min(file_bytes) } else { whole };
        (from < to && to <= file_bytes).then_some(Segment {
            index,
            first_sample: u64::from(index) * units * unit_samples,
            bytes: from..to,
        })
    }

    /// What goes before its bytes, so that it plays alone.
    pub fn header(&self, segment: &Segment) -> Vec<u8> {
        match self.container {
            Container::Wav => {
                let format =
                    WavFormat { samples: SampleFormat::Pcm16, channels: self.channels, rate_hz: RATE_HZ };
                WavWriter::header_for(format, segment.bytes.end - segment.bytes.start)
            }
            Container::Mp3 => Vec::new(),
            Container::OggOpus => self.container.stream_header(self.channels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_the_file_and_play_alone() {
        let cut = Segments::new(Container::Wav, 2);
        let length = 58 + 25 * 32_000;
        let segments: Vec<Segment> = (0..).map_while(|n| cut.get(n, length, true)).collect();
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[0].bytes, 58..58 + 320_000);
        assert_eq!((segments[1].bytes.start, segments[1].first_sample), (58 + 320_000, 80_000));
        assert_eq!(segments[2].bytes.end, length);
        assert_eq!(cut.get(2, length, false), None, "it may still grow");
        let mut alone = cut.header(&segments[2]);
        alone.extend(vec![0; (segments[2].bytes.end - segments[2].bytes.start) as usize]);
        assert_eq!(hound::WavReader::new(&alone[..]).unwrap().duration(), 40_000);
    }

    #[test]
    fn mp3_is_cut_between_frames_and_under_ten_seconds() {
        let cut = Segments::new(Container::Mp3, 1);
        let first = cut.get(0, 50_000, false).unwrap();
        assert_eq!(first.bytes, 0..138 * 288);
        assert_eq!(cut.get(1, 50_000, false), None);
        assert_eq!(cut.get(1, 50_000, true).unwrap().first_sample, 138 * 576);
    }
}
