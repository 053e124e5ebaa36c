//! The short-term filters and the coefficients that glide from frame to frame: GSM 06.10, sections 5.2.8 to 5.2.10 and 5.3.4.

use super::arith::{magnitude, mult_r};
use super::lpc::{B, MIC};
use super::{FRAME, ORDER};

const INVERSE_A: [i16; ORDER] = [13_107, 13_107, 13_107, 13_107, 19_223, 17_476, 31_454, 29_708];
/// Where the four zones of interpolation begin and end, in samples of the frame.
const ZONES: [(usize, usize); 4] = [(0, 13), (13, 27), (27, 40), (40, FRAME)];

/// Log-area ratios of this frame and the one before.
#[derive(Debug, Clone, Default)]
pub(super) struct Glide {
    before: [i16; ORDER],
}

impl Glide {
    /// For each zone of the frame its reflection coefficients.
    fn over(&mut self, codes: &[i16; ORDER]) -> [[i16; ORDER]; 4] {
        let now = decode_ratios(codes);
        let mut zones = [[0; ORDER]; 4];
        for (i, (&old, &new)) in self.before.iter().zip(&now).enumerate() {
            zones[0][i] = reflection((old >> 2).saturating_add(new >> 2).saturating_add(old >> 1));
            zones[1][i] = reflection((old >> 1).saturating_add(new >> 1));
            zones[2][i] = reflection((old >> 2).saturating_add(new >> 2).saturating_add(new >> 1));
            zones[3][i] = reflection(new);
        }
        self.before = now;
        zones
    }
}

fn decode_ratios(codes: &[i16; ORDER]) -> [i16; ORDER] {
    let mut ratios = [0; ORDER];
    for (i, ratio) in ratios.iter_mut().enumerate() {
        let centred = (codes[i].saturating_add(MIC[i]) << 10).saturating_sub(B[i] << 1);
        let half = mult_r(INVERSE_A[i], centred);
        *ratio = half.saturating_add(half);
    }
    ratios
}

fn reflection(ratio: i16) -> i16 {
    let size = match magnitude(ratio) {
        size @ ..11_059 => size << 1,
        size @ 11_059..20_070 => size + 11_059,
        size => (size >> 2).saturating_add(26_112),
    };
    if ratio < 0 { -size } else { size }
}

/// The lattice that takes the short-term prediction out of the signal.
#[derive(Debug, Clone, Default)]
pub(super) struct Analysis {
    glide: Glide,
    u: [i16; ORDER],
}

impl Analysis {
    pub(super) fn filter(&mut self, codes: &[i16; ORDER], signal: &mut [i16; FRAME]) {
        let zones = self.glide.over(codes);
        for ((from, to), r) in ZONES.into_iter().zip(&zones) {
            for sample in &mut signal[from..to] {
                let (mut forward, mut saved) = (*sample, *sample);
                for (u, r) in self.u.iter_mut().zip(r) {
                    let before = *u;
                    *u = saved;
                    saved = before.saturating_add(mult_r(*r, forward));
                    forward = forward.saturating_add(mult_r(*r, before));
                }
                *sample = forward;
            }
        }
    }
}

/// The inverse lattice.
#[derive(Debug, Clone, Default)]
pub(super) struct Synthesis {
    glide: Glide,
    v: [i16; ORDER + 1],
}

impl Synthesis {
    pub(super) fn filter(&mut self, codes: &[i16; ORDER], residual: &mut [i16; FRAME]) {
        let zones = self.glide.over(codes);
        for ((from, to), r) in ZONES.into_iter().zip(&zones) {
            for sample in &mut residual[from..to] {
                let mut value = *sample;
                for i in (0..ORDER).rev() {
                    value = value.saturating_sub(mult_r(r[i], self.v[i]));
                    self.v[i + 1] = self.v[i].saturating_add(mult_r(r[i], value));
                }
                self.v[0] = value;
                *sample = value;
            }
        }
    }
}
