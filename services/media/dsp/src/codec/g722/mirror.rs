//! The quadrature mirror filters that split the band and join it (clauses 3.1 and 4.4).

use super::band::saturate;
use super::tables::MIRROR;

/// A line of 24 samples through which pairs move.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    /// First and second samples of the pairs apart, oldest first, twice as long as needed so that they are moved rarely.
    first: [i32; LINE],
    second: [i32; LINE],
    /// Where the window of 12 pairs begins.
    at: usize,
}

const TAPS: usize = MIRROR.len();
/// Pairs in the line: moved to its start every 52 pairs.
const LINE: usize = 64;

impl Mirror {
    pub(super) const fn new() -> Self {
        Self { first: [0; LINE], second: [0; LINE], at: 0 }
    }

    /// Lower and upper half of the band.
    pub(super) fn split(&mut self, pair: &[i16; 2]) -> (i32, i32) {
        let (odd, even) = self.push(i32::from(pair[0]), i32::from(pair[1]));
        (saturate((even + odd) >> 14), saturate((even - odd) >> 14))
    }

    /// Two samples of both halves.
    pub(super) fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        let (odd, even) = self.push(low + high, low - high);
        [saturate(even >> 11) as i16, saturate(odd >> 11) as i16]
    }

    /// The sums over first and second samples.
    fn push(&mut self, first: i32, second: i32) -> (i32, i32) {
        if self.at + TAPS == LINE {
            self.first.copy_within(self.at.., 0);
            self.second.copy_within(self.at.., 0);
            self.at = 0;
        }
        self.first[self.at + TAPS] = first;
        self.second[self.at + TAPS] = second;
        self.at += 1;
        let window = self.at..self.at + TAPS;
        let (mut odd, mut even) = (0, 0);
        let samples = self.first[window.clone()].iter().zip(&self.second[window]);
        for (tap, (first, second)) in (0..TAPS).zip(samples) {
            odd += first * MIRROR[tap];
            even += second * MIRROR[TAPS - 1 - tap];
        }
        (odd, even)
    }
}
