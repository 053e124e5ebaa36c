//! How much of one frequency is in a frame (Goertzel's algorithm), and a detector for a lasting tone.

use crate::level;
use std::f32::consts::TAU;

/// Power of one frequency: the mean square that a pure tone of it alone would have, so that the result compares directly to
/// [`level::mean_square`] of the same samples. 0 for an empty frame or a rate of 0.
///
/// The resolution is about `rate_hz / samples.len()` Hz; frequencies are taken as they are, not rounded to a bin.
pub fn tone_power(samples: &[i16], rate_hz: u32, freq_hz: f32) -> f32 {
    if samples.is_empty() || rate_hz == 0 {
        return 0.0;
    }
    let coefficient = 2.0 * f64::from(TAU * freq_hz / rate_hz as f32).cos();
    let (mut s1, mut s2) = (0.0f64, 0.0f64);
    for sample in samples {
        let s0 = f64::from(*sample) + coefficient * s1 - s2;
        (s2, s1) = (s1, s0);
    }
    let squared = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    // |X|^2 of a sine of amplitude A over N samples is (A N / 2)^2, its mean square is A^2 / 2.
    let n = samples.len() as f64;
    (2.0 * squared / (n * n)) as f32
}

/// Says when a single tone is present: it holds most of the power of a block, block after block.
#[derive(Debug, Clone)]
pub struct ToneDetector {
    coefficient: f32,
    block: u32,
    position: u32,
    s1: f32,
    s2: f32,
    total: f32,
    needed: u32,
    matched: u32,
    floor: f32,
    present: bool,
}

impl ToneDetector {
    /// A detector for `freq_hz` that needs `min_ms` of tone, measured in blocks of 20 ms. Rates from 8,000 Hz.
    pub fn new(rate_hz: u32, freq_hz: f32, min_ms: u32) -> Self {
        let rate = rate_hz.max(8_000);
        Self {
            coefficient: 2.0 * (TAU * freq_hz / rate as f32).cos(),
            block: rate / 50,
            position: 0,
            s1: 0.0,
            s2: 0.0,
            total: 0.0,
            needed: min_ms.div_ceil(BLOCK_MS).max(1),
            matched: 0,
            floor: MIN_MEAN_SQUARE,
            present: false,
        }
    }

    /// Takes samples of any number and says whether the tone is present at their end.
    pub fn push(&mut self, samples: &[i16]) -> bool {
        for sample in samples {
            let x = f32::from(*sample);
            let s0 = x + self.coefficient * self.s1 - self.s2;
            (self.s2, self.s1) = (self.s1, s0);
            self.total += x * x;
            self.position += 1;
            if self.position == self.block {
                self.end_block();
            }
        }
        self.present
    }

    /// Whether the tone was present at the end of the last whole block.
    pub fn is_present(&self) -> bool {
        self.present
    }

    fn end_block(&mut self) {
        let n = self.block as f32;
        let squared = self.s1 * self.s1 + self.s2 * self.s2 - self.coefficient * self.s1 * self.s2;
        let (tone, all) = (2.0 * squared / (n * n), self.total / n);
        let matches = all >= self.floor && tone >= all * MIN_SHARE;
        self.matched = if matches { self.matched.saturating_add(1) } else { 0 };
        self.present = self.matched >= self.needed;
        (self.s1, self.s2, self.total, self.position) = (0.0, 0.0, 0.0, 0);
    }
}

/// Level in dBov of one frequency in a frame.
pub fn tone_level_dbov(samples: &[i16], rate_hz: u32, freq_hz: f32) -> f32 {
    level::dbov_of_mean_square(tone_power(samples, rate_hz, freq_hz))
}

const BLOCK_MS: u32 = 20;
/// Share of a block's power that must be in the tone.
const MIN_SHARE: f32 = 0.6;
/// About -45 dBov: below it nothing counts as a tone.
const MIN_MEAN_SQUARE: f32 = 34_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, ToneGenerator};

    fn sine(freq_hz: f32, n: usize) -> Vec<i16> {
        let mut samples = vec![0; n];
        ToneGenerator::new(8_000, &[Tone { freq_hz, level_dbm0: -10.0 }]).fill(&mut samples);
        samples
    }

    #[test]
    fn a_tone_has_its_power_at_its_frequency_and_little_elsewhere() {
        let samples = sine(1_000.0, 800);
        let all = level::mean_square(&samples);
        let at = tone_power(&samples, 8_000, 1_000.0);
        assert!((at / all - 1.0).abs() < 0.01, "{at} of {all}");
        assert!(tone_power(&samples, 8_000, 1_500.0) < all / 1_000.0);
        assert_eq!(tone_power(&[], 8_000, 440.0), 0.0);
        assert_eq!(tone_power(&samples, 0, 440.0), 0.0);
    }

    #[test]
    fn the_detector_wants_its_tone_for_its_time() {
        let mut detector = ToneDetector::new(8_000, 425.0, 60);
        let tone = sine(425.0, 8_000);
        assert!(!detector.push(&tone[..320]));
        assert!(detector.push(&tone[320..480]));
        assert!(!detector.push(&sine(950.0, 320)));
        assert!(!detector.push(&[0; 800]));
    }
}
