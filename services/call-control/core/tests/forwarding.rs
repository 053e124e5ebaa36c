//! Where the calls of a user go that nobody takes, by the rules of that user.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use std::time::Duration;

use kit::{Office, ended};
use sidetone_call_core::{Forwards, Later, Routing};
use sidetone_model::call::{DeviceOf, DiversionReason, DivertCause, LegCause};
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{LegId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::signal::{LegSignalKind, Target};
use sidetone_model::termination::Cause;

fn voicemail(office: &Office, user: &str) -> Option<Box<Later>> {
    let routing = office.to(Destination::Voicemail(UserId::new(user).unwrap()), 0);
    Some(Box::new(Later { number: "".into(), routing }))
}

fn to(number: &str, routing: Routing) -> Option<Box<Later>> {
    Some(Box::new(Later { number: number.into(), routing }))
}

/// Everything goes to the user's voicemail, after 15 s at the latest.
fn all_to_voicemail(office: &Office, user: &str) -> Forwards {
    Forwards {
        busy: voicemail(office, user),
        no_answer: voicemail(office, user),
        no_answer_after: Some(Duration::from_secs(15)),
        unregistered: voicemail(office, user),
    }
}

fn bob(office: &Office, devices: &[&str]) -> Routing {
    Routing { forwards: all_to_voicemail(office, "bob"), ..office.registered("bob", devices) }
}

fn served_by(office: &Office, leg: LegId) -> Option<Destination> {
    office.leg(leg).served_by.clone()
}

fn of_bob() -> Option<Destination> {
    Some(Destination::Voicemail(UserId::new("bob").unwrap()))
}

fn diversions(office: &Office) -> Vec<(LegId, DivertCause, Box<str>)> {
    let all = office.happened_since(0).into_iter().filter_map(|kind| match kind {
        FactKind::CallDiverted { leg, cause, to, .. } => Some((*leg, *cause, to.number.clone())),
        _ => None,
    });
    all.collect()
}

fn live(office: &Office, user: &str) -> Vec<LegId> {
    office.legs_of(user)
}

/// The legs that the user ever had, live or not.
fn ever(office: &Office, user: &str) -> Vec<LegId> {
    let legs = office.happened_since(0).into_iter().filter_map(|kind| match kind {
        FactKind::LegCreated { leg, party, .. } if party.user.as_ref()?.as_str() == user => Some(*leg),
        _ => None,
    });
    legs.collect()
}

fn told(office: &Office, leg: LegId) -> Vec<(Box<str>, DiversionReason)> {
    let mut kinds = office.commands.iter().filter(|command| command.leg == leg).map(|command| &command.kind);
    let invite = kinds.find_map(|kind| match kind {
        LegCommandKind::Invite(invite) => Some(invite.as_ref().clone()),
        _ => None,
    });
    invite.unwrap().diversions.into_iter().map(|way| (way.number, way.reason)).collect()
}

#[test]
fn a_busy_user_has_a_voicemail_when_the_last_device_has_said_so() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", bob(&office, &["desk", "soft"]));
    let phones = live(&office, "bob");
    office.signal(phones[0], ended(Cause::Busy, 486));
    assert_eq!(served_by(&office, alice), None, "the other still rings");
    office.rings(phones[1]);
    office.signal(phones[1], ended(Cause::Unavailable, 480));
    office.serve();
    assert_eq!((served_by(&office, alice), office.end_of(alice)), (of_bob(), None));
    assert!(office.leg(alice).is_answered());
    assert_eq!(diversions(&office), [(phones[1], DivertCause::Overflown, "200".into())]);
    assert_eq!(office.cause(phones[0]), Some(Cause::Busy));
}

#[test]
fn it_rings_for_as_long_as_the_rule_says_over_all_preferences() {
    let mut office = Office::new();
    let mobile = Later { number: "".into(), routing: office.registered("bob", &["mobile"]) };
    let mut routing = bob(&office, &["desk"]);
    routing.forwards.no_answer_after = Some(Duration::from_secs(30));
    routing.later = vec![mobile];
    let alice = office.dial("alice", "desk", routing);
    office.rings(live(&office, "bob")[0]);
    office.pass(20);
    office.hang_up_as_told();
    office.serve();
    let mobile = live(&office, "bob");
    assert_eq!(mobile.len(), 1, "the less preferred rings");
    office.rings(mobile[0]);
    office.pass(9);
    assert_eq!(office.end_of(mobile[0]), None);
    office.pass(1);
    office.hang_up_as_told();
    office.serve();
    assert_eq!((served_by(&office, alice), office.cause(mobile[0])), (of_bob(), Some(Cause::NoAnswer)));
    // Fewer seconds than the first preference has: no other device rings.
    let mut office = Office::new();
    let mobile = Later { number: "".into(), routing: office.registered("bob", &["mobile"]) };
    let routing = Routing { later: vec![mobile], ..bob(&office, &["desk"]) };
    let alice = office.dial("alice", "desk", routing);
    office.pass(15);
    office.hang_up_as_told();
    office.serve();
    assert_eq!((served_by(&office, alice), ever(&office, "bob").len()), (of_bob(), 1));
}

#[test]
fn without_registered_devices_the_call_is_answered_by_the_voicemail() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", bob(&office, &[]));
    assert_eq!((served_by(&office, alice), office.end_of(alice)), (of_bob(), None));
    let nowhere = ever(&office, "bob")[0];
    assert_eq!(office.cause(nowhere), Some(Cause::Unavailable));
    assert_eq!(diversions(&office), [(nowhere, DivertCause::Overflown, "200".into())]);
    // A phone that is registered and gone is as good as none; one that rang has not answered.
    let mut office = Office::new();
    let mut routing = bob(&office, &["desk"]);
    (routing.forwards.busy, routing.forwards.no_answer) = (None, None);
    let alice = office.dial("alice", "desk", routing.clone());
    office.signal(live(&office, "bob")[0], ended(Cause::Timeout, 408));
    office.serve();
    assert_eq!(served_by(&office, alice), of_bob());
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", routing);
    let phone = live(&office, "bob")[0];
    office.rings(phone);
    office.signal(phone, ended(Cause::Unavailable, 480));
    assert_eq!((served_by(&office, alice), office.end_of(alice)), (None, Some(Cause::Unavailable)));
}

#[test]
fn rules_follow_each_other_and_each_user_is_named_with_the_reason() {
    let mut office = Office::new();
    let mut dave = office.registered("dave", &["desk"]);
    dave.forwards = all_to_voicemail(&office, "dave");
    let mut carol = office.registered("carol", &[]);
    carol.forwards.unregistered = to("dave", dave);
    let mut bob = office.registered("bob", &["desk"]);
    bob.forwards.busy = to("carol", carol);
    let alice = office.dial("alice", "desk", bob);
    let at_bob = live(&office, "bob")[0];
    office.signal(at_bob, ended(Cause::Busy, 486));
    office.serve();
    let (at_carol, at_dave) = (ever(&office, "carol")[0], live(&office, "dave")[0]);
    let causes = [at_carol, at_dave].map(|leg| (office.leg(leg).cause, office.leg(leg).by));
    assert_eq!(causes, [(LegCause::Redirected, Some(at_bob)), (LegCause::Redirected, Some(at_carol))]);
    let ways = [("200".into(), DiversionReason::Busy), ("carol".into(), DiversionReason::Unavailable)];
    assert_eq!(told(&office, at_dave), ways);
    office.rings(at_dave);
    office.pass(15);
    office.hang_up_as_told();
    office.serve();
    let voicemail = Some(Destination::Voicemail(UserId::new("dave").unwrap()));
    assert_eq!(served_by(&office, alice), voicemail);
    let redirected = |leg, number: &str| (leg, DivertCause::Redirected, number.into());
    let last = (at_dave, DivertCause::Overflown, "dave".into());
    assert_eq!(diversions(&office), [redirected(at_bob, "carol"), redirected(at_carol, "dave"), last]);
}

#[test]
fn whom_the_user_refuses_or_who_leaves_goes_nowhere_and_a_rule_that_leads_nowhere_is_none() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", bob(&office, &["desk"]));
    office.signal(live(&office, "bob")[0], ended(Cause::Rejected, 603));
    assert_eq!((served_by(&office, alice), office.end_of(alice)), (None, Some(Cause::Rejected)));

    let mut office = Office::new();
    let alice = office.dial("alice", "desk", bob(&office, &["desk"]));
    office.signal(alice, ended(Cause::Cancelled, 487));
    office.hang_up_as_told();
    assert_eq!((diversions(&office).len(), live(&office, "bob").len()), (0, 0));

    let mut office = Office::new();
    let nobody = office.registered("carol", &[]);
    let mut routing = office.registered("bob", &["desk"]);
    routing.forwards.busy = to("carol", nobody.clone());
    let alice = office.dial("alice", "desk", routing);
    office.signal(live(&office, "bob")[0], ended(Cause::Busy, 486));
    assert_eq!((office.end_of(alice), diversions(&office).len()), (Some(Cause::Busy), 0));

    let mut office = Office::new();
    let mut routing = office.registered("bob", &[]);
    routing.forwards.unregistered = to("carol", nobody);
    let alice = office.dial("alice", "desk", routing);
    assert_eq!((office.end_of(alice), ever(&office, "bob").len()), (Some(Cause::Unavailable), 0));
}

#[test]
fn a_call_that_is_passed_on_to_a_user_without_phones_goes_by_the_rule_too() {
    let mut office = Office::new();
    let (alice, carol) = office.connect("alice", "carol");
    let transfer = CallCommandKind::TransferBlind { leg: carol, to_number: "bob".into(), anonymous: false };
    let bob = bob(&office, &[]);
    office.does_to(transfer, Routing::default(), bob).unwrap();
    office.serve();
    office.hang_up_as_told();
    assert_eq!((served_by(&office, alice), office.end_of(alice)), (of_bob(), None));
    assert_eq!(office.cause(carol), Some(Cause::Diverted));
}

#[test]
fn whoever_has_rules_is_called_by_an_application_too_without_a_phone() {
    let mut office = Office::new();
    let to_bob = bob(&office, &[]);
    let before = office.legs_of("bob").len();
    let call = office.place(to_bob);
    let from = *office.legs_of("bob").get(before).unwrap();
    office.answers(from);
    assert_eq!((office.leg(from).call, served_by(&office, from)), (call, of_bob()));
    // The same for a caller who waits, and for whom an application answers.
    let mut office = Office::new();
    let waiting = office.call(office.to(Destination::Wait, 0));
    let to_bob = bob(&office, &[]);
    let to = to_bob.destination.clone().unwrap();
    let answer = CallCommandKind::Answer { leg: waiting, to, to_number: "200".into() };
    office.does_to(answer, Routing::default(), to_bob).unwrap();
    office.serve();
    assert_eq!((served_by(&office, waiting), office.end_of(waiting)), (of_bob(), None));
}

/// Dora is about to take what rings at a phone.
fn picks_up(office: &mut Office, from: LegId) -> LegId {
    let by = DeviceOf { user: UserId::new("dora").unwrap(), device: None };
    let own = office.registered("dora", &["desk"]);
    office.does_to(CallCommandKind::PickUp { leg: from, by }, own, Routing::default()).unwrap();
    office.serve();
    *office.legs_of("dora").first().unwrap()
}

#[test]
fn the_rules_hold_too_when_somebody_was_about_to_take_the_call_and_does_not() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", bob(&office, &["desk"]));
    let phone = live(&office, "bob")[0];
    office.rings(phone);
    let dora = picks_up(&mut office, phone);
    office.rings(dora);
    office.pass(15);
    office.hang_up_as_told();
    assert_eq!((office.cause(phone), served_by(&office, alice)), (Some(Cause::NoAnswer), None));
    assert_eq!(office.end_of(dora), None, "who may still take it");
    office.signal(dora, ended(Cause::Rejected, 603));
    office.serve();
    assert_eq!((served_by(&office, alice), office.end_of(alice)), (of_bob(), None));
    assert_eq!(diversions(&office), [(phone, DivertCause::Overflown, "200".into())]);

    // And whoever takes it when it has just stopped ringing there has taken it.
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", bob(&office, &["desk"]));
    let phone = live(&office, "bob")[0];
    office.rings(phone);
    let dora = picks_up(&mut office, phone);
    office.pass(15);
    office.hang_up_as_told();
    office.answers(dora);
    assert_eq!((office.leg(alice).peer, served_by(&office, alice)), (Some(dora), None));
}

#[test]
fn less_preferred_phones_ring_too_when_whoever_was_about_to_take_the_call_does_not() {
    let mut office = Office::new();
    let mobile = Later { number: "".into(), routing: office.registered("bob", &["mobile"]) };
    let routing = Routing { later: vec![mobile], ..office.registered("bob", &["desk"]) };
    let alice = office.dial("alice", "desk", routing);
    let phone = live(&office, "bob")[0];
    office.rings(phone);
    let dora = picks_up(&mut office, phone);
    office.signal(phone, ended(Cause::Busy, 486));
    office.signal(dora, ended(Cause::Unavailable, 480));
    office.serve();
    let mobile = live(&office, "bob");
    assert_eq!((mobile.len(), office.end_of(alice)), (1, None));
    assert_eq!(office.leg(mobile[0]).cause, LegCause::Normal);
}

#[test]
fn nothing_is_told_of_a_way_that_is_too_long_to_be_gone() {
    let mut office = Office::new();
    let mut carol = office.registered("carol", &[]);
    carol.forwards.unregistered = to("dave", office.registered("dave", &["desk"]));
    let mut last = office.registered("p4", &["desk"]);
    last.forwards.busy = to("carol", carol);
    // Four phones name the next one in their place.
    let alice = office.dial("alice", "desk", office.registered("p0", &["desk"]));
    for step in 1..=4 {
        let (from, next) = (format!("p{}", step - 1), format!("p{step}"));
        let ringing = office.legs_of(&from)[0];
        let routing = if step == 4 { last.clone() } else { office.registered(&next, &["desk"]) };
        let target = Target { number: next.into(), own: true };
        let named = LegSignalKind::Redirected { targets: vec![target] };
        office.routed_signal(ringing, named, Some(routing));
        office.hang_up_as_told();
        office.serve();
    }
    let before = diversions(&office);
    assert_eq!(before.len(), 4);
    let at_last = office.legs_of("p4")[0];
    office.signal(at_last, ended(Cause::Busy, 486));
    assert_eq!((diversions(&office), office.end_of(alice)), (before, Some(Cause::Busy)));
    assert_eq!(ever(&office, "carol").len(), 0);
}
