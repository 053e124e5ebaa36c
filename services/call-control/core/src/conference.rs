//! Meetings: made by the first who enters, ended by the last who leaves.

use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{ConferenceId, LegId, RecordingId, RoomId};
use sidetone_model::media::{FileFormat, Layout};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::error::CommandError;
use crate::input::Routing;
use crate::moving::Then;
use crate::shard::Shard;

impl Shard {
    /// Puts an answered leg into the meeting of a room, which begins with it if nobody is there.
    pub(crate) fn enter(&mut self, leg: &LegView, room: &RoomId, routing: &Routing, now: Timestamp) {
        let Some((node, _)) = leg.node.clone() else { return };
        if self.is_ending(leg.leg) {
            return;
        }
        let meeting = self
            .fold
            .conference_in(&leg.tenant, room)
            .map(|meeting| (meeting.conference, meeting.node.clone()));
        let conference = match meeting {
            Some((conference, place)) if place == node => conference,
            Some((_, place)) => {
                // Two came first at the same moment, on two nodes, or it was sent on from another call.
                let then = Then::Enter(leg.leg, room.clone(), Box::new(routing.clone()));
                if self.begin_gathering(std::slice::from_ref(leg), place, then, now).is_none() {
                    self.enter_not_gathered(leg.leg, CommandError::OnTwoNodes);
                }
                return;
            }
            None => {
                let conference = self.ids.make(now);
                let started = FactKind::ConferenceStarted { conference, room: room.clone(), node };
                self.fact(&leg.tenant, now, started);
                conference
            }
        };
        self.fact(&leg.tenant, now, FactKind::ParticipantJoined { conference, leg: leg.leg });
        self.arrange_media(leg.call);
        self.record_meeting(leg, conference, routing.room.record, now);
    }

    /// The leg can be where the meeting is.
    pub(crate) fn enter_gathered(&mut self, leg: LegId, room: &RoomId, routing: &Routing, now: Timestamp) {
        let Some(view) = self.live(leg) else { return };
        // The meeting may be over by now; then another begins where the leg is.
        if let Some(place) = self.fold.conference_in(&view.tenant, room).map(|meeting| meeting.node.clone()) {
            self.arrive_on(&view, &place, now);
            self.follow_to(leg, now);
        }
        if let Some(view) = self.live(leg) {
            self.enter(&view, room, routing, now);
        }
    }

    /// The last of a call that was heard has gone to another node: what is recorded of the call goes on there.
    fn follow_to(&mut self, leg: LegId, now: Timestamp) {
        let Some(view) = self.live(leg) else { return };
        let stays = |other: &LegView| {
            other.leg != leg && other.is_answered() && !other.diverted && !self.is_ending(other.leg)
        };
        if !self.fold.live_legs(view.call).any(stays) {
            self.carry_over(&[leg], view.call, view.call, now);
            self.capture_newcomers(view.call);
        }
    }

    /// It cannot: whoever calls again finds the meeting.
    pub(crate) fn enter_not_gathered(&mut self, leg: LegId, why: CommandError) {
        if let Some(leg) = self.live(leg) {
            let text = format!("the room is on another media node: {why}");
            self.end(&leg, Termination::new(Cause::NoCapacity).with_text(text));
        }
    }

    /// A leg that ends is no longer in its meeting.
    pub(crate) fn leave(&mut self, leg: &LegView, now: Timestamp) {
        let Some(conference) = leg.conference else { return };
        self.fact(&leg.tenant, now, FactKind::ParticipantLeft { conference, leg: leg.leg });
        let over = self.fold.conference(conference).is_some_and(|meeting| meeting.participants.is_empty());
        if over {
            self.fact(&leg.tenant, now, FactKind::ConferenceEnded { conference });
            self.stop_recording_of(recording_of(conference));
        }
    }

    /// A recorded room: the recording begins with the meeting and takes in whoever comes.
    fn record_meeting(&mut self, leg: &LegView, conference: ConferenceId, record: bool, now: Timestamp) {
        let recording = recording_of(conference);
        let runs = self.fold.recording(recording).is_some();
        if !runs && !record {
            return;
        }
        let Some((node, _)) = leg.node.clone() else { return };
        if !runs {
            let started = FactKind::RecordingStarted {
                recording,
                call: leg.call,
                node: node.clone(),
                stereo: false,
                format: Default::default(),
                layout: Default::default(),
                name: "".into(),
                legs: Vec::new(),
                callback: None,
                beep: false,
            };
            self.fact(&leg.tenant, now, started);
        }
        let legs: Vec<LegId> =
            self.fold.conference(conference).map(|meeting| meeting.participants.clone()).unwrap_or_default();
        let call = self.fold.recording(recording).map_or(leg.call, |view| view.call);
        let request = MediaRequest::StartRecording {
            recording,
            tenant: leg.tenant.clone(),
            call,
            legs,
            layout: Layout::Mono,
            format: FileFormat::Wav,
            beep: false,
        };
        self.ask_node(node, request);
    }
}

/// The recording of a whole meeting has the meeting's id, so that it can always be found.
pub(crate) fn recording_of(conference: ConferenceId) -> RecordingId {
    RecordingId::from(conference.as_uuid())
}
