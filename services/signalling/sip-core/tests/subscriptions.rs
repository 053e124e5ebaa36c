//! One subscription (RFC 6665, section 4.2) on a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::time::{Duration, Instant};

use sidetone_model::ids::{IdSource, LegId};
use sidetone_model::party::{Flow, Transport};
use sidetone_model::time::Timestamp;
use sidetone_model::watch::{DialogPhase, UserDialog, UserState};
use sidetone_sip_core::events::{
    EndReason, Granted, NotifyFailure, Package, SubscribeError, Subscription, SubscriptionPolicy,
    SubscriptionSetup,
};
use sidetone_sip_core::message::{Limits, Message, Request, Status, parse_datagram};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::Failure;

const POLICY: SubscriptionPolicy = SubscriptionPolicy { expires_min_s: 60, expires_max_s: 3600 };
const WALL: Timestamp = Timestamp::from_millis(1_000_000);

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has to begin somewhere; time does not pass by itself here"
)]
fn start() -> Instant {
    Instant::now()
}

fn flow(transport: Transport, port: u16) -> Flow {
    let local = "192.0.2.1:5060".parse().unwrap();
    Flow { transport, local, remote: ([192, 0, 2, 9], port).into() }
}

fn subscribe(cseq: u32, to_tag: &str, lines: &str) -> Request {
    let text = format!(
        "SUBSCRIBE sip:1001@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{cseq}\r\n\
         From: <sip:1001@example.com>;tag=phone\r\nTo: <sip:1001@example.com>{to_tag}\r\nCall-ID: sub\r\n\
         CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:1001@192.0.2.9:5060>\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    match parse_datagram(text.into(), &Limits::default()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

fn begun(transport: Transport, lines: &str, now: Instant) -> Result<(Subscription, Granted), SubscribeError> {
    let advertised = "192.0.2.1:5060".parse().unwrap();
    let setup = SubscriptionSetup { flow: flow(transport, 5060), advertised, product: "test".into() };
    let request = subscribe(1, "", &format!("Event: message-summary;id=7\r\n{lines}"));
    Subscription::new(setup, &request, &POLICY, &mut Tokens::seeded([1; 32]), now)
}

fn refresh(it: &mut Subscription, cseq: u32, lines: &str, now: Instant) -> Result<Granted, SubscribeError> {
    let tag = format!(";tag={}", it.local_tag());
    let request = subscribe(cseq, &tag, &format!("Event: message-summary;id=7\r\n{lines}"));
    let (flow, advertised) = (it.flow().clone(), "192.0.2.1:5060".parse().unwrap());
    it.handle_subscribe(&request, (&flow, advertised), &POLICY, now)
}

fn messages(new: u32) -> UserState {
    UserState::Messages { new, old: 0 }
}

fn text(notify: &Request) -> (String, String) {
    let body = String::from_utf8(notify.body().to_vec()).unwrap();
    (notify.header("Subscription-State").unwrap(), body)
}

fn after(now: Instant, ms: u64) -> Instant {
    now + Duration::from_millis(ms)
}

#[test]
fn the_first_notify_waits_a_second_at_most_for_the_state() {
    let t0 = start();
    let (mut it, granted) = begun(Transport::Udp, "Expires: 600\r\n", t0).unwrap();
    assert_eq!(granted.expires_s, 600);
    assert!(it.poll_notify(t0).is_none(), "nothing is known yet");
    assert_eq!(it.poll_timeout(), Some(after(t0, 1000)));
    let notify = it.poll_notify(after(t0, 1000)).unwrap();
    assert_eq!(text(&notify), ("active;expires=599".to_owned(), String::new()));
    assert_eq!(notify.header("Event").as_deref(), Some("message-summary;id=7"));
    it.set_state(messages(1));
    assert!(it.poll_notify(after(t0, 5000)).is_none(), "one at a time");
    it.handle_response(Status::OK, t0);
    let second = it.poll_notify(after(t0, 5000)).unwrap();
    assert!(text(&second).1.contains("Voice-Message: 1/0"));
    assert_eq!(second.cseq(), notify.cseq() + 1);
}

#[test]
fn changes_are_told_no_faster_than_twice_a_second_and_the_last_wins() {
    let t0 = start();
    let (mut it, _) = begun(Transport::Udp, "", t0).unwrap();
    it.set_state(messages(0));
    assert!(it.poll_notify(t0).is_some());
    it.handle_response(Status::OK, t0);
    for new in 1..10 {
        it.set_state(messages(new));
    }
    assert!(it.poll_notify(after(t0, 499)).is_none());
    assert_eq!(it.poll_timeout(), Some(after(t0, 500)));
    let told = it.poll_notify(after(t0, 500)).unwrap();
    assert!(text(&told).1.contains("Voice-Message: 9/0"));
    it.handle_response(Status::OK, t0);
    it.set_state(messages(8));
    it.set_state(messages(9));
    // What has become again what was told may be told again, and is not told twice.
    assert!(it.poll_notify(after(t0, 1000)).is_some_and(|again| text(&again).1.contains("9/0")));
    it.handle_response(Status::OK, t0);
    assert!(it.poll_notify(after(t0, 9000)).is_none());
}

#[test]
fn time_runs_out_unless_it_is_refreshed() {
    let t0 = start();
    let (mut it, _) = begun(Transport::Udp, "Expires: 60\r\n", t0).unwrap();
    it.set_state(messages(2));
    it.poll_notify(t0).unwrap();
    it.handle_response(Status::OK, t0);
    let at = t0 + Duration::from_secs(59);
    assert_eq!(refresh(&mut it, 2, "Expires: 99999\r\n", at), Ok(Granted { expires_s: 3600 }));
    assert_eq!(text(&it.poll_notify(at).unwrap()).0, "active;expires=3600");
    it.handle_response(Status::OK, t0);
    assert_eq!(refresh(&mut it, 2, "", at), Err(SubscribeError::OutOfOrder));
    assert_eq!(
        refresh(&mut it, 3, "Expires: 9\r\n", at),
        Err(SubscribeError::TooBrief { min_expires_s: 60 })
    );
    let end = at + Duration::from_secs(3600);
    assert_eq!(it.poll_timeout(), Some(end));
    let last = it.poll_notify(end).unwrap();
    assert_eq!(text(&last).0, "terminated;reason=timeout");
    assert_eq!(refresh(&mut it, 4, "", end), Err(SubscribeError::Over));
    assert!(!it.is_over(), "the last NOTIFY is under way");
    it.handle_response(Status::OK, t0);
    assert!(it.is_over() && it.poll_timeout().is_none());
}

#[test]
fn the_server_ends_it_with_a_reason() {
    let t0 = start();
    for (reason, expected) in [
        (EndReason::NoResource, "terminated;reason=noresource"),
        (EndReason::Rejected, "terminated;reason=rejected"),
    ] {
        let (mut it, _) = begun(Transport::Udp, "", t0).unwrap();
        it.set_state(messages(0));
        it.poll_notify(t0).unwrap();
        it.handle_response(Status::OK, t0);
        it.end(reason);
        assert_eq!(text(&it.poll_notify(t0).unwrap()).0, expected, "the end is not put off");
        it.handle_failure(NotifyFailure::Sent(Failure::Timeout), t0);
        assert!(it.is_over());
    }
}

#[test]
fn what_a_phone_says_to_a_notify_ends_it_or_does_not() {
    let t0 = start();
    let codes =
        [(200, false), (400, false), (500, false), (503, false), (404, true), (481, true), (489, true)];
    for (code, over) in codes {
        let (mut it, _) = begun(Transport::Udp, "", t0).unwrap();
        it.set_state(messages(0));
        it.poll_notify(t0).unwrap();
        it.handle_response(Status::new(100).unwrap(), t0);
        assert!(!it.is_over());
        it.handle_response(Status::new(code).unwrap(), t0);
        assert_eq!(it.is_over(), over, "{code}");
    }
}

#[test]
fn without_a_connection_it_waits_for_the_phone_and_without_room_a_second() {
    let t0 = start();
    let (mut it, _) = begun(Transport::Tcp, "Expires: 600\r\n", t0).unwrap();
    it.set_state(messages(0));
    it.poll_notify(t0).unwrap();
    it.handle_failure(NotifyFailure::Full, t0);
    assert!(it.poll_notify(after(t0, 999)).is_none());
    assert!(it.poll_notify(after(t0, 1000)).is_some(), "what could not be sent is sent later");
    it.handle_failure(NotifyFailure::Sent(Failure::Transport), after(t0, 1000));
    it.set_state(messages(3));
    assert!(it.poll_notify(after(t0, 9000)).is_none() && !it.is_over());
    it.move_to(&flow(Transport::Tcp, 5099), "192.0.2.1:5060".parse().unwrap());
    let found = it.poll_notify(after(t0, 9000)).unwrap();
    assert!(text(&found).1.contains("Voice-Message: 3/0"));
    it.handle_failure(NotifyFailure::Sent(Failure::Transport), after(t0, 9000));
    assert!(it.poll_notify(t0 + Duration::from_secs(600)).is_none());
    assert!(it.is_over(), "nobody is there to be told of the end");
}

#[test]
fn it_outlives_the_process_with_numbers_that_only_grow() {
    let t0 = start();
    let (mut it, _) =
        begun(Transport::Udp, "Expires: 600\r\nRecord-Route: <sip:192.0.2.7;lr>\r\n", t0).unwrap();
    it.set_state(messages(1));
    let before = it.poll_notify(t0).unwrap();
    let stored = it.export(t0, WALL);
    assert_eq!(stored.expires_at(), WALL + Duration::from_secs(600));
    let (later, wall) = (t0 + Duration::from_secs(100), WALL + Duration::from_secs(100));
    let mut again = Subscription::restore(stored.clone(), "test", later, wall).unwrap();
    assert_eq!((again.package(), again.local_tag()), (Package::MessageSummary, it.local_tag()));
    again.set_state(messages(1));
    let after = again.poll_notify(later).unwrap();
    assert!(after.cseq() > before.cseq());
    assert_eq!(text(&after).0, "active;expires=500");
    assert_eq!(after.header("Event"), before.header("Event"));
    assert_eq!(after.headers_named("Route"), before.headers_named("Route"));
    assert_eq!(after.from().tag(), before.from().tag());
    // Killed again before a refresh has written the record anew: the numbers go on above those of that life.
    again.handle_response(Status::OK, later);
    let (third, wall) = (later + Duration::from_secs(30), wall + Duration::from_secs(30));
    let mut at = later;
    let mut last = after.cseq();
    while at < third {
        at += Duration::from_millis(500);
        again.set_state(messages(at.duration_since(later).as_millis() as u32));
        last = again.poll_notify(at).map_or(last, |notify| notify.cseq());
        again.handle_response(Status::OK, at);
    }
    assert!(last >= after.cseq() + 59, "told twice a second");
    let mut once_more = Subscription::restore(stored.clone(), "test", third, wall).unwrap();
    once_more.set_state(messages(1));
    assert!(once_more.poll_notify(third).unwrap().cseq() > last);
    let late = WALL + Duration::from_secs(600);
    assert!(Subscription::restore(stored, "test", t0, late).is_none(), "its time was up meanwhile");
}

fn lamp(now: Instant) -> Subscription {
    let advertised = "192.0.2.1:5060".parse().unwrap();
    let setup = SubscriptionSetup { flow: flow(Transport::Tcp, 5060), advertised, product: "test".into() };
    let request = subscribe(1, "", "Event: dialog\r\nExpires: 3600\r\n");
    Subscription::new(setup, &request, &POLICY, &mut Tokens::seeded([1; 32]), now).unwrap().0
}

fn calls(legs: &[LegId]) -> UserState {
    let dialog =
        |leg: &LegId| UserDialog { leg: *leg, initiator: false, phase: DialogPhase::Early, remote: None };
    UserState::Dialogs(legs.iter().map(dialog).collect())
}

#[test]
fn that_a_call_is_over_is_told_until_the_phone_has_heard_it() {
    let t0 = start();
    let mut ids = IdSource::seeded([4; 32]);
    let legs: Vec<LegId> = (0..9).map(|_| ids.make(WALL)).collect();
    let over = |notify: &Request| text(notify).1.matches("<state>terminated</state>").count();
    let unavailable = Status::new(503).unwrap();
    let moved = || (flow(Transport::Tcp, 5099), "192.0.2.1:5060".parse().unwrap());

    let mut it = lamp(t0);
    it.set_state(calls(&legs[..1]));
    it.poll_notify(t0).unwrap();
    it.handle_response(Status::OK, t0);
    it.set_state(calls(&[]));
    let mut at = after(t0, 1000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 1);
    it.handle_response(unavailable, at);
    assert!(it.poll_notify(after(at, 999)).is_none(), "not at once");
    at = after(at, 1000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 1, "it could not take it");
    it.handle_response(unavailable, at);
    assert!(it.poll_notify(after(at, 1999)).is_none(), "the pause grows");
    at = after(at, 2000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 1);
    it.handle_failure(NotifyFailure::Full, at);
    at = after(at, 1000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 1, "there was no room");
    it.handle_failure(NotifyFailure::Sent(Failure::Transport), at);
    let (flow, advertised) = moved();
    it.move_to(&flow, advertised);
    at = after(at, 1000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 1, "it was lost with the connection");
    it.handle_response(Status::OK, at);
    it.set_state(calls(&legs[1..2]));
    at = after(at, 1000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 0, "once it has heard it");
    it.handle_response(Status::OK, at);

    // Of nine calls the oldest eight are told, and all that were told are told to be over.
    it.set_state(calls(&legs[1..]));
    at = after(at, 1000);
    assert_eq!(text(&it.poll_notify(at).unwrap()).1.matches("<state>early</state>").count(), 8);
    it.handle_response(Status::OK, at);
    it.set_state(calls(&legs[..1]));
    at = after(at, 1000);
    assert_eq!(over(&it.poll_notify(at).unwrap()), 8);
}
