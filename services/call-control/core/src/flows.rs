//! Several ways to one phone: an instance that has registered over more than one flow (RFC 5626).
//!
//! One of them rings. When it turns out to be dead, the next one does, within the call and without anybody's doing
//! (section 5.3): the way failed and not the phone. What the phone itself has said is final for all of its flows. A flow
//! that says nothing is left after a few seconds, as long as another is there: the NAT in front of a phone forgets it without a word,
//! and timer B would take longer than any caller waits. Like a hunt this is not in the log.

use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::LegId;
use sidetone_model::party::Binding;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::control::LegControl;
use crate::input::{NodeCandidate, Routing};
use crate::ringing::Ring;
use crate::shard::Shard;

impl Routing {
    /// The other flows of the instance that `binding` leads to.
    fn flows_beside(&self, binding: &Binding) -> Vec<Binding> {
        let same = self.other_flows.iter().filter(|other| other.instead_of == *binding);
        same.map(|other| other.binding.clone()).collect()
    }
}

impl Shard {
    /// A phone is rung over one of its flows: `routing` may know others.
    pub(crate) fn watch_flow(&mut self, leg: LegId, binding: &Binding, routing: &Routing, now: Timestamp) {
        self.watch(leg, routing.flows_beside(binding), now);
    }

    pub(crate) fn watch(&mut self, leg: LegId, others: Vec<Binding>, now: Timestamp) {
        if !others.is_empty() {
            self.control(leg).passing.other_flows = others;
            self.silent_flows.insert((now + self.limits.flow_silence, leg));
        }
    }

    /// A leg is about to be over: its phone is rung over another flow, if it was the flow that failed. Its leg then stands in
    /// the place of this one in everything that waits for it.
    pub(crate) fn change_flow(&mut self, leg: &LegView, why: &Termination, now: Timestamp) {
        if leg.answered_at.is_some()
            || self.is_ending(leg.leg)
            || !why.is_of_flow(leg.phase == LegPhase::Ringing)
        {
            return;
        }
        self.ring_next_flow(leg, now);
    }

    fn ring_next_flow(&mut self, leg: &LegView, now: Timestamp) -> bool {
        let control = self.legs.get_mut(&leg.leg).filter(|control| !control.passing.other_flows.is_empty());
        let Some(LegControl { passing, .. }) = control else { return false };
        let mut others = std::mem::take(&mut passing.other_flows);
        let binding = others.remove(0);
        let ring = Ring {
            call: leg.call,
            tenant: leg.tenant.clone(),
            number: leg.party.number.clone(),
            cause: leg.cause,
            by: leg.by,
            auto_answer: passing.auto_answer,
            contact: leg.party.contact.clone(),
            then: passing.then.clone(),
        };
        let (anonymous, later) = (passing.anonymous, std::mem::take(&mut passing.later));
        let forwards = std::mem::take(&mut passing.awaited).for_next(now);
        // Where it had its port there is room for another.
        let node = leg.node.iter().map(|(node, boot)| NodeCandidate { node: node.clone(), boot: *boot });
        let (bindings, nodes) = (vec![binding], node.collect());
        let routing = Routing { bindings, nodes, later, forwards, ..Routing::default() };
        for next in self.ring(&ring, &routing, now) {
            // Without a node for it, it is over already.
            if self.live(next).is_some() {
                self.control(next).passing.anonymous = anonymous;
                self.watch(next, others.clone(), now);
            }
        }
        true
    }

    /// When the next flow has been silent for too long.
    pub(crate) fn flow_timeout(&self) -> Option<Timestamp> {
        self.silent_flows.iter().find(|(_, leg)| self.is_silent(*leg)).map(|(at, _)| *at)
    }

    /// Leaves flows that say nothing.
    pub(crate) fn leave_silent_flows(&mut self, now: Timestamp) {
        while let Some((at, leg)) = self.silent_flows.first().copied()
            && at <= now
        {
            self.silent_flows.pop_first();
            if let Some(view) = self.live(leg).filter(|view| self.is_silent(view.leg))
                && self.ring_next_flow(&view, now)
            {
                self.end_any(&view, Termination::new(Cause::Timeout).with_text("its flow says nothing"), now);
            }
        }
    }

    fn is_silent(&self, leg: LegId) -> bool {
        self.fold.leg(leg).is_some_and(|view| matches!(view.phase, LegPhase::SettingUp | LegPhase::Waking))
            && !self.is_ending(leg)
    }
}
