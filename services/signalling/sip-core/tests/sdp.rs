//! SDP as phones really write it, and as we do.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use sidetone_model::classify::Classify;
use sidetone_model::media::{
    Direction, Dtls, Encoding, Fingerprint, Format, Holder, Ice, MediaDescription, Setup,
};
use sidetone_model::termination::Cause;
use sidetone_sip_core::sdp::{Profile, SdpError, SdpIdentity, parse, parse_session, write, write_answer};

fn ours() -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp: "192.0.2.1:4000".parse().unwrap(),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![
            Format::new(0, Encoding::Pcmu, 8000),
            Format { parameters: Some("0-16".into()), ..Format::new(97, Encoding::TelephoneEvent, 8000) },
        ],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

fn identity() -> SdpIdentity {
    SdpIdentity { origin: "192.0.2.1".parse().unwrap(), session_id: 5, version: 1 }
}

#[test]
fn a_description_survives_its_text() {
    let cases = [
        ours(),
        MediaDescription { rtp: "[2001:db8::1]:4000".parse().unwrap(), ..ours() },
        MediaDescription { rtcp: Some("192.0.2.7:9".parse().unwrap()), rtcp_mux: true, ..ours() },
        MediaDescription { direction: Direction::Inactive, ptime_ms: 30, ..ours() },
        MediaDescription { wants_voip_metrics: true, ..ours() },
        MediaDescription {
            formats: vec![Format { channels: 2, ..Format::new(111, Encoding::Opus, 48_000) }],
            ..ours()
        },
    ];
    for media in cases {
        assert_eq!(parse(write(&media, &identity()).as_bytes()), Ok(media));
    }
}

#[test]
fn our_text_is_in_the_order_of_rfc_8866() {
    let text = write(&ours(), &identity());
    assert_eq!(
        text,
        "v=0\r\no=- 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 97\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn careless_phones_are_understood() {
    // LF only, no s= and t=, words in o=, Latin-1 in s=, static types without rtpmap, odd spacing.
    let body = b"v=0\no=m\xfcller abc 1.5 IN IP4 phone.local\ns=Gespr\xe4ch\nc=IN IP4 192.0.2.9\n\
        m=audio  4002  RTP/AVP 8 0 18 101 96 \na=rtpmap:101 Telephone-Event/8000\na=PTIME:30\n";
    let media = parse(body).unwrap();
    assert_eq!(media.rtp, "192.0.2.9:4002".parse().unwrap());
    let names: Vec<&str> = media.formats.iter().map(|format| format.encoding.name()).collect();
    assert_eq!(names, ["PCMA", "PCMU", "G729", "telephone-event"], "96 says nothing and is left out");
    assert_eq!((media.ptime_ms, media.direction), (30, Direction::SendRecv));
}

/// RFC 3611, section 5.1, with the forms of its examples.
#[test]
fn who_asks_how_it_is_heard_is_understood() {
    let asks = |session: &str, media: &str| {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.9\r\n{session}m=audio 4002 RTP/AVP 8\r\n{media}");
        parse(text.as_bytes()).unwrap().wants_voip_metrics
    };
    assert!(asks("", "a=rtcp-xr:voip-metrics\r\n"));
    assert!(asks("a=rtcp-xr:rcvr-rtt=all:10 VOIP-METRICS\r\n", ""), "for the whole session");
    assert!(asks("", "a=rtcp-xr:pkt-loss-rle=100 stat-summary=loss,jitt\r\na=rtcp-xr:voip-metrics\r\n"));
    assert!(
        !asks("a=rtcp-xr:voip-metrics\r\n", "a=rtcp-xr:pkt-rcpt-times\r\n"),
        "the stream's own goes before"
    );
    for nothing in ["", "a=rtcp-xr\r\n", "a=rtcp-xr:\r\n", "a=rtcp-xr:voip-metrics-2\r\n"] {
        assert!(!asks("", nothing), "{nothing}");
    }
    let text = write(&MediaDescription { wants_voip_metrics: true, ..ours() }, &identity());
    assert!(text.contains("\r\na=rtcp-xr:voip-metrics\r\n"), "{text}");
}

#[test]
fn addresses_and_directions_of_the_media_go_before_those_of_the_session() {
    let body =
        b"v=0\r\nc=IN IP4 192.0.2.9\r\na=sendonly\r\nm=audio 4002 RTP/AVP 8\r\nc=IN IP6 2001:db8::9\r\n\
        a=recvonly\r\na=rtcp:5000\r\n";
    let media = parse(body).unwrap();
    assert_eq!(media.rtp, "[2001:db8::9]:4002".parse().unwrap());
    assert_eq!(media.rtcp, Some("[2001:db8::9]:5000".parse().unwrap()));
    assert_eq!(media.direction, Direction::RecvOnly);
    let held = parse(b"v=0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\nm=audio 4002 RTP/AVP 8\r\n").unwrap();
    assert!(held.rtp.ip().is_unspecified());
    assert_eq!(held.direction, Direction::Inactive);
}

#[test]
fn other_streams_are_refused_in_their_places() {
    let body = b"v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/SAVP 8\r\nm=video 4010 RTP/AVP 96 97\r\n\
        m=audio 4002 RTP/AVPF 8\r\nm=image 4020 udptl t38\r\n";
    let offer = parse_session(body).unwrap();
    assert_eq!((offer.audio_index, offer.profile), (2, Profile::Avpf));
    let answer = write_answer(&ours(), &offer, &identity());
    let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=audio 0 RTP/SAVP 8",
            "m=video 0 RTP/AVP 96 97",
            "m=audio 4000 RTP/AVPF 0 97",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn a_refused_stream_has_port_0() {
    let media = parse(b"v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 0 RTP/AVP 8\r\n").unwrap();
    assert_eq!(media.rtp.port(), 0);
    let refused = MediaDescription { rtp: "192.0.2.1:0".parse().unwrap(), formats: Vec::new(), ..ours() };
    assert!(write(&refused, &identity()).ends_with("m=audio 0 RTP/AVP 0\r\n"));
}

#[test]
fn what_cannot_be_used_is_named() {
    let cases: [(&[u8], SdpError); 6] = [
        (b"hello", SdpError::Malformed),
        (b"v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio x RTP/AVP 8\r\n", SdpError::Malformed),
        (b"v=0\r\nc=IN IP4 192.0.2.9\r\nm=video 4000 RTP/AVP 96\r\n", SdpError::NoAudio),
        (b"v=0\r\nm=audio 4000 RTP/AVP 8\r\n", SdpError::NoAddress),
        (b"v=0\r\nc=IN IP4 phone.example.com\r\nm=audio 4000 RTP/AVP 8\r\n", SdpError::HostName),
        (b"v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 96 x\r\n", SdpError::NoFormat),
    ];
    for (body, error) in cases {
        assert_eq!(parse(body), Err(error));
        assert!(error.reason().starts_with("sdp_"));
    }
    assert_eq!(parse(&vec![b'v'; 20_000]), Err(SdpError::TooLarge));
    assert_eq!(SdpError::NoAudio.cause(), Cause::NoCommonCodec);
}

#[test]
fn every_form_of_hold_is_one() {
    use sidetone_model::media::Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (address, attribute, direction) in [
        ("IP4 192.0.2.9", "a=sendrecv", SendRecv),
        ("IP4 192.0.2.9", "a=sendonly", SendOnly),
        ("IP4 192.0.2.9", "a=recvonly", RecvOnly),
        ("IP4 192.0.2.9", "a=inactive", Inactive),
        // RFC 3264 section 8.4: the way of RFC 2543.
        ("IP4 0.0.0.0", "a=ptime:20", SendOnly),
        ("IP4 0.0.0.0", "a=sendrecv", SendOnly),
        ("IP4 0.0.0.0", "a=sendonly", SendOnly),
        ("IP4 0.0.0.0", "a=recvonly", Inactive),
        ("IP4 0.0.0.0", "a=inactive", Inactive),
        ("IP6 ::", "a=sendrecv", SendOnly),
    ] {
        let body = format!("v=0\r\nc=IN {address}\r\nm=audio 4000 RTP/AVP 8\r\n{attribute}\r\n");
        assert_eq!(parse(body.as_bytes()).unwrap().direction, direction, "{address} {attribute}");
    }
}

#[test]
fn keys_come_and_go_under_both_kinds_of_profile_and_are_not_shown() {
    let lines = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32\r\n\
                 a=crypto:2 AEAD_AES_128_GCM inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmM= UNENCRYPTED_SRTCP\r\n\
                 a=crypto:x BAD inline:AAAA\r\na=crypto:3 BAD inline:AAAA;inline:BBBB\r\n";
    for (profile, secured) in [("RTP/AVP", false), ("RTP/SAVP", true), ("RTP/SAVPF", true)] {
        let body = format!("v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 {profile} 0\r\n{lines}");
        let session = parse_session(body.as_bytes()).unwrap();
        let keys: Vec<_> = session.audio.crypto.iter().map(|c| (c.tag, &*c.suite, &*c.parameters)).collect();
        let expected = [(1, "AES_CM_128_HMAC_SHA1_80", ""), (2, "AEAD_AES_128_GCM", "UNENCRYPTED_SRTCP")];
        assert_eq!((keys, session.audio.secured), (expected.to_vec(), secured), "{profile}");
        assert!(!format!("{session:?}").contains("d0RmdmcmV"), "a key is shown");
        let answer = MediaDescription { secured, crypto: session.audio.crypto[..1].to_vec(), ..ours() };
        let text = write_answer(&answer, &session, &identity());
        assert!(
            text.contains(&format!(" {profile} 0")) && text.contains(lines.lines().next().unwrap()),
            "{text}"
        );
        assert_eq!(parse(text.as_bytes()).unwrap(), answer);
    }
    let offer = MediaDescription { secured: true, ..ours() };
    assert_eq!(
        parse(write(&offer, &identity()).as_bytes()),
        Err(SdpError::NoAudio),
        "nothing to speak it with"
    );
}

/// What a browser offers: sound and picture in one bundle, no address yet, and the other names of the same certificate.
const BROWSER: &str = "v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
    a=fingerprint:SHA-256 0a:FF:10\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=candidate:1 1 udp 2113937151 b1c2.local 50000 typ host\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=ice-options:trickle\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
    a=rtpmap:63 red/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n";

fn proved(setup: Setup) -> MediaDescription {
    let fingerprint = Fingerprint { hash: "sha-256".into(), value: [0xab, 0x01].into() };
    MediaDescription {
        rtcp_mux: true,
        secured: true,
        dtls: Some(Box::new(Dtls { fingerprints: vec![fingerprint], setup })),
        ice: Some(Box::new(Ice { ufrag: "abcd".into(), pwd: "0123456789012345678901".into(), lite: true })),
        ..ours()
    }
}

#[test]
fn a_browser_is_understood_and_answered() {
    let offer = parse_session(BROWSER.as_bytes()).unwrap();
    let audio = &offer.audio;
    let dtls = audio.dtls.as_ref().unwrap();
    assert_eq!(
        (&*dtls.fingerprints[0].hash, &*dtls.fingerprints[0].value),
        ("sha-256", &[0x0a, 0xff, 0x10][..])
    );
    assert_eq!((dtls.setup, audio.secured, audio.rtcp_mux), (Setup::Actpass, true, true));
    let ice = audio.ice.as_ref().unwrap();
    assert_eq!((&*ice.ufrag, &*ice.pwd, ice.lite), ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", false));
    assert_eq!(audio.direction, Direction::SendRecv, "no address yet is no hold");
    assert!(!format!("{offer:?}").contains("P2uYro"), "a password is shown");
    let answer = write_answer(&proved(Setup::Passive), &offer, &identity());
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 0 97\r\na=mid:0",
        "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host",
        "a=fingerprint:sha-256 AB:01",
        "a=setup:passive",
        "a=rtcp-mux",
    ] {
        assert!(answer.contains(&format!("{line}\r\n")), "no {line} in\n{answer}");
    }
    assert_eq!(parse(answer.as_bytes()).unwrap(), proved(Setup::Passive));
}

#[test]
fn an_offer_to_a_browser_survives_its_text() {
    let text = write(&proved(Setup::Actpass), &identity());
    assert!(text.contains("UDP/TLS/RTP/SAVPF 0 97\r\na=mid:0\r\n") && text.contains("a=group:BUNDLE 0\r\n"));
    assert_eq!(parse(text.as_bytes()).unwrap(), proved(Setup::Actpass));
}

#[test]
fn keys_are_taken_from_where_the_profile_says() {
    let body = |profile: &str, lines: &str| {
        format!(
            "v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 {profile} 0\r\na=fingerprint:sha-256 AA:BB\r\n{lines}"
        )
    };
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    for (profile, lines, by_dtls, by_sdp) in [
        ("UDP/TLS/RTP/SAVP", crypto, true, false),
        ("RTP/SAVPF", crypto, false, true),
        ("RTP/SAVPF", "", true, false),
        ("RTP/AVP", "", true, false),
    ] {
        let media = parse(body(profile, lines).as_bytes()).unwrap();
        assert_eq!((media.dtls.is_some(), !media.crypto.is_empty()), (by_dtls, by_sdp), "{profile}");
        assert_eq!(media.dtls.map_or(Setup::Active, |dtls| dtls.setup), Setup::Active, "RFC 4145, section 4");
    }
    for line in ["sha-256 AA:B", "sha-256 AA:+B", "sha-256", "sha-256 AA:BB:"] {
        let body = body("UDP/TLS/RTP/SAVP", "").replace("sha-256 AA:BB", line);
        assert_eq!(parse(body.as_bytes()), Err(SdpError::NoAudio), "{line}");
    }
}
