//! From linear sound to payloads.

use super::g722::G722Encoder;
use super::gsm::{self, GsmEncoder};
use super::opus::{self, OpusEncode, OpusSettings};
use super::{Codec, CodecError, l16};
use crate::{Law, Rate, Resampler, g711};

/// One outgoing stream.
pub struct Encoder {
    codec: Codec,
    rate: Rate,
    state: State,
    /// To the native rate of the codec, and what it gives.
    resampler: Resampler,
    resampled: Box<[i16]>,
}

enum State {
    G711(Law),
    G722(Box<G722Encoder>),
    Gsm(Box<GsmEncoder>),
    Opus(Box<opus::Encoder>),
    L16,
}

/// Longest packet we make, in ms.
const PACKET_MS_MAX: usize = 60;

impl Encoder {
    /// An encoder that takes sound at `rate`. `opus` is only looked at by Opus.
    ///
    /// # Errors
    /// [`CodecError::Library`] when the library behind the codec refuses.
    pub fn new(codec: Codec, rate: Rate, opus: &OpusSettings) -> Result<Self, CodecError> {
        let state = match codec {
            Codec::G711(law) => State::G711(law),
            Codec::G722 => State::G722(Box::<G722Encoder>::default()),
            Codec::Gsm => State::Gsm(Box::<GsmEncoder>::default()),
            Codec::Opus => State::Opus(Box::new(opus::Encoder::new(rate, opus)?)),
            Codec::L16(_) => State::L16,
        };
        // Opus takes every rate as it is.
        let native = if codec == Codec::Opus { rate } else { codec.native_rate() };
        let resampled = if native == rate { 0 } else { native.samples(PACKET_MS_MAX) };
        Ok(Self {
            codec,
            rate,
            state,
            resampler: Resampler::new(rate, native),
            resampled: vec![0; resampled].into_boxed_slice(),
        })
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The rate it takes.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Encodes one packet and returns its length in bytes. The packet time must be one of [`Codec::packet_time_ms`].
    ///
    /// # Errors
    /// [`CodecError::FrameLength`] for another number of samples, [`CodecError::NoRoom`] when `out` is too short for it,
    /// [`CodecError::Library`] when the library refuses.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let wrong_length = CodecError::FrameLength { samples: samples.len() };
        if samples.is_empty()
            || samples.len() > self.rate.samples(PACKET_MS_MAX)
            || !samples.len().is_multiple_of(self.rate.samples(1))
        {
            return Err(wrong_length);
        }
        let native = if self.resampled.is_empty() {
            samples
        } else {
            let made = self.resampler.process(samples, &mut self.resampled);
            &self.resampled[..made]
        };
        match &mut self.state {
            State::G711(law) => {
                let out = out.get_mut(..native.len()).ok_or(CodecError::NoRoom)?;
                Ok(g711::encode(*law, native, out))
            }
            State::G722(encoder) => {
                let out = out.get_mut(..native.len() / 2).ok_or(CodecError::NoRoom)?;
                Ok(encoder.encode(native, out))
            }
            State::Gsm(encoder) => {
                let (frames, rest) = native.as_chunks::<{ gsm::FRAME }>();
                if !rest.is_empty() {
                    return Err(wrong_length);
                }
                let out = out.get_mut(..frames.len() * gsm::BYTES).ok_or(CodecError::NoRoom)?;
                for (frame, bytes) in frames.iter().zip(out.as_chunks_mut::<{ gsm::BYTES }>().0) {
                    encoder.encode(frame, bytes);
                }
                Ok(out.len())
            }
            State::Opus(encoder) => encoder.encode(native, out),
            State::L16 => {
                let out = out.get_mut(..native.len() * 2).ok_or(CodecError::NoRoom)?;
                Ok(l16::encode(native, out))
            }
        }
    }

    /// Changes bit rate, complexity and expected loss in mid-stream; nothing but Opus listens.
    pub fn adapt(&mut self, settings: &OpusSettings) {
        if let State::Opus(encoder) = &mut self.state {
            encoder.adapt(settings);
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("codec", &self.codec)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}
