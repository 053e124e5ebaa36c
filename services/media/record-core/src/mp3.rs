//! MPEG layer III by LAME: constant bit rate, so that every frame has one size and a cut file is a whole number of them.

use std::fmt;

use mp3lame_encoder::{
    Bitrate, Builder, FlushNoGap, InterleavedPcm, Mode, MonoPcm, Quality, max_required_buffer_size,
};

use crate::Form;
use crate::container::EncodeError;
use sidetone_dsp::Rate;

/// One stream of frames.
pub(crate) struct Mp3Writer {
    encoder: mp3lame_encoder::Encoder,
    form: Form,
}

/// Samples of all channels encoded at once.
const PIECE: usize = 16_384;

impl fmt::Debug for Mp3Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mp3Writer").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Mp3Writer {
    pub(crate) fn new(form: Form) -> Result<Self, EncodeError> {
        // Sides of a stereo file are two people: nothing is shared between them.
        let mode = if form.channels == 1 { Mode::Mono } else { Mode::Stereo };
        let rate = match (form.rate, form.channels) {
            (Rate::Narrow, 1) => Bitrate::Kbps32,
            (Rate::Wide, 1) => Bitrate::Kbps48,
            (Rate::Full, 1) | (Rate::Narrow, _) => Bitrate::Kbps64,
            (Rate::Wide, _) => Bitrate::Kbps96,
            (Rate::Full, _) => Bitrate::Kbps128,
        };
        let hz = form.rate.hz();
        let encoder = Builder::new()
            .ok_or(EncodeError::Encoder)?
            .with_num_channels(form.channels as u8)
            .and_then(|b| b.with_sample_rate(hz))
            .and_then(|b| b.with_output_sample_rate(std::num::NonZeroU32::new(hz)))
            .and_then(|b| b.with_brate(rate))
            .and_then(|b| b.with_mode(mode))
            .and_then(|b| b.with_quality(Quality::Good))
            .and_then(|b| b.with_to_write_vbr_tag(false))
            .and_then(|b| b.build())
            .map_err(|_| EncodeError::Encoder)?;
        Ok(Self { encoder, form })
    }

    pub(crate) fn write(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for piece in samples.chunks(PIECE) {
            out.reserve(max_required_buffer_size(piece.len()));
            let written = if self.form.channels == 1 {
                self.encoder.encode_to_vec(MonoPcm(piece), out)
            } else {
                self.encoder.encode_to_vec(InterleavedPcm(piece), out)
            };
            written.map_err(|_| EncodeError::Encoder)?;
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.reserve(max_required_buffer_size(0));
        self.encoder.flush_to_vec::<FlushNoGap>(out).map(drop).map_err(|_| EncodeError::Encoder)
    }
}
