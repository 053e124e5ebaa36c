//! What records say of trunks, and of who answered; and by which number a telephone is shown that rings for whoever waited.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended, media};
use sidetone_call_core::{Forwards, Later, Routing, Shard};
use sidetone_model::call::AnsweredBy;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Cdr, CdrKind, Fold};
use sidetone_model::ids::{LegId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::signal::{LegSignal, LegSignalKind};
use sidetone_model::termination::Cause;

fn voicemail(office: &Office) -> Routing {
    office.to(Destination::Voicemail(UserId::new("bob").unwrap()), 0)
}

/// What the records say, oldest first, of a log and of what its snapshot folds to.
fn records(office: &Office) -> Vec<Cdr> {
    let (mut fold, mut records) = (Fold::default(), Vec::new());
    for fact in office.log.iter().flat_map(|record| &record.facts) {
        fold.apply(fact);
        records.extend(Cdr::project(fact, &fold));
    }
    records
}

fn is_kept_by_the_snapshot(office: &Office) {
    let mut fresh = Shard::new(office.limits.clone(), [9; 32]);
    office.shard.snapshot().iter().for_each(|record| fresh.replay(record));
    assert_eq!(fresh.fold(), office.shard.fold());
}

fn of_leg(office: &Office, leg: LegId) -> Cdr {
    records(office).into_iter().find(|it| it.kind == CdrKind::Leg && it.leg == Some(leg)).unwrap()
}

fn of_call(office: &Office) -> Cdr {
    records(office).into_iter().rfind(|it| it.kind == CdrKind::Call).unwrap()
}

/// A leg says something, and over which trunk it goes.
fn says(office: &mut Office, leg: LegId, n: u64, trunk: &str, kind: LegSignalKind) {
    let (boot, tenant, at) = (office.boot, office.tenant.clone(), office.now);
    let signal = LegSignal { boot, leg, tenant, n, at, trunk: Some(trunk.into()), kind };
    let step = office.shard.handle_signal(&office.replica.clone(), signal, None, office.now);
    office.take(step);
    office.serve();
}

#[test]
fn a_person_a_voicemail_an_announcement_and_a_room_are_told_apart() {
    let mut office = Office::new();
    let (caller, callee) = office.talk();
    is_kept_by_the_snapshot(&office);
    office.signal(callee, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!([caller, callee].map(|leg| of_leg(&office, leg).answered_by), [AnsweredBy::Person; 2]);
    assert_eq!(of_call(&office).answered_by, AnsweredBy::Person);

    let announcement = Destination::Announcement { prompt: "welcome".into(), repeat: 1 };
    for (to, by) in [
        (Destination::Voicemail(UserId::new("bob").unwrap()), AnsweredBy::Voicemail),
        (announcement, AnsweredBy::Announcement),
        (Destination::Echo, AnsweredBy::Echo),
        (office.to_room().destination.unwrap(), AnsweredBy::Room),
    ] {
        let mut office = Office::new();
        let caller = office.call(office.to(to, 0));
        office.serve();
        is_kept_by_the_snapshot(&office);
        office.signal(caller, ended(Cause::Normal, 200));
        assert_eq!((of_leg(&office, caller).answered_by, of_call(&office).answered_by), (by, by));
    }
}

#[test]
fn who_is_not_answered_is_answered_by_nobody_and_a_forwarded_call_by_the_voicemail() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(1));
    let callee = office.others(caller)[0];
    office.signal(caller, ended(Cause::Cancelled, 487));
    office.hang_up_as_told();
    assert_eq!([caller, callee].map(|leg| of_leg(&office, leg).answered_by), [AnsweredBy::Nobody; 2]);
    assert_eq!(of_call(&office).answered_by, AnsweredBy::Nobody);

    let mut office = Office::new();
    let rule = Some(Box::new(Later { number: "".into(), routing: voicemail(&office) }));
    let forwards = Forwards { busy: rule, ..Forwards::default() };
    let caller = office.call(Routing { forwards, ..office.to_user(1) });
    let callee = office.others(caller)[0];
    office.signal(callee, ended(Cause::Busy, 486));
    office.serve();
    office.signal(caller, ended(Cause::Normal, 200));
    assert_eq!(of_leg(&office, caller).answered_by, AnsweredBy::Voicemail);
    assert_eq!(of_leg(&office, callee).answered_by, AnsweredBy::Nobody);
    assert_eq!(of_call(&office).answered_by, AnsweredBy::Voicemail);
}

#[test]
fn the_assistant_is_told_apart_whatever_it_is_and_a_person_behind_it_counts_more() {
    let announcement = Destination::Announcement { prompt: "welcome".into(), repeat: 1 };
    for machine in [announcement, Destination::Echo, Destination::Voicemail(UserId::new("bob").unwrap())] {
        let mut office = Office::new();
        let caller = office.call(office.to(machine, 0).of_assistant());
        office.serve();
        is_kept_by_the_snapshot(&office);
        office.signal(caller, ended(Cause::Normal, 200));
        let by = AnsweredBy::Assistant;
        assert_eq!((of_leg(&office, caller).answered_by, of_call(&office).answered_by), (by, by));
    }

    // A program that is registered like a telephone; then it has passed the call on to a person.
    for passes_on in [false, true] {
        let mut office = Office::new();
        let caller = office.call(office.to_user(1).of_assistant());
        let assistant = office.others(caller)[0];
        office.answers(assistant);
        is_kept_by_the_snapshot(&office);
        if passes_on {
            let to = office.registered("carol", &["desk"]);
            let transfer =
                CallCommandKind::TransferBlind { leg: assistant, to_number: "1003".into(), anonymous: false };
            office.does_to(transfer, Routing::default(), to).unwrap();
            office.serve();
            office.hang_up_as_told();
            let carol = office.legs_of("carol")[0];
            office.answers(carol);
            is_kept_by_the_snapshot(&office);
        }
        office.signal(caller, ended(Cause::Normal, 200));
        office.hang_up_as_told();
        let by = if passes_on { AnsweredBy::Person } else { AnsweredBy::Assistant };
        assert_eq!((of_leg(&office, caller).answered_by, of_call(&office).answered_by), (by, by));
        assert_eq!(of_leg(&office, assistant).answered_by, AnsweredBy::Assistant);
    }

    // Whom a rule of the assistant's leads to is not the assistant.
    let mut office = Office::new();
    let rule = Some(Box::new(Later { number: "".into(), routing: voicemail(&office) }));
    let forwards = Forwards { busy: rule, ..Forwards::default() };
    let caller = office.call(Routing { forwards, ..office.to_user(1) }.of_assistant());
    let assistant = office.others(caller)[0];
    office.signal(assistant, ended(Cause::Busy, 486));
    office.serve();
    office.signal(caller, ended(Cause::Normal, 200));
    assert_eq!(of_call(&office).answered_by, AnsweredBy::Voicemail);
}

#[test]
fn a_call_that_an_application_makes_is_answered_by_whom_it_reaches() {
    for (to_voicemail, by) in [(true, AnsweredBy::Voicemail), (false, AnsweredBy::Nobody)] {
        let mut office = Office::new();
        let to = if to_voicemail { voicemail(&office) } else { office.registered("carol", &["desk"]) };
        office.place(to);
        let own = office.legs_of("bob")[0];
        office.answers(own);
        office.serve();
        is_kept_by_the_snapshot(&office);
        office.signal(own, ended(Cause::Normal, 200));
        office.hang_up_as_told();
        assert_eq!((of_leg(&office, own).answered_by, of_call(&office).answered_by), (by, by));
    }
}

#[test]
fn the_trunk_over_which_a_call_came_is_told_with_its_leg() {
    let mut office = Office::new();
    let (leg, offered) = (office.ids.make(office.now), office.offered(Some(media())));
    says(&mut office, leg, 1, "first", offered);
    let came = |kind: &FactKind| matches!(kind, FactKind::LegCreated { trunk, .. } if &**trunk == "first");
    assert_eq!(office.facts(came), 1);
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::LegRouted { .. })), 0, "it is told once");
    is_kept_by_the_snapshot(&office);
    says(&mut office, leg, 2, "first", ended(Cause::Normal, 200));
    assert_eq!(of_leg(&office, leg).trunk.as_deref(), Some("first"));
}

#[test]
fn the_trunk_of_a_leg_is_the_last_that_was_tried() {
    let mut office = Office::new();
    let leg = office.call(office.to_user(1));
    let out = office.others(leg)[0];
    says(&mut office, out, 1, "second", LegSignalKind::Progress { media: None });
    says(&mut office, out, 2, "second", LegSignalKind::Answered { media: Some(media()) });
    assert_eq!(office.leg(out).trunk.as_deref(), Some("second"));
    assert_eq!(office.facts(|kind| matches!(kind, FactKind::LegRouted { .. })), 1, "it is told once");
    is_kept_by_the_snapshot(&office);
    says(&mut office, out, 3, "second", ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!(of_leg(&office, out).trunk.as_deref(), Some("second"));
    assert_eq!((of_leg(&office, leg).trunk, of_call(&office).trunk), (None, None));

    // One whose every way failed says over which it went last.
    let mut office = Office::new();
    let leg = office.call(office.to_user(1));
    let out = office.others(leg)[0];
    says(&mut office, out, 1, "last", ended(Cause::Unavailable, 503));
    assert_eq!(of_leg(&office, out).trunk.as_deref(), Some("last"));
}

#[test]
fn whoever_rings_for_a_caller_who_waited_is_shown_by_the_own_number() {
    let mut office = Office::new();
    let waits = office.to(Destination::Wait, 0);
    let caller = office.call(waits);
    let to = office.registered("carol", &["desk"]);
    let kind = CallCommandKind::Answer {
        leg: caller,
        to: to.destination.clone().unwrap(),
        to_number: "1003".into(),
    };
    office.does_to(kind, Routing::default(), to).unwrap();
    office.serve();
    let carol = office.legs_of("carol")[0];
    assert_eq!(&*office.leg(carol).party.number, "1003");
    let call = office.shard.fold().call(office.leg(caller).call).unwrap();
    assert_ne!(&*call.dialled, "1003", "the call was made to another");

    // The same of whom the tenant's rule leads to when no application decides.
    let mut office = Office::new();
    let next = Later { number: "900".into(), routing: office.registered("carol", &["desk"]) };
    let forwards = Forwards { no_answer: Some(Box::new(next)), ..Forwards::default() };
    office.call(Routing { forwards, ..office.to(Destination::Wait, 0) });
    office.pass(120);
    office.serve();
    assert_eq!(&*office.leg(office.legs_of("carol")[0]).party.number, "900");
}
