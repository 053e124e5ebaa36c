//! Calls that are passed on: while they ring, while they talk, after asking and without.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{CommandError, Connection, Heard, Limits, MediaRequest, Routing};
use sidetone_model::call::{DivertCause, Elsewhere, LegCause};
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegPhase};
use sidetone_model::ids::{LegId, PlaybackId};
use sidetone_model::media::{Direction, MediaDescription, Source};
use sidetone_model::party::Destination;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

fn ringing(office: &mut Office) -> (LegId, Vec<LegId>) {
    let caller = office.dial("alice", "desk", office.registered("bob", &["desk", "mobile"]));
    let phones = office.legs_of("bob");
    phones.iter().for_each(|leg| office.rings(*leg));
    (caller, phones)
}

fn diverted(office: &Office) -> Vec<(LegId, DivertCause, Box<str>)> {
    let one = |kind: &FactKind| match kind {
        FactKind::CallDiverted { leg, cause, to, .. } => Some((*leg, *cause, to.number.clone())),
        _ => None,
    };
    office.happened_since(0).into_iter().filter_map(one).collect()
}

#[test]
fn a_call_that_rings_is_sent_on_and_all_its_phones_fall_silent() {
    let mut office = Office::new();
    let (alice, phones) = ringing(&mut office);
    let redirect =
        CallCommandKind::Redirect { leg: phones[0], to: Elsewhere::Number("carol".into()), anonymous: false };
    office.does_to(redirect, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    office.serve();
    assert_eq!(phones.iter().map(|leg| office.end_of(*leg)).collect::<Vec<_>>(), [Some(Cause::Diverted); 2]);
    assert_eq!(diverted(&office), [(phones[0], DivertCause::Redirected, "carol".into())]);
    office.hang_up_as_told();
    let carol = office.legs_of("carol")[0];
    let leg = office.leg(carol);
    assert_eq!((leg.cause, leg.by), (LegCause::Redirected, Some(phones[0])));
    assert_eq!(office.end_of(alice), None, "she waits");
    office.rings(carol);
    office.answers(carol);
    assert_eq!(office.leg(alice).peer, Some(carol));
}

#[test]
fn who_is_sent_on_to_nobody_is_told_so() {
    let mut office = Office::new();
    let (alice, phones) = ringing(&mut office);
    let redirect =
        CallCommandKind::Redirect { leg: phones[0], to: Elsewhere::Number("carol".into()), anonymous: false };
    let nobody = office.registered("carol", &[]);
    let refused = office.does_to(redirect.clone(), Routing::default(), nobody);
    assert_eq!(refused, Err(CommandError::TargetUnregistered));
    office.does_to(redirect, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    office.serve();
    office.hang_up_as_told();
    office.signal(office.legs_of("carol")[0], ended(Cause::Busy, 486));
    assert_eq!(office.end_of(alice), Some(Cause::Busy));
}

#[test]
fn a_refused_call_rings_nowhere_and_the_caller_is_told() {
    let mut office = Office::new();
    let (alice, phones) = ringing(&mut office);
    office.does(CallCommandKind::Reject { leg: phones[1] }).unwrap();
    office.hang_up_as_told();
    office.hang_up_as_told();
    assert_eq!(office.call_cause(alice), Some(Cause::Rejected));
}

#[test]
fn a_blind_transfer_leaves_at_once_and_the_other_waits_for_the_target() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let transfer = CallCommandKind::TransferBlind { leg: bob, to_number: "carol".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    assert_eq!(office.end_of(bob), Some(Cause::Diverted));
    assert_eq!(diverted(&office), [(bob, DivertCause::Transferred, "carol".into())]);
    office.serve();
    office.hang_up_as_told();
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    assert_eq!(office.phase(alice), LegPhase::Answered);
    assert!(office.answers(carol).len() > 1);
    assert_eq!(office.leg(alice).peer, Some(carol));
    assert_eq!(office.leg(carol).call, office.leg(alice).call);
    office.signal(alice, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!(office.call_cause(alice), Some(Cause::Normal));
}

#[test]
fn a_blind_transfer_to_an_echo_is_served_by_it() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let transfer = CallCommandKind::TransferBlind { leg: bob, to_number: "9".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), office.to(Destination::Echo, 0)).unwrap();
    assert!(office.heard().contains(&(alice, Connection::Echo)));
    office.hang_up_as_told();
    assert_eq!(office.phase(alice), LegPhase::Answered, "the machine is company enough");
}

#[test]
fn a_blind_transfer_that_nobody_takes_ends_the_call_for_that_reason() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let transfer = CallCommandKind::TransferBlind { leg: bob, to_number: "carol".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    office.serve();
    office.hang_up_as_told();
    office.signal(office.legs_of("carol")[0], ended(Cause::Busy, 486));
    assert_eq!(office.end_of(alice), Some(Cause::Busy));
}

#[test]
fn an_attended_transfer_connects_the_two_others_and_the_held_call_goes_on() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    office.serve();
    // The phone itself makes the second call.
    let (second, carol) = office.connect("alice", "carol");
    let (first_call, second_call) = (office.leg(alice).call, office.leg(second).call);
    office.does(CallCommandKind::TransferAttended { active: second, held: alice }).unwrap();
    assert!(office.heard().contains(&(bob, Connection::Peer(carol))));
    assert_eq!((office.leg(carol).call, office.leg(carol).peer), (first_call, Some(bob)));
    assert_eq!((office.end_of(alice), office.end_of(second)), (Some(Cause::Diverted), Some(Cause::Diverted)));
    office.hang_up_as_told();
    assert!(office.shard.fold().call(second_call).unwrap().ended.is_some());
    assert!(office.shard.fold().call(first_call).unwrap().ended.is_none());
    assert_eq!((office.phase(bob), office.phase(carol)), (LegPhase::Answered, LegPhase::Answered));
    office.signal(carol, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!(office.call_cause(bob), Some(Cause::Normal));
}

#[test]
fn only_the_device_that_holds_both_may_connect_them() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    let (second, carol) = office.connect("alice", "carol");
    for (active, held) in [(carol, alice), (second, bob), (alice, second), (second, second)] {
        let refused = office.does(CallCommandKind::TransferAttended { active, held });
        assert_eq!(refused, Err(CommandError::CapabilityMissing));
    }
}

/// During an upgrade the node takes no new calls; the calls that it has go on, and are passed on like any.
#[test]
fn a_call_on_a_node_that_takes_no_new_calls_is_passed_on_there() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let mut to = office.registered("carol", &["desk"]);
    to.nodes.clear();
    let transfer = CallCommandKind::TransferBlind { leg: bob, to_number: "300".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), to).unwrap();
    office.serve();
    let carol = office.legs_of("carol")[0];
    assert_eq!((office.end_of(carol), office.end_of(alice)), (None, None));
    office.rings(carol);
    office.answers(carol);
    assert_eq!(office.leg(alice).peer, Some(carol));
}

/// Begins and ends of what is played to a leg.
fn played(requests: &[MediaRequest], to: LegId) -> Vec<(bool, PlaybackId)> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::Play { playback, to: Heard::Leg(leg), sources, repeat: 0, .. } if *leg == to => {
            assert_eq!(sources[..], [Source::Prompt("tone:ringback/se".into())]);
            Some((true, *playback))
        }
        MediaRequest::StopPlay { playback } => Some((false, *playback)),
        _ => None,
    };
    requests.iter().filter_map(one).collect()
}

fn with_ringback() -> Office {
    Office::with(Limits { ringback_prompt: Some("tone:ringback/se".into()), ..Limits::default() })
}

#[test]
fn whose_call_is_passed_on_hears_it_ring_until_somebody_answers() {
    let mut office = with_ringback();
    let (alice, bob) = office.connect("alice", "bob");
    assert_eq!(played(&office.serve(), alice), [], "who was not answered hears its own telephone");
    let transfer = CallCommandKind::TransferBlind { leg: bob, to_number: "carol".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), office.registered("carol", &["desk"])).unwrap();
    let begun = played(&office.serve(), alice);
    let [(true, tone)] = begun[..] else { panic!("{begun:?}") };
    office.hang_up_as_told();
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    assert_eq!(played(&office.serve(), alice), [], "it rings on");
    let answered = office.answers(carol);
    assert_eq!(played(&[answered, office.serve()].concat(), alice), [(false, tone)]);
    assert_eq!(office.leg(alice).peer, Some(carol));
}

#[test]
fn of_a_call_that_an_application_begins_the_first_hears_the_second_ring() {
    let mut office = with_ringback();
    let to = office.registered("carol", &["desk"]);
    office.place(to);
    office.serve();
    let first = office.legs_of("alice").first().copied();
    let first = first.or_else(|| office.shard.fold().calls().next().map(|call| call.legs[0])).unwrap();
    let begun = office.answers(first);
    let begun = played(&[begun, office.serve()].concat(), first);
    assert!(matches!(begun[..], [(true, _)]), "{begun:?}");
    let carol = office.legs_of("carol")[0];
    let answered = office.answers(carol);
    assert_eq!(played(&[answered, office.serve()].concat(), first), [(false, begun[0].1)]);
}

#[test]
fn who_holds_a_machine_has_nobody_to_connect_with() {
    let mut office = Office::new();
    let held = office.dial("alice", "desk", office.to(Destination::Echo, 0));
    let hold = MediaDescription { direction: Direction::SendOnly, ..kit::media() };
    office.signal(held, LegSignalKind::Reoffered { media: Some(hold) });
    office.serve();
    let (active, bob) = office.connect("alice", "bob");
    assert!(!office.shard.fold().capabilities(active).contains(Capability::Transfer));
    let transfer = office.does(CallCommandKind::TransferAttended { active, held });
    assert_eq!(transfer, Err(CommandError::CapabilityMissing));
    assert_eq!((office.leg(active).peer, office.end_of(bob)), (Some(bob), None));
}
