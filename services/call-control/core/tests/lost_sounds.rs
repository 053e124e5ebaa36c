//! A node is attached, after a restart of call control or when only the way to it was away: what it plays is what the log says, or
//! the log is told that it is over; what it streams is asked for again.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use std::collections::BTreeSet;

use kit::{Office, held};
use sidetone_call_core::{HeldMedia, HeldSounds, MediaRequest};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::{Audience, CallCommandKind};
use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::ids::{LegId, PlaybackId, StreamId};
use sidetone_model::media::{FileFormat, Manner, PlayOptions, Source};
use sidetone_model::party::Destination;
use sidetone_model::termination::Cause;

fn bridged(a: LegId, b: LegId) -> [HeldMedia; 2] {
    [HeldMedia { peer: Some(b), ..held(a) }, HeldMedia { peer: Some(a), ..held(b) }]
}

fn plays(office: &mut Office, to: Audience) -> PlaybackId {
    let sources = vec![Source::Prompt("welcome".into())];
    let kind = CallCommandKind::Play {
        to,
        sources,
        repeat: 0,
        manner: Manner::Instead,
        options: PlayOptions::default(),
    };
    match office.does(kind) {
        Ok(CommandSubject::Playback(playback)) => playback,
        other => panic!("{other:?}"),
    }
}

fn streams(office: &mut Office, leg: LegId) -> StreamId {
    let call = office.leg(leg).call;
    match office.does(CallCommandKind::StartStream { call, format: FileFormat::L16 }) {
        Ok(CommandSubject::Stream(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

/// The names under which a node was asked to play.
fn names(asked: &[MediaRequest]) -> BTreeSet<PlaybackId> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::Play { playback, .. } => Some(*playback),
        _ => None,
    };
    asked.iter().filter_map(one).collect()
}

/// The node is attached and tells; what it is asked thereupon.
fn attaches(office: &mut Office, legs: &[HeldMedia], sounds: &HeldSounds) -> Vec<MediaRequest> {
    office.node_holds(legs);
    let node = office.nodes[0].node.clone();
    let step = office.shard.handle_node_sounds(&node, sounds, office.now);
    office.take(step);
    office.serve()
}

fn stopped(asked: &[MediaRequest]) -> Vec<PlaybackId> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::StopPlay { playback } => Some(*playback),
        _ => None,
    };
    asked.iter().filter_map(one).collect()
}

fn ended(office: &Office, playback: PlaybackId) -> usize {
    let stopped = FactKind::PlaybackFinished { playback, end: PlaybackEnd::Stopped };
    office.facts(|kind| *kind == stopped)
}

#[test]
fn what_loops_goes_on_and_what_is_not_there_any_more_is_told_as_over() {
    for restarts in [true, false] {
        let mut office = Office::new();
        let (caller, callee) = office.talk();
        let call = office.leg(caller).call;
        let to_all = plays(&mut office, Audience::Call(call));
        let own = names(&office.serve());
        if restarts {
            office.restart();
            office.hello(office.boot, &[caller, callee]);
        }
        let of = |leg: LegId| PlaybackId::from(uuid::Uuid::from_u128(to_all.as_u128() ^ leg.as_u128()));
        assert_eq!(own, BTreeSet::from([of(caller), of(callee)]));
        let mut sounds = HeldSounds::default();
        for leg in [caller, callee] {
            sounds.insert(leg, BTreeSet::from([of(leg)]));
        }
        let asked = attaches(&mut office, &bridged(caller, callee), &sounds);
        assert_eq!((stopped(&asked).len(), ended(&office, to_all)), (0, 0), "{asked:?}");
        // One of them hears it no more, and then nobody does.
        sounds.remove(&caller);
        attaches(&mut office, &bridged(caller, callee), &sounds);
        assert!(office.shard.fold().playback(to_all).is_some(), "the other hears it still");
        attaches(&mut office, &bridged(caller, callee), &HeldSounds::default());
        assert_eq!(ended(&office, to_all), 1);
        attaches(&mut office, &bridged(caller, callee), &HeldSounds::default());
        assert_eq!(ended(&office, to_all), 1, "once");
    }
}

#[test]
fn a_stream_that_had_not_begun_begins() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let stream = streams(&mut office, caller);
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    let asked = attaches(&mut office, &bridged(caller, callee), &HeldSounds::default());
    let begins = |request: &MediaRequest| matches!(request, MediaRequest::StartStream { stream: of, legs, .. } if *of == stream && legs.len() == 2);
    assert!(asked.iter().any(begins), "{asked:?}");
}

#[test]
fn what_is_just_being_asked_for_is_not_missing() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    let playback = plays(&mut office, Audience::Leg(caller));
    office.node_holds(&bridged(caller, callee));
    let node = office.nodes[0].node.clone();
    let step = office.shard.handle_node_sounds(&node, &HeldSounds::default(), office.now);
    office.take(step);
    assert!(office.shard.fold().playback(playback).is_some());
    office.serve();
    attaches(&mut office, &bridged(caller, callee), &HeldSounds::default());
    assert!(office.shard.fold().playback(playback).is_none());
}

#[test]
fn what_a_node_plays_and_nobody_wants_is_stopped() {
    let mut office = Office::with_hold_prompt("music");
    let (caller, callee) = office.talk();
    let playback = plays(&mut office, Audience::Leg(caller));
    office.serve();
    office.does(CallCommandKind::StopPlay { to: Audience::Leg(caller), playback: None }).unwrap();
    office.does(CallCommandKind::Hold { leg: caller }).unwrap();
    let music = names(&office.serve());
    office.does(CallCommandKind::Retrieve { leg: caller }).unwrap();
    // All that stops something is lost.
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    let mut sounds = HeldSounds::default();
    sounds.insert(caller, BTreeSet::from([playback]));
    sounds.insert(callee, music.clone());
    let asked = attaches(&mut office, &bridged(caller, callee), &sounds);
    let wanted: BTreeSet<PlaybackId> = music.iter().copied().chain([playback]).collect();
    assert_eq!(stopped(&asked).into_iter().collect::<BTreeSet<_>>(), wanted);
    // Who is on hold hears music, and goes on hearing it.
    office.does(CallCommandKind::Hold { leg: caller }).unwrap();
    office.serve();
    sounds.remove(&caller);
    let silent = [held(caller), held(callee)];
    assert_eq!(stopped(&attaches(&mut office, &silent, &sounds)), []);
}

#[test]
fn an_announcement_whose_end_was_not_heard_of_is_over() {
    let mut office = Office::new();
    let announcement = Destination::Announcement { prompt: "welcome".into(), repeat: 1 };
    let caller = office.call(office.to(announcement, 0));
    let mut sounds = HeldSounds::default();
    sounds.insert(caller, BTreeSet::from([PlaybackId::from(caller.as_uuid())]));
    attaches(&mut office, &[held(caller)], &sounds);
    assert_eq!(office.end_of(caller), None);
    attaches(&mut office, &[held(caller)], &HeldSounds::default());
    assert_eq!(office.end_of(caller), Some(Cause::Normal));
}
