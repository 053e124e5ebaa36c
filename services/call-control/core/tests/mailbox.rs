//! A user listens to the own voicemail.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::Office;
use sidetone_call_core::{FinishedRecording, Limits, MediaRequest, Shard};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{LegId, NodeId, PlaybackId, RecordingId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};

fn bob() -> UserId {
    UserId::new("bob").unwrap()
}

/// Alice leaves a message of so many seconds for Bob.
fn leaves(office: &mut Office, seconds: u64) {
    leaves_as_far_as(office, seconds, None);
}

fn leaves_as_far_as(office: &mut Office, seconds: u64, failure: Option<Termination>) {
    let before = office.facts(|kind| matches!(kind, FactKind::RecordingStarted { .. }));
    let caller = office.dial("alice", "desk", office.to(Destination::Voicemail(bob()), 0));
    let step = office.shard.handle_playback_finished(
        PlaybackId::from(caller.as_uuid()),
        PlaybackEnd::Done,
        office.now,
    );
    office.take(step);
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::RecordingStarted { .. })), before + 1);
    let recording = office.shard.fold().recordings().filter(|view| view.is_running()).last().unwrap().clone();
    office.pass(seconds);
    let step = office.shard.handle_digit(caller, '#', 100, office.now);
    office.take(step);
    office.serve();
    office.hang_up_as_told();
    let finished = FinishedRecording {
        recording: recording.recording,
        file: format!("{}.wav", recording.recording).into(),
        duration_ms: seconds * 1000,
        size_bytes: seconds * 16_000,
        tracks: Vec::new(),
        failure,
    };
    let step = office.shard.handle_recording_finished(&recording.node, finished, office.now);
    office.take(step);
    office.serve();
}

#[test]
fn what_the_disk_still_took_of_a_message_is_a_message() {
    let mut office = Office::new();
    leaves_as_far_as(&mut office, 12, Some(Termination::new(Cause::Internal).with_text("no space")));
    leaves_as_far_as(&mut office, 0, Some(Termination::new(Cause::Internal).with_text("no space")));
    assert_eq!(mailbox(&office).len(), 1);
}

/// The messages of Bob, and whether he has heard them.
fn mailbox(office: &Office) -> Vec<(RecordingId, bool)> {
    office.shard.fold().messages(&office.tenant, &bob()).map(|view| (view.message, view.heard)).collect()
}

/// What a leg is made to hear now: the playback, and the message; none for the end.
fn heard(asked: &[MediaRequest]) -> Vec<(PlaybackId, Option<RecordingId>)> {
    let played = asked.iter().filter_map(|request| match request {
        MediaRequest::PlayMessage { playback, recorded, .. } => {
            Some((*playback, recorded.as_ref().map(|(message, _, _)| *message)))
        }
        _ => None,
    });
    played.collect()
}

fn listens(office: &mut Office) -> (LegId, Vec<(PlaybackId, Option<RecordingId>)>) {
    let (leg, asked) = office.dial_and("bob", "desk", office.to(Destination::OwnMailbox, 0));
    assert_eq!(office.leg(leg).served_by, Some(Destination::Mailbox(bob())));
    (leg, heard(&asked))
}

fn ends(office: &mut Office, playback: PlaybackId) -> Vec<(PlaybackId, Option<RecordingId>)> {
    let step = office.shard.handle_playback_finished(playback, PlaybackEnd::Done, office.now);
    office.take(step);
    heard(&office.serve())
}

fn presses(office: &mut Office, leg: LegId, digit: char) -> Vec<(PlaybackId, Option<RecordingId>)> {
    let step = office.shard.handle_digit(leg, digit, 100, office.now);
    office.take(step);
    heard(&office.serve())
}

#[test]
fn messages_are_heard_one_after_the_other_and_then_the_call_ends() {
    let mut office = Office::new();
    leaves(&mut office, 5);
    leaves(&mut office, 7);
    let messages = mailbox(&office);
    assert!(messages.len() == 2 && messages.iter().all(|(_, heard)| !heard), "{messages:?}");
    let (leg, first) = listens(&mut office);
    assert_eq!(first.iter().map(|it| it.1).collect::<Vec<_>>(), [Some(messages[0].0)]);
    let second = ends(&mut office, first[0].0);
    assert_eq!(second[0].1, Some(messages[1].0));
    assert_eq!(mailbox(&office).iter().map(|it| it.1).collect::<Vec<_>>(), [true, false]);
    let last = ends(&mut office, second[0].0);
    assert_eq!(last[0].1, None, "a sound after the last");
    assert_eq!(ends(&mut office, last[0].0), []);
    assert_eq!(office.end_of(leg), Some(Cause::Normal));
}

#[test]
fn digits_repeat_pass_over_and_delete() {
    let mut office = Office::new();
    (0..3).for_each(|_| leaves(&mut office, 4));
    let all: Vec<RecordingId> = mailbox(&office).into_iter().map(|it| it.0).collect();
    let (leg, first) = listens(&mut office);
    let again = presses(&mut office, leg, '1');
    assert_eq!(again[0].1, Some(all[0]));
    assert_ne!(again[0].0, first[0].0, "the one that is being stopped cannot begin anew");
    assert_eq!(ends(&mut office, first[0].0), [], "what was stopped is over and changes nothing");
    assert_eq!(presses(&mut office, leg, '2')[0].1, Some(all[1]));
    assert_eq!(presses(&mut office, leg, '9'), [], "no such choice");
    assert_eq!(presses(&mut office, leg, '3')[0].1, Some(all[2]));
    assert_eq!(mailbox(&office), [(all[0], true), (all[2], false)]);
    assert_eq!(presses(&mut office, leg, '#')[0].1, None);
    assert_eq!(presses(&mut office, leg, '1')[0].1, Some(all[0]), "from the beginning");
    presses(&mut office, leg, '*');
    assert_eq!(office.end_of(leg), Some(Cause::Normal));
}

#[test]
fn a_mailbox_is_its_users_and_what_is_not_heard_comes_first() {
    let mut office = Office::new();
    leaves(&mut office, 4);
    leaves(&mut office, 4);
    let all: Vec<RecordingId> = mailbox(&office).into_iter().map(|it| it.0).collect();
    let mark = CallCommandKind::MarkMessageHeard { user: bob(), message: all[0] };
    office.does(mark).unwrap();
    let (_, first) = listens(&mut office);
    assert_eq!(first[0].1, Some(all[1]));
    let stranger = office.dial("alice", "desk", office.to(Destination::Mailbox(bob()), 0));
    assert_eq!(office.end_of(stranger), Some(Cause::Forbidden));
    let delete = |message| CallCommandKind::DeleteMessage { user: bob(), message };
    office.does(delete(all[0])).unwrap();
    assert!(office.does(delete(all[0])).is_err(), "it is gone");
}

#[test]
fn who_hangs_up_at_once_leaves_nothing_and_a_full_mailbox_takes_nothing() {
    let mut office = Office::with(Limits { messages_max: 1, ..Limits::default() });
    leaves(&mut office, 0);
    assert_eq!(mailbox(&office), []);
    leaves(&mut office, 4);
    assert_eq!(mailbox(&office).len(), 1);
    let caller = office.dial("alice", "desk", office.to(Destination::Voicemail(bob()), 0));
    let playback = PlaybackId::from(caller.as_uuid());
    let step = office.shard.handle_playback_finished(playback, PlaybackEnd::Done, office.now);
    office.take(step);
    assert_eq!(office.end_of(caller), Some(Cause::NoCapacity));
}

#[test]
fn messages_outlive_their_calls_and_a_snapshot() {
    let mut office = Office::new();
    leaves(&mut office, 4);
    leaves(&mut office, 5);
    let first = mailbox(&office)[0].0;
    office.does(CallCommandKind::MarkMessageHeard { user: bob(), message: first }).unwrap();
    office.pass(3 * 3600);
    assert_eq!(office.shard.fold().calls().count(), 0, "the calls are forgotten");
    let mut restored = Shard::new(Limits::default(), [9; 32]);
    office.shard.snapshot().iter().for_each(|record| restored.replay(record));
    assert!(restored.is_same_log(&office.shard));
    let node = |shard: &Shard| -> Vec<(NodeId, Box<str>, bool)> {
        let user = bob();
        let messages = shard.fold().messages(&office.tenant, &user);
        messages.map(|view| (view.node.clone(), view.file.clone(), view.heard)).collect()
    };
    assert_eq!(node(&restored), node(&office.shard));
    assert_eq!(node(&restored).iter().map(|it| it.2).collect::<Vec<_>>(), [true, false]);
}
