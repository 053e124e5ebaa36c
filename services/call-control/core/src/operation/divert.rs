//! Calls that ring: answered, refused, sent on.

use sidetone_model::call::{DivertCause, Elsewhere, LegCause};
use sidetone_model::command::LegCommandKind;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// A phone that rings is asked to take the call by itself. That it will not is a fact, and from then on the capability is
    /// not there.
    pub(crate) fn answer_ringing(&mut self, tenant: &TenantId, leg: LegId) -> Result<(), CommandError> {
        let leg = self.allowed(tenant, leg, Capability::Answer)?;
        // One that is being ended, and has not said so yet, has nothing to take.
        if !self.is_ending(leg.leg) {
            self.command(&leg, LegCommandKind::Talk);
        }
        Ok(())
    }

    /// The user at whom it rings does not want the call: all the user's phones stop.
    pub(crate) fn reject(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let leg = self.allowed(tenant, leg, Capability::Reject)?;
        for ringing in self.fork_of(&leg) {
            self.end_any(&ringing, Termination::new(Cause::Rejected), now);
        }
        Ok(())
    }

    /// A call that rings is sent on.
    pub(crate) fn redirect(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (elsewhere, to): (&Elsewhere, Routing),
        anonymous: bool,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let what = match elsewhere {
            Elsewhere::Number(_) => Capability::Redirect,
            Elsewhere::Voicemail => Capability::RedirectToVoicemail,
            Elsewhere::Assistant => Capability::RedirectToAssistant,
        };
        let leg = self.allowed(tenant, leg, what)?;
        self.check_target(&to)?;
        let number = match elsewhere {
            Elsewhere::Number(number) => number.clone(),
            Elsewhere::Voicemail => leg.party.number.clone(),
            Elsewhere::Assistant => to.number.clone(),
        };
        let why = (DivertCause::Redirected, LegCause::Redirected);
        let rung = self.send_ringing_on(&leg, why, (&number, to), now);
        self.ring_discreetly(&rung, anonymous);
        Ok(())
    }

    /// A caller that was not answered is told to call elsewhere by itself. What rings for it stops when it has left.
    pub(crate) fn deflect(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        numbers: &[Box<str>],
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let leg = self.own_leg(tenant, leg)?;
        if !leg.incoming || !leg.is_live() || leg.is_answered() || self.is_ending(leg.leg) {
            return Err(CommandError::NotWaiting);
        }
        self.close_decision(&leg, now);
        self.command(&leg, LegCommandKind::Deflect { numbers: numbers.to_vec() });
        Ok(())
    }

    /// The caller chooses the voicemail of whoever does not answer.
    pub(crate) fn overflow(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        to: Routing,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let caller = self.allowed(tenant, leg, Capability::OverflowToVoicemail)?;
        self.check_target(&to)?;
        let awaited = self.awaited_by(&caller).ok_or(CommandError::CapabilityMissing)?;
        let number = awaited.party.number.clone();
        self.send_ringing_on(&awaited, (DivertCause::Overflown, LegCause::Overflown), (&number, to), now);
        if awaited.is_party() {
            self.told_transferors(caller.call, None);
        }
        Ok(())
    }

    /// Whom a caller waits for: a phone that rings, one that will, or whoever has passed the call on.
    fn awaited_by(&self, caller: &LegView) -> Option<LegView> {
        let others = self.fold.live_legs(caller.call).filter(|leg| leg.leg != caller.leg);
        let awaited = others.filter(|leg| leg.diverted || !leg.is_party());
        awaited.min_by_key(|leg| (leg.diverted, !leg.is_alerting())).cloned()
    }

    pub(crate) fn send_ringing_on(
        &mut self,
        leg: &LegView,
        (diverted, cause): (DivertCause, LegCause),
        (number, to): (&str, Routing),
        now: Timestamp,
    ) -> Vec<LegId> {
        let fork = self.fork_of(leg);
        self.divert(leg, diverted, (number, &to), now);
        // First the new ones: the caller must not be left with nobody in between.
        let rung = self.send_on(leg, cause, (number, to), now);
        for ringing in fork {
            self.end_any(&ringing, Termination::new(Cause::Diverted), now);
        }
        rung
    }
}
