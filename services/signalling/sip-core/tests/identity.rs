//! Who calls, who may know, and by which way (RFC 3323, 3325, 5806, 7044).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::media;
use sidetone_model::call::{Diversion, DiversionReason};
use sidetone_model::command::Invite;
use sidetone_model::ids::{DeviceId, ReplicaId, UserId};
use sidetone_model::party::{Binding, Flow, Party, Transport};
use sidetone_sip_core::identity::{self, Audience, Bounds, CallerIdentity};
use sidetone_sip_core::leg::{Encryption, Leg, LegOutput, LegSetup};
use sidetone_sip_core::message::{Limits, Message, Request, parse_datagram};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::Timers;

const TRUSTED: Audience = Audience::Trusted { remote_party_id: false };

fn invite_with(from: &str, headers: &str) -> Request {
    let text = format!(
        "INVITE sip:1002@alpha.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
         From: {from};tag=a\r\nTo: <sip:1002@alpha.test>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:192.0.2.7>\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    match parse_datagram(text.into_bytes().into(), &Limits::default()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

fn read(from: &str, headers: &str, trusted: bool) -> CallerIdentity {
    identity::read(&invite_with(from, headers), trusted, Bounds::default())
}

fn names(identity: &CallerIdentity) -> Vec<&str> {
    identity.headers.iter().map(|(name, _)| &**name).collect()
}

fn call(anonymous: bool, diversions: Vec<Diversion>, headers: &[(&str, &str)]) -> Invite {
    let address = "192.0.2.20:5060".parse().unwrap();
    let flow = Flow { transport: Transport::Udp, local: address, remote: address };
    let binding = Binding {
        user: UserId::new("u").unwrap(),
        device: DeviceId::new("d").unwrap(),
        contact_uri: "sip:1002@192.0.2.20".into(),
        replica: ReplicaId::new("r").unwrap(),
        flow,
        path: Vec::new(),
    };
    let from = Party { number: "1001".into(), display_name: "Ada".into(), ..Party::default() };
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Invite {
        from,
        to: "1002".into(),
        binding,
        media: media(4000),
        auto_answer: false,
        call: None,
        anonymous,
        diversions,
        headers,
        max_forwards: None,
    }
}

/// The INVITE that goes out.
fn written(invite: &Invite, audience: Audience) -> Request {
    let setup = LegSetup {
        flow: invite.binding.flow.clone(),
        advertised: "192.0.2.1:5060".parse().unwrap(),
        domain: "alpha.test".into(),
        product: "Sidetone".into(),
        timers: Timers::default(),
        session_interval_s: 0,
        encryption: Encryption::default(),
    };
    let mut leg = Leg::outgoing(setup, invite, audience, "1".into(), &mut Tokens::seeded([1; 32])).unwrap();
    match leg.poll_output() {
        Some(LegOutput::Request { request, .. }) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_carrier_asserts_is_believed_of_those_that_are_trusted() {
    let headers = "P-Asserted-Identity: \"Ada L\" <sip:+4930123@carrier.test>, <tel:+4930123>\r\n";
    let from = "\"Nobody\" <sip:4711@carrier.test>";
    let believed = read(from, headers, true);
    assert_eq!(
        (&*believed.number, &*believed.display_name, believed.anonymous),
        ("+4930123", "Ada L", false)
    );
    assert_eq!(names(&believed), ["P-Asserted-Identity"]);
    let stranger = read(from, headers, false);
    assert_eq!((&*stranger.number, &*stranger.display_name), ("4711", "Nobody"));
    assert_eq!((stranger.headers.len(), stranger.distrusted), (0, 1));
    // A tel URI alone, and the older header.
    let tel = read(from, "P-Asserted-Identity: tel:+49-30-(123)\r\n", true);
    assert_eq!(&*tel.number, "+4930123");
    let older = "Remote-Party-ID: <sip:9@c.test>;party=called, \"Ada\" <sip:30123@c.test>;party=calling;privacy=off\r\n";
    let older = read(from, older, true);
    assert_eq!((&*older.number, &*older.display_name, older.anonymous), ("30123", "Ada", false));
}

#[test]
fn a_caller_who_wants_to_be_anonymous_is_named_nowhere_but_in_what_was_asserted() {
    let asserted = "P-Asserted-Identity: <sip:+4930123@carrier.test>\r\n";
    let from = "\"Ada\" <sip:+4930123@carrier.test>";
    for wish in ["Privacy: id\r\n", "Privacy: header; user;critical\r\n", "Privacy: id,user\r\n"] {
        let caller = read(from, &format!("{asserted}{wish}"), true);
        assert_eq!(
            (&*caller.number, &*caller.display_name, caller.anonymous),
            ("anonymous", "", true),
            "{wish}"
        );
        assert_eq!(names(&caller), ["P-Asserted-Identity"]);
    }
    let unnamed = read("\"Anonymous\" <sip:anonymous@anonymous.invalid>", "", false);
    assert!(unnamed.anonymous);
    let restricted = "Remote-Party-ID: <sip:30123@c.test>;privacy=full\r\n";
    assert!(read(from, restricted, true).anonymous);
    // Nothing of it: what hides routes is done for every call.
    for wish in ["Privacy: none\r\n", "Privacy: header\r\n", "Privacy: session\r\n", ""] {
        assert!(!read(from, &format!("{asserted}{wish}"), true).anonymous, "{wish}");
    }
}

#[test]
fn header_fields_are_carried_in_order_and_bounded_and_no_flood_pushes_out_what_is_asserted() {
    let few = "X-Account: 7\r\nSubject: hello\r\nx-account: 8\r\nP-Charging-Vector: icid=1\r\nUser-Agent: u\r\n\
               P-Preferred-Identity: <sip:1@a.test>\r\nReferred-By: <sip:1003@a.test>\r\n";
    let carried = read("<sip:1@a.test>", few, false);
    let expected = ["X-Account", "Subject", "x-account", "P-Charging-Vector", "Referred-By"];
    assert_eq!(names(&carried), expected);
    assert_eq!((&*carried.headers[0].1, &*carried.headers[2].1), ("7", "8"));
    let flood: String = (0..40).map(|n| format!("X-N: {n}\r\n")).collect();
    let flood = format!("{flood}P-Asserted-Identity: <sip:2@a.test>\r\nDiversion: <sip:3@a.test>\r\n");
    let bounds = Bounds { count_max: 5, bytes_max: 1000 };
    let bounded = identity::read(&invite_with("<sip:1@a.test>", &flood), true, bounds);
    assert_eq!(names(&bounded), ["X-N", "X-N", "X-N", "P-Asserted-Identity", "Diversion"]);
    assert_eq!(bounded.left_out, 37);
    let large = format!("X-Large: {}\r\nX-Small: 1\r\n", "a".repeat(2000));
    let bounds = Bounds { count_max: 5, bytes_max: 100 };
    let bounded = identity::read(&invite_with("<sip:1@a.test>", &large), true, bounds);
    assert_eq!((names(&bounded), bounded.left_out), (vec!["X-Small"], 1));
    let none = Bounds { count_max: 0, bytes_max: 0 };
    assert!(identity::read(&invite_with("<sip:1@a.test>", few), true, none).headers.is_empty());
}

#[test]
fn everybody_is_told_what_is_theirs_to_know() {
    let open = call(false, Vec::new(), &[]);
    for audience in [Audience::Phone, TRUSTED] {
        let invite = written(&open, audience);
        assert_eq!(invite.header("P-Asserted-Identity").unwrap(), "\"Ada\" <sip:1001@alpha.test>");
        assert_eq!(invite.header("Privacy"), None);
        assert_eq!(invite.from().uri.to_string(), "sip:1001@alpha.test");
    }
    let stranger = written(&open, Audience::Stranger);
    assert_eq!(stranger.header("P-Asserted-Identity"), None);
    assert_eq!(stranger.from().uri.user(), "1001");
    let older = written(&open, Audience::Trusted { remote_party_id: true });
    let expected = "\"Ada\" <sip:1001@alpha.test>;party=calling;screen=yes;privacy=off";
    assert_eq!(older.header("Remote-Party-ID").unwrap(), expected);
    assert_eq!(older.header("P-Asserted-Identity"), None);
}

#[test]
fn who_is_anonymous_is_named_to_trusted_carriers_alone() {
    let hidden = call(true, Vec::new(), &[]);
    for audience in [Audience::Phone, Audience::Stranger, TRUSTED] {
        let invite = written(&hidden, audience);
        assert_eq!(
            invite.header("From").unwrap().split(";tag").next().unwrap(),
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>"
        );
        assert_eq!(invite.contact_target().unwrap().user(), "anonymous");
        let text = String::from_utf8(invite.to_bytes().to_vec()).unwrap();
        let named = text.contains("1001@") || text.contains("Ada");
        assert_eq!(named, audience == TRUSTED, "{text}");
    }
    let invite = written(&hidden, TRUSTED);
    assert_eq!(invite.header("P-Asserted-Identity").unwrap(), "\"Ada\" <sip:1001@alpha.test>");
    assert_eq!(invite.header("Privacy").unwrap(), "id");
    let asserted = [("P-Asserted-Identity", "\"Eve\" <sip:+4940@carrier.test>")];
    let (number, name) = identity::asserted(&call(true, Vec::new(), &asserted)).unwrap();
    assert_eq!((&*number, &*name), ("+4940", "Eve"));
}

#[test]
fn the_way_of_a_call_is_read_continued_and_written_in_both_forms() {
    let told = [
        ("Diversion", "<sip:1003@pbx.secret.test>;reason=user-busy;counter=1"),
        ("Diversion", "\"Zoe\" <sip:1000@pbx.secret.test>;reason=unconditional;privacy=full"),
    ];
    let ours = vec![Diversion { number: "1005".into(), reason: DiversionReason::NoAnswer }];
    let invite = call(false, ours, &told);
    let carrier = written(&invite, TRUSTED);
    let expected = [
        "<sip:1005@alpha.test>;reason=no-answer",
        "<sip:1003@alpha.test>;reason=user-busy",
        "<sip:1000@alpha.test>;reason=unconditional;privacy=full",
    ];
    assert_eq!(carrier.headers_named("Diversion"), expected);
    let expected = [
        "<sip:1000@alpha.test?Privacy=history>;index=1",
        "<sip:1003@alpha.test;cause=302>;index=1.1;rc=1",
        "<sip:1005@alpha.test;cause=486>;index=1.1.1;rc=1.1",
        "<sip:1002@alpha.test;cause=408>;index=1.1.1.1;rc=1.1.1",
    ];
    assert_eq!(carrier.headers_named("History-Info"), expected);
    let phone = written(&invite, Audience::Phone);
    assert_eq!(
        phone.headers_named("Diversion")[2],
        "<sip:anonymous@anonymous.invalid>;reason=unconditional;privacy=full"
    );
    let text = String::from_utf8(phone.to_bytes().to_vec()).unwrap();
    assert!(!text.contains("1000@") && !text.contains("secret"), "{text}");
    let stranger = String::from_utf8(written(&invite, Audience::Stranger).to_bytes().to_vec()).unwrap();
    assert!(!stranger.contains("Diversion") && !stranger.contains("History-Info"), "{stranger}");
    // What was written as History-Info is read as the same way.
    let history: Vec<(&str, &str)> = expected.iter().map(|value| ("History-Info", *value)).collect();
    let again = written(&call(false, Vec::new(), &history), TRUSTED);
    assert_eq!(again.headers_named("Diversion"), carrier.headers_named("Diversion"));
}

#[test]
fn a_long_way_keeps_its_latest_steps_and_nonsense_is_no_step() {
    let told: Vec<(String, String)> = (0..20)
        .map(|n| ("Diversion".to_owned(), format!("<sip:{}@a.test>;reason=deflection", 100 - n)))
        .chain([("Diversion".to_owned(), "no address at all".to_owned())])
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (&**name, &**value)).collect();
    let invite = written(&call(false, Vec::new(), &told), TRUSTED);
    let diversions = invite.headers_named("Diversion");
    assert_eq!(diversions.len(), 8);
    assert!(diversions[0].starts_with("<sip:100@"), "{diversions:?}");
    let odd = [("Diversion", "<sip:1@a.test>;reason=\"a b;c\"")];
    let invite = written(&call(false, Vec::new(), &odd), TRUSTED);
    assert_eq!(invite.headers_named("Diversion"), ["<sip:1@alpha.test>;reason=unknown"]);
}

#[test]
fn what_is_handed_on_forges_no_caller_and_reaches_no_stranger() {
    let headers = [
        ("X-Account", "7"),
        ("P-Custom", "a"),
        ("Subject", "hello"),
        ("P-Asserted-Identity", "<sip:666@evil.test>"),
        ("P-Preferred-Identity", "<sip:666@evil.test>"),
        ("Via", "SIP/2.0/UDP evil.test"),
        ("Contact", "<sip:666@evil.test>"),
    ];
    let phone = written(&call(false, Vec::new(), &headers), Audience::Phone);
    assert_eq!(phone.header("X-Account").unwrap(), "7");
    assert_eq!(
        (phone.header("P-Custom").unwrap(), phone.header("Subject").unwrap()),
        ("a".into(), "hello".into())
    );
    assert!(!String::from_utf8(phone.to_bytes().to_vec()).unwrap().contains("evil"));
    let stranger = written(&call(false, Vec::new(), &headers), Audience::Stranger);
    assert_eq!((stranger.header("X-Account"), stranger.header("Subject")), (None, None));
}

#[test]
fn a_value_that_would_break_the_message_makes_no_call() {
    let setup = |invite: &Invite| LegSetup {
        flow: invite.binding.flow.clone(),
        advertised: "192.0.2.1:5060".parse().unwrap(),
        domain: "alpha.test".into(),
        product: "Sidetone".into(),
        timers: Timers::default(),
        session_interval_s: 0,
        encryption: Encryption::default(),
    };
    for (name, value) in [("X-A", "b\r\nVia: c"), ("X-A B", "c"), ("X-A:", "c")] {
        let invite = call(false, Vec::new(), &[(name, value)]);
        let (setup, mut tokens) = (setup(&invite), Tokens::seeded([1; 32]));
        let leg = Leg::outgoing(setup, &invite, Audience::Phone, "1".into(), &mut tokens);
        assert!(leg.is_err(), "{name}: {value}");
    }
}

#[test]
fn how_far_the_call_may_go_stands_in_the_invite_once() {
    for (hops, field) in [(None, "70"), (Some(8), "8"), (Some(0), "0")] {
        let invite = Invite { max_forwards: hops, ..call(false, Vec::new(), &[]) };
        let written = written(&invite, Audience::Phone);
        assert_eq!(written.headers_named("Max-Forwards"), [field]);
    }
}
