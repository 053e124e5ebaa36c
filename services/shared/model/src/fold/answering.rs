//! Who has answered whom, and who has passed a call on: what records look at.

use super::{CallView, Fold, LegPhase, LegView};
use crate::call::AnsweredBy;
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, LegId};
use crate::time::Timestamp;

impl Fold {
    /// A leg is answered.
    pub(super) fn answered(&mut self, leg: LegId, at: Timestamp) {
        self.with_leg(leg, |leg| {
            leg.phase = LegPhase::Answered;
            leg.decision = None;
            leg.answered_at.get_or_insert(at);
        });
        self.answered_by_person(leg);
        let call = self.legs.get(&leg).map(|leg| leg.call);
        // The phone of whoever has a call made is answered before anybody is called.
        let call =
            call.and_then(|call| self.calls.get_mut(&call)).filter(|call| !call.by_application || call.open);
        if let Some(call) = call {
            call.answered_at.get_or_insert(at);
        }
    }

    /// A leg talks to a machine.
    pub(super) fn apply_served(&mut self, fact: &Fact) {
        let FactKind::LegServed { leg, by, assistant } = &fact.kind else { return };
        self.part(*leg);
        let answered_by = if *assistant { AnsweredBy::Assistant } else { AnsweredBy::machine(by) };
        self.with_leg(*leg, |leg| {
            leg.served_by = Some(by.clone());
            leg.answered_by = leg.answered_by.and(answered_by);
        });
        self.met(*leg, fact.at);
    }

    /// A phone that we called is answered by a person, except that of whoever has the call made.
    fn answered_by_person(&mut self, leg: LegId) {
        let Some(view) = self.legs.get_mut(&leg).filter(|view| !view.incoming) else { return };
        let makes = |call: &CallView| call.by_application && !call.open && call.first_leg == Some(leg);
        if !self.calls.get(&view.call).is_some_and(makes) {
            view.answered_by = view.answered_by.and(view.answers_as());
        }
    }

    /// Who is at the other end for a leg that talks with another now. The assistant's own leg stays the assistant's.
    pub(super) fn answered_by_peer(&self, leg: LegId, peer: LegId) -> AnsweredBy {
        let own = self.legs.get(&leg).filter(|view| view.assistant);
        own.or_else(|| self.legs.get(&peer)).map_or(AnsweredBy::Person, LegView::answers_as)
    }

    /// A leg has reached somebody: another leg, a machine or a meeting.
    pub(super) fn met(&mut self, leg: LegId, at: Timestamp) {
        let call = self.legs.get(&leg).map(|leg| leg.call);
        if let Some(call) = call.and_then(|call| self.calls.get_mut(&call)) {
            call.answered_at.get_or_insert(at);
        }
    }

    /// Somebody who talks passes a call on: those who stay have been transferred.
    pub(super) fn transferred(&mut self, call: CallId, by: LegId) {
        let Some(party) = self.legs.get(&by).map(|leg| leg.party.clone()) else { return };
        let Some(view) = self.calls.get_mut(&call) else { return };
        view.transferred_by = Some(party.clone());
        for leg in view.legs.iter().filter(|leg| **leg != by) {
            if let Some(view) = self.legs.get_mut(leg).filter(|view| view.is_answered()) {
                view.transferred_by = Some(party.clone());
            }
        }
    }

    /// What only records look at.
    pub(super) fn apply_for_records(&mut self, kind: &FactKind) {
        match kind {
            FactKind::LegLastHeld { leg, held } => self.with_leg(*leg, |leg| leg.last_held = Some(*held)),
            FactKind::LegRestated { leg, origin, transferred_by, answered_by } => {
                self.with_leg(*leg, |leg| {
                    leg.answered_by = *answered_by;
                    leg.origin = origin.clone();
                    leg.transferred_by = transferred_by.clone();
                })
            }
            _ => {}
        }
    }
}
