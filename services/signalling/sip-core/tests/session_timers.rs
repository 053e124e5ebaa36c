//! Session timers (RFC 4028): who asks, who refreshes and how, and what happens when nobody does.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media, response_to};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::termination::Cause;

/// A call of which both sides know timers; `a`, who calls, asks for that interval.
fn connected(interval_s: u32) -> Pair {
    let mut pair = Pair::new(Transport::Udp);
    pair.a.session_interval_s = interval_s;
    pair.b.session_interval_s = 1800;
    pair.call();
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    pair.a.take();
    pair.b.take();
    pair
}

fn text_of<'a>(pair: &'a Pair, start: &str) -> &'a str {
    pair.texts.iter().rfind(|text| text.starts_with(start)).unwrap()
}

/// The last request of `a`, answered by a phone at the other end.
fn answer(pair: &mut Pair, method: &str, status: &str, fields: &str) {
    let request = text_of(pair, method).to_owned();
    let response =
        response_to(&request, status).replace("Content-Length", &format!("{fields}Content-Length"));
    pair.inject('a', &response);
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[test]
fn the_caller_asks_and_refreshes_halfway_by_update() {
    let mut pair = connected(1800);
    assert!(text_of(&pair, "INVITE").contains("\r\nSession-Expires: 1800\r\n"));
    let ok = text_of(&pair, "SIP/2.0 200");
    assert!(ok.contains("\r\nSession-Expires: 1800;refresher=uac\r\nRequire: timer\r\n"), "{ok}");
    pair.advance(minutes(14));
    assert_eq!(pair.sent("a UPDATE"), 0);
    pair.advance(minutes(2));
    assert_eq!(pair.sent("a UPDATE"), 1);
    assert!(text_of(&pair, "UPDATE").contains("\r\nSession-Expires: 1800;refresher=uac\r\n"));
    pair.advance(minutes(120));
    assert_eq!((pair.sent("a UPDATE"), pair.sent("b UPDATE")), (9, 0), "every 15 minutes");
    assert!(pair.a.take().is_empty() && pair.b.take().is_empty(), "nobody is told");
}

#[test]
fn the_callee_refreshes_when_the_caller_leaves_it_to_us() {
    let mut pair = Pair::new(Transport::Udp);
    pair.b.session_interval_s = 600;
    // The phone knows timers and asks for none.
    pair.call();
    assert!(!text_of(&pair, "INVITE").contains("Session-Expires"));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    let ok = text_of(&pair, "SIP/2.0 200");
    assert!(ok.contains("\r\nSession-Expires: 600;refresher=uas\r\n") && !ok.contains("Require"), "{ok}");
    pair.advance(minutes(11));
    assert_eq!((pair.sent("b UPDATE"), pair.sent("a UPDATE")), (2, 0));
    assert_eq!((pair.a.ended(), pair.b.ended()), (None, None));
}

#[test]
fn a_callee_told_to_refresh_does() {
    let mut pair = Pair::new(Transport::Udp);
    pair.inject(
        'b',
        &invite("Supported: timer\nSession-Expires: 300;refresher=uas\nAllow: INVITE, UPDATE\n"),
    );
    pair.lose(|_| true);
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert!(text_of(&pair, "SIP/2.0 200").contains("\r\nSession-Expires: 300;refresher=uas\r\n"));
    ack(&mut pair);
    pair.advance(Duration::from_secs(151));
    assert!(pair.sent("b UPDATE") >= 1);
}

#[test]
fn a_phone_without_update_is_refreshed_by_a_reinvite_that_changes_nothing() {
    let mut pair = Pair::new(Transport::Udp);
    pair.inject('b', &invite("Supported: timer\nSession-Expires: 300;refresher=uas\nAllow: INVITE, BYE\n"));
    pair.lose(|_| true);
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    let version = |text: &str| text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
    let before = version(text_of(&pair, "SIP/2.0 200"));
    ack(&mut pair);
    pair.b.take();
    pair.advance(Duration::from_secs(151));
    let reinvite = text_of(&pair, "INVITE").to_owned();
    assert!(reinvite.contains("\r\nSession-Expires: 300;refresher=uac\r\n"), "{reinvite}");
    assert_eq!(version(&reinvite), before, "the version of the o-line stays");
    let sdp = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 8\r\n";
    let ok = response_to(&reinvite, "200 OK").replace(
        "Content-Length: 0\n\n",
        &format!(
            "Contact: <sip:1001@192.0.2.10>\nRequire: timer\nSession-Expires: 300;refresher=uac\n\
             Content-Type: application/sdp\nContent-Length: {}\n\n{}",
            sdp.len(),
            sdp.replace("\r\n", "\n")
        ),
    );
    pair.inject('b', &ok);
    assert!(pair.b.take().is_empty(), "the owner hears nothing of it");
    pair.advance(Duration::from_secs(140));
    assert_eq!(pair.b.ended(), None, "the refresh counts");
}

#[test]
fn a_refused_update_is_followed_by_a_reinvite() {
    let mut pair = connected(1800);
    pair.lose(|_| true);
    pair.advance(minutes(15));
    answer(&mut pair, "UPDATE", "405 Method Not Allowed", "");
    let reinvite = text_of(&pair, "INVITE");
    assert!(reinvite.contains("Session-Expires: 1800;refresher=uac") && reinvite.contains("m=audio 4000"));
    assert_eq!(pair.a.ended(), None);
}

#[test]
fn a_phone_that_knows_the_session_no_longer_ends_it() {
    for status in ["481 Gone", "408 Request Timeout"] {
        let mut pair = connected(1800);
        pair.lose(|_| true);
        pair.advance(minutes(15));
        answer(&mut pair, "UPDATE", status, "");
        assert_eq!(pair.a.ended().unwrap().cause, Cause::Timeout);
        assert!(pair.sent("a BYE") >= 1);
    }
}

#[test]
fn a_phone_that_lost_its_power_is_hung_up_by_either_side() {
    // The refresher hears nothing.
    let mut pair = connected(1800);
    pair.lose(|_| true);
    pair.advance(minutes(16));
    assert_eq!(pair.a.ended().unwrap().cause, Cause::Timeout);
    assert_eq!(pair.b.ended(), None, "who is refreshed waits for the end of the interval");
    // 32 s before the end.
    pair.advance(minutes(14) - Duration::from_secs(30));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Timeout);
    assert!(pair.sent("b BYE") >= 1);
}

#[test]
fn a_refresh_that_is_put_off_is_tried_again_until_the_end() {
    let mut pair = connected(1800);
    pair.lose(|label| label.starts_with("a "));
    pair.advance(minutes(15));
    for _ in 0..3 {
        answer(&mut pair, "UPDATE", "503 Service Unavailable", "");
        pair.advance(Duration::from_secs(6));
    }
    assert_eq!(pair.a.ended(), None);
    answer(
        &mut pair,
        "UPDATE",
        "200 OK",
        "Contact: <sip:1002@192.0.2.20>\nSession-Expires: 1800;refresher=uac\n",
    );
    pair.lose_nothing();
    pair.advance(minutes(12));
    assert_eq!(pair.a.ended(), None);
}

#[test]
fn too_short_an_interval_gets_422_and_the_caller_comes_again() {
    let mut pair = Pair::new(Transport::Udp);
    pair.inject('b', &invite("Supported: timer\nSession-Expires: 60\n"));
    assert!(text_of(&pair, "SIP/2.0 422").contains("\r\nMin-SE: 90\r\n"));

    // And ours, to a phone that wants longer ones.
    let mut pair = Pair::new(Transport::Udp);
    pair.a.session_interval_s = 1800;
    pair.lose(|_| true);
    pair.call();
    answer(&mut pair, "INVITE", "422 Session Interval Too Small", "Min-SE: 3600\n");
    let again = text_of(&pair, "INVITE");
    assert!(
        again.contains("\r\nSession-Expires: 3600\r\n") && again.contains("\r\nMin-SE: 3600\r\n"),
        "{again}"
    );
    assert!(again.contains("CSeq: 2 INVITE") && again.contains("m=audio 4000"));
    answer(&mut pair, "INVITE", "422 Session Interval Too Small", "Min-SE: 3600\n");
    assert_eq!(pair.a.ended().unwrap().sip_status, Some(422), "no second time for the same");
}

#[test]
fn a_phone_without_timers_is_left_alone() {
    let mut pair = Pair::new(Transport::Udp);
    pair.b.session_interval_s = 1800;
    pair.inject('b', &invite(""));
    pair.lose(|_| true);
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert!(!text_of(&pair, "SIP/2.0 200").contains("Session-Expires"));
    ack(&mut pair);
    pair.advance(minutes(600));
    assert_eq!(pair.b.ended(), None);
}

fn invite(fields: &str) -> String {
    let sdp = "v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 8\n";
    format!(
        "INVITE sip:1002@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\nMax-Forwards: 70\n\
         From: <sip:1001@example.com>;tag=x\nTo: <sip:1002@example.com>\nCall-ID: c1\nCSeq: 1 INVITE\n\
         Contact: <sip:1001@192.0.2.10>\n{fields}Content-Type: application/sdp\nContent-Length: {}\n\n{sdp}",
        sdp.len() + 3
    )
}

fn ack(pair: &mut Pair) {
    let tag = pair.b.leg.as_ref().unwrap().dialog().local_tag().to_owned();
    pair.inject(
        'b',
        &format!(
            "ACK sip:1002@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK2\n\
             From: <sip:1001@example.com>;tag=x\nTo: <sip:1002@example.com>;tag={tag}\nCall-ID: c1\nCSeq: 1 ACK\n\
             Content-Length: 0\n\n"
        ),
    );
}
