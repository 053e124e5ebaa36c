//! What a phone that is called is told of its caller, and of the way by which the call came to it.

use std::iter::successors;

use sidetone_model::call::{Diversion, DiversionReason, LegCause};
use sidetone_model::fold::{CallView, LegView};
use sidetone_model::party::Party;
use sidetone_model::termination::Cause;

use crate::shard::Shard;

/// How a caller is introduced.
pub(crate) struct Introduction {
    pub(crate) caller: Party,
    /// The phone must not show it; signalling knows who may be told all the same.
    pub(crate) anonymous: bool,
    pub(crate) diversions: Vec<Diversion>,
    pub(crate) headers: Vec<(Box<str>, Box<str>)>,
    /// Max-Forwards; none for a call that began here.
    pub(crate) max_forwards: Option<u8>,
}

impl Shard {
    /// What the phone of a leg is told.
    pub(crate) fn introduction(&self, leg: &LegView) -> Introduction {
        let Some(call) = self.fold.call(leg.call) else {
            return Introduction {
                caller: Party::default(),
                anonymous: false,
                diversions: Vec::new(),
                headers: Vec::new(),
                max_forwards: None,
            };
        };
        let own = is_own(call, leg);
        let caller = self.shown_to(leg, call);
        let is_first = !own && caller.number == call.from.number;
        let discreet = self.legs.get(&leg.leg).is_some_and(|control| control.passing.anonymous);
        Introduction {
            anonymous: discreet || (call.anonymous && is_first),
            diversions: self.diversions_of(leg),
            headers: if own { Vec::new() } else { self.handed_on(call, is_first) },
            // Whoever is called in this call, be it by a fork, a redirection or a transfer, is one hop further (RFC 7332, section 3).
            max_forwards: call.max_forwards.map(|hops| hops.saturating_sub(1)),
            caller,
        }
    }

    fn shown_to(&self, leg: &LegView, call: &CallView) -> Party {
        let of_leg = |leg: Option<&LegView>| leg.map(|leg| leg.party.clone());
        match leg.cause {
            _ if is_own(call, leg) => Party { number: call.dialled.clone(), ..Party::default() },
            LegCause::Conferenced | LegCause::Intrusion => {
                of_leg(leg.by.and_then(|by| self.fold.leg(by))).unwrap_or_else(|| call.from.clone())
            }
            LegCause::Transferred
            | LegCause::Redirected
            | LegCause::PickedUp
            | LegCause::DeviceAdded
            | LegCause::DeviceSwitched => {
                let mut others = self.fold.live_legs(leg.call).filter(|other| other.is_party());
                of_leg(others.find(|other| Some(other.leg) != leg.by)).unwrap_or_else(|| call.from.clone())
            }
            LegCause::Normal | LegCause::Enquiry | LegCause::Overflown | LegCause::Replaced => {
                call.from.clone()
            }
        }
    }

    /// Who had been called before, and sent the call on while it rang (RFC 5806).
    fn diversions_of(&self, leg: &LegView) -> Vec<Diversion> {
        let before = |leg: &&LegView| {
            let sent_on = matches!(leg.cause, LegCause::Redirected | LegCause::Overflown);
            leg.by.filter(|_| sent_on).and_then(|by| self.fold.leg(by))
        };
        let mut ways: Vec<Diversion> = successors(Some(leg), before)
            .skip(1)
            .take(DIVERSIONS_MAX)
            .map(|by| Diversion { number: by.party.number.clone(), reason: reason_of(by) })
            .collect();
        ways.reverse();
        ways
    }

    /// Of the INVITE that began the call: who asserted the caller, where it is the caller that is shown, and what the operator
    /// wants copied; what an application gave a call is for whoever is called.
    fn handed_on(&self, call: &CallView, of_caller: bool) -> Vec<(Box<str>, Box<str>)> {
        let asserted = |name: &str| ASSERTED.iter().any(|known| known.eq_ignore_ascii_case(name));
        let copied = |name: &str| self.limits.copy_headers.iter().any(|wanted| is_named(name, wanted));
        let wanted = |name: &str| match asserted(name) {
            true => of_caller,
            false => call.by_application || copied(name),
        };
        call.headers.iter().filter(|(name, _)| wanted(name)).cloned().collect()
    }
}

/// Why a call did not stay at a leg: nobody took it there, or it was sent on from there.
fn reason_of(leg: &LegView) -> DiversionReason {
    match leg.ended.as_ref().map(|(_, end)| end.cause) {
        Some(Cause::Busy) => DiversionReason::Busy,
        Some(Cause::NoAnswer) => DiversionReason::NoAnswer,
        Some(Cause::Unavailable | Cause::Timeout | Cause::TransportFailure | Cause::NotFound) => {
            if leg.rang_at.is_some() { DiversionReason::NoAnswer } else { DiversionReason::Unavailable }
        }
        _ if leg.rang_at.is_some() => DiversionReason::Deflection,
        _ => DiversionReason::Unconditional,
    }
}

/// Whether the leg is that of whoever makes the call, at whose own phone it rings first.
fn is_own(call: &CallView, leg: &LegView) -> bool {
    call.by_application && call.legs.first() == Some(&leg.leg) && !call.open
}

/// Whether a header field is meant by its name, or by the beginning of it before a `*`.
fn is_named(name: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(start)),
        None => name.eq_ignore_ascii_case(wanted),
    }
}

/// Header fields that say who calls and by which way; signalling takes them from those that it trusts, and gives them to those.
const ASSERTED: [&str; 4] = ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info"];
/// Steps of ours that are told.
const DIVERSIONS_MAX: usize = 8;
