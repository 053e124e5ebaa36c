//! Two calls become one, or their sound goes to another node: what is recorded, streamed and played goes on.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, held};
use sidetone_call_core::{Heard, MediaRequest, Routing, Shard};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::{Audience, CallCommandKind};
use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::fold::RecordingPhase;
use sidetone_model::ids::{CallId, LegId, PlaybackId, RecordingId, StreamId};
use sidetone_model::media::{FileFormat, Manner, PlayOptions, Source};

/// ada talks to ben, holds, and talks to cid from the same phone.
struct Two {
    office: Office,
    held: LegId,
    ben: LegId,
    active: LegId,
    cid: LegId,
}

impl Two {
    /// `first` happens while ada talks to ben, `second` while she talks to cid.
    fn with(first: impl FnOnce(&mut Office, LegId), second: impl FnOnce(&mut Office, LegId)) -> Self {
        let mut office = Office::new();
        let (held, ben) = office.connect("ada", "ben");
        first(&mut office, held);
        office.does(CallCommandKind::Hold { leg: held }).unwrap();
        office.serve();
        let (active, cid) = office.connect("ada", "cid");
        second(&mut office, active);
        office.serve();
        Self { office, held, ben, active, cid }
    }

    fn merge(&mut self) -> Vec<MediaRequest> {
        self.office.does(CallCommandKind::Merge { active: self.active, held: self.held }).unwrap();
        self.settled()
    }

    fn transfer(&mut self) -> Vec<MediaRequest> {
        self.office.does(CallCommandKind::TransferAttended { active: self.active, held: self.held }).unwrap();
        self.settled()
    }

    /// Media and the replica do what they were told.
    fn settled(&mut self) -> Vec<MediaRequest> {
        let mut asked = self.office.serve();
        self.office.hang_up_as_told();
        asked.extend(self.office.serve());
        asked
    }

    fn call(&self, leg: LegId) -> CallId {
        self.office.leg(leg).call
    }

    /// Whom the last request for a recording or a stream names.
    fn taken_in(asked: &[MediaRequest], what: uuid::Uuid) -> Vec<LegId> {
        let legs = asked.iter().rev().find_map(|request| match request {
            MediaRequest::StartRecording { recording, legs, .. } if recording.as_uuid() == what => Some(legs),
            MediaRequest::StartStream { stream, legs, .. } if stream.as_uuid() == what => Some(legs),
            _ => None,
        });
        sorted(legs.expect("it is asked to take them in").clone())
    }

    fn hang_up_all(&mut self) {
        for leg in [self.ben, self.cid, self.active, self.held] {
            if self.office.shard.fold().leg(leg).is_some_and(|leg| leg.is_live()) {
                self.office.signal(leg, kit::ended(sidetone_model::termination::Cause::Normal, 200));
                self.office.hang_up_as_told();
            }
        }
        assert!(self.office.shard.fold().legs().all(|leg| !leg.is_live()));
    }

    fn ends_of(&self, recording: RecordingId) -> usize {
        self.office.facts(
            |kind| matches!(kind, FactKind::RecordingFinished { recording: of, .. } if *of == recording),
        )
    }
}

fn sorted(mut legs: Vec<LegId>) -> Vec<LegId> {
    legs.sort();
    legs
}

fn stops(asked: &[MediaRequest], recording: RecordingId) -> bool {
    asked.contains(&MediaRequest::StopRecording { recording })
}

fn started(office: &mut Office, leg: LegId) -> StreamId {
    let call = office.leg(leg).call;
    match office.does(CallCommandKind::StartStream { call, format: FileFormat::L16 }) {
        Ok(CommandSubject::Stream(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

/// Plays to all of a call, for ever.
fn played(office: &mut Office, leg: LegId) -> PlaybackId {
    let (to, sources) = (Audience::Call(office.leg(leg).call), vec![Source::Prompt("welcome".into())]);
    let (repeat, manner) = (0, Manner::Instead);
    match office.does(CallCommandKind::Play { to, sources, repeat, manner, options: PlayOptions::default() })
    {
        Ok(CommandSubject::Playback(playback)) => playback,
        other => panic!("{other:?}"),
    }
}

fn own(asked: &[MediaRequest], leg: LegId) -> PlaybackId {
    let own = asked.iter().find_map(|request| match request {
        MediaRequest::Play { playback, to: Heard::Leg(of), .. } if *of == leg => Some(*playback),
        _ => None,
    });
    own.expect("it is played to that leg")
}

/// What is durable comes out of a snapshot, too, and so does who hears what.
fn is_in_snapshot(office: &Office, playbacks: &[PlaybackId]) {
    let mut fresh = Shard::new(office.limits.clone(), [6; 32]);
    office.shard.snapshot().iter().for_each(|record| fresh.replay(record));
    assert!(fresh.is_same_log(&office.shard));
    for playback in playbacks {
        assert_eq!(fresh.plays(*playback), office.shard.plays(*playback), "{playback}");
    }
}

#[test]
fn the_recording_of_the_call_that_goes_on_takes_in_whoever_comes_and_ends_once() {
    for transfers in [false, true] {
        let (mut of_held, mut of_active) = (None, None);
        let mut it = Two::with(
            |office, leg| of_held = transfers.then(|| office.start_recording(leg)),
            |office, leg| of_active = (!transfers).then(|| office.start_recording(leg)),
        );
        let recording = of_held.or(of_active).unwrap();
        let asked = if transfers { it.transfer() } else { it.merge() };
        let talking = if transfers { vec![it.ben, it.cid] } else { vec![it.active, it.cid, it.ben] };
        assert_eq!(Two::taken_in(&asked, recording.as_uuid()), sorted(talking));
        assert!(!stops(&asked, recording), "{asked:?}");
        it.hang_up_all();
        assert!(stops(&it.office.serve(), recording));
        it.office.finish_recording(recording);
        assert_eq!(it.ends_of(recording), 1);
        assert_eq!(it.office.facts(|kind| matches!(kind, FactKind::RecordingStarted { .. })), 1);
    }
}

#[test]
fn the_recording_of_the_call_that_is_dissolved_goes_on_in_the_other() {
    for transfers in [false, true] {
        let (mut of_held, mut of_active) = (None, None);
        let mut it = Two::with(
            |office, leg| of_held = (!transfers).then(|| office.start_recording(leg)),
            |office, leg| of_active = transfers.then(|| office.start_recording(leg)),
        );
        let recording = of_held.or(of_active).unwrap();
        let dissolved = it.call(if transfers { it.active } else { it.held });
        let asked = if transfers { it.transfer() } else { it.merge() };
        let (talking, stays) = if transfers {
            (vec![it.ben, it.cid], it.call(it.ben))
        } else {
            (vec![it.active, it.cid, it.ben], it.call(it.active))
        };
        assert_eq!(Two::taken_in(&asked, recording.as_uuid()), sorted(talking));
        assert!(!stops(&asked, recording), "its file goes on: {asked:?}");
        let fold = it.office.shard.fold();
        assert!(fold.call(dissolved).unwrap().ended.is_some(), "its own call is over");
        assert_eq!(fold.recording(recording).unwrap().call, stays);
        assert_eq!(fold.call(dissolved).unwrap().recordings_moved, [recording], "it was recorded, too");
        is_in_snapshot(&it.office, &[]);
        // The dissolved call may be forgotten long before the recording is over.
        it.office.pass(3601);
        assert!(it.office.shard.fold().call(dissolved).is_none());
        assert_eq!(*it.office.recording(recording), RecordingPhase::Running);
        is_in_snapshot(&it.office, &[]);
        it.hang_up_all();
        assert!(stops(&it.office.serve(), recording));
        it.office.finish_recording(recording);
        assert_eq!(it.ends_of(recording), 1);
    }
}

#[test]
fn when_both_were_recorded_one_goes_on_and_the_end_of_the_other_names_it() {
    let (mut first, mut second) = (None, None);
    let mut it = Two::with(
        |office, leg| first = Some(office.start_recording(leg)),
        |office, leg| {
            let call = office.leg(leg).call;
            let kind = CallCommandKind::StartRecording { call, options: kit::stereo() };
            let Ok(CommandSubject::Recording(recording)) = office.does(kind) else { panic!("not recorded") };
            second = Some(recording);
        },
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    let asked = it.merge();
    assert!(stops(&asked, first) && !stops(&asked, second), "{asked:?}");
    assert_eq!(it.office.shard.fold().recording(first).unwrap().into, Some(second));
    it.office.finish_recording(first);
    assert_eq!((it.ends_of(first), it.ends_of(second)), (1, 0));
    assert_eq!(it.office.shard.fold().recording(first).unwrap().into, Some(second), "also when it is over");
    assert_eq!(
        it.office.shard.fold().running_recording(it.call(it.ben)).map(|view| view.recording),
        Some(second)
    );
    is_in_snapshot(&it.office, &[]);
    it.hang_up_all();
    it.office.serve();
    it.office.finish_recording(second);
    assert_eq!((it.ends_of(first), it.ends_of(second)), (1, 1));
}

#[test]
fn a_stream_goes_on_under_its_name_whichever_call_it_was_of() {
    for transfers in [false, true] {
        let (mut first, mut second) = (None, None);
        let mut it = Two::with(
            |office, leg| first = Some(started(office, leg)),
            |office, leg| second = Some(started(office, leg)),
        );
        let asked = if transfers { it.transfer() } else { it.merge() };
        let (talking, stays) = if transfers {
            (vec![it.ben, it.cid], it.call(it.ben))
        } else {
            (vec![it.active, it.cid, it.ben], it.call(it.active))
        };
        for stream in [first.unwrap(), second.unwrap()] {
            assert!(!asked.contains(&MediaRequest::StopStream { stream }), "{asked:?}");
            assert_eq!(Two::taken_in(&asked, stream.as_uuid()), sorted(talking.clone()));
            assert_eq!(it.office.shard.fold().stream(stream).unwrap().call, stays);
        }
        assert_eq!(it.office.facts(|kind| matches!(kind, FactKind::StreamStopped { .. })), 0);
        is_in_snapshot(&it.office, &[]);
        it.hang_up_all();
        assert_eq!(it.office.facts(|kind| matches!(kind, FactKind::StreamStopped { .. })), 2);
    }
}

#[test]
fn a_playback_goes_on_for_those_who_hear_it_and_for_nobody_else() {
    let mut playing = None;
    let mut it = Two::with(|_, _| {}, |office, leg| playing = Some((played(office, leg), office.serve())));
    let (playback, asked) = playing.unwrap();
    let (of_ada, of_cid) = (own(&asked, it.active), own(&asked, it.cid));
    let asked = it.transfer();
    assert!(asked.contains(&MediaRequest::StopPlay { playback: of_ada }), "who leaves hears it no more");
    assert!(!asked.contains(&MediaRequest::StopPlay { playback: of_cid }), "{asked:?}");
    assert!(!asked.iter().any(|request| matches!(request, MediaRequest::Play { .. })), "nor does ben");
    assert_eq!(it.office.shard.fold().playback(playback).unwrap().call, it.call(it.ben));
    for restarts in [false, true] {
        if restarts {
            it.office.restart();
        }
        assert!(it.office.shard.plays(of_cid) && !it.office.shard.plays(of_ada));
        is_in_snapshot(&it.office, &[playback, of_cid, of_ada]);
    }
    let step = it.office.shard.handle_playback_finished(of_cid, PlaybackEnd::Done, it.office.now);
    it.office.take(step);
    let done = FactKind::PlaybackFinished { playback, end: PlaybackEnd::Done };
    assert_eq!(it.office.facts(|kind| *kind == done), 1);
}

#[test]
fn a_playback_to_one_leg_goes_with_it() {
    let mut playing = None;
    let mut it = Two::with(
        |_, _| {},
        |office, leg| {
            let cid = office.others(leg)[0];
            let (to, sources) = (Audience::Leg(cid), vec![Source::Prompt("welcome".into())]);
            let kind = CallCommandKind::Play {
                to,
                sources,
                repeat: 0,
                manner: Manner::Instead,
                options: PlayOptions::default(),
            };
            let Ok(CommandSubject::Playback(playback)) = office.does(kind) else { panic!("not played") };
            playing = Some(playback);
        },
    );
    let playback = playing.unwrap();
    let asked = it.transfer();
    assert!(!asked.contains(&MediaRequest::StopPlay { playback }), "{asked:?}");
    assert_eq!(it.office.shard.fold().playback(playback).unwrap().call, it.call(it.ben));
    let stop = CallCommandKind::StopPlay { to: Audience::Call(it.call(it.ben)), playback: None };
    it.office.does(stop).unwrap();
    assert!(it.office.serve().contains(&MediaRequest::StopPlay { playback }));
}

/// The call keeps its recording and stream; only who is in it changes.
#[test]
fn a_blind_transfer_records_whoever_answers() {
    let mut office = Office::new();
    let (ada, ben) = office.connect("ada", "ben");
    let recording = office.start_recording(ada);
    let stream = started(&mut office, ada);
    office.serve();
    let transfer = CallCommandKind::TransferBlind { leg: ada, to_number: "cid".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), office.registered("cid", &["desk"])).unwrap();
    office.serve();
    office.hang_up_as_told();
    let cid = office.legs_of("cid")[0];
    office.rings(cid);
    let asked = office.answers(cid);
    for what in [recording.as_uuid(), stream.as_uuid()] {
        assert_eq!(Two::taken_in(&asked, what), sorted(vec![ben, cid]));
    }
    assert_eq!(*office.recording(recording), RecordingPhase::Running);
    office.restart();
    office.hello(office.boot, &[ben, cid]);
    office.node_holds(&[held(ben), held(cid)]);
    let asked = office.serve();
    assert_eq!(Two::taken_in(&asked, recording.as_uuid()), sorted(vec![ben, cid]));
}
