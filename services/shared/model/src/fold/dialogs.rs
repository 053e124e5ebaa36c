//! What a user's phones are doing, as others may see it beside a key of theirs (busy lamp field, RFC 4235).

use super::{CallView, Fold, LegPhase, LegView};
use crate::call::LegCause;
use crate::ids::{CallId, TenantId, UserId};
use crate::party::Party;
use crate::watch::{DIALOGS_MAX, DialogPhase, RemoteParty, UserDialog};

impl Fold {
    /// The calls at a user's phones, oldest leg first, [`DIALOGS_MAX`] at most. A phone that is called and does not ring yet is
    /// not among them, unless it is being woken, nor one that has passed its call on.
    pub fn dialogs_of(&self, tenant: &TenantId, user: &UserId) -> Vec<UserDialog> {
        let legs = self.live_legs_of(tenant, user).filter(|leg| !leg.diverted);
        legs.filter_map(|leg| self.dialog_of(leg)).take(DIALOGS_MAX).collect()
    }

    /// The users at whose phones a call is or was.
    pub fn users_of(&self, call: CallId) -> impl Iterator<Item = &UserId> {
        let legs = self.call(call).map_or(&[][..], |call| &call.legs);
        legs.iter().filter_map(|leg| self.leg(*leg)?.party.user.as_ref())
    }

    fn dialog_of(&self, leg: &LegView) -> Option<UserDialog> {
        let call = self.call(leg.call)?;
        let initiator = leg.incoming
            || leg.cause == LegCause::Enquiry
            || (call.by_application && !call.open && call.legs.first() == Some(&leg.leg));
        let others = || self.live_legs(leg.call).filter(|other| other.leg != leg.leg);
        let phase = match leg.phase {
            LegPhase::Answered => DialogPhase::Confirmed,
            LegPhase::Ringing | LegPhase::Waking => DialogPhase::Early,
            _ if initiator && others().any(LegView::is_alerting) => DialogPhase::Early,
            _ if initiator => DialogPhase::Trying,
            _ => return None,
        };
        Some(UserDialog { leg: leg.leg, initiator, phase, remote: self.remote_of(call, leg, initiator) })
    }

    /// With whom; none when several are meant, or who calls is not to be named to others (RFC 3323).
    fn remote_of(&self, call: &CallView, leg: &LegView, initiator: bool) -> Option<RemoteParty> {
        if leg.conference.is_some() {
            return None;
        }
        let caller = || (!call.anonymous).then(|| named(&call.from));
        let Some(peer) = leg.peer.and_then(|peer| self.leg(peer)) else {
            if !initiator {
                return caller()?;
            }
            let called = call.diverted_to.as_ref().and_then(named);
            let dialled = || RemoteParty { number: call.dialled.clone(), display_name: "".into() };
            return called.or_else(|| (!call.dialled.is_empty()).then(dialled));
        };
        if call.anonymous && (peer.incoming || peer.party.is_whom(&call.from)) {
            return None;
        }
        named(&peer.party)
    }
}

fn named(party: &Party) -> Option<RemoteParty> {
    let named = RemoteParty { number: party.number.clone(), display_name: party.display_name.clone() };
    (!party.number.is_empty()).then_some(named)
}
