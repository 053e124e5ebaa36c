//! A phone that rings is asked to take the call by itself.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media, response_to};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

/// `b` rings, and hears nothing of what `a` asks of it: the test is the phone.
fn ringing() -> Pair {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.a.take();
    pair.lose(|label| label == "a NOTIFY");
    pair
}

fn refusals(pair: &Pair) -> Vec<(Cause, Option<u16>)> {
    let refused = |signal: &LegSignalKind| match signal {
        LegSignalKind::TalkRefused(why) => Some((why.cause, why.sip_status)),
        _ => None,
    };
    pair.a.signals.iter().filter_map(refused).collect()
}

#[test]
fn the_notify_goes_into_the_early_dialog() {
    let mut pair = ringing();
    pair.command('a', LegCommandKind::Talk);
    let tag = pair.b.leg.as_ref().unwrap().dialog().local_tag().to_owned();
    let notify = pair.texts.last().unwrap().clone();
    for line in
        ["Event: talk\r\n", "Subscription-State: active\r\n", "CSeq: 2 NOTIFY\r\n", "Contact: <sip:1001@"]
    {
        assert!(notify.contains(line), "{line} is missing in {notify}");
    }
    assert!(notify.starts_with("NOTIFY sip:1002@192.0.2.20:5060 SIP/2.0\r\n"), "to the Contact: {notify}");
    assert!(notify.contains(&format!("tag={tag}")), "{notify}");
    pair.inject('a', &response_to(&notify, "200 OK"));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
    assert!(
        pair.texts.iter().any(|text| text.contains("CSeq: 1 ACK")),
        "the ACK has the number of the INVITE"
    );
    assert_eq!(refusals(&pair), []);
    // Hanging up counts on.
    pair.command('a', LegCommandKind::End(sidetone_model::termination::Termination::new(Cause::Normal)));
    assert!(pair.texts.iter().any(|text| text.contains("CSeq: 3 BYE")));
}

#[test]
fn a_phone_that_does_not_know_the_event_rings_on_and_it_is_told() {
    for (status, cause) in [
        ("489 Bad Event", Cause::ProtocolError),
        ("481 No", Cause::ProtocolError),
        ("403 No", Cause::Forbidden),
    ] {
        let mut pair = ringing();
        pair.command('a', LegCommandKind::Talk);
        let notify = pair.texts.last().unwrap().clone();
        pair.inject('a', &response_to(&notify, status));
        assert_eq!(refusals(&pair), [(cause, status[..3].parse().ok())]);
        pair.command('b', LegCommandKind::Answer { media: media(5000) });
        assert!(pair.a.leg.as_ref().unwrap().is_confirmed(), "its user may still answer");
    }
}

#[test]
fn a_phone_that_does_not_answer_the_notify_is_told_too() {
    let mut pair = ringing();
    pair.command('a', LegCommandKind::Talk);
    pair.command('a', LegCommandKind::Talk);
    pair.advance(Duration::from_secs(33));
    assert_eq!(refusals(&pair), [(Cause::Timeout, None)]);
    // Not a second time for the same NOTIFY, and not for a phone that has answered meanwhile.
    let notify = pair.texts.iter().rfind(|text| text.starts_with("NOTIFY")).unwrap().clone();
    pair.inject('a', &response_to(&notify, "489 Bad Event"));
    assert_eq!(refusals(&pair).len(), 1);
}

#[test]
fn only_a_phone_that_rings_in_a_dialog_can_be_asked() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    let now = pair.now;
    let early = pair.a.leg.as_mut().unwrap().handle_command(LegCommandKind::Talk, now);
    assert!(early.is_err(), "before any answer of the phone");
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|label| label.starts_with("b 1"));
    pair.call();
    let invite = pair.texts[0].clone();
    pair.inject('a', &response_to(&invite, "180 Ringing").replace(";tag=phone", ""));
    pair.command('a', LegCommandKind::Talk);
    assert_eq!(refusals(&pair), [(Cause::ProtocolError, None)], "a 180 without a tag makes no dialog");
    assert_eq!(pair.sent("a NOTIFY"), 0);
    let now = pair.now;
    let incoming = pair.b.leg.as_mut().unwrap().handle_command(LegCommandKind::Talk, now);
    assert!(incoming.is_err(), "a phone that calls does not ring");
}

#[test]
fn the_call_itself_can_ask_for_an_answer() {
    let mut pair = Pair::new(Transport::Udp);
    pair.auto_answer = true;
    pair.call();
    let invite = &pair.texts[0];
    assert!(invite.contains("Call-Info: <sip:example.com>;answer-after=0\r\n"), "{invite}");
    assert!(
        invite.contains("Alert-Info: <http://example.com>;info=alert-autoanswer;delay=0\r\n"),
        "{invite}"
    );
    let mut plain = Pair::new(Transport::Udp);
    plain.call();
    assert!(!plain.texts[0].contains("answer-after") && !plain.texts[0].contains("Alert-Info"));
}

#[test]
fn a_phone_that_holds_is_asked_in_its_dialog_as_often_as_somebody_wants() {
    let mut pair = ringing();
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
    for (cseq, status, refused) in [(2, "200 OK", 0), (3, "489 Bad Event", 1)] {
        pair.command('a', LegCommandKind::Talk);
        let notify = pair.texts.last().unwrap().clone();
        assert!(notify.starts_with("NOTIFY ") && notify.contains("Event: talk\r\n"), "{notify}");
        assert!(notify.contains(&format!("CSeq: {cseq} NOTIFY\r\n")), "{notify}");
        pair.inject('a', &response_to(&notify, status));
        assert_eq!(refusals(&pair).len(), refused);
    }
    // A phone that called us has a dialog as well.
    let before = pair.texts.len();
    pair.command('b', LegCommandKind::Talk);
    assert!(pair.texts[before..].iter().any(|text| text.starts_with("NOTIFY ")));
}
