//! The signals of one leg: numbered from 1 without a gap, kept until they are acknowledged.
//!
//! A signal that finds the outbox full is dropped before it gets a number, so that no gap arises. `Ended` is always
//! taken: an outbox holds at most one above its bound.

use std::collections::VecDeque;
use std::time::Instant;

use sidetone_model::signal::{LegSignal, LegSignalKind};

/// What is kept of one leg's signals.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    kept: VecDeque<(Instant, LegSignal)>,
    last_n: u64,
    ended: bool,
    closed: bool,
}

impl Outbox {
    /// The number that the next signal would have; none when it may not be kept (`full` speaks for all legs).
    pub(super) fn number(&self, kind: &LegSignalKind, full: bool) -> Option<u64> {
        let end = matches!(kind, LegSignalKind::Ended(_));
        if self.closed || self.ended || (!end && (full || self.kept.len() >= SIGNALS_PER_LEG_MAX)) {
            return None;
        }
        Some(self.last_n + 1)
    }

    /// The number of the last signal.
    pub(super) fn last_n(&self) -> u64 {
        self.last_n
    }

    /// After a restart: numbers go on far behind the last one that is known, since later ones may have been given.
    pub(super) fn resume(&mut self, last_n: u64) {
        self.last_n = last_n + NUMBERS_LEAP;
    }

    /// Keeps a signal that has the number from [`Self::number`].
    pub(super) fn keep(&mut self, signal: LegSignal, now: Instant) {
        self.last_n = signal.n;
        self.ended = matches!(signal.kind, LegSignalKind::Ended(_));
        self.kept.push_back((now, signal));
    }

    /// The signal with that number, while it is kept.
    pub(super) fn get(&self, n: u64) -> Option<&LegSignal> {
        self.kept.iter().map(|(_, signal)| signal).find(|signal| signal.n == n)
    }

    /// Numbers of all that is kept, in order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.kept.iter().map(|(_, signal)| signal.n)
    }

    /// Forgets everything up to `n`; gives back when each was kept.
    pub(super) fn acknowledge(&mut self, n: u64) -> Vec<Instant> {
        let count = self.kept.iter().take_while(|(_, signal)| signal.n <= n).count();
        self.kept.drain(..count).map(|(at, _)| at).collect()
    }

    /// The owner wants to hear nothing more of this leg; gives back how many were kept.
    pub(super) fn close(&mut self) -> usize {
        self.closed = true;
        std::mem::take(&mut self.kept).len()
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether the last signal of the leg has been kept here, or will never be wanted.
    pub(super) fn is_complete(&self) -> bool {
        self.ended || self.closed
    }
}

/// More signals than a leg gives in its life.
const NUMBERS_LEAP: u64 = 1_000_000;
/// Signals kept for one leg, `Ended` not counted.
pub(super) const SIGNALS_PER_LEG_MAX: usize = 64;
/// Signals kept for all legs, `Ended` not counted.
pub(super) const SIGNALS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::ids::{IdSource, TenantId};
    use sidetone_model::termination::{Cause, Termination};
    use sidetone_model::time::Timestamp;

    fn push(outbox: &mut Outbox, kind: LegSignalKind) -> Option<u64> {
        let mut ids = IdSource::seeded([1; 32]);
        let at = Timestamp::from_millis(1);
        let n = outbox.number(&kind, false)?;
        let tenant = TenantId::new("t").unwrap();
        let signal = LegSignal { boot: ids.make(at), leg: ids.make(at), tenant, n, at, trunk: None, kind };
        outbox.keep(signal, Instant::now());
        Some(n)
    }

    #[test]
    fn a_full_outbox_drops_without_a_gap_but_takes_the_end() {
        let mut outbox = Outbox::default();
        for n in 1..=SIGNALS_PER_LEG_MAX as u64 {
            assert_eq!(push(&mut outbox, LegSignalKind::Progress { media: None }), Some(n));
        }
        assert_eq!(push(&mut outbox, LegSignalKind::Progress { media: None }), None);
        let end = LegSignalKind::Ended(Termination::new(Cause::Normal));
        assert_eq!(push(&mut outbox, end.clone()), Some(SIGNALS_PER_LEG_MAX as u64 + 1));
        assert_eq!(push(&mut outbox, end), None, "only one end");
        assert_eq!(outbox.acknowledge(60).len(), 60);
        assert_eq!(outbox.numbers().collect::<Vec<_>>(), [61, 62, 63, 64, 65]);
    }
}
