//! One sub-band: the adaptive predictor and quantiser step that encoder and decoder share (clauses 3.3 to 3.6).
//!
//! The predictor has two poles and six zeros. All of it follows from the codes alone, so that both sides stay equal.

use super::tables::OCTAVE;

/// What distinguishes the two bands.
pub(super) struct Kind {
    /// The step before the first sample.
    first_step: i32,
    /// Octaves between the logarithmic factor's end and a step of one.
    octaves: i32,
    /// The largest logarithmic scale factor.
    log_max: i32,
}

pub(super) const LOW: Kind = Kind { first_step: 32, octaves: 8, log_max: 18_432 };
pub(super) const HIGH: Kind = Kind { first_step: 8, octaves: 10, log_max: 22_528 };

/// State of a band.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// Prediction of the next sample.
    pub(super) prediction: i32,
    /// The quantiser's step.
    pub(super) step: i32,
    /// The part of the prediction that the zeros give.
    by_zeros: i32,
    log_step: i32,
    poles: [i32; 2],
    zeros: [i32; ZEROS],
    /// Reconstructed samples, latest first.
    reconstructed: [i32; 2],
    /// Whether the last partial reconstructions were negative, latest first.
    negative: [bool; 2],
    /// Quantised differences, latest first.
    differences: [i32; ZEROS],
}

const ZEROS: usize = 6;

impl Band {
    pub(super) const fn new(kind: &Kind) -> Self {
        Self {
            prediction: 0,
            step: kind.first_step,
            by_zeros: 0,
            log_step: 0,
            poles: [0; 2],
            zeros: [0; ZEROS],
            reconstructed: [0; 2],
            negative: [false; 2],
            differences: [0; ZEROS],
        }
    }

    /// Adapts to a code: `value` is the inverse quantiser's, `log_step` by how much it moves the step.
    pub(super) fn adapt(&mut self, kind: &Kind, value: i32, log_step: i32) {
        let difference = (self.step * value) >> 15;
        self.adapt_step(kind, log_step);
        self.predict(difference);
    }

    fn adapt_step(&mut self, kind: &Kind, change: i32) {
        self.log_step = (((self.log_step * 127) >> 7) + change).clamp(0, kind.log_max);
        let fraction = OCTAVE[((self.log_step >> 6) & 31) as usize];
        let down = kind.octaves - (self.log_step >> 11);
        self.step = if down < 0 { fraction << -down } else { fraction >> down } << 2;
    }

    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.prediction + difference);
        let negative = saturate(self.by_zeros + difference) < 0;
        self.adapt_poles(negative);
        self.adapt_zeros(difference);
        self.negative = [negative, self.negative[0]];
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.differences.copy_within(..ZEROS - 1, 1);
        self.differences[0] = difference;
        let doubled = |(taps, samples): (&i32, &i32)| (taps * saturate(samples << 1)) >> 15;
        let by_poles = self.poles.iter().zip(&self.reconstructed).map(doubled).sum();
        let by_zeros = self.zeros.iter().zip(&self.differences).map(doubled).sum();
        self.by_zeros = saturate(by_zeros);
        self.prediction = saturate(saturate(by_poles) + self.by_zeros);
    }

    /// Blocks UPPOL2 and UPPOL1; the second pole's limit keeps the filter stable.
    fn adapt_poles(&mut self, negative: bool) {
        let toward = |same: bool, by: i32| if same { by } else { -by };
        let first = saturate(self.poles[0] << 2);
        let turn = toward(negative != self.negative[0], first).min(32_767) >> 7;
        let second = turn + toward(negative == self.negative[1], 128) + ((self.poles[1] * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        let first = toward(negative == self.negative[0], 192) + ((self.poles[0] * 32_640) >> 15);
        let limit = 15_360 - second;
        self.poles = [first.clamp(-limit, limit), second];
    }

    /// Block UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        let size = if difference == 0 { 0 } else { 128 };
        for (zero, earlier) in self.zeros.iter_mut().zip(&self.differences) {
            let change = if (earlier ^ difference) < 0 { -size } else { size };
            *zero = saturate(((*zero * 32_640) >> 15) + change);
        }
    }
}

/// Within 16 bits.
pub(super) fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}
