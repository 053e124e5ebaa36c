//! GSM 06.10 full rate (ETSI EN 300 961): 160 samples at 8 kHz in 33 bytes, 13 kbit/s.
//!
//! The Recommendation defines every bit of encoder and decoder, so the tests compare bytes with another implementation. The
//! signal is cut into a short-term filter (eight log-area ratios a frame), a pitch predictor and a grid of thirteen pulses
//! for each 5 ms. Lost frames are concealed as in GSM 06.11: the last parameters again, fading away in 320 ms.

mod arith;
mod excitation;
mod frame;
mod long_term;
mod lpc;
mod short_term;

#[cfg(test)]
mod tests;

use arith::mult_r;
use frame::{Frame, Subframe};

/// Samples of a frame: 20 ms.
pub const FRAME: usize = 160;
/// Bytes of a frame in RTP.
pub const BYTES: usize = 33;

const ORDER: usize = 8;
const SUBFRAMES: usize = 4;
const SUBFRAME: usize = 40;
const PULSES: usize = 13;
const LAG_MIN: usize = 40;
const LAG_MAX: usize = 120;
/// What a coded block maximum loses with each lost frame after the first (GSM 06.11, section 3).
const MUTING_STEP: u8 = 4;
/// Lost frames after which there is silence.
const LOST_MAX: u32 = 16;

/// The encoder's memory.
#[derive(Debug, Clone)]
pub struct GsmEncoder {
    preprocessor: lpc::Preprocessor,
    analysis: short_term::Analysis,
    past: [i16; LAG_MAX],
}

impl GsmEncoder {
    /// The home state.
    pub fn new() -> Self {
        Self {
            preprocessor: lpc::Preprocessor::default(),
            analysis: short_term::Analysis::default(),
            past: [0; LAG_MAX],
        }
    }

    /// Encodes 20 ms. The three lowest bits of the samples do not count.
    pub fn encode(&mut self, samples: &[i16; FRAME], out: &mut [u8; BYTES]) {
        let mut signal = self.preprocessor.process(samples);
        let mut frame = Frame { ratios: lpc::analyse(&mut signal), ..Frame::default() };
        self.analysis.filter(&frame.ratios, &mut signal);
        let (blocks, _) = signal.as_chunks::<SUBFRAME>();
        for (residual, subframe) in blocks.iter().zip(&mut frame.subframes) {
            let (lag, gain) = long_term::search(residual, &self.past);
            let predicted = long_term::predict(&self.past, usize::from(lag), gain);
            let mut error = [0; SUBFRAME];
            for ((error, residual), predicted) in error.iter_mut().zip(residual).zip(&predicted) {
                *error = residual.saturating_sub(*predicted);
            }
            let pulses = excitation::encode(&error);
            long_term::remember(&mut self.past, &sum(&excitation::decode(&pulses), &predicted));
            *subframe = Subframe { lag, gain, pulses };
        }
        frame.pack(out);
    }
}

impl Default for GsmEncoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The decoder's memory.
#[derive(Debug, Clone)]
pub struct GsmDecoder {
    synthesis: short_term::Synthesis,
    past: [i16; LAG_MAX],
    lag: usize,
    emphasis: i16,
    last: Option<Frame>,
    lost: u32,
}

impl GsmDecoder {
    /// The home state.
    pub fn new() -> Self {
        Self {
            synthesis: short_term::Synthesis::default(),
            past: [0; LAG_MAX],
            lag: LAG_MIN,
            emphasis: 0,
            last: None,
            lost: 0,
        }
    }

    /// Decodes 20 ms. False, and nothing changed, when the bytes are no frame.
    pub fn decode(&mut self, bytes: &[u8; BYTES], out: &mut [i16; FRAME]) -> bool {
        let Some(frame) = Frame::unpack(bytes) else { return false };
        self.synthesise(&frame, out);
        self.last = Some(frame);
        self.lost = 0;
        true
    }

    /// 20 ms in place of a frame that was lost.
    pub fn conceal(&mut self, out: &mut [i16; FRAME]) {
        let Some(mut frame) = self.last.filter(|_| self.lost < LOST_MAX) else {
            self.last = None;
            out.fill(0);
            return;
        };
        if self.lost > 0 {
            for subframe in &mut frame.subframes {
                subframe.pulses.block_maximum = subframe.pulses.block_maximum.saturating_sub(MUTING_STEP);
            }
        }
        self.lost += 1;
        self.synthesise(&frame, out);
        self.last = Some(frame);
    }

    fn synthesise(&mut self, frame: &Frame, out: &mut [i16; FRAME]) {
        let (blocks, _) = out.as_chunks_mut::<SUBFRAME>();
        for (subframe, block) in frame.subframes.iter().zip(blocks) {
            let lag = usize::from(subframe.lag);
            if (LAG_MIN..=LAG_MAX).contains(&lag) {
                self.lag = lag;
            }
            let predicted = long_term::predict(&self.past, self.lag, subframe.gain);
            *block = sum(&excitation::decode(&subframe.pulses), &predicted);
            long_term::remember(&mut self.past, block);
        }
        self.synthesis.filter(&frame.ratios, out);
        for sample in out {
            self.emphasis = sample.saturating_add(mult_r(self.emphasis, 28_180));
            *sample = self.emphasis.saturating_add(self.emphasis) & !7;
        }
    }
}

impl Default for GsmDecoder {
    fn default() -> Self {
        Self::new()
    }
}

fn sum(a: &[i16; SUBFRAME], b: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    let mut out = [0; SUBFRAME];
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a.saturating_add(*b);
    }
    out
}
