//! BYE from either side (RFC 3261 section 15) with its Reason (RFC 3326).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::termination::{Cause, Termination};

fn end(cause: Cause) -> LegCommandKind {
    LegCommandKind::End(Termination::new(cause))
}

#[test]
fn either_side_may_hang_up() {
    for (who, other) in [('a', 'b'), ('b', 'a')] {
        let mut pair = Pair::connected(Transport::Udp);
        pair.command(who, end(Cause::Normal));
        assert_eq!(pair.side(who).ended().unwrap().cause, Cause::Normal);
        assert_eq!(pair.side(other).ended().unwrap().cause, Cause::Normal);
        assert!(pair.a.finished && pair.b.finished);
        assert_eq!(pair.wire, [format!("{who} BYE"), format!("{other} 200 BYE")]);
    }
}

#[test]
fn the_reason_of_a_bye_reaches_the_other_side() {
    for (cause, heard) in [
        (Cause::NoCapacity, Cause::NoCapacity),
        (Cause::Shutdown, Cause::Shutdown),
        (Cause::MediaNodeLost, Cause::TransportFailure),
        (Cause::AnsweredElsewhere, Cause::AnsweredElsewhere),
    ] {
        let mut pair = Pair::connected(Transport::Udp);
        pair.command('b', end(cause));
        assert_eq!(pair.a.ended().unwrap().cause, heard);
    }
}

#[test]
fn both_may_hang_up_at_once() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.hold();
    pair.command('a', end(Cause::Normal));
    pair.command('b', end(Cause::Normal));
    pair.release();
    assert!(pair.a.finished && pair.b.finished);
    assert_eq!((pair.a.signals.len(), pair.b.signals.len()), (1, 1));
}

#[test]
fn a_bye_that_nobody_answers_is_given_up() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.lose(|_| true);
    pair.command('a', end(Cause::Normal));
    assert!(!pair.a.finished);
    pair.advance(Duration::from_secs(33));
    assert!(pair.a.finished);
    assert_eq!(pair.sent("a BYE"), 11, "timer E: doubling up to T2");
}

#[test]
fn a_callee_hangs_up_only_after_the_ack() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.lose(|label| label == "a ACK");
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    pair.command('b', end(Cause::Normal));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Normal, "the owner need not wait");
    assert_eq!(pair.sent("b BYE"), 0);
    pair.lose_nothing();
    pair.advance(Duration::from_secs(1));
    assert_eq!(pair.sent("b BYE"), 1, "the repeated 200 brought the ACK");
    assert!(pair.a.finished && pair.b.finished);
}

#[test]
fn a_request_after_the_end_finds_no_dialog() {
    let mut pair = Pair::connected(Transport::Udp);
    let key = pair.b.leg.as_ref().unwrap().dialog().clone();
    pair.command('a', end(Cause::Normal));
    pair.lose(|_| true);
    let options = format!(
        "OPTIONS sip:x@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKq\n\
         From: <sip:1@e>;tag={}\nTo: <sip:2@e>;tag={}\nCall-ID: {}\nCSeq: 99 OPTIONS\nContent-Length: 0\n\n",
        key.remote_tag().unwrap(),
        key.local_tag(),
        key.call_id()
    );
    pair.inject('b', &options);
    assert!(pair.texts.last().unwrap().starts_with("SIP/2.0 481"));
}
