//! REGISTER (RFC 3261 section 10.3).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::time::Duration;

use sidetone_model::party::{Flow, Transport};
use sidetone_model::time::Timestamp;
use sidetone_sip_core::message::{Limits, Message, Request, parse_datagram};
use sidetone_sip_core::registrar::{ContactBinding, RegisterError, RegistrarPolicy, Registration, process};

const T0: Timestamp = Timestamp::from_millis(1_000_000);

fn flow(port: u16) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: ([192, 0, 2, 9], port).into(),
    }
}

fn register(cseq: u32, lines: &str) -> Request {
    register_of("reg", cseq, lines)
}

fn register_of(call_id: &str, cseq: u32, lines: &str) -> Request {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{cseq}\r\n\
         From: <sip:1001@example.com>;tag=1\r\nTo: <sip:1001@example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} REGISTER\r\nUser-Agent: phone\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    match parse_datagram(text.into(), &Limits::default()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

fn run(current: &[ContactBinding], cseq: u32, lines: &str) -> Result<Registration, RegisterError> {
    process(current, &register(cseq, lines), &flow(5060), &RegistrarPolicy::default(), T0)
}

const DESK: &str = "Contact: <sip:1001@192.0.2.9:5060>\r\n";

#[test]
fn a_contact_is_bound_for_the_time_granted() {
    for (lines, granted) in [
        (format!("{DESK}Expires: 120\r\n"), 120),
        ("Contact: <sip:1001@192.0.2.9:5060>;expires=90\r\nExpires: 120\r\n".to_owned(), 90),
        (DESK.to_owned(), 3600),
        (format!("{DESK}Expires: 99999\r\n"), 3600),
    ] {
        let registration = run(&[], 1, &lines).unwrap();
        assert!(registration.changed);
        assert_eq!(registration.bindings.len(), 1);
        let binding = &registration.bindings[0];
        assert_eq!(binding.expires_at, T0 + Duration::from_secs(granted));
        assert_eq!((&*binding.uri, &*binding.user_agent), ("sip:1001@192.0.2.9:5060", "phone"));
        let ok = registration.response(&register(1, &lines), "tag", Some(120), T0);
        assert_eq!(ok.headers_named("Contact"), [format!("<sip:1001@192.0.2.9:5060>;expires={granted}")]);
    }
}

#[test]
fn asking_changes_nothing_and_lists_what_is_there() {
    let current = run(&[], 1, DESK).unwrap().bindings;
    let asked = run(&current, 2, "").unwrap();
    assert!(!asked.changed);
    assert_eq!(asked.bindings, current);
}

#[test]
fn refresh_removal_and_the_wildcard() {
    let current = run(&[], 1, DESK).unwrap().bindings;
    let refreshed = run(&current, 2, DESK).unwrap();
    assert_eq!((refreshed.bindings.len(), refreshed.removed.len(), refreshed.bindings[0].cseq), (1, 0, 2));
    let removed = run(&current, 2, "Contact: <sip:1001@192.0.2.9:5060>;expires=0\r\n").unwrap();
    assert_eq!((removed.bindings.len(), removed.removed.len(), removed.changed), (0, 1, true));
    let all = run(&current, 2, "Contact: *\r\nExpires: 0\r\n").unwrap();
    assert_eq!((all.bindings.len(), all.removed.len(), all.changed), (0, 1, true));
    assert_eq!(run(&current, 2, "Contact: *\r\n"), Err(RegisterError::BadContact));
    assert_eq!(run(&current, 2, "Contact: *\r\nExpires: 60\r\n"), Err(RegisterError::BadContact));
    assert_eq!(
        run(&current, 2, &format!("{DESK}Contact: *\r\nExpires: 0\r\n")),
        Err(RegisterError::BadContact)
    );
}

#[test]
fn equivalent_uris_are_one_contact_and_others_are_not() {
    let current = run(&[], 1, DESK).unwrap().bindings;
    let same = run(&current, 2, "Contact: \"Desk\" <SIP:1001@192.0.2.9:5060>;q=0.5\r\n").unwrap();
    assert_eq!(same.bindings.len(), 1);
    let other = register_of("other", 1, "Contact: <sip:1001@192.0.2.9:5062>\r\n");
    let other = process(&current, &other, &flow(5062), &RegistrarPolicy::default(), T0).unwrap();
    assert_eq!(other.bindings.len(), 2);
}

#[test]
fn a_phone_without_an_instance_that_moved_leaves_nothing_behind() {
    let policy = RegistrarPolicy::default();
    let one = "Contact: <sip:1001@192.0.2.9:5060>\r\n";
    let two = "Contact: <sip:1001@192.0.2.9:6000>\r\n";
    let another = register_of("another phone", 7, "Contact: <sip:1001@192.0.2.10:5060>\r\n");
    let current = run(&[], 1, one).unwrap().bindings;
    let current = process(&current, &another, &flow(5070), &policy, T0).unwrap().bindings;
    assert_eq!(current.len(), 2);
    // The same Call-ID: the same phone, at another port.
    let moved = run(&current, 2, two).unwrap();
    let uris: Vec<&str> = moved.bindings.iter().map(|binding| &*binding.uri).collect();
    assert_eq!(uris, ["sip:1001@192.0.2.10:5060", "sip:1001@192.0.2.9:6000"]);
    assert_eq!(&*moved.removed[0].uri, "sip:1001@192.0.2.9:5060");
    // Both in one REGISTER are both meant, and who takes one away keeps the other.
    let both = run(&moved.bindings, 3, &format!("{one}{two}")).unwrap();
    assert_eq!(both.bindings.len(), 3);
    let less = run(&both.bindings, 4, "Contact: <sip:1001@192.0.2.9:5060>;expires=0\r\n").unwrap();
    assert_eq!((less.bindings.len(), less.removed.len()), (2, 1));
    // Everything of everybody.
    let none = run(&both.bindings, 8, "Contact: *\r\nExpires: 0\r\n").unwrap();
    assert_eq!((none.bindings.len(), none.removed.len()), (0, 3));
}

#[test]
fn a_device_with_an_instance_id_keeps_one_contact_when_it_moves() {
    let instance = ";+sip.instance=\"<urn:uuid:1>\"";
    let current = run(&[], 1, &format!("Contact: <sip:1001@192.0.2.9:5060>{instance}\r\n")).unwrap().bindings;
    let moved = run(&current, 2, &format!("Contact: <sip:1001@192.0.2.9:6060>{instance}\r\n")).unwrap();
    assert_eq!(moved.bindings.len(), 1);
    assert_eq!(&*moved.bindings[0].uri, "sip:1001@192.0.2.9:6060");
    assert_eq!(moved.removed.len(), 1);
    let second_flow =
        run(&current, 2, &format!("Contact: <sip:1001@192.0.2.9:6060>{instance};reg-id=2\r\n")).unwrap();
    assert_eq!(second_flow.bindings.len(), 2, "RFC 5626: another flow of the same device");
    let answer =
        second_flow.response(&register(2, ""), "t", Some(120), T0).headers_named("Contact").join("|");
    assert!(answer.contains("+sip.instance=\"<urn:uuid:1>\";reg-id=2"), "{answer}");
}

#[test]
fn the_order_within_a_call_id_is_kept() {
    let current = run(&[], 5, DESK).unwrap().bindings;
    assert_eq!(run(&current, 5, DESK), Err(RegisterError::OutOfOrder));
    assert_eq!(run(&current, 4, "Contact: *\r\nExpires: 0\r\n"), Err(RegisterError::OutOfOrder));
}

#[test]
fn limits_and_nonsense_are_refused_and_nothing_is_half_done() {
    let brief = run(&[], 1, &format!("{DESK}Expires: 10\r\n")).unwrap_err();
    assert_eq!(brief, RegisterError::TooBrief { min_expires_s: 60 });
    let refusal = brief.response(&register(1, ""), "t");
    assert_eq!((refusal.status().code(), refusal.header("Min-Expires").as_deref()), (423, Some("60")));
    for bad in ["Contact: <tel:+4930123>\r\n", "Contact: <<>>\r\n", "Contact: <sip:a@b>, <mailto:x@y>\r\n"] {
        assert_eq!(run(&[], 1, bad), Err(RegisterError::BadContact), "{bad}");
    }
    let many: String = (0..11).map(|i| format!("Contact: <sip:1001@192.0.2.9:{}>\r\n", 6000 + i)).collect();
    let error = run(&[], 1, &many).unwrap_err();
    assert_eq!(error, RegisterError::TooMany);
    // One that has more, since the limit was higher once, refreshes them and takes some back, and gets none beside.
    let wide = RegistrarPolicy { contacts_max: 20, ..RegistrarPolicy::default() };
    let had = process(&[], &register(1, &many), &flow(5060), &wide, T0).unwrap().bindings;
    assert_eq!(run(&had, 2, &many).unwrap().bindings.len(), 11);
    let one_back = "Contact: <sip:1001@192.0.2.9:6003>;expires=0\r\n";
    assert_eq!(run(&had, 2, one_back).unwrap().bindings.len(), 10);
    let other = register_of("other", 1, "Contact: <sip:1001@192.0.2.9:6999>\r\n");
    let policy = RegistrarPolicy::default();
    assert_eq!(process(&had, &other, &flow(5060), &policy, T0), Err(RegisterError::TooMany));
    assert_eq!(error.response(&register(1, ""), "t").status().code(), 503);
}

#[test]
fn expired_bindings_are_gone() {
    let current = run(&[], 1, DESK).unwrap().bindings;
    let later = T0 + Duration::from_secs(3601);
    let asked = process(&current, &register(2, ""), &flow(5060), &RegistrarPolicy::default(), later).unwrap();
    assert_eq!((asked.bindings.len(), asked.removed.len(), asked.changed), (0, 1, true));
}

#[test]
fn the_same_contact_over_another_flow_is_told_as_a_change() {
    let current = run(&[], 1, DESK).unwrap().bindings;
    let moved = process(&current, &register(2, DESK), &flow(7070), &RegistrarPolicy::default(), T0).unwrap();
    assert_eq!(moved.removed.len(), 1);
    assert_eq!(moved.bindings[0].flow, flow(7070));
}

#[test]
fn preferences_are_kept_and_told() {
    for (text, q, told) in [
        (";q=0.5", 500, ";q=0.500"),
        (";q=1.0", 1000, ""),
        ("", 1000, ""),
        (";q=0", 0, ";q=0.000"),
        // No such number.
        (";q=7", 1000, ""),
        (";q=x", 1000, ""),
    ] {
        let lines = format!("Contact: <sip:1001@192.0.2.9:5060>{text}\r\n");
        let registration = run(&[], 1, &lines).unwrap();
        assert_eq!(registration.bindings[0].q_thousandths, q, "{text}");
        let ok = registration.response(&register(1, &lines), "tag", Some(120), T0);
        let contact = format!("<sip:1001@192.0.2.9:5060>;expires=3600{told}");
        assert_eq!(ok.headers_named("Contact"), [contact]);
    }
}

#[test]
fn the_way_through_proxies_is_kept_in_order_and_told_back() {
    let path = "Path: <sip:edge.test;lr>, <sip:core.test;lr>\r\nPath: <sip:inner.test;lr;ob>\r\n";
    let lines = format!("{path}Supported: path\r\n{DESK}");
    let registration = run(&[], 1, &lines).unwrap();
    let expected = ["<sip:edge.test;lr>", "<sip:core.test;lr>", "<sip:inner.test;lr;ob>"];
    assert_eq!(registration.bindings[0].path.iter().map(|hop| &**hop).collect::<Vec<_>>(), expected);
    let ok = registration.response(&register(1, &lines), "tag", Some(120), T0);
    assert_eq!(ok.headers_named("Path").len(), 2);
    // It moves with the phone.
    let current = registration.bindings;
    assert!(run(&current, 2, DESK).unwrap().bindings[0].path.is_empty());
    for bad in [
        "Path: not an address at all <\r\n".to_owned(),
        "Path: <sip:p.test;lr>\r\n".repeat(9),
        format!("Path: <sip:{}.test;lr>\r\n", "p".repeat(1024)),
    ] {
        assert_eq!(run(&[], 1, &format!("{bad}{DESK}")), Err(RegisterError::BadContact));
    }
}

#[test]
fn flows_of_one_instance_are_beside_each_other_for_who_knows_what_they_are() {
    let contact = |flow: &str| {
        format!(
            "Contact: <sip:1001@192.0.2.9:5060>;+sip.instance=\"<urn:uuid:1>\"{flow}\r\nSupported: path, outbound\r\n"
        )
    };
    let first = run(&[], 1, &contact(";reg-id=1")).unwrap().bindings;
    let second = contact(";reg-id=2");
    let both = process(&first, &register(2, &second), &flow(5070), &RegistrarPolicy::default(), T0).unwrap();
    assert_eq!(both.bindings.iter().map(|binding| binding.reg_id).collect::<Vec<_>>(), [1, 2]);
    let ok = both.response(&register(2, &second), "tag", Some(120), T0);
    assert_eq!(
        (ok.header("Require").unwrap(), ok.header("Flow-Timer").unwrap()),
        ("outbound".into(), "120".into())
    );
    assert!(
        run(&[], 1, DESK)
            .unwrap()
            .response(&register(1, DESK), "tag", Some(120), T0)
            .header("Require")
            .is_none()
    );
    // The same flow again takes the place of itself alone.
    let again = process(&both.bindings, &register(3, &second), &flow(5071), &RegistrarPolicy::default(), T0);
    let again = again.unwrap().bindings;
    assert_eq!((again.len(), again[1].flow.remote.port()), (2, 5071));
    // Without an instance a number says nothing.
    let loose = run(&[], 1, "Contact: <sip:1001@192.0.2.9:5060>;reg-id=3\r\n").unwrap();
    assert_eq!(loose.bindings[0].reg_id, 0);
}

#[test]
fn one_register_may_name_one_device_twice() {
    let instance = ";+sip.instance=\"<urn:uuid:1>\"";
    let both = format!(
        "Contact: <sip:1001@192.0.2.9:5060>{instance}\r\nContact: <sip:1001@192.0.2.9:6060>{instance}\r\n"
    );
    let kept = run(&[], 1, &both).unwrap().bindings;
    assert_eq!(kept.len(), 1, "the later one holds");
    assert!(kept[0].uri.contains("6060"));
}
