//! Recordings whose media node is gone: somebody finishes them, and they end once.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::Office;
use sidetone_call_core::{FinishedRecording, MediaRequest};
use sidetone_model::classify::Class;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::RecordingPhase;
use sidetone_model::ids::{NodeId, RecordingId};
use sidetone_model::termination::Cause;

/// Two talk and are recorded, and their node is lost.
fn lost() -> (Office, RecordingId) {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    let recording = office.start_recording(caller);
    office.serve();
    office.lose_node();
    office.hang_up_as_told();
    office.hang_up_as_told();
    (office, recording)
}

fn ends(office: &Office) -> usize {
    office.facts(|kind| matches!(kind, FactKind::RecordingFinished { .. } | FactKind::RecordingFailed { .. }))
}

fn finish_requests(office: &mut Office) -> usize {
    let before = office.requests.len();
    office.requests.retain(|(_, request)| !matches!(request, MediaRequest::FinishRecording { .. }));
    before - office.requests.len()
}

fn told_by(office: &mut Office, node: &NodeId, recording: RecordingId) {
    let finished = FinishedRecording {
        recording,
        file: "demo/2026-11-22/r.wav".into(),
        duration_ms: 20_000,
        size_bytes: 320_058,
        tracks: Vec::new(),
        failure: None,
    };
    let step = office.shard.handle_recording_finished(node, finished, office.now);
    office.take(step);
}

#[test]
fn another_node_finishes_it_and_it_ends_once() {
    let (mut office, recording) = lost();
    let stop =
        office.requests.iter().find(|(_, request)| matches!(request, MediaRequest::StopRecording { .. }));
    if let Some((node, stop)) = stop.cloned() {
        office.refuse_by(&node, stop, Class::Unavailable);
    }
    assert!(finish_requests(&mut office) >= 1);
    assert_eq!(ends(&office), 0, "what there is of it is not known yet");
    let other = office.nodes[1].node.clone();
    told_by(&mut office, &other, recording);
    assert_eq!(*office.recording(recording), RecordingPhase::Finished);
    let sound = office.shard.fold().recording(recording).unwrap().sound.clone();
    assert_eq!(sound.unwrap().duration_ms, 20_000);
    let ack = (other.clone(), MediaRequest::AckRecording { recording });
    assert!(office.requests.contains(&ack), "whoever has it is told");
    told_by(&mut office, &other, recording);
    office.pass(3600);
    assert_eq!((ends(&office), finish_requests(&mut office)), (1, 0));
}

#[test]
fn as_long_as_its_node_may_come_back_it_is_asked_for_again() {
    let (mut office, recording) = lost();
    let other = office.nodes[1].node.clone();
    let request =
        office.requests.iter().find(|(_, request)| matches!(request, MediaRequest::FinishRecording { .. }));
    let (_, request) = request.cloned().unwrap();
    finish_requests(&mut office);
    office.refuse_by(&other, request, Class::NotFound);
    assert_eq!(ends(&office), 0, "a node without its disk does not know");
    office.pass(29);
    assert_eq!(finish_requests(&mut office), 0);
    office.pass(1);
    office.refuse_to_finish(recording, Class::NotFound);
    assert!(
        matches!(office.recording(recording), RecordingPhase::Failed(end) if end.cause == Cause::MediaNodeLost)
    );
    assert_eq!(ends(&office), 1);
}

#[test]
fn what_nobody_finishes_is_given_up() {
    let (mut office, recording) = lost();
    for _ in 0..19 {
        assert!(finish_requests(&mut office) >= 1);
        assert!(office.shard.poll_timeout().is_some());
        office.pass(30);
        assert_eq!(ends(&office), 0);
    }
    office.pass(30);
    assert!(
        matches!(office.recording(recording), RecordingPhase::Failed(end) if end.cause == Cause::MediaNodeLost)
    );
    office.pass(3600);
    assert_eq!(ends(&office), 1);
}

#[test]
fn after_a_restart_it_is_asked_for_again() {
    let (mut office, recording) = lost();
    office.restart();
    assert_eq!(finish_requests(&mut office), 0);
    office.pass(10);
    assert_eq!(finish_requests(&mut office), 1, "nobody has heard of its node");
    let other = office.nodes[1].node.clone();
    told_by(&mut office, &other, recording);
    assert_eq!(ends(&office), 1);
}

#[test]
fn the_next_life_of_its_node_tells_what_it_found() {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    let recording = office.start_recording(caller);
    office.serve();
    let node = office.nodes[0].node.clone();
    // It was quicker back than it was missed.
    told_by(&mut office, &node, recording);
    office.lose_node();
    office.hang_up_as_told();
    assert_eq!((ends(&office), finish_requests(&mut office)), (1, 0));
    assert!(matches!(office.recording(recording), RecordingPhase::Finished));
}
