//! What a phone lets be heard before it answers, and who hears it.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, connects, ended, held, media};
use sidetone_call_core::{Answers, Connection, HeldMedia, MediaRequest};
use sidetone_model::classify::Class;
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::fold::LegPhase;
use sidetone_model::ids::LegId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

fn early() -> LegSignalKind {
    LegSignalKind::Progress { media: Some(media()) }
}

/// What the caller was told of ringing: with a description, or without.
fn rings(office: &Office, leg: LegId) -> Vec<bool> {
    let of = office.commands.iter().filter(|command| command.leg == leg);
    of.filter_map(|command| match &command.kind {
        LegCommandKind::Ring { media } => Some(media.is_some()),
        _ => None,
    })
    .collect()
}

/// Whom media was asked to keep back, or let through.
fn kept_back(requests: &[MediaRequest]) -> Vec<(LegId, bool)> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::SetAudio { leg, muted, .. } => Some((*leg, *muted)),
        _ => None,
    };
    requests.iter().filter_map(one).collect()
}

/// A caller, and the one phone that it calls.
fn calling() -> (Office, LegId, LegId) {
    let mut office = Office::new();
    let caller = office.call(office.to_user(1));
    let callee = office.others(caller)[0];
    (office, caller, callee)
}

#[test]
fn the_caller_hears_it_and_is_not_heard_until_the_answer() {
    let (mut office, caller, callee) = calling();
    office.rings(callee);
    office.signal(callee, early());
    assert_eq!(rings(&office, caller), [false], "media has not taken it in yet");
    let served = office.serve();
    assert!(
        matches!(&served[0], MediaRequest::UpdateLeg { leg, answers: Answers::Offer, .. } if *leg == callee)
    );
    assert_eq!(rings(&office, caller), [false, true]);
    assert_eq!(kept_back(&served), [(caller, true)]);
    assert_eq!(connects(&served), [(caller, Connection::Peer(callee))]);
    assert_eq!((office.phase(caller), office.phase(callee)), (LegPhase::Ringing, LegPhase::Ringing));
    // It says the same again, and rings: nothing changes.
    office.signal(callee, early());
    office.rings(callee);
    let again = office.serve();
    assert_eq!((connects(&again), kept_back(&again)), (vec![], vec![]));
    let served = office.answers(callee);
    assert_eq!(kept_back(&served), [(caller, false)]);
    assert_eq!(connects(&served), [], "it stays connected");
    assert_eq!(office.leg(caller).peer, Some(callee));
    assert_eq!(rings(&office, caller), [false, true]);
}

#[test]
fn a_call_that_is_refused_after_an_announcement_ends_as_it_was_refused() {
    for (cause, status) in [(Cause::Busy, 486), (Cause::NotFound, 404)] {
        let (mut office, caller, callee) = calling();
        office.signal(callee, early());
        office.serve();
        office.signal(callee, ended(cause, status));
        assert!(office.serve().contains(&MediaRequest::ReleaseLeg { leg: callee }));
        assert!(office.end_of(caller).is_some());
        office.hang_up_as_told();
        assert!(office.serve().contains(&MediaRequest::ReleaseLeg { leg: caller }));
    }
    let (mut office, caller, callee) = calling();
    office.signal(callee, early());
    office.serve();
    office.signal(caller, ended(Cause::Cancelled, 487));
    assert_eq!(office.end_of(callee), Some(Cause::Cancelled), "and the caller may give up");
}

#[test]
fn of_several_phones_none_is_heard() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(2));
    let devices = office.others(caller);
    office.signal(devices[0], early());
    let served = office.serve();
    assert_eq!((connects(&served), kept_back(&served)), (vec![], vec![]));
    assert_eq!(rings(&office, caller), [false], "it hears its own ringing tone");
    // The other one is out of order: what is left is heard when it tells again.
    office.signal(devices[1], ended(Cause::Unavailable, 480));
    office.signal(devices[0], early());
    assert_eq!(connects(&office.serve()), [(caller, Connection::Peer(devices[0]))]);
    assert_eq!(rings(&office, caller), [false, true]);
}

#[test]
fn what_media_does_not_understand_is_no_more_than_ringing() {
    let (mut office, caller, callee) = calling();
    office.signal(callee, early());
    office.refuse(Class::FailedPrecondition);
    assert_eq!((rings(&office, caller), office.end_of(callee)), (vec![false], None));
    office.answers(callee);
    assert_eq!(office.leg(caller).peer, Some(callee));
}

#[test]
fn a_caller_without_an_offer_has_nothing_to_be_answered_early() {
    let mut office = Office::new();
    let caller = office.offer(office.to_user(1), None);
    office.serve();
    let callee = office.others(caller)[0];
    office.signal(callee, early());
    assert_eq!(connects(&office.serve()), []);
    assert_eq!(rings(&office, caller), [false]);
}

#[test]
fn whoever_consults_hears_the_announcement_too() {
    let mut office = Office::new();
    let (alice, _) = office.connect("alice", "bob");
    let enquire = CallCommandKind::Enquire { leg: alice, to_number: "carol".into(), anonymous: false };
    let own = office.registered("alice", &["desk"]);
    office.does_to(enquire, own, office.registered("carol", &["desk"])).unwrap();
    office.serve();
    let second = *office.legs_of("alice").iter().find(|leg| **leg != alice).unwrap();
    office.answers(second);
    let carol = office.legs_of("carol")[0];
    office.signal(carol, early());
    let served = office.serve();
    assert_eq!(connects(&served), [(second, Connection::Peer(carol))]);
    assert_eq!((kept_back(&served), rings(&office, second)), (vec![(second, true)], vec![]));
    let served = office.answers(carol);
    assert_eq!((connects(&served), kept_back(&served)), (vec![], vec![(second, false)]));
}

#[test]
fn after_a_restart_the_caller_is_still_let_through_when_it_is_answered() {
    let (mut office, caller, callee) = calling();
    office.signal(callee, early());
    office.serve();
    office.restart();
    office.hello(office.boot, &[caller, callee]);
    let with = |leg, peer| HeldMedia { peer: Some(peer), ..held(leg) };
    office.node_holds(&[with(caller, callee), with(callee, caller)]);
    assert_eq!(connects(&office.serve()), [], "nothing is taken apart");
    let served = office.answers(callee);
    assert_eq!((connects(&served), kept_back(&served)), (vec![], vec![(caller, false)]));
    assert_eq!(office.leg(caller).peer, Some(callee));
}
