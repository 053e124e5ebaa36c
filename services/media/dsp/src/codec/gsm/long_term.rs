//! The long-term predictor, which is the pitch: GSM 06.10, sections 5.2.11, 5.2.12 and 5.3.2.

use super::arith::{magnitude, mult, mult_r, norm};
use super::{LAG_MAX, LAG_MIN, SUBFRAME};

/// Decision levels and values of the quantised gain (table 5.3).
const LEVELS: [i16; 3] = [6_554, 16_384, 26_214];
const GAINS: [i16; 4] = [3_277, 11_469, 21_299, 32_767];

/// The lag (40 to 120 samples) and the code of the gain with which the past predicts `residual` best.
pub(super) fn search(residual: &[i16; SUBFRAME], past: &[i16; LAG_MAX]) -> (u8, u8) {
    let peak = residual.iter().map(|d| magnitude(*d)).max().unwrap_or(0);
    let headroom = if peak == 0 { 0 } else { norm(i32::from(peak) << 16) };
    let scale = 6u32.saturating_sub(headroom);
    let scaled = residual.map(|d| d >> scale);
    let (mut lag, mut best) = (LAG_MIN, 0);
    for candidate in LAG_MIN..=LAG_MAX {
        let window = &past[LAG_MAX - candidate..][..SUBFRAME];
        let products = scaled.iter().zip(window).map(|(a, b)| i32::from(*a) * i32::from(*b));
        let correlation: i32 = products.sum();
        if correlation > best {
            (lag, best) = (candidate, correlation);
        }
    }
    let correlation = (best << 1) >> (6 - scale);
    let window = &past[LAG_MAX - lag..][..SUBFRAME];
    let power = window.iter().map(|s| i32::from(s >> 3) * i32::from(s >> 3)).sum::<i32>() << 1;
    (lag as u8, gain_code(correlation, power))
}

fn gain_code(correlation: i32, power: i32) -> u8 {
    if correlation <= 0 {
        return 0;
    }
    if correlation >= power {
        return 3;
    }
    let shift = norm(power);
    let (r, s) = (((correlation << shift) >> 16) as i16, ((power << shift) >> 16) as i16);
    LEVELS.iter().position(|level| r <= mult(s, *level)).unwrap_or(3) as u8
}

/// What the past predicts for a subframe.
pub(super) fn predict(past: &[i16; LAG_MAX], lag: usize, gain_code: u8) -> [i16; SUBFRAME] {
    let gain = GAINS[usize::from(gain_code & 3)];
    let mut predicted = [0; SUBFRAME];
    for (out, before) in predicted.iter_mut().zip(&past[LAG_MAX - lag..]) {
        *out = mult_r(gain, *before);
    }
    predicted
}

/// Moves the past on by a subframe.
pub(super) fn remember(past: &mut [i16; LAG_MAX], newest: &[i16; SUBFRAME]) {
    past.copy_within(SUBFRAME.., 0);
    past[LAG_MAX - SUBFRAME..].copy_from_slice(newest);
}
