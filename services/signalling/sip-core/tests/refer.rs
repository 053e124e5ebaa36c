//! A phone passes its call on (RFC 3515), takes another's place (RFC 3891), or names others in its place (3xx).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, response_to};
use sidetone_model::command::{LegCommandKind, ReferralState};
use sidetone_model::party::Transport;
use sidetone_model::signal::{LegSignalKind, Target};
use sidetone_model::termination::{Cause, Termination};

/// The phone behind leg `b`, by hand.
struct Phone {
    cseq: u32,
    head: String,
}

impl Phone {
    fn of(pair: &mut Pair) -> Self {
        pair.lose(|label| label.starts_with("b "));
        let dialog = pair.b.leg.as_ref().unwrap().dialog();
        let head = format!(
            "From: <sip:1001@example.com>;tag={}\nTo: <sip:1002@example.com>;tag={}\nCall-ID: {}\n\
             Contact: <sip:1001@192.0.2.10>\n",
            dialog.remote_tag().unwrap(),
            dialog.local_tag(),
            dialog.call_id()
        );
        Self { cseq: 10, head }
    }

    fn refers(&mut self, pair: &mut Pair, extra: &str) {
        self.cseq += 1;
        let text = format!(
            "REFER sip:x@192.0.2.20 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKr{0};rport\n{1}\
             CSeq: {0} REFER\n{extra}Content-Length: 0\n\n",
            self.cseq, self.head
        );
        pair.inject('b', &text);
    }
}

fn goes_on(pair: &mut Pair, state: ReferralState) {
    pair.command('b', LegCommandKind::Referral(state));
}

/// First line, event, state and fragment of each NOTIFY, not counting copies.
fn notified(pair: &Pair) -> Vec<[String; 3]> {
    let mut texts: Vec<&String> = pair.texts.iter().filter(|text| text.starts_with("NOTIFY")).collect();
    texts.dedup();
    let header = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    texts
        .into_iter()
        .map(|text| {
            assert_eq!(header(text, "Content-Type:"), "message/sipfrag;version=2.0");
            [
                header(text, "Event:"),
                header(text, "Subscription-State:"),
                text.lines().last().unwrap().to_owned(),
            ]
        })
        .collect()
}

fn last(pair: &Pair) -> &str {
    pair.texts.last().unwrap()
}

#[test]
fn it_is_accepted_told_and_over() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    phone.refers(&mut pair, "Refer-To: <sip:1003@example.com>\n");
    let asked = (Target { number: "1003".into(), own: true }, false);
    assert_eq!(pair.b.refers, [asked]);
    assert_eq!(
        pair.texts.iter().filter(|text| text.starts_with("SIP/2.0 2")).count(),
        0,
        "nothing before the owner"
    );
    goes_on(&mut pair, ReferralState::Accepted);
    assert!(
        pair.texts.iter().any(|text| text.starts_with("SIP/2.0 202 Accepted") && text.contains("Contact:"))
    );
    goes_on(&mut pair, ReferralState::Ringing);
    goes_on(&mut pair, ReferralState::Succeeded);
    let active = "active;expires=600";
    let expected = [
        ["refer", active, "SIP/2.0 100 Trying"],
        ["refer", active, "SIP/2.0 180 Ringing"],
        ["refer", "terminated;reason=noresource", "SIP/2.0 200 OK"],
    ];
    assert_eq!(notified(&pair), expected.map(|row| row.map(str::to_owned)));
    let again = pair
        .b
        .leg
        .as_mut()
        .unwrap()
        .handle_command(LegCommandKind::Referral(ReferralState::Ringing), pair.now);
    assert!(again.is_err(), "it is over");
    // The next one says which it is (section 2.4.6), and fails.
    phone.refers(&mut pair, "r: <sip:1004@192.0.2.20>\n");
    assert_eq!(pair.b.refers.len(), 2);
    assert!(pair.b.refers[1].0.own, "the address by which the phone reaches us");
    goes_on(&mut pair, ReferralState::Accepted);
    goes_on(&mut pair, ReferralState::Failed(Termination::new(Cause::Busy)));
    let rows = notified(&pair);
    assert_eq!(
        rows.last().unwrap()[..],
        ["refer;id=12", "terminated;reason=noresource", "SIP/2.0 486 Busy Here"]
    );
}

#[test]
fn who_does_not_want_to_hear_of_it_does_not() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    phone.refers(&mut pair, "Refer-To: sip:1003@example.com\nRefer-Sub: false\nRequire: norefersub\n");
    goes_on(&mut pair, ReferralState::Accepted);
    let accepted = pair.texts.iter().find(|text| text.starts_with("SIP/2.0 202")).unwrap();
    assert!(accepted.contains("Refer-Sub: false\r\n"));
    goes_on(&mut pair, ReferralState::Succeeded);
    assert_eq!(notified(&pair).len(), 0);
}

#[test]
fn refusals_say_why_and_leave_the_call_alone() {
    for (cause, status) in [
        (Cause::Forbidden, "SIP/2.0 403"),
        (Cause::Rejected, "SIP/2.0 603"),
        (Cause::NotFound, "SIP/2.0 404"),
    ] {
        let mut pair = Pair::connected(Transport::Udp);
        let mut phone = Phone::of(&mut pair);
        phone.refers(&mut pair, "Refer-To: <sip:1003@elsewhere.example>\n");
        assert!(!pair.b.refers[0].0.own);
        goes_on(&mut pair, ReferralState::Failed(Termination::new(cause)));
        assert!(last(&pair).starts_with(status) && last(&pair).contains("Reason: Q.850"), "{}", last(&pair));
        assert!(pair.b.ended().is_none());
    }
    for (extra, status) in [
        ("", "SIP/2.0 400"),
        ("Refer-To: <sip:1@example.com>\nRefer-To: <sip:2@example.com>\n", "SIP/2.0 400"),
        ("Refer-To: <sip:1@example.com?Replaces=a>\n", "SIP/2.0 400"),
        ("Refer-To: <http://example.com>\n", "SIP/2.0 416"),
        ("Refer-To: <sip:1@example.com;method=BYE>\n", "SIP/2.0 416"),
    ] {
        let mut pair = Pair::connected(Transport::Udp);
        let mut phone = Phone::of(&mut pair);
        phone.refers(&mut pair, extra);
        assert!(last(&pair).starts_with(status), "{extra}: {}", last(&pair));
        assert_eq!(pair.b.refers, []);
    }
}

#[test]
fn one_at_a_time_and_none_without_an_owner() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    phone.refers(&mut pair, "Refer-To: <tel:+1-555-0100>\n");
    assert_eq!(pair.b.refers, [(Target { number: "+15550100".into(), own: true }, false)]);
    phone.refers(&mut pair, "Refer-To: <sip:1003@example.com>\n");
    assert!(last(&pair).starts_with("SIP/2.0 491"));
    // An owner that says nothing: the phone hears it before it gives up by itself.
    pair.advance(Duration::from_secs(17));
    assert!(pair.texts.iter().any(|text| text.starts_with("SIP/2.0 500") && text.contains("Retry-After")));
    pair.b.leg.as_mut().unwrap().set_owner_away(true);
    phone.refers(&mut pair, "Refer-To: <sip:1003@example.com>\n");
    assert!(last(&pair).starts_with("SIP/2.0 500"));
    assert_eq!(pair.b.refers.len(), 1);
}

#[test]
fn who_hangs_up_gets_an_answer_to_the_refer() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    phone.refers(&mut pair, "Refer-To: <sip:1003@example.com>\n");
    pair.command('b', LegCommandKind::End(Termination::new(Cause::Normal)));
    assert!(pair.texts.iter().any(|text| text.starts_with("SIP/2.0 487") && text.contains("REFER")));
}

#[test]
fn a_replaces_names_the_dialog_that_is_meant() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    phone.refers(&mut pair, "Refer-To: <sip:1003@example.com?Replaces=c%40x%3Bto-tag%3D1%3Bfrom-tag%3D2>\n");
    assert_eq!(pair.b.refers, [(Target { number: "1003".into(), own: true }, true)]);
}

#[test]
fn a_phone_that_forgot_the_subscription_hears_no_more() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut phone = Phone::of(&mut pair);
    phone.refers(&mut pair, "Refer-To: <sip:1003@example.com>\n");
    goes_on(&mut pair, ReferralState::Accepted);
    let notify = last(&pair).to_owned();
    pair.inject('b', &response_to(&notify, "481 Subscription Does Not Exist"));
    let ringing = LegCommandKind::Referral(ReferralState::Ringing);
    assert!(pair.b.leg.as_mut().unwrap().handle_command(ringing, pair.now).is_err());
    assert!(pair.b.ended().is_none(), "the call goes on");
}

#[test]
fn contacts_of_a_redirection_are_told_best_first() {
    for (status, named) in [
        ("302 Moved Temporarily", true),
        ("300 Multiple Choices", true),
        ("305 Use Proxy", false),
        ("380 Alternative", false),
    ] {
        let mut pair = Pair::new(Transport::Udp);
        pair.lose(|label| label == "a INVITE");
        pair.call();
        let invite = pair.texts[0].clone();
        let contacts = "Contact: <sip:1005@elsewhere.example>;q=0.2, <sip:1004@example.com>;q=0.9\nContact: <tel:+1555>;q=0.5\n";
        let answer =
            response_to(&invite, status).replace("Content-Length", &format!("{contacts}Content-Length"));
        pair.inject('a', &answer);
        let target = |number: &str, own| Target { number: number.into(), own };
        let targets = vec![target("1004", true), target("+1555", true), target("1005", false)];
        let ended = pair.a.ended().unwrap();
        assert_eq!(ended.sip_status, status[..3].parse().ok());
        let told = pair.a.signals.contains(&LegSignalKind::Redirected { targets });
        assert_eq!((told, ended.cause == Cause::Diverted), (named, named), "{status}");
        assert!(matches!(pair.a.signals.last(), Some(LegSignalKind::Ended(_))));
    }
}
