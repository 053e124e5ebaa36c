//! Pre-processing and the reflection coefficients of a frame: GSM 06.10, sections 5.2.1 to 5.2.7.

use super::arith::{divide, magnitude, mult, mult_r, norm};
use super::{FRAME, ORDER};

/// Scale of the quantised log-area ratios (table 5.1), and the least and largest code.
const A: [i16; ORDER] = [20_480, 20_480, 20_480, 20_480, 13_964, 15_360, 8_534, 9_036];
pub(super) const B: [i16; ORDER] = [0, 0, 2_048, -2_560, 94, -1_792, -341, -1_144];
pub(super) const MIC: [i16; ORDER] = [-32, -32, -16, -16, -8, -8, -4, -4];
const MAC: [i16; ORDER] = [31, 31, 15, 15, 7, 7, 3, 3];

/// Offset compensation and pre-emphasis.
#[derive(Debug, Clone, Default)]
pub(super) struct Preprocessor {
    z1: i16,
    z2: i32,
    emphasis: i16,
}

impl Preprocessor {
    /// Takes 13-bit samples, left-aligned in 16, and gives what the analysis works on.
    pub(super) fn process(&mut self, samples: &[i16; FRAME]) -> [i16; FRAME] {
        let mut out = [0; FRAME];
        for (sample, out) in samples.iter().zip(&mut out) {
            let scaled = (sample >> 3) << 2;
            let s1 = scaled.wrapping_sub(self.z1);
            self.z1 = scaled;
            let high = (self.z2 >> 15) as i16;
            let low = (self.z2 - (i32::from(high) << 15)) as i16;
            let s2 = (i32::from(s1) << 15) + i32::from(mult_r(low, 32_735));
            self.z2 = (i32::from(high) * 32_735).saturating_add(s2);
            let level = (self.z2.saturating_add(16_384) >> 15) as i16;
            *out = level.saturating_add(mult_r(self.emphasis, -28_180));
            self.emphasis = level;
        }
        out
    }
}

/// The codes of the log-area ratios. The signal loses the bits that the scaling costs, as the Recommendation wants it.
pub(super) fn analyse(signal: &mut [i16; FRAME]) -> [i16; ORDER] {
    let correlation = autocorrelation(signal);
    let reflection = reflection_coefficients(&correlation);
    let mut codes = [0; ORDER];
    for (i, code) in codes.iter_mut().enumerate() {
        let ratio = log_area_ratio(reflection[i]);
        let scaled = mult(A[i], ratio).saturating_add(B[i]).saturating_add(256) >> 9;
        *code = scaled.clamp(MIC[i], MAC[i]) - MIC[i];
    }
    codes
}

fn autocorrelation(signal: &mut [i16; FRAME]) -> [i32; ORDER + 1] {
    let peak = signal.iter().map(|s| magnitude(*s)).max().unwrap_or(0);
    let shift = if peak == 0 { 0 } else { 4 - norm(i32::from(peak) << 16) as i32 };
    if shift > 0 {
        let factor = 16_384 >> (shift - 1);
        for sample in signal.iter_mut() {
            *sample = mult_r(*sample, factor);
        }
    }
    let mut correlation = [0i32; ORDER + 1];
    for (lag, sum) in correlation.iter_mut().enumerate() {
        let products =
            signal[lag..].iter().zip(&signal[..FRAME - lag]).map(|(a, b)| i32::from(*a) * i32::from(*b));
        *sum = products.sum::<i32>() << 1;
    }
    if shift > 0 {
        for sample in signal.iter_mut() {
            *sample <<= shift;
        }
    }
    correlation
}

/// The Schur recursion (section 5.2.5).
fn reflection_coefficients(correlation: &[i32; ORDER + 1]) -> [i16; ORDER] {
    let mut r = [0i16; ORDER];
    if correlation[0] == 0 {
        return r;
    }
    let shift = norm(correlation[0]);
    let mut p = correlation.map(|c| ((c << shift) >> 16) as i16);
    let mut k = p;
    for n in 0..ORDER {
        let first = magnitude(p[1]);
        if p[0] < first {
            return r;
        }
        r[n] = divide(first, p[0]);
        if p[1] > 0 {
            r[n] = -r[n];
        }
        if n == ORDER - 1 {
            return r;
        }
        p[0] = p[0].saturating_add(mult_r(p[1], r[n]));
        for m in 1..ORDER - n {
            let ahead = p[m + 1];
            p[m] = ahead.saturating_add(mult_r(k[m], r[n]));
            k[m] = k[m].saturating_add(mult_r(ahead, r[n]));
        }
    }
    r
}

fn log_area_ratio(r: i16) -> i16 {
    let size = match magnitude(r) {
        size @ ..22_118 => size >> 1,
        size @ 22_118..31_130 => size - 11_059,
        size => (size - 26_112) << 2,
    };
    if r < 0 { -size } else { size }
}
