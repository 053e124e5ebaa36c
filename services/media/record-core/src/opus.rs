//! Opus in Ogg (RFC 7845) with pages of one size.
//!
//! Packets are padded (RFC 6716, section 3.2.5) and every page holds ten of them: 200 ms. A cut file is therefore a whole number
//! of pages, and where a moment lies in it follows from its place alone. Two channels are two voices, not left and right of one
//! room: they are coded apart, as two streams of one channel each.

use std::fmt;

use sidetone_dsp::Rate;
use sidetone_dsp::codec::OpusSettings;
use sidetone_dsp::codec::opus::{OpusEncode as _, PureEncoder};

use crate::Form;
use crate::container::EncodeError;

/// How long the sound of a packet is, in ms.
const PACKET_MS: usize = 20;
const PACKETS: usize = 10;
/// The longest frame of all rates.
const FRAME_MAX: usize = 118;
/// The first byte of a packet says how it was coded, the second how many frames it has.
const PACKET_HEADER: usize = 2;
/// What a decoder leaves out at the start, in samples of 48 kHz: what the encoder is late.
const PRE_SKIP: u64 = 312;
/// Granule positions count at 48 kHz, whatever the sound was.
const GRANULES_A_MS: u64 = 48;
const PAGE_GRANULES: u64 = GRANULES_A_MS * (PACKETS * PACKET_MS) as u64;
const PAGE_HEADER: usize = 27;
const SERIAL: u32 = u32::from_be_bytes(*b"side");
const VENDOR: &[u8] = b"Sidetone";

/// One file or stream of pages.
pub(crate) struct OpusWriter {
    form: Form,
    encoders: Vec<PureEncoder>,
    /// Samples that do not make a packet yet, channels interleaved.
    rest: Vec<i16>,
    /// Packets that do not make a page yet.
    packets: Vec<u8>,
    /// A whole page that may turn out to be the last one.
    held: Option<Vec<u8>>,
    pages: u32,
    samples: u64,
}

impl fmt::Debug for OpusWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusWriter").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl OpusWriter {
    pub(crate) fn new(form: Form) -> Result<Self, EncodeError> {
        // On the average; what a frame may have at most is some more.
        let bitrate_bps = match form.rate {
            Rate::Narrow => 20_000,
            Rate::Wide => 28_000,
            Rate::Full => 40_000,
        };
        let settings = OpusSettings { bitrate_bps, complexity: 5, fec: false, loss_percent: 0 };
        let encoder = |_| PureEncoder::new(form.rate, &settings).map_err(|_| EncodeError::Encoder);
        Ok(Self {
            form,
            encoders: (0..form.channels).map(encoder).collect::<Result<_, _>>()?,
            rest: Vec::new(),
            packets: Vec::new(),
            held: None,
            pages: 0,
            samples: 0,
        })
    }

    fn channels(&self) -> usize {
        self.encoders.len()
    }

    pub(crate) fn write(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.samples += (samples.len() / self.channels()) as u64;
        self.encode(samples, out)
    }

    /// The rest, in a page that says where it ends.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let end = PRE_SKIP + self.samples * u64::from(Rate::Full.hz() / self.form.rate.hz());
        while u64::from(self.pages) * PAGE_GRANULES < end {
            let silence = vec![0; self.form.rate.samples(PACKET_MS) * self.channels()];
            self.encode(&silence, out)?;
        }
        if let Some(last) = self.held.take() {
            out.extend(page(Flags::Last, end, self.pages + 1, &last, PACKETS));
        }
        Ok(())
    }

    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.rest.extend_from_slice(samples);
        let rest = std::mem::take(&mut self.rest);
        let mut whole = rest.chunks_exact(self.form.rate.samples(PACKET_MS) * self.channels());
        for samples in &mut whole {
            self.packet(samples)?;
            if self.packets.len() == PACKETS * packet_bytes(self.form) {
                self.page(out);
            }
        }
        self.rest = whole.remainder().to_vec();
        Ok(())
    }

    fn page(&mut self, out: &mut Vec<u8>) {
        let packets = std::mem::take(&mut self.packets);
        if let Some(before) = self.held.replace(packets) {
            let end = u64::from(self.pages) * PAGE_GRANULES;
            // Two pages go before the first with sound.
            out.extend(page(Flags::None, end, self.pages + 1, &before, PACKETS));
        }
        self.pages += 1;
    }

    /// All but the last of several streams say how long they are (RFC 6716, appendix B).
    fn packet(&mut self, samples: &[i16]) -> Result<(), EncodeError> {
        let (channels, room) = (self.channels(), frame_max(self.form.rate));
        for (n, encoder) in self.encoders.iter_mut().enumerate() {
            let mut voice = [0; Rate::Full.samples(PACKET_MS)];
            let voice = &mut voice[..samples.len() / channels];
            for (sample, frame) in voice.iter_mut().zip(samples.chunks_exact(channels)) {
                *sample = frame[n];
            }
            let mut coded = [0; FRAME_MAX + 1];
            let length = encoder.encode(voice, &mut coded[..=room]).map_err(|_| EncodeError::Encoder)?;
            let (&toc, frame) = coded[..length].split_first().ok_or(EncodeError::Encoder)?;
            // One frame to a packet, which is all that 20 ms need.
            if toc & 3 != 0 {
                return Err(EncodeError::Encoder);
            }
            pad(toc, (frame, room), n + 1 < channels, &mut self.packets);
        }
        Ok(())
    }
}

/// Pages of several files put one behind the other, numbered anew (RFC 3533, section 6).
#[derive(Debug, Default)]
pub(crate) struct PageJoiner {
    pages: u32,
    /// The last packets: their page says that it is the last.
    held: Option<Vec<u8>>,
}

impl PageJoiner {
    /// Appends the page before this one, whose packets these are.
    pub(crate) fn add(&mut self, packets: &[u8], out: &mut Vec<u8>) {
        self.give(Flags::None, out);
        self.held = Some(packets.to_vec());
        self.pages += 1;
    }

    /// The last page.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.give(Flags::Last, out);
    }

    fn give(&mut self, flags: Flags, out: &mut Vec<u8>) {
        if let Some(packets) = self.held.take() {
            let end = u64::from(self.pages) * PAGE_GRANULES;
            // Two pages go before the first with sound.
            out.extend(page(flags, end, self.pages + 1, &packets, PACKETS));
        }
    }
}

/// What of a page with sound is its packets.
pub(crate) fn packets(page: &[u8]) -> &[u8] {
    page.get(PAGE_HEADER + PACKETS..).unwrap_or_default()
}

/// What every file and stream begins with: two pages.
pub(crate) fn header(form: Form) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(form.channels as u8);
    head.extend((PRE_SKIP as u16).to_le_bytes());
    head.extend(form.rate.hz().to_le_bytes());
    head.extend(0u16.to_le_bytes());
    if form.channels == 1 {
        head.push(0);
    } else {
        // Family 1: so many streams, none of them coupled, each a channel.
        head.extend([1, 2, 0, 0, 1]);
    }
    let mut tags = b"OpusTags".to_vec();
    tags.extend((VENDOR.len() as u32).to_le_bytes());
    tags.extend(VENDOR);
    tags.extend(0u32.to_le_bytes());
    let mut pages = page(Flags::First, 0, 0, &head, 1);
    pages.extend(page(Flags::None, 0, 1, &tags, 1));
    pages
}

/// What a file is, by its start: the rate of what went into the encoder is told there (RFC 7845, section 5.1).
pub(crate) fn form_of(start: &[u8]) -> Option<Form> {
    let head = start.get(PAGE_HEADER + 1..)?;
    let channels = *head.get(9)?;
    let rate = Rate::of_hz(u32::from_le_bytes(*head.get(12..)?.first_chunk()?))?;
    (start.starts_with(b"OggS") && head.starts_with(b"OpusHead") && (1..=2).contains(&channels))
        .then_some(Form::new(u16::from(channels), rate))
}

/// Bytes of [`header`].
pub(crate) const fn header_bytes(form: Form) -> u64 {
    let head = if form.channels == 1 { 19 } else { 23 };
    (2 * (PAGE_HEADER + 1) + head + 16 + VENDOR.len()) as u64
}

/// Bytes of a page with sound.
pub(crate) const fn page_bytes(form: Form) -> u64 {
    (PAGE_HEADER + PACKETS + PACKETS * packet_bytes(form)) as u64
}

/// Samples of one channel in a page.
pub(crate) const fn page_samples(rate: Rate) -> u64 {
    rate.samples(PACKETS * PACKET_MS) as u64
}

/// Shorter than 255 bytes with two channels, too: it has one entry in the table of its page.
const fn packet_bytes(form: Form) -> usize {
    let channels = form.channels as usize;
    (PACKET_HEADER + frame_max(form.rate)) * channels + channels - 1
}

/// The longest frame that fits a packet: 23, 31 or 47 kbit/s.
const fn frame_max(rate: Rate) -> usize {
    match rate {
        Rate::Narrow => 58,
        Rate::Wide => 78,
        Rate::Full => FRAME_MAX,
    }
}

/// Makes a packet of one frame as long as they all are.
fn pad(toc: u8, (frame, room): (&[u8], usize), says_its_length: bool, out: &mut Vec<u8>) {
    let padding = room - frame.len();
    out.push(toc | 3);
    if padding == 0 {
        out.push(1);
    } else {
        out.extend([0x41, padding as u8 - 1]);
    }
    if says_its_length {
        out.push(frame.len() as u8);
    }
    out.extend_from_slice(frame);
    out.extend(std::iter::repeat_n(0, padding.saturating_sub(1)));
}

#[derive(Clone, Copy)]
enum Flags {
    None = 0,
    First = 2,
    Last = 4,
}

/// A page of packets of one size, each shorter than 255 bytes (RFC 3533, section 6).
fn page(flags: Flags, granule: u64, sequence: u32, packets: &[u8], count: usize) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_HEADER + count + packets.len());
    page.extend(b"OggS\0");
    page.push(flags as u8);
    page.extend(granule.to_le_bytes());
    page.extend(SERIAL.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.push(count as u8);
    page.extend(std::iter::repeat_n((packets.len() / count) as u8, count));
    page.extend(packets);
    let crc = crc(&page);
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Of the polynomial 0x04c11db7, from 0, not reflected.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ CRC[usize::from((crc >> 24) as u8 ^ byte)])
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = (n as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};
