//! Provisional responses that must arrive (RFC 3262), on both sides.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media, response_to};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

const SDP: &str = "v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 8\n";

/// A call from a phone at `a`'s end, which has no leg; what is sent to it is lost there.
fn called(fields: &str) -> Pair {
    let mut pair = Pair::new(Transport::Udp);
    pair.inject(
        'b',
        &format!(
            "INVITE sip:1002@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\nMax-Forwards: 70\n\
             From: <sip:1001@example.com>;tag=x\nTo: <sip:1002@example.com>\nCall-ID: c1\nCSeq: 1 INVITE\n\
             Contact: <sip:1001@192.0.2.10>\n{fields}Content-Type: application/sdp\nContent-Length: {}\n\n{SDP}",
            SDP.len() + 3
        ),
    );
    pair.b.take();
    pair.lose(|_| true);
    pair
}

fn prack(pair: &mut Pair, cseq: u32, rack: &str, body: &str) {
    let tag = pair.b.leg.as_ref().unwrap().dialog().local_tag().to_owned();
    let length = body.replace('\n', "\r\n").len();
    pair.inject(
        'b',
        &format!(
            "PRACK sip:1002@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKp{cseq}\n\
             From: <sip:1001@example.com>;tag=x\nTo: <sip:1002@example.com>;tag={tag}\nCall-ID: c1\nCSeq: {cseq} PRACK\n\
             RAck: {rack}\nContent-Type: application/sdp\nContent-Length: {length}\n\n{body}"
        ),
    );
}

fn last(pair: &Pair) -> &str {
    pair.texts.last().unwrap()
}

fn rseq(text: &str) -> u32 {
    text.split("\r\nRSeq: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap()
}

#[test]
fn two_of_us_confirm_what_matters() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    assert_eq!(pair.sent("a PRACK"), 0, "a 180 to a phone that only knows it is an ordinary one");
    pair.command('b', LegCommandKind::Ring { media: Some(media(5000)) });
    assert_eq!((pair.sent("a PRACK"), pair.sent("b 200 PRACK")), (1, 1));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert_eq!(
        pair.a.take(),
        [
            LegSignalKind::Progress { media: None },
            LegSignalKind::Progress { media: Some(media(5000)) },
            LegSignalKind::Answered { media: Some(media(5000)) }
        ]
    );
    pair.advance(Duration::from_secs(100));
    assert_eq!(pair.sent("b 183 INVITE"), 1);
    assert_eq!((pair.a.ended(), pair.b.ended()), (None, None));
}

#[test]
fn a_lost_183_comes_again_and_is_told_once() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    let mut lost = 0;
    pair.lose(move |label| {
        lost += u32::from(label == "b 183 INVITE");
        // The first, and those with which the transaction answers the INVITE that comes again.
        label == "b 183 INVITE" && lost < 5
    });
    pair.command('b', LegCommandKind::Ring { media: Some(media(5000)) });
    pair.advance(Duration::from_secs(8));
    assert_eq!(pair.a.take(), [LegSignalKind::Progress { media: Some(media(5000)) }]);
    pair.lose_nothing();
    let sent = pair.sent("b 183 INVITE");
    pair.advance(Duration::from_secs(20));
    assert_eq!((pair.sent("b 183 INVITE"), pair.sent("a PRACK")), (sent, 1), "until the PRACK");
}

#[test]
fn it_doubles_and_ends_with_504_when_no_prack_comes() {
    let mut pair = called("Require: 100rel\n");
    pair.command('b', LegCommandKind::Ring { media: None });
    let first = last(&pair).to_owned();
    assert!(first.starts_with("SIP/2.0 180") && first.contains("\r\nRequire: 100rel\r\n"), "{first}");
    pair.advance(Duration::from_secs(31));
    assert_eq!(pair.sent("b 180 INVITE"), 6, "at 0, 0.5, 1.5, 3.5, 7.5 and 15.5 s");
    assert!(
        pair.texts
            .iter()
            .filter(|text| text.starts_with("SIP/2.0 180"))
            .all(|text| rseq(text) == rseq(&first))
    );
    pair.advance(Duration::from_millis(1400));
    assert!(last(&pair).starts_with("SIP/2.0 504"));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Timeout);
    assert!(pair.b.finished);
}

#[test]
fn the_answer_waits_for_the_prack_of_early_media() {
    let mut pair = called("Supported: 100rel\n");
    pair.command('b', LegCommandKind::Ring { media: Some(media(5000)) });
    let number = rseq(last(&pair));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert_eq!(pair.sent("b 200 INVITE"), 0);
    for wrong in [
        format!("{} 1 INVITE", number + 1),
        format!("{number} 2 INVITE"),
        format!("{number} 1 BYE"),
        "x".into(),
    ] {
        let cseq = 2 + pair.texts.len() as u32;
        prack(&mut pair, cseq, &wrong, "");
        assert!(last(&pair).starts_with("SIP/2.0 481"), "{wrong}");
    }
    prack(&mut pair, 50, &format!("{number} 1 INVITE"), "");
    assert_eq!((pair.sent("b 200 PRACK"), pair.sent("b 200 INVITE")), (1, 1));
    prack(&mut pair, 51, &format!("{number} 1 INVITE"), "");
    assert!(last(&pair).starts_with("SIP/2.0 481"), "once is enough");
}

#[test]
fn ringings_go_one_after_the_other_with_numbers_that_grow_by_one() {
    let mut pair = called("Require: 100rel\n");
    pair.command('b', LegCommandKind::Ring { media: None });
    let first = rseq(last(&pair));
    pair.command('b', LegCommandKind::Ring { media: Some(media(5000)) });
    assert_eq!(pair.sent("b 183 INVITE"), 0);
    prack(&mut pair, 2, &format!("{first} 1 INVITE"), "");
    assert!(last(&pair).starts_with("SIP/2.0 183"));
    assert_eq!(rseq(last(&pair)), first + 1);
    prack(&mut pair, 3, &format!("{} 1 INVITE", first + 1), SDP);
    assert!(
        last(&pair).starts_with("SIP/2.0 200") && last(&pair).contains("m=audio 5000"),
        "an offer that changes nothing"
    );
    pair.advance(Duration::from_secs(61));
    assert_eq!(rseq(last(&pair)), first + 2, "the refresh for the proxies is a new one");
}

#[test]
fn media_that_differs_from_the_reliable_answer_is_offered_after_the_ack() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: Some(media(5000)) });
    pair.command('b', LegCommandKind::Answer { media: media(6000) });
    assert_eq!(
        pair.a.take().pop(),
        Some(LegSignalKind::Answered { media: Some(media(5000)) }),
        "the answer that counts"
    );
    pair.advance(Duration::from_secs(3));
    assert_eq!(pair.sent("b INVITE"), 1);
    assert_eq!(pair.a.take(), [LegSignalKind::Reoffered { media: Some(media(6000)) }]);
}

#[test]
fn a_cancelled_call_repeats_nothing() {
    let mut pair = called("Require: 100rel\n");
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.inject(
        'b',
        "CANCEL sip:1002@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\n\
         From: <sip:1001@example.com>;tag=x\nTo: <sip:1002@example.com>\nCall-ID: c1\nCSeq: 1 CANCEL\nContent-Length: 0\n\n",
    );
    pair.advance(Duration::from_secs(40));
    assert_eq!(pair.sent("b 180 INVITE"), 1);
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Cancelled);
}

#[test]
fn what_comes_out_of_order_is_as_if_it_had_not_come() {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    pair.call();
    let invite = pair.texts[0].clone();
    let ring = |rseq: u32, tag: &str| {
        response_to(&invite, "180 Ringing").replace(";tag=phone", &format!(";tag={tag}")).replace(
            "Content-Length",
            &format!("Require: 100rel\nRSeq: {rseq}\nContact: <sip:1002@192.0.2.20>\nContent-Length"),
        )
    };
    for (rseq, tag, told) in [(7, "p", 1), (7, "p", 0), (9, "p", 0), (8, "p", 1), (3, "other", 1)] {
        pair.inject('a', &ring(rseq, tag));
        assert_eq!(pair.a.take().len(), told, "{rseq} of {tag}");
    }
    let racks: Vec<_> = pair
        .texts
        .iter()
        .filter(|text| text.starts_with("PRACK"))
        .map(|text| text.split("\r\nRAck: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned())
        .collect();
    assert_eq!(racks, ["7 1 INVITE", "8 1 INVITE", "3 1 INVITE"]);
}

#[test]
fn a_prack_that_crosses_the_2xx_ends_nothing() {
    let mut pair = called("Require: 100rel\n");
    pair.command('b', LegCommandKind::Ring { media: None });
    let rseq = rseq(last(&pair));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert!(last(&pair).starts_with("SIP/2.0 200"), "an answer waits only for SDP");
    prack(&mut pair, 2, &format!("{rseq} 1 INVITE"), "");
    assert!(last(&pair).starts_with("SIP/2.0 200") && last(&pair).contains("2 PRACK"), "{}", last(&pair));
    prack(&mut pair, 3, &format!("{} 1 INVITE", rseq + 1), "");
    assert!(last(&pair).starts_with("SIP/2.0 481"), "{}", last(&pair));
    assert_eq!(pair.b.ended(), None);
}
