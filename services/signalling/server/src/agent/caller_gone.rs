//! A caller whose connection closes while it rings: a browser tab that was closed, a phone that was switched off (decision 74).
//!
//! It can neither hear the answer nor send a CANCEL, and without us the other side would ring on for nobody. It is given a moment to
//! register over another connection, over which it is answered then; after that it is as if it had cancelled. A call that is
//! answered stays: its phone comes back, or silence ends it.

use std::collections::BTreeSet;
use std::time::Instant;

use sidetone_model::ids::LegId;
use sidetone_model::party::Flow;

use super::Agent;

/// Callers whose connection is gone, by when their calls end. Bounded by the legs.
#[derive(Debug, Default)]
pub(super) struct CallersGone {
    waiting: BTreeSet<(Instant, LegId)>,
}

impl CallersGone {
    /// When the next of them ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    fn pop_due(&mut self, now: Instant) -> Option<LegId> {
        if self.next()? > now {
            return None;
        }
        self.waiting.pop_first().map(|(_, leg)| leg)
    }
}

impl Agent {
    /// A connection has closed: whoever called over it and waits for an answer gets a moment.
    pub(super) fn note_callers_gone(&mut self, flow: &Flow, now: Instant) {
        if flow.transport.is_reliable() {
            let until = now + self.parts.config.caller_gone();
            let awaits = |id: LegId| self.legs.get(id)?.leg.as_ref()?.awaits_answer().then_some((until, id));
            self.callers_gone.waiting.extend(self.legs.over(flow).filter_map(awaits));
        }
    }

    /// Ends the calls of those who have not come back.
    pub(super) fn end_calls_of_callers_gone(&mut self, now: Instant) {
        while let Some(id) = self.callers_gone.pop_due(now) {
            let leg = self.legs.get(id).and_then(|entry| entry.leg.as_ref());
            if leg.is_some_and(|leg| leg.awaits_answer() && !self.stands(leg.flow())) {
                self.count_refused("caller_gone");
                self.with_leg(id, now, |leg| leg.handle_caller_gone());
            }
        }
    }
}
