//! Timers A to L, retransmission, RFC 6026, CANCEL, bounds: on a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::{Duration, Instant};

use harness::{addr, epoch};
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{
    Limits, Message, Method, Request, Response, ResponseBuilder, Status, parse_datagram,
};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{
    Event, Failure, Reason, ServerTx, Transactions, TransactionsConfig, flow_back,
};

struct Rig {
    layer: Transactions<u32>,
    flow: Flow,
    start: Instant,
    now: Instant,
}

impl Rig {
    fn new(transport: Transport) -> Self {
        Self::with(transport, TransactionsConfig::default())
    }

    fn with(transport: Transport, config: TransactionsConfig) -> Self {
        let start = epoch();
        let flow = Flow { transport, local: addr("192.0.2.1:5060"), remote: addr("192.0.2.9:7777") };
        Self { layer: Transactions::new(config, Tokens::seeded([1; 32])), flow, start, now: start }
    }

    fn receive(&mut self, message: Message) -> Vec<Event<u32>> {
        self.layer.handle_message(message, &self.flow, self.now);
        self.events()
    }

    fn events(&mut self) -> Vec<Event<u32>> {
        std::iter::from_fn(|| self.layer.poll_event()).collect()
    }

    fn sent(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.layer.poll_transmit())
            .map(|transmit| String::from_utf8_lossy(&transmit.bytes).lines().next().unwrap().to_owned())
            .collect()
    }

    /// Lets time pass; returns when (in ms since the start) how much was sent.
    fn advance(&mut self, seconds: f64) -> Vec<u128> {
        let until = self.now + Duration::from_secs_f64(seconds);
        let mut at_ms = Vec::new();
        while let Some((at, _)) = self.layer.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = at;
            self.layer.handle_timeout(at);
            for _ in self.sent() {
                at_ms.push((at - self.start).as_millis());
            }
        }
        self.now = until;
        at_ms
    }

    fn server(&mut self, method: &str) -> (ServerTx, Request) {
        let events = self.receive(request(method, "1"));
        let Some(Event::Request { tx, request, .. }) = events.into_iter().next() else {
            panic!("no request")
        };
        (tx, request)
    }

    fn respond(&mut self, tx: ServerTx, request: &Request, status: Status) -> bool {
        self.layer.respond(tx, ResponseBuilder::new(request, status, "ours").build(), self.now)
    }
}

fn parse(text: &str) -> Message {
    parse_datagram(text.replace('\n', "\r\n").into_bytes().into(), &Limits::default()).unwrap()
}

fn request(method: &str, branch: &str) -> Message {
    parse(&format!(
        "{method} sip:1002@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bK{branch};rport\n\
         Max-Forwards: 70\nFrom: <sip:1001@e>;tag=x\nTo: <sip:1002@e>\nCall-ID: c\nCSeq: 1 {method}\n\
         Content-Length: 0\n\n"
    ))
}

fn outgoing(method: &str) -> Request {
    match request(method, "out") {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

fn reply(request: &Request, status: Status) -> Message {
    let response: Response = ResponseBuilder::new(request, status, "theirs").build();
    Message::Response(response)
}

#[test]
fn timers_a_and_b_repeat_an_invite_and_give_up() {
    let mut rig = Rig::new(Transport::Udp);
    rig.layer.send_request(outgoing("INVITE"), &rig.flow.clone(), 7, rig.now).unwrap();
    assert_eq!(rig.sent(), ["INVITE sip:1002@192.0.2.1 SIP/2.0"]);
    assert_eq!(rig.layer.poll_timeout().unwrap().1, Reason::Retransmission);
    assert_eq!(rig.advance(40.0), [500, 1500, 3500, 7500, 15_500, 31_500]);
    let events = rig.events();
    assert!(matches!(
        &events[..],
        [Event::Failed { owner: 7, method: Method::Invite, cseq: 1, failure: Failure::Timeout, .. }]
    ));
    assert!(rig.layer.is_empty());
}

#[test]
fn timers_e_and_f_repeat_any_other_request_up_to_t2() {
    let mut rig = Rig::new(Transport::Udp);
    rig.layer.send_request(outgoing("BYE"), &rig.flow.clone(), 7, rig.now).unwrap();
    rig.sent();
    let expected = [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(rig.advance(40.0), expected);
    assert!(matches!(rig.events()[..], [Event::Failed { failure: Failure::Timeout, .. }]));
}

#[test]
fn nothing_is_repeated_over_tcp() {
    let mut rig = Rig::new(Transport::Tcp);
    for method in ["INVITE", "BYE"] {
        rig.layer.send_request(outgoing(method), &rig.flow.clone(), 7, rig.now).unwrap();
    }
    rig.sent();
    assert_eq!(rig.advance(40.0), [0u128; 0]);
    assert_eq!(rig.events().len(), 2, "but both time out");
}

#[test]
fn timer_d_answers_a_repeated_refusal_with_the_ack_again() {
    let mut rig = Rig::new(Transport::Udp);
    let invite = outgoing("INVITE");
    rig.layer.send_request(invite.clone(), &rig.flow.clone(), 7, rig.now).unwrap();
    rig.sent();
    assert_eq!(rig.receive(reply(&invite, Status::BUSY_HERE)).len(), 1);
    assert_eq!(rig.sent(), ["ACK sip:1002@192.0.2.1 SIP/2.0"]);
    assert_eq!(rig.receive(reply(&invite, Status::BUSY_HERE)).len(), 0);
    assert_eq!(rig.sent(), ["ACK sip:1002@192.0.2.1 SIP/2.0"]);
    rig.advance(31.0);
    assert_eq!(rig.layer.len().0, 1);
    rig.advance(2.0);
    assert!(rig.layer.is_empty());
}

#[test]
fn rfc_6026_every_2xx_reaches_the_user_until_timer_m() {
    let mut rig = Rig::new(Transport::Udp);
    let invite = outgoing("INVITE");
    rig.layer.send_request(invite.clone(), &rig.flow.clone(), 7, rig.now).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.receive(reply(&invite, Status::OK)).len(), 1);
    }
    rig.advance(33.0);
    assert!(rig.layer.is_empty());
    let late = rig.receive(reply(&invite, Status::OK));
    assert!(matches!(late[..], [Event::Stray { .. }]), "its dialog may owe it an ACK");
    assert_eq!(rig.layer.counters().unmatched, 1);
}

#[test]
fn timer_k_absorbs_repeated_answers() {
    let mut rig = Rig::new(Transport::Udp);
    let bye = outgoing("BYE");
    rig.layer.send_request(bye.clone(), &rig.flow.clone(), 7, rig.now).unwrap();
    assert_eq!(rig.receive(reply(&bye, Status::OK)).len(), 1);
    assert_eq!(rig.receive(reply(&bye, Status::OK)).len(), 0);
    rig.advance(5.1);
    assert!(rig.layer.is_empty());
}

#[test]
fn a_server_sends_100_after_200_ms_and_its_refusal_until_the_ack() {
    let mut rig = Rig::new(Transport::Udp);
    let (tx, invite) = rig.server("INVITE");
    assert_eq!(rig.advance(1.0), [200]);
    assert!(rig.respond(tx, &invite, Status::BUSY_HERE));
    rig.sent();
    // Timer G: 0.5 s doubling up to T2, counted from 1 s.
    assert_eq!(rig.advance(8.0), [1500, 2500, 4500, 8500]);
    rig.receive(request("ACK", "1"));
    assert!(rig.events().is_empty(), "the ACK to a refusal ends in the transaction");
    assert_eq!(rig.advance(4.9), [0u128; 0]);
    assert_eq!(rig.layer.len(), (0, 1), "timer I");
    rig.advance(0.2);
    assert!(rig.layer.is_empty());
}

#[test]
fn timer_h_gives_up_a_refusal_without_ack() {
    let mut rig = Rig::new(Transport::Udp);
    let (tx, invite) = rig.server("INVITE");
    rig.respond(tx, &invite, Status::DECLINE);
    rig.advance(32.1);
    assert!(rig.layer.is_empty());
}

#[test]
fn rfc_6026_a_repeated_invite_after_the_2xx_is_absorbed_and_the_ack_goes_up() {
    let mut rig = Rig::new(Transport::Udp);
    let (tx, invite) = rig.server("INVITE");
    rig.respond(tx, &invite, Status::OK);
    rig.sent();
    assert!(rig.receive(request("INVITE", "1")).is_empty());
    assert!(rig.sent().is_empty(), "the 2xx is repeated by the user agent, not by the transaction");
    assert!(matches!(rig.receive(request("ACK", "2"))[..], [Event::Ack { .. }]));
    assert!(rig.respond(tx, &invite, Status::OK), "the user agent may repeat it");
    rig.advance(32.1);
    assert!(rig.layer.is_empty(), "timer L");
    assert!(!rig.respond(tx, &invite, Status::OK));
}

#[test]
fn timer_j_answers_a_repeated_request_with_the_same_response() {
    let mut rig = Rig::new(Transport::Udp);
    let (tx, register) = rig.server("REGISTER");
    assert!(rig.receive(request("REGISTER", "1")).is_empty(), "absorbed while nobody has answered");
    rig.respond(tx, &register, Status::OK);
    assert_eq!(rig.sent(), ["SIP/2.0 200 OK"]);
    assert!(rig.receive(request("REGISTER", "1")).is_empty());
    assert_eq!(rig.sent(), ["SIP/2.0 200 OK"]);
    assert_eq!(rig.layer.counters().request_retransmissions_received, 2);
    rig.advance(32.1);
    assert!(rig.layer.is_empty());
}

#[test]
fn a_request_that_nobody_answers_is_forgotten() {
    let mut rig = Rig::new(Transport::Udp);
    rig.server("OPTIONS");
    rig.advance(32.1);
    assert!(rig.layer.is_empty());
    assert_eq!(rig.layer.counters().abandoned, 1);
}

#[test]
fn cancel_finds_its_invite_and_its_user() {
    let mut rig = Rig::new(Transport::Udp);
    let (tx, _) = rig.server("INVITE");
    rig.layer.assign(tx, 42);
    let events = rig.receive(request("CANCEL", "1"));
    assert!(matches!(&events[..], [Event::Cancelled { invite, owner: Some(42), .. }] if *invite == tx));
    assert_eq!(rig.sent(), ["SIP/2.0 200 OK"]);
    assert!(
        rig.receive(request("CANCEL", "1")).is_empty(),
        "a repeated CANCEL is answered again, not told again"
    );
    assert_eq!(rig.sent(), ["SIP/2.0 200 OK"]);
    assert!(rig.receive(request("CANCEL", "other")).is_empty());
    assert_eq!(rig.sent(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
}

#[test]
fn the_last_places_are_for_requests_within_dialogs_and_nothing_is_kept_of_stray_cancels() {
    let config = TransactionsConfig { servers_max: 16, ..TransactionsConfig::default() };
    let mut rig = Rig::with(Transport::Udp, config);
    for n in 0..40 {
        assert!(rig.receive(request("CANCEL", &format!("stray{n}"))).is_empty());
    }
    assert_eq!(rig.sent().len(), 40);
    let taken = (0..20).filter(|n| !rig.receive(request("INVITE", &n.to_string())).is_empty()).count();
    assert_eq!((taken, rig.layer.counters().refused_full), (14, 6));
    let bye = "BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKbye\nFrom: <sip:a@b>;tag=1\n\
               To: <sip:a@b>;tag=2\nCall-ID: c\nCSeq: 9 BYE\nContent-Length: 0\n\n";
    assert_eq!(rig.receive(parse(bye)).len(), 1);
}

#[test]
fn a_full_layer_refuses_with_retry_after_and_keeps_what_runs() {
    let config = TransactionsConfig { servers_max: 1, clients_max: 1, ..TransactionsConfig::default() };
    let mut rig = Rig::with(Transport::Udp, config);
    let (tx, invite) = rig.server("INVITE");
    assert!(rig.receive(request("INVITE", "2")).is_empty());
    let refusal = rig.layer.poll_transmit().unwrap();
    let text = String::from_utf8_lossy(&refusal.bytes).into_owned();
    assert!(text.starts_with("SIP/2.0 503") && text.contains("Retry-After: "));
    assert_eq!(rig.layer.counters().refused_full, 1);
    assert!(rig.respond(tx, &invite, Status::RINGING));
    let flow = rig.flow.clone();
    rig.layer.send_request(outgoing("BYE"), &flow, 1, rig.now).unwrap();
    assert!(rig.layer.send_request(outgoing("OPTIONS"), &flow, 1, rig.now).is_err());
}

#[test]
fn answers_go_to_the_source_port_only_when_via_asks_for_it() {
    let mut rig = Rig::new(Transport::Udp);
    let (tx, first) = rig.server("OPTIONS");
    rig.respond(tx, &first, Status::OK);
    let transmit = rig.layer.poll_transmit().unwrap();
    assert_eq!(transmit.flow.remote, addr("192.0.2.9:7777"));
    let text = String::from_utf8_lossy(&transmit.bytes).into_owned();
    assert!(text.contains(";received=192.0.2.9;rport=7777\r\n"), "{text}");

    let old = "OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bKold\nFrom: <sip:a@b>;tag=1\n\
               To: <sip:a@b>\nCall-ID: c\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n";
    let events = rig.receive(parse(old));
    let [Event::Request { tx, request, .. }] = &events[..] else { panic!() };
    rig.respond(*tx, request, Status::OK);
    let transmit = rig.layer.poll_transmit().unwrap();
    assert_eq!(transmit.flow.remote, addr("192.0.2.9:5062"));
}

#[test]
fn requests_go_back_to_where_a_device_listens() {
    let mut rig = Rig::new(Transport::Udp);
    let mut back = |via: &str| {
        let text = format!(
            "OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP {via}\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: c\n\
             CSeq: 1 OPTIONS\nContent-Length: 0\n\n"
        );
        let flow = rig.flow.clone();
        let events = rig.receive(parse(&text));
        let [Event::Request { request, .. }] = &events[..] else { panic!() };
        flow_back(request, &flow).remote
    };
    // It speaks from 7777: behind a NAT it is reached there, and where it asks to be.
    assert_eq!(back("10.0.0.9:5062;branch=z9hG4bK1"), addr("192.0.2.9:7777"));
    assert_eq!(back("192.0.2.9:5062;rport;branch=z9hG4bK2"), addr("192.0.2.9:7777"));
    // One that says where it is, and asks for nothing, listens there.
    assert_eq!(back("192.0.2.9:5062;branch=z9hG4bK3"), addr("192.0.2.9:5062"));
    assert_eq!(back("192.0.2.9;branch=z9hG4bK4"), addr("192.0.2.9:5060"));
}

#[test]
fn a_closed_connection_fails_its_requests_at_once() {
    let mut rig = Rig::new(Transport::Tcp);
    let flow = rig.flow.clone();
    rig.layer.send_request(outgoing("BYE"), &flow, 9, rig.now).unwrap();
    rig.layer.handle_flow_closed(&flow, rig.now);
    assert!(matches!(rig.events()[..], [Event::Failed { owner: 9, failure: Failure::Transport, .. }]));
    assert!(rig.layer.is_empty());
}

#[test]
fn a_request_to_ourselves_does_not_mix_up_its_two_ends() {
    let mut rig = Rig::new(Transport::Udp);
    let invite = outgoing("INVITE");
    rig.layer.send_request(invite.clone(), &rig.flow.clone(), 7, rig.now).unwrap();
    rig.sent();
    let events = rig.receive(Message::Request(invite.clone()));
    let [Event::Request { tx, request, .. }] = &events[..] else { panic!() };
    rig.respond(*tx, request, Status::BUSY_HERE);
    rig.sent();
    assert_eq!(rig.receive(reply(&invite, Status::BUSY_HERE)).len(), 1);
    assert_eq!(rig.layer.len(), (1, 1));
    rig.advance(33.0);
    assert!(rig.layer.is_empty());
}

#[test]
fn a_change_that_is_never_answered_after_its_100_is_given_up_and_a_call_that_rings_is_not() {
    let mut rig = Rig::new(Transport::Udp);
    let Message::Request(first) = request("INVITE", "first") else { unreachable!() };
    let text = String::from_utf8_lossy(&first.to_bytes()).into_owned();
    let Message::Request(change) = parse(
        &text
            .replace("\r\n", "\n")
            .replace("z9hG4bKfirst", "z9hG4bKsecond")
            .replace("<sip:1002@e>", "<sip:1002@e>;tag=y"),
    ) else {
        unreachable!()
    };
    for invite in [&first, &change] {
        rig.layer.send_request(invite.clone(), &rig.flow.clone(), 7, rig.now).unwrap();
        rig.receive(reply(invite, Status::TRYING));
    }
    rig.advance(191.0);
    assert_eq!((rig.layer.len().0, rig.events().len()), (2, 0));
    rig.advance(2.0);
    assert!(matches!(rig.events()[..], [Event::Failed { failure: Failure::Timeout, .. }]));
    rig.advance(3600.0);
    assert_eq!(rig.layer.len().0, 1, "who made the call gives it up");
}
