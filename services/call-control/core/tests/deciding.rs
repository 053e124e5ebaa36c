//! Callers who wait for an application: for a time, and what becomes of them then.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use std::time::Duration;

use kit::{Office, ended, held};
use sidetone_call_core::{Forwards, Later, Limits, Routing, Shard};
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Cdr, CdrKind, Fold, LegPhase};
use sidetone_model::ids::{LegId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Outcome};

fn voicemail() -> Destination {
    Destination::Voicemail(UserId::new("bob").unwrap())
}

/// A number at which callers wait, and then go elsewhere.
fn waits(office: &Office, then: Option<Routing>) -> Routing {
    let no_answer = then.map(|routing| Box::new(Later { number: "900".into(), routing }));
    let forwards = Forwards { no_answer, ..Forwards::default() };
    Routing { forwards, ..office.to(Destination::Wait, 0) }
}

fn answers(office: &mut Office, leg: LegId, to: Routing) {
    let kind = CallCommandKind::Answer { leg, to: to.destination.clone().unwrap(), to_number: "200".into() };
    office.does_to(kind, Routing::default(), to).unwrap();
    office.serve();
}

fn closed(office: &Office) -> Vec<bool> {
    let one = |kind: &FactKind| match kind {
        FactKind::DecisionClosed { expired, .. } => Some(*expired),
        _ => None,
    };
    office.happened_since(0).into_iter().filter_map(one).collect()
}

fn is_kept_by_the_snapshot(office: &Office) {
    let mut fresh = Shard::new(office.limits.clone(), [9; 32]);
    office.shard.snapshot().iter().for_each(|record| fresh.replay(record));
    assert_eq!(fresh.fold(), office.shard.fold());
    assert_eq!(fresh.poll_timeout().map(|(at, _)| at), office.shard.poll_timeout().map(|(at, _)| at));
}

#[test]
fn about_whom_nobody_decides_is_served_as_the_tenant_wants_it() {
    let mut office = Office::new();
    let to = office.to(voicemail(), 0);
    let caller = office.call(waits(&office, Some(to)));
    let decision = office.leg(caller).decision.clone().unwrap();
    assert_eq!(
        (decision.deadline, decision.fallback),
        (office.now + Duration::from_secs(120), Some(voicemail()))
    );
    assert_eq!(office.shard.poll_timeout().map(|(at, _)| at), Some(decision.deadline));
    is_kept_by_the_snapshot(&office);
    office.pass(119);
    assert_eq!((office.phase(caller), closed(&office)), (LegPhase::Waiting, vec![]));
    office.pass(1);
    office.serve();
    assert_eq!(office.leg(caller).served_by, Some(voicemail()));
    assert_eq!((office.leg(caller).decision.clone(), closed(&office)), (None, vec![true]));

    // Nobody at all is there.
    let mut office = Office::new();
    let caller = office.call(waits(&office, None));
    office.pass(120);
    assert_eq!((office.end_of(caller), closed(&office)), (Some(Cause::Unavailable), vec![true]));
}

#[test]
fn phones_ring_then_too() {
    let mut office = Office::new();
    let to = office.registered("carol", &["desk"]);
    let caller = office.call(waits(&office, Some(to)));
    office.pass(120);
    office.serve();
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.answers(carol);
    assert_eq!(office.leg(caller).peer, Some(carol));
}

#[test]
fn what_is_decided_in_time_stands() {
    let mut office = Office::new();
    let to = office.to(voicemail(), 0);
    let answered = office.call(waits(&office, Some(to.clone())));
    let echo = office.to(Destination::Echo, 0);
    answers(&mut office, answered, echo);
    let rings = office.call(waits(&office, Some(to.clone())));
    let bob = office.registered("bob", &["desk"]);
    answers(&mut office, rings, bob);
    let deflected = office.call(waits(&office, Some(to.clone())));
    office.does(CallCommandKind::Deflect { leg: deflected, numbers: vec!["300".into()] }).unwrap();
    let left = office.call(waits(&office, Some(to)));
    office.signal(left, ended(Cause::Cancelled, 487));
    assert_eq!(closed(&office), [false; 3]);
    // It rings on for as long as phones ring, and then the caller hears why; nobody goes to the voicemail.
    office.pass(120);
    office.serve();
    assert_eq!(office.leg(answered).served_by, Some(Destination::Echo));
    assert_eq!([rings, deflected, left].map(|leg| office.leg(leg).served_by.clone()), [None, None, None]);
    assert_eq!(closed(&office), [false; 3]);
}

#[test]
fn a_restart_changes_neither_the_deadline_nor_the_machine_behind_it() {
    for (to_user, end) in [(false, None), (true, Some(Cause::Unavailable))] {
        let mut office = Office::new();
        let to = if to_user { office.registered("carol", &["desk"]) } else { office.to(voicemail(), 0) };
        let caller = office.call(waits(&office, Some(to)));
        office.pass(100);
        office.restart();
        office.hello(office.boot, &[caller]);
        office.node_holds(&[held(caller)]);
        office.serve();
        office.pass(19);
        assert_eq!((office.phase(caller), office.end_of(caller)), (LegPhase::Waiting, None));
        office.pass(1);
        office.serve();
        assert_eq!(office.end_of(caller), end);
        assert_eq!(office.leg(caller).served_by, (!to_user).then(voicemail));
    }
}

#[test]
fn without_a_limit_a_caller_waits_until_somebody_decides() {
    let mut office = Office::with(Limits { wait_max: Duration::ZERO, ..Limits::default() });
    let to = office.to(voicemail(), 0);
    let caller = office.call(waits(&office, Some(to)));
    office.pass(100_000);
    assert_eq!((office.phase(caller), office.end_of(caller)), (LegPhase::Waiting, None));
}

/// What the records of a call and of its one leg say.
fn records(office: &Office) -> Vec<(CdrKind, Cause, Outcome)> {
    let (mut fold, mut records) = (Fold::default(), Vec::new());
    for fact in office.log.iter().flat_map(|record| &record.facts) {
        fold.apply(fact);
        records.extend(Cdr::project(fact, &fold));
    }
    records.iter().map(|it| (it.kind, it.termination.cause, it.termination.cause.outcome())).collect()
}

#[test]
fn the_record_of_a_caller_who_is_not_let_in_says_who_did_not_want_it() {
    for of_call in [false, true] {
        let mut office = Office::new();
        let caller = office.call(waits(&office, None));
        let call = office.leg(caller).call;
        let refuse = match of_call {
            true => CallCommandKind::HangUpCall { call },
            false => CallCommandKind::HangUpLeg { leg: caller },
        };
        office.does(refuse).unwrap();
        office.hang_up_as_told();
        let refused = (Cause::Rejected, Outcome::Client);
        assert_eq!(
            records(&office),
            [(CdrKind::Leg, refused.0, refused.1), (CdrKind::Call, refused.0, refused.1)]
        );
    }
    // Who gives up did so by itself.
    let mut office = Office::new();
    let caller = office.call(waits(&office, None));
    office.signal(caller, ended(Cause::Cancelled, 487));
    let gave_up = (Cause::Cancelled, Outcome::Client);
    assert_eq!(
        records(&office),
        [(CdrKind::Leg, gave_up.0, gave_up.1), (CdrKind::Call, gave_up.0, gave_up.1)]
    );
    // And a call that was answered is hung up by an application as ever.
    let mut office = Office::new();
    let (caller, _) = office.talk();
    office.does(CallCommandKind::HangUpLeg { leg: caller }).unwrap();
    office.hang_up_as_told();
    assert_eq!(office.cause(caller), Some(Cause::Application));
}
