//! Opus by `opus-rs`.

use super::{BYTES_MAX, OpusDecode, OpusEncode, OpusSettings, PACKET_MS_MAX, is_concealable, is_packet_time};
use crate::Rate;
use crate::codec::CodecError;
use opus_rs::{Application, OpusDecoder, OpusEncoder};

/// The encoder written in Rust.
pub struct PureEncoder {
    inner: Box<OpusEncoder>,
    rate: Rate,
}

impl OpusEncode for PureEncoder {
    fn new(rate: Rate, settings: &OpusSettings) -> Result<Self, CodecError> {
        let inner =
            OpusEncoder::new(rate.hz() as i32, 1, Application::Voip).map_err(|_| CodecError::Library)?;
        let mut encoder = Self { inner: Box::new(inner), rate };
        encoder.adapt(settings);
        Ok(encoder)
    }

    fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        if !is_packet_time(self.rate, samples.len()) {
            return Err(CodecError::FrameLength { samples: samples.len() });
        }
        let room = out.len().min(BYTES_MAX);
        self.inner.encode_i16(samples, samples.len(), &mut out[..room]).map_err(|_| CodecError::Library)
    }

    fn adapt(&mut self, settings: &OpusSettings) {
        let settings = settings.in_range();
        self.inner.bitrate_bps = settings.bitrate_bps as i32;
        self.inner.complexity = i32::from(settings.complexity);
        self.inner.use_inband_fec = settings.fec;
        self.inner.packet_loss_perc = i32::from(settings.loss_percent);
    }
}

/// The decoder written in Rust.
pub struct PureDecoder {
    inner: Box<OpusDecoder>,
    /// It gives floats: the longest packet of them.
    floats: Box<[f32]>,
    rate: Rate,
}

impl OpusDecode for PureDecoder {
    fn new(rate: Rate) -> Result<Self, CodecError> {
        let inner = OpusDecoder::new(rate.hz() as i32, 1).map_err(|_| CodecError::Library)?;
        let floats = vec![0.0; rate.samples(PACKET_MS_MAX)].into_boxed_slice();
        Ok(Self { inner: Box::new(inner), floats, rate })
    }

    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let duration = super::packet_duration(packet).ok_or(CodecError::Malformed)? as usize;
        let samples = duration * self.rate.hz() as usize / 48_000;
        if samples > out.len() {
            return Err(CodecError::Malformed);
        }
        let floats = &mut self.floats[..samples];
        let made = self.inner.decode(packet, samples, floats).map_err(|_| CodecError::Malformed)?;
        Ok(to_linear(&floats[..made.min(samples)], out))
    }

    fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> Result<(), CodecError> {
        if !is_concealable(self.rate, out.len()) {
            return Err(CodecError::FrameLength { samples: out.len() });
        }
        let floats = &mut self.floats[..out.len()];
        let from_next = next.is_some_and(|next| self.inner.decode_fec(next, floats.len(), floats).is_ok());
        if !from_next && self.inner.decode(&[], floats.len(), floats).is_err() {
            floats.fill(0.0);
        }
        to_linear(floats, out);
        Ok(())
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
