//! The life of wake-ups, on a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use proptest::prelude::*;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::time::Timestamp;
use sidetone_push_core::{
    Admission, Backoff, CancelReason, DeadReason, Key, Kind, Limits, Outcome, Refusal, Report, Request,
    State, WakeUps,
};

const RETRY: Outcome = Outcome::Retryable { retry_after: None };

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + ms)
}

fn key(tenant: &str, n: u32) -> Key {
    let push = format!("0190a5a0-0000-7000-8000-{n:012}").parse().unwrap();
    Key { tenant: TenantId::new(tenant).unwrap(), push }
}

fn request(tenant: &str, n: u32, deadline_ms: u64) -> Request {
    Request {
        key: key(tenant, n),
        user: UserId::new("anna").unwrap(),
        device: DeviceId::new("phone").unwrap(),
        call: "0190a5a0-0000-7000-8000-0000000000ca".parse().unwrap(),
        sip_call_id: "".into(),
        caller_name: "Bert".into(),
        deadline: at(deadline_ms),
    }
}

fn report(outcome: Outcome) -> Report {
    Report { outcome, status: 0, took: Duration::ZERO }
}

fn machine(limits: Limits) -> WakeUps {
    WakeUps::new(limits, Backoff::default(), [7; 32])
}

fn accept(machine: &mut WakeUps, request: Request, now: Timestamp) {
    let key = request.key.clone();
    assert_eq!(machine.handle_wake(request, now), Ok(Admission::Store));
    save(machine, &key);
}

fn save(machine: &mut WakeUps, key: &Key) {
    if let Some(written) = machine.get(key).cloned() {
        machine.handle_stored(&written);
    }
}

fn state(machine: &WakeUps, key: &Key) -> State {
    machine.get(key).unwrap().state
}

#[test]
fn nothing_is_sent_before_it_is_stored_and_a_repetition_is_answered_alike() {
    let mut machine = machine(Limits::default());
    let wake = request("a", 1, 10_000);
    assert_eq!(machine.handle_wake(wake.clone(), at(0)), Ok(Admission::Store));
    assert_eq!(machine.handle_wake(wake.clone(), at(0)), Ok(Admission::Store));
    assert_eq!(machine.poll_attempt(at(0)), None);
    save(&mut machine, &wake.key);
    assert_eq!(machine.handle_wake(wake.clone(), at(0)), Ok(Admission::Known));
    let other = Request { caller_name: "Carl".into(), ..wake.clone() };
    assert_eq!(machine.handle_wake(other, at(0)), Err(Refusal::OtherBody));
    assert_eq!(machine.poll_attempt(at(0)).unwrap().kind, Kind::Wake);
    assert_eq!(machine.poll_attempt(at(0)), None);
    let ended = machine.handle_report(&wake.key, report(Outcome::Delivered), at(40)).unwrap();
    assert_eq!((ended.state, ended.after), (State::Delivered, Duration::from_millis(40)));
    assert!(!machine.forget(&wake.key), "forgotten before the ledger has its end");
    save(&mut machine, &wake.key);
    assert!(machine.forget(&wake.key));
    assert_eq!((machine.open(), machine.poll_timeout()), (0, None));
}

#[test]
fn an_entry_that_could_not_be_stored_leaves_nothing_behind() {
    let mut machine = machine(Limits::default());
    let wake = request("a", 1, 10_000);
    machine.handle_wake(wake.clone(), at(0)).unwrap();
    machine.handle_not_stored(&wake.key);
    assert_eq!((machine.open(), machine.poll_timeout(), machine.get(&wake.key)), (0, None, None));
}

#[test]
fn waits_double_within_their_spread_until_the_deadline_would_pass() {
    let mut machine = machine(Limits::default());
    accept(&mut machine, request("a", 1, 10_000), at(0));
    let mut now = at(0);
    for nominal_ms in [500, 1_000, 2_000, 4_000] {
        machine.poll_attempt(now).unwrap();
        assert_eq!(machine.handle_report(&key("a", 1), report(RETRY), now), None);
        let next = machine.get(&key("a", 1)).unwrap().next.unwrap().at;
        let wait = next.since(now).as_millis() as u64;
        assert!((nominal_ms / 2..=nominal_ms).contains(&wait), "{wait} ms instead of {nominal_ms}");
        assert_eq!(machine.poll_attempt(Timestamp::from_millis(next.as_millis() - 1)), None);
        now = next;
    }
    machine.poll_attempt(now).unwrap();
    let asked = Outcome::Retryable { retry_after: Some(Duration::from_secs(60)) };
    let ended = machine.handle_report(&key("a", 1), report(asked), now).unwrap();
    assert_eq!(ended.state, State::Dead(DeadReason::Deadline));
}

#[test]
fn attempts_are_limited_and_a_dead_letter_can_be_replayed() {
    let mut machine = machine(Limits { attempts_max: 1, ..Limits::default() });
    accept(&mut machine, request("a", 1, 10_000), at(0));
    machine.poll_attempt(at(0)).unwrap();
    machine.handle_report(&key("a", 1), report(RETRY), at(0)).unwrap();
    assert_eq!(state(&machine, &key("a", 1)), State::Dead(DeadReason::Attempts));
    machine.handle_replay(&key("a", 1), at(30_000), at(20_000)).unwrap();
    machine.handle_replay(&key("a", 1), at(30_000), at(20_000)).unwrap();
    assert_eq!(machine.handle_replay(&key("a", 1), at(40_000), at(20_000)), Err(Refusal::NotDead));
    assert_eq!(machine.poll_attempt(at(20_000)).unwrap().deadline, at(30_000));
    machine.handle_report(&key("a", 1), report(Outcome::Delivered), at(20_000)).unwrap();
    assert_eq!(machine.get(&key("a", 1)).unwrap().attempts.len(), 2);
}

#[test]
fn a_deadline_ends_it_once_even_when_the_attempt_ends_later() {
    let mut machine = machine(Limits::default());
    accept(&mut machine, request("a", 1, 1_000), at(0));
    machine.poll_attempt(at(0)).unwrap();
    assert!(machine.handle_timeout(at(999)).is_empty());
    let over = machine.handle_timeout(at(1_000));
    assert_eq!(over[0].1.unwrap().state, State::Dead(DeadReason::Deadline));
    assert_eq!(machine.handle_report(&key("a", 1), report(Outcome::Delivered), at(1_001)), None);
    assert_eq!(state(&machine, &key("a", 1)), State::Delivered);
    assert_eq!(machine.handle_wake(request("a", 2, 0), at(1)), Err(Refusal::DeadlinePassed));
    assert_eq!(machine.handle_wake(request("a", 2, 60_002), at(1)), Err(Refusal::DeadlineTooFar));
}

#[test]
fn cancelling_tells_only_devices_that_may_have_been_told() {
    let cancel = |machine: &mut WakeUps| {
        machine.handle_cancel(&key("a", 1), CancelReason::AnsweredElsewhere, at(10)).unwrap();
        machine.handle_cancel(&key("a", 1), CancelReason::Cancelled, at(10)).unwrap();
        assert_eq!(state(machine, &key("a", 1)), State::Cancelled(CancelReason::AnsweredElsewhere));
    };
    // Before the first attempt: nothing is sent.
    let mut unsent = machine(Limits::default());
    accept(&mut unsent, request("a", 1, 9_000), at(0));
    cancel(&mut unsent);
    assert_eq!((unsent.poll_attempt(at(5_000)), unsent.open()), (None, 0));
    // During an attempt: the device is told after it, unless it was refused.
    for (outcome, told) in
        [(Outcome::Delivered, true), (RETRY, true), (Outcome::Permanent(DeadReason::Refused), false)]
    {
        let mut racing = machine(Limits::default());
        accept(&mut racing, request("a", 1, 9_000), at(0));
        racing.poll_attempt(at(0)).unwrap();
        cancel(&mut racing);
        assert_eq!(racing.poll_attempt(at(20)), None, "two messages at once");
        racing.handle_report(&key("a", 1), report(outcome), at(30));
        let next = racing.poll_attempt(at(30)).map(|order| order.kind);
        assert_eq!(next, told.then_some(Kind::Cancel), "{outcome:?}");
    }
    // After a restart it is not known whether an attempt was under way.
    let mut before = machine(Limits::default());
    accept(&mut before, request("a", 1, 9_000), at(0));
    let mut after = machine(Limits::default());
    after.handle_loaded(before.get(&key("a", 1)).unwrap().clone());
    cancel(&mut after);
    assert_eq!(after.poll_attempt(at(10)).unwrap().kind, Kind::Cancel);
}

#[test]
fn bounds_are_kept_and_tenants_are_served_in_turn() {
    let limits = Limits {
        open_per_tenant_max: 2,
        open_max: 3,
        in_flight_per_tenant_max: 1,
        in_flight_max: 2,
        ..Limits::default()
    };
    let mut machine = machine(limits);
    accept(&mut machine, request("a", 1, 9_000), at(0));
    accept(&mut machine, request("a", 2, 9_000), at(0));
    assert_eq!(machine.handle_wake(request("a", 3, 9_000), at(0)), Err(Refusal::TenantFull));
    accept(&mut machine, request("b", 4, 9_000), at(0));
    assert_eq!(machine.handle_wake(request("c", 5, 9_000), at(0)), Err(Refusal::Full));
    let first = machine.poll_attempt(at(0)).unwrap().request.key.tenant;
    let second = machine.poll_attempt(at(0)).unwrap().request.key.tenant;
    assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
    assert_eq!((machine.poll_attempt(at(0)), machine.in_flight()), (None, 2));
}

proptest! {
    /// Whatever happens in whatever order: bounds hold, every end is told once, and in the end nothing is left open.
    #[test]
    fn any_walk_keeps_the_invariants(
        steps in prop::collection::vec((0u8..6, 0u32..6, 0u64..3_000), 1..120),
        seed in any::<[u8; 32]>(),
    ) {
        let limits = Limits { open_per_tenant_max: 3, open_max: 4, in_flight_max: 2, ..Limits::default() };
        let mut machine = WakeUps::new(limits, Backoff::default(), seed);
        let (mut now, mut flying, mut ends) = (0, Vec::<Key>::new(), std::collections::BTreeMap::new());
        for (step, n, passes) in steps {
            now += passes;
            let id = key(if n % 2 == 0 { "a" } else { "b" }, n);
            match step {
                0 | 1 => {
                    let wake = request(id.tenant.as_str(), n, now + 5_000);
                    if machine.handle_wake(wake, at(now)) == Ok(Admission::Store) {
                        prop_assert!(machine.open() <= 4);
                        save(&mut machine, &id);
                    }
                }
                2 => flying.extend(machine.poll_attempt(at(now)).map(|order| order.request.key)),
                3 if !flying.is_empty() => {
                    let landed = flying.remove(n as usize % flying.len());
                    let outcome = [Outcome::Delivered, RETRY, Outcome::Permanent(DeadReason::Refused)][n as usize % 3];
                    if machine.handle_report(&landed, report(outcome), at(now)).is_some() {
                        *ends.entry(landed).or_insert(0) += 1;
                    }
                }
                4 => drop(machine.handle_cancel(&id, CancelReason::Cancelled, at(now))),
                _ => {
                    for (over, ended) in machine.handle_timeout(at(now)) {
                        if ended.is_some() {
                            *ends.entry(over).or_insert(0) += 1;
                        }
                    }
                }
            }
            prop_assert_eq!(machine.in_flight(), flying.len());
            prop_assert!(flying.len() <= 2);
        }
        prop_assert!(ends.values().all(|count| *count == 1), "an end was told twice: {:?}", ends);
        machine.handle_timeout(at(now + 60_000));
        prop_assert_eq!(machine.open(), 0);
    }
}
