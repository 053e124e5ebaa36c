//! Meetings, and their recordings.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, connects, ended};
use sidetone_call_core::{Connection, MediaRequest, Routing};
use sidetone_model::call::DeviceOf;
use sidetone_model::classify::Class;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::RecordingPhase;
use sidetone_model::ids::{LegId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::signal::{LegSignalKind, Target};
use sidetone_model::termination::Cause;

fn enter(office: &mut Office, record: bool) -> (LegId, Vec<MediaRequest>) {
    let mut routing = office.to_room();
    routing.room.record = record;
    let leg = office.offer(routing, Some(kit::media()));
    let served = office.serve();
    (leg, served)
}

#[test]
fn a_meeting_begins_with_the_first_and_ends_with_the_last() {
    let mut office = Office::new();
    let (first, _) = enter(&mut office, false);
    let conference = office.leg(first).conference.unwrap();
    // The second has the nodes in another order, and still meets the first.
    office.nodes.reverse();
    let (second, served) = enter(&mut office, false);
    assert_eq!(connects(&served), [(second, Connection::Mix(conference))]);
    assert_eq!(office.leg(second).node, office.leg(first).node);
    let (third, _) = enter(&mut office, false);
    assert_eq!(office.end_of(third), Some(Cause::NoCapacity), "the room is for two");
    office.signal(first, ended(Cause::Normal, 200));
    assert_eq!(office.end_of(second), None, "the others go on");
    office.signal(second, ended(Cause::Normal, 200));
    assert_eq!(office.shard.fold().conferences().count(), 0);
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::ConferenceEnded { .. })), 1);
    assert_eq!(office.call_cause(second), Some(Cause::Normal));
}

#[test]
fn a_recorded_room_is_recorded_once_from_first_to_last() {
    let mut office = Office::new();
    let (first, served) = enter(&mut office, true);
    let recorded = |served: &[MediaRequest]| -> Vec<Vec<LegId>> {
        let legs = |request: &MediaRequest| match request {
            MediaRequest::StartRecording { legs, .. } => Some(legs.clone()),
            _ => None,
        };
        served.iter().filter_map(legs).collect()
    };
    assert_eq!(recorded(&served), [vec![first]]);
    let (second, served) = enter(&mut office, true);
    assert_eq!(recorded(&served), [vec![first, second]]);
    let recording = office.shard.fold().recordings().next().unwrap().recording;
    office.signal(first, ended(Cause::Normal, 200));
    assert!(!office.serve().contains(&MediaRequest::StopRecording { recording }), "somebody is there");
    office.signal(second, ended(Cause::Normal, 200));
    assert!(office.serve().contains(&MediaRequest::StopRecording { recording }));
    office.finish_recording(recording);
    office.finish_recording(recording);
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::RecordingFinished { .. })), 1);
}

#[test]
fn a_lost_node_ends_the_meeting_and_its_recording_for_that_reason() {
    let mut office = Office::new();
    let (first, _) = enter(&mut office, true);
    let (second, _) = enter(&mut office, true);
    let recording = office.shard.fold().recordings().next().unwrap().recording;
    office.lose_node();
    office.hang_up_as_told();
    for leg in [first, second] {
        assert_eq!(
            (office.cause(leg), office.call_cause(leg)),
            (Some(Cause::MediaNodeLost), Some(Cause::MediaNodeLost))
        );
    }
    assert_eq!(*office.recording(recording), RecordingPhase::Running, "somebody is asked for it");
    office.refuse_to_finish(recording, Class::NotFound);
    assert!(
        matches!(office.recording(recording), RecordingPhase::Failed(end) if end.cause == Cause::MediaNodeLost)
    );
    assert_eq!(office.shard.fold().conferences().count(), 0);
}

#[test]
fn who_is_sent_on_from_a_voicemail_into_a_room_leaves_no_message_there() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
    let bob = office.legs_of("bob")[0];
    office.rings(bob);
    let by = DeviceOf { user: UserId::new("dave").unwrap(), device: None };
    let dave = office.registered("dave", &["desk"]);
    office.does_to(CallCommandKind::PickUp { leg: bob, by }, dave, Routing::default()).unwrap();
    office.serve();
    let voicemail = office.to(Destination::Voicemail(UserId::new("bob").unwrap()), 0);
    office.does_to(CallCommandKind::Overflow { leg: alice }, Routing::default(), voicemail).unwrap();
    office.serve();
    office.hang_up_as_told();
    assert!(office.leg(alice).served_by.is_some());
    // The phone that was to take the call sends it on into a room.
    let dave = office.legs_of("dave")[0];
    let targets = vec![Target { number: "3000".into(), own: true }];
    let room = office.to_room();
    office.routed_signal(dave, LegSignalKind::Redirected { targets }, Some(room));
    office.serve();
    assert!(office.leg(alice).conference.is_some());
    assert_eq!(office.leg(alice).served_by, None);
    let step = office.shard.handle_digit(alice, '#', 100, office.now);
    office.take(step);
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::RecordingStarted { .. })), 0);
}
