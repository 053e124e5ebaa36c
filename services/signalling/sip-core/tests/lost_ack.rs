//! The 2xx belongs to the user agent, and so does its repetition (RFC 3261 section 13.3.1.4).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

#[test]
fn a_lost_ack_is_sent_again_for_the_repeated_200() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut pair = Pair::new(transport);
        pair.call();
        let mut lost = 0;
        pair.lose(move |label| {
            lost += usize::from(label == "a ACK");
            label == "a ACK" && lost <= 2
        });
        pair.command('b', LegCommandKind::Answer { media: media(5000) });
        pair.advance(Duration::from_secs(3));
        assert_eq!(pair.sent("b 200 INVITE"), 3);
        assert_eq!(pair.sent("a ACK"), 3);
        let answered = |signal: &&LegSignalKind| matches!(signal, LegSignalKind::Answered { .. });
        assert_eq!(pair.a.signals.iter().filter(answered).count(), 1);
        assert_eq!(pair.b.take().last(), Some(&LegSignalKind::Confirmed { media: None }));
        pair.advance(Duration::from_secs(60));
        assert_eq!(pair.sent("b 200 INVITE"), 3, "the ACK ended the repetition");
    }
}

#[test]
fn without_any_ack_the_call_is_hung_up_after_64_t1() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.lose(|label| label == "a ACK");
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    pair.advance(Duration::from_millis(31_900));
    assert_eq!(pair.b.ended(), None);
    assert_eq!(pair.sent("b 200 INVITE"), 11, "0.5 s doubling up to 4 s");
    pair.advance(Duration::from_millis(200));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Timeout);
    assert_eq!(pair.sent("b BYE"), 1);
    assert!(pair.a.finished && pair.b.finished);
}

#[test]
fn a_lost_200_is_repeated_and_a_repeated_ack_does_no_harm() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    let mut lost = false;
    pair.lose(move |label| label == "b 200 INVITE" && !std::mem::replace(&mut lost, true));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    pair.advance(Duration::from_secs(1));
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
    assert!(pair.b.leg.as_ref().unwrap().is_confirmed());
}
