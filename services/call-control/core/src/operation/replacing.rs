//! A phone calls to take another's place in a call (INVITE with Replaces, RFC 3891): the far end of a transfer that somebody
//! else arranged, or a neighbour who picks up what rings.

use sidetone_model::call::LegCause;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{LegId, ReplicaId, TenantId};
use sidetone_model::signal::{LegSignal, Offered};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::input::{NodeCandidate, Routing};
use crate::shard::Shard;

impl Shard {
    /// The leg whose place can be taken: it talks, or it is a phone that rings.
    pub(crate) fn replaceable(&self, tenant: &TenantId, old: LegId) -> Option<LegView> {
        let old = self.live(old).filter(|old| old.tenant == *tenant && !self.is_ending(old.leg))?;
        let stands = old.is_answered() || !old.incoming;
        (stands && old.served_by.is_none() && old.node.is_some()).then_some(old)
    }

    /// The caller's leg comes to the call in which it takes a place, and not to one of its own.
    pub(crate) fn join_in_place(
        &mut self,
        replica: &ReplicaId,
        signal: &LegSignal,
        offered: &Offered,
        old: &LegView,
        now: Timestamp,
    ) {
        let created = FactKind::LegCreated {
            leg: signal.leg,
            call: old.call,
            party: offered.from.clone(),
            incoming: true,
            replica: replica.clone(),
            boot: Some(signal.boot),
            sip_call_id: offered.sip_call_id.clone(),
            cause: LegCause::Replaced,
            by: Some(old.leg),
            assistant: false,
            trunk: signal.trunk.clone().unwrap_or_default(),
        };
        self.fact(&signal.tenant, now, created);
    }

    /// Its port is on the node where the call has its media.
    pub(crate) fn admit_in_place(&mut self, leg: LegId, old: &LegView, now: Timestamp) {
        let Some(leg) = self.live(leg) else { return };
        let nodes =
            old.node.iter().map(|(node, boot)| NodeCandidate { node: node.clone(), boot: *boot }).collect();
        self.ask_for_port(&leg, &Routing { nodes, ..Routing::default() }, now);
    }

    /// What was to be replaced has ended while the INVITE was on its way.
    pub(crate) fn too_late_to_replace(&mut self, leg: LegId) {
        if let Some(leg) = self.live(leg) {
            self.end(&leg, Termination::new(Cause::NotFound).with_text("what it replaces is over"));
        }
    }

    /// It has a port: it is answered, and the other goes.
    pub(crate) fn take_place(&mut self, leg: &LegView, now: Timestamp) {
        let old = leg.by.and_then(|old| self.replaceable(&leg.tenant, old));
        if old.is_none_or(|old| old.call != leg.call) {
            return self.too_late_to_replace(leg.leg);
        }
        self.accept(leg, now);
        let Some(leg) = self.live(leg.leg) else { return };
        self.take_over(&leg, now);
        self.told_transferors(leg.call, None);
        for caller in self.callers_waiting(leg.call) {
            self.accept(&caller, now);
        }
        self.arrange(leg.call, now);
    }
}
