//! Phones that could speak one codec are brought to do so.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended, media};
use sidetone_call_core::{Answers, Limits, MatchCodecs, MediaFailure, MediaReply, MediaRequest};
use sidetone_model::classify::Class;
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::fold::LegPhase;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Direction, Encoding, Format, MediaDescription};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

const MU: (u8, Encoding) = (0, Encoding::Pcmu);
const A: (u8, Encoding) = (8, Encoding::Pcma);

fn speaking(codecs: &[(u8, Encoding)]) -> MediaDescription {
    let mut formats: Vec<Format> =
        codecs.iter().map(|(number, encoding)| Format::new(*number, encoding.clone(), 8_000)).collect();
    formats.push(Format::new(101, Encoding::TelephoneEvent, 8_000));
    MediaDescription { formats, ..media() }
}

/// Media answers as a node does that has all of it: with the first codec of the offer. What was asked is returned.
fn serves(office: &mut Office) -> Vec<MediaRequest> {
    let mut served = Vec::new();
    while !office.requests.is_empty() {
        let (node, request) = office.requests.remove(0);
        let first = |remote: &MediaDescription| {
            let encoding = remote.first_audio().unwrap();
            speaking(&[(encoding.payload_type, encoding.encoding.clone())])
        };
        let reply = match &request {
            MediaRequest::CreateLeg { remote, .. } => MediaReply::Created {
                local: remote.as_ref().map_or_else(|| speaking(&[MU, A]), first),
                boot: office.boot_of(&node),
            },
            MediaRequest::UpdateLeg { remote, .. } => MediaReply::Updated { local: first(remote) },
            MediaRequest::OfferLeg { prefer: Some(prefer), .. } => {
                MediaReply::Offered { local: speaking(&[(prefer.payload_type, prefer.encoding.clone())]) }
            }
            MediaRequest::OfferLeg { prefer: None, .. } => MediaReply::Offered { local: speaking(&[MU, A]) },
            _ => MediaReply::Done,
        };
        served.push(request.clone());
        let step = office.shard.handle_media(&node, request, Ok(reply), office.now);
        office.take(step);
    }
    served
}

/// A phone that offers mu-law and A-law calls one that rings.
fn calling(office: &mut Office) -> (LegId, LegId) {
    let caller = office.offer(office.to_user(1), Some(speaking(&[MU, A])));
    serves(office);
    let callee = office.legs_of("bob")[0];
    office.rings(callee);
    (caller, callee)
}

fn answered_with(office: &Office, leg: LegId) -> Vec<Encoding> {
    let of = office.commands.iter().filter(|command| command.leg == leg);
    of.filter_map(|command| match &command.kind {
        LegCommandKind::Answer { media } | LegCommandKind::Reoffer { media } => {
            media.first_audio().map(|format| format.encoding.clone())
        }
        _ => None,
    })
    .collect()
}

fn answers_in(office: &mut Office, leg: LegId, codecs: &[(u8, Encoding)]) {
    office.signal(leg, LegSignalKind::Answered { media: Some(speaking(codecs)) });
}

#[test]
fn a_caller_is_answered_with_the_codec_of_whom_it_reaches() {
    let mut office = Office::new();
    let (caller, callee) = calling(&mut office);
    answers_in(&mut office, callee, &[A]);
    let asked = serves(&mut office);
    let again = asked.iter().find_map(|request| match request {
        MediaRequest::UpdateLeg { leg, remote, answers: Answers::Nothing } if *leg == caller => Some(remote),
        _ => None,
    });
    let numbers: Vec<u8> = again.unwrap().formats.iter().map(|format| format.payload_type).collect();
    assert_eq!(numbers, [8, 101], "its own offer, without the codecs that are not wanted");
    assert_eq!(answered_with(&office, caller), [Encoding::Pcma]);
    assert_eq!(office.leg(caller).peer, Some(callee));
    assert!(!asked.iter().any(|request| matches!(request, MediaRequest::OfferLeg { .. })), "{asked:?}");
}

#[test]
fn what_is_alike_already_or_cannot_be_is_left_as_it_is() {
    for answer in [MU, (9, Encoding::G722)] {
        let mut office = Office::new();
        let (caller, callee) = calling(&mut office);
        answers_in(&mut office, callee, &[answer]);
        serves(&mut office);
        assert_eq!(answered_with(&office, caller), [Encoding::Pcmu]);
        assert_eq!(office.leg(caller).peer, Some(callee));
    }
}

#[test]
fn switched_off_nothing_is_asked_of_anybody() {
    let mut office = Office::with(Limits { match_codecs: MatchCodecs::Off, ..Limits::default() });
    let (caller, callee) = calling(&mut office);
    answers_in(&mut office, callee, &[A]);
    serves(&mut office);
    assert_eq!(answered_with(&office, caller), [Encoding::Pcmu]);
}

#[test]
fn a_node_that_does_not_answer_in_time_leaves_the_first_answer() {
    let mut office = Office::with(Limits { match_codecs: MatchCodecs::Answer, ..Limits::default() });
    let (caller, callee) = calling(&mut office);
    answers_in(&mut office, callee, &[A]);
    // The called phone's answer first, and then the caller's new one, which fails.
    let (node, request) = office.requests.remove(0);
    let reply = Ok(MediaReply::Updated { local: speaking(&[A]) });
    let step = office.shard.handle_media(&node, request, reply, office.now);
    office.take(step);
    assert_eq!(office.phase(callee), LegPhase::Ringing, "it waits for the caller's answer");
    let (node, request) = office.requests.remove(0);
    let failure = MediaFailure { class: Class::DeadlineExceeded, text: "no answer in time".into() };
    let step = office.shard.handle_media(&node, request, Err(failure), office.now);
    office.take(step);
    serves(&mut office);
    assert_eq!(answered_with(&office, caller), [Encoding::Pcmu]);
    assert_eq!(office.leg(caller).peer, Some(callee));
}

#[test]
fn a_caller_that_gives_up_meanwhile_leaves_nobody_behind() {
    let mut office = Office::new();
    let (caller, callee) = calling(&mut office);
    answers_in(&mut office, callee, &[A]);
    let (node, request) = office.requests.remove(0);
    let reply = Ok(MediaReply::Updated { local: speaking(&[A]) });
    let step = office.shard.handle_media(&node, request, reply, office.now);
    office.take(step);
    office.signal(caller, ended(Cause::Cancelled, 487));
    serves(&mut office);
    assert_eq!(office.end_of(callee), Some(Cause::Cancelled));
}

/// A caller that was answered with mu-law is connected to somebody who has A-law only.
fn passed_on(how: MatchCodecs) -> (Office, LegId, Vec<MediaRequest>) {
    let mut office = Office::with(Limits { match_codecs: how, ..Limits::default() });
    let (caller, callee) = calling(&mut office);
    answers_in(&mut office, callee, &[MU]);
    serves(&mut office);
    let to = office.registered("carol", &["desk"]);
    let transfer = CallCommandKind::TransferBlind { leg: callee, to_number: "300".into(), anonymous: false };
    office.does_to(transfer, Default::default(), to).unwrap();
    serves(&mut office);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    answers_in(&mut office, carol, &[A]);
    let asked = serves(&mut office);
    assert_eq!(office.leg(caller).peer, Some(carol));
    (office, caller, asked)
}

#[test]
fn a_phone_that_was_answered_earlier_is_offered_the_codec_of_the_next() {
    let (mut office, caller, asked) = passed_on(MatchCodecs::Reoffer);
    let offers = asked.iter().filter(|request| matches!(request, MediaRequest::OfferLeg { .. })).count();
    assert_eq!((offers, answered_with(&office, caller)), (1, vec![Encoding::Pcmu, Encoding::Pcma]));
    office.signal(caller, LegSignalKind::Reanswered { media: speaking(&[A]) });
    let told = serves(&mut office);
    assert!(
        matches!(&told[..], [MediaRequest::UpdateLeg { answers: Answers::Standing, .. }]),
        "media is told, and nothing is offered again: {told:?}"
    );
}

#[test]
fn who_refuses_it_is_not_asked_again_and_talks_on() {
    let (mut office, caller, _) = passed_on(MatchCodecs::Reoffer);
    let why = sidetone_model::termination::Termination::new(Cause::NoCommonCodec).with_sip_status(488);
    office.signal(caller, LegSignalKind::ReofferRefused(why));
    office.does(CallCommandKind::Hold { leg: caller }).unwrap();
    office.does(CallCommandKind::Retrieve { leg: caller }).unwrap();
    let asked = serves(&mut office);
    assert!(!asked.iter().any(|request| matches!(request, MediaRequest::OfferLeg { .. })), "{asked:?}");
    assert_eq!((office.end_of(caller), office.phase(caller)), (None, LegPhase::Answered));
}

#[test]
fn where_only_answers_are_matched_nobody_is_offered_anything() {
    let (office, caller, asked) = passed_on(MatchCodecs::Answer);
    assert!(!asked.iter().any(|request| matches!(request, MediaRequest::OfferLeg { .. })), "{asked:?}");
    assert_eq!(answered_with(&office, caller), [Encoding::Pcmu]);
}

#[test]
fn a_phone_that_holds_and_retrieves_is_answered_with_the_codec_of_its_peer() {
    let mut office = Office::new();
    let (caller, callee) = calling(&mut office);
    answers_in(&mut office, callee, &[A]);
    serves(&mut office);
    for direction in [Direction::SendOnly, Direction::SendRecv] {
        let media = MediaDescription { direction, ..speaking(&[MU, A]) };
        office.signal(caller, LegSignalKind::Reoffered { media: Some(media) });
        serves(&mut office);
        let answer = office.commands.iter().rev().find_map(|command| match &command.kind {
            LegCommandKind::AnswerReoffer { media } => media.clone(),
            _ => None,
        });
        assert_eq!(answer.unwrap().first_audio().unwrap().encoding, Encoding::Pcma);
    }
}
