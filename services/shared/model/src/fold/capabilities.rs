//! What may be done now: the one rule that refuses commands and that dialects show.
//!
//! It is asked between the facts of one entry, too, because a dialect tells of each fact: that somebody answers stands before
//! the bridge that follows from it. What is about to follow in the same entry counts as there. At the end of an entry such a
//! state is never that of anybody who stays.

use super::{Fold, LegPhase, LegView};
use crate::call::LegCause;
use crate::ids::{CallId, LegId};
use crate::party::Destination;

/// Something that may be done with a call from where one leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Capability {
    /// End the whole call.
    Terminate,
    /// End the leg.
    Drop,
    /// Make the ringing phone take the call.
    Answer,
    /// Refuse the ringing call.
    Reject,
    /// Send the ringing call to another number.
    Redirect,
    /// Send the ringing call to the voicemail of whom it is for.
    RedirectToVoicemail,
    /// Send the ringing call to the tenant's assistant.
    RedirectToAssistant,
    /// Others may take the ringing call.
    PickedUp,
    /// The caller may choose the voicemail.
    OverflowToVoicemail,
    /// End the enquiry that still rings and talk again with whoever is held.
    Reconnect,
    /// Put on hold.
    Hold,
    /// Talk again.
    Retrieve,
    /// Hold, and call somebody else.
    Enquire,
    /// Change between two calls.
    Alternate,
    /// Make one conversation of two.
    Merge,
    /// Connect the two others.
    Transfer,
    /// Pass the call on without asking.
    BlindTransfer,
    /// Ask somebody in.
    AddParticipant,
    /// Send a participant away.
    DropParticipant,
    /// Put a participant aside.
    HoldParticipant,
    /// Leave; the others go on.
    DropMe,
    /// Others may break in.
    Intruded,
    /// Bring another device in.
    AddDevice,
    /// Go on with another device.
    SwitchDevice,
    /// Mute, deafen.
    SetAudio,
    /// Send digits.
    SendDigits,
    /// Play something.
    Play,
    /// Record.
    StartRecording,
    /// End the recording.
    StopRecording,
    /// Leave out of the recording what is said.
    PauseRecording,
    /// Take it in again.
    ResumeRecording,
    /// Let people listen from outside.
    StartStream,
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Whether it is among them.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    fn add(&mut self, capabilities: &[Capability]) {
        for capability in capabilities {
            self.0 |= 1 << *capability as u8;
        }
    }
}

/// Where a leg stands among the others of its call.
struct Place<'a> {
    leg: &'a LegView,
    /// Whoever else has been answered, or called us, and stays.
    parties: Vec<&'a LegView>,
    /// Phones that we call.
    called: Vec<&'a LegView>,
    /// Somebody has passed the call on, and is not gone yet.
    passed_on: bool,
    /// Whether the same device holds another call, and can go back to it.
    holds_another: bool,
    /// Whether those whom the device holds can come to where it talks, and those with whom it talks to where it holds.
    joinable: (bool, bool),
}

impl Fold {
    /// What may be done from where a leg stands: nothing when it has ended or is not known.
    pub fn capabilities(&self, leg: LegId) -> Capabilities {
        let mut all = Capabilities::default();
        let Some(leg) = self.leg(leg).filter(|leg| leg.is_live()) else { return all };
        all.add(&[Capability::Terminate, Capability::Drop]);
        let others: Vec<_> = self.live_legs(leg.call).filter(|other| other.leg != leg.leg).collect();
        let passed_on = others.iter().any(|other| other.diverted);
        let (parties, called): (Vec<_>, Vec<_>) =
            others.into_iter().filter(|other| !other.diverted).partition(|other| other.is_party());
        let held = self.all_held_beside(leg);
        let holds_another = held.iter().any(|held| held.can_be_retrieved());
        let joinable = (
            held.iter().any(|held| self.can_join(held, leg)),
            held.iter().any(|held| self.can_join(leg, held) && self.holds_somebody(held)),
        );
        let place = Place { leg, parties, called, passed_on, holds_another, joinable };
        let talks = leg.is_answered() || place.is_being_answered();
        match leg.phase {
            LegPhase::Ringing | LegPhase::Waking if !leg.incoming => place.of_ringing(&mut all),
            _ if talks => place.of_answered(&mut all),
            LegPhase::SettingUp | LegPhase::Waiting | LegPhase::Ringing if leg.incoming => {
                place.of_caller(&mut all);
            }
            _ => {}
        }
        if talks {
            self.of_recording(leg.call, &mut all);
        }
        all
    }

    /// Whether those in the call of `but` can be connected with those in the call of `other`: on one media node they are, and to
    /// another goes whoever is answered and at nothing that stays behind.
    fn can_join(&self, but: &LegView, other: &LegView) -> bool {
        let node = |leg: &LegView| leg.node.as_ref().map(|(node, _)| node.clone());
        let mix = self.call(but.call).and_then(|call| call.conference);
        let can_move = |leg: &LegView| {
            leg.is_answered()
                && (leg.conference.is_none() || leg.conference == mix)
                && matches!(leg.served_by, None | Some(Destination::Echo))
        };
        node(but) == node(other) || self.live_legs(but.call).filter(|leg| leg.leg != but.leg).all(can_move)
    }

    /// Whether somebody is there, or will be, whom a leg holds. Who holds a machine, or is alone in a room, has nobody with whom
    /// others could be connected; who is alone otherwise is about to be told to end.
    pub fn holds_somebody(&self, held: &LegView) -> bool {
        let meeting = held.conference.and_then(|conference| self.conference(conference));
        let alone_there = held.served_by.is_some() || meeting.is_some_and(|meeting| meeting.room.is_some());
        !alone_there || self.live_legs(held.call).any(|other| other.leg != held.leg && !other.diverted)
    }

    /// The leg with which the device of `leg` holds another call: of several the first in which there is somebody.
    pub fn held_beside(&self, leg: &LegView) -> Option<&LegView> {
        let all = self.all_held_beside(leg).into_iter();
        all.min_by_key(|held| !self.holds_somebody(held))
    }

    /// Every leg with which the device of `leg` holds another call. What is offered of two calls can be done with one of them.
    pub fn all_held_beside(&self, leg: &LegView) -> Vec<&LegView> {
        let Some(user) = &leg.party.user else { return Vec::new() };
        let beside = |other: &&LegView| {
            other.leg != leg.leg
                && other.call != leg.call
                && other.party.device == leg.party.device
                && other.is_answered()
        };
        self.holding_legs_of(&leg.tenant, user).filter(beside).collect()
    }

    fn of_recording(&self, call: CallId, all: &mut Capabilities) {
        match self.running_recording(call).map(|view| &view.phase) {
            Some(super::RecordingPhase::Paused) => {
                all.add(&[Capability::StopRecording, Capability::ResumeRecording]);
            }
            Some(_) => all.add(&[Capability::StopRecording, Capability::PauseRecording]),
            None if self.can_be_recorded(call) => all.add(&[Capability::StartRecording]),
            None => {}
        }
    }

    /// Whether anything can be heard in a call.
    fn can_be_recorded(&self, call: CallId) -> bool {
        let mut legs = self.live_legs(call).filter(|leg| leg.is_answered());
        legs.any(|leg| leg.held.is_none() && !self.is_held_by_peer(leg))
    }

    fn is_held_by_peer(&self, leg: &LegView) -> bool {
        leg.peer.and_then(|peer| self.leg(peer)).is_some_and(|peer| peer.held.is_some())
    }
}

impl LegView {
    /// Whether somebody is there: it called us, or it was answered. Otherwise it is a phone that we call.
    pub fn is_party(&self) -> bool {
        self.incoming || self.is_answered()
    }

    /// Whether it comes into a conversation beside those who talk.
    pub fn joins(&self) -> bool {
        matches!(self.cause, LegCause::Conferenced | LegCause::Intrusion | LegCause::DeviceAdded)
    }
}

impl Place<'_> {
    /// A phone that we call, and it rings, or will when it has woken up.
    fn of_ringing(&self, all: &mut Capabilities) {
        use Capability::*;
        // Who is being woken cannot be asked to take the call by itself.
        if self.leg.talk_refused.is_none() && self.leg.phase == LegPhase::Ringing {
            all.add(&[Answer]);
        }
        // Without anybody who waits it is the phone of whoever makes the call.
        let for_somebody = !self.parties.is_empty() && !self.leg.cause.takes_over();
        if for_somebody && self.leg.cause != LegCause::DeviceAdded {
            all.add(&[Reject, Redirect, RedirectToVoicemail, RedirectToAssistant, PickedUp]);
        }
    }

    /// A phone that calls us.
    fn of_caller(&self, all: &mut Capabilities) {
        if self.awaits_somebody() {
            self.of_awaiting(all);
        }
    }

    fn of_awaiting(&self, all: &mut Capabilities) {
        all.add(&[Capability::OverflowToVoicemail]);
        if self.holds_another {
            all.add(&[Capability::Reconnect]);
        }
    }

    fn of_answered(&self, all: &mut Capabilities) {
        use Capability::*;
        if self.leg.held.is_some() {
            if self.leg.can_be_retrieved() {
                all.add(&[Retrieve]);
            }
            self.of_device(all);
            return;
        }
        if self.parties.is_empty() || self.leg.served_by.is_some() || self.is_in_room() {
            if self.awaits_somebody() {
                self.of_awaiting(all);
            } else {
                all.add(&[SetAudio, SendDigits, Play, StartStream]);
            }
            return;
        }
        let mine = self.parties.iter().find(|other| Some(other.leg) == self.leg.peer);
        if mine.is_some_and(|peer| peer.held.is_some()) {
            return;
        }
        all.add(&[Hold, AddParticipant, Intruded, BlindTransfer]);
        self.of_device(all);
        if self.leg.party.user.is_some() {
            all.add(&[SwitchDevice, AddDevice]);
        }
        if self.leg.is_answered() {
            all.add(&[SetAudio, SendDigits, Play, StartStream]);
        }
        if self.holds_another {
            all.add(&[Alternate]);
        }
        if self.joinable.0 {
            all.add(&[Merge]);
        }
        if self.joinable.1 {
            all.add(&[Transfer]);
        }
        if self.is_conference() {
            all.add(&[DropMe, DropParticipant]);
            if self.parties.iter().any(|other| other.is_answered() && !other.put_aside) {
                all.add(&[HoldParticipant]);
            }
        }
    }

    /// Only a device that is known can be called for a second call.
    fn of_device(&self, all: &mut Capabilities) {
        if self.leg.party.user.is_some() && self.leg.party.device.is_some() {
            all.add(&[Capability::Enquire]);
        }
    }

    /// Nobody is there yet, and somebody rings, or will: whoever the call was sent on to.
    fn awaits_somebody(&self) -> bool {
        let sent_on = |leg: &&LegView| {
            matches!(leg.cause, LegCause::Transferred | LegCause::Redirected | LegCause::Overflown)
        };
        let rings = |leg: &&LegView| leg.is_alerting() || sent_on(leg);
        self.parties.is_empty() && (self.passed_on || self.called.iter().any(rings))
    }

    /// Somebody has answered a caller, who is answered next.
    fn is_being_answered(&self) -> bool {
        let alone = |leg: &LegView| leg.peer.is_none() && leg.conference.is_none() && leg.served_by.is_none();
        let answers = |leg: &&LegView| !leg.incoming && leg.is_answered() && alone(leg);
        self.leg.incoming && !self.leg.is_answered() && self.parties.iter().any(answers)
    }

    fn is_in_room(&self) -> bool {
        self.leg.conference.is_some() && self.parties.is_empty()
    }

    fn is_conference(&self) -> bool {
        self.parties.len() >= 2 || (self.parties.len() == 1 && self.called.iter().any(|leg| leg.joins()))
    }
}
