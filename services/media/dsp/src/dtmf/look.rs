//! What 20 ms of sound hold of the eight frequencies.

use std::f32::consts::TAU;
use std::sync::OnceLock;

use crate::level;

/// Samples of one step: 5 ms.
pub(super) const HOP: usize = 40;
/// Steps that are looked at together: 20 ms.
pub(super) const LOOK: usize = 4;
const GROUP: usize = 4;
const FREQUENCIES: usize = 2 * GROUP;
/// The lower group, then the upper one (ITU-T Q.23).
const HZ: [f32; FREQUENCIES] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];
const RATE_HZ: f32 = 8_000.0;

/// How far off a frequency may be: between what must be taken (1.5 %) and what must be refused (3.5 %).
const TOLERANCE: f32 = 0.025;
/// The share of all power that the two frequencies must have; and to go on, which an interruption of 10 ms leaves.
const SHARE_MIN: f32 = 0.80;
const SHARE_ON_MIN: f32 = 0.35;
/// What the second strongest of a group may have of the strongest.
const SECOND_MAX: f32 = 0.2;
/// Power of the upper frequency over that of the lower one: -10.5 and +6.5 dB.
const TWIST_MIN: f32 = 0.09;
const TWIST_MAX: f32 = 4.5;
/// Mean square of the weaker frequency: -32 dBm0.
const POWER_MIN: f32 = 162_000.0;

#[derive(Debug, Clone, Copy, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    fn turn(angle: f32) -> Self {
        Self { re: angle.cos(), im: angle.sin() }
    }

    fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// One step: each frequency's part in it, from its own beginning on, and the sum of the squares.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hop {
    parts: [Complex; FREQUENCIES],
    energy: f32,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// A digit in full: row times four plus column.
    pub(super) digit: Option<u8>,
    /// The digit that was held is still there, in part at least.
    pub(super) goes_on: bool,
}

/// Cosines and sines of one step.
#[derive(Debug)]
pub(super) struct Tables {
    waves: [[f32; 2 * FREQUENCIES]; HOP],
    /// By how much a frequency turns in one step.
    steps: [Complex; FREQUENCIES],
}

impl Tables {
    pub(super) fn get() -> &'static Self {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(|| {
            let angle = |k: usize, n: usize| TAU * HZ[k] * n as f32 / RATE_HZ;
            let wave = |n: usize| {
                std::array::from_fn(|lane| match lane {
                    0..FREQUENCIES => angle(lane, n).cos(),
                    _ => -angle(lane - FREQUENCIES, n).sin(),
                })
            };
            Self {
                waves: std::array::from_fn(wave),
                steps: std::array::from_fn(|k| Complex::turn(angle(k, HOP))),
            }
        })
    }

    pub(super) fn hop(&self, samples: &[i16; HOP]) -> Hop {
        let energy = level::energy(samples) as f32;
        // Silence has no frequencies.
        if energy < POWER_MIN * HOP as f32 / 4.0 {
            return Hop { energy, ..Hop::default() };
        }
        let mut sums = [0.0f32; 2 * FREQUENCIES];
        for (sample, wave) in samples.iter().zip(&self.waves) {
            let sample = f32::from(*sample);
            for (sum, wave) in sums.iter_mut().zip(wave) {
                *sum += sample * wave;
            }
        }
        let parts = std::array::from_fn(|k| Complex { re: sums[k], im: sums[k + FREQUENCIES] });
        Hop { parts, energy }
    }

    /// Looks at the last steps, newest first; `held` is the digit that is certain.
    pub(super) fn look(&self, hops: &[Hop; LOOK], held: Option<u8>) -> Look {
        let total = hops.iter().map(|hop| hop.energy).sum::<f32>() / (HOP * LOOK) as f32;
        if total < 2.0 * POWER_MIN * SHARE_ON_MIN {
            return Look::default();
        }
        let powers: [f32; FREQUENCIES] = std::array::from_fn(|k| self.power(hops, k, 0.0));
        let goes_on = held.is_some_and(|place| {
            let (row, column) = (usize::from(place) / GROUP, GROUP + usize::from(place) % GROUP);
            self.refined(hops, row).0 + self.refined(hops, column).0 >= SHARE_ON_MIN * total
        });
        Look { digit: self.digit(hops, &powers, total), goes_on }
    }

    fn digit(&self, hops: &[Hop; LOOK], powers: &[f32; FREQUENCIES], total: f32) -> Option<u8> {
        let (row, column) = (strongest(powers, 0)?, strongest(powers, GROUP)?);
        let ((low, low_off), (high, high_off)) = (self.refined(hops, row), self.refined(hops, column));
        let others = |own: usize, power: f32| {
            let group = own / GROUP * GROUP;
            (group..group + GROUP).all(|k| k == own || powers[k] <= SECOND_MAX * power)
        };
        let is_digit = low.min(high) >= POWER_MIN
            && low + high >= SHARE_MIN * total
            && (TWIST_MIN..=TWIST_MAX).contains(&(high / low))
            && low_off.abs() <= TOLERANCE
            && high_off.abs() <= TOLERANCE
            && others(row, low)
            && others(column, high);
        is_digit.then_some((row * GROUP + column - GROUP) as u8)
    }

    /// The mean square of a frequency that is off by `off` radians a step.
    fn power(&self, hops: &[Hop; LOOK], k: usize, off: f32) -> f32 {
        let step = if off == 0.0 { self.steps[k] } else { self.steps[k].times(Complex::turn(off)) };
        // Older steps are turned on to where the newest begins.
        let sum = hops.iter().rev().fold(Complex::default(), |sum, hop| sum.times(step).plus(hop.parts[k]));
        2.0 * sum.power() / ((HOP * LOOK) * (HOP * LOOK)) as f32
    }

    /// The mean square of what is near a frequency, and how far off that is, as a share of the frequency.
    fn refined(&self, hops: &[Hop; LOOK], k: usize) -> (f32, f32) {
        let pairs = hops.windows(2);
        let turned = pairs.fold(Complex::default(), |sum, pair| {
            sum.plus(pair[0].parts[k].times(pair[1].parts[k].conjugate()))
        });
        let off = turned.times(self.steps[k].conjugate());
        let off = off.im.atan2(off.re);
        let expected = TAU * HZ[k] * HOP as f32 / RATE_HZ;
        (self.power(hops, k, off), off / expected)
    }
}

fn strongest(powers: &[f32; FREQUENCIES], group: usize) -> Option<usize> {
    (group..group + GROUP).max_by(|a, b| powers[*a].total_cmp(&powers[*b]))
}
