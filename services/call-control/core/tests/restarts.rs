//! Call control, a replica or a node is started again in the middle of calls.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, connects, ended, held, media};
use sidetone_call_core::{Connection, HeldMedia, MediaRequest};
use sidetone_model::call::HeldBy;
use sidetone_model::classify::Class;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, RecordingPhase};
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::party::Destination;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

#[test]
fn what_was_not_yet_asked_of_media_is_asked_after_a_restart() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let echo = office.call(office.to(Destination::Echo, 0));
    let guest = office.call(office.to_room());
    let mix = office.leg(guest).conference.unwrap();
    office.restart();
    office.hello(office.boot, &[caller, callee, echo, guest]);
    office.node_holds(&[held(caller), held(callee), held(echo), held(guest)]);
    let mut asked = connects(&office.serve());
    asked.sort_by_key(|(leg, _)| *leg);
    let mut wanted =
        vec![(caller, Connection::Peer(callee)), (echo, Connection::Echo), (guest, Connection::Mix(mix))];
    wanted.sort_by_key(|(leg, _)| *leg);
    assert_eq!(asked, wanted);
    office.pass(30);
    for leg in [caller, callee, echo, guest] {
        assert_eq!((office.phase(leg), office.end_of(leg)), (LegPhase::Answered, None));
    }
}

#[test]
fn what_media_has_done_is_not_asked_again() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    let bridged = |leg, peer| HeldMedia { peer: Some(peer), ..held(leg) };
    office.node_holds(&[bridged(caller, callee), bridged(callee, caller)]);
    assert_eq!(office.requests, []);
}

#[test]
fn an_answer_that_was_being_connected_is_told_again_and_connected() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(1));
    let callee = office.others(caller)[0];
    let answered = LegSignalKind::Answered { media: Some(media()) };
    office.signal(callee, answered.clone());
    assert_eq!(office.acknowledged.get(&callee), None, "media has not taken it yet");
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    office.node_holds(&[held(caller), held(callee)]);
    office.signal_again(callee, answered, None);
    office.serve();
    assert_eq!(office.leg(caller).peer, Some(callee));
    assert_eq!(office.kinds(caller), ["answer"]);
    assert_eq!(office.acknowledged.get(&callee), Some(&1));
}

#[test]
fn an_offer_whose_port_was_being_taken_is_told_again_and_served() {
    let mut office = Office::new();
    let echo = office.to(Destination::Echo, 0);
    let caller = office.offer(echo.clone(), Some(media()));
    assert_eq!(office.acknowledged.get(&caller), None, "there is no port yet");
    office.restart();
    office.hello(office.boot, &[caller]);
    office.signal_again(caller, office.offered(Some(media())), Some(echo));
    assert_eq!(connects(&office.serve()), [(caller, Connection::Echo)]);
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::CallCreated { .. })), 1);
    assert_eq!((office.phase(caller), office.acknowledged.get(&caller)), (LegPhase::Answered, Some(&1)));
}

#[test]
fn a_change_of_media_that_was_under_way_is_told_again_and_answered() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let hold = MediaDescription { direction: Direction::SendOnly, ..media() };
    let reoffered = LegSignalKind::Reoffered { media: Some(hold) };
    office.signal(caller, reoffered.clone());
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    let bridged = |leg, peer| HeldMedia { peer: Some(peer), ..held(leg) };
    office.node_holds(&[bridged(caller, callee), bridged(callee, caller)]);
    office.signal_again(caller, reoffered, None);
    office.serve();
    assert_eq!(office.kinds(caller), ["reoffer taken"]);
    assert_eq!(office.leg(caller).held, Some(HeldBy::Phone));
}

#[test]
fn a_caller_who_is_not_told_of_again_is_not_waited_for_longer_than_the_grace() {
    let mut office = Office::new();
    let caller = office.offer(office.to(Destination::Echo, 0), Some(media()));
    office.restart();
    office.hello(office.boot, &[caller]);
    office.pass(11);
    assert_eq!(office.cause(caller), Some(Cause::SignallingLost));
}

#[test]
fn a_running_recording_is_started_again_and_a_stopped_one_stopped() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let recording = office.start_recording(caller);
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    office.node_holds(&[held(caller), held(callee)]);
    let again = office.serve();
    assert!(
        again
            .iter()
            .any(|request| matches!(request, MediaRequest::StartRecording { legs, .. } if legs.len() == 2))
    );
    let stop = sidetone_model::command::CallCommandKind::StopRecording { recording };
    office.ask("stop", stop, Default::default(), Default::default()).unwrap();
    office.restart();
    office.node_holds(&[held(caller), held(callee)]);
    assert!(office.serve().contains(&MediaRequest::StopRecording { recording }));
}

#[test]
fn a_node_that_went_away_meanwhile_is_lost_after_the_grace() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let recording = office.start_recording(caller);
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    office.pass(9);
    assert_eq!(office.end_of(caller), None);
    office.pass(1);
    assert_eq!(office.end_of(caller), Some(Cause::MediaNodeLost));
    office.refuse_to_finish(recording, Class::NotFound);
    assert!(matches!(office.recording(recording), RecordingPhase::Failed(_)));
}

#[test]
fn a_replica_that_was_started_again_has_lost_its_legs() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let other = office.ids.make(office.now);
    office.hello(other, &[]);
    for leg in [caller, callee] {
        assert_eq!(office.cause(leg), Some(Cause::SignallingLost));
    }
    assert_eq!(office.call_cause(caller), Some(Cause::SignallingLost));
}

#[test]
fn legs_that_nobody_holds_are_lost_after_the_grace() {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    office.restart();
    office.pass(9);
    assert_eq!(office.cause(caller), None);
    office.pass(1);
    assert_eq!(office.cause(caller), Some(Cause::SignallingLost));
}

#[test]
fn a_replica_that_comes_back_too_late_is_told_to_let_go() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let replica = office.replica.clone();
    office.shard.handle_replica_gone(&replica, office.now);
    office.pass(10);
    assert_eq!(office.cause(caller), Some(Cause::SignallingLost));
    office.hello(office.boot, &[caller, callee]);
    office.pass(10);
    office.released.sort();
    let mut both = vec![caller, callee];
    both.sort();
    assert_eq!(office.released, both);
}

#[test]
fn what_nobody_knows_is_released_after_the_grace() {
    let mut office = Office::new();
    let (stranger, port) = (office.ids.make(office.now), office.ids.make(office.now));
    office.hello(office.boot, &[stranger]);
    office.node_holds(&[held(port)]);
    office.pass(9);
    assert_eq!((office.released.len(), office.requests.len()), (0, 0));
    office.pass(1);
    assert_eq!(office.released, [stranger]);
    assert_eq!(office.requests[0].1, MediaRequest::ReleaseLeg { leg: port });
}

#[test]
fn a_hello_does_not_end_a_leg_whose_port_is_being_taken() {
    let mut office = Office::new();
    let caller = office.offer(office.to_user(1), Some(media()));
    let (node, request) = office.requests.remove(0);
    let boot = office.boot_of(&node);
    let created = sidetone_call_core::MediaReply::Created { local: media(), boot };
    let step = office.shard.handle_media(&node, request, Ok(created), office.now);
    office.take(step);
    office.hello(office.boot, &[caller]);
    office.serve();
    let callee = office.others(caller)[0];
    assert_eq!((office.kinds(callee), office.cause(callee)), (vec!["invite"], None));
    office.signal(callee, ended(Cause::Busy, 486));
    assert_eq!(office.end_of(caller), Some(Cause::Busy));
}

#[test]
fn a_port_that_a_slow_node_may_have_taken_is_given_back() {
    let mut office = Office::new();
    let caller = office.offer(office.to(Destination::Echo, 0), Some(media()));
    let slow = office.nodes[0].node.clone();
    office.refuse(Class::DeadlineExceeded);
    assert!(office.requests.contains(&(slow, MediaRequest::ReleaseLeg { leg: caller })));
    office.serve();
    assert_eq!(office.phase(caller), LegPhase::Answered);
}

/// Pausing is a command about the recording, too, and no end of it.
#[test]
fn a_recording_that_was_paused_takes_in_whoever_comes_and_is_not_stopped_by_a_restart() {
    use sidetone_model::command::CallCommandKind::{PauseRecording, ResumeRecording};
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let recording = office.start_recording(caller);
    let pause = PauseRecording { recording, mask: false };
    office.ask("pause", pause, Default::default(), Default::default()).unwrap();
    office.ask("resume", ResumeRecording { recording }, Default::default(), Default::default()).unwrap();
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    office.node_holds(&[held(caller), held(callee)]);
    let again = office.serve();
    assert!(!again.contains(&MediaRequest::StopRecording { recording }), "{again:?}");
    let started = |request: &MediaRequest| matches!(request, MediaRequest::StartRecording { legs, .. } if legs.len() == 2);
    assert!(again.iter().any(started), "{again:?}");
}

/// The request that made it so may have been lost with the process; repeating it changes nothing.
#[test]
fn a_paused_recording_stays_paused_and_a_resumed_one_goes_on() {
    use sidetone_call_core::Pause;
    use sidetone_model::command::CallCommandKind::{PauseRecording, ResumeRecording};
    for mask in [false, true] {
        let mut office = Office::new();
        let (caller, callee) = office.talk();
        let recording = office.start_recording(caller);
        office.does(PauseRecording { recording, mask }).unwrap();
        for resumed in [false, true] {
            if resumed {
                office.does(ResumeRecording { recording }).unwrap();
            }
            office.restart();
            office.hello(office.boot, &[caller, callee]);
            office.node_holds(&[held(caller), held(callee)]);
            let asked = office.serve();
            let about: Vec<_> = asked
                .iter()
                .filter_map(|request| match request {
                    MediaRequest::StartRecording { .. } => Some(None),
                    MediaRequest::PauseRecording { pause, .. } => Some(Some(*pause)),
                    _ => None,
                })
                .collect();
            let wanted = (!resumed).then_some(Pause { mask });
            assert_eq!(about, [None, Some(wanted)], "first it is there, then it is as it was");
        }
    }
}

/// Also that all is as usual again; and when only the way to the node was away.
#[test]
fn what_was_set_of_a_legs_sound_is_set_again() {
    use sidetone_model::command::CallCommandKind::SetAudio;
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let bridged = |leg, peer| HeldMedia { peer: Some(peer), ..held(leg) };
    let there = [bridged(caller, callee), bridged(callee, caller)];
    let told = |asked: &[MediaRequest]| -> Vec<_> {
        let one = |request: &MediaRequest| match request {
            MediaRequest::SetAudio { leg, muted, deafened, .. } => Some((*leg, *muted, *deafened)),
            _ => None,
        };
        asked.iter().filter_map(one).collect()
    };
    for (muted, deafened) in [(true, false), (true, true), (false, false)] {
        office.does(SetAudio { leg: callee, muted, deafened, voice: None }).unwrap();
        for restarts in [true, false] {
            // The request is lost.
            office.requests.clear();
            if restarts {
                office.restart();
                office.hello(office.boot, &[caller, callee]);
            }
            office.node_holds(&there);
            assert_eq!(told(&office.serve()), [(callee, muted, deafened)], "nobody has touched the other's");
        }
    }
}
