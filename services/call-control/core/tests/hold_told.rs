//! Where it is wanted, phones of people who are held are told so by a re-INVITE of ours.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, held, media};
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::ids::LegId;
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

fn offers(office: &Office, leg: LegId) -> Vec<Direction> {
    let of = office.commands.iter().filter(|command| command.leg == leg);
    of.filter_map(|command| match &command.kind {
        LegCommandKind::Reoffer { media } => Some(media.direction),
        _ => None,
    })
    .collect()
}

fn reanswers(office: &mut Office, leg: LegId, direction: Direction) {
    let media = MediaDescription { direction, ..media() };
    office.signal(leg, LegSignalKind::Reanswered { media });
    office.serve();
}

#[test]
fn the_held_phone_hears_of_it_and_of_its_end() {
    let mut office = Office::telling_of_hold();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    assert_eq!(offers(&office, bob), [Direction::SendOnly]);
    reanswers(&mut office, bob, Direction::RecvOnly);
    assert_eq!(office.leg(bob).direction, Direction::RecvOnly);
    assert_eq!(office.leg(bob).held, None, "it is held, and does not hold");
    office.does(CallCommandKind::Retrieve { leg: alice }).unwrap();
    assert_eq!(offers(&office, bob), [Direction::SendOnly, Direction::SendRecv]);
    reanswers(&mut office, bob, Direction::SendRecv);
    assert_eq!(office.leg(bob).direction, Direction::SendRecv);
    assert_eq!(offers(&office, alice), [], "the holder knows");
}

#[test]
fn a_phone_that_refuses_is_held_all_the_same() {
    let mut office = Office::telling_of_hold();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    office.serve();
    let why = Termination::new(Cause::NoCommonCodec).with_sip_status(488);
    office.signal(bob, LegSignalKind::ReofferRefused(why));
    assert_eq!(office.end_of(bob), None);
    assert!(office.leg(alice).held.is_some());
    office.does(CallCommandKind::Retrieve { leg: alice }).unwrap();
    office.serve();
    assert_eq!(office.leg(alice).peer, Some(bob));
}

#[test]
fn after_a_restart_it_is_known_who_was_told() {
    let mut office = Office::telling_of_hold();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    office.serve();
    reanswers(&mut office, bob, Direction::RecvOnly);
    office.restart();
    office.node_holds(&[held(alice), held(bob)]);
    office.serve();
    office.does(CallCommandKind::Retrieve { leg: alice }).unwrap();
    assert_eq!(offers(&office, bob), [Direction::SendRecv], "the phone was told before");
}

#[test]
fn nobody_is_told_unless_that_is_wanted() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    assert_eq!((offers(&office, alice), offers(&office, bob)), (vec![], vec![]));
}
