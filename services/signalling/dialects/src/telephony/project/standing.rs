//! Where a leg stands in its call, in the dialect's terms, and what may be done from there.

use sidetone_model::call::LegCause;
use sidetone_model::fold::{CallView, Capabilities, Capability, Fold, LegView};

use crate::telephony::words::CallState;

/// Where a leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It calls; nobody rings yet.
    Dialing,
    /// It calls, and somebody rings.
    RingingOutgoing,
    /// It rings.
    RingingIncoming,
    /// It talks.
    Active,
    /// It talks to a machine.
    Served,
    /// It holds whoever it talked with.
    Holder,
    /// Whoever it talked with holds it.
    Held,
    /// Whoever it talked with is gone.
    Alone,
    /// Whoever it held is gone.
    AloneHeld,
}

impl Standing {
    /// Where a leg stands; none when its user is not to see it: it is over, has passed its call on, or is a phone that
    /// nobody hears ringing yet.
    pub(crate) fn of(fold: &Fold, call: &CallView, leg: &LegView) -> Option<Self> {
        if !leg.is_live() || leaves(fold, leg) {
            return None;
        }
        if !leg.is_answered() && !makes_call(call, leg) {
            let rings = leg.is_alerting() && leg.cause != LegCause::DeviceSwitched;
            return rings.then_some(Self::RingingIncoming);
        }
        let others: Vec<&LegView> =
            fold.live_legs(call.call).filter(|other| other.leg != leg.leg && !leaves(fold, other)).collect();
        let talks = others.iter().any(|other| other.is_answered() || makes_call(call, other));
        if talks {
            return Some(Self::of_talking(fold, call, leg));
        }
        if leg.served_by.is_some() || leg.conference.is_some() {
            return Some(Self::Served);
        }
        let sent_on = |leg: &LegView| {
            matches!(leg.cause, LegCause::Transferred | LegCause::Redirected | LegCause::Overflown)
        };
        let awaits = |other: &LegView| other.is_alerting() || sent_on(other);
        if others.iter().any(|other| awaits(other)) || is_passed_on(fold, call) {
            return Some(Self::RingingOutgoing);
        }
        let met = call
            .legs
            .iter()
            .filter_map(|id| fold.leg(*id))
            .any(|other| other.leg != leg.leg && other.answered_at.is_some() && !leaves(fold, other));
        Some(match (met, leg.held) {
            (false, _) => Self::Dialing,
            (true, None) => Self::Alone,
            (true, Some(_)) => Self::AloneHeld,
        })
    }

    fn of_talking(fold: &Fold, call: &CallView, leg: &LegView) -> Self {
        if leg.held.is_some() {
            return Self::Holder;
        }
        if leg.put_aside {
            return Self::Held;
        }
        if !leg.is_answered()
            && !fold.live_legs(call.call).any(|other| other.leg != leg.leg && other.is_answered())
        {
            return Self::Dialing;
        }
        let held = leg.peer.and_then(|peer| fold.leg(peer)).is_some_and(|peer| peer.held.is_some());
        if held { Self::Held } else { Self::Active }
    }

    /// As clients know it.
    pub(crate) fn state(self) -> CallState {
        match self {
            Self::Dialing => CallState::Dialing,
            Self::RingingOutgoing => CallState::RingingOutgoing,
            Self::RingingIncoming => CallState::RingingIncoming,
            Self::Active | Self::Served | Self::Alone => CallState::Active,
            Self::Holder | Self::Held | Self::AloneHeld => CallState::Held,
        }
    }

    /// What may be done with the leg, in the dialect's words: of what the document mentions in this state, what there is.
    pub(crate) fn of_leg(self, may: Capabilities, leg: &LegView) -> Vec<&'static str> {
        use Capability as C;
        let words: &[(&'static str, Capability)] = match self {
            Self::Dialing | Self::Served | Self::Alone => &[("drop", C::Drop)],
            Self::RingingOutgoing => &[("drop", C::Drop), ("reconnect", C::Reconnect)],
            Self::RingingIncoming => &[("answer", C::Answer)],
            Self::Active => &[("drop", C::Drop), ("hold", C::Hold), ("switchDevice", C::SwitchDevice)],
            Self::Holder => &[("retrieve", C::Retrieve)],
            Self::Held | Self::AloneHeld => &[],
        };
        let mut words = said(words, may);
        // The document has no leg that is muted, so that nothing of it is contradicted.
        if leg.muted && may.contains(C::SetAudio) {
            words.push("unMute");
        }
        words
    }

    /// What may be done with the leg beside, of what the product knows and the document mentions in no state.
    pub(crate) fn of_leg_beside(may: Capabilities, leg: &LegView) -> Vec<&'static str> {
        let mute: &[(&'static str, Capability)] =
            if leg.muted { &[] } else { &[("mute", Capability::SetAudio)] };
        let mut words = said(mute, may);
        words.extend(said(&[("sendDtmf", Capability::SendDigits)], may));
        words
    }

    /// And with the call.
    pub(crate) fn of_call_beside(may: Capabilities) -> Vec<&'static str> {
        // In a conference, by whoever may also send participants away.
        let conference = may.contains(Capability::DropParticipant) && may.contains(Capability::SetAudio);
        if conference { vec!["muteParticipant"] } else { Vec::new() }
    }

    /// What may be done with the call from there, in the dialect's words: of what the document mentions in this state, what
    /// there is.
    pub(crate) fn of_call(self, may: Capabilities) -> Vec<&'static str> {
        let words: &[(&'static str, Capability)] = match self {
            Self::Dialing | Self::Served | Self::Holder | Self::Held | Self::Alone | Self::AloneHeld => {
                &[("terminate", Capability::Terminate)]
            }
            Self::RingingOutgoing => &RINGING_OUTGOING,
            Self::RingingIncoming => &RINGING_INCOMING,
            Self::Active => &ACTIVE,
        };
        said(words, may)
    }
}

fn said(words: &[(&'static str, Capability)], may: Capabilities) -> Vec<&'static str> {
    words.iter().filter(|(_, what)| may.contains(*what)).map(|(word, _)| *word).collect()
}

/// Whether it is the leg of whoever makes the call.
pub(crate) fn makes_call(call: &CallView, leg: &LegView) -> bool {
    leg.incoming
        || leg.cause == LegCause::Enquiry
        || (call.by_application && !call.open && call.legs.first() == Some(&leg.leg))
}

/// Whether the leg has passed its call on, or rings beside one that did.
pub(crate) fn leaves(fold: &Fold, leg: &LegView) -> bool {
    if leg.diverted || leg.is_party() {
        return leg.diverted;
    }
    let legs = fold.call(leg.call).map_or(&[][..], |call| &call.legs);
    legs.iter().filter_map(|id| fold.leg(*id)).any(|other| {
        let same_fork = other.party.is_whom(&leg.party) && (other.cause, other.by) == (leg.cause, leg.by);
        other.diverted && other.answered_at.is_none() && same_fork
    })
}

/// Whether the call was passed on, and nobody has rung since.
pub(crate) fn is_passed_on(fold: &Fold, call: &CallView) -> bool {
    fold.live_legs(call.call).any(|leg| leg.diverted)
}

/// What the document mentions while somebody rings for the user, while the user's phone rings, and while the user talks.
const RINGING_OUTGOING: [(&str, Capability); 2] =
    [("overflowToVoiceMail", Capability::OverflowToVoicemail), ("terminate", Capability::Terminate)];
const RINGING_INCOMING: [(&str, Capability); 5] = [
    ("redirect", Capability::Redirect),
    ("pickedUp", Capability::PickedUp),
    ("redirectToVoiceMail", Capability::RedirectToVoicemail),
    ("redirectToDVA", Capability::RedirectToAssistant),
    ("reject", Capability::Reject),
];
const ACTIVE: [(&str, Capability); 14] = [
    ("addDevice", Capability::AddDevice),
    ("addParticipant", Capability::AddParticipant),
    ("intruded", Capability::Intruded),
    ("blindTransfer", Capability::BlindTransfer),
    ("terminate", Capability::Terminate),
    ("transfer", Capability::Transfer),
    ("merge", Capability::Merge),
    ("dropMe", Capability::DropMe),
    ("dropParticipant", Capability::DropParticipant),
    ("holdParticipant", Capability::HoldParticipant),
    ("startRecord", Capability::StartRecording),
    ("stopRecord", Capability::StopRecording),
    ("pauseRecord", Capability::PauseRecording),
    ("resumeRecord", Capability::ResumeRecording),
];
