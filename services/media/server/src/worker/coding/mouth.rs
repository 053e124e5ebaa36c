//! From linear frames to packets of one codec.

use sidetone_dsp::codec::{Codec, CodecError, Encoder, OpusSettings};
use sidetone_dsp::{Rate, Resampler};

use crate::prompts::Form;

/// The longest payload that we make: what fits a datagram of an Ethernet.
pub(crate) const CODED_MAX: usize = 1_280;
/// A packet of 60 ms and one more frame, in ms.
const WAITING_MS: usize = 80;
const FRAME_MS: usize = 20;

/// Sound on its way out.
#[derive(Debug)]
pub(crate) struct Mouth {
    encoder: Encoder,
    opus: OpusSettings,
    /// What is at 8 kHz, as prompts and digits are, comes to the rate of the leg here.
    raise: Resampler,
    /// Sound that waits for a full packet.
    waiting: Box<[i16]>,
    length: usize,
    coded: Box<[u8; CODED_MAX]>,
    /// The packet time that it was made for. An encoder of Opus is not asked for another: `opus-rs` 0.1.40 panics at a change.
    ptime_ms: u8,
    /// The first byte of the last packet of Opus, with one frame in it (RFC 6716, section 3.1).
    toc: Option<u8>,
}

impl Mouth {
    pub(crate) fn new(
        codec: Codec,
        rate: Rate,
        opus: &OpusSettings,
        ptime_ms: u8,
    ) -> Result<Self, CodecError> {
        Ok(Self {
            encoder: Encoder::new(codec, rate, opus)?,
            opus: *opus,
            raise: Resampler::new(Rate::Narrow, rate),
            waiting: vec![0; rate.samples(WAITING_MS)].into_boxed_slice(),
            length: 0,
            coded: Box::new([0; CODED_MAX]),
            ptime_ms,
            toc: None,
        })
    }

    pub(crate) fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// In which form a prompt's packets can go instead of its own; none where that spares nothing.
    pub(crate) fn form(&self) -> Option<Form> {
        Form::new(self.codec(), self.encoder.rate(), self.opus)
    }

    /// Takes a frame of 20 ms at the leg's own rate or at 8 kHz; what is at another rate is left out.
    pub(crate) fn hear(&mut self, rate: Rate, frame: &[i16]) {
        let own = self.encoder.rate();
        if self.length + own.samples(FRAME_MS) > self.waiting.len() {
            self.length = 0;
        }
        let room = &mut self.waiting[self.length..];
        if rate == own {
            room[..frame.len()].copy_from_slice(frame);
            self.length += frame.len();
        } else if rate == Rate::Narrow {
            self.length += self.raise.process(frame, room);
        }
    }

    /// The next packet of `ptime_ms`, if there is sound enough; what the codec refuses is left out.
    pub(crate) fn packet(&mut self, ptime_ms: u8) -> Option<&[u8]> {
        let size = self.encoder.rate().samples(usize::from(ptime_ms));
        if size == 0 || self.length < size || self.codec() == Codec::Opus && ptime_ms != self.ptime_ms {
            return None;
        }
        let made = self.encoder.encode(&self.waiting[..size], &mut self.coded[..]);
        self.waiting.copy_within(size..self.length, 0);
        self.length -= size;
        let length = made.ok()?;
        self.note_toc(self.coded[..length].first().copied());
        Some(&self.coded[..length])
    }

    /// Takes note of the first byte of a packet that goes out, whoever encoded it.
    pub(crate) fn note_toc(&mut self, first: Option<u8>) {
        if self.codec() == Codec::Opus {
            self.toc = first.map(|first| first & !3).or(self.toc);
        }
    }

    /// The one byte of a packet that says that nothing follows; none before the first packet, and of other codecs.
    pub(crate) fn toc(&self) -> Option<u8> {
        self.toc
    }

    /// Drops what waits for a full packet; its length in ms.
    pub(crate) fn drop_waiting_ms(&mut self) -> u32 {
        (std::mem::take(&mut self.length) / self.encoder.rate().samples(1)) as u32
    }

    /// Changes bit rate and expected loss in mid-stream.
    pub(crate) fn adapt(&mut self, opus: &OpusSettings) {
        self.encoder.adapt(opus);
        self.opus = *opus;
    }

    /// Whether nothing waits, so that a packet that others made can go instead.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets what waits for a full packet.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }
}
