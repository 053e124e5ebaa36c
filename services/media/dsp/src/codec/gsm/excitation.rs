//! The regular-pulse excitation: GSM 06.10, sections 5.2.13 to 5.2.17 and 5.3.1.

use super::arith::{magnitude, mult, mult_r};
use super::frame::Pulses;
use super::{PULSES, SUBFRAME};

/// Impulse response of the weighting filter, half of its taps on each side (table 5.4).
const WEIGHTS: [i16; 11] = [-134, -374, 0, 2_054, 5_741, 8_192, 5_741, 2_054, 0, -374, -134];
const INVERSE_MANTISSA: [i16; 8] = [29_128, 26_215, 23_832, 21_846, 20_165, 18_725, 17_476, 16_384];
const MANTISSA: [i16; 8] = [18_431, 20_479, 22_527, 24_575, 26_623, 28_671, 30_719, 32_767];

/// The grid of pulses that stands best for `error`.
pub(super) fn encode(error: &[i16; SUBFRAME]) -> Pulses {
    let weighted = weigh(error);
    let grid = choose_grid(&weighted);
    let mut chosen = [0i16; PULSES];
    for (i, pulse) in chosen.iter_mut().enumerate() {
        *pulse = weighted[grid + 3 * i];
    }
    let peak = chosen.iter().map(|x| magnitude(*x)).max().unwrap_or(0);
    let exponent = 6u32.min(16 - ((peak >> 9) as u16).leading_zeros()) as i16;
    let block_maximum = (peak >> (exponent + 5)) + (exponent << 3);
    let (exponent, mantissa) = split(block_maximum);
    let mut codes = [0u8; PULSES];
    for (code, pulse) in codes.iter_mut().zip(&chosen) {
        let scaled = ((i32::from(*pulse)) << (6 - exponent)) as i16;
        *code = ((mult(scaled, INVERSE_MANTISSA[mantissa]) >> 12) + 4) as u8 & 7;
    }
    Pulses { grid: grid as u8, block_maximum: block_maximum as u8, codes }
}

/// The excitation that pulses stand for.
pub(super) fn decode(pulses: &Pulses) -> [i16; SUBFRAME] {
    let (exponent, mantissa) = split(i16::from(pulses.block_maximum));
    let shift = 6 - exponent;
    let rounding = if shift > 0 { 1i16 << (shift - 1) } else { 0 };
    let mut out = [0; SUBFRAME];
    for (i, code) in pulses.codes.iter().enumerate() {
        let level = ((i16::from(*code) << 1) - 7) << 12;
        let value = mult_r(MANTISSA[mantissa], level).saturating_add(rounding) >> shift;
        out[usize::from(pulses.grid) + 3 * i] = value;
    }
    out
}

fn weigh(error: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    let mut padded = [0i16; SUBFRAME + 10];
    padded[5..5 + SUBFRAME].copy_from_slice(error);
    let mut weighted = [0; SUBFRAME];
    for (k, out) in weighted.iter_mut().enumerate() {
        let taps = padded[k..].iter().zip(&WEIGHTS);
        let sum: i32 = taps.map(|(e, h)| i32::from(*e) * i32::from(*h)).sum();
        *out = ((sum + 4_096) >> 13).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
    weighted
}

/// Which of the four grids holds most energy; the first of equals.
fn choose_grid(weighted: &[i16; SUBFRAME]) -> usize {
    let energy = |grid: usize| -> i32 {
        (0..PULSES).map(|i| i32::from(weighted[grid + 3 * i] >> 2)).map(|x| x * x).sum()
    };
    let (mut chosen, mut most) = (0, 0);
    for grid in 0..4 {
        let energy = energy(grid);
        if energy > most {
            (chosen, most) = (grid, energy);
        }
    }
    chosen
}

/// Exponent (-4 to 6) and mantissa (0 to 7) of a coded block maximum.
fn split(block_maximum: i16) -> (i16, usize) {
    let mut exponent = if block_maximum > 15 { (block_maximum >> 3) - 1 } else { 0 };
    let mut mantissa = block_maximum - (exponent << 3);
    if mantissa == 0 {
        return (-4, 7);
    }
    while mantissa <= 7 {
        mantissa = mantissa << 1 | 1;
        exponent -= 1;
    }
    (exponent, (mantissa - 8) as usize)
}
