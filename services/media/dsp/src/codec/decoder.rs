//! From payloads to linear sound, and something in place of payloads that did not come.

use super::g722::G722Decoder;
use super::gsm::{self, GsmDecoder};
use super::opus::{self, OpusDecode};
use super::{Codec, CodecError, l16};
use crate::plc::Plc;
use crate::{Law, Rate, Resampler, g711};

/// One incoming stream.
pub struct Decoder {
    codec: Codec,
    rate: Rate,
    state: State,
    /// From the native rate of the codec, and room for what it takes.
    resampler: Resampler,
    native: Box<[i16]>,
    native_rate: Rate,
}

enum State {
    G711(Law, Box<Plc>),
    G722(Box<G722Decoder>, Box<Plc>),
    Gsm(Box<GsmDecoder>),
    Opus(Box<opus::Decoder>),
    L16(Box<Plc>),
}

impl Decoder {
    /// A decoder that gives sound at `rate`.
    ///
    /// # Errors
    /// [`CodecError::Library`] when the library behind the codec refuses.
    pub fn new(codec: Codec, rate: Rate) -> Result<Self, CodecError> {
        // Opus gives every rate by itself.
        let native_rate = if codec == Codec::Opus { rate } else { codec.native_rate() };
        let plc = || Box::new(Plc::new(native_rate));
        let state = match codec {
            Codec::G711(law) => State::G711(law, plc()),
            Codec::G722 => State::G722(Box::<G722Decoder>::default(), plc()),
            Codec::Gsm => State::Gsm(Box::<GsmDecoder>::default()),
            Codec::Opus => State::Opus(Box::new(opus::Decoder::new(rate)?)),
            Codec::L16(_) => State::L16(plc()),
        };
        let room = if native_rate == rate { 0 } else { native_rate.samples(opus::PACKET_MS_MAX) };
        Ok(Self {
            codec,
            rate,
            state,
            resampler: Resampler::new(native_rate, rate),
            native: vec![0; room].into_boxed_slice(),
            native_rate,
        })
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The rate it gives.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many samples a payload gives; none for what this codec cannot have made.
    pub fn samples_of(&self, payload: &[u8]) -> Option<usize> {
        let ticks = self.codec.duration(payload)? as usize;
        Some(ticks * (self.rate.hz() / 1_000) as usize / (self.codec.clock_hz() / 1_000) as usize)
    }

    /// Decodes a payload of at most 120 ms and returns how many samples it gave. After a gap the joint is smoothed.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for what no encoder of this codec makes, or does not fit `out`.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.samples_of(payload).ok_or(CodecError::Malformed)?;
        if samples > out.len() || samples > self.rate.samples(opus::PACKET_MS_MAX) {
            return Err(CodecError::Malformed);
        }
        if self.native.is_empty() {
            return self.state.decode(payload, out);
        }
        let made = self.state.decode(payload, &mut self.native)?;
        Ok(self.resampler.process(&self.native[..made], out))
    }

    /// Fills `out` in place of what did not come: whole multiples of [`Self::concealed_ms`], at most 60 ms. `next` is the
    /// packet that follows the gap, when it is there already: Opus may carry a copy of the lost one in it.
    ///
    /// # Errors
    /// [`CodecError::FrameLength`] for another length of `out`, which then is silence.
    pub fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> Result<(), CodecError> {
        let unit = self.rate.samples(self.concealed_ms());
        if out.is_empty() || !out.len().is_multiple_of(unit) || out.len() > self.rate.samples(60) {
            out.fill(0);
            return Err(CodecError::FrameLength { samples: out.len() });
        }
        if self.native.is_empty() {
            return self.state.conceal(next, out);
        }
        let ms = out.len() / self.rate.samples(1);
        let native = &mut self.native[..self.native_rate.samples(ms)];
        self.state.conceal(next, native)?;
        self.resampler.process(native, out);
        Ok(())
    }

    /// The unit in which gaps are concealed, in ms: 20 for GSM, 10 otherwise.
    pub const fn concealed_ms(&self) -> usize {
        match self.codec {
            Codec::Gsm => 20,
            _ => 10,
        }
    }
}

impl State {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        match self {
            Self::G711(law, plc) => {
                let made = g711::decode(*law, payload, out);
                plc.good_frame(&mut out[..made]);
                Ok(made)
            }
            Self::G722(decoder, plc) => {
                let made = decoder.decode(payload, out);
                plc.good_frame(&mut out[..made]);
                Ok(made)
            }
            Self::Gsm(decoder) => {
                let frames = payload.as_chunks::<{ gsm::BYTES }>().0;
                for (bytes, out) in frames.iter().zip(out.as_chunks_mut::<{ gsm::FRAME }>().0) {
                    if !decoder.decode(bytes, out) {
                        decoder.conceal(out);
                    }
                }
                Ok(frames.len() * gsm::FRAME)
            }
            Self::Opus(decoder) => decoder.decode(payload, out),
            Self::L16(plc) => {
                let made = l16::decode(payload, out);
                plc.good_frame(&mut out[..made]);
                Ok(made)
            }
        }
    }

    fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> Result<(), CodecError> {
        match self {
            Self::G711(_, plc) | Self::G722(_, plc) | Self::L16(plc) => plc.conceal(out),
            Self::Gsm(decoder) => {
                out.as_chunks_mut::<{ gsm::FRAME }>().0.iter_mut().for_each(|frame| decoder.conceal(frame));
            }
            Self::Opus(decoder) => decoder.conceal(next, out)?,
        }
        Ok(())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("codec", &self.codec)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}
