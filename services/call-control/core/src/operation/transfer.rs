//! Passing calls on.

use sidetone_model::call::{DivertCause, LegCause, MoveCause};
use sidetone_model::command::{LegCommandKind, ReferralState};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{CallId, LegId, TenantId};
use sidetone_model::party::{Destination, Party};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;

impl Shard {
    /// Connects with each other those to whom a device talks and whom it holds. The held call goes on.
    pub(crate) fn transfer_attended(
        &mut self,
        tenant: &TenantId,
        legs: (LegId, LegId),
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        let (active, held) = self.two_calls(tenant, legs, Capability::Transfer)?;
        self.connect_others(&active, &held, now)
    }

    pub(crate) fn connect_others(
        &mut self,
        active: &LegView,
        held: &LegView,
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        self.come_together(active, held.call, now)?;
        let to = self.move_all(active, held.call, MoveCause::Transferred, now).unwrap_or_default();
        let diverted =
            FactKind::CallDiverted { call: held.call, leg: held.leg, cause: DivertCause::Transferred, to };
        self.fact(&held.tenant, now, diverted);
        for leg in [held, active] {
            self.end_any(leg, Termination::new(Cause::Diverted), now);
        }
        self.arrange(held.call, now);
        Ok(held.call)
    }

    /// Passes a call on to a number, and leaves.
    pub(crate) fn transfer_blind(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (number, to): (&str, Routing),
        anonymous: bool,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let leg = self.allowed(tenant, leg, Capability::BlindTransfer)?;
        self.check_target(&to)?;
        self.divert(&leg, DivertCause::Transferred, (number, &to), now);
        self.end_any(&leg, Termination::new(Cause::Diverted), now);
        let rung = self.send_on(&leg, LegCause::Transferred, (number, to), now);
        self.ring_discreetly(&rung, anonymous);
        Ok(())
    }

    /// Writes down who is meant from now on.
    pub(crate) fn divert(
        &mut self,
        leg: &LegView,
        cause: DivertCause,
        (number, to): (&str, &Routing),
        now: Timestamp,
    ) {
        let user = match to.told() {
            Some(Destination::User(user) | Destination::Voicemail(user)) => Some(user),
            _ => None,
        };
        let to = Party { user, number: number.into(), ..Party::default() };
        self.fact(&leg.tenant, now, FactKind::CallDiverted { call: leg.call, leg: leg.leg, cause, to });
    }

    /// Those who stay in the call get somebody else: phones are rung, which it gives back, or a machine serves them.
    pub(crate) fn send_on(
        &mut self,
        by: &LegView,
        cause: LegCause,
        (number, to): (&str, Routing),
        now: Timestamp,
    ) -> Vec<LegId> {
        if !to.bindings.is_empty() {
            let ring = Ring {
                call: by.call,
                tenant: by.tenant.clone(),
                number: number.into(),
                cause,
                by: Some(by.leg),
                auto_answer: false,
                contact: "".into(),
                then: None,
            };
            let rung = self.ring(&ring, &to, now);
            self.arrange(by.call, now);
            return rung;
        }
        // A machine serves whoever is left alone: it takes no conversations.
        let staying: Vec<LegView> = self
            .fold
            .live_legs(by.call)
            .filter(|leg| leg.leg != by.leg && leg.is_party() && !leg.diverted && !self.is_ending(leg.leg))
            .cloned()
            .collect();
        if let [alone] = staying.as_slice() {
            // It may be in a room already, to which another phone has sent it on.
            self.leave(alone, now);
            if let Some(alone) = self.live(alone.leg) {
                self.route(&alone, to, now);
            }
        } else {
            self.arrange(by.call, now);
        }
        Vec::new()
    }

    /// Whether a number is one to which calls can be sent on.
    pub(crate) fn check_target(&self, to: &Routing) -> Result<(), CommandError> {
        match &to.destination {
            None
            | Some(
                Destination::Wait
                | Destination::Mailbox(_)
                | Destination::Assistant
                | Destination::PickUpGroup { .. },
            ) => Err(CommandError::ToLeadsNowhere),
            Some(Destination::User(_)) if to.bindings.is_empty() && !self.leads_on(to) => {
                Err(CommandError::TargetUnregistered)
            }
            Some(_) => Ok(()),
        }
    }

    /// Phones that passed the call on, and stayed to hear how that went, are told; when it went well they go.
    pub(crate) fn told_transferors(&mut self, call: CallId, failure: Option<Termination>) {
        for leg in self.waiting_transferors(call) {
            let state = failure.clone().map_or(ReferralState::Succeeded, ReferralState::Failed);
            self.command(&leg, LegCommandKind::Referral(state));
            if failure.is_none() {
                self.end(&leg, Termination::new(Cause::Diverted));
            }
        }
    }

    /// Phones that passed the call on are told once that the new one rings.
    pub(crate) fn tell_referrers_of_ringing(&mut self, ringing: &LegView) {
        let new = ringing.cause == LegCause::Transferred && !ringing.is_answered();
        if !new || std::mem::replace(&mut self.control(ringing.leg).passing.referrer_told, true) {
            return;
        }
        for leg in self.waiting_transferors(ringing.call) {
            self.command(&leg, LegCommandKind::Referral(ReferralState::Ringing));
        }
    }

    fn waiting_transferors(&self, call: CallId) -> Vec<LegView> {
        let stays = |leg: &&LegView| leg.diverted && leg.is_answered() && !self.is_ending(leg.leg);
        self.fold.live_legs(call).filter(stays).cloned().collect()
    }
}
