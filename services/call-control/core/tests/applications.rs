//! What applications ask for, and calls that need nobody else.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, connects, ended, media};
use sidetone_call_core::{
    CommandError, Connection, FinishedRecording, Heard, MediaRequest, Pause, Routing, Shard,
};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::{FactKind, RecordedSound};
use sidetone_model::fold::{LegPhase, RecordingPhase};
use sidetone_model::ids::PlaybackId;
use sidetone_model::media::{Manner, PlayOptions, Source};
use sidetone_model::party::Destination;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

#[test]
fn an_announcement_is_played_and_then_the_call_is_over() {
    let mut office = Office::new();
    let caller = office.offer(
        office.to(Destination::Announcement { prompt: "welcome".into(), repeat: 2 }, 0),
        Some(media()),
    );
    let served = office.serve();
    assert!(served.contains(&MediaRequest::Play {
        playback: PlaybackId::from(caller.as_uuid()),
        to: Heard::Leg(caller),
        sources: vec![Source::Prompt("welcome".into())],
        repeat: 2,
        manner: Manner::Instead,
        options: PlayOptions::default(),
    }));
    let step = office.shard.handle_playback_finished(
        PlaybackId::from(caller.as_uuid()),
        PlaybackEnd::Done,
        office.now,
    );
    office.take(step);
    office.hang_up_as_told();
    assert_eq!(office.call_cause(caller), Some(Cause::Normal));
}

#[test]
fn a_waiting_caller_is_answered_by_an_application() {
    let mut office = Office::new();
    let caller = office.call(office.to(Destination::Wait, 0));
    assert_eq!((office.phase(caller), office.kinds(caller)), (LegPhase::Waiting, vec!["ring"]));
    let kind = CallCommandKind::Answer { leg: caller, to: Destination::Echo, to_number: "9".into() };
    let to = office.to(Destination::Echo, 0);
    office.ask("answer", kind.clone(), Routing::default(), to.clone()).unwrap();
    assert_eq!(connects(&office.serve()), [(caller, Connection::Echo)]);
    assert_eq!(office.phase(caller), LegPhase::Answered);
    assert_eq!(office.ask("another", kind, Routing::default(), to), Err(CommandError::NotWaiting));
}

#[test]
fn a_waiting_caller_may_give_up() {
    let mut office = Office::new();
    let caller = office.call(office.to(Destination::Wait, 0));
    office.signal(caller, ended(Cause::Cancelled, 487));
    assert_eq!(office.call_cause(caller), Some(Cause::Cancelled));
    let kind = CallCommandKind::Answer { leg: caller, to: Destination::Echo, to_number: "9".into() };
    let refused = office.ask("answer", kind, Routing::default(), office.to(Destination::Echo, 0));
    assert_eq!(refused, Err(CommandError::NoSuchLeg));
}

#[test]
fn a_placed_call_goes_where_it_is_to_go() {
    for destination in ["echo", "room", "user"] {
        let mut office = Office::new();
        let to = match destination {
            "echo" => office.to(Destination::Echo, 0),
            "room" => office.to_room(),
            _ => office.to_user(1),
        };
        let call = office.place(to);
        let first = office.shard.fold().call(call).unwrap().legs[0];
        assert_eq!(office.kinds(first), ["invite"]);
        office.signal(first, LegSignalKind::Answered { media: Some(media()) });
        let served = office.serve();
        match destination {
            "echo" => assert_eq!(connects(&served), [(first, Connection::Echo)]),
            "room" => assert!(office.leg(first).conference.is_some()),
            _ => {
                let second = office.others(first)[0];
                office.signal(second, LegSignalKind::Answered { media: Some(media()) });
                office.serve();
                assert_eq!(office.leg(first).peer, Some(second));
            }
        }
        let hang_up = CallCommandKind::HangUpCall { call };
        office.ask("hang up", hang_up, Routing::default(), Routing::default()).unwrap();
        office.hang_up_as_told();
        assert_eq!(office.call_cause(first), Some(Cause::Application), "{destination}");
    }
}

#[test]
fn a_recording_has_one_start_and_one_end() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let recording = office.start_recording(caller);
    let served = office.serve();
    let started = served.iter().any(
        |request| matches!(request, MediaRequest::StartRecording { legs, .. } if *legs == [caller, callee]),
    );
    assert!(started, "{served:?}");
    let again = CallCommandKind::StartRecording { call: office.leg(caller).call, options: kit::stereo() };
    let again = office.ask("again", again, Routing::default(), Routing::default());
    assert_eq!(again, Err(CommandError::AlreadyRecording));
    let stop = CallCommandKind::StopRecording { recording };
    office.ask("stop", stop.clone(), Routing::default(), Routing::default()).unwrap();
    office.serve();
    office.finish_recording(recording);
    office.finish_recording(recording);
    office.lose_node();
    assert_eq!(*office.recording(recording), RecordingPhase::Finished);
    assert_eq!(
        office.facts(|kind| matches!(
            kind,
            FactKind::RecordingFinished { .. } | FactKind::RecordingFailed { .. }
        )),
        1
    );
    assert_eq!(
        office.ask("stop it", stop, Routing::default(), Routing::default()),
        Err(CommandError::NotRecording)
    );
}

#[test]
fn what_was_kept_of_a_failed_recording_is_told_and_lasts() {
    for duration_ms in [12_000, 0] {
        let mut office = Office::new();
        let (caller, _) = office.talk();
        let recording = office.start_recording(caller);
        office.serve();
        let sound = RecordedSound {
            file: "demo/r.wav".into(),
            tracks: ["demo/r.1.wav".into()].into(),
            duration_ms,
            size_bytes: duration_ms * 32,
        };
        let RecordedSound { file, tracks, size_bytes, .. } = sound.clone();
        let failure = Some(Termination::new(Cause::Internal).with_text("writing failed: no space"));
        let finished = FinishedRecording { recording, file, tracks, duration_ms, size_bytes, failure };
        let node = office.nodes[0].node.clone();
        let step = office.shard.handle_recording_finished(&node, finished, office.now);
        office.take(step);
        let kept = (duration_ms > 0).then_some(sound);
        let is_told = |office: &Office| {
            let view = office.shard.fold().recording(recording).unwrap().clone();
            assert!(matches!(view.phase, RecordingPhase::Failed(_)));
            assert_eq!(view.sound, kept);
            assert_eq!(view.file(1), kept.as_ref().map(|_| "demo/r.1.wav"));
            assert_eq!(view.file(2), None);
        };
        is_told(&office);
        office.restart();
        is_told(&office);
        let mut restored = Shard::new(office.limits.clone(), [6; 32]);
        office.shard.snapshot().iter().for_each(|record| restored.replay(record));
        assert_eq!(restored.fold().recording(recording), office.shard.fold().recording(recording));
    }
}

#[test]
fn what_is_left_out_of_a_recording_is_masked_or_cut() {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    let recording = office.start_recording(caller);
    office.serve();
    for mask in [true, false] {
        office.does(CallCommandKind::PauseRecording { recording, mask }).unwrap();
        let asked = MediaRequest::PauseRecording { recording, pause: Some(Pause { mask }) };
        assert_eq!(office.serve(), [asked]);
        assert_eq!(*office.recording(recording), RecordingPhase::Paused);
        office.does(CallCommandKind::ResumeRecording { recording }).unwrap();
        assert_eq!(office.serve(), [MediaRequest::PauseRecording { recording, pause: None }]);
    }
}

#[test]
fn a_key_stands_for_one_body() {
    let mut office = Office::new();
    let call = office.place(office.to(Destination::Echo, 0));
    let log = office.log.len();
    assert_eq!(office.place(office.to(Destination::Echo, 0)), call, "answered as the first time");
    assert_eq!(office.log.len(), log, "and nothing was done");
    let command = sidetone_model::command::CallCommand {
        tenant: office.tenant.clone(),
        key: "place".into(),
        kind: CallCommandKind::HangUpCall { call },
    };
    let reused =
        office.shard.handle_command(&command, [9; 32], Routing::default(), Routing::default(), office.now);
    assert_eq!(reused.unwrap_err(), CommandError::KeyReused);
    office.pass(60);
    office.hang_up_as_told();
    office.pass(24 * 3600);
    let free =
        office.shard.handle_command(&command, [9; 32], Routing::default(), Routing::default(), office.now);
    assert_eq!(free.unwrap_err(), CommandError::NoSuchCall, "a day later the key is free");
}

#[test]
fn a_tenant_has_no_more_calls_at_once_than_it_may() {
    let mut office = Office::new();
    let limited = |office: &Office| Routing { calls_max: 1, ..office.to(Destination::Echo, 0) };
    let first = office.call(limited(&office));
    let second = office.call(limited(&office));
    assert_eq!((office.end_of(first), office.end_of(second)), (None, Some(Cause::NoCapacity)));
    office.hang_up_as_told();
    office.signal(first, ended(Cause::Normal, 200));
    let third = office.call(limited(&office));
    assert_eq!((office.end_of(third), office.phase(third)), (None, LegPhase::Answered));
}

#[test]
fn nobody_is_rung_for_somebody_who_is_registered_nowhere() {
    let mut office = Office::new();
    let caller = office.call(office.to(Destination::Wait, 0));
    let (user, nobody) = (office.to_user(1), office.to_user(0));
    let to = nobody.destination.clone().unwrap();
    let answer = CallCommandKind::Answer { leg: caller, to: to.clone(), to_number: "200".into() };
    let refused = office.ask("answer", answer, Routing::default(), nobody.clone());
    assert_eq!(refused, Err(CommandError::TargetUnregistered));
    assert_eq!(office.phase(caller), LegPhase::Waiting, "nothing has changed");
    let place = CallCommandKind::Place {
        from: user.destination.clone().unwrap(),
        from_number: "bob".into(),
        to,
        to_number: "200".into(),
        options: Default::default(),
    };
    assert_eq!(office.ask("place", place, user, nobody), Err(CommandError::TargetUnregistered));
}
