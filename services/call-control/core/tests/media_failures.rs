//! Media that is full, refuses, or goes away.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended, media};
use sidetone_call_core::{MediaFailure, MediaRequest};
use sidetone_model::classify::Class;
use sidetone_model::fold::{LegPhase, RecordingPhase};
use sidetone_model::ids::{LegId, RecordingId};
use sidetone_model::party::Destination;
use sidetone_model::termination::Cause;

#[test]
fn a_full_node_passes_the_call_on_until_there_is_none() {
    let mut office = Office::new();
    let caller = office.offer(office.to(Destination::Echo, 0), Some(media()));
    office.refuse(Class::Exhausted);
    let next = office.requests.iter().find(|(_, request)| matches!(request, MediaRequest::CreateLeg { .. }));
    assert_eq!(next.unwrap().0, office.nodes[1].node);
    office.requests.retain(|(_, request)| matches!(request, MediaRequest::CreateLeg { .. }));
    office.refuse(Class::Exhausted);
    assert_eq!(office.end_of(caller), Some(Cause::NoCapacity));
}

#[test]
fn without_nodes_there_is_no_capacity() {
    let mut office = Office::new();
    office.nodes.clear();
    let caller = office.call(office.to(Destination::Echo, 0));
    assert_eq!(office.end_of(caller), Some(Cause::NoCapacity));
}

#[test]
fn a_refusal_has_the_cause_of_its_class() {
    for (class, cause) in [
        (Class::FailedPrecondition, Cause::NoCommonCodec),
        (Class::NotFound, Cause::MediaNodeLost),
        (Class::Invalid, Class::Invalid.cause()),
        (Class::Internal, Cause::Internal),
    ] {
        let mut office = Office::new();
        let caller = office.offer(office.to(Destination::Echo, 0), Some(media()));
        office.refuse(class);
        assert_eq!(office.end_of(caller), Some(cause), "{class:?}");
    }
}

#[test]
fn a_lost_node_ends_both_sides_for_that_reason() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    office.lose_node();
    assert_eq!(
        (office.end_of(caller), office.end_of(callee)),
        (Some(Cause::MediaNodeLost), Some(Cause::MediaNodeLost))
    );
    office.hang_up_as_told();
    for leg in [caller, callee] {
        assert_eq!(office.cause(leg), Some(Cause::MediaNodeLost));
    }
    assert_eq!(office.call_cause(caller), Some(Cause::MediaNodeLost));
}

#[test]
fn another_life_of_the_node_is_not_the_one_that_was_lost() {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    let recording = office.start_recording(caller);
    office.serve();
    let (node, other) = (office.nodes[0].node.clone(), office.ids.make(office.now));
    let step = office.shard.handle_node_lost(&node, other, office.now);
    office.take(step);
    assert_eq!((office.end_of(caller), office.phase(caller)), (None, LegPhase::Answered));
    assert_eq!(office.recording(recording), &sidetone_model::fold::RecordingPhase::Running);
}

#[test]
fn who_gives_no_sign_of_life_is_ended_once_it_talks_and_not_while_it_holds() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    office.does(sidetone_model::command::CallCommandKind::Hold { leg: callee }).unwrap();
    let step = office.shard.handle_leg_lifeless(callee);
    office.take(step);
    assert_eq!((office.cause(caller), office.cause(callee)), (None, None));
    let step = office.shard.handle_leg_lifeless(caller);
    office.take(step);
    office.hang_up_as_told();
    office.hang_up_as_told();
    assert_eq!(
        (office.cause(caller), office.cause(callee)),
        (Some(Cause::MediaTimeout), Some(Cause::MediaTimeout))
    );
}

#[test]
fn silence_ends_a_leg() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let step = office.shard.handle_leg_timed_out(caller);
    office.take(step);
    office.hang_up_as_told();
    office.hang_up_as_told();
    assert_eq!(
        (office.cause(caller), office.cause(callee)),
        (Some(Cause::MediaTimeout), Some(Cause::MediaTimeout))
    );
}

/// The node is asked to record so many, and knows one of them no more.
fn refuse_to_record(office: &mut Office, recording: RecordingId, legs: Vec<LegId>) {
    let first = office.leg(legs[0]).clone();
    let request = MediaRequest::StartRecording {
        recording,
        tenant: office.tenant.clone(),
        call: first.call,
        legs,
        layout: Default::default(),
        format: Default::default(),
        beep: false,
    };
    let failure = MediaFailure { class: Class::NotFound, text: "no such leg".into() };
    let node = first.node.unwrap().0;
    let step = office.shard.handle_media(&node, request, Err(failure), office.now);
    office.take(step);
}

/// Whoever leaves at the same moment may be gone from the node first, which then refuses the whole request.
#[test]
fn a_recording_goes_on_with_those_who_are_there_when_one_was_gone_already() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let recording = office.start_recording(caller);
    let gone = office.ids.make(office.now);
    refuse_to_record(&mut office, recording, vec![caller, callee, gone]);
    let asked = office.serve();
    let again = |request: &MediaRequest| matches!(request, MediaRequest::StartRecording { legs, .. } if *legs == [caller, callee]);
    assert!(asked.iter().any(again), "{asked:?}");
    assert_eq!(*office.recording(recording), RecordingPhase::Running);
}

/// All have hung up at once: what was recorded until then is there, and the node says so when it has stopped.
#[test]
fn a_recording_whose_last_parties_leave_at_once_is_kept() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let recording = office.start_recording(caller);
    for leg in [caller, callee] {
        office.signal(leg, ended(Cause::Normal, 200));
    }
    refuse_to_record(&mut office, recording, vec![caller, callee]);
    let stop = |request: &MediaRequest| matches!(request, MediaRequest::StopRecording { recording: stopped } if *stopped == recording);
    assert!(office.serve().iter().any(stop));
    assert_eq!(
        *office.recording(recording),
        RecordingPhase::Running,
        "the answer to the stop is still to come"
    );
}
