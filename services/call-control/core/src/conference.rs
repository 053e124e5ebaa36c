//! Meetings: made by the first who enters, ended by the last who leaves.

use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{ConferenceId, LegId, RecordingId, RoomId};
use sidetone_model::media::{FileFormat, Layout};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::input::Routing;
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
            Some(_) => {
                // Two came first at the same moment, on two nodes: the later one calls again and finds the meeting.
                let text = "the room has just come to life on another media node; call again";
                self.end(leg, Termination::new(Cause::NoCapacity).with_text(text));
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
        };
        self.ask_node(node, request);
    }
}

/// The recording of a whole meeting has the meeting's id, so that it can always be found.
pub(crate) fn recording_of(conference: ConferenceId) -> RecordingId {
    RecordingId::from(conference.as_uuid())
}
