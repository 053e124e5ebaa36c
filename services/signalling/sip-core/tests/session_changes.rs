//! re-INVITE and UPDATE: refreshes, changes, collisions, and what else comes within a dialog.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::media::Direction;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

/// The phone at `a`'s end, by hand: requests in the dialog of leg `b`.
struct Phone {
    cseq: u32,
    to_tag: String,
    from_tag: String,
    call_id: String,
}

impl Phone {
    fn of(pair: &mut Pair) -> Self {
        // Leg `a` is put aside: it would answer in the phone's place.
        pair.lose(|_| true);
        let dialog = pair.b.leg.as_ref().unwrap().dialog();
        Self {
            cseq: 10,
            to_tag: dialog.local_tag().into(),
            from_tag: dialog.remote_tag().unwrap().into(),
            call_id: dialog.call_id().into(),
        }
    }

    fn request(&mut self, method: &str, extra: &str, body: &str) -> String {
        if method != "ACK" {
            self.cseq += 1;
        }
        self.numbered(self.cseq, method, extra, body)
    }

    fn numbered(&self, cseq: u32, method: &str, extra: &str, body: &str) -> String {
        format!(
            "{method} sip:x@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{method}{cseq};rport\n\
             From: <sip:1001@example.com>;tag={}\nTo: <sip:1002@example.com>;tag={}\nCall-ID: {}\n\
             CSeq: {cseq} {method}\nContact: <sip:1001@192.0.2.10>\n{extra}Content-Length: {}\n\n{body}",
            self.from_tag,
            self.to_tag,
            self.call_id,
            body.replace('\n', "\r\n").len()
        )
    }
}

const SDP: &str = "Content-Type: application/sdp\n";

/// What leg `a` offered, as a phone would write it.
fn sdp(direction: &str) -> String {
    format!(
        "v=0\no=x 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 8 101\n\
         a=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na={direction}\n"
    )
}

fn last(pair: &Pair) -> &str {
    pair.texts.last().unwrap()
}

#[test]
fn an_unchanged_offer_is_a_refresh_and_nobody_is_told() {
    for method in ["INVITE", "UPDATE"] {
        let mut pair = Pair::connected(Transport::Udp);
        let mut phone = Phone::of(&mut pair);
        pair.inject('b', &phone.request(method, SDP, &sdp("sendrecv")));
        assert!(last(&pair).starts_with("SIP/2.0 200") && last(&pair).contains("m=audio 5000"));
        assert!(pair.b.take().is_empty());
        pair.inject('b', &phone.request("ACK", "", ""));
        pair.advance(Duration::from_secs(40));
        assert_eq!(pair.b.ended(), None);
    }
}

#[test]
fn a_changed_offer_is_asked_and_answered() {
    for method in ["INVITE", "UPDATE"] {
        let mut pair = Pair::connected(Transport::Udp);
        let mut phone = Phone::of(&mut pair);
        pair.inject('b', &phone.request(method, SDP, &sdp("sendonly")));
        let signals = pair.b.take();
        let [LegSignalKind::Reoffered { media: Some(offer) }] = &signals[..] else { panic!("{signals:?}") };
        assert_eq!(offer.direction, Direction::SendOnly);
        let answer =
            sidetone_model::media::MediaDescription { direction: Direction::RecvOnly, ..media(5000) };
        pair.command('b', LegCommandKind::AnswerReoffer { media: Some(answer) });
        assert!(last(&pair).starts_with("SIP/2.0 200") && last(&pair).contains("a=recvonly"));
        assert!(last(&pair).contains(" 2 IN IP4"), "the version of the o-line has grown");
        pair.inject('b', &phone.request("ACK", "", ""));
        assert!(pair.b.take().is_empty());
    }
}

#[test]
fn a_refused_change_leaves_the_session_as_it_was() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    pair.inject('b', &phone.request("INVITE", SDP, &sdp("inactive")));
    pair.command('b', LegCommandKind::AnswerReoffer { media: None });
    assert!(last(&pair).starts_with("SIP/2.0 488") && last(&pair).contains("Warning: 305 sidetone"));
    pair.inject('b', &phone.request("UPDATE", SDP, &sdp("sendrecv")));
    assert!(last(&pair).starts_with("SIP/2.0 200"), "still the old offer");
}

#[test]
fn a_reinvite_without_sdp_gets_our_offer_and_a_second_change_meets_glare() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    pair.inject('b', &phone.request("INVITE", "", ""));
    assert_eq!(pair.b.take(), [LegSignalKind::Reoffered { media: None }]);
    let invite_cseq = phone.cseq;
    pair.inject('b', &phone.request("UPDATE", SDP, &sdp("inactive")));
    assert!(last(&pair).starts_with("SIP/2.0 500") && last(&pair).contains("Retry-After: "));
    pair.command('b', LegCommandKind::AnswerReoffer { media: Some(media(5002)) });
    pair.inject('b', &phone.request("UPDATE", SDP, &sdp("inactive")));
    assert!(last(&pair).starts_with("SIP/2.0 491"), "our offer waits for its answer");
    pair.inject('b', &phone.numbered(invite_cseq, "ACK", SDP, &sdp("recvonly")));
    let signals = pair.b.take();
    assert!(
        matches!(&signals[..], [LegSignalKind::Confirmed { media: Some(m) }] if m.direction == Direction::RecvOnly)
    );
}

#[test]
fn while_the_owner_is_away_refreshes_and_byes_are_answered_and_changes_are_put_off() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    pair.b.leg.as_mut().unwrap().set_owner_away(true);
    pair.inject('b', &phone.request("INVITE", SDP, &sdp("sendonly")));
    assert!(last(&pair).starts_with("SIP/2.0 500") && last(&pair).contains("Retry-After: "));
    pair.inject('b', &phone.request("UPDATE", "", ""));
    assert!(last(&pair).starts_with("SIP/2.0 200"));
    assert!(pair.b.take().is_empty());
    pair.inject('b', &phone.request("BYE", "", ""));
    assert!(last(&pair).starts_with("SIP/2.0 200"));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Normal);
}

#[test]
fn a_bye_during_a_change_closes_the_change_too() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    pair.inject('b', &phone.request("INVITE", SDP, &sdp("sendonly")));
    pair.inject('b', &phone.request("BYE", "", ""));
    assert_eq!(pair.sent("b 487 INVITE"), 1);
    assert_eq!(pair.sent("b 200 BYE"), 1);
    assert!(pair.b.finished);
}

#[test]
fn a_change_that_the_owner_never_answers_is_put_off() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    pair.inject('b', &phone.request("INVITE", SDP, &sdp("sendonly")));
    pair.advance(Duration::from_secs(33));
    assert!(pair.sent("b 500 INVITE") >= 1);
    assert_eq!(pair.b.ended(), None);
}

#[test]
fn a_phone_that_promised_to_refresh_and_does_not_is_hung_up() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    let timer = "Supported: timer\nSession-Expires: 90\n";
    pair.inject('b', &phone.request("UPDATE", timer, ""));
    assert!(last(&pair).contains("Session-Expires: 90;refresher=uac\r\n"));
    pair.advance(Duration::from_secs(50));
    pair.inject('b', &phone.request("UPDATE", timer, ""));
    pair.advance(Duration::from_secs(59));
    assert_eq!(pair.b.ended(), None);
    pair.advance(Duration::from_secs(2));
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Timeout);
}

#[test]
fn digits_by_info() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    let relay = "Content-Type: application/dtmf-relay\n";
    pair.inject('b', &phone.request("INFO", relay, "Signal=5\nDuration=240\n"));
    pair.inject('b', &phone.request("INFO", relay, "Signal= 11\n"));
    pair.inject('b', &phone.request("INFO", "Content-Type: application/dtmf\n", "*"));
    assert_eq!(
        pair.b.take(),
        [
            LegSignalKind::Digit { digit: '5', duration_ms: 240 },
            LegSignalKind::Digit { digit: '#', duration_ms: 160 },
            LegSignalKind::Digit { digit: '*', duration_ms: 160 },
        ]
    );
    pair.inject('b', &phone.request("INFO", relay, "Signal=x\n"));
    assert!(last(&pair).starts_with("SIP/2.0 400"));
    pair.inject('b', &phone.request("INFO", "Content-Type: image/png\n", "x"));
    assert!(last(&pair).starts_with("SIP/2.0 415"));
    pair.inject('b', &phone.request("INFO", "", ""));
    assert!(last(&pair).starts_with("SIP/2.0 200"));
    assert!(pair.b.take().is_empty());
}

#[test]
fn other_methods_and_wrong_numbers() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    for (method, status) in [
        ("OPTIONS", 200),
        ("REFER", 400),
        ("SUBSCRIBE", 405),
        ("DANCE", 501),
        ("PRACK", 481),
        ("NOTIFY", 481),
    ] {
        pair.inject('b', &phone.request(method, "", ""));
        assert!(last(&pair).starts_with(&format!("SIP/2.0 {status}")), "{method}");
    }
    pair.inject('b', &phone.numbered(3, "OPTIONS", "", ""));
    assert!(last(&pair).starts_with("SIP/2.0 500"), "an old CSeq (RFC 3261 section 12.2.2)");
    phone.from_tag = "another".into();
    pair.inject('b', &phone.request("BYE", "", ""));
    assert!(last(&pair).starts_with("SIP/2.0 481"), "another dialog");
    assert_eq!(pair.b.ended(), None);
}

#[test]
fn an_early_call_meets_changes_with_refusals() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    let mut phone = Phone::of(&mut pair);
    pair.inject('b', &phone.request("UPDATE", SDP, &sdp("sendonly")));
    assert!(last(&pair).starts_with("SIP/2.0 500"));
    pair.inject('b', &phone.request("BYE", "", ""));
    assert_eq!(pair.sent("b 487 INVITE"), 1);
    assert_eq!(pair.b.ended().unwrap().cause, Cause::Cancelled);
    let late = pair
        .b
        .leg
        .as_mut()
        .unwrap()
        .handle_command(LegCommandKind::End(Termination::new(Cause::Normal)), pair.now);
    assert!(late.is_err());
}
