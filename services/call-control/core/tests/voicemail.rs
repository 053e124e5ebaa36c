//! Calls that nobody takes, and the message that is left.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, media};
use sidetone_call_core::{MediaFailure, MediaReply, MediaRequest, Routing};
use sidetone_model::call::{DivertCause, Elsewhere, PlaybackEnd};
use sidetone_model::classify::Class;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{LegId, PlaybackId, UserId};
use sidetone_model::media::Source;
use sidetone_model::party::Destination;
use sidetone_model::termination::Cause;

fn voicemail(office: &Office) -> Routing {
    office.to(Destination::Voicemail(UserId::new("bob").unwrap()), 0)
}

fn message(office: &Office) -> Option<(Box<str>, Vec<LegId>)> {
    office.happened_since(0).into_iter().find_map(|kind| match kind {
        FactKind::RecordingStarted { name, legs, .. } => Some((name.clone(), legs.clone())),
        _ => None,
    })
}

#[test]
fn the_caller_is_greeted_then_recorded_and_ends_the_message() {
    for digit in [None, Some('#')] {
        let mut office = Office::new();
        let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
        let bob = office.legs_of("bob")[0];
        office.rings(bob);
        let overflow = CallCommandKind::Overflow { leg: alice };
        office.does_to(overflow, Routing::default(), voicemail(&office)).unwrap();
        let served = office.serve();
        let playback = PlaybackId::from(alice.as_uuid());
        assert!(
            served
                .iter()
                .any(|r| matches!(r, MediaRequest::PlayGreeting { playback: p, .. } if *p == playback))
        );
        assert_eq!((office.end_of(bob), office.end_of(alice)), (Some(Cause::Diverted), None));
        let causes = office.happened_since(0).into_iter().filter_map(|kind| match kind {
            FactKind::CallDiverted { cause, .. } => Some(*cause),
            _ => None,
        });
        assert_eq!(causes.collect::<Vec<_>>(), [DivertCause::Overflown]);
        assert_eq!(message(&office), None, "the greeting is not part of the message");
        let step = office.shard.handle_playback_finished(playback, PlaybackEnd::Done, office.now);
        office.take(step);
        assert_eq!(message(&office), Some(("voicemail/bob".into(), vec![alice])));
        match digit {
            Some(digit) => {
                let step = office.shard.handle_digit(alice, digit, 100, office.now);
                office.take(step);
                assert_eq!(office.end_of(alice), Some(Cause::Normal));
            }
            None => {
                office.pass(179);
                assert_eq!(office.end_of(alice), None);
                office.pass(2);
                assert_eq!(office.end_of(alice), Some(Cause::Normal), "nobody speaks for ever");
            }
        }
        office.serve();
        office.hang_up_as_told();
        let asked = office.serve();
        assert!(
            asked.iter().any(|request| matches!(request, MediaRequest::StopRecording { .. })),
            "{asked:?}"
        );
    }
}

#[test]
fn without_a_greeting_the_message_begins_at_once() {
    let mut office = Office::new();
    let alice = office.offer(voicemail(&office), Some(media()));
    while let Some((node, request)) = (!office.requests.is_empty()).then(|| office.requests.remove(0)) {
        let answer = match &request {
            MediaRequest::PlayGreeting { .. } => {
                Err(MediaFailure { class: Class::NotFound, text: "no prompt".into() })
            }
            MediaRequest::CreateLeg { .. } => {
                Ok(MediaReply::Created { local: media(), boot: office.boot_of(&node) })
            }
            _ => Ok(MediaReply::Done),
        };
        let step = office.shard.handle_media(&node, request, answer, office.now);
        office.take(step);
    }
    assert_eq!(message(&office), Some(("voicemail/bob".into(), vec![alice])));
}

#[test]
fn whoever_is_rung_sends_the_caller_there_and_the_assistant_is_refused_where_there_is_none() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
    let bob = office.legs_of("bob")[0];
    office.rings(bob);
    let redirect = |to| CallCommandKind::Redirect { leg: bob, to, anonymous: false };
    let nobody = office.to(Destination::Assistant, 0);
    assert!(office.does_to(redirect(Elsewhere::Assistant), Routing::default(), nobody).is_err());
    assert_eq!(office.end_of(bob), None, "it rings on");
    office.does_to(redirect(Elsewhere::Voicemail), Routing::default(), voicemail(&office)).unwrap();
    assert_eq!((office.end_of(bob), office.end_of(alice)), (Some(Cause::Diverted), None));
    assert!(matches!(office.leg(alice).served_by, Some(Destination::Voicemail(_))));
}

#[test]
fn a_device_that_comes_into_reach_is_told_of_once() {
    let mut office = Office::new();
    let (user, device) = (UserId::new("bob").unwrap(), "desk".parse().unwrap());
    let contact = office.registered("bob", &["desk"]).bindings;
    for (in_service, told) in [(false, 0), (true, 1), (true, 1), (false, 2), (false, 2)] {
        let step = office.shard.handle_device_state(
            &office.tenant.clone(),
            (&user, &device),
            if in_service { &contact } else { &[] },
            office.now,
        );
        office.take(step);
        assert_eq!(office.facts(|kind| matches!(kind, FactKind::DeviceStateChanged { .. })), told);
    }
}

#[test]
fn the_greeting_is_skipped_by_its_digit_and_the_message_ended_by_the_next() {
    let mut office = Office::new();
    let leg = office.call(voicemail(&office));
    office.serve();
    let step = office.shard.handle_digit(leg, '#', 100, office.now);
    office.take(step);
    let asked = office.serve();
    assert!(asked.iter().any(|request| matches!(request, MediaRequest::StopPlay { .. })), "{asked:?}");
    let records = |request: &MediaRequest| matches!(request, MediaRequest::StartRecording { .. });
    assert!(asked.iter().any(records), "{asked:?}");
    assert_eq!(office.end_of(leg), None);
    let step = office.shard.handle_digit(leg, '#', 100, office.now);
    office.take(step);
    assert_eq!(office.end_of(leg), Some(Cause::Normal));
}

#[test]
fn who_cannot_be_recorded_hears_so_and_is_not_left_speaking() {
    for (class, cause) in [(Class::Internal, Cause::Internal), (Class::Exhausted, Cause::NoCapacity)] {
        let mut office = Office::new();
        let leg = office.call(voicemail(&office));
        office.serve();
        let greeting = PlaybackId::from(leg.as_uuid());
        let step = office.shard.handle_playback_finished(greeting, PlaybackEnd::Done, office.now);
        office.take(step);
        office.refuse(class);
        let tone = |request: &MediaRequest| match request {
            MediaRequest::Play { playback, sources, .. } if *playback == greeting => {
                sources[..] == [Source::Prompt("tone:congestion".into())]
            }
            _ => false,
        };
        let asked = office.serve();
        assert!(asked.iter().any(tone), "{asked:?}");
        assert_eq!(office.facts(|kind| matches!(kind, FactKind::RecordingFailed { .. })), 1);
        assert_eq!(office.end_of(leg), None, "not before it was told");
        let step = office.shard.handle_playback_finished(greeting, PlaybackEnd::Done, office.now);
        office.take(step);
        assert_eq!(office.end_of(leg), Some(cause));
        assert_eq!(office.facts(|kind| matches!(kind, FactKind::RecordingStarted { .. })), 1);
    }
}
