//! Devices that have no contact when they are called, and register soon after.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use std::time::Duration;

use kit::{Office, ended, held};
use sidetone_call_core::{Forwards, Later, Limits, MediaRequest, Routing, Shard};
use sidetone_model::call::DecisionKind;
use sidetone_model::command::{CallCommandKind, LegCommandKind, PlaceOptions};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, Cdr, CdrKind, Fold, LegPhase};
use sidetone_model::ids::{LegId, ReplicaId, UserId};
use sidetone_model::party::{Binding, Destination};
use sidetone_model::termination::Cause;

/// Bob with a device that sleeps, beside those that are registered; it may take 30 s to register.
fn sleeping(office: &Office, awake: &[&str]) -> Routing {
    let mut routing = office.registered("bob", awake);
    let device: sidetone_model::ids::DeviceId = "mobile".parse().unwrap();
    routing.bindings.push(Binding::asleep("bob".parse().unwrap(), device.clone()));
    routing.wakes = vec![(device, Duration::from_secs(30))];
    routing
}

fn then(routing: Routing, no_answer: Option<Routing>, unregistered: Option<Routing>) -> Routing {
    let rule = |to: Option<Routing>| to.map(|routing| Box::new(Later { number: "".into(), routing }));
    let forwards =
        Forwards { no_answer: rule(no_answer), unregistered: rule(unregistered), ..Forwards::default() };
    Routing { forwards, ..routing }
}

fn voicemail(office: &Office) -> Routing {
    office.to(Destination::Voicemail(UserId::new("bob").unwrap()), 0)
}

/// The mobile telephone registers, at another replica than the one that has the caller.
fn registers(office: &mut Office) -> Binding {
    let contact = Binding {
        replica: ReplicaId::new("s2").unwrap(),
        contact_uri: "sip:mobile@192.0.2.99".into(),
        ..office.registered("bob", &["mobile"]).bindings.remove(0)
    };
    let tenant = office.tenant.clone();
    let whose = (&contact.user, &contact.device);
    let step = office.shard.handle_device_state(&tenant, whose, std::slice::from_ref(&contact), office.now);
    office.take(step);
    contact
}

fn mobile(office: &Office) -> LegId {
    let legs = office.legs_of("bob").into_iter();
    let mut its =
        legs.filter(|leg| office.leg(*leg).party.device.as_ref().is_some_and(|it| it.as_str() == "mobile"));
    its.next().unwrap()
}

fn invited(office: &Office, leg: LegId) -> Option<(ReplicaId, Binding)> {
    office.commands.iter().find_map(|command| match &command.kind {
        LegCommandKind::Invite(invite) if command.leg == leg => {
            Some((command.replica.clone(), invite.binding.clone()))
        }
        _ => None,
    })
}

fn is_kept_by_the_snapshot(office: &Office) {
    let mut fresh = Shard::new(office.limits.clone(), [9; 32]);
    office.shard.snapshot().iter().for_each(|record| fresh.replay(record));
    assert_eq!(fresh.fold(), office.shard.fold());
}

fn records(office: &Office, leg: LegId) -> Cdr {
    let (mut fold, mut records) = (Fold::default(), Vec::new());
    for fact in office.log.iter().flat_map(|record| &record.facts) {
        fold.apply(fact);
        records.extend(Cdr::project(fact, &fold));
    }
    records.into_iter().find(|it| it.kind == CdrKind::Leg && it.leg == Some(leg)).unwrap()
}

#[test]
fn it_rings_where_it_registers_and_the_caller_hears_ringing_meanwhile() {
    let mut office = Office::new();
    let caller = office.call(sleeping(&office, &[]));
    office.serve();
    let bob = mobile(&office);
    assert_eq!((office.phase(bob), office.kinds(caller)), (LegPhase::Waking, vec!["ring"]));
    let decision = office.leg(bob).decision.clone().unwrap();
    assert_eq!(
        (decision.kind, decision.deadline),
        (DecisionKind::Waking, office.now + Duration::from_secs(30))
    );
    assert_eq!(office.leg(bob).node, None, "no port is taken for it yet");
    assert_eq!(office.looked_for.iter().map(|device| device.as_str()).collect::<Vec<_>>(), ["mobile"]);
    is_kept_by_the_snapshot(&office);
    let may = office.shard.fold().capabilities(bob);
    assert!(may.contains(Capability::Reject) && may.contains(Capability::PickedUp));
    assert!(!may.contains(Capability::Answer), "there is no telephone that could take the call by itself");

    office.pass(10);
    let contact = registers(&mut office);
    office.serve();
    assert_eq!(invited(&office, bob), Some((contact.replica.clone(), contact)));
    assert_eq!((office.phase(bob), office.leg(bob).is_asleep()), (LegPhase::Waking, false));
    is_kept_by_the_snapshot(&office);
    // A refresh of its registration rings it no second time.
    let commands = office.commands.len();
    registers(&mut office);
    assert_eq!(office.commands.len(), commands);
    office.rings(bob);
    assert_eq!(office.phase(bob), LegPhase::Ringing);
    // The time to wake up is over, and it rings.
    office.pass(25);
    office.answers(bob);
    assert_eq!((office.leg(caller).peer, office.kinds(caller)), (Some(bob), vec!["ring", "answer"]));
    assert_eq!(office.woken, ["woken"]);
    is_kept_by_the_snapshot(&office);
    office.signal(bob, ended(Cause::Normal, 200));
    let cdr = records(&office, bob);
    assert!(cdr.was_asleep && cdr.woken_at.is_some_and(|at| at > cdr.started_at));
}

#[test]
fn who_does_not_wake_up_has_not_answered() {
    for (no_answer, unregistered, goes) in [(true, false, true), (false, true, true), (false, false, false)] {
        let mut office = Office::new();
        let rule = |wanted: bool| wanted.then(|| voicemail(&office));
        let routing = then(sleeping(&office, &[]), rule(no_answer), rule(unregistered));
        let caller = office.call(routing);
        let bob = mobile(&office);
        office.pass(29);
        assert_eq!(office.phase(bob), LegPhase::Waking);
        office.pass(1);
        office.serve();
        assert_eq!((office.cause(bob), office.woken.as_slice()), (Some(Cause::NoAnswer), &["expired"][..]));
        let served = office.leg(caller).served_by.is_some();
        assert_eq!((served, office.end_of(caller)), (goes, (!goes).then_some(Cause::NoAnswer)));
        let cdr = records(&office, bob);
        assert!(cdr.was_asleep && cdr.woken_at.is_none());
        // Too late.
        registers(&mut office);
        assert_eq!(invited(&office, bob), None);
    }
}

#[test]
fn another_device_answers_first() {
    let mut office = Office::new();
    let caller = office.call(sleeping(&office, &["desk"]));
    office.serve();
    let asleep = mobile(&office);
    let desk = office.legs_of("bob").into_iter().find(|leg| *leg != asleep).unwrap();
    office.answers(desk);
    assert_eq!((office.leg(caller).peer, office.cause(asleep)), (Some(desk), Some(Cause::AnsweredElsewhere)));
    assert_eq!(office.woken, ["given_up"]);
    registers(&mut office);
    assert_eq!(invited(&office, asleep), None);
}

#[test]
fn while_one_device_wakes_up_another_that_declines_does_not_end_the_call() {
    let mut office = Office::new();
    let caller = office.call(sleeping(&office, &["desk"]));
    office.serve();
    let asleep = mobile(&office);
    let desk = office.legs_of("bob").into_iter().find(|leg| *leg != asleep).unwrap();
    office.signal(desk, ended(Cause::Busy, 486));
    assert_eq!((office.end_of(caller), office.phase(asleep)), (None, LegPhase::Waking));
    registers(&mut office);
    office.serve();
    office.answers(asleep);
    assert_eq!(office.leg(caller).peer, Some(asleep));
}

#[test]
fn the_caller_gives_up_or_an_application_ends_or_sends_on_the_call() {
    let mut office = Office::new();
    let caller = office.call(sleeping(&office, &[]));
    let bob = mobile(&office);
    office.signal(caller, ended(Cause::Cancelled, 487));
    assert_eq!(office.cause(bob), Some(Cause::Cancelled));
    assert_eq!(office.call_cause(bob), Some(Cause::Cancelled));

    for hang_up in [true, false] {
        let mut office = Office::new();
        let caller = office.call(sleeping(&office, &[]));
        let bob = mobile(&office);
        let kind = match hang_up {
            true => CallCommandKind::HangUpLeg { leg: bob },
            false => CallCommandKind::Reject { leg: bob },
        };
        office.does(kind).unwrap();
        assert!(office.cause(bob).is_some() && office.end_of(caller).is_some());
        assert!(!office.commands.iter().any(|command| command.leg == bob), "no replica knows it");
    }

    let mut office = Office::new();
    let caller = office.call(sleeping(&office, &[]));
    let (bob, to) = (mobile(&office), voicemail(&office));
    office.does_to(CallCommandKind::Overflow { leg: caller }, Routing::default(), to).unwrap();
    office.serve();
    assert_eq!(office.cause(bob), Some(Cause::Diverted));
    assert!(matches!(office.leg(caller).served_by, Some(Destination::Voicemail(_))));
}

#[test]
fn somebody_else_takes_the_call() {
    let mut office = Office::new();
    let caller = office.call(sleeping(&office, &[]));
    let bob = mobile(&office);
    let carol = office.registered("carol", &["desk"]);
    let by = sidetone_model::call::DeviceOf { user: "carol".parse().unwrap(), device: None };
    office.does_to(CallCommandKind::PickUp { leg: bob, by }, carol, Routing::default()).unwrap();
    office.serve();
    let taker = office.legs_of("carol")[0];
    office.answers(taker);
    assert_eq!((office.leg(caller).peer, office.cause(bob)), (Some(taker), Some(Cause::Diverted)));
}

#[test]
fn a_restart_changes_neither_the_leg_nor_its_deadline() {
    for wakes in [true, false] {
        let mut office = Office::new();
        let caller = office.call(sleeping(&office, &[]));
        office.serve();
        let bob = mobile(&office);
        let before = office.leg(bob).clone();
        office.pass(10);
        office.restart();
        office.hello(office.boot, &[caller]);
        office.node_holds(&[held(caller)]);
        // Longer than anything missing is waited for.
        office.pass(15);
        assert_eq!(office.leg(bob), &before);
        if wakes {
            let contact = registers(&mut office);
            office.serve();
            assert_eq!(invited(&office, bob), Some((contact.replica.clone(), contact)));
            let shard = office.shard.fold();
            assert_eq!(shard.leg(bob).unwrap().node, shard.leg(caller).unwrap().node, "where the caller is");
            office.answers(bob);
            assert_eq!(office.leg(caller).peer, Some(bob));
        } else {
            office.pass(4);
            assert_eq!(office.phase(bob), LegPhase::Waking);
            office.pass(1);
            assert_eq!(
                (office.cause(bob), office.end_of(caller)),
                (Some(Cause::NoAnswer), Some(Cause::NoAnswer))
            );
        }
    }
}

#[test]
fn a_rule_that_lets_it_ring_for_less_ends_the_waiting() {
    let mut office = Office::with(Limits { hunt_timeout: Duration::from_secs(100), ..Limits::default() });
    let voicemail = voicemail(&office);
    let mut routing = then(sleeping(&office, &[]), Some(voicemail), None);
    routing.forwards.no_answer_after = Some(Duration::from_secs(12));
    let caller = office.call(routing);
    office.pass(11);
    assert_eq!(office.leg(caller).served_by, None);
    office.pass(1);
    office.serve();
    assert!(office.leg(caller).served_by.is_some());
    assert_eq!(office.woken, ["given_up"]);
}

#[test]
fn the_telephone_of_whoever_makes_a_call_is_woken_too() {
    let mut office = Office::new();
    let own = sleeping(&office, &[]);
    let to = office.registered("carol", &["desk"]);
    let kind = CallCommandKind::Place {
        from: own.destination.clone().unwrap(),
        from_number: "101".into(),
        to: to.destination.clone().unwrap(),
        to_number: "102".into(),
        options: PlaceOptions::default(),
    };
    office.does_to(kind, own, to).unwrap();
    let bob = mobile(&office);
    assert_eq!(office.phase(bob), LegPhase::Waking);
    office.pass(5);
    registers(&mut office);
    office.serve();
    office.answers(bob);
    office.serve();
    let carol = office.legs_of("carol")[0];
    office.answers(carol);
    assert_eq!(office.leg(bob).peer, Some(carol));
    assert!(office.requests.iter().all(|(_, request)| !matches!(request, MediaRequest::StopPlay { .. })));
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::LegWoken { .. })), 1);
}
