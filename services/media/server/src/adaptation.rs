//! How an encoder of Opus follows what the far side reports of its losses (RFC 3550, section 6.4.1).
//!
//! Loss is believed at once and forgiven slowly. Up to some loss the encoder is told of it, so that its error correction covers
//! it; beyond that the network is taken for full, and the bit rate comes down as well, not below what error correction needs.

use sidetone_dsp::codec::OpusSettings;

/// Where the encoder of one leg stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Adaptation {
    /// Smoothed, in percent.
    loss_percent: f32,
    /// What the encoder was told.
    told: OpusSettings,
    /// Reports in a row that ask for less of what was done.
    better: u8,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adapted {
    /// The encoder prepares for more loss.
    MoreLoss,
    /// It prepares for less.
    LessLoss,
    /// It sends less.
    LowerRate,
    /// It sends more.
    HigherRate,
}

/// What an encoder is told of loss: one of these, in percent.
const STEPS: [u8; 6] = [2, 5, 10, 15, 20, 30];
/// How much of a report that is worse, and of one that is better, is believed.
const RISES: f32 = 0.7;
const FALLS: f32 = 0.3;
/// From this loss on the bit rate comes down, and below that one it goes up again, in percent.
const FULL_PERCENT: f32 = 10.0;
const FREE_PERCENT: f32 = 3.0;
const LOWER: f32 = 0.8;
const HIGHER: f32 = 1.1;
/// Below this many bit/s the error correction of wideband speech has no room.
const BITRATE_MIN_BPS: u32 = 16_000;
/// So many reports in a row have to be better: some 15 s.
const PATIENCE: u8 = 3;

impl Adapted {
    /// As it is counted.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MoreLoss => "more_loss",
            Self::LessLoss => "less_loss",
            Self::LowerRate => "lower_rate",
            Self::HigherRate => "higher_rate",
        }
    }
}

impl Adaptation {
    /// Of an encoder that was made with these settings.
    pub(crate) fn new(settings: OpusSettings) -> Self {
        Self { loss_percent: 0.0, told: settings, better: 0 }
    }

    /// What the encoder is to be told, within what it was made with.
    pub(crate) fn settings(&self, most: &OpusSettings) -> OpusSettings {
        OpusSettings {
            bitrate_bps: self.told.bitrate_bps.min(most.bitrate_bps),
            loss_percent: self.told.loss_percent.max(most.loss_percent),
            ..*most
        }
    }

    /// Takes a report of the share that was lost, in 1/256. `most` is what was agreed and configured: the highest bit rate, and
    /// the least loss to prepare for. What has changed, if anything.
    pub(crate) fn report(&mut self, fraction_lost: u8, most: &OpusSettings) -> Option<Adapted> {
        let percent = f32::from(fraction_lost) * 100.0 / 256.0;
        let share = if percent > self.loss_percent { RISES } else { FALLS };
        self.loss_percent += (percent - self.loss_percent) * share;
        let before = self.settings(most);
        self.told = before;
        let wanted = self.wanted_percent(most);
        if wanted > before.loss_percent {
            self.told.loss_percent = wanted;
        }
        if self.loss_percent >= FULL_PERCENT {
            let lowest = BITRATE_MIN_BPS.min(most.bitrate_bps);
            self.told.bitrate_bps = ((before.bitrate_bps as f32 * LOWER) as u32).max(lowest);
        }
        if self.told != before {
            self.better = 0;
            let slower = self.told.bitrate_bps < before.bitrate_bps;
            return Some(if slower { Adapted::LowerRate } else { Adapted::MoreLoss });
        }
        self.relax(wanted, before, most)
    }

    /// Gives back, a step at a time, what is not needed any more: first the bit rate.
    fn relax(&mut self, wanted: u8, before: OpusSettings, most: &OpusSettings) -> Option<Adapted> {
        let rate_is_low = before.bitrate_bps < most.bitrate_bps && self.loss_percent < FREE_PERCENT;
        let prepared = wanted < before.loss_percent;
        self.better = if rate_is_low || prepared { self.better + 1 } else { 0 };
        if self.better < PATIENCE {
            return None;
        }
        if rate_is_low {
            // A step each report from now on, and from the beginning again when there is loss.
            self.better -= 1;
            self.told.bitrate_bps = ((before.bitrate_bps as f32 * HIGHER) as u32).min(most.bitrate_bps);
            return Some(Adapted::HigherRate);
        }
        self.better = 0;
        self.told.loss_percent = wanted;
        Some(Adapted::LessLoss)
    }

    /// The step that covers the loss, and at least what is prepared for in any case.
    fn wanted_percent(&self, most: &OpusSettings) -> u8 {
        let covers = |step: &u8| f32::from(*step) >= self.loss_percent;
        let step =
            if self.loss_percent < 0.5 { 0 } else { *STEPS.iter().find(|step| covers(step)).unwrap_or(&30) };
        step.max(most.loss_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: OpusSettings =
        OpusSettings { bitrate_bps: 32_000, complexity: 5, fec: true, loss_percent: 5 };

    fn fraction(percent: f32) -> u8 {
        (percent * 2.56) as u8
    }

    /// The settings after each of so many reports of the same loss.
    fn after(adaptation: &mut Adaptation, percent: f32, reports: usize) -> Vec<(u8, u32)> {
        (0..reports)
            .map(|_| {
                adaptation.report(fraction(percent), &MOST);
                let settings = adaptation.settings(&MOST);
                (settings.loss_percent, settings.bitrate_bps)
            })
            .collect()
    }

    #[test]
    fn a_good_network_changes_nothing() {
        let mut adaptation = Adaptation::new(MOST);
        assert!((0..100).all(|n| adaptation.report(n % 3, &MOST).is_none()));
        assert_eq!(adaptation.settings(&MOST), MOST);
    }

    #[test]
    fn loss_is_prepared_for_at_once_and_the_rate_comes_down_only_when_the_network_is_full() {
        let mut adaptation = Adaptation::new(MOST);
        assert_eq!(adaptation.report(fraction(9.0), &MOST), Some(Adapted::MoreLoss));
        assert_eq!(after(&mut adaptation, 9.0, 20).last(), Some(&(10, 32_000)));
        let full = after(&mut adaptation, 25.0, 20);
        assert!(full.windows(2).all(|pair| pair[1].1 <= pair[0].1));
        assert_eq!(full.last(), Some(&(30, 16_000)), "never below what error correction needs");
    }

    #[test]
    fn what_is_not_needed_is_given_back_slowly_and_in_whole() {
        let mut adaptation = Adaptation::new(MOST);
        after(&mut adaptation, 30.0, 10);
        let better = after(&mut adaptation, 0.0, 60);
        assert_eq!(better[..6].iter().map(|(_, rate)| rate).max(), Some(&16_000), "{better:?}");
        assert!(better.windows(2).all(|pair| pair[1].1 <= pair[0].1 * 111 / 100));
        assert_eq!(better.last(), Some(&(5, 32_000)));
    }

    #[test]
    fn loss_that_comes_and_goes_does_not_make_it_flap() {
        let mut adaptation = Adaptation::new(MOST);
        after(&mut adaptation, 8.0, 10);
        let changes: usize =
            (0..100).filter(|n| adaptation.report(fraction([2.0, 9.0][n % 2]), &MOST).is_some()).count();
        assert!(changes <= 2, "{changes}");
    }

    #[test]
    fn a_lower_rate_that_is_agreed_anew_holds_and_a_low_one_is_never_raised() {
        let mut adaptation = Adaptation::new(MOST);
        let low = OpusSettings { bitrate_bps: 12_000, ..MOST };
        assert_eq!(adaptation.settings(&low).bitrate_bps, 12_000);
        (0..20).for_each(|_| _ = adaptation.report(100, &low));
        assert_eq!(adaptation.settings(&low).bitrate_bps, 12_000);
        (0..50).for_each(|_| _ = adaptation.report(0, &low));
        assert_eq!(adaptation.settings(&low), low);
    }
}
