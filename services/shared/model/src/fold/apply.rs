//! What each fact changes.

use super::{CallView, ConferenceView, Fold, LegPhase, LegView};
use crate::call::{AnsweredBy, Decision, DivertCause, LegCause, LegOrigin};
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, ConferenceId, LegId};
use crate::termination::Termination;

impl Fold {
    /// Takes a fact in. A fact about something unknown changes nothing: its beginning has been forgotten.
    pub fn apply(&mut self, fact: &Fact) {
        self.apply_playback_finished(fact);
        self.apply_to_calls(fact);
        self.apply_to_conversations(fact);
    }

    fn apply_to_calls(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::CallCreated { .. }
            | FactKind::CallRestated { .. }
            | FactKind::ExternalRefAdded { .. }
            | FactKind::CallDiverted { .. }
            | FactKind::CallEnded { .. } => self.apply_to_call(fact),
            FactKind::LegCreated { .. } => self.apply_leg_created(fact),
            FactKind::LegAnswered { leg } => self.answered(*leg, fact.at),
            FactKind::LegMoved { leg, to, .. } => self.moved(*leg, *to),
            FactKind::LegsBridged { .. } | FactKind::LegEnded { .. } => self.apply_to_pair(fact),
            FactKind::LegLastHeld { .. } | FactKind::LegRestated { .. } => self.apply_for_records(&fact.kind),
            FactKind::LegWaking { .. } | FactKind::LegWoken { .. } => self.apply_waking(fact),
            FactKind::LegRouted { leg, trunk } => {
                self.with_leg(*leg, |leg| leg.trunk = Some(trunk.clone()));
            }
            FactKind::DecisionOpened { leg, kind, deadline, fallback } => {
                let decision = Decision { kind: *kind, deadline: *deadline, fallback: fallback.clone() };
                self.with_leg(*leg, |leg| leg.decision = Some(decision));
            }
            FactKind::DecisionClosed { leg, .. } => self.with_leg(*leg, |leg| leg.decision = None),
            FactKind::LegServed { .. } => self.apply_served(fact),
            FactKind::LegRinging { leg } => self.with_leg(*leg, |leg| {
                leg.phase = LegPhase::Ringing;
                leg.rang_at.get_or_insert(fact.at);
            }),
            FactKind::LegMediaAllocated { .. }
            | FactKind::LegTalkRefused { .. }
            | FactKind::LegWaiting { .. }
            | FactKind::LegDirectionChanged { .. }
            | FactKind::LegHeld { .. }
            | FactKind::LegRetrieved { .. }
            | FactKind::LegAudioChanged { .. }
            | FactKind::ParticipantHeld { .. }
            | FactKind::ParticipantRetrieved { .. } => self.apply_to_leg(&fact.kind),
            FactKind::LegDigit { .. }
            | FactKind::LegDigitsSent { .. }
            | FactKind::LegMeasured { .. }
            | FactKind::Conversation { .. } => {}
            FactKind::CallConferenced { .. }
            | FactKind::ConferenceStarted { .. }
            | FactKind::ParticipantJoined { .. }
            | FactKind::ParticipantLeft { .. }
            | FactKind::ConferenceEnded { .. } => self.apply_to_conference(fact),
            FactKind::RecordingStarted { .. }
            | FactKind::RecordingPaused { .. }
            | FactKind::RecordingResumed { .. }
            | FactKind::RecordingStopping { .. }
            | FactKind::RecordingMoved { .. }
            | FactKind::RecordingFinished { .. }
            | FactKind::RecordingFailed { .. } => self.apply_to_recording(fact),
            FactKind::MessageLeft { .. }
            | FactKind::MessageHeard { .. }
            | FactKind::MailboxPinTried { .. }
            | FactKind::MessageDeleted { .. } => {
                self.apply_to_mailbox(fact);
            }
            FactKind::PlaybackStarted { .. }
            | FactKind::PlaybackFinished { .. }
            | FactKind::PlaybackMoved { .. }
            | FactKind::StreamStarted { .. }
            | FactKind::StreamMoved { .. }
            | FactKind::StreamStopped { .. } => self.apply_to_playback(fact),
            FactKind::DeviceStateChanged { user, device, in_service } => {
                let device = (fact.tenant.clone(), user.clone(), device.clone());
                self.devices.insert(device, *in_service);
            }
        }
    }

    /// A leg whose device was woken stays as it was for all others until it rings.
    fn apply_waking(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::LegWaking { leg } => self.with_leg(*leg, |leg| {
                leg.phase = LegPhase::Waking;
                leg.was_asleep = true;
            }),
            FactKind::LegWoken { leg, replica } => self.with_leg(*leg, |leg| {
                leg.replica = replica.clone();
                leg.woken_at = Some(fact.at);
                leg.decision = None;
            }),
            _ => {}
        }
    }

    fn apply_to_call(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::CallCreated { .. } => self.apply_call_created(fact),
            FactKind::CallRestated { call, answered_at, diverted_to, first_leg, transferred_by } => {
                if let Some(view) = self.calls.get_mut(call) {
                    view.answered_at = *answered_at;
                    view.diverted_to = diverted_to.clone();
                    view.first_leg = first_leg.or(view.first_leg);
                    view.transferred_by = transferred_by.clone();
                }
            }
            FactKind::ExternalRefAdded { call, external } => {
                if let Some(view) = self.calls.get_mut(call) {
                    view.externals.push(external.clone());
                    if view.ended.is_some() {
                        // Only in snapshots: the key may be another call's by now.
                        return;
                    }
                    self.externals.insert((fact.tenant.clone(), external.clone()), *call);
                }
            }
            FactKind::CallDiverted { call, leg, to, cause } => {
                if *cause == DivertCause::Transferred {
                    self.transferred(*call, *leg);
                }
                self.part(*leg);
                self.with_leg(*leg, |leg| leg.diverted = true);
                if let Some(view) = self.calls.get_mut(call) {
                    view.diverted_to = Some(to.clone());
                }
            }
            FactKind::CallEnded { call, termination } => self.call_ended(*call, fact, termination),
            _ => {}
        }
    }

    fn apply_call_created(&mut self, fact: &Fact) {
        let FactKind::CallCreated {
            call,
            from,
            dialled,
            destination,
            by_application,
            anonymous,
            open,
            headers,
            max_forwards,
        } = &fact.kind
        else {
            return;
        };
        let view = CallView {
            call: *call,
            tenant: fact.tenant.clone(),
            from: from.clone(),
            dialled: dialled.clone(),
            destination: destination.clone(),
            by_application: *by_application,
            anonymous: *anonymous,
            open: *open,
            headers: headers.clone(),
            max_forwards: *max_forwards,
            externals: Vec::new(),
            diverted_to: None,
            conference: None,
            created_at: fact.at,
            answered_at: None,
            ended: None,
            first_leg: None,
            transferred_by: None,
            legs: Vec::new(),
            recordings: Vec::new(),
            recordings_moved: Vec::new(),
            playbacks: Vec::new(),
            streams: Vec::new(),
        };
        self.calls.insert(*call, view);
        *self.live_calls.entry(fact.tenant.clone()).or_default() += 1;
    }

    fn call_ended(&mut self, call: CallId, fact: &Fact, termination: &Termination) {
        let Some(view) = self.calls.get_mut(&call).filter(|view| view.ended.is_none()) else { return };
        view.ended = Some((fact.at, termination.clone()));
        for external in &view.externals {
            self.externals.remove(&(fact.tenant.clone(), external.clone()));
        }
        if let Some(live) = self.live_calls.get_mut(&fact.tenant) {
            *live -= 1;
            if *live == 0 {
                self.live_calls.remove(&fact.tenant);
            }
        }
    }

    /// The leg goes on in another call, and so it leaves whoever it talked with.
    fn moved(&mut self, leg: LegId, to: CallId) {
        self.part(leg);
        let Some(view) = self.legs.get_mut(&leg) else { return };
        let from = std::mem::replace(&mut view.call, to);
        if let Some(call) = self.calls.get_mut(&from) {
            let origin = || {
                let (from, dialled) = (call.from.clone(), call.dialled.clone());
                Box::new(LegOrigin { call: call.call, from, dialled })
            };
            view.origin.get_or_insert_with(origin);
            call.legs.retain(|of| *of != leg);
        }
        if let Some(call) = self.calls.get_mut(&to) {
            call.legs.push(leg);
        }
    }

    fn apply_leg_created(&mut self, fact: &Fact) {
        let FactKind::LegCreated {
            leg,
            call,
            party,
            incoming,
            replica,
            boot,
            sip_call_id,
            cause,
            by,
            assistant,
            trunk,
        } = &fact.kind
        else {
            return;
        };
        let passed_on = matches!(cause, LegCause::Transferred | LegCause::Redirected | LegCause::Overflown);
        let passed_on_by = by.filter(|_| passed_on).and_then(|by| self.legs.get(&by));
        let view = LegView {
            leg: *leg,
            call: *call,
            tenant: fact.tenant.clone(),
            party: party.clone(),
            incoming: *incoming,
            cause: *cause,
            by: *by,
            replica: replica.clone(),
            boot: *boot,
            sip_call_id: sip_call_id.clone(),
            node: None,
            phase: LegPhase::SettingUp,
            decision: None,
            direction: Default::default(),
            peer: None,
            conference: None,
            served_by: None,
            talk_refused: None,
            held: None,
            diverted: false,
            put_aside: false,
            put_aside_by: None,
            muted: false,
            deafened: false,
            voice: Default::default(),
            audio_set: false,
            origin: None,
            transferred_by: passed_on_by.map(|by| by.party.clone()),
            last_held: None,
            created_at: fact.at,
            trunk: (!trunk.is_empty()).then(|| trunk.clone()),
            answered_by: AnsweredBy::Nobody,
            assistant: *assistant,
            was_asleep: false,
            woken_at: None,
            rang_at: None,
            answered_at: None,
            ended: None,
        };
        if let Some(user) = &view.party.user {
            self.users.entry((fact.tenant.clone(), user.clone())).or_default().insert(*leg);
        }
        self.legs.insert(*leg, view);
        if let Some(call) = self.calls.get_mut(call) {
            call.legs.push(*leg);
            call.first_leg.get_or_insert(*leg);
        }
    }

    fn apply_to_pair(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::LegsBridged { a, b, .. } => {
                self.part(*a);
                self.part(*b);
                for (leg, peer) in [(*a, *b), (*b, *a)] {
                    let by = self.answered_by_peer(leg, peer);
                    self.with_leg(leg, |leg| {
                        leg.answered_by = leg.answered_by.and(by);
                        leg.peer = Some(peer);
                        leg.diverted = false;
                    });
                }
                self.met(*a, fact.at);
            }
            FactKind::LegEnded { leg, termination } => {
                self.part(*leg);
                self.with_leg(*leg, |leg| {
                    leg.phase = LegPhase::Ended;
                    leg.decision = None;
                    leg.ended = Some((fact.at, termination.clone()));
                });
                self.note_holding(*leg);
                let user = self.legs.get(leg).and_then(|view| view.party.user.clone());
                if let Some(user) = user {
                    let key = (fact.tenant.clone(), user);
                    if let Some(legs) = self.users.get_mut(&key) {
                        legs.remove(leg);
                        if legs.is_empty() {
                            self.users.remove(&key);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Keeps those who hold to be found.
    fn note_holding(&mut self, leg: LegId) {
        let Some(view) = self.legs.get(&leg) else { return };
        let Some(user) = &view.party.user else { return };
        let key = (view.tenant.clone(), user.clone());
        if view.is_live() && view.held.is_some() {
            self.holding.entry(key).or_default().insert(leg);
        } else if let Some(legs) = self.holding.get_mut(&key) {
            legs.remove(&leg);
            if legs.is_empty() {
                self.holding.remove(&key);
            }
        }
    }

    /// A leg no longer talks with its peer.
    pub(super) fn part(&mut self, leg: LegId) {
        let peer = self.legs.get_mut(&leg).and_then(|leg| leg.peer.take());
        if let Some(peer) = peer {
            self.with_leg(peer, |leg| leg.peer = None);
        }
    }

    fn apply_to_leg(&mut self, kind: &FactKind) {
        match kind {
            FactKind::LegMediaAllocated { leg, node, boot } => {
                self.with_leg(*leg, |leg| leg.node = Some((node.clone(), *boot)));
            }
            FactKind::LegTalkRefused { leg, why } => {
                self.with_leg(*leg, |leg| leg.talk_refused = Some(why.clone()));
            }
            FactKind::LegWaiting { leg } => self.with_leg(*leg, |leg| leg.phase = LegPhase::Waiting),
            FactKind::LegDirectionChanged { leg, direction } => {
                self.with_leg(*leg, |leg| leg.direction = *direction);
            }
            FactKind::LegHeld { leg, by } => {
                self.with_leg(*leg, |leg| leg.held = Some(*by));
                self.note_holding(*leg);
            }
            FactKind::LegRetrieved { leg } => {
                self.with_leg(*leg, |leg| leg.held = None);
                self.note_holding(*leg);
            }
            FactKind::LegAudioChanged { leg, muted, deafened, voice } => self.with_leg(*leg, |leg| {
                (leg.muted, leg.deafened, leg.voice) = (*muted, *deafened, *voice);
                leg.audio_set = true;
            }),
            FactKind::ParticipantHeld { leg, by } => {
                self.with_leg(*leg, |leg| (leg.put_aside, leg.put_aside_by) = (true, *by));
            }
            FactKind::ParticipantRetrieved { leg } => {
                self.with_leg(*leg, |leg| (leg.put_aside, leg.put_aside_by) = (false, None));
            }
            _ => {}
        }
    }

    fn apply_to_conference(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::ConferenceStarted { conference, room, node } => {
                self.rooms.insert((fact.tenant.clone(), room.clone()), *conference);
                let (tenant, room, node) = (fact.tenant.clone(), Some(room.clone()), node.clone());
                let (conference, started_at, participants) = (*conference, fact.at, Vec::new());
                let view =
                    ConferenceView { conference, tenant, room, call: None, node, started_at, participants };
                self.conferences.insert(conference, view);
            }
            FactKind::CallConferenced { call, conference, node } => {
                if let Some(view) = self.calls.get_mut(call) {
                    view.conference = Some(*conference);
                }
                let (tenant, call, node) = (fact.tenant.clone(), Some(*call), node.clone());
                let (conference, started_at, participants) = (*conference, fact.at, Vec::new());
                let view =
                    ConferenceView { conference, tenant, room: None, call, node, started_at, participants };
                self.conferences.insert(conference, view);
            }
            FactKind::ParticipantJoined { conference, leg } => {
                self.part(*leg);
                if let Some(view) = self.conferences.get_mut(conference) {
                    view.participants.push(*leg);
                }
                let is_room = self.conferences.get(conference).is_some_and(|view| view.room.is_some());
                self.with_leg(*leg, |leg| {
                    let by = if is_room { AnsweredBy::Room } else { leg.answers_as() };
                    leg.answered_by = leg.answered_by.and(by);
                    leg.conference = Some(*conference);
                    // Whoever is among people talks to no machine any more.
                    leg.served_by = None;
                    leg.diverted = false;
                });
                self.met(*leg, fact.at);
            }
            FactKind::ParticipantLeft { conference, leg } => {
                if let Some(view) = self.conferences.get_mut(conference) {
                    view.participants.retain(|participant| participant != leg);
                }
                self.with_leg(*leg, |leg| leg.conference = None);
            }
            FactKind::ConferenceEnded { conference } => self.conference_ended(*conference),
            _ => {}
        }
    }

    fn conference_ended(&mut self, conference: ConferenceId) {
        let Some(view) = self.conferences.remove(&conference) else { return };
        for leg in view.participants {
            self.with_leg(leg, |leg| leg.conference = None);
        }
        if let Some(room) = view.room {
            self.rooms.remove(&(view.tenant, room));
        }
        if let Some(call) = view.call.and_then(|call| self.calls.get_mut(&call)) {
            call.conference = None;
        }
    }

    pub(super) fn with_leg(&mut self, leg: LegId, change: impl FnOnce(&mut LegView)) {
        if let Some(view) = self.legs.get_mut(&leg) {
            change(view);
        }
    }
}
