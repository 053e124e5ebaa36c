//! The filters: windowed sinc, cut into phases, in fixed point.

use super::dot::BLOCK;
use crate::Rate;
use std::f64::consts::PI;
use std::sync::OnceLock;

/// Taps are fractions of 2^14: with sums of magnitudes below 3.9 no sum of 16-bit products leaves 32 bits.
pub(super) const FRACTION_BITS: u32 = 14;
/// Shape of the Kaiser window: about 62 dB of stop band.
const BETA: f64 = 5.8;

/// The filter between two rates in one direction.
#[derive(Debug)]
pub(super) struct Filter {
    /// Taps in the order of the samples they meet, oldest first, padded at the front to whole blocks.
    phases: Box<[Box<[i16]>]>,
    length: usize,
    high: Rate,
}

impl Filter {
    /// Samples that one output takes in.
    pub(super) fn taps(&self) -> usize {
        self.phases[0].len()
    }

    /// One set of taps per output that a single input gives; a single one when the rate is lowered.
    pub(super) fn phases(&self) -> &[Box<[i16]>] {
        &self.phases
    }

    /// Length of the whole response in samples of [`Self::high`].
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The higher of the two rates.
    pub(super) fn high(&self) -> Rate {
        self.high
    }
}

/// The filter for a change of rate, made at its first use; none between equal rates.
pub(super) fn between(from: Rate, to: Rate) -> Option<&'static Filter> {
    static FILTERS: [[OnceLock<Filter>; 3]; 3] = [const { [const { OnceLock::new() }; 3] }; 3];
    (from != to).then(|| FILTERS[from as usize][to as usize].get_or_init(|| make(from, to)))
}

fn make(from: Rate, to: Rate) -> Filter {
    let (low, high) = (from.min(to), from.max(to));
    let ratio = (high.hz() / low.hz()) as usize;
    // Half a length in samples of the lower rate, and the middle of the transition.
    let (half, cutoff_hz) = match low {
        Rate::Narrow => (24, 3_800.0),
        _ => (36, 7_500.0),
    };
    let length = 2 * half * ratio;
    let response = low_pass(length, cutoff_hz / f64::from(high.hz()));
    let phases = if to > from {
        (0..ratio).map(|phase| quantise(response.iter().skip(phase).step_by(ratio))).collect()
    } else {
        [quantise(response.iter())].into()
    };
    Filter { phases, length, high }
}

/// A symmetric response with `cutoff` as a fraction of the sample rate.
fn low_pass(length: usize, cutoff: f64) -> Vec<f64> {
    let centre = length as f64 / 2.0;
    (0..length)
        .map(|n| {
            let t = n as f64 - centre;
            let sinc = if t == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * t).sin() / (PI * t) };
            sinc * bessel(BETA * (1.0 - (t / centre).powi(2)).max(0.0).sqrt()) / bessel(BETA)
        })
        .collect()
}

/// The modified Bessel function of order 0.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Fixed point with a gain of exactly one, reversed so that the oldest sample meets the last tap of the response.
fn quantise<'a>(response: impl Iterator<Item = &'a f64>) -> Box<[i16]> {
    let taps: Vec<f64> = response.copied().collect();
    let one = f64::from(1u32 << FRACTION_BITS);
    let gain: f64 = taps.iter().sum();
    let mut fixed: Vec<i16> = taps.iter().rev().map(|tap| (tap / gain * one).round() as i16).collect();
    let rest = (1i32 << FRACTION_BITS) - fixed.iter().map(|tap| i32::from(*tap)).sum::<i32>();
    let largest = (0..fixed.len()).max_by_key(|n| fixed[*n].unsigned_abs()).unwrap_or(0);
    fixed[largest] += rest as i16;
    let mut padded = vec![0; fixed.len().next_multiple_of(BLOCK) - fixed.len()];
    padded.extend(fixed);
    padded.into_boxed_slice()
}
