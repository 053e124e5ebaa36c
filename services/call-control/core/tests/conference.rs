//! Conversations of more than two, and how they come about.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{CommandError, Connection, Routing};
use sidetone_model::call::{DeviceOf, ExternalRef, LegCause};
use sidetone_model::command::{CallCommandKind, CallName};
use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::fold::{Capability, LegPhase};
use sidetone_model::ids::{LegId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::Cause;

/// Alice talks to bob and asks carol in, who answers.
fn three(office: &mut Office) -> [LegId; 3] {
    let (alice, bob) = office.connect("alice", "bob");
    let add = CallCommandKind::AddParticipant { leg: alice, to_number: "carol".into(), anonymous: false };
    office.does_to(add, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    office.serve();
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    assert_eq!(office.leg(alice).peer, Some(bob), "until she answers they talk");
    let heard = kit::connects(&office.answers(carol));
    let mix = office.leg(carol).conference.unwrap();
    assert_eq!(heard, [alice, bob, carol].map(|leg| (leg, Connection::Mix(mix))));
    [alice, bob, carol]
}

#[test]
fn three_are_mixed_and_two_are_bridged_again() {
    let mut office = Office::new();
    let [alice, bob, carol] = three(&mut office);
    assert!(office.legs_in_mix(alice, 3));
    office.signal(alice, ended(Cause::Normal, 200));
    assert_eq!(office.heard(), [(bob, Connection::Peer(carol))]);
    assert_eq!((office.leg(bob).conference, office.leg(bob).peer), (None, Some(carol)));
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::ConferenceEnded { .. })), 1);
    office.signal(bob, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!(office.call_cause(bob), Some(Cause::Normal));
}

#[test]
fn whoever_does_not_come_changes_nothing() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let add = CallCommandKind::AddParticipant { leg: alice, to_number: "carol".into(), anonymous: false };
    office.does_to(add, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    office.serve();
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    assert!(office.shard.fold().capabilities(alice).contains(Capability::DropParticipant));
    office.signal(carol, ended(Cause::Busy, 486));
    assert_eq!(office.heard(), []);
    assert_eq!((office.leg(alice).peer, office.end_of(alice), office.end_of(bob)), (Some(bob), None, None));
    assert!(!office.shard.fold().capabilities(alice).contains(Capability::DropParticipant));
}

#[test]
fn a_participant_is_put_aside_and_let_in_again() {
    let mut office = Office::new();
    let [alice, bob, carol] = three(&mut office);
    let mix = office.leg(bob).conference.unwrap();
    office.does(CallCommandKind::HoldParticipant { leg: bob, by: Some(alice) }).unwrap();
    assert_eq!(office.heard(), [(bob, Connection::Nothing)]);
    let own = office.does(CallCommandKind::HoldParticipant { leg: alice, by: Some(alice) });
    assert_eq!(own, Err(CommandError::CapabilityMissing));
    office.does(CallCommandKind::RetrieveParticipant { leg: bob }).unwrap();
    assert_eq!(office.heard(), [(bob, Connection::Mix(mix))]);
    let _ = carol;
}

#[test]
fn in_a_conference_whoever_holds_leaves_the_others_talking() {
    let mut office = Office::new();
    let [alice, bob, _] = three(&mut office);
    let mix = office.leg(bob).conference.unwrap();
    office.does(CallCommandKind::Hold { leg: bob }).unwrap();
    assert_eq!(office.heard(), [(bob, Connection::Nothing)]);
    assert!(office.shard.fold().capabilities(alice).contains(Capability::Hold));
    office.does(CallCommandKind::Retrieve { leg: bob }).unwrap();
    assert_eq!(office.heard(), [(bob, Connection::Mix(mix))]);
}

#[test]
fn one_sends_another_away_or_leaves() {
    let mut office = Office::new();
    let [alice, bob, carol] = three(&mut office);
    office.does(CallCommandKind::DropParticipant { leg: carol, by: Some(alice) }).unwrap();
    assert_eq!(office.end_of(carol), Some(Cause::Application));
    assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
    office.hang_up_as_told();
    let two = office.does(CallCommandKind::DropMe { leg: alice });
    assert_eq!(two, Err(CommandError::CapabilityMissing), "a call of two is hung up");
    let mut office = Office::new();
    let [alice, bob, carol] = three(&mut office);
    office.does(CallCommandKind::DropMe { leg: alice }).unwrap();
    assert_eq!(office.heard(), [(bob, Connection::Peer(carol))]);
}

#[test]
fn two_calls_become_one_conversation() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    office.serve();
    let (second, carol) = office.connect("alice", "carol");
    let held_call = office.leg(alice).call;
    office.does(CallCommandKind::Merge { active: second, held: alice }).unwrap();
    let mix = office.leg(second).conference.unwrap();
    for leg in [second, bob, carol] {
        assert_eq!(office.leg(leg).conference, Some(mix));
        assert_eq!(office.leg(leg).call, office.leg(second).call);
    }
    office.serve();
    office.hang_up_as_told();
    assert!(office.shard.fold().call(held_call).unwrap().ended.is_some());
    assert_eq!(office.phase(bob), LegPhase::Answered);
}

#[test]
fn a_key_of_the_client_leads_to_one_conversation() {
    let mut office = Office::new();
    let external = ExternalRef { dialect: "bot".into(), key: "thread-1".into() };
    let invite = |to: &str| CallCommandKind::Join {
        call: CallName::External(external.clone()),
        to: Destination::User(UserId::new(to).unwrap()),
        to_number: to.into(),
        from_number: "bot".into(),
        contact: "".into(),
    };
    let mut calls = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let to = office.registered(user, &["desk"]);
        calls.push(office.does_to(invite(user), Routing::default(), to).unwrap());
        office.serve();
        let leg = office.legs_of(user)[0];
        office.rings(leg);
        office.answers(leg);
    }
    assert!(calls.iter().all(|call| *call == calls[0]), "{calls:?}");
    let alice = office.legs_of("alice")[0];
    assert!(office.legs_in_mix(alice, 3));
    for user in ["carol", "bob"] {
        office.signal(office.legs_of(user)[0], ended(Cause::Normal, 200));
    }
    assert_eq!(
        (office.phase(alice), office.end_of(alice)),
        (LegPhase::Answered, None),
        "she may wait for others"
    );
    office.signal(alice, ended(Cause::Normal, 200));
    let CommandSubject::Call(call) = calls[0] else { panic!("{calls:?}") };
    assert!(office.shard.fold().call(call).unwrap().ended.is_some());
    assert!(office.shard.fold().call_by_external(&office.tenant, &external).is_none());
}

#[test]
fn somebody_breaks_in() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let by = DeviceOf { user: UserId::new("dora").unwrap(), device: Some("desk".parse().unwrap()) };
    let intrude = CallCommandKind::Intrude { call: office.leg(alice).call, by };
    office.does_to(intrude, office.registered("dora", &["desk", "mobile"]), Routing::default()).unwrap();
    office.serve();
    let [dora] = office.legs_of("dora")[..] else { panic!("one device was named") };
    assert_eq!(office.leg(dora).cause, LegCause::Intrusion);
    office.answers(dora);
    assert!(office.legs_in_mix(bob, 3));
}

#[test]
fn a_call_that_rings_elsewhere_is_picked_up() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk", "mobile"]));
    let phones = office.legs_of("bob");
    phones.iter().for_each(|leg| office.rings(*leg));
    let by = DeviceOf { user: UserId::new("dora").unwrap(), device: None };
    let pick_up = CallCommandKind::PickUp { leg: phones[0], by };
    office.does_to(pick_up, office.registered("dora", &["desk"]), Routing::default()).unwrap();
    office.serve();
    let dora = office.legs_of("dora")[0];
    office.answers(dora);
    assert_eq!(phones.iter().map(|leg| office.end_of(*leg)).collect::<Vec<_>>(), [Some(Cause::Diverted); 2]);
    assert_eq!(office.leg(alice).peer, Some(dora));
}

#[test]
fn another_device_takes_over_or_joins() {
    for (joins, parties) in [(false, 2), (true, 3)] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        let device = "mobile".parse().unwrap();
        let kind = if joins {
            CallCommandKind::AddDevice { leg: alice, device }
        } else {
            CallCommandKind::SwitchDevice { leg: alice, device }
        };
        let own = office.registered("alice", &["desk", "mobile"]);
        office.does_to(kind, own, Routing::default()).unwrap();
        office.serve();
        let mobile = *office.legs_of("alice").iter().find(|leg| **leg != alice).unwrap();
        office.rings(mobile);
        assert_eq!(office.leg(alice).peer, Some(bob));
        office.answers(mobile);
        office.hang_up_as_told();
        assert_eq!(office.phase(alice) == LegPhase::Answered, joins);
        assert_eq!(office.leg(bob).peer == Some(mobile), parties == 2);
        assert_eq!(office.leg(bob).conference.is_some(), parties == 3);
    }
}

#[test]
fn who_was_put_aside_is_let_in_again_when_nobody_else_would_do_it() {
    // The one who did it leaves.
    let mut office = Office::new();
    let [alice, bob, carol] = three(&mut office);
    office.does(CallCommandKind::HoldParticipant { leg: bob, by: Some(alice) }).unwrap();
    assert_eq!(office.leg(bob).put_aside_by, Some(alice));
    office.signal(alice, ended(Cause::Normal, 200));
    office.serve();
    assert!(!office.leg(bob).put_aside);
    assert_eq!((office.leg(bob).peer, office.leg(carol).peer), (Some(carol), Some(bob)));
    // Two are left.
    let mut office = Office::new();
    let [alice, bob, carol] = three(&mut office);
    office.does(CallCommandKind::HoldParticipant { leg: bob, by: Some(alice) }).unwrap();
    office.serve();
    office.signal(carol, ended(Cause::Normal, 200));
    let heard = office.heard();
    assert!(!office.leg(bob).put_aside);
    assert!(
        heard.contains(&(alice, Connection::Peer(bob))) || heard.contains(&(bob, Connection::Peer(alice)))
    );
}

#[test]
fn whom_somebody_put_aside_is_let_in_when_that_one_connects_the_others() {
    let mut office = Office::new();
    let (held, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: held }).unwrap();
    let (active, carol) = office.connect("alice", "carol");
    let add = CallCommandKind::AddParticipant { leg: active, to_number: "dave".into(), anonymous: false };
    office.does_to(add, Routing::default(), office.registered("dave", &["desk"])).unwrap();
    office.serve();
    let dave = office.legs_of("dave")[0];
    office.answers(dave);
    office.does(CallCommandKind::HoldParticipant { leg: carol, by: Some(active) }).unwrap();
    office.does(CallCommandKind::TransferAttended { active, held }).unwrap();
    office.serve();
    office.hang_up_as_told();
    assert!(!office.leg(carol).put_aside, "nobody is left who could let her in");
    assert!([bob, carol, dave].iter().all(|leg| office.leg(*leg).call == office.leg(bob).call));
    assert!(office.legs_in_mix(carol, 3));
}
