//! Time.

use sidetone_model::fold::LegView;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::Step;
use crate::shard::Shard;

/// Why a shard wants to be called at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A phone has rung for too long.
    Ringing,
    /// Nobody has decided about a caller who waits.
    Decision,
    /// A flow has been silent for too long.
    Flow,
    /// Phones take too long to go to another media node.
    Moving,
    /// Somebody has left a message for too long.
    Message,
    /// Somebody has pressed nothing in a mailbox for too long, or spoken a greeting.
    Mailbox,
    /// Something missing has not shown up, or something unknown is still there.
    Grace,
    /// Whoever was to finish the recording of a lost node has not.
    Recording,
}

impl Shard {
    /// When to call [`Shard::handle_timeout`] next, at the latest.
    pub fn poll_timeout(&self) -> Option<(Timestamp, Reason)> {
        let ringing = self.alerting.iter().filter(|(_, leg)| !self.is_ending(*leg));
        let ringing = ringing.map(|(since, _)| (*since + self.limits.ring_timeout, Reason::Ringing)).next();
        let hunting = self.hunt_timeout().map(|at| (at, Reason::Ringing));
        let deciding = self.decision_timeout().map(|at| (at, Reason::Decision));
        let flow = self.flow_timeout().map(|at| (at, Reason::Flow));
        let missing = self.missing.values().copied();
        let grace = missing
            .chain(self.unknown.values().copied())
            .chain(self.unknown_media.values().copied())
            .chain(self.missing_nodes.values().copied())
            .map(|since| (since + self.limits.grace, Reason::Grace));
        let message =
            self.messages.first().map(|(since, _)| (*since + self.limits.message_max, Reason::Message));
        let choosing = self.choosing.first().map(|(at, _)| (*at, Reason::Mailbox));
        let moving = self.gathering_timeout().map(|at| (at, Reason::Moving));
        let unfinished = self.unfinished_timeout().map(|at| (at, Reason::Recording));
        ringing
            .into_iter()
            .chain(unfinished)
            .chain(hunting)
            .chain(deciding)
            .chain(flow)
            .chain(moving)
            .chain(message)
            .chain(choosing)
            .chain(grace)
            .min_by_key(|(at, _)| *at)
    }

    /// Does what is due. Called too early it does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Step {
        self.seen_at = self.seen_at.max(now);
        // First: who is missing is not told to end.
        self.end_missing(now);
        self.leave_silent_flows(now);
        let long_ago = |since: &Timestamp| *since + self.limits.ring_timeout <= now;
        let overdue = self.alerting.iter().take_while(|(since, _)| long_ago(since));
        let overdue: Vec<LegView> = overdue
            .filter(|(_, leg)| !self.is_ending(*leg))
            .filter_map(|(_, leg)| self.fold.leg(*leg).cloned())
            .collect();
        for leg in overdue {
            let termination = Termination::new(Cause::NoAnswer).with_text("it rang for too long");
            self.end_any(&leg, termination, now);
        }
        self.end_long_hunts(now);
        self.end_long_waits(now);
        self.give_up_long_gatherings(now);
        self.end_long_messages(now);
        self.end_long_choices(now);
        self.give_up_missing_nodes(now);
        self.finish_recordings(now);
        self.release_unknown(now);
        self.forget_commands(now);
        self.forget_old_calls(now);
        self.forget_idle_conversations(now);
        self.finish()
    }

    fn forget_old_calls(&mut self, now: Timestamp) {
        let kept = self.limits.ended_kept.as_millis() as u64;
        self.fold.forget_ended(Timestamp::from_millis(now.as_millis().saturating_sub(kept)));
    }
}
