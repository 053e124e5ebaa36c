//! FLAC (RFC 9639): lossless, in frames of a fixed number of samples that each play without the others.
//!
//! The stream says of itself nothing that only its end would tell (section 8.2 allows 0 for the number of samples and for the
//! checksum of the sound) until it has ended, so a file whose writer died at any moment plays. Two channels are two voices, and are
//! coded apart. Frames are of different sizes; where one ends is found by its checksum and by the header of the next.

mod bits;
mod frame;

use md5::{Digest as _, Md5};
use sidetone_dsp::Rate;

use crate::{Form, Patch};
use bits::crc16;
use frame::block_samples;

/// One file or stream of frames.
#[derive(Debug)]
pub(crate) struct FlacWriter {
    form: Form,
    /// Samples that do not make a frame yet, channels interleaved.
    rest: Vec<i16>,
    frames: u32,
    /// Of one channel, in frames.
    samples: u64,
    /// The smallest and the largest frame, in bytes.
    sizes: Option<(u32, u32)>,
    sound: Md5,
    /// The sum over all of the sound, once it has ended.
    ended: Option<[u8; 16]>,
}

/// A whole frame in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) bytes: usize,
    /// Of one channel.
    pub(crate) samples: u64,
}

/// What is told about a stream at its start.
#[derive(Debug, Clone, Copy, Default)]
struct StreamInfo {
    sizes: Option<(u32, u32)>,
    samples: u64,
    md5: [u8; 16],
}

/// Bytes before the first frame.
pub(crate) const HEADER_BYTES: u64 = 42;
const STREAMINFO_BYTES: usize = 34;
/// The number of samples has 36 bits.
const SAMPLES_MAX: u64 = (1 << 36) - 1;

impl FlacWriter {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, rest: Vec::new(), frames: 0, samples: 0, sizes: None, sound: Md5::new(), ended: None }
    }

    pub(crate) fn write(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        self.rest.extend_from_slice(samples);
        let rest = std::mem::take(&mut self.rest);
        let mut whole = rest.chunks_exact(block_samples(self.form.rate) * self.form.width());
        for block in &mut whole {
            self.frame(block, out);
        }
        self.rest = whole.remainder().to_vec();
    }

    /// The rest, in a frame that may be shorter than the others.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.frame(&rest, out);
        }
        self.ended = Some(self.sound.finalize_reset().into());
    }

    /// What the start of a file is to say once it has ended.
    pub(crate) fn patch(&self) -> Option<Patch> {
        let md5 = self.ended?;
        let info = StreamInfo { sizes: self.sizes, samples: self.samples, md5 };
        Some(Patch { offset: 0, bytes: info.header(self.form) })
    }

    fn frame(&mut self, block: &[i16], out: &mut Vec<u8>) {
        let before = out.len();
        frame::encode(self.frames, self.form, block, out);
        let size = (out.len() - before) as u32;
        let (smallest, largest) = self.sizes.unwrap_or((size, size));
        self.sizes = Some((smallest.min(size), largest.max(size)));
        // Frame numbers have 31 bits: thirteen years.
        self.frames += 1;
        self.samples += (block.len() / self.form.width()) as u64;
        let bytes: Vec<u8> = block.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.sound.update(&bytes);
    }
}

impl StreamInfo {
    /// The start of a file: the mark and one block of metadata, the last (RFC 9639, sections 6, 8.1 and 8.2).
    fn header(&self, form: Form) -> Vec<u8> {
        let mut header = b"fLaC\x80\0\0".to_vec();
        header.push(STREAMINFO_BYTES as u8);
        header.extend([(block_samples(form.rate) as u16).to_be_bytes(); 2].concat());
        let (smallest, largest) = self.sizes.unwrap_or_default();
        header.extend_from_slice(&smallest.to_be_bytes()[1..]);
        header.extend_from_slice(&largest.to_be_bytes()[1..]);
        let samples = if self.samples > SAMPLES_MAX { 0 } else { self.samples };
        // 20 bits of the rate, 3 of the channels, 5 of the width of a sample, less 1 each.
        let told = u64::from(form.rate.hz()) << 44 | (form.width() as u64 - 1) << 41 | 15 << 36;
        header.extend((told | samples).to_be_bytes());
        header.extend(self.md5);
        header
    }
}

/// How a file or stream begins that has no end yet.
pub(crate) fn header(form: Form) -> Vec<u8> {
    StreamInfo::default().header(form)
}

/// How a file begins that holds so many samples of each channel, but has lost count of the rest.
pub(crate) fn header_for(form: Form, samples: u64) -> Vec<u8> {
    StreamInfo { samples, ..StreamInfo::default() }.header(form)
}

/// What a file is, by its start; none for one of another maker.
pub(crate) fn form_of(start: &[u8]) -> Option<Form> {
    let channels = u16::from(*start.get(20)? >> 1 & 7) + 1;
    let hz = u32::from_be_bytes(*start.get(17..)?.first_chunk()?) << 8 >> 12;
    let form = Form::new(channels, Rate::of_hz(hz)?);
    let ours = header(form);
    let same = |range: std::ops::Range<usize>| start.get(range.clone()) == ours.get(range);
    // All but the sizes of frames and the number of samples, which begins in the middle of a byte.
    let width = *start.get(21)? >> 4 == ours[21] >> 4;
    let known = width && same(0..12) && same(18..21);
    ((1..=2).contains(&channels) && known && start.len() >= HEADER_BYTES as usize).then_some(form)
}

/// The frame of a number at the start of `bytes`, when all of it is there. In a file that still grows it is there when the
/// next has begun, in one that does not also where the file ends.
pub(crate) fn frame_at(bytes: &[u8], number: u32, form: Form, ended: bool) -> Option<Frame> {
    let (head, samples) = frame::read_header(bytes, number, form)?;
    let next = frame::header_start(number.wrapping_add(1), form);
    let mut crc = crc16(0, bytes.get(..head)?);
    for end in head..bytes.len().min(frame::bytes_max(form)) {
        crc = crc16(crc, &bytes[end..=end]);
        let behind = &bytes[end + 1..];
        let follows = behind.starts_with(&next) || (ended && next.starts_with(behind));
        if crc == 0 && follows {
            return Some(Frame { bytes: end + 1, samples: samples as u64 });
        }
    }
    None
}
