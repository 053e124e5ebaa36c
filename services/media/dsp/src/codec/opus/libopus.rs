//! Opus by libopus.

use super::{BYTES_MAX, OpusDecode, OpusEncode, OpusSettings, is_concealable, is_packet_time};
use crate::Rate;
use crate::codec::CodecError;
use opus::{Application, Bitrate, Channels};

/// libopus' encoder.
#[derive(Debug)]
pub struct LibopusEncoder {
    inner: opus::Encoder,
    rate: Rate,
}

impl OpusEncode for LibopusEncoder {
    fn new(rate: Rate, settings: &OpusSettings) -> Result<Self, CodecError> {
        let inner = opus::Encoder::new(rate.hz(), Channels::Mono, Application::Voip)
            .map_err(|_| CodecError::Library)?;
        let mut encoder = Self { inner, rate };
        encoder.adapt(settings);
        Ok(encoder)
    }

    fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        if !is_packet_time(self.rate, samples.len()) {
            return Err(CodecError::FrameLength { samples: samples.len() });
        }
        let room = out.len().min(BYTES_MAX);
        self.inner.encode(samples, &mut out[..room]).map_err(|_| CodecError::Library)
    }

    fn adapt(&mut self, settings: &OpusSettings) {
        let settings = settings.in_range();
        // The values are in range, and what an encoder does not take it leaves as it was.
        let _ = self.inner.set_bitrate(Bitrate::Bits(settings.bitrate_bps as i32));
        let _ = self.inner.set_complexity(i32::from(settings.complexity));
        let _ = self.inner.set_inband_fec(settings.fec);
        let _ = self.inner.set_packet_loss_perc(i32::from(settings.loss_percent));
    }
}

/// libopus' decoder.
#[derive(Debug)]
pub struct LibopusDecoder {
    inner: opus::Decoder,
    rate: Rate,
}

impl OpusDecode for LibopusDecoder {
    fn new(rate: Rate) -> Result<Self, CodecError> {
        let inner = opus::Decoder::new(rate.hz(), Channels::Mono).map_err(|_| CodecError::Library)?;
        Ok(Self { inner, rate })
    }

    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        // An empty packet would be concealment.
        super::packet_duration(packet).ok_or(CodecError::Malformed)?;
        self.inner.decode(packet, out, false).map_err(|_| CodecError::Malformed)
    }

    fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> Result<(), CodecError> {
        if !is_concealable(self.rate, out.len()) {
            return Err(CodecError::FrameLength { samples: out.len() });
        }
        let from_next = next.is_some_and(|next| self.inner.decode(next, out, true).is_ok());
        if !from_next && self.inner.decode(&[], out, false).is_err() {
            out.fill(0);
        }
        Ok(())
    }
}
