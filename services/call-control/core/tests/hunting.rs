//! Calling one after the other: contacts by preference, and the addresses of a 302.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{CommandError, Later, Routing};
use sidetone_model::call::LegCause;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::LegId;
use sidetone_model::party::Destination;
use sidetone_model::signal::{LegSignalKind, Target};
use sidetone_model::termination::Cause;

/// Bob has a desk phone and a soft phone that ring first, and a mobile that rings when neither takes the call.
fn bob(office: &Office) -> Routing {
    let mobile = Later { number: "".into(), routing: office.registered("bob", &["mobile"]) };
    Routing { later: vec![mobile], ..office.registered("bob", &["desk", "soft"]) }
}

fn live(office: &Office, user: &str) -> Vec<LegId> {
    office.legs_of(user).into_iter().filter(|leg| office.leg(*leg).is_live()).collect()
}

fn device(office: &Office, leg: LegId) -> String {
    office.leg(leg).party.device.as_ref().unwrap().to_string()
}

#[test]
fn the_less_preferred_ring_when_the_last_of_the_others_has_said_no() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    let first = live(&office, "bob");
    assert_eq!(first.len(), 2);
    office.signal(first[0], ended(Cause::Busy, 486));
    assert_eq!(live(&office, "bob"), [first[1]], "one of them still rings");
    office.signal(first[1], ended(Cause::Busy, 486));
    office.serve();
    let next = live(&office, "bob");
    assert_eq!((next.len(), device(&office, next[0])), (1, "mobile".into()));
    office.answers(next[0]);
    assert_eq!(office.leg(alice).peer, Some(next[0]));
}

#[test]
fn they_ring_too_when_the_others_ring_for_long() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    let first = live(&office, "bob");
    for leg in &first {
        office.rings(*leg);
    }
    office.pass(19);
    assert_eq!(live(&office, "bob"), first);
    office.pass(2);
    office.hang_up_as_told();
    office.serve();
    let next = live(&office, "bob");
    assert_eq!((next.len(), device(&office, next[0])), (1, "mobile".into()));
    // The last rings as long as any, and then the caller hears why.
    office.rings(next[0]);
    office.pass(40);
    assert!(office.leg(next[0]).is_live());
    office.pass(25);
    office.hang_up_as_told();
    assert_eq!(office.end_of(alice), Some(Cause::NoAnswer));
}

#[test]
fn who_declines_does_so_for_all_and_a_caller_who_leaves_is_called_for_no_more() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing.clone());
    for leg in live(&office, "bob") {
        office.signal(leg, ended(Cause::Rejected, 603));
    }
    assert_eq!(office.end_of(alice), Some(Cause::Rejected));
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", routing);
    office.signal(alice, ended(Cause::Cancelled, 487));
    office.hang_up_as_told();
    office.serve();
    assert_eq!(live(&office, "bob"), []);
    let rung = office.facts(|fact| matches!(fact, FactKind::LegCreated { incoming: false, .. }));
    assert_eq!(rung, 2, "nobody else was rung");
}

#[test]
fn the_addresses_of_a_302_are_tried_in_turn() {
    let mut office = Office::new();
    let routing = office.registered("bob", &["desk"]);
    let alice = office.dial("alice", "desk", routing);
    let bob = live(&office, "bob")[0];
    let target = |number: &str| Target { number: number.into(), own: true };
    let later = |number: &str, routing| Later { number: number.into(), routing };
    let names = vec![target("nobody"), target("carol"), target("dave"), target("9196")];
    let echo = office.to(Destination::Echo, 0);
    // The first leads nowhere.
    let ways = Routing {
        later: vec![
            later("carol", office.registered("carol", &["desk"])),
            later("dave", office.registered("dave", &["desk"])),
            later("9196", echo),
        ],
        ..Routing::default()
    };
    office.routed_signal(bob, LegSignalKind::Redirected { targets: names }, Some(ways));
    office.serve();
    office.signal(bob, ended(Cause::Diverted, 302));
    let carol = live(&office, "carol")[0];
    assert_eq!(office.leg(carol).cause, LegCause::Redirected);
    office.signal(carol, ended(Cause::Busy, 486));
    office.serve();
    let dave = live(&office, "dave")[0];
    assert_eq!((office.leg(dave).by, office.leg(dave).cause), (Some(bob), LegCause::Redirected));
    office.signal(dave, ended(Cause::Unavailable, 480));
    office.serve();
    assert_eq!(office.leg(alice).served_by, Some(Destination::Echo));
}

#[test]
fn whoever_acts_has_all_phones_at_hand() {
    let mut office = Office::new();
    let own = bob(&office);
    let kind = CallCommandKind::Place {
        from: Destination::Wait,
        from_number: "bob".into(),
        to: Destination::Wait,
        to_number: "9196".into(),
        options: Default::default(),
    };
    let echo = office.to(Destination::Echo, 0);
    office.ask("place", kind, own, echo).unwrap();
    office.serve();
    assert_eq!(live(&office, "bob").len(), 3);
}

#[test]
fn a_caller_is_told_to_call_elsewhere_and_what_rings_for_it_stops() {
    let mut office = Office::new();
    let routing = office.registered("bob", &["desk"]);
    let alice = office.dial("alice", "desk", routing);
    let bob = live(&office, "bob")[0];
    office.rings(bob);
    let deflect = CallCommandKind::Deflect { leg: alice, numbers: vec!["1005".into()] };
    office.does(deflect.clone()).unwrap();
    assert_eq!(office.kinds(alice).last(), Some(&"deflect"));
    assert_eq!(office.does(deflect), Err(CommandError::NotWaiting), "once");
    office.signal(alice, ended(Cause::Diverted, 302));
    assert_eq!(office.kinds(bob).last(), Some(&"end"));
    // Who talks is told nothing of the kind.
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    for leg in [alice, bob] {
        let deflect = CallCommandKind::Deflect { leg, numbers: vec!["1005".into()] };
        assert_eq!(office.does(deflect), Err(CommandError::NotWaiting));
    }
}

#[test]
fn who_declines_for_everywhere_ends_the_search() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    let first = live(&office, "bob");
    for leg in &first {
        office.rings(*leg);
    }
    office.signal(first[0], ended(Cause::Rejected, 603));
    assert_eq!(office.end_of(first[1]), Some(Cause::Cancelled), "the other device stops ringing");
    assert_eq!(office.end_of(alice), Some(Cause::Rejected));
    office.hang_up_as_told();
    office.serve();
    assert_eq!(live(&office, "bob"), [], "and the mobile is not called");
}
