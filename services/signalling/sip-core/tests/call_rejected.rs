//! A call is refused: by the owner, by the phone, or by the leg itself.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::Pair;
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::termination::{Cause, Termination};

#[test]
fn every_cause_becomes_its_status_and_comes_back_as_a_cause() {
    for cause in Cause::ALL {
        let mut pair = Pair::new(Transport::Udp);
        pair.call();
        pair.command('b', LegCommandKind::End(Termination::new(cause)));
        let status = cause.sip_status();
        assert_eq!(pair.b.ended().unwrap().sip_status, Some(status));
        assert_eq!(pair.a.ended().unwrap().sip_status, Some(status));
        assert_eq!(pair.a.ended().unwrap().cause, Cause::from_sip_status(status));
        assert!(pair.a.finished && pair.b.finished);
        let refusal = pair.texts.iter().find(|text| text.starts_with(&format!("SIP/2.0 {status}"))).unwrap();
        assert_eq!(refusal.contains("Retry-After:"), cause.retry_after_s().is_some(), "{cause:?}");
        let warned = matches!(status, 404 | 480 | 488).then_some("Warning: 3");
        assert_eq!(warned.is_some(), refusal.contains("Warning: "), "{refusal}");
        assert!(warned.is_none_or(|warning| refusal.contains(warning)), "{refusal}");
        assert!(refusal.contains(&format!(
            "Reason: {}",
            if cause == Cause::AnsweredElsewhere { "SIP" } else { "Q.850" }
        )));
    }
}

fn invite(extra: &str, body: &str) -> String {
    format!(
        "INVITE sip:1002@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\n\
         From: <sip:1001@example.com>;tag=x\nTo: <sip:1002@example.com>\nCall-ID: c1\nCSeq: 1 INVITE\n\
         {extra}Content-Length: {}\n\n{body}",
        body.replace('\n', "\r\n").len()
    )
}

fn refused_with(extra: &str, body: &str) -> String {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    pair.inject('b', &invite(extra, body));
    assert!(pair.b.leg.is_none());
    pair.texts[0].clone()
}

const CONTACT: &str = "Contact: <sip:1001@192.0.2.10>\n";
const SDP: &str = "Content-Type: application/sdp\n";

#[test]
fn what_nobody_needs_to_be_asked_about_is_refused_at_once() {
    assert!(refused_with("", "").starts_with("SIP/2.0 400"));
    let required = refused_with(&format!("{CONTACT}Require: precondition, 100rel, timer\n"), "");
    assert!(required.starts_with("SIP/2.0 420") && required.contains("Unsupported: precondition\r\n"));
    let html = refused_with(&format!("{CONTACT}Content-Type: text/html\n"), "<p>");
    assert!(html.starts_with("SIP/2.0 415") && html.contains("Accept: application/sdp"));
    let video = "v=0\nc=IN IP4 192.0.2.10\nm=video 4000 RTP/AVP 96\n";
    let no_audio = refused_with(&format!("{CONTACT}{SDP}"), video);
    assert!(no_audio.starts_with("SIP/2.0 488") && no_audio.contains("Warning: 304 sidetone \"no audio"));
    let named = "v=0\nc=IN IP4 phone.example\nm=audio 4000 RTP/AVP 8\n";
    let named = refused_with(&format!("{CONTACT}{SDP}"), named);
    assert!(named.starts_with("SIP/2.0 488") && named.contains("Warning: 301 sidetone"), "{named}");
    assert!(refused_with(&format!("{CONTACT}{SDP}"), "hello").starts_with("SIP/2.0 400"));
    let brief = refused_with(&format!("{CONTACT}Supported: timer\nSession-Expires: 30\n"), "");
    assert!(brief.starts_with("SIP/2.0 422") && brief.contains("Min-SE: 90\r\n"));
}
