//! Sounds that applications play: what of them ends for whom.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use std::collections::BTreeMap;

use kit::{Office, ended};
use sidetone_call_core::{CommandError, Heard, MediaRequest};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::{Audience, CallCommandKind};
use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::ids::{LegId, PlaybackId};
use sidetone_model::media::{BargeIn, Beside, Manner, PlayOptions, PlaySteer, Source};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

/// A sound that ends by a key or by speech of whoever hears it.
fn menu(to: Audience) -> CallCommandKind {
    let options = PlayOptions { barge_in: BargeIn::Any, ..PlayOptions::default() };
    let sources = vec![Source::Prompt("menu".into())];
    CallCommandKind::Play { to, sources, repeat: 0, manner: Manner::Instead, options }
}

fn play(to: Audience) -> CallCommandKind {
    CallCommandKind::Play {
        to,
        sources: vec![Source::Prompt("welcome".into())],
        repeat: 0,
        manner: Manner::Instead,
        options: PlayOptions::default(),
    }
}

/// Plays to both of a call; the playback, and under which name each of them hears it.
fn plays_to_all(office: &mut Office, of: LegId) -> (PlaybackId, BTreeMap<LegId, PlaybackId>) {
    let call = office.leg(of).call;
    begins(office, play(Audience::Call(call)))
}

fn begins(office: &mut Office, what: CallCommandKind) -> (PlaybackId, BTreeMap<LegId, PlaybackId>) {
    let CommandSubject::Playback(playback) = office.does(what).unwrap() else {
        panic!("playing is told as something else")
    };
    let asked = office.serve();
    let own = asked.iter().filter_map(|request| match request {
        MediaRequest::Play { playback, to: Heard::Leg(leg), .. } => Some((*leg, *playback)),
        _ => None,
    });
    (playback, own.collect())
}

fn finishes(office: &mut Office, playback: PlaybackId, end: PlaybackEnd) {
    assert!(office.shard.plays(playback), "it is nobody's");
    let step = office.shard.handle_playback_finished(playback, end, office.now);
    office.take(step);
}

/// The ends that were told.
fn ends(office: &Office) -> Vec<PlaybackEnd> {
    let facts = office.log.iter().flat_map(|record| &record.facts);
    facts
        .filter_map(|fact| match fact.kind {
            FactKind::PlaybackFinished { end, .. } => Some(end),
            _ => None,
        })
        .collect()
}

fn stopped(asked: &[MediaRequest]) -> Vec<PlaybackId> {
    let stops = asked.iter().filter_map(|request| match request {
        MediaRequest::StopPlay { playback } => Some(*playback),
        _ => None,
    });
    stops.collect()
}

#[test]
fn another_sound_for_one_of_them_leaves_the_others_theirs() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let (whole, own) = plays_to_all(&mut office, caller);
    assert!(own.len() == 2 && own.contains_key(&caller) && own.contains_key(&callee), "{own:?}");
    // Whoever is played something else hears that instead: its node ends the first.
    for leg in [caller, callee] {
        office.does(play(Audience::Leg(leg))).unwrap();
        office.serve();
        assert!(office.shard.fold().playback(whole).is_some(), "somebody hears it still");
        finishes(&mut office, own[&leg], PlaybackEnd::Stopped);
        let touched = stopped(&office.serve());
        assert!(touched.iter().all(|playback| own.values().any(|own| own == playback)), "{touched:?}");
    }
    assert_eq!(ends(&office), [PlaybackEnd::Stopped], "it is over when nobody hears it, once");
    assert_eq!(office.shard.fold().call(office.leg(caller).call).unwrap().playbacks.len(), 2);
}

#[test]
fn what_one_has_heard_to_its_end_is_over_for_all_and_told_once() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let (_, own) = plays_to_all(&mut office, caller);
    finishes(&mut office, own[&callee], PlaybackEnd::Done);
    assert_eq!(ends(&office), [PlaybackEnd::Done]);
    assert!(!office.shard.plays(own[&caller]), "the other's end is told by nobody");
}

#[test]
fn a_sound_that_cannot_be_had_fails_once_and_not_before_the_last() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let (_, own) = plays_to_all(&mut office, caller);
    finishes(&mut office, own[&caller], PlaybackEnd::Failed);
    assert!(ends(&office).is_empty());
    finishes(&mut office, own[&callee], PlaybackEnd::Failed);
    assert_eq!(ends(&office), [PlaybackEnd::Failed]);
}

#[test]
fn who_leaves_a_conversation_leaves_its_sound_to_the_others_also_after_a_restart() {
    for restarts in [false, true] {
        let mut office = Office::new();
        let (caller, callee) = office.talk();
        let room = office.dial("u9", "d0", office.to_room());
        let (whole, own) = plays_to_all(&mut office, caller);
        assert!(!own.contains_key(&room), "it is in another call");
        if restarts {
            office.restart();
        }
        finishes(&mut office, own[&caller], PlaybackEnd::Stopped);
        assert!(office.shard.fold().playback(whole).is_some());
        office
            .does(CallCommandKind::StopPlay { to: Audience::Call(office.leg(caller).call), playback: None })
            .unwrap();
        let asked = office.serve();
        assert!(stopped(&asked).contains(&own[&callee]), "{asked:?}");
        assert_eq!(ends(&office), [PlaybackEnd::Stopped]);
        office.signal(caller, ended(Cause::Normal, 200));
        assert!(!office.shard.plays(own[&callee]));
    }
}

#[test]
fn each_of_several_hears_it_in_the_manner_that_was_asked_for() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let manner = Manner::Under(Beside::new(Some(-6_000), 3_000).unwrap());
    let to = Audience::Call(office.leg(caller).call);
    let sources = vec![Source::Prompt("music".into())];
    let options = PlayOptions { start_ms: 500, pause_ms: 200, barge_in: BargeIn::Voice };
    office.does(CallCommandKind::Play { to, sources, repeat: 0, manner, options }).unwrap();
    let asked = office.serve();
    let told = asked.iter().filter_map(|request| match request {
        MediaRequest::Play { to: Heard::Leg(leg), manner, options, .. } => Some((*leg, (*manner, *options))),
        _ => None,
    });
    let all = BTreeMap::from([caller, callee].map(|leg| (leg, (manner, options))));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), all);
    assert_eq!(Beside::new(Some(1), 0), None);
    assert_eq!(Beside::new(None, 18_001), None);
}

#[test]
fn a_call_has_so_many_playbacks_and_streams_and_no_more() {
    use sidetone_call_core::{CommandError, Limits};
    use sidetone_model::media::FileFormat;
    let limits = Limits { streams_max: 1, playbacks_max: 2, ..Limits::default() };
    let mut office = Office::with(limits);
    let (caller, callee) = office.talk();
    let call = office.leg(caller).call;
    let stream = CallCommandKind::StartStream { call, format: FileFormat::L16 };
    let CommandSubject::Stream(first) = office.does(stream.clone()).unwrap() else { panic!("no stream") };
    assert_eq!(office.does(stream.clone()), Err(CommandError::TooManyStreams));
    office.does(CallCommandKind::StopStream { stream: first }).unwrap();
    office.does(stream).unwrap();
    for to in [Audience::Call(call), Audience::Leg(callee)] {
        office.does(play(to)).unwrap();
    }
    for to in [Audience::Call(call), Audience::Leg(caller)] {
        assert_eq!(office.does(play(to)), Err(CommandError::TooManyPlaybacks));
    }
    office.does(CallCommandKind::StopPlay { to: Audience::Call(call), playback: None }).unwrap();
    office.does(play(Audience::Leg(caller))).unwrap();
    // What another call has is its own.
    let (other, _) = office.talk();
    office.does(play(Audience::Leg(other))).unwrap();
}

#[test]
fn a_key_or_a_word_of_one_ends_it_for_all_and_is_told_as_that() {
    for end in [PlaybackEnd::Key, PlaybackEnd::Voice] {
        let mut office = Office::new();
        let (caller, callee) = office.talk();
        let to = Audience::Call(office.leg(caller).call);
        let (_, own) = begins(&mut office, menu(to));
        finishes(&mut office, own[&callee], end);
        assert!(stopped(&office.serve()).contains(&own[&caller]), "the other hears it no more");
        assert_eq!(ends(&office), [end]);
        assert!(!office.shard.plays(own[&caller]), "the other's end is told by nobody");
    }
}

#[test]
fn a_key_that_only_signalling_hears_of_ends_what_is_to_end_by_one() {
    for restarts in [false, true] {
        let mut office = Office::new();
        let (caller, callee) = office.talk();
        let call = office.leg(caller).call;
        let (lasting, _) = begins(&mut office, play(Audience::Leg(callee)));
        let (menu, _) = begins(&mut office, menu(Audience::Leg(caller)));
        if restarts {
            office.restart();
        }
        let key = |office: &mut Office, leg| {
            office.signal(leg, LegSignalKind::Digit { digit: '5', duration_ms: 100 });
            stopped(&office.serve())
        };
        assert!(key(&mut office, callee).is_empty(), "nobody else's key ends it");
        assert!(key(&mut office, caller).contains(&menu));
        assert_eq!(ends(&office), [PlaybackEnd::Key]);
        assert_eq!(office.shard.fold().call(call).unwrap().playbacks, [lasting]);
    }
}

#[test]
fn what_is_played_is_steered_wherever_it_is_heard_and_not_when_it_is_over() {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    let (playback, own) = plays_to_all(&mut office, caller);
    for steer in [PlaySteer::Pause, PlaySteer::Resume, PlaySteer::Seek { to_ms: 5_000 }] {
        office.does(CallCommandKind::SteerPlay { playback, steer }).unwrap();
        let asked = office.serve();
        let steered: Vec<PlaybackId> = asked
            .iter()
            .filter_map(|request| match request {
                MediaRequest::SteerPlay { playback, steer: asked } if *asked == steer => Some(*playback),
                _ => None,
            })
            .collect();
        assert!(steered.len() == own.len() && own.values().all(|own| steered.contains(own)), "{asked:?}");
    }
    finishes(&mut office, own[&caller], PlaybackEnd::Done);
    let late = CallCommandKind::SteerPlay { playback, steer: PlaySteer::Pause };
    assert_eq!(office.does(late), Err(CommandError::NoSuchPlayback));
}
