//! A phone that has registered over several flows (RFC 5626) is called over the next when one is dead.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{Later, OtherFlow, Routing};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::LegId;
use sidetone_model::party::Binding;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

fn over(binding: &Binding, flow: u16) -> Binding {
    let mut other = binding.clone();
    other.flow.remote.set_port(flow);
    other
}

/// Bob's desk phone over three flows.
fn bob(office: &Office) -> Routing {
    let mut routing = office.registered("bob", &["desk"]);
    let first = routing.bindings[0].clone();
    let other = |flow| OtherFlow { instead_of: first.clone(), binding: over(&first, flow) };
    routing.other_flows = vec![other(2), other(3)];
    routing
}

fn live(office: &Office) -> Vec<LegId> {
    office.legs_of("bob").into_iter().filter(|leg| office.leg(*leg).is_live()).collect()
}

/// Over which flow a leg's INVITE went.
fn flow(office: &Office, leg: LegId) -> u16 {
    let sent = office.commands.iter().filter(|command| command.leg == leg);
    let mut ports = sent.filter_map(|command| match &command.kind {
        LegCommandKind::Invite(invite) => Some(invite.binding.flow.remote.port()),
        _ => None,
    });
    ports.next().unwrap()
}

/// Something that happens to a leg without a response.
fn broken(cause: Cause) -> LegSignalKind {
    LegSignalKind::Ended(Termination::new(cause))
}

#[test]
fn a_dead_flow_is_left_for_the_next_and_the_caller_hears_nothing_of_it() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    for (dead, next) in [(ended(Cause::TransportFailure, 430), 2), (broken(Cause::TransportFailure), 3)] {
        let leg = live(&office)[0];
        office.signal(leg, dead);
        office.serve();
        assert_eq!(live(&office).len(), 1);
        assert_eq!(flow(&office, live(&office)[0]), next);
        assert!(office.leg(alice).is_live());
    }
    let last = live(&office)[0];
    office.answers(last);
    assert_eq!(office.leg(alice).peer, Some(last));
}

#[test]
fn when_the_last_flow_is_dead_the_caller_is_told() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    for _ in 0..3 {
        let leg = live(&office)[0];
        office.signal(leg, ended(Cause::TransportFailure, 430));
        office.serve();
    }
    assert_eq!(live(&office), []);
    assert!(office.end_of(alice).is_some());
}

#[test]
fn what_the_phone_says_is_said_for_all_its_flows() {
    for (cause, status) in [(Cause::Busy, 486), (Cause::Rejected, 603), (Cause::Unavailable, 480)] {
        let mut office = Office::new();
        let routing = bob(&office);
        let alice = office.dial("alice", "desk", routing);
        let leg = live(&office)[0];
        office.signal(leg, ended(cause, status));
        assert_eq!(live(&office), []);
        assert_eq!(office.end_of(alice), Some(cause));
    }
}

#[test]
fn a_flow_that_says_nothing_is_left_after_seconds_and_one_that_rings_is_not() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    let first = live(&office)[0];
    office.pass(3);
    assert_eq!(live(&office), [first]);
    office.pass(2);
    let silent =
        office.commands.iter().any(|it| it.leg == first && matches!(it.kind, LegCommandKind::End(_)));
    assert!(silent, "the silent one is given up");
    office.signal(first, broken(Cause::Timeout));
    office.serve();
    let next = live(&office)[0];
    assert_eq!((live(&office).len(), flow(&office, next)), (1, 2));
    office.rings(next);
    office.pass(10);
    assert_eq!(live(&office), [next], "it rings, and is left in peace");
    office.answers(next);
    assert_eq!(office.leg(alice).peer, Some(next));
}

#[test]
fn a_caller_who_leaves_is_called_for_over_no_other_flow() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    let first = live(&office)[0];
    office.signal(alice, ended(Cause::Cancelled, 487));
    office.signal(first, broken(Cause::TransportFailure));
    office.serve();
    office.pass(10);
    assert_eq!(live(&office), []);
}

#[test]
fn those_behind_it_wait_until_all_its_flows_have_failed() {
    let mut office = Office::new();
    let mut routing = bob(&office);
    routing.other_flows.pop();
    routing.later = vec![Later { number: "".into(), routing: office.registered("bob", &["mobile"]) }];
    office.dial("alice", "desk", routing);
    let device = |office: &Office| office.leg(live(office)[0]).party.device.as_ref().unwrap().to_string();
    for expected in ["desk", "mobile"] {
        let leg = live(&office)[0];
        office.signal(leg, ended(Cause::TransportFailure, 430));
        office.serve();
        assert_eq!((live(&office).len(), device(&office).as_str()), (1, expected));
    }
}

/// So that signalling knows it before anybody has told: what it sends to HOMER of both legs bears it.
#[test]
fn a_call_that_comes_in_has_the_id_of_its_first_leg_and_every_further_leg_is_told() {
    let mut office = Office::new();
    let routing = bob(&office);
    let alice = office.dial("alice", "desk", routing);
    let call = office.leg(alice).call;
    assert_eq!(call.as_uuid(), alice.as_uuid());
    let told = office.commands.iter().find_map(|command| match &command.kind {
        LegCommandKind::Invite(invite) => Some(invite.call),
        _ => None,
    });
    assert_eq!(told, Some(Some(call)));
}
