//! More than one phone answers one INVITE (RFC 3261 section 13.2.2.4), and the ways through proxies (section 12.2.1).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::Pair;
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::leg::Leg;
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{Timers, Transactions, TransactionsConfig};

const SDP: &str = "v=0\nc=IN IP4 192.0.2.20\nm=audio 6000 RTP/AVP 8\n";

fn response(invite: &str, status: &str, tag: &str, extra: &str, body: &str) -> String {
    let line = |name: &str| {
        invite.lines().find(|line| line.starts_with(name)).unwrap_or_default().trim_end().to_owned()
    };
    format!(
        "SIP/2.0 {status}\n{}\n{}\n{};tag={tag}\n{}\n{}\nContact: <sip:{tag}@192.0.2.20:5070>\n{extra}\
         Content-Type: application/sdp\nContent-Length: {}\n\n{body}",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq"),
        body.replace('\n', "\r\n").len()
    )
}

fn calling() -> (Pair, String) {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    pair.call();
    let invite = pair.texts[0].clone();
    (pair, invite)
}

#[test]
fn the_second_phone_is_acknowledged_and_hung_up() {
    let (mut pair, invite) = calling();
    pair.inject('a', &response(&invite, "200 OK", "one", "", SDP));
    pair.inject('a', &response(&invite, "200 OK", "two", "", SDP));
    pair.inject('a', &response(&invite, "200 OK", "two", "", SDP));
    assert_eq!(pair.sent("a ACK"), 3);
    assert_eq!(pair.sent("a BYE"), 1, "each fork is hung up once");
    let bye = pair.texts.iter().find(|text| text.starts_with("BYE")).unwrap();
    assert!(bye.starts_with("BYE sip:two@192.0.2.20:5070 ") && bye.contains(";tag=two"));
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
    assert_eq!(pair.a.take().len(), 1, "Answered, once");
}

#[test]
fn requests_follow_the_recorded_route_in_reverse() {
    let (mut pair, invite) = calling();
    let routes = "Record-Route: <sip:near.example.com;lr>, <sip:far.example.com;lr>\n";
    pair.inject('a', &response(&invite, "200 OK", "one", routes, SDP));
    let ack = pair.texts.last().unwrap();
    assert!(ack.starts_with("ACK sip:one@192.0.2.20:5070 "));
    let listed: Vec<&str> = ack.lines().filter(|line| line.starts_with("Route:")).collect();
    assert_eq!(listed, ["Route: <sip:far.example.com;lr>", "Route: <sip:near.example.com;lr>"]);
}

#[test]
fn a_strict_router_gets_its_own_name_as_the_request_uri() {
    let (mut pair, invite) = calling();
    let routes = "Record-Route: <sip:near.example.com>\n";
    pair.inject('a', &response(&invite, "200 OK", "one", routes, SDP));
    let ack = pair.texts.last().unwrap();
    assert!(
        ack.starts_with("ACK sip:near.example.com ") && ack.contains("Route: <sip:one@192.0.2.20:5070>\r\n")
    );
}

#[test]
fn an_answer_given_early_counts_when_the_200_has_none() {
    let (mut pair, invite) = calling();
    pair.inject('a', &response(&invite, "183 Session Progress", "one", "", SDP));
    pair.inject('a', &response(&invite, "200 OK", "one", "", ""));
    let signals = pair.a.take();
    assert!(
        matches!(&signals[1], LegSignalKind::Answered { media: Some(media) } if media.rtp.port() == 6000)
    );
}

#[test]
fn a_200_with_an_unusable_answer_is_acknowledged_and_hung_up() {
    let (mut pair, invite) = calling();
    pair.inject('a', &response(&invite, "200 OK", "one", "", "v=0\nm=audio 1 RTP/SAVP 8\n"));
    assert_eq!((pair.sent("a ACK"), pair.sent("a BYE")), (1, 1));
    assert_eq!(pair.a.ended().unwrap().cause, Cause::NoCommonCodec);
}

#[test]
fn a_challenge_or_redirection_is_a_failure_of_that_device() {
    for (status, cause) in [
        ("401 Unauthorized", Cause::Forbidden),
        ("302 Moved Temporarily", Cause::Diverted),
        ("486 Busy Here", Cause::Busy),
    ] {
        let (mut pair, invite) = calling();
        pair.inject('a', &response(&invite, status, "one", "", ""));
        assert_eq!(pair.a.ended().unwrap().cause, cause);
        assert_eq!(pair.sent("a ACK"), 1);
        assert!(pair.a.finished);
        let end = LegCommandKind::End(Termination::new(Cause::Normal));
        assert!(pair.a.leg.as_mut().unwrap().handle_command(end, pair.now).is_err());
    }
}

/// A request of a phone that rings under `tag`.
fn request(invite: &str, method: &str, tag: &str, cseq: u32) -> String {
    let value = |name: &str| {
        let line = invite.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line[name.len()..].trim().to_owned()
    };
    format!(
        "{method} sip:us@192.0.2.10 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:5070;branch=z9hG4bK{tag}{cseq}\n\
         Max-Forwards: 70\nFrom: {};tag={tag}\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\nContent-Length: 0\n\n",
        value("To:"),
        value("From:"),
        value("Call-ID:"),
    )
}

#[test]
fn each_phone_that_rings_counts_its_own_requests() {
    let (mut pair, invite) = calling();
    for tag in ["one", "two"] {
        pair.inject('a', &response(&invite, "180 Ringing", tag, "", ""));
    }
    pair.inject('a', &request(&invite, "OPTIONS", "one", 100));
    pair.inject('a', &request(&invite, "OPTIONS", "two", 5));
    assert_eq!((pair.sent("a 200 OPTIONS"), pair.sent("a 500 OPTIONS")), (2, 0));
    // The second one answers: from now on its numbers count.
    pair.inject('a', &response(&invite, "200 OK", "two", "", SDP));
    pair.inject('a', &request(&invite, "INFO", "two", 5));
    assert_eq!(pair.sent("a 500 INFO"), 1, "that number was there before");
    pair.inject('a', &request(&invite, "OPTIONS", "two", 6));
    assert_eq!(pair.sent("a 200 OPTIONS"), 3);
}

#[test]
fn a_200_that_a_former_life_never_acknowledged_gets_its_ack() {
    let (mut pair, invite) = calling();
    let answer = response(&invite, "200 OK", "one", "", SDP);
    pair.inject('a', &answer);
    let first = pair.texts.iter().find(|text| text.starts_with("ACK")).unwrap().clone();
    let stored = pair.a.leg.as_ref().and_then(Leg::export).unwrap();
    pair.a.leg = Leg::restore(stored, "sidetone", Timers::default(), pair.now);
    pair.a.transactions = Transactions::new(TransactionsConfig::default(), Tokens::seeded([9; 32]));
    pair.inject('a', &answer);
    let again = pair.texts.last().unwrap();
    let same = |name: &str| {
        let of = |text: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        assert_eq!(of(again), of(&first), "{name}");
    };
    ["ACK ", "From:", "To:", "Call-ID:", "CSeq:"].into_iter().for_each(same);
    assert_eq!(pair.sent("a ACK"), 2);
    // What is none of this call's answers is not acknowledged.
    pair.inject('a', &response(&invite, "200 OK", "another", "", SDP));
    pair.inject('a', &answer.replace("1 INVITE", "900000 INVITE"));
    assert_eq!(pair.sent("a ACK"), 2);
}
