//! Callers who wait for an application to decide what becomes of them: for a time, and then they go where the tenant wants it
//! (decision 90). The deadline is in the log and lasts over a restart. So does a machine that is to serve the caller then; to
//! whomever else the caller was to go is looked up with the number, and after a restart nobody knows it.

use sidetone_model::call::DecisionKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::LegId;
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// A caller waits from now on.
    pub(crate) fn open_decision(&mut self, leg: &LegView, routing: &Routing, now: Timestamp) {
        self.fact(&leg.tenant, now, FactKind::LegWaiting { leg: leg.leg });
        if self.limits.wait_max.is_zero() {
            return;
        }
        let next = routing.forwards.no_answer.as_deref();
        let fallback = next.map(|next| Routing { number: next.number.clone(), ..next.routing.clone() });
        let opened = FactKind::DecisionOpened {
            leg: leg.leg,
            kind: DecisionKind::Application,
            deadline: now + self.limits.wait_max,
            fallback: fallback.as_ref().and_then(Routing::told),
        };
        self.fact(&leg.tenant, now, opened);
        self.control(leg.leg).passing.fallback = fallback;
    }

    /// An application has decided.
    pub(crate) fn close_decision(&mut self, leg: &LegView, now: Timestamp) {
        if self.fold.leg(leg.leg).is_some_and(|view| view.decision.is_some()) {
            self.fact(&leg.tenant, now, FactKind::DecisionClosed { leg: leg.leg, expired: false });
        }
    }

    /// When the next caller has waited for so long that nobody is expected to decide.
    pub(crate) fn decision_timeout(&self) -> Option<Timestamp> {
        self.deciding.iter().find(|(_, leg)| self.is_undecided(*leg)).map(|(at, _)| *at)
    }

    /// Callers about whom nobody has decided in time go where the tenant wants it; devices that have not woken up did not answer.
    pub(crate) fn end_long_waits(&mut self, now: Timestamp) {
        while let Some((at, leg)) = self.deciding.first().copied()
            && at <= now
        {
            self.deciding.pop_first();
            match self.live(leg).filter(|view| self.is_undecided(view.leg)) {
                Some(view) if view.phase == LegPhase::Waking => self.give_up_waking(&view, now),
                Some(view) => self.fall_back(&view, now),
                None => {}
            }
        }
    }

    fn fall_back(&mut self, leg: &LegView, now: Timestamp) {
        let to = self.fallback_of(leg);
        self.fact(&leg.tenant, now, FactKind::DecisionClosed { leg: leg.leg, expired: true });
        match to.filter(|to| self.check_target(to).is_ok()) {
            Some(to) => self.send_waiting(leg, to, now),
            None => {
                let text = "no application has decided what becomes of the call";
                self.end(leg, Termination::new(Cause::Unavailable).with_text(text));
            }
        }
    }

    /// A caller who waits goes somewhere: at once when there is a port.
    pub(crate) fn send_waiting(&mut self, leg: &LegView, to: Routing, now: Timestamp) {
        if self.control(leg.leg).passing.local.is_none() {
            self.control(leg.leg).passing.then = Some(to);
        } else {
            self.route(leg, to, now);
        }
    }

    fn fallback_of(&mut self, leg: &LegView) -> Option<Routing> {
        if let Some(known) = self.control(leg.leg).passing.fallback.take() {
            return Some(known);
        }
        // What was looked up is not in the log. A machine needs no more than its name; whoever waits for too long goes to the assistant.
        let told = leg.decision.as_ref()?.fallback.clone()?;
        let is_machine =
            matches!(told, Destination::Echo | Destination::Announcement { .. } | Destination::Voicemail(_));
        is_machine.then(|| Routing { destination: Some(told), assistant: true, ..Routing::default() })
    }

    fn is_undecided(&self, leg: LegId) -> bool {
        let waits = |view: &LegView| {
            view.decision.is_some() && matches!(view.phase, LegPhase::Waiting | LegPhase::Waking)
        };
        self.fold.leg(leg).is_some_and(waits) && !self.is_ending(leg)
    }
}
