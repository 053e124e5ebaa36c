//! Opus by `opus-rs`.
//!
//! The library is young, and was seen to panic (0.1.40: at a change of the packet time from 60 to 20 ms, and see
//! [`LOSS_PERCENT_MAX_FULL`]). What it is asked for keeps to what is known to work; should it panic all the same, that costs
//! a packet, and what the library knew of the stream, but not the thread of many calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{BYTES_MAX, OpusDecode, OpusEncode, OpusSettings, PACKET_MS_MAX, is_concealable, is_packet_time};
use crate::Rate;
use crate::codec::CodecError;
use opus_rs::{Application, OpusDecoder, OpusEncoder};

/// At 48 kHz, from 10 % on, error correction makes `opus-rs` 0.1.40 divide by zero at 14 to 26 kbit/s: it narrows the band
/// of a hybrid frame below where its upper layer begins.
const LOSS_PERCENT_MAX_FULL: u8 = 5;

/// The encoder written in Rust.
pub struct PureEncoder {
    inner: Box<OpusEncoder>,
    rate: Rate,
    settings: OpusSettings,
}

/// Runs what a library does to `state`; should it panic, the state is made anew, which allocates, and the call has failed.
pub(super) fn guarded<S, T>(
    state: &mut S,
    run: impl FnOnce(&mut S) -> Result<T, CodecError>,
    renew: impl FnOnce(&mut S),
) -> Result<T, CodecError> {
    // What was left half done is not looked at again.
    catch_unwind(AssertUnwindSafe(|| run(state))).unwrap_or_else(|_| {
        renew(state);
        Err(CodecError::Library)
    })
}

impl PureEncoder {
    fn make(rate: Rate) -> Result<OpusEncoder, CodecError> {
        OpusEncoder::new(rate.hz() as i32, 1, Application::Voip).map_err(|_| CodecError::Library)
    }

    fn renew(&mut self) {
        if let Ok(inner) = Self::make(self.rate) {
            *self.inner = inner;
            self.adapt(&self.settings.clone());
        }
    }
}

impl OpusEncode for PureEncoder {
    fn new(rate: Rate, settings: &OpusSettings) -> Result<Self, CodecError> {
        let mut encoder = Self { inner: Box::new(Self::make(rate)?), rate, settings: *settings };
        encoder.adapt(settings);
        Ok(encoder)
    }

    fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        if !is_packet_time(self.rate, samples.len()) {
            return Err(CodecError::FrameLength { samples: samples.len() });
        }
        let room = out.len().min(BYTES_MAX);
        let encode = |encoder: &mut Self| {
            let inner = &mut encoder.inner;
            inner.encode_i16(samples, samples.len(), &mut out[..room]).map_err(|_| CodecError::Library)
        };
        guarded(self, encode, Self::renew)
    }

    fn adapt(&mut self, settings: &OpusSettings) {
        let settings = settings.in_range();
        self.settings = settings;
        let loss_max = if self.rate == Rate::Full { LOSS_PERCENT_MAX_FULL } else { 100 };
        self.inner.bitrate_bps = settings.bitrate_bps as i32;
        self.inner.complexity = i32::from(settings.complexity);
        self.inner.use_inband_fec = settings.fec;
        self.inner.packet_loss_perc = i32::from(settings.loss_percent.min(loss_max));
    }
}

/// The decoder written in Rust.
pub struct PureDecoder {
    inner: Box<OpusDecoder>,
    /// It gives floats: the longest packet of them.
    floats: Box<[f32]>,
    rate: Rate,
}

impl PureDecoder {
    fn make(rate: Rate) -> Result<OpusDecoder, CodecError> {
        OpusDecoder::new(rate.hz() as i32, 1).map_err(|_| CodecError::Library)
    }

    fn renew(&mut self) {
        if let Ok(inner) = Self::make(self.rate) {
            *self.inner = inner;
        }
    }
}

impl OpusDecode for PureDecoder {
    fn new(rate: Rate) -> Result<Self, CodecError> {
        let inner = Self::make(rate)?;
        let floats = vec![0.0; rate.samples(PACKET_MS_MAX)].into_boxed_slice();
        Ok(Self { inner: Box::new(inner), floats, rate })
    }

    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let duration = super::packet_duration(packet).ok_or(CodecError::Malformed)? as usize;
        let samples = duration * self.rate.hz() as usize / 48_000;
        if samples > out.len() {
            return Err(CodecError::Malformed);
        }
        let decode = |decoder: &mut Self| {
            let floats = &mut decoder.floats[..samples];
            let made = decoder.inner.decode(packet, samples, floats).map_err(|_| CodecError::Malformed)?;
            Ok(to_linear(&floats[..made.min(samples)], out))
        };
        guarded(self, decode, Self::renew)
    }

    fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> Result<(), CodecError> {
        if !is_concealable(self.rate, out.len()) {
            return Err(CodecError::FrameLength { samples: out.len() });
        }
        let conceal = |decoder: &mut Self| {
            let (inner, floats) = (&mut decoder.inner, &mut decoder.floats[..out.len()]);
            let from_next = next.is_some_and(|next| inner.decode_fec(next, floats.len(), floats).is_ok());
            if !from_next && inner.decode(&[], floats.len(), floats).is_err() {
                floats.fill(0.0);
            }
            to_linear(floats, out);
            Ok(())
        };
        guarded(self, conceal, Self::renew)
    }
}

/// Returns how many samples were converted. A float cast saturates.
fn to_linear(floats: &[f32], out: &mut [i16]) -> usize {
    for (out, value) in out.iter_mut().zip(floats) {
        *out = (value * 32_768.0).round_ties_even() as i16;
    }
    floats.len().min(out.len())
}

impl std::fmt::Debug for PureEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PureEncoder").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PureDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PureDecoder").field("rate", &self.rate).finish_non_exhaustive()
    }
}
