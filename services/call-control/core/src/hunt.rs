//! Calling one after the other: the contacts of a user by their preference (RFC 3261, section 16.6), and the addresses that a
//! phone names in its place (section 8.1.3.4).
//!
//! Those of one preference ring together. When the last of them has said no, or has rung for long enough, the next ring. Who
//! declines for everywhere (6xx) ends the hunt (section 16.7, step 5). A hunt is not in the log: after a restart of call control
//! those that ring are the last.

use sidetone_model::call::DivertCause;
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::forwarding::Awaited;
use crate::input::{Later, Routing};
use crate::ringing::Ring;
use crate::shard::Shard;

impl Routing {
    /// All contacts of the number at once, whatever their order.
    pub(crate) fn all_at_once(&mut self) {
        let of_number = |later: &Later| later.number.is_empty();
        for next in self.later.extract_if(.., |later| of_number(later)) {
            self.bindings.extend(next.routing.bindings);
            self.other_flows.extend(next.routing.other_flows);
        }
    }
}

impl Shard {
    /// These ring; when none of them takes the call, others do.
    pub(crate) fn begin_hunt(&mut self, legs: &[LegId], later: &[Later], now: Timestamp) {
        if later.is_empty() {
            return;
        }
        for leg in legs {
            if self.live(*leg).is_some() {
                self.control(*leg).passing.later = later.to_vec();
                self.hunting.insert((now + self.limits.hunt_timeout, *leg));
            }
        }
    }

    /// Who is left to be called when a leg is about to be over.
    pub(crate) fn hunt_of(&mut self, leg: LegId) -> Vec<Later> {
        self.legs.get_mut(&leg).map(|control| std::mem::take(&mut control.passing.later)).unwrap_or_default()
    }

    /// Calls the next; false when nobody is left, or nobody else is to be called. `ended` was the last that rang.
    pub(crate) fn hunts_on(
        &mut self,
        ended: &LegView,
        (mut later, awaited): (Vec<Later>, &Awaited),
        alone: &LegView,
        now: Timestamp,
    ) -> bool {
        if ended.answered_at.is_some() || self.best_failure(ended.call).cause == Cause::Rejected {
            return false;
        }
        if awaited.is_over(now) {
            later.retain(|next| !next.number.is_empty());
        }
        while !later.is_empty() {
            let Later { number, mut routing } = later.remove(0);
            // A machine takes who is with nobody: neither in a meeting, nor with another machine.
            let free = alone.conference.is_none() && alone.served_by.is_none() && alone.peer.is_none();
            if self.check_target(&routing).is_err() || (routing.bindings.is_empty() && !free) {
                continue;
            }
            if let Some(by) = ended.by.and_then(|by| self.fold.leg(by)).cloned()
                && !number.is_empty()
            {
                self.divert(&by, DivertCause::Redirected, (&number, &routing), now);
            }
            if routing.bindings.is_empty() {
                self.route(alone, routing, now);
                return true;
            }
            routing.later = later;
            // Somebody else is called under another number, and the name is not theirs.
            let contact = if number.is_empty() { ended.party.contact.clone() } else { "".into() };
            if number.is_empty() {
                routing.forwards = awaited.for_next(now);
            }
            let ring = Ring {
                call: ended.call,
                tenant: ended.tenant.clone(),
                number: if number.is_empty() { ended.party.number.clone() } else { number },
                cause: ended.cause,
                by: ended.by,
                auto_answer: false,
                contact,
                then: None,
            };
            self.ring(&ring, &routing, now);
            self.arrange(ended.call, now);
            return true;
        }
        false
    }

    /// When the next phone has rung for so long that others are called.
    pub(crate) fn hunt_timeout(&self) -> Option<Timestamp> {
        self.hunting.iter().find(|(_, leg)| self.still_rings(*leg)).map(|(at, _)| *at)
    }

    /// Ends those that have rung for so long.
    pub(crate) fn end_long_hunts(&mut self, now: Timestamp) {
        while let Some((at, leg)) = self.hunting.first().copied()
            && at <= now
        {
            self.hunting.pop_first();
            if let Some(view) = self.live(leg).filter(|view| self.still_rings(view.leg)) {
                let why =
                    Termination::new(Cause::NoAnswer).with_text("it rang for long, and others are there");
                self.end_any(&view, why, now);
            }
        }
    }

    pub(crate) fn still_rings(&self, leg: LegId) -> bool {
        self.fold.leg(leg).is_some_and(|view| view.is_live() && !view.is_answered()) && !self.is_ending(leg)
    }
}
