//! The torture messages of RFC 4475 and RFC 5118: what is to become of each, and why.
//!
//! Each goes the way it goes in the server, as far as this crate decides it: parser, transaction layer, the checks of
//! RFC 3261 section 8.2, and then the leg, the registrar or the authenticator.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::path::PathBuf;

use bytes::Bytes;
use harness::{addr, epoch};
use sidetone_model::party::{Flow, Transport};
use sidetone_model::time::Timestamp;
use sidetone_sip_core::auth::Credentials;
use sidetone_sip_core::leg::{Caller, Encryption, Leg, LegSetup};
use sidetone_sip_core::message::{
    Framed, Framer, FramingError, Limits, Message, Method, Request, Response, ResponseBuilder, Status,
    parse_datagram,
};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{Event, Timers, Transactions, TransactionsConfig};
use sidetone_sip_core::{outside, registrar};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// An INVITE that makes a leg, which is then offered to call control.
    Offered,
    /// Answered with that status.
    Answer(u16),
    /// A well-formed response to nothing of ours: counted and dropped.
    Stray,
    /// Dropped for that reason, without a word.
    Dropped(&'static str),
}
use Verdict::{Answer, Dropped, Offered, Stray};

type Row = (&'static str, &'static str, Verdict, &'static str);

/// Name, section, verdict, and what the RFC says. "May" marks where it leaves a choice.
const RFC_4475: [Row; 49] = [
    (
        "wsinv",
        "3.1.1.1",
        Answer(481),
        "well formed: folding, spaces, compact forms; its To names a dialog that is none of ours",
    ),
    ("intmeth", "3.1.1.2", Answer(501), "well formed; nobody knows that method (RFC 3261 section 21.5.2)"),
    ("esc01", "3.1.1.3", Offered, "well formed; the user is sips:user@example.com, escaped"),
    ("escnull", "3.1.1.4", Answer(200), "well formed; both NUL contacts are bound, and are two"),
    ("esc02", "3.1.1.5", Answer(501), "no escapes in a method: it is not REGISTER"),
    ("lwsdisp", "3.1.1.6", Answer(200), "no space is needed before <"),
    ("longreq", "3.1.1.7", Offered, "long, and well formed; its branch has no cookie, so RFC 2543 matching"),
    ("dblreq", "3.1.1.8", Answer(200), "what follows the declared body is ignored on UDP"),
    ("semiuri", "3.1.1.9", Answer(200), "the ; belongs to the user part"),
    ("transports", "3.1.1.10", Answer(200), "transports that nobody knows stand only in the lower Vias"),
    ("mpart01", "3.1.1.11", Answer(405), "well formed; MESSAGE is known and of no use here"),
    ("unreason", "3.1.1.12", Stray, "a reason phrase in UTF-8"),
    ("noreason", "3.1.1.13", Stray, "an empty reason phrase"),
    ("badinv01", "3.1.2.1", Answer(400), "separators without values in Via and Contact"),
    ("clerr", "3.1.2.2", Answer(400), "the datagram ends before its declared body does"),
    ("ncl", "3.1.2.3", Answer(400), "a negative length"),
    ("scalar02", "3.1.2.4", Answer(400), "a CSeq beyond 2**32"),
    ("scalarlg", "3.1.2.5", Dropped("bad_response"), "nobody answers a response; it is discarded"),
    ("quotbal", "3.1.2.6", Answer(400), "the quotation never ends"),
    ("ltgtruri", "3.1.2.7", Answer(400), "may be tolerated; 400 is reasonable"),
    ("lwsruri", "3.1.2.8", Answer(400), "may be tolerated; should be 400"),
    ("lwsstart", "3.1.2.9", Answer(400), "may be tolerated; 400 is acceptable"),
    ("trws", "3.1.2.10", Answer(400), "may be tolerated; 400 is acceptable"),
    ("escruri", "3.1.2.11", Answer(400), "may be tolerated without the headers; 400 is acceptable"),
    ("baddate", "3.1.2.12", Offered, "who does not use the Date should not mind it, and we do not"),
    ("regbadct", "3.1.2.13", Answer(400), "may be guessed; 400 is reasonable"),
    ("badaspec", "3.1.2.14", Answer(400), "may be tolerated; 400 is reasonable"),
    (
        "baddn",
        "3.1.2.15",
        Answer(400),
        "may be guessed; always reasonable to refuse. The RFC's file has no empty line either",
    ),
    ("badvers", "3.1.2.16", Answer(505), "another version of SIP"),
    ("mismatch01", "3.1.2.17", Answer(400), "CSeq names another method"),
    ("mismatch02", "3.1.2.18", Answer(501), "the same of an unknown method: 501 is preferred to 400"),
    ("bigcode", "3.1.2.19", Dropped("bad_response"), "a status beyond all; the response is discarded"),
    ("badbranch", "3.2.1", Answer(200), "may be refused; or matched the RFC 2543 way, as here"),
    ("insuf", "3.3.1", Answer(400), "no Call-ID, From and To; ideally 400"),
    ("unkscm", "3.3.2", Answer(416), "an unknown scheme"),
    ("novelsc", "3.3.3", Answer(416), "a known scheme that is no SIP"),
    ("unksm2", "3.3.4", Answer(400), "well formed; a registrar refuses what is no address-of-record"),
    ("bext01", "3.3.5", Answer(420), "required extensions, named in Unsupported"),
    ("invut", "3.3.6", Answer(415), "a body of an unknown type, with Accept in the answer"),
    ("regaut01", "3.3.7", Answer(401), "an unknown scheme is as if there were no credentials"),
    ("multi01", "3.3.8", Answer(400), "several From, To, Call-ID and CSeq"),
    ("mcl01", "3.3.9", Answer(400), "two lengths"),
    ("bcast", "3.3.10", Stray, "a second Via that is not ours: discarded like any stray response"),
    ("zeromf", "3.3.11", Answer(200), "an endpoint answers, whatever Max-Forwards says"),
    ("cparam01", "3.3.12", Answer(200), "unknownparam belongs to the header field"),
    ("cparam02", "3.3.13", Answer(200), "unknownparam belongs to the URI"),
    ("regescrt", "3.3.14", Answer(200), "the Route in the Contact's URI is kept for later requests"),
    ("sdp01", "3.3.15", Answer(406), "the caller takes no SDP in the answer"),
    ("inv2543", "3.4.1", Offered, "RFC 2543: no tag, no branch, no Contact, no length"),
];

const RFC_5118: [Row; 12] = [
    ("ipv6-good", "4.1", Answer(200), "a reference in brackets"),
    ("ipv6-bad", "4.2", Answer(400), "an address without brackets"),
    ("port-ambiguous", "4.3", Answer(200), "5070 is a part of the address"),
    ("port-unambiguous", "4.4", Answer(200), "5070 is the port"),
    (
        "via-received-param-with-delim",
        "4.5",
        Answer(481),
        "received in brackets must be taken; a BYE to no dialog",
    ),
    ("via-received-param-no-delim", "4.5", Answer(200), "received without brackets is the grammar's form"),
    ("ipv6-in-sdp", "4.6", Offered, "IP6 in o= and c="),
    ("mult-ip-in-header", "4.7", Answer(481), "both families in Via; a BYE to no dialog"),
    ("mult-ip-in-sdp", "4.8", Offered, "one family for each stream"),
    ("ipv4-mapped-ipv6", "4.9", Offered, "a mapped address everywhere"),
    (
        "ipv6-bug-abnf-3-colons",
        "4.10",
        Answer(200),
        "three colons: a mistake of the old grammar, to be tolerated",
    ),
    ("ipv6-correct-abnf-2-colons", "4.10", Answer(200), "two colons before the IPv4 part"),
];

fn read(rfc: &str, name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/torture/{rfc}/{name}.sip"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).into()
}

fn all() -> impl Iterator<Item = (&'static str, Row)> {
    let rows = |rfc: &'static str, rows: &'static [Row]| rows.iter().map(move |row| (rfc, *row));
    rows("rfc4475", &RFC_4475).chain(rows("rfc5118", &RFC_5118))
}

fn parse(bytes: &Bytes) -> Message {
    parse_datagram(bytes.clone(), &Limits::default()).unwrap()
}

fn request(rfc: &str, name: &str) -> Request {
    match parse(&read(rfc, name)) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("{name} is a response"),
    }
}

fn flow() -> Flow {
    Flow { transport: Transport::Udp, local: addr("192.0.2.1:5060"), remote: addr("203.0.113.9:5060") }
}

/// The server's way of a datagram.
fn receive(bytes: &Bytes) -> (Verdict, Option<Bytes>) {
    let message = match parse_datagram(bytes.clone(), &Limits::default()) {
        Ok(message) => message,
        Err(failure) => {
            let answer = failure.response(flow().remote, "ours");
            return match &answer {
                Some(bytes) => (Answer(status_in(bytes)), answer),
                None => (Dropped(failure.reason()), None),
            };
        }
    };
    let mut layer: Transactions<()> =
        Transactions::new(TransactionsConfig::default(), Tokens::seeded([1; 32]));
    layer.handle_message(message, &flow(), epoch());
    let Some(Event::Request { tx, request, .. }) = layer.poll_event() else {
        assert_eq!(layer.counters().unmatched, 1, "neither an event nor a stray");
        return (Stray, None);
    };
    let Some(response) = judge(tx, &request) else { return (Offered, None) };
    assert!(layer.respond(tx, response, epoch()));
    let bytes = layer.poll_transmit().unwrap().bytes;
    (Answer(status_in(&bytes)), Some(bytes))
}

/// What the server does with a request of a tenant's phone; none for an INVITE that is offered to call control.
fn judge(tx: sidetone_sip_core::transaction::ServerTx, request: &Request) -> Option<Response> {
    let answer = |status| Some(ResponseBuilder::new(request, status, "ours").build());
    if request.dialog_key().is_some() {
        return answer(Status::NO_SUCH_TRANSACTION);
    }
    if let Err(refusal) = outside::inspect(request) {
        return Some(refusal.response(request, "ours").build());
    }
    let credentials = request.authorization();
    if !credentials.is_empty() && credentials.iter().all(|text| Credentials::parse(text).is_none()) {
        return answer(Status::UNAUTHORIZED);
    }
    match request.method() {
        Method::Invite => {
            let setup = LegSetup {
                flow: flow(),
                advertised: flow().local,
                domain: "example.com".into(),
                product: "sidetone".into(),
                timers: Timers::default(),
                session_interval_s: 0,
                encryption: Encryption::default(),
            };
            let mut tokens = Tokens::seeded([2; 32]);
            Leg::incoming(setup, tx, request.clone(), Caller::default(), &mut tokens, epoch())
                .err()
                .map(|refusal| *refusal)
        }
        Method::Register => {
            let (policy, now) = (registrar::RegistrarPolicy::default(), Timestamp::from_millis(1));
            Some(match registrar::process(&[], request, &flow(), &policy, now) {
                Ok(registration) => registration.response(request, "ours", None, now),
                Err(error) => error.response(request, "ours"),
            })
        }
        _ => answer(Status::OK),
    }
}

fn status_in(bytes: &[u8]) -> u16 {
    String::from_utf8_lossy(&bytes[8..11]).parse().unwrap()
}

#[test]
fn every_message_meets_its_verdict() {
    let mut wrong = Vec::new();
    for (rfc, (name, section, verdict, why)) in all() {
        let (met, answer) = receive(&read(rfc, name));
        if met != verdict {
            wrong.push(format!("{rfc} {section} {name}: {met:?} instead of {verdict:?} ({why})"));
        }
        // Whatever we say is well formed and finds its transaction, unless the request itself lacked what that takes.
        let lacking = [
            "badinv01",
            "scalar02",
            "quotbal",
            "badaspec",
            "baddn",
            "badvers",
            "insuf",
            "multi01",
            "mismatch01",
            "mismatch02",
        ];
        if let Some(answer) = answer.filter(|_| !lacking.contains(&name)) {
            let parsed = parse_datagram(answer.clone(), &Limits::default());
            assert!(parsed.is_ok(), "{name}: {}", String::from_utf8_lossy(&answer));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_well_formed_goes_out_as_it_came_in() {
    for (rfc, (name, ..)) in all() {
        let bytes = read(rfc, name);
        let Ok(message) = parse_datagram(bytes.clone(), &Limits::default()) else { continue };
        let out = message.to_bytes();
        if name == "dblreq" {
            assert!(bytes.starts_with(&out) && out.ends_with(b"Content-Length: 0\r\n\r\n"));
        } else {
            assert_eq!(out, bytes, "{name}");
        }
    }
}

/// On a stream only Content-Length decides what happens to the connection.
#[test]
fn on_a_stream_a_doubtful_length_ends_the_connection_and_nothing_else_does() {
    for (rfc, (name, _, verdict, _)) in all() {
        let mut framer = Framer::new(Limits::default());
        framer.push(&read(rfc, name));
        let first = framer.poll_framed();
        match name {
            "ncl" | "mcl01" => assert_eq!(first.unwrap_err(), FramingError::BadContentLength, "{name}"),
            "inv2543" => assert_eq!(first.unwrap_err(), FramingError::NoContentLength),
            // The rest may still come.
            "clerr" | "baddn" => assert!(first.unwrap().is_none(), "{name}"),
            _ => match (first.unwrap().unwrap(), verdict) {
                (Framed::Message(message), _) => {
                    assert_eq!(message.to_bytes(), parse(&read(rfc, name)).to_bytes(), "{name}");
                }
                (Framed::Failure(failure), Answer(status)) => {
                    let answer = failure.response(flow().remote, "ours").unwrap();
                    assert_eq!(status_in(&answer), status, "{name}");
                }
                (Framed::Failure(failure), Dropped(reason)) => assert_eq!(failure.reason(), reason),
                other => panic!("{name}: {other:?}"),
            },
        }
    }
}

#[test]
fn two_requests_behind_one_another_are_two_on_a_stream() {
    let mut framer = Framer::new(Limits::default());
    framer.push(&read("rfc4475", "dblreq"));
    let mut methods = Vec::new();
    // The body behind the second one is longer than declared, by mistake of the RFC: there the stream ends.
    while let Ok(Some(framed)) = framer.poll_framed() {
        if let Framed::Message(Message::Request(request)) = framed {
            methods.push(request.method().to_string());
        }
    }
    assert_eq!(methods, ["REGISTER", "INVITE"]);
}

#[test]
fn what_is_unusual_is_understood() {
    let wsinv = request("rfc4475", "wsinv");
    assert_eq!(&*wsinv.from().display_name, "J Rosenberg \\\"");
    assert_eq!((wsinv.max_forwards(), wsinv.cseq()), (Some(68), 9));
    assert_eq!((wsinv.to().tag(), wsinv.from().tag()), (Some("1918181833n"), Some("98asjd8")));
    assert_eq!(wsinv.headers_named("Via").len(), 2);
    assert_eq!(wsinv.header("UnknownHeaderWithUnusualValue").as_deref(), Some(";;,,;;,;"));

    let intmeth = request("rfc4475", "intmeth");
    assert_eq!(&*intmeth.to().display_name, "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    assert_eq!(intmeth.from().param("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(intmeth.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");

    let esc01 = request("rfc4475", "esc01");
    assert_eq!(
        (esc01.uri().user().as_str(), esc01.uri().host().as_str()),
        ("sips:user@example.com", "example.net")
    );
    assert_eq!((esc01.to().uri.user().as_str(), esc01.from().uri.user().as_str()), ("user", "I have spaces"));

    let esc02 = request("rfc4475", "esc02");
    assert_eq!(esc02.method(), Method::Other("RE%47IST%45R".into()));
    assert_eq!(esc02.contacts().unwrap().len(), 2, "C%6Fntact is no Contact");
    assert_eq!(&*esc02.to().display_name, "%Z%45");

    assert_eq!(request("rfc4475", "semiuri").uri().user(), "user;par=u@example.net");
    assert_eq!(request("rfc4475", "longreq").headers_named("Via").len(), 34);
    assert_eq!(request("rfc4475", "mpart01").body().len(), 553);
}

#[test]
fn what_is_registered_is_kept_to_the_letter() {
    let bound = |name: &str| {
        let register = request("rfc4475", name);
        let now = Timestamp::from_millis(1);
        let made = registrar::process(&[], &register, &flow(), &registrar::RegistrarPolicy::default(), now);
        made.unwrap().bindings.iter().map(|binding| binding.uri.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(bound("escnull"), ["sip:%00@host5.example.com", "sip:%00%00@host5.example.com"]);
    assert_eq!(bound("cparam01"), ["sip:+19725552222@gw1.example.net"]);
    assert_eq!(bound("cparam02"), ["sip:+19725552222@gw1.example.net;unknownparam"]);
    assert_eq!(bound("regescrt"), ["sip:user@example.com?Route=%3Csip:sip.example.com%3E"]);
}

#[test]
fn refusals_say_what_is_missing() {
    let text = |name: &str| {
        let (_, answer) = receive(&read("rfc4475", name));
        String::from_utf8_lossy(&answer.unwrap()).into_owned()
    };
    assert!(text("bext01").contains("Unsupported: nothingSupportsThis, nothingSupportsThisEither\r\n"));
    assert!(text("invut").contains("Accept: application/sdp, multipart/mixed"));
    assert!(text("intmeth").contains("Allow: INVITE, "));
    let insuf = text("insuf");
    assert!(
        insuf.contains("CSeq: 193942 INVITE\r\n") && !insuf.contains("Call-ID") && !insuf.contains("To:")
    );
}

#[test]
fn addresses_of_six_are_read() {
    let uri = |name: &str| request("rfc5118", name).uri();
    assert_eq!(uri("port-ambiguous").host(), "2001:db8::10:5070");
    assert_eq!(
        (uri("port-unambiguous").host(), uri("port-unambiguous").port()),
        ("2001:db8::10".into(), Some(5070))
    );
    let sdp = |name: &str| sidetone_sip_core::sdp::parse(request("rfc5118", name).body()).unwrap();
    assert_eq!(sdp("ipv6-in-sdp").rtp, addr("[2001:db8::20]:6000"));
    assert_eq!(sdp("mult-ip-in-sdp").rtp, addr("192.0.2.1:22334"));
    assert_eq!(sdp("ipv4-mapped-ipv6").rtp, addr("[::ffff:192.0.2.2]:6000"));
    assert_eq!(&*request("rfc5118", "mult-ip-in-header").via().host, "2001:db8::9:1");
}
