//! Conversations of several.

use sidetone_model::call::LegCause;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;

impl Shard {
    /// Asks somebody into a conversation.
    pub(crate) fn add_participant(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (number, to): (&str, Routing),
        anonymous: bool,
        now: Timestamp,
    ) -> Result<LegId, CommandError> {
        let by = self.allowed(tenant, leg, Capability::AddParticipant)?;
        if to.bindings.is_empty() {
            return Err(if to.destination.is_none() {
                CommandError::ToLeadsNowhere
            } else {
                CommandError::TargetUnregistered
            });
        }
        let ring = Ring {
            call: by.call,
            tenant: tenant.clone(),
            number: number.into(),
            cause: LegCause::Conferenced,
            by: Some(by.leg),
            auto_answer: false,
            contact: "".into(),
            then: None,
        };
        let legs = self.ring(&ring, &to, now);
        self.ring_discreetly(&legs, anonymous);
        legs.first().copied().ok_or(CommandError::TargetUnregistered)
    }

    /// Somebody has to go. One who only rings is no longer asked.
    pub(crate) fn drop_participant(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        by: Option<LegId>,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let participant = self.participant(tenant, leg, by, Capability::DropParticipant)?;
        let why = Termination::new(Cause::Application);
        if participant.is_party() {
            self.end_any(&participant, why, now);
            self.arrange(participant.call, now);
        } else {
            for ringing in self.fork_of(&participant) {
                self.end_any(&ringing, why.clone(), now);
            }
        }
        Ok(())
    }

    pub(crate) fn hold_participant(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        by: Option<LegId>,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let participant = self.participant(tenant, leg, by, Capability::HoldParticipant)?;
        if !participant.is_answered() || participant.put_aside {
            return Err(CommandError::CapabilityMissing);
        }
        self.fact(tenant, now, FactKind::ParticipantHeld { leg, by });
        self.arrange_media(participant.call);
        Ok(())
    }

    pub(crate) fn retrieve_participant(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let participant = self.own_leg(tenant, leg)?;
        if !participant.put_aside {
            return Err(CommandError::CapabilityMissing);
        }
        self.fact(tenant, now, FactKind::ParticipantRetrieved { leg });
        self.arrange_media(participant.call);
        Ok(())
    }

    pub(crate) fn drop_me(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let leg = self.allowed(tenant, leg, Capability::DropMe)?;
        self.end_any(&leg, Termination::new(Cause::Application), now);
        self.arrange(leg.call, now);
        Ok(())
    }

    /// The other of whom a participant, or an application for itself, may dispose.
    fn participant(
        &self,
        tenant: &TenantId,
        leg: LegId,
        by: Option<LegId>,
        what: Capability,
    ) -> Result<LegView, CommandError> {
        let view = self.own_leg(tenant, leg)?;
        let may = match by {
            Some(by) => {
                let by = self.allowed(tenant, by, what)?;
                by.call == view.call && by.leg != view.leg
            }
            None => self
                .fold
                .live_legs(view.call)
                .any(|other| other.leg != leg && self.fold.capabilities(other.leg).contains(what)),
        };
        if may { Ok(view) } else { Err(CommandError::CapabilityMissing) }
    }
}
