//! Whether media is encrypted: by what is set of a device, by the path, and by what phones refuse.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::{Pair, media, response_to};
use sidetone_model::command::LegCommandKind;
use sidetone_model::media::{Crypto, MediaDescription};
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_sip_core::leg::Encryption;

/// As a media node describes itself, with keys.
fn keyed(port: u16) -> MediaDescription {
    let key = Crypto {
        tag: 1,
        suite: "AES_CM_128_HMAC_SHA1_80".into(),
        inline: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz".into(),
        parameters: "".into(),
    };
    MediaDescription { crypto: vec![key], ..media(port) }
}

fn secured(port: u16) -> MediaDescription {
    MediaDescription { secured: true, ..keyed(port) }
}

/// A call from a leg of that setting; nobody answers by itself.
fn calling(transport: Transport, encryption: Encryption, offered: MediaDescription) -> Pair {
    let mut pair = Pair::new(transport);
    pair.a.encryption = encryption;
    pair.offered = offered;
    pair.call();
    pair
}

/// The m-line of the last INVITE, and how many keys are in it.
fn offer(pair: &Pair) -> (String, usize) {
    let invite = pair.texts.iter().rfind(|text| text.starts_with("INVITE")).unwrap();
    let line = invite.lines().find(|line| line.starts_with("m=audio")).unwrap();
    (line.split(' ').nth(2).unwrap().to_owned(), invite.matches("a=crypto:").count())
}

/// The phone answers the last INVITE with a status.
fn refuse(pair: &mut Pair, status: &str) {
    let invite = pair.texts.iter().rfind(|text| text.starts_with("INVITE")).unwrap().clone();
    pair.inject('a', &response_to(&invite, status));
}

#[test]
fn what_is_offered_follows_the_setting_and_the_path() {
    for (transport, encryption, expected) in [
        (Transport::Tls, Encryption::Usual, ("RTP/AVP", 1)),
        (Transport::Udp, Encryption::Usual, ("RTP/AVP", 0)),
        (Transport::Tls, Encryption::Off, ("RTP/AVP", 0)),
        (Transport::Tls, Encryption::Offered, ("RTP/SAVP", 1)),
        (Transport::Tcp, Encryption::Offered, ("RTP/AVP", 0)),
        (Transport::Udp, Encryption::Required, ("RTP/SAVP", 1)),
    ] {
        let (profile, keys) = offer(&calling(transport, encryption, keyed(4000)));
        assert_eq!((profile.as_str(), keys), expected, "{encryption:?} over {transport:?}");
    }
}

#[test]
fn who_refuses_the_first_offer_gets_the_other_one_once() {
    for (encryption, status, second) in [
        (Encryption::Usual, "488 Not Acceptable Here", ("RTP/SAVP", 1)),
        (Encryption::Usual, "415 Unsupported Media Type", ("RTP/SAVP", 1)),
        (Encryption::Offered, "488 Not Acceptable Here", ("RTP/AVP", 0)),
        (Encryption::Offered, "606 Not Acceptable", ("RTP/AVP", 0)),
    ] {
        let mut pair = calling(Transport::Tls, encryption, keyed(4000));
        pair.b.leg = None;
        pair.lose(|_| true);
        refuse(&mut pair, status);
        assert_eq!(pair.a.ended(), None, "{encryption:?} {status}");
        let (profile, keys) = offer(&pair);
        assert_eq!((profile.as_str(), keys), second, "{encryption:?} {status}");
        let invites: Vec<&String> = pair.texts.iter().filter(|text| text.starts_with("INVITE")).collect();
        let field = |text: &str, name: &str| {
            text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
        };
        for name in ["Call-ID:", "From:"] {
            assert_eq!(field(invites[0], name), field(invites[1], name));
        }
        let body = |text: &str| text.split_once("\r\n\r\n").unwrap().1.len();
        assert_eq!(field(invites[1], "Content-Length:"), format!("Content-Length: {}", body(invites[1])));
        assert!(field(invites[1], "CSeq:") > field(invites[0], "CSeq:"));
        refuse(&mut pair, status);
        let told = (status[..3].parse().unwrap(), second.0 == "RTP/SAVP");
        assert_eq!(pair.a.second_offers, [told], "{encryption:?} {status}");
        let end = pair.a.ended().unwrap();
        assert_eq!(end.sip_status, Some(status[..3].parse().unwrap()), "once, and not again and again");
        assert_eq!(pair.texts.iter().filter(|text| text.starts_with("INVITE")).count(), 2);
    }
}

#[test]
fn where_nothing_else_may_be_offered_a_refusal_is_one() {
    for (transport, encryption, media) in [
        (Transport::Udp, Encryption::Usual, keyed(4000)),
        (Transport::Tls, Encryption::Off, keyed(4000)),
        (Transport::Tls, Encryption::Required, keyed(4000)),
        // The media node has a must of its own.
        (Transport::Tls, Encryption::Offered, secured(4000)),
    ] {
        let mut pair = calling(transport, encryption, media);
        pair.lose(|_| true);
        refuse(&mut pair, "488 Not Acceptable Here");
        assert_eq!(pair.a.ended().and_then(|end| end.sip_status), Some(488), "{encryption:?}");
        // What is wrong with another status no other offer mends.
        let mut pair = calling(Transport::Tls, Encryption::Usual, keyed(4000));
        pair.lose(|_| true);
        refuse(&mut pair, "486 Busy Here");
        assert_eq!(pair.a.ended().and_then(|end| end.sip_status), Some(486));
    }
}

#[test]
fn plain_media_is_refused_where_encryption_is_a_must_and_told_why() {
    let mut pair = Pair::new(Transport::Udp);
    pair.b.encryption = Encryption::Required;
    pair.call();
    assert_eq!(pair.a.ended().and_then(|end| end.sip_status), Some(488));
    let refusal = pair.texts.iter().find(|text| text.starts_with("SIP/2.0 488")).unwrap();
    assert!(refusal.contains("Warning: 399 sidetone \"this device is to encrypt its media;"), "{refusal}");
    assert!(pair.b.leg.is_none());
    // Keys under RTP/AVP are good enough (RFC 8643), and the answer must have some, too.
    let mut pair = Pair::new(Transport::Tls);
    (pair.b.encryption, pair.offered) = (Encryption::Required, keyed(4000));
    pair.call();
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert_eq!(pair.sent("b 488 INVITE"), 1);
    let why = pair.b.ended().unwrap();
    assert!(why.cause == Cause::NoCommonCodec && why.text.contains("media.srtp"), "{why:?}");
}

#[test]
fn an_answer_without_keys_ends_a_call_that_must_have_them() {
    let mut pair = calling(Transport::Tls, Encryption::Required, keyed(4000));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    let end = pair.a.ended().unwrap();
    assert!(end.cause == Cause::NoCommonCodec && end.text.contains("switch SRTP on"), "{end:?}");
    assert_eq!(pair.sent("a BYE"), 1);
    let mut pair = calling(Transport::Tls, Encryption::Required, keyed(4000));
    pair.command('b', LegCommandKind::Answer { media: secured(5000) });
    assert_eq!(pair.a.ended(), None);
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
}

#[test]
fn changes_of_a_session_keep_what_is_a_must() {
    let mut pair = calling(Transport::Tls, Encryption::Required, keyed(4000));
    pair.command('b', LegCommandKind::Answer { media: secured(5000) });
    pair.a.take();
    // A re-INVITE without keys: the session stays as it was.
    pair.command('b', LegCommandKind::Reoffer { media: media(5002) });
    assert!(pair.texts.iter().any(|text| text.starts_with("SIP/2.0 488") && text.contains("Warning: 399")));
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed() && pair.a.ended().is_none());
    // What is restored after a restart has it, too.
    let leg = pair.a.leg.as_ref().unwrap();
    let stored = leg.export().unwrap();
    let restored = sidetone_sip_core::leg::Leg::restore(
        stored,
        "sidetone",
        sidetone_sip_core::transaction::Timers::default(),
        pair.now,
    );
    pair.a.leg = restored;
    pair.a.leg.as_mut().unwrap().set_owner_away(false);
    let refusals = pair.sent("a 488 INVITE");
    pair.command('b', LegCommandKind::Reoffer { media: media(5004) });
    assert_eq!(pair.sent("a 488 INVITE"), refusals + 1);
}

#[test]
fn off_takes_no_keys_and_refuses_srtp() {
    let mut pair = Pair::new(Transport::Tls);
    (pair.b.encryption, pair.offered) = (Encryption::Off, keyed(4000));
    pair.call();
    let Some(LegSignalKind::Offered(offered)) = pair.b.signals.first() else { panic!("no call") };
    assert!(offered.media.as_ref().unwrap().crypto.is_empty());
    let mut pair = Pair::new(Transport::Tls);
    (pair.b.encryption, pair.offered) = (Encryption::Off, secured(4000));
    pair.a.encryption = Encryption::Required;
    pair.call();
    assert_eq!(pair.a.ended().and_then(|end| end.sip_status), Some(488));
    let refusal = pair.texts.iter().find(|text| text.starts_with("SIP/2.0 488")).unwrap();
    assert!(refusal.contains("switch SRTP off in it"), "{refusal}");
}

#[test]
fn without_keys_of_the_media_node_a_call_that_must_have_them_is_not_begun() {
    let pair = Pair::new(Transport::Udp);
    let invite = pair.invite();
    let mut setup = pair.a.setup();
    setup.encryption = Encryption::Required;
    let mut tokens = sidetone_sip_core::tokens::Tokens::seeded([7; 32]);
    let audience = sidetone_sip_core::identity::Audience::Phone;
    let begun = sidetone_sip_core::leg::Leg::outgoing(setup, &invite, audience, "1".into(), &mut tokens);
    assert_eq!(begun.err(), Some(sidetone_sip_core::leg::CommandError::NoKeys));
}
