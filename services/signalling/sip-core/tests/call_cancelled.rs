//! The caller gives up before the answer (RFC 3261 section 9).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

fn end(cause: Cause) -> LegCommandKind {
    LegCommandKind::End(Termination::new(cause))
}

#[test]
fn a_ringing_call_is_cancelled_and_both_legs_finish() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.command('a', end(Cause::Cancelled));
    assert_eq!(pair.a.ended().unwrap().cause, Cause::Cancelled);
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Cancelled);
    assert_eq!(pair.b.ended().unwrap().sip_status, Some(487));
    assert!(pair.a.finished && pair.b.finished);
    assert_eq!(
        pair.wire[2..],
        ["a CANCEL", "b 200 CANCEL", "b 487 INVITE", "a ACK"],
        "the INVITE's refusal is confirmed by its transaction"
    );
}

#[test]
fn both_answers_to_a_cancelled_call_carry_the_same_tag() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.command('a', end(Cause::Cancelled));
    let tags: Vec<&str> = pair
        .texts
        .iter()
        .filter(|text| text.starts_with("SIP/2.0 ") && !text.starts_with("SIP/2.0 100"))
        .filter_map(|text| text.lines().find(|line| line.starts_with("To:"))?.split("tag=").nth(1))
        .collect();
    assert_eq!(tags.len(), 3);
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
}

#[test]
fn a_phone_that_lost_the_race_learns_that_the_call_was_taken_elsewhere() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.command('a', end(Cause::AnsweredElsewhere));
    assert!(pair.a.requests_of_leg[1].contains("SIP;cause=200;text=\"Call completed elsewhere\""));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::AnsweredElsewhere);
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|label| label.starts_with('b'));
    pair.call();
    pair.command('a', end(Cause::Cancelled));
    assert_eq!(pair.a.ended().unwrap().cause, Cause::Cancelled, "the owner need not wait");
    assert_eq!(pair.sent("a CANCEL"), 0);
    pair.lose_nothing();
    pair.advance(Duration::from_secs(2));
    assert_eq!(pair.sent("a CANCEL"), 1, "the 100 allowed it");
    assert!(pair.a.finished && pair.b.finished);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.a.take();
    pair.b.take();
    pair.hold();
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    pair.command('a', end(Cause::Cancelled));
    pair.release();
    assert!(!pair.a.signals.iter().any(|signal| matches!(signal, LegSignalKind::Answered { .. })));
    assert_eq!(pair.sent("a ACK"), 1);
    assert_eq!(pair.sent("a BYE"), 1);
    assert!(pair.a.finished && pair.b.finished);
    assert_eq!(pair.a.signals.len(), 1, "Ended, once");
}

#[test]
fn a_cancel_without_its_final_response_is_given_up() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.lose(|label| label == "b 487 INVITE");
    pair.command('a', end(Cause::Cancelled));
    assert!(!pair.a.finished);
    pair.advance(Duration::from_secs(33));
    assert!(pair.a.finished);
}

#[test]
fn a_phone_that_never_answers_is_a_timeout() {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    pair.call();
    pair.advance(Duration::from_secs(33));
    assert_eq!(pair.a.ended().unwrap().cause, Cause::Timeout);
    assert!(pair.a.finished);
    assert_eq!(pair.sent("a INVITE"), 7, "timer A: 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s");
}

#[test]
fn the_callers_own_limit_ends_an_unanswered_call() {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    let invite = "INVITE sip:1002@192.0.2.20 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1
From: <sip:1001@example.com>;tag=x
To: <sip:1002@example.com>
Call-ID: c1
CSeq: 1 INVITE
Contact: <sip:1001@192.0.2.10>
Expires: 20
Content-Length: 0

";
    pair.inject('b', invite);
    pair.advance(Duration::from_secs(21));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::NoAnswer);
    assert!(pair.sent("b 487 INVITE") > 0);
}
