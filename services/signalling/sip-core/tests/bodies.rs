//! Bodies of several parts (RFC 5621, RFC 2046 section 5.1): the session description is found among what gateways and phones put
//! beside it, and what must be understood and is not gets a 415.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_sip_core::body::{self, Unsupported};
use sidetone_sip_core::message::{Limits, Message, Request, parse_datagram};

const SDP: &str = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 8\r\n";

fn invite(content_type: &str, extra: &str, body: &str) -> String {
    format!(
        "INVITE sip:1002@192.0.2.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:1001@example.com>;tag=x\r\nTo: <sip:1002@example.com>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:1001@192.0.2.10>\r\nContent-Type: {content_type}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn request(text: &str) -> Request {
    match parse_datagram(text.as_bytes().to_vec().into(), &Limits::default()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a request"),
    }
}

/// The harness writes the line ends.
fn inject(pair: &mut Pair, side: char, text: &str) {
    pair.inject(side, &text.replace("\r\n", "\n"));
}

/// What is found in a body of parts, each its header fields and its content.
fn found(subtype: &str, parts: &[(&str, &str)]) -> Result<Option<String>, Unsupported> {
    let part = |(fields, content): &(&str, &str)| format!("--b1\r\n{fields}\r\n{content}\r\n");
    let body: String = parts.iter().map(part).collect::<String>() + "--b1--\r\n";
    let text = invite(&format!("multipart/{subtype};boundary=b1"), "", &body);
    let part = body::of_request(&request(&text))?;
    Ok(part.map(|part| String::from_utf8(part.to_vec()).unwrap()))
}

const IS_SDP: &str = "Content-Type: application/sdp\r\n";

#[test]
fn the_description_is_found_among_the_parts() {
    let isup = "Content-Type: application/ISUP;version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n";
    let sdp = || Ok(Some(SDP.to_owned()));
    assert_eq!(found("mixed", &[(IS_SDP, SDP), (isup, "IAM")]), sdp());
    assert_eq!(found("mixed", &[(isup, "IAM"), (IS_SDP, SDP)]), sdp());
    assert_eq!(found("related", &[("", "text"), ("c: Application/SDP; charset=utf-8\r\n", SDP)]), sdp());
    // The first counts; of alternatives the last that is understood.
    assert_eq!(found("mixed", &[(IS_SDP, SDP), (IS_SDP, "v=1")]), sdp());
    assert_eq!(found("alternative", &[(IS_SDP, "v=1"), (IS_SDP, SDP), (isup, "IAM")]), sdp());
    // Early sessions (RFC 3959), and what is written in a way of mail, are none that we understand.
    let early = "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n";
    let base64 = "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n";
    assert_eq!(found("mixed", &[(early, "v=1"), (base64, "dj0w"), (IS_SDP, SDP)]), sdp());
    assert_eq!(found("mixed", &[(isup, "IAM")]), Ok(None), "no offer");
    assert_eq!(found("mixed", &[]), Ok(None));
    // Parts within parts.
    let inner = format!("--i\r\n\r\ntext\r\n--i\r\n{IS_SDP}\r\n{SDP}\r\n--i--");
    assert_eq!(found("mixed", &[("Content-Type: multipart/alternative; boundary=\"i\"\r\n", &inner)]), sdp());
}

#[test]
fn what_must_be_understood_and_is_not_is_refused() {
    let required = "Content-Type: application/ISUP\r\nContent-Disposition: signal;handling=required\r\n";
    assert_eq!(found("mixed", &[(IS_SDP, SDP), (required, "IAM")]), Err(Unsupported));
    assert_eq!(found("alternative", &[(required, "IAM"), (IS_SDP, SDP)]), Ok(Some(SDP.to_owned())));
    // A whole body of another kind is refused unless it may be left out.
    let whole = |extra| body::of_request(&request(&invite("application/ISUP", extra, "IAM")));
    assert_eq!(whole(""), Err(Unsupported));
    assert_eq!(whole("Content-Disposition: signal;handling=optional\r\n"), Ok(None));
    let mut pair = Pair::new(Transport::Udp);
    inject(&mut pair, 'b', &invite("application/ISUP", "", "IAM"));
    let refusal = pair.texts.last().unwrap();
    assert!(refusal.starts_with("SIP/2.0 415") && refusal.contains("multipart/mixed"), "{refusal}");
}

#[test]
fn broken_and_endless_bodies_come_to_an_end() {
    let of = |content_type: &str, body: &str| body::of_request(&request(&invite(content_type, "", body)));
    // Without a boundary nobody knows where the parts are.
    assert_eq!(of("multipart/mixed", SDP), Err(Unsupported));
    // The last delimiter may be missing, and lines may end with LF alone.
    let open = format!("--b\n{IS_SDP}\n{SDP}");
    assert_eq!(of("multipart/mixed;boundary=b", &open).unwrap().unwrap(), SDP.as_bytes());
    // Beyond the 16th part nothing is looked at, nor deeper than three.
    let many = "--b\r\n\r\nx\r\n".repeat(2000) + "--b\r\n" + IS_SDP + "\r\n" + SDP;
    assert_eq!(of("multipart/mixed;boundary=b", &many), Ok(None));
    let deep = (0..40).rev().fold(format!("{IS_SDP}\r\n{SDP}"), |inner, n| {
        format!("Content-Type: multipart/mixed;boundary=b{n}\r\n\r\n--b{n}\r\n{inner}\r\n--b{n}--")
    });
    assert_eq!(of("multipart/mixed;boundary=b", &format!("--b\r\n{deep}\r\n--b--")), Ok(None));
}

#[test]
fn a_gateways_invite_is_a_call_with_its_offer_and_its_ack_and_answers_are_read_too() {
    let bytes = include_bytes!("../testdata/corpus/sip/invite-isup.sip");
    let Ok(Message::Request(invite)) = parse_datagram(bytes.to_vec().into(), &Limits::default()) else {
        panic!("a request")
    };
    let part = body::of_request(&invite).unwrap().unwrap();
    assert!(part.starts_with(b"v=0\r\n") && part.ends_with(b"RTP/AVP 8\r\n"));

    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    inject(&mut pair, 'b', std::str::from_utf8(bytes).unwrap());
    let signals = pair.b.take();
    let [LegSignalKind::Offered(offered)] = &signals[..] else { panic!("{signals:?}") };
    assert_eq!(offered.media.as_ref().unwrap().rtp, harness::addr("192.0.2.40:4000"));

    // Outwards: the answer is one part of a 183, and the 200 brings ISUP alone.
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    pair.call();
    let invite = pair.texts[0].clone();
    let line = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap_or_default().trim_end();
    let response = |status: &str, content_type: &str, body: &str| {
        format!(
            "SIP/2.0 {status}\r\n{}\r\n{}\r\n{};tag=gw\r\n{}\r\n{}\r\nContact: <sip:gw@192.0.2.20:5070>\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            line("Via"),
            line("From"),
            line("To"),
            line("Call-ID"),
            line("CSeq"),
            body.len()
        )
    };
    let both =
        format!("--x\r\nContent-Type: application/ISUP\r\n\r\nACM\r\n--x\r\n{IS_SDP}\r\n{SDP}\r\n--x--\r\n");
    let isup = "--x\r\nContent-Type: application/ISUP\r\n\r\nANM\r\n--x--\r\n";
    inject(&mut pair, 'a', &response("183 Session Progress", "multipart/mixed;boundary=x", &both));
    inject(&mut pair, 'a', &response("200 OK", "multipart/mixed;boundary=x", isup));
    let signals = pair.a.take();
    let ports: Vec<Option<u16>> = signals
        .iter()
        .map(|signal| match signal {
            LegSignalKind::Progress { media } | LegSignalKind::Answered { media } => {
                media.as_ref().map(|media| media.rtp.port())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ports, [Some(4000); 2]);
}

#[test]
fn the_answer_of_a_late_offer_is_found_in_the_parts_of_an_ack() {
    let mut pair = Pair::new(Transport::Udp);
    let invite = invite("application/sdp", "", "");
    inject(&mut pair, 'b', &invite);
    pair.b.take();
    pair.lose(|_| true);
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    let tag = pair.b.leg.as_ref().unwrap().dialog().local_tag().to_owned();
    let parts = format!("--x\r\n{IS_SDP}\r\n{SDP}\r\n--x--\r\n");
    let head = invite.replace("INVITE", "ACK").replace("z9hG4bK1", "z9hG4bK2");
    let head = head.replace("To: <sip:1002@example.com>", &format!("To: <sip:1002@example.com>;tag={tag}"));
    let head = head.replace("application/sdp", "multipart/mixed;boundary=x");
    let ack = head.replace("Content-Length: 0", &format!("Content-Length: {}", parts.len())) + &parts;
    inject(&mut pair, 'b', &ack);
    let signals = pair.b.take();
    let [LegSignalKind::Confirmed { media: Some(answer) }] = &signals[..] else { panic!("{signals:?}") };
    assert_eq!(answer.rtp, harness::addr("192.0.2.10:4000"));
}
