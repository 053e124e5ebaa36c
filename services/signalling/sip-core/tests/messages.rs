//! Parsing, salvage of broken requests, framing of streams, and the promise that no input panics.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use bytes::Bytes;
use proptest::prelude::*;
use sidetone_model::command::LegCommandKind;
use sidetone_sip_core::message::{
    Contact, DropReason, Framed, Framer, FramingError, Limits, Message, Method, ParseFailure, Request,
    ResponseBuilder, Status, parse_datagram,
};

const INVITE: &str = "INVITE sip:1002;x=1@example.com:5070;transport=tcp SIP/2.0\r\n\
v: SIP/2.0/TCP 192.0.2.9:5062;branch=z9hG4bK77;rport, SIP/2.0/UDP far.example.com;branch=z9hG4bK1\r\n\
Max-Forwards: 70\r\n\
f: \"Anna \\\"A\\\"\" <sip:1001@example.com>;tag=abc\r\n\
t: <sip:1002@example.com>\r\n\
i: call-1\r\n\
CSeq: 7 INVITE\r\n\
m: <sip:1001@192.0.2.9:5062;transport=tcp>;expires=60;+sip.instance=\"<urn:uuid:1>\"\r\n\
Record-Route: <sip:p1.example.com;lr>,\r\n <sip:p2.example.com;lr>\r\n\
k: timer, 100rel\r\n\
Expires: 120\r\n\
User-Agent: phone/1\r\n\
c: application/sdp;charset=utf-8\r\n\
l: 5\r\n\
\r\nv=0\r\nrest that is not ours";

fn parse(text: &str) -> Result<Message, ParseFailure> {
    parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn request(text: &str) -> Request {
    match parse(text).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

#[test]
fn everything_a_server_needs_is_there() {
    let invite = request(INVITE);
    assert_eq!(invite.method(), Method::Invite);
    assert_eq!(
        (invite.uri().user(), invite.uri().host(), invite.uri().port()),
        ("1002;x=1".into(), "example.com".into(), Some(5070))
    );
    assert_eq!(invite.uri().param("transport").as_deref(), Some("tcp"));
    assert_eq!(
        (&*invite.via().transport, &*invite.via().host, invite.via().port),
        ("TCP", "192.0.2.9", Some(5062))
    );
    assert!(invite.via().rport);
    assert_eq!(&*invite.from().display_name, "Anna \"A\"");
    assert_eq!((invite.from().tag(), invite.to().tag()), (Some("abc"), None));
    assert_eq!((invite.call_id(), invite.cseq()), ("call-1", 7));
    let Contact::Address(contact) = invite.contacts().unwrap().remove(0) else { panic!() };
    assert_eq!(
        (contact.param("expires"), contact.param("+sip.instance")),
        (Some("60"), Some("<urn:uuid:1>"))
    );
    assert_eq!(invite.record_route().unwrap().len(), 2);
    assert!(invite.lists("Supported", "100rel") && !invite.lists("Require", "timer"));
    assert_eq!((invite.expires_s(), invite.max_forwards()), (Some(120), Some(70)));
    assert_eq!(invite.user_agent().as_deref(), Some("phone/1"));
    assert_eq!(
        (invite.content_type().as_str(), invite.body().as_ref()),
        ("application/sdp", &b"v=0\r\n"[..])
    );
    assert!(invite.is_initial_invite() && invite.dialog_key().is_none());
}

#[test]
fn a_response_copies_what_it_must() {
    let invite = request(INVITE);
    let response =
        ResponseBuilder::new(&invite, Status::RINGING, "t1").header("X", "a\r\nInjected: yes").build();
    let text = String::from_utf8(response.to_bytes().to_vec()).unwrap();
    assert!(text.starts_with("SIP/2.0 180 Ringing\r\n"));
    assert!(text.contains("SIP/2.0/UDP far.example.com;branch=z9hG4bK1\r\n"));
    assert!(text.contains("<sip:1002@example.com>;tag=t1\r\n"));
    assert!(!text.contains("Injected"));
    let trying = ResponseBuilder::new(&invite, Status::TRYING, "t1").build();
    assert!(!String::from_utf8_lossy(&trying.to_bytes()).contains("tag=t1"));
}

#[test]
fn a_broken_request_is_answered_when_its_sender_can_be_found() {
    let source = "203.0.113.5:9999".parse().unwrap();
    for (broken, status) in [
        (INVITE.replace("CSeq: 7 INVITE", "CSeq: x INVITE"), "400"),
        (INVITE.replace("CSeq: 7 INVITE", "CSeq: 7 BYE"), "400"),
        (INVITE.replace("f: \"Anna", "f: \"Anna \" <"), "400"),
        (INVITE.replace("l: 5", "l: 5000"), "400"),
        (INVITE.replace("l: 5", "l: -1"), "400"),
        (INVITE.replace("Expires: 120", "no colon here"), "400"),
        (INVITE.replace("SIP/2.0\r\nv:", "SIP/7.0\r\nv:"), "505"),
        (INVITE.replace("User-Agent: phone/1", &format!("X: {}", "y".repeat(9000))), "413"),
    ] {
        let failure = parse(&broken).unwrap_err();
        let answer =
            failure.response(source, "ours").unwrap_or_else(|| panic!("{}: {broken}", failure.reason()));
        let text = String::from_utf8(answer.to_vec()).unwrap();
        assert!(text.starts_with(&format!("SIP/2.0 {status} ")), "{text}");
        assert!(text.contains(";received=203.0.113.5;rport=9999, SIP/2.0/UDP far"), "{text}");
        assert!(text.contains("Call-ID: call-1\r\n") && text.contains(";tag=ours\r\n"));
        assert!(parse(&text).is_ok() || text.contains("CSeq: x") || text.contains("Anna \" <"), "{text}");
    }
}

#[test]
fn what_must_not_be_answered_is_dropped_with_its_reason() {
    let reason = |text: &str| match parse(text).unwrap_err() {
        ParseFailure::Drop(reason) => reason,
        ParseFailure::Answer { reason, .. } => panic!("{reason}"),
    };
    assert_eq!(reason(""), DropReason::KeepAlive);
    assert_eq!(reason("\r\n\r\n"), DropReason::KeepAlive);
    assert_eq!(reason("\0\0\0\0"), DropReason::KeepAlive);
    assert_eq!(reason("GET / HTTP/1.1\r\n\r\n"), DropReason::NotSip);
    assert_eq!(reason("SIP/2.0 200 OK\r\n\r\n"), DropReason::BadResponse);
    assert_eq!(reason(&INVITE.replace("INVITE sip", "ACK sip")), DropReason::BadAck);
    assert_eq!(reason(&INVITE.replace("CSeq: 7 INVITE\r\n", "")), DropReason::NotSip);
}

fn frames(framer: &mut Framer) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(framed) = framer.poll_framed().unwrap() {
        out.push(match framed {
            Framed::Message(Message::Request(request)) => request.method().to_string(),
            Framed::Message(Message::Response(response)) => response.status().to_string(),
            Framed::Failure(failure) => failure.reason().to_owned(),
            Framed::Ping => "ping".to_owned(),
        });
    }
    out
}

fn stream() -> String {
    let whole = INVITE.split("rest that").next().unwrap().to_owned();
    let bye = whole.replace("INVITE", "BYE").replace("l: 5", "l: 0").replace("\r\nv=0\r\n", "\r\n");
    let broken = bye.replace("Expires: 120", "no colon");
    format!("{whole}\r\n\r\n{broken}{bye}\r\n{bye}\r\n\r\n\r\n")
}

#[test]
fn a_stream_is_framed_the_same_however_it_is_cut() {
    let expected = ["INVITE", "ping", "header_syntax", "BYE", "BYE", "ping"];
    for size in [1, 2, 3, 7, 64, 100_000] {
        let mut framer = Framer::new(Limits::default());
        let mut seen = Vec::new();
        for chunk in stream().as_bytes().chunks(size) {
            framer.push(chunk);
            seen.extend(frames(&mut framer));
        }
        assert_eq!(seen, expected, "in pieces of {size}");
    }
}

#[test]
fn a_stream_in_doubt_is_given_up() {
    for (head, error) in [
        (INVITE.replace("l: 5\r\n", ""), FramingError::NoContentLength),
        (INVITE.replace("l: 5\r\n", "l: 5\r\nContent-Length: 6\r\n"), FramingError::BadContentLength),
        (INVITE.replace("l: 5\r\n", "l: +5\r\n"), FramingError::BadContentLength),
        (INVITE.replace("l: 5\r\n", "l: 70000\r\n"), FramingError::TooLarge),
        ("x".repeat(70_000), FramingError::TooLarge),
    ] {
        let mut framer = Framer::new(Limits::default());
        framer.push(head.as_bytes());
        assert_eq!(framer.poll_framed().unwrap_err(), error);
        framer.push(INVITE.as_bytes());
        assert_eq!(framer.poll_framed().unwrap_err(), error, "for good");
    }
}

/// Whatever parses may also open a leg, be answered, and come again within its dialog.
fn open_leg(request: Request) -> bool {
    let now = harness::epoch();
    let mut side = harness::Pair::new(sidetone_model::party::Transport::Udp).b;
    let flow = side.setup().flow;
    side.transactions.handle_message(Message::Request(request), &flow, now);
    side.pump(now);
    let Some(leg) = &mut side.leg else { return false };
    let media = harness::media(5000);
    let _ = leg.handle_command(LegCommandKind::Ring { media: Some(media.clone()) }, now);
    let _ = leg.handle_command(LegCommandKind::Answer { media }, now);
    side.pump(now);
    while let Some(transmit) = side.transactions.poll_transmit() {
        assert!(parse_datagram(transmit.bytes, &Limits::default()).is_ok(), "what we send is well formed");
    }
    true
}

#[test]
fn the_unchanged_message_opens_a_leg() {
    let base = INVITE.replace("l: 5\r\n", "").replace("rest that is not ours", SDP_REST);
    assert!(open_leg(request(&base)));
}

fn exercise(bytes: &[u8]) {
    let mut framer = Framer::new(Limits::default());
    framer.push(bytes);
    while let Ok(Some(_)) = framer.poll_framed() {}
    let _ = sidetone_sip_core::sdp::parse_session(bytes);
    match parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default()) {
        Ok(Message::Request(request)) => {
            let _ = (request.contacts(), request.record_route(), request.route(), request.content_type());
            let _ = (request.uri().to_string(), request.uri().host_addr(), request.dialog_key());
            for text in request.authorization() {
                let _ = sidetone_sip_core::auth::Credentials::parse(&text);
            }
            open_leg(request.clone());
            let response = ResponseBuilder::new(&request, Status::OK, "t").build();
            let again = parse_datagram(response.to_bytes(), &Limits::default());
            assert!(again.is_ok(), "our own answer must be well formed");
        }
        Ok(Message::Response(response)) => {
            let _ = (response.contacts(), response.status(), response.dialog_key());
        }
        Err(failure) => {
            let _ = failure.response("192.0.2.1:5060".parse().unwrap(), "t");
        }
    }
}

const SDP_REST: &str =
    "c=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn mutated_messages_never_panic(
        edits in proptest::collection::vec((0usize..900, 0u8..4, any::<u8>()), 1..8),
        cut in 0usize..1200,
    ) {
        // Without a length the body runs to the end, so that every cut leaves something to parse.
        let base = INVITE.replace("l: 5\r\n", "").replace("rest that is not ours", SDP_REST);
        let mut bytes = base.into_bytes();
        for (at, kind, byte) in edits {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => bytes[at] = b"\r\n:;,<>\"@ "[usize::from(byte) % 10],
            }
        }
        bytes.truncate(cut.max(20));
        exercise(&bytes);
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
    }
}
