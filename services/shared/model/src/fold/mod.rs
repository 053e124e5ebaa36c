//! Read models: what the facts say, and nothing else.
//!
//! [`Fold`] is the state that a log folds to. Call control decides on it, lists are answered from it, and CDRs are made
//! from it; replaying the log gives it again, to the last field.

mod cdr;
mod views;

use std::collections::BTreeMap;

pub use cdr::{Cdr, CdrKind};
pub use views::{CallView, ConferenceView, LegPhase, LegView, RecordingPhase, RecordingView};

use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, ConferenceId, LegId, RecordingId, RoomId, TenantId};
use crate::time::Timestamp;

/// What a log says about calls, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    calls: BTreeMap<CallId, CallView>,
    legs: BTreeMap<LegId, LegView>,
    conferences: BTreeMap<ConferenceId, ConferenceView>,
    recordings: BTreeMap<RecordingId, RecordingView>,
}

impl Fold {
    /// Takes a fact in. A fact about something unknown changes nothing: its beginning has been forgotten.
    pub fn apply(&mut self, fact: &Fact) {
        let at = fact.at;
        match &fact.kind {
            FactKind::CallCreated { .. } | FactKind::CallEnded { .. } => self.apply_to_call(fact),
            FactKind::LegsBridged { a, b, .. } => {
                self.with_leg(*a, |leg| leg.peer = Some(*b));
                self.with_leg(*b, |leg| leg.peer = Some(*a));
            }
            FactKind::LegAnswered { leg } => self.answered(*leg, at),
            FactKind::LegEnded { leg, .. } => {
                let peer = self.legs.get(leg).and_then(|leg| leg.peer);
                if let Some(peer) = peer {
                    self.with_leg(peer, |leg| leg.peer = None);
                }
                self.apply_to_leg(fact);
            }
            FactKind::ConferenceStarted { .. }
            | FactKind::ParticipantJoined { .. }
            | FactKind::ParticipantLeft { .. }
            | FactKind::ConferenceEnded { .. } => self.apply_to_conference(fact),
            FactKind::RecordingStarted { .. }
            | FactKind::RecordingFinished { .. }
            | FactKind::RecordingFailed { .. } => self.apply_to_recording(fact),
            FactKind::LegCreated { .. }
            | FactKind::LegMediaAllocated { .. }
            | FactKind::LegRinging { .. }
            | FactKind::LegWaiting { .. }
            | FactKind::LegDirectionChanged { .. }
            | FactKind::LegDigit { .. } => self.apply_to_leg(fact),
        }
    }

    fn apply_to_call(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::CallCreated { call, from, dialled, destination, by_application } => {
                let view = CallView {
                    call: *call,
                    tenant: fact.tenant.clone(),
                    from: from.clone(),
                    dialled: dialled.clone(),
                    destination: destination.clone(),
                    by_application: *by_application,
                    created_at: fact.at,
                    answered_at: None,
                    ended: None,
                    legs: Vec::new(),
                    recordings: Vec::new(),
                };
                self.calls.insert(*call, view);
            }
            FactKind::CallEnded { call, termination } => {
                if let Some(view) = self.calls.get_mut(call) {
                    view.ended = Some((fact.at, termination.clone()));
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, leg: LegId, at: Timestamp) {
        self.with_leg(leg, |leg| {
            leg.phase = LegPhase::Answered;
            leg.answered_at.get_or_insert(at);
        });
        let call = self.legs.get(&leg).map(|leg| leg.call);
        if let Some(call) = call.and_then(|call| self.calls.get_mut(&call)) {
            call.answered_at.get_or_insert(at);
        }
    }

    fn apply_to_leg(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::LegCreated { leg, call, party, incoming, replica, boot, sip_call_id } => {
                let view = LegView {
                    leg: *leg,
                    call: *call,
                    tenant: fact.tenant.clone(),
                    party: party.clone(),
                    incoming: *incoming,
                    replica: replica.clone(),
                    boot: *boot,
                    sip_call_id: sip_call_id.clone(),
                    node: None,
                    phase: LegPhase::SettingUp,
                    direction: Default::default(),
                    peer: None,
                    conference: None,
                    created_at: fact.at,
                    answered_at: None,
                    ended: None,
                };
                self.legs.insert(*leg, view);
                if let Some(call) = self.calls.get_mut(call) {
                    call.legs.push(*leg);
                }
            }
            FactKind::LegMediaAllocated { leg, node, boot } => {
                self.with_leg(*leg, |leg| leg.node = Some((node.clone(), *boot)));
            }
            FactKind::LegRinging { leg } => self.with_leg(*leg, |leg| leg.phase = LegPhase::Ringing),
            FactKind::LegWaiting { leg } => self.with_leg(*leg, |leg| leg.phase = LegPhase::Waiting),
            FactKind::LegDirectionChanged { leg, direction } => {
                self.with_leg(*leg, |leg| leg.direction = *direction);
            }
            FactKind::LegEnded { leg, termination } => self.with_leg(*leg, |leg| {
                leg.phase = LegPhase::Ended;
                leg.peer = None;
                leg.ended = Some((fact.at, termination.clone()));
            }),
            _ => {}
        }
    }

    fn apply_to_conference(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::ConferenceStarted { conference, room, node } => {
                let view = ConferenceView {
                    conference: *conference,
                    tenant: fact.tenant.clone(),
                    room: room.clone(),
                    node: node.clone(),
                    started_at: fact.at,
                    participants: Vec::new(),
                };
                self.conferences.insert(*conference, view);
            }
            FactKind::ParticipantJoined { conference, leg } => {
                if let Some(view) = self.conferences.get_mut(conference) {
                    view.participants.push(*leg);
                }
                self.with_leg(*leg, |leg| leg.conference = Some(*conference));
            }
            FactKind::ParticipantLeft { conference, leg } => {
                if let Some(view) = self.conferences.get_mut(conference) {
                    view.participants.retain(|participant| participant != leg);
                }
                self.with_leg(*leg, |leg| leg.conference = None);
            }
            FactKind::ConferenceEnded { conference } => {
                self.conferences.remove(conference);
            }
            _ => {}
        }
    }

    fn apply_to_recording(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::RecordingStarted { recording, call, node, stereo } => {
                let view = RecordingView {
                    recording: *recording,
                    call: *call,
                    tenant: fact.tenant.clone(),
                    node: node.clone(),
                    stereo: *stereo,
                    phase: RecordingPhase::Running,
                };
                self.recordings.insert(*recording, view);
                if let Some(call) = self.calls.get_mut(call) {
                    call.recordings.push(*recording);
                }
            }
            FactKind::RecordingFinished { recording, file, duration_ms, size_bytes } => {
                let (file, duration_ms, size_bytes) = (file.clone(), *duration_ms, *size_bytes);
                self.with_recording(*recording, RecordingPhase::Finished { file, duration_ms, size_bytes });
            }
            FactKind::RecordingFailed { recording, termination } => {
                self.with_recording(*recording, RecordingPhase::Failed(termination.clone()));
            }
            _ => {}
        }
    }

    fn with_leg(&mut self, leg: LegId, change: impl FnOnce(&mut LegView)) {
        if let Some(view) = self.legs.get_mut(&leg) {
            change(view);
        }
    }

    fn with_recording(&mut self, recording: RecordingId, phase: RecordingPhase) {
        if let Some(view) = self.recordings.get_mut(&recording) {
            view.phase = phase;
        }
    }

    /// Forgets the calls that ended before `before`, with their legs and recordings. Deterministic: the same cut on the
    /// same fold leaves the same.
    pub fn forget_ended(&mut self, before: Timestamp) {
        let over: Vec<CallId> = self
            .calls
            .values()
            .filter(|call| call.ended.as_ref().is_some_and(|(at, _)| *at < before))
            .filter(|call| !call.recordings.iter().any(|id| self.is_running(*id)))
            .map(|call| call.call)
            .collect();
        for call in over.into_iter().filter_map(|call| self.calls.remove(&call)) {
            call.legs.iter().for_each(|leg| drop(self.legs.remove(leg)));
            call.recordings.iter().for_each(|recording| drop(self.recordings.remove(recording)));
        }
    }

    fn is_running(&self, recording: RecordingId) -> bool {
        self.recordings.get(&recording).is_some_and(|view| view.phase == RecordingPhase::Running)
    }

    /// One call, live or ended and not yet forgotten.
    pub fn call(&self, call: CallId) -> Option<&CallView> {
        self.calls.get(&call)
    }

    /// Every call, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &CallView> {
        self.calls.values()
    }

    /// One leg.
    pub fn leg(&self, leg: LegId) -> Option<&LegView> {
        self.legs.get(&leg)
    }

    /// Every leg, in the order of their ids.
    pub fn legs(&self) -> impl Iterator<Item = &LegView> {
        self.legs.values()
    }

    /// The legs of a call that have not ended, in the order in which they joined.
    pub fn live_legs(&self, call: CallId) -> impl Iterator<Item = &LegView> {
        let legs = self.calls.get(&call).map_or(&[][..], |call| &call.legs);
        legs.iter().filter_map(|leg| self.legs.get(leg)).filter(|leg| leg.is_live())
    }

    /// One meeting.
    pub fn conference(&self, conference: ConferenceId) -> Option<&ConferenceView> {
        self.conferences.get(&conference)
    }

    /// Every meeting that goes on.
    pub fn conferences(&self) -> impl Iterator<Item = &ConferenceView> {
        self.conferences.values()
    }

    /// The meeting in a room, if there is one.
    pub fn conference_in(&self, tenant: &TenantId, room: &RoomId) -> Option<&ConferenceView> {
        self.conferences.values().find(|view| view.tenant == *tenant && view.room == *room)
    }

    /// One recording.
    pub fn recording(&self, recording: RecordingId) -> Option<&RecordingView> {
        self.recordings.get(&recording)
    }

    /// Every recording.
    pub fn recordings(&self) -> impl Iterator<Item = &RecordingView> {
        self.recordings.values()
    }
}
