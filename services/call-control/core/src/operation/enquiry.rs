//! Two calls of one device: consulting, changing between them, making them one.

use sidetone_model::call::{LegCause, MoveCause};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{CallId, LegId, TenantId};
use sidetone_model::party::Party;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use super::hold::must_take_back;
use crate::error::CommandError;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;

impl Shard {
    /// Holds, and calls somebody else from the same device. `from` is where the device's user is registered.
    pub(crate) fn enquire(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (from, to): (Routing, (&str, Routing)),
        anonymous: bool,
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        let leg = self.allowed(tenant, leg, Capability::Enquire)?;
        let (number, to) = to;
        let mut own = from;
        own.bindings.retain(|binding| Some(&binding.device) == leg.party.device.as_ref());
        self.check_place(&own, &to)?;
        // Best on the same node: the two calls may be made one.
        if let Some((node, _)) = &leg.node {
            own.nodes.sort_by_key(|candidate| candidate.node != *node);
        }
        if own.nodes.is_empty() {
            return Err(CommandError::NoMediaNode);
        }
        self.put_on_hold(&leg, now);
        let from = Party { display_name: leg.party.display_name.clone(), ..leg.party.clone() };
        let call = self.ids.make(now);
        let created = FactKind::CallCreated {
            call,
            from: from.clone(),
            dialled: number.into(),
            destination: to.told(),
            by_application: true,
            anonymous,
            open: false,
            headers: Vec::new(),
            max_forwards: None,
        };
        self.fact(tenant, now, created);
        let ring = Ring {
            call,
            tenant: tenant.clone(),
            number: from.number,
            cause: LegCause::Enquiry,
            by: Some(leg.leg),
            auto_answer: true,
            contact: "".into(),
            then: Some(to),
        };
        self.ring(&ring, &own, now);
        Ok(call)
    }

    /// The leg that talks (or waits) and the one with which the same device holds another call.
    pub(crate) fn two_calls(
        &self,
        tenant: &TenantId,
        (active, held): (LegId, LegId),
        what: Capability,
    ) -> Result<(LegView, LegView), CommandError> {
        let active = self.allowed(tenant, active, what)?;
        let held = self.own_leg(tenant, held)?;
        let same_device = held.party.user.is_some()
            && held.party.user == active.party.user
            && held.party.device == active.party.device;
        let holds = held.is_answered() && held.held.is_some() && held.call != active.call;
        // Of several calls that the device holds this need not be the one for which it is offered.
        let holds = holds && (what != Capability::Transfer || self.fold.holds_somebody(&held));
        if same_device && holds { Ok((active, held)) } else { Err(CommandError::CapabilityMissing) }
    }

    /// Whether a device can talk again where it holds.
    fn must_go_back(&self, tenant: &TenantId, held: LegId) -> Result<(), CommandError> {
        self.own_leg(tenant, held).and_then(|held| must_take_back(&held))
    }

    pub(crate) fn alternate(
        &mut self,
        tenant: &TenantId,
        legs: (LegId, LegId),
        now: Timestamp,
    ) -> Result<(), CommandError> {
        self.must_go_back(tenant, legs.1)?;
        let (active, held) = self.two_calls(tenant, legs, Capability::Alternate)?;
        self.put_on_hold(&active, now);
        self.take_from_hold(&held, now);
        Ok(())
    }

    pub(crate) fn reconnect(
        &mut self,
        tenant: &TenantId,
        legs: (LegId, LegId),
        now: Timestamp,
    ) -> Result<(), CommandError> {
        self.must_go_back(tenant, legs.1)?;
        let (active, held) = self.two_calls(tenant, legs, Capability::Reconnect)?;
        self.end_any(&active, Termination::new(Cause::Application), now);
        // Nobody is rung for somebody who has left.
        let called: Vec<LegView> =
            self.fold.live_legs(active.call).filter(|leg| !leg.is_party()).cloned().collect();
        for leg in called {
            self.end_any(&leg, Termination::new(Cause::Cancelled), now);
        }
        self.take_from_hold(&held, now);
        Ok(())
    }

    /// Everybody of the held call comes into the one that goes on; the device keeps the leg on which it talks.
    pub(crate) fn merge(
        &mut self,
        tenant: &TenantId,
        legs: (LegId, LegId),
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        let (active, held) = self.two_calls(tenant, legs, Capability::Merge)?;
        self.come_together(&held, active.call, now)?;
        self.move_all(&held, active.call, MoveCause::Merged, now);
        self.end_any(&held, Termination::new(Cause::Diverted), now);
        self.arrange(active.call, now);
        Ok(active.call)
    }

    /// All legs of a call but one go to another call.
    pub(crate) fn move_all(
        &mut self,
        but: &LegView,
        to: CallId,
        cause: MoveCause,
        now: Timestamp,
    ) -> Option<Party> {
        let others: Vec<LegView> = self
            .fold
            .live_legs(but.call)
            .filter(|leg| leg.leg != but.leg && !self.is_ending(leg.leg))
            .cloned()
            .collect();
        let first = others.first().map(|leg| leg.party.clone());
        let mix = self.fold.call(but.call).and_then(|call| call.conference);
        let moved: Vec<LegId> = others.iter().map(|leg| leg.leg).collect();
        for leg in others {
            if let Some(conference) = leg.conference.filter(|conference| Some(*conference) == mix) {
                self.fact(&leg.tenant, now, FactKind::ParticipantLeft { conference, leg: leg.leg });
            }
            self.fact(&leg.tenant, now, FactKind::LegMoved { leg: leg.leg, from: but.call, to, cause });
            // Who put it aside stays behind, and nobody else could let it in.
            if leg.put_aside && leg.put_aside_by == Some(but.leg) {
                self.fact(&leg.tenant, now, FactKind::ParticipantRetrieved { leg: leg.leg });
            }
            // Whoever records the other call has not heard of it.
            self.control(leg.leg).passing.captured = false;
        }
        self.carry_over(&moved, but.call, to, now);
        self.arrange(but.call, now);
        first
    }
}
