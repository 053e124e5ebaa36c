//! Time.

use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::Step;
use crate::shard::Shard;

/// Why a shard wants to be called at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A phone has rung for too long.
    Ringing,
    /// Something missing has not shown up, or something unknown is still there.
    Grace,
}

impl Shard {
    /// When to call [`Shard::handle_timeout`] next, at the latest.
    pub fn poll_timeout(&self) -> Option<(Timestamp, Reason)> {
        let ringing = self
            .fold
            .legs()
            .filter(|leg| self.may_ring_too_long(leg))
            .map(|leg| (leg.created_at + self.limits.ring_timeout, Reason::Ringing));
        let missing = self.legs.values().filter_map(|control| control.passing.missing_since);
        let grace = missing
            .chain(self.unknown.values().copied())
            .chain(self.unknown_media.values().copied())
            .chain(self.missing_nodes.values().copied())
            .map(|since| (since + self.limits.grace, Reason::Grace));
        ringing.chain(grace).min_by_key(|(at, _)| *at)
    }

    /// Does what is due. Called too early it does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Step {
        // First: who is missing is not told to end.
        self.end_missing(now);
        let overdue: Vec<LegView> = self
            .fold
            .legs()
            .filter(|leg| self.may_ring_too_long(leg) && leg.created_at + self.limits.ring_timeout <= now)
            .cloned()
            .collect();
        for leg in overdue {
            let termination = Termination::new(Cause::NoAnswer).with_text("it rang for too long");
            if self.is_unopened(&leg) {
                self.drop_unopened(&leg, termination, now)
            } else {
                self.end(&leg, termination)
            }
        }
        self.give_up_missing_nodes(now);
        self.release_unknown(now);
        self.forget_commands(now);
        self.forget_old_calls(now);
        self.finish()
    }

    fn may_ring_too_long(&self, leg: &LegView) -> bool {
        let alerting = matches!(leg.phase, LegPhase::SettingUp | LegPhase::Ringing);
        !leg.incoming && alerting && !self.is_ending(leg.leg)
    }

    fn forget_old_calls(&mut self, now: Timestamp) {
        let kept = self.limits.ended_kept.as_millis() as u64;
        self.fold.forget_ended(Timestamp::from_millis(now.as_millis().saturating_sub(kept)));
    }
}
