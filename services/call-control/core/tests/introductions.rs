//! What a phone that rings is told of its caller, and of the way by which the call came.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended, media};
use sidetone_call_core::{Limits, Routing};
use sidetone_model::call::{DiversionReason, Elsewhere};
use sidetone_model::command::{CallCommandKind, Invite, LegCommandKind, PlaceOptions};
use sidetone_model::ids::LegId;
use sidetone_model::party::{Destination, Party};
use sidetone_model::signal::{LegSignalKind, Offered, Target};
use sidetone_model::termination::Cause;

fn invite_of(office: &Office, leg: LegId) -> Invite {
    let kinds = office.commands.iter().filter(|command| command.leg == leg).map(|command| &command.kind);
    let mut invites = kinds.filter_map(|kind| match kind {
        LegCommandKind::Invite(invite) => Some(invite.as_ref().clone()),
        _ => None,
    });
    invites.next_back().expect("the phone was called")
}

fn headers(of: &[(&str, &str)]) -> Vec<(Box<str>, Box<str>)> {
    of.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// A carrier's call for a user, as signalling tells it.
fn comes_in(office: &mut Office, anonymous: bool, given: &[(&str, &str)], user: &str) -> LegId {
    let LegSignalKind::Offered(offered) = office.offered(Some(media())) else { unreachable!() };
    let number = if anonymous { "anonymous" } else { "+4940777" };
    let from = Party { number: number.into(), ..Party::default() };
    let offered = Offered { from, dialled: user.into(), anonymous, headers: headers(given), ..*offered };
    let routing = office.registered(user, &["desk"]);
    let caller = office.ids.make(office.now);
    office.routed_signal(caller, LegSignalKind::Offered(Box::new(offered)), Some(routing));
    office.serve();
    office.legs_of(user)[0]
}

const GIVEN: [(&str, &str); 4] = [
    ("P-Asserted-Identity", "<sip:+4940777@carrier.test>"),
    ("Diversion", "<sip:+4940888@carrier.test>"),
    ("X-Account", "7"),
    ("X-Other", "8"),
];

#[test]
fn who_was_asserted_goes_along_and_of_the_rest_what_the_operator_copies() {
    let mut office = Office::with(Limits { copy_headers: vec!["x-acc*".into()], ..Limits::default() });
    let bob = comes_in(&mut office, true, &GIVEN, "bob");
    let invite = invite_of(&office, bob);
    assert_eq!((&*invite.from.number, invite.anonymous), ("anonymous", true));
    assert_eq!(invite.headers, headers(&GIVEN[..3]));
    assert_eq!(invite.diversions, []);
    // By default nothing is copied but who calls.
    let mut office = Office::new();
    let bob = comes_in(&mut office, false, &GIVEN, "bob");
    let invite = invite_of(&office, bob);
    assert_eq!((&*invite.from.number, invite.anonymous), ("+4940777", false));
    assert_eq!(invite.headers, headers(&GIVEN[..2]));
}

#[test]
fn each_phone_that_sent_the_call_on_is_named_with_its_reason() {
    let mut office = Office::new();
    let bob = comes_in(&mut office, false, &GIVEN, "bob");
    // Bob's phone is diverted for every call: it answers 302 at once.
    let carol = office.registered("carol", &["desk"]);
    let target = Target { number: "carol".into(), own: true };
    office.routed_signal(bob, LegSignalKind::Redirected { targets: vec![target] }, Some(carol));
    office.serve();
    office.signal(bob, ended(Cause::Diverted, 302));
    let carol = office.legs_of("carol")[0];
    let told = |office: &Office, leg: LegId| -> Vec<(Box<str>, DiversionReason)> {
        let ways = invite_of(office, leg).diversions.into_iter();
        ways.map(|way| (way.number, way.reason)).collect()
    };
    let first = (Box::from("bob"), DiversionReason::Unconditional);
    assert_eq!(told(&office, carol), std::slice::from_ref(&first));
    assert_eq!(invite_of(&office, carol).headers, headers(&GIVEN[..2]), "what came before is not lost");
    // Carol's rings, and she sends the call on.
    office.rings(carol);
    let dave = office.registered("dave", &["desk"]);
    let redirect =
        CallCommandKind::Redirect { leg: carol, to: Elsewhere::Number("dave".into()), anonymous: false };
    office.does_to(redirect, Routing::default(), dave).unwrap();
    office.serve();
    let dave = office.legs_of("dave")[0];
    assert_eq!(told(&office, dave), [first, ("carol".into(), DiversionReason::Deflection)]);
}

#[test]
fn a_blind_transfer_can_hide_who_is_passed_on() {
    for anonymous in [true, false] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        let carol = office.registered("carol", &["desk"]);
        let to_number = "carol".into();
        let transfer = CallCommandKind::TransferBlind { leg: bob, to_number, anonymous };
        office.does_to(transfer, Routing::default(), carol).unwrap();
        office.serve();
        let invite = invite_of(&office, office.legs_of("carol")[0]);
        assert_eq!(invite.from.number, office.leg(alice).party.number);
        assert_eq!(invite.anonymous, anonymous);
    }
}

#[test]
fn what_an_application_gives_a_call_is_for_whoever_is_called() {
    let mut office = Office::new();
    let (own, to) = (office.registered("alice", &["desk"]), office.registered("bob", &["desk"]));
    let given = headers(&[("X-Ticket", "42"), ("Diversion", "<sip:1003@a.test>")]);
    let kind = CallCommandKind::Place {
        from: Destination::Wait,
        from_number: "alice".into(),
        to: Destination::Wait,
        to_number: "bob".into(),
        options: PlaceOptions { anonymous: true, headers: given.clone(), ..PlaceOptions::default() },
    };
    office.ask("place", kind, own, to).unwrap();
    office.serve();
    let alice = office.legs_of("alice")[0];
    let invite = invite_of(&office, alice);
    assert_eq!((&*invite.from.number, invite.anonymous, invite.headers), ("bob", false, Vec::new()));
    office.answers(alice);
    office.serve();
    let invite = invite_of(&office, office.legs_of("bob")[0]);
    assert_eq!((&*invite.from.number, invite.anonymous, invite.headers), ("alice", true, given));
}

#[test]
fn whoever_is_called_in_a_call_is_one_hop_further_also_after_a_restart() {
    let mut office = Office::new();
    let LegSignalKind::Offered(offered) = office.offered(Some(media())) else { unreachable!() };
    let offered = Offered { dialled: "bob".into(), max_forwards: Some(9), ..*offered };
    let (caller, routing) = (office.ids.make(office.now), office.registered("bob", &["desk", "mobile"]));
    office.routed_signal(caller, LegSignalKind::Offered(Box::new(offered)), Some(routing));
    office.serve();
    let forks = office.legs_of("bob");
    assert_eq!(
        forks.iter().map(|leg| invite_of(&office, *leg).max_forwards).collect::<Vec<_>>(),
        [Some(8); 2]
    );
    // A redirection is another branch of the same call (RFC 3261, section 16.7), and so is a transfer.
    office.restart();
    let carol = office.registered("carol", &["desk"]);
    let target = Target { number: "carol".into(), own: true };
    office.routed_signal(forks[0], LegSignalKind::Redirected { targets: vec![target] }, Some(carol));
    office.serve();
    office.signal(forks[0], ended(Cause::Diverted, 302));
    let carol = office.legs_of("carol")[0];
    assert_eq!(invite_of(&office, carol).max_forwards, Some(8));
    office.answers(carol);
    let dave = office.registered("dave", &["desk"]);
    let transfer = CallCommandKind::TransferBlind { leg: carol, to_number: "dave".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), dave).unwrap();
    office.serve();
    assert_eq!(invite_of(&office, office.legs_of("dave")[0]).max_forwards, Some(8));
    // A call that begins here begins to count.
    let mut office = Office::new();
    let (_, bob) = office.connect("alice", "bob");
    assert_eq!(invite_of(&office, bob).max_forwards, None);
}

#[test]
fn that_a_call_goes_in_circles_is_told_to_its_caller_and_every_other_failure_as_ever() {
    for (status, told) in [(483, Some(483)), (482, Some(482)), (400, None), (404, None)] {
        let mut office = Office::new();
        let caller = office.call(office.to_user(1));
        let rung = office.others(caller)[0];
        office.signal(rung, ended(Cause::from_sip_status(status), status));
        let end = office.commands.iter().rev().find_map(|command| match &command.kind {
            LegCommandKind::End(why) if command.leg == caller => Some(why.clone()),
            _ => None,
        });
        let end = end.expect("the caller is refused");
        assert_eq!((end.cause, end.sip_status), (Cause::from_sip_status(status), told));
    }
}
