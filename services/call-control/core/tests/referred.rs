//! Phones that pass their calls on by REFER, take the place of others by Replaces, and name others by 3xx.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended, media};
use sidetone_call_core::{Connection, Later, Redirects, Routing};
use sidetone_model::call::{HeldBy, LegCause};
use sidetone_model::command::{CallCommandKind, LegCommandKind, ReferralState};
use sidetone_model::fold::LegPhase;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::party::{Binding, Destination, Party};
use sidetone_model::signal::{LegSignalKind, Offered, Referred, Target};
use sidetone_model::termination::Cause;

fn target(number: &str, own: bool) -> Target {
    Target { number: number.into(), own }
}

fn refers(office: &mut Office, leg: LegId, number: &str, routing: Routing) {
    let referred = Referred { to: target(number, true), replaces: None };
    office.routed_signal(leg, LegSignalKind::Referred(referred), Some(routing));
    office.serve();
}

fn refers_to_call(office: &mut Office, leg: LegId, other: LegId) {
    let referred = Referred { to: target("whoever", true), replaces: Some(other) };
    office.routed_signal(leg, LegSignalKind::Referred(referred), None);
}

/// What a leg was told of its REFER, without its other commands.
fn told(office: &Office, leg: LegId) -> Vec<&'static str> {
    office.kinds(leg).into_iter().filter_map(|kind| kind.strip_prefix("refer: ")).collect()
}

fn refused(office: &Office, leg: LegId) -> Option<Cause> {
    office.commands.iter().filter(|command| command.leg == leg).find_map(|command| match &command.kind {
        LegCommandKind::Referral(ReferralState::Failed(why)) => Some(why.cause),
        _ => None,
    })
}

#[test]
fn a_phone_passes_its_call_on_and_stays_until_it_is_taken() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    // As phones do: hold first.
    let held = MediaDescription { direction: Direction::SendOnly, ..media() };
    office.signal(bob, LegSignalKind::Reoffered { media: Some(held) });
    office.serve();
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, bob, "carol", carol);
    assert_eq!((told(&office, bob), office.end_of(bob)), (vec!["accepted"], None));
    let carol = office.legs_of("carol")[0];
    assert_eq!(
        (office.leg(carol).cause, office.leg(carol).call),
        (LegCause::Transferred, office.leg(alice).call)
    );
    office.rings(carol);
    office.rings(carol);
    assert_eq!(told(&office, bob), ["accepted", "ringing"]);
    office.answers(carol);
    assert_eq!(told(&office, bob), ["accepted", "ringing", "succeeded"]);
    assert_eq!(office.kinds(bob).last(), Some(&"end"), "told before it goes");
    assert_eq!(office.leg(alice).peer, Some(carol));
    office.hang_up_as_told();
    assert_eq!((office.phase(alice), office.phase(carol)), (LegPhase::Answered, LegPhase::Answered));
}

#[test]
fn nobody_takes_it_and_the_two_talk_again() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, bob, "carol", carol);
    let carol = office.legs_of("carol")[0];
    office.heard();
    office.signal(carol, ended(Cause::Busy, 486));
    assert_eq!(told(&office, bob), ["accepted", "failed"]);
    assert_eq!(refused(&office, bob), Some(Cause::Busy));
    assert_eq!((office.leg(alice).peer, office.end_of(bob)), (Some(bob), None));
    assert!(
        office.heard().iter().any(|(leg, to)| *leg == alice && *to == Connection::Peer(bob) || *leg == bob)
    );
    // And it can be passed on again.
    let dave = office.registered("dave", &["desk"]);
    refers(&mut office, bob, "dave", dave);
    let dave = office.legs_of("dave")[0];
    office.answers(dave);
    assert_eq!(office.leg(alice).peer, Some(dave));
}

#[test]
fn who_hangs_up_after_passing_on_leaves_the_others_to_it() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, bob, "carol", carol);
    office.signal(bob, ended(Cause::Normal, 200));
    assert_eq!(office.end_of(alice), None);
    let carol = office.legs_of("carol")[0];
    office.answers(carol);
    assert_eq!(office.leg(alice).peer, Some(carol));
    let (dan, eve) = office.connect("dan", "eve");
    let frank = office.registered("frank", &["desk"]);
    refers(&mut office, eve, "frank", frank);
    office.signal(eve, ended(Cause::Normal, 200));
    let frank = office.legs_of("frank")[0];
    office.signal(frank, ended(Cause::Rejected, 603));
    assert_eq!(office.end_of(dan), Some(Cause::Rejected));
}

#[test]
fn a_machine_takes_it_at_once() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let echo = office.to(Destination::Echo, 0);
    refers(&mut office, bob, "9", echo);
    assert_eq!(
        (told(&office, bob), office.end_of(bob)),
        (vec!["accepted", "succeeded"], Some(Cause::Diverted))
    );
    assert_eq!(office.leg(alice).served_by, Some(Destination::Echo));
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let nobody = Routing::default();
    refers(&mut office, bob, "404", nobody);
    assert_eq!(refused(&office, bob), Some(Cause::NotFound));
    let away = office.registered("carol", &[]);
    refers(&mut office, alice, "carol", away);
    assert_eq!(refused(&office, alice), Some(Cause::Unavailable));
    let (dan, eve) = office.connect("dan", "eve");
    let routing = office.registered("carol", &["desk"]);
    let foreign = Referred { to: target("carol", false), replaces: None };
    office.routed_signal(eve, LegSignalKind::Referred(foreign), Some(routing));
    assert_eq!(refused(&office, eve), Some(Cause::Forbidden));
    // Somebody else's call cannot be passed on, nor one's own to itself.
    refers_to_call(&mut office, dan, alice);
    assert_eq!(refused(&office, dan), Some(Cause::Forbidden));
    let waiting = office.dial("gus", "desk", office.to(Destination::Echo, 0));
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, waiting, "carol", carol);
    assert_eq!(refused(&office, waiting), Some(Cause::Rejected));
    assert_eq!((office.leg(alice).peer, office.leg(dan).peer), (Some(bob), Some(eve)));
}

#[test]
fn an_attended_transfer_of_the_phones_own_connects_the_others() {
    for answered in [true, false] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        let held = MediaDescription { direction: Direction::SendOnly, ..media() };
        office.signal(alice, LegSignalKind::Reoffered { media: Some(held) });
        office.serve();
        let second = office.dial("alice", "desk", office.registered("carol", &["desk"]));
        let carol = office.legs_of("carol")[0];
        office.rings(carol);
        if answered {
            office.answers(carol);
        }
        refers_to_call(&mut office, alice, second);
        assert_eq!(told(&office, alice), ["accepted", "succeeded"]);
        assert_eq!(
            (office.end_of(alice), office.end_of(second)),
            (Some(Cause::Diverted), Some(Cause::Diverted))
        );
        office.hang_up_as_told();
        if !answered {
            office.answers(carol);
        }
        assert_eq!((office.leg(bob).peer, office.leg(carol).call), (Some(carol), office.leg(bob).call));
    }
}

fn replaces(office: &mut Office, old: LegId) -> LegId {
    let leg = office.ids.make(office.now);
    let LegSignalKind::Offered(offered) = office.offered(Some(media())) else { unreachable!() };
    let from = Party { user: Some("dave".parse().unwrap()), number: "dave".into(), ..Party::default() };
    let offered = Offered { from, replaces: Some(old), ..*offered };
    office.routed_signal(leg, LegSignalKind::Offered(Box::new(offered)), Some(Routing::default()));
    leg
}

#[test]
fn a_phone_takes_the_place_of_another_in_its_call() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let dave = replaces(&mut office, bob);
    assert_eq!(office.leg(dave).call, office.leg(alice).call);
    office.serve();
    assert_eq!((office.kinds(dave), office.end_of(bob)), (vec!["answer"], Some(Cause::Diverted)));
    assert_eq!(office.leg(alice).peer, Some(dave));
    office.hang_up_as_told();
    assert_eq!(office.phase(dave), LegPhase::Answered);
    office.signal(dave, ended(Cause::Normal, 200));
    assert_eq!(office.end_of(alice), Some(Cause::Normal));
}

#[test]
fn a_phone_picks_up_what_rings_elsewhere() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk", "mobile"]));
    let phones = office.legs_of("bob");
    phones.iter().for_each(|leg| office.rings(*leg));
    let dave = replaces(&mut office, phones[1]);
    office.serve();
    office.hang_up_as_told();
    assert_eq!(phones.iter().map(|leg| office.end_of(*leg)).collect::<Vec<_>>(), [Some(Cause::Diverted); 2]);
    assert_eq!((office.phase(alice), office.leg(alice).peer), (LegPhase::Answered, Some(dave)));
}

#[test]
fn what_is_over_cannot_be_replaced() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let dave = replaces(&mut office, bob);
    // Both hang up while the port is being taken.
    office.signal(alice, ended(Cause::Normal, 200));
    office.signal(bob, ended(Cause::Normal, 200));
    office.serve();
    assert_eq!((office.end_of(dave), office.phase(dave)), (Some(Cause::Normal), LegPhase::SettingUp));
    office.hang_up_as_told();
    let late = replaces(&mut office, bob);
    assert_eq!(office.end_of(late), Some(Cause::NotFound));
}

fn redirects(office: &mut Office, leg: LegId, targets: &[Target], routing: Routing) {
    let named = LegSignalKind::Redirected { targets: targets.to_vec() };
    office.routed_signal(leg, named, Some(routing));
    office.signal(leg, ended(Cause::Diverted, 302));
    office.serve();
}

#[test]
fn a_phone_sends_its_call_on_and_the_caller_waits() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk", "mobile"]));
    let phones = office.legs_of("bob");
    office.rings(phones[1]);
    let carol = office.registered("carol", &["desk"]);
    redirects(&mut office, phones[0], &[target("far@away", false), target("carol", true)], carol);
    assert_eq!(office.end_of(phones[1]), Some(Cause::Diverted), "one phone speaks for its user");
    office.hang_up_as_told();
    let carol = office.legs_of("carol")[0];
    assert_eq!((office.leg(carol).cause, office.leg(carol).by), (LegCause::Redirected, Some(phones[0])));
    assert_eq!(office.end_of(alice), None);
    office.answers(carol);
    assert_eq!(office.leg(alice).peer, Some(carol));
}

#[test]
fn phones_that_name_each_other_come_to_an_end() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
    let mut steps = 0;
    while office.end_of(alice).is_none() {
        let (user, next) = if steps % 2 == 0 { ("bob", "carol") } else { ("carol", "bob") };
        let leg = office.legs_of(user)[0];
        let routing = office.registered(next, &["desk"]);
        redirects(&mut office, leg, &[target(next, true)], routing);
        steps += 1;
        assert!(steps < 20, "for ever");
    }
    assert_eq!((steps, office.end_of(alice)), (6, Some(Cause::Unavailable)));
}

#[test]
fn where_a_redirection_is_not_followed_the_caller_is_told() {
    let away = |office: &Office| office.registered("carol", &[]);
    let there = |office: &Office| office.registered("carol", &["desk"]);
    type Answer<'a> = &'a dyn Fn(&Office) -> Routing;
    let cases: [(Target, Answer<'_>); 2] = [(target("carol", true), &away), (target("carol", false), &there)];
    for (named, routing) in cases {
        let mut office = Office::new();
        let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
        let bob = office.legs_of("bob")[0];
        let routing = routing(&office);
        let why = if named.own { "nobody" } else { "foreign" };
        redirects(&mut office, bob, &[named], routing);
        assert_eq!(office.end_of(alice), Some(Cause::Unavailable));
        assert_eq!(office.redirections, [why]);
        let told = office.commands.iter().filter(|command| command.leg == alice);
        let said = |kind: &LegCommandKind| matches!(kind, LegCommandKind::End(why) if why.text.contains("elsewhere"));
        assert!(told.map(|command| &command.kind).any(said), "{:?}", office.kinds(alice));
    }
}

#[test]
fn a_redirection_goes_as_far_as_its_tenant_lets_it() {
    let inside = |office: &Office| office.registered("carol", &["desk"]);
    let out = |office: &Office| outside(office, "+882999");
    type Answer<'a> = &'a dyn Fn(&Office) -> Routing;
    let cases: [(Redirects, Answer<'_>, &str); 6] = [
        (Redirects::Never, &inside, "never"),
        (Redirects::Never, &out, "never"),
        (Redirects::Inside, &inside, "followed"),
        (Redirects::Inside, &out, "outside"),
        (Redirects::Everywhere, &inside, "followed"),
        (Redirects::Everywhere, &out, "followed"),
    ];
    for (policy, there, result) in cases {
        let mut office = Office::new();
        let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
        let bob = office.legs_of("bob")[0];
        let routing = Routing { redirects: policy, ..there(&office) };
        redirects(&mut office, bob, &[target("carol", true)], routing);
        assert_eq!(office.redirections, [result], "{policy:?}");
        let refused = (result != "followed").then_some(Cause::Unavailable);
        assert_eq!(office.end_of(alice), refused, "{policy:?}");
    }
}

#[test]
fn of_several_addresses_those_are_left_out_to_which_the_tenant_lets_nobody_lead() {
    let mut office = Office::new();
    let alice = office.dial("alice", "desk", office.registered("bob", &["desk"]));
    let bob = office.legs_of("bob")[0];
    let later = |number: &str, routing| Later { number: number.into(), routing };
    let others = vec![
        later("carol", office.registered("carol", &["desk"])),
        later("+882998", outside(&office, "+882998")),
        later("dave", office.registered("dave", &["desk"])),
    ];
    let routing = Routing { redirects: Redirects::Inside, later: others, ..outside(&office, "+882999") };
    let named = ["+882999", "carol", "+882998", "dave"].map(|number| target(number, true));
    redirects(&mut office, bob, &named, routing);
    assert_eq!(office.redirections, ["followed"]);
    let carol = office.legs_of("carol")[0];
    office.signal(carol, ended(Cause::Busy, 486));
    office.serve();
    let dave = office.legs_of("dave")[0];
    assert_eq!((office.phase(dave), office.end_of(alice)), (LegPhase::SettingUp, None));
    assert_eq!(office.others(alice).len(), 3, "nobody outside is called");
}

#[test]
fn an_application_may_still_pass_a_call_on_that_waits_for_another() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, bob, "carol", carol);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.does(CallCommandKind::Reject { leg: carol }).unwrap();
    office.hang_up_as_told();
    assert_eq!((told(&office, bob).last(), office.leg(alice).peer), (Some(&"failed"), Some(bob)));
}

/// A number over a trunk.
fn outside(office: &Office, number: &str) -> Routing {
    let mut routing = office.to_user(1);
    routing.bindings = vec![Binding::outside(number, routing.bindings[0].replica.clone())];
    routing
}

#[test]
fn whoever_is_outside_sends_nobody_to_another_number_outside() {
    let mut office = Office::new();
    let bob = office.registered("bob", &["desk"]);
    let stranger = Party { number: "+4930555".into(), ..Party::default() };
    let stranger = office.dial_number(stranger, "bob", bob);
    let bob = office.legs_of("bob")[0];
    office.answers(bob);
    let premium = outside(&office, "+882999");
    refers(&mut office, stranger, "+882999", premium.clone());
    assert_eq!(refused(&office, stranger), Some(Cause::Forbidden));
    assert_eq!(office.leg(stranger).peer, Some(bob), "they go on talking");
    // Within the tenant they may; and so may a user, to wherever the tenant's trunks lead.
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, stranger, "carol", carol);
    assert_eq!(told(&office, stranger), ["failed", "accepted"]);
    let mut office = Office::new();
    let (_, bob) = office.connect("alice", "bob");
    refers(&mut office, bob, "+882999", premium);
    assert_eq!((told(&office, bob), refused(&office, bob)), (vec!["accepted"], None));
}

#[test]
fn a_carrier_leads_nobody_to_another_number_outside() {
    let mut office = Office::new();
    let carrier = outside(&office, "+4930555");
    office.dial("alice", "desk", carrier);
    let out = *office.others(office.legs_of("alice")[0]).first().unwrap();
    let premium = outside(&office, "+882999");
    office.routed_signal(
        out,
        LegSignalKind::Redirected { targets: vec![target("+882999", true)] },
        Some(premium),
    );
    office.serve();
    assert_eq!(office.others(office.legs_of("alice")[0]).len(), 1, "nobody else is called");
}

/// The transferor has held by its own offer before its partner sends the INVITE with Replaces (RFC 5589, section 7.3).
#[test]
fn who_comes_in_the_place_of_a_phone_that_held_holds_nobody_and_stays_muted_if_it_was() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let mute = CallCommandKind::SetAudio { leg: bob, muted: true, deafened: false, voice: None };
    office.ask("mute", mute, Routing::default(), Routing::default()).unwrap();
    let hold = MediaDescription { direction: Direction::SendOnly, ..media() };
    office.signal(bob, LegSignalKind::Reoffered { media: Some(hold) });
    office.serve();
    assert_eq!(office.leg(bob).held, Some(HeldBy::Phone));
    let dave = replaces(&mut office, bob);
    office.serve();
    assert_eq!(office.leg(alice).peer, Some(dave));
    assert_eq!((office.leg(dave).held, office.leg(dave).muted), (None, true));
}

#[test]
fn who_passed_the_call_on_goes_also_when_somebody_takes_the_place_of_whom_it_went_to() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let carol = office.registered("carol", &["desk"]);
    refers(&mut office, bob, "carol", carol);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    let dave = office.ids.make(office.now);
    let LegSignalKind::Offered(offered) = office.offered(Some(media())) else { unreachable!() };
    let offered = Offered { replaces: Some(carol), ..*offered };
    let nodes = office.to(Destination::Echo, 0);
    office.routed_signal(dave, LegSignalKind::Offered(Box::new(offered)), Some(nodes));
    office.serve();
    assert_eq!(office.leg(alice).peer, Some(dave));
    assert_eq!(told(&office, bob), ["accepted", "ringing", "succeeded"]);
    assert_eq!(office.end_of(bob), Some(Cause::Diverted));
}

#[test]
fn nobody_is_connected_with_a_caller_whom_the_phone_has_not_answered() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let carol = office.dial("carol", "desk", office.registered("bob", &["desk"]));
    let rings = *office.legs_of("bob").iter().find(|leg| **leg != bob).unwrap();
    office.rings(rings);
    refers_to_call(&mut office, bob, rings);
    assert_eq!(refused(&office, bob), Some(Cause::NotFound));
    assert_eq!((office.leg(alice).peer, office.end_of(rings)), (Some(bob), None));
    office.answers(rings);
    assert_eq!(office.leg(carol).peer, Some(rings), "it may still be answered");
}
