//! A 2xx of ours whose ACK may not have come before the process died is said again (RFC 3261 section 13.3.1.4).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_sip_core::leg::Leg;
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{Timers, Transactions, TransactionsConfig};

/// `b` has answered, dies before the ACK reaches it, and comes back after `age`.
fn killed_before_the_ack(transport: Transport, age: Duration) -> Pair {
    let mut pair = Pair::new(transport);
    pair.lose(|label| label == "a ACK");
    pair.call();
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert_eq!(pair.sent("a ACK"), 1);
    let mut stored = pair.b.leg.as_ref().and_then(Leg::export).unwrap();
    let answer = stored.take_answer().expect("it has no ACK yet");
    let mut leg = Leg::restore(stored, "sidetone", Timers::default(), pair.now).unwrap();
    leg.repeat_answer(answer, age, pair.now);
    pair.b.leg = Some(leg);
    pair.b.transactions = Transactions::new(TransactionsConfig::default(), Tokens::seeded([9; 32]));
    pair.b.take();
    pair.wire.clear();
    pair
}

#[test]
fn it_is_said_again_until_the_ack_comes() {
    let mut pair = killed_before_the_ack(Transport::Udp, Duration::from_secs(2));
    pair.advance(Duration::from_secs(3));
    // At once, and then as ever: after 0.5, 1 and 2 s.
    assert_eq!((pair.sent("b 200 INVITE"), pair.sent("a ACK")), (3, 3));
    pair.lose_nothing();
    pair.advance(Duration::from_secs(60));
    assert_eq!((pair.sent("b 200 INVITE"), pair.sent("a ACK")), (4, 4));
    assert_eq!(pair.b.take(), [LegSignalKind::Confirmed { media: None }]);
    assert!(pair.b.leg.as_ref().unwrap().is_confirmed());
    assert_eq!(pair.sent("b BYE"), 0);
}

#[test]
fn without_an_ack_the_call_is_hung_up_when_what_is_left_of_64_t1_has_passed() {
    let mut pair = killed_before_the_ack(Transport::Udp, Duration::from_secs(20));
    pair.advance(Duration::from_millis(11_900));
    assert_eq!(pair.sent("b BYE"), 0);
    pair.advance(Duration::from_secs(1));
    assert_eq!(pair.sent("b BYE"), 1);
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Timeout);
}

#[test]
fn an_old_record_and_one_of_a_connection_only_stand() {
    for (transport, age_s) in [(Transport::Udp, 32), (Transport::Udp, 7200), (Transport::Tcp, 1)] {
        let mut pair = killed_before_the_ack(transport, Duration::from_secs(age_s));
        pair.advance(Duration::from_secs(60));
        assert_eq!((pair.sent("b 200 INVITE"), pair.sent("b BYE")), (0, 0), "{transport:?} {age_s}");
        assert!(pair.b.leg.as_ref().unwrap().is_confirmed());
    }
}

#[test]
fn who_sends_a_request_has_sent_the_ack() {
    let mut pair = killed_before_the_ack(Transport::Udp, Duration::from_secs(1));
    pair.command('a', LegCommandKind::SendDigits { digits: "5".into(), duration_ms: 100 });
    assert_eq!(pair.b.take()[0], LegSignalKind::Confirmed { media: None });
    pair.advance(Duration::from_secs(60));
    assert_eq!(pair.sent("b BYE"), 0);
    assert!(pair.b.leg.as_ref().unwrap().is_confirmed());
}

#[test]
fn a_changed_session_is_told_again_too_and_media_keys_are_kept_nowhere() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.lose(|label| label == "a ACK");
    pair.command('a', LegCommandKind::Reoffer { media: media(4002) });
    pair.command('b', LegCommandKind::AnswerReoffer { media: Some(media(5000)) });
    let mut stored = pair.b.leg.as_ref().and_then(Leg::export).unwrap();
    let answer = stored.take_answer().expect("the re-INVITE has no ACK yet");
    let mut leg = Leg::restore(stored, "sidetone", Timers::default(), pair.now).unwrap();
    leg.repeat_answer(answer, Duration::ZERO, pair.now);
    pair.b.leg = Some(leg);
    pair.wire.clear();
    pair.lose_nothing();
    pair.advance(Duration::from_secs(1));
    assert_eq!((pair.sent("b 200 INVITE"), pair.sent("a ACK")), (1, 1));
    // Confirmed, there is nothing to be said again.
    assert!(pair.b.leg.as_ref().and_then(Leg::export).unwrap().take_answer().is_none());

    let keyed = sidetone_model::media::MediaDescription {
        secured: true,
        crypto: vec![sidetone_model::media::Crypto {
            tag: 1,
            suite: "AES_CM_128_HMAC_SHA1_80".into(),
            inline: "MDEyMzQ1Njc4OUFCQ0RFRkdISUpLTE1OT1BRUlNU".into(),
            parameters: "".into(),
        }],
        ..media(5000)
    };
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|label| label == "a ACK");
    pair.call();
    pair.command('b', LegCommandKind::Answer { media: keyed });
    assert!(pair.b.leg.as_ref().and_then(Leg::export).unwrap().take_answer().is_none());
}
