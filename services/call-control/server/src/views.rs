//! What the API shows of what is folded.

use sidetone_model::fold::{
    CallView, ConferenceView, Fold, LegPhase, LegView, RecordingPhase, RecordingView,
};
use sidetone_model::time::Timestamp;
use sidetone_model::voice::LegVoice;
use sidetone_model::wire;
use sidetone_proto::callcontrol::v1 as pb;

fn millis(at: Option<Timestamp>) -> u64 {
    at.map_or(0, Timestamp::as_millis)
}

/// A call with its legs and recordings.
pub(crate) fn call_to_proto(call: &CallView, fold: &Fold) -> pb::Call {
    pb::Call {
        call_id: call.call.to_string(),
        tenant: call.tenant.to_string(),
        from: Some((&call.from).into()),
        dialled: call.dialled.to_string(),
        destination: call.destination.as_ref().map(Into::into),
        created_unix_ms: call.created_at.as_millis(),
        answered_unix_ms: millis(call.answered_at),
        ended_unix_ms: millis(call.ended.as_ref().map(|(at, _)| *at)),
        legs: call.legs.iter().filter_map(|leg| fold.leg(*leg)).map(leg_to_proto).collect(),
        recordings: call
            .recordings
            .iter()
            .filter_map(|id| fold.recording(*id))
            .map(recording_to_proto)
            .collect(),
        termination: call.ended.as_ref().map(|(_, termination)| termination.into()),
    }
}

/// A leg, without how it sounds: that is asked of its node.
fn leg_to_proto(leg: &LegView) -> pb::Leg {
    let state = match leg.phase {
        LegPhase::SettingUp => pb::LegState::SettingUp,
        LegPhase::Waiting => pb::LegState::Waiting,
        LegPhase::Waking => pb::LegState::Waking,
        LegPhase::Ringing => pb::LegState::Ringing,
        LegPhase::Answered => pb::LegState::Answered,
        LegPhase::Ended => pb::LegState::Ended,
    };
    pb::Leg {
        leg_id: leg.leg.to_string(),
        party: Some((&leg.party).into()),
        incoming: leg.incoming,
        state: state.into(),
        node_id: leg.node.as_ref().map(|(node, _)| node.to_string()).unwrap_or_default(),
        replica_id: leg.replica.to_string(),
        created_unix_ms: leg.created_at.as_millis(),
        answered_unix_ms: millis(leg.answered_at),
        ended_unix_ms: millis(leg.ended.as_ref().map(|(at, _)| *at)),
        termination: leg.ended.as_ref().map(|(_, termination)| termination.into()),
        conference_id: leg.conference.map(|id| id.to_string()).unwrap_or_default(),
        sip_call_id: leg.sip_call_id.to_string(),
        cause: wire::number(leg.cause),
        holds: leg.held.is_some(),
        put_aside: leg.put_aside,
        muted: leg.muted,
        deafened: leg.deafened,
        voice: (leg.voice != LegVoice::default()).then(|| (&leg.voice).into()),
        peer_leg_id: leg.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        sound: None,
        trunk: leg.trunk.as_deref().unwrap_or_default().to_owned(),
        decide_until_unix_ms: millis(leg.decision.as_ref().map(|decision| decision.deadline)),
    }
}

fn recording_to_proto(view: &RecordingView) -> pb::Recording {
    let mut recording = pb::Recording {
        recording_id: view.recording.to_string(),
        node_id: view.node.to_string(),
        stereo: view.stereo,
        goes_on_in_recording_id: view.into.map(|into| into.to_string()).unwrap_or_default(),
        ..pb::Recording::default()
    };
    match &view.phase {
        RecordingPhase::Running | RecordingPhase::Paused => {
            recording.set_state(pb::RecordingState::Running);
        }
        RecordingPhase::Failed(termination) => {
            recording.set_state(pb::RecordingState::Failed);
            recording.failure = Some(termination.into());
        }
        RecordingPhase::Finished => recording.set_state(pb::RecordingState::Finished),
    }
    if let Some(sound) = &view.sound {
        recording.file = sound.file.to_string();
        recording.tracks = sound.tracks.iter().map(ToString::to_string).collect();
        recording.duration_ms = sound.duration_ms;
        recording.size_bytes = sound.size_bytes;
    }
    recording
}

/// A conference, and who is in it.
pub(crate) fn conference_to_proto(meeting: &ConferenceView, fold: &Fold) -> pb::Conference {
    pb::Conference {
        conference_id: meeting.conference.to_string(),
        room: meeting.room.as_ref().map(ToString::to_string).unwrap_or_default(),
        node_id: meeting.node.to_string(),
        started_unix_ms: meeting.started_at.as_millis(),
        participants: meeting
            .participants
            .iter()
            .filter_map(|leg| fold.leg(*leg))
            .map(leg_to_proto)
            .collect(),
    }
}
