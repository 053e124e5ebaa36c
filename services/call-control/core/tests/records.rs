//! What call detail records say: who talked with whom for how long, and how it ended.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{Routing, Shard};
use sidetone_model::command::CallCommandKind;
use sidetone_model::fold::{Cdr, CdrKind, Fold};
use sidetone_model::ids::{CallId, LegId};
use sidetone_model::termination::Cause;
use sidetone_model::time::Timestamp;

/// All records, as they are made out of the log.
fn records(office: &Office) -> Vec<Cdr> {
    let mut fold = Fold::default();
    let mut records = Vec::new();
    for fact in office.log.iter().flat_map(|record| &record.facts) {
        fold.apply(fact);
        records.extend(Cdr::project(fact, &fold));
    }
    records
}

fn of_leg(office: &Office, leg: LegId) -> Cdr {
    records(office).into_iter().find(|record| record.leg == Some(leg)).unwrap()
}

fn of_call(office: &Office, call: CallId) -> Cdr {
    let of_it = |record: &Cdr| record.kind == CdrKind::Call && record.call == call;
    records(office).into_iter().find(of_it).unwrap()
}

fn call_of(office: &Office, leg: LegId) -> CallId {
    office.leg(leg).call
}

/// The snapshot says of records what the log says.
fn is_kept_by_the_snapshot(office: &Office) {
    let mut fresh = Shard::new(office.limits.clone(), [9; 32]);
    office.shard.snapshot().iter().for_each(|record| fresh.replay(record));
    assert_eq!(fresh.fold(), office.shard.fold());
}

/// Bob, whom Alice has called, consults Carol: Bob's leg to her, and hers.
fn consults(office: &mut Office, bob: LegId) -> (LegId, LegId) {
    let enquire = CallCommandKind::Enquire { leg: bob, to_number: "carol".into(), anonymous: false };
    let (own, carol) = (office.registered("bob", &["desk"]), office.registered("carol", &["desk"]));
    office.does_to(enquire, own, carol).unwrap();
    office.serve();
    let second = *office.legs_of("bob").iter().find(|leg| **leg != bob).unwrap();
    office.answers(second);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.answers(carol);
    (second, carol)
}

#[test]
fn a_leg_that_was_transferred_tells_whom_it_was_called_for_and_who_passed_it_on() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let first = call_of(&office, alice);
    let (second, carol) = consults(&mut office, bob);
    let enquiry = call_of(&office, second);
    office.does(CallCommandKind::TransferAttended { active: second, held: bob }).unwrap();
    office.serve();
    office.hang_up_as_told();
    assert_eq!(office.leg(alice).peer, Some(carol));
    is_kept_by_the_snapshot(&office);
    office.pass(60);
    office.signal(alice, ended(Cause::Normal, 200));
    office.hang_up_as_told();

    let by = |record: &Cdr| record.transferred_by.as_ref().map(|by| by.number.to_string());
    let carols = of_leg(&office, carol);
    assert_eq!((carols.call, carols.first_call), (first, Some(enquiry)));
    let bobs = office.leg(bob).party.number.to_string();
    assert_eq!((&*carols.from.number, &*carols.to.number), (&*bobs, "carol"), "Bob called her");
    assert_eq!(by(&carols), Some(bobs.clone()));
    let alices = of_leg(&office, alice);
    assert_eq!((alices.first_call, by(&alices)), (None, Some(bobs.clone())));
    assert_eq!((&*alices.from.number, &*alices.to.number), ("alice", "200"));
    let whole = of_call(&office, first);
    assert_eq!((by(&whole), whole.termination.cause, whole.incoming), (Some(bobs), Cause::Normal, true));
    assert_eq!(of_leg(&office, bob).transferred_by, None, "who passed on was not");
}

#[test]
fn whoever_is_transferred_without_asking_tells_so_too_and_so_does_whom_the_call_went_to() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let transfer = CallCommandKind::TransferBlind { leg: bob, to_number: "carol".into(), anonymous: false };
    let to = office.registered("carol", &["desk"]);
    office.does_to(transfer, Routing::default(), to).unwrap();
    office.serve();
    office.hang_up_as_told();
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.answers(carol);
    is_kept_by_the_snapshot(&office);
    office.signal(carol, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    let bobs = office.leg(bob).party.clone();
    for leg in [alice, carol] {
        assert_eq!(of_leg(&office, leg).transferred_by.as_ref(), Some(&bobs));
    }
    assert_eq!(of_call(&office, call_of(&office, alice)).transferred_by, Some(bobs));
}

#[test]
fn the_call_that_was_merged_away_is_told_as_it_began() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let first = call_of(&office, alice);
    let (second, carol) = consults(&mut office, bob);
    office.does(CallCommandKind::Merge { active: second, held: bob }).unwrap();
    office.serve();
    office.hang_up_as_told();
    is_kept_by_the_snapshot(&office);
    let left = of_call(&office, first);
    assert!(left.incoming, "a phone called us");
    assert_eq!(left.sip_call_id, office.leg(alice).sip_call_id);
    for leg in [alice, second, carol] {
        office.signal(leg, ended(Cause::Normal, 200));
    }
    let alices = of_leg(&office, alice);
    assert_eq!((alices.first_call, alices.call), (Some(first), call_of(&office, second)));
    assert_eq!(&*alices.to.number, "200", "what she dialled, not what Bob did");
}

#[test]
fn a_call_that_an_application_makes_is_answered_when_both_sides_are_there() {
    let mut office = Office::new();
    let to = office.registered("carol", &["desk"]);
    let call = office.place(to.clone());
    let bob = office.legs_of("bob")[0];
    let picked_up = office.now;
    office.answers(bob);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.pass(40);
    office.answers(carol);
    is_kept_by_the_snapshot(&office);
    office.pass(10);
    office.signal(bob, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    let whole = of_call(&office, call);
    assert_eq!((whole.talk_ms(), whole.termination.cause), (10_000, Cause::Normal));
    assert!(!whole.incoming);
    assert_eq!(of_leg(&office, bob).answered_at, Some(picked_up), "the leg itself stood since then");

    // Nobody answers there, and whoever had it made gives up.
    let mut office = Office::new();
    let call = office.place(to);
    let bob = office.legs_of("bob")[0];
    office.answers(bob);
    office.pass(20);
    office.signal(bob, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    let whole = of_call(&office, call);
    assert_eq!((whole.talk_ms(), whole.termination.cause), (0, Cause::Cancelled));
}

#[test]
fn a_phone_of_several_that_was_busy_is_not_how_a_call_ended() {
    let mut office = Office::new();
    let call = office.place(office.to(sidetone_model::party::Destination::Echo, 0));
    let bob = office.legs_of("bob")[0];
    office.answers(bob);
    office.signal(bob, ended(Cause::Normal, 200));
    assert_eq!(of_call(&office, call).termination.cause, Cause::Normal);

    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk", "mobile"]));
    let phones = office.legs_of("bob");
    office.signal(phones[0], ended(Cause::Busy, 486));
    office.answers(phones[1]);
    office.signal(alice, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!(of_call(&office, call_of(&office, alice)).termination.cause, Cause::Normal);
}

#[test]
fn what_a_killed_process_had_ended_when_it_was_last_known_to_run() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let connected = office.now;
    let ran_until = Timestamp::from_millis(connected.as_millis() + 30_000);
    // Killed a while after that, and started again an hour later: nobody holds the legs any more.
    office.now = Timestamp::from_millis(connected.as_millis() + 3_600_000);
    let mut fresh = Shard::new(office.limits.clone(), [5; 32]);
    office.log.iter().for_each(|record| fresh.replay(record));
    fresh.ran_until(ran_until);
    fresh.begin(office.now);
    office.shard = fresh;
    let boot = office.ids.make(office.now);
    office.hello(boot, &[]);
    office.pass(30);
    for leg in [alice, bob] {
        let record = of_leg(&office, leg);
        assert_eq!((record.ended_at, record.termination.cause), (ran_until, Cause::SignallingLost));
    }
    let whole = of_call(&office, call_of(&office, alice));
    assert_eq!((whole.ended_at, whole.talk_ms()), (ran_until, 30_000));
    is_kept_by_the_snapshot(&office);
}

#[test]
fn what_outlives_call_control_ends_when_it_ends_and_a_lost_replica_when_it_was_lost() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    office.restart();
    office.hello(office.boot, &[alice, bob]);
    office.node_holds(&[kit::held(alice), kit::held(bob)]);
    office.serve();
    office.pass(60);
    let lost = office.now;
    office.shard.handle_replica_gone(&office.replica.clone(), lost);
    office.pass(15);
    for leg in [alice, bob] {
        let record = of_leg(&office, leg);
        assert_eq!((record.ended_at, record.termination.cause), (lost, Cause::SignallingLost));
    }
}
