//! A phone passes its call on by REFER (RFC 3515; with Replaces, RFC 5589, section 7).

use sidetone_model::call::{DivertCause, LegCause};
use sidetone_model::command::{LegCommandKind, ReferralState};
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::signal::Referred;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::moving::Then;
use crate::shard::Shard;

impl Shard {
    /// `routing` is that of the number to which the call is to go.
    pub(crate) fn on_referred(
        &mut self,
        leg: &LegView,
        referred: &Referred,
        routing: Routing,
        now: Timestamp,
    ) {
        let done = match referred.replaces {
            Some(other) => self.refer_to_call(leg, other, now),
            None => self.refer_to_number(leg, referred, routing, now),
        };
        if let Err(why) = done {
            self.tell_referrer(leg, ReferralState::Failed(why));
        }
    }

    /// A blind transfer. The phone stays until it is known how that went; then it goes, or talks again.
    fn refer_to_number(
        &mut self,
        leg: &LegView,
        referred: &Referred,
        to: Routing,
        now: Timestamp,
    ) -> Result<(), Termination> {
        let others = self.others_of(leg)?;
        if !referred.to.is_callable(self.limits.foreign_as_numbers) {
            return Err(Termination::new(Cause::Forbidden).with_text("an address in somebody else's domain"));
        }
        if !may_lead_to(leg, &to) {
            let text = "only users of the tenant pass calls on to numbers outside of it";
            return Err(Termination::new(Cause::Forbidden).with_text(text));
        }
        self.check_target(&to).map_err(|error| match error {
            CommandError::TargetUnregistered => {
                Termination::new(Cause::Unavailable).with_text("no device of the user is registered")
            }
            _ => Termination::new(Cause::NotFound).with_text("nobody has this number"),
        })?;
        self.tell_referrer(leg, ReferralState::Accepted);
        let number = referred.to.number.clone();
        self.divert(leg, DivertCause::Transferred, (&number, &to), now);
        let waits = others == 1 && !to.bindings.is_empty();
        if !waits {
            // A machine answers at once, and a conference goes on without the phone whatever becomes of it.
            self.told_transferors(leg.call, None);
        }
        self.send_on(leg, LegCause::Transferred, (&number, to), now);
        Ok(())
    }

    /// An attended transfer: those with whom the phone talks in its two calls are connected.
    fn refer_to_call(&mut self, leg: &LegView, other: LegId, now: Timestamp) -> Result<(), Termination> {
        self.others_of(leg)?;
        let gone = || Termination::new(Cause::NotFound).with_text("the other call is over");
        let other = self.live(other).filter(|other| other.tenant == leg.tenant).ok_or_else(gone)?;
        let same_phone = match (&leg.party.user, &other.party.user) {
            (Some(user), Some(of)) => user == of && leg.party.device == other.party.device,
            (None, None) => leg.party.number == other.party.number,
            _ => false,
        };
        if !same_phone || other.call == leg.call {
            return Err(Termination::new(Cause::Forbidden).with_text("the other call is not the phone's"));
        }
        let meets_nobody = self.fold.live_legs(other.call).all(|third| third.leg == other.leg);
        // A phone that is called and has not answered is in no conversation whose place anybody could take (RFC 3891, section 3):
        // whoever calls it would be left unanswered.
        if self.is_ending(other.leg) || !other.is_party() || meets_nobody || other.served_by.is_some() {
            return Err(gone());
        }
        if let Some((legs, to)) = self.parted(&other, leg.call) {
            let then = Then::Refer(leg.leg, other.leg);
            self.begin_gathering(&legs, to, then, now)
                .ok_or_else(|| on_two_nodes(CommandError::OnTwoNodes))?;
            self.tell_referrer(leg, ReferralState::Accepted);
            return Ok(());
        }
        self.tell_referrer(leg, ReferralState::Accepted);
        self.connect_referred(leg, &other, now).map_err(on_two_nodes)
    }

    fn connect_referred(
        &mut self,
        leg: &LegView,
        other: &LegView,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        self.come_together(other, leg.call, now)?;
        self.tell_referrer(leg, ReferralState::Succeeded);
        self.connect_others(other, leg, now).map(drop)
    }

    /// Those whom a phone connects have come to one media node.
    pub(crate) fn refer_gathered(&mut self, leg: LegId, other: LegId, now: Timestamp) {
        let live = |leg| self.live(leg).filter(|view| !self.is_ending(view.leg));
        let (Some(leg), Some(other)) = (live(leg), live(other)) else {
            return self.refer_not_gathered(leg, CommandError::CapabilityMissing);
        };
        if let Err(why) = self.connect_referred(&leg, &other, now) {
            self.tell_referrer(&leg, ReferralState::Failed(on_two_nodes(why)));
        }
    }

    /// They do not come: the phone talks on in both of its calls.
    pub(crate) fn refer_not_gathered(&mut self, leg: LegId, why: CommandError) {
        if let Some(leg) = self.live(leg) {
            self.tell_referrer(&leg, ReferralState::Failed(on_two_nodes(why)));
        }
    }

    /// How many others there are with whom a phone talks, or whom it holds.
    fn others_of(&self, leg: &LegView) -> Result<usize, Termination> {
        // Whoever is with a machine or in a room is no party, and passes nobody on.
        let parties = self.parties(leg.call);
        let (own, others): (Vec<_>, Vec<_>) = parties.iter().partition(|party| party.leg == leg.leg);
        if !own.is_empty() && !others.is_empty() && !leg.put_aside {
            return Ok(others.len());
        }
        Err(Termination::new(Cause::Rejected).with_text("there is nobody to pass on"))
    }

    fn tell_referrer(&mut self, leg: &LegView, state: ReferralState) {
        if self.fold.leg(leg.leg).is_some_and(LegView::is_live) && !self.is_ending(leg.leg) {
            self.command(leg, LegCommandKind::Referral(state));
        }
    }
}

fn on_two_nodes(why: CommandError) -> Termination {
    Termination::new(Cause::Unavailable).with_text(why.to_string())
}

/// Whoever is outside of the tenant may send calls on within it; a number out there would be called at the tenant's cost
/// (RFC 3515, section 5: whether a REFER is followed depends on who sent it).
pub(super) fn may_lead_to(leg: &LegView, to: &Routing) -> bool {
    leg.party.proof.is_of_tenant() || !leads_out(to)
}

/// Whether somebody outside of the tenant is called at a number, at once or later.
pub(super) fn leads_out(to: &Routing) -> bool {
    let out = |routing: &Routing| routing.bindings.iter().any(|it| it.outside_number().is_some());
    out(to) || to.later.iter().any(|next| out(&next.routing))
}
