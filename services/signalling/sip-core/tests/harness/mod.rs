//! Two user agents on a virtual clock, with a wire between them that can lose messages.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Flow, Party, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Termination;
use sidetone_sip_core::identity;
use sidetone_sip_core::leg::{Caller, Encryption, Leg, LegOutput, LegSetup};
use sidetone_sip_core::message::{Limits, Message, ResponseBuilder, Status, parse_datagram};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{
    Event, Failure, ServerTx, Timers, Transactions, TransactionsConfig, Transmit,
};
use sidetone_testkit::netem::{Conditions, Netem};

/// Any moment will do: only differences count.
pub fn epoch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "there is no other way to get an Instant")]
    Instant::now()
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn media(port: u16) -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp: SocketAddr::new([192, 0, 2, 1].into(), port),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![
            Format::new(8, Encoding::Pcma, 8000),
            Format { parameters: Some("0-15".into()), ..Format::new(101, Encoding::TelephoneEvent, 8000) },
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

/// One side: its transactions and its one leg.
pub struct Side {
    pub name: char,
    pub transactions: Transactions<()>,
    pub leg: Option<Leg>,
    pub signals: Vec<LegSignalKind>,
    pub finished: bool,
    pub requests_of_leg: Vec<String>,
    /// What is asked of a session timer.
    pub session_interval_s: u32,
    /// Whether its media is encrypted.
    pub encryption: Encryption,
    /// Whom REFERs named, and whether with Replaces.
    pub refers: Vec<(sidetone_model::signal::Target, bool)>,
    /// What a first offer was refused with, and whether the second was for SRTP.
    pub second_offers: Vec<(u16, bool)>,
    tokens: Tokens,
    flow: Flow,
}

impl Side {
    fn new(name: char, transport: Transport, local: &str, remote: &str) -> Self {
        Self {
            name,
            transactions: Transactions::new(TransactionsConfig::default(), Tokens::seeded([name as u8; 32])),
            leg: None,
            signals: Vec::new(),
            finished: false,
            requests_of_leg: Vec::new(),
            session_interval_s: 0,
            encryption: Encryption::default(),
            refers: Vec::new(),
            second_offers: Vec::new(),
            tokens: Tokens::seeded([name as u8 + 100; 32]),
            flow: Flow { transport, local: addr(local), remote: addr(remote) },
        }
    }

    pub fn setup(&self) -> LegSetup {
        LegSetup {
            flow: self.flow.clone(),
            advertised: self.flow.local,
            domain: "example.com".into(),
            product: "sidetone".into(),
            timers: Timers::default(),
            session_interval_s: self.session_interval_s,
            encryption: self.encryption,
        }
    }

    pub fn take(&mut self) -> Vec<LegSignalKind> {
        std::mem::take(&mut self.signals)
    }

    pub fn ended(&self) -> Option<&Termination> {
        self.signals.iter().find_map(|signal| match signal {
            LegSignalKind::Ended(termination) => Some(termination),
            _ => None,
        })
    }

    fn handle_event(&mut self, event: Event<()>, now: Instant) {
        match event {
            Event::Request { tx, flow, request } => {
                if request.is_initial_invite() {
                    self.open(tx, request, now);
                } else if let Some(leg) = &mut self.leg {
                    leg.handle_request(tx, &flow, request, now);
                }
            }
            Event::Cancelled { cancel, .. } => self.leg.as_mut().unwrap().handle_cancel(&cancel),
            Event::Ack { request, .. } => {
                if let Some(leg) = &mut self.leg {
                    leg.handle_ack(&request, now);
                }
            }
            Event::Response { response, .. } => self.leg.as_mut().unwrap().handle_response(&response, now),
            Event::Stray { response } => {
                if let Some(leg) = &mut self.leg {
                    leg.handle_response(&response, now);
                }
            }
            Event::Failed { method, cseq, failure, .. } => {
                self.leg.as_mut().unwrap().handle_failure(&method, cseq, failure, now);
            }
        }
    }

    fn open(&mut self, tx: ServerTx, invite: sidetone_sip_core::message::Request, now: Instant) {
        if self.leg.is_some() {
            // A copy that was on the way for longer than its transaction lived.
            let busy = ResponseBuilder::new(&invite, Status::BUSY_HERE, "late").build();
            self.transactions.respond(tx, busy, now);
            return;
        }
        let identity = identity::read(&invite, false, identity::Bounds::default());
        let caller = Caller { identity, ..Caller::default() };
        match Leg::incoming(self.setup(), tx, invite, caller, &mut self.tokens, now) {
            Ok(leg) => {
                self.transactions.assign(tx, ());
                self.leg = Some(leg);
            }
            Err(response) => {
                self.transactions.respond(tx, *response, now);
            }
        }
    }

    /// Carries out what the leg wants. True when there was anything.
    pub fn pump(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.transactions.poll_event() {
            any = true;
            self.handle_event(event, now);
        }
        while let Some(output) = self.leg.as_mut().and_then(Leg::poll_output) {
            any = true;
            match output {
                LegOutput::Respond { tx, response } => {
                    self.transactions.respond(tx, response, now);
                }
                LegOutput::Request { flow, request } => {
                    self.requests_of_leg.push(String::from_utf8_lossy(&request.to_bytes()).into_owned());
                    if self.transactions.send_request(request.clone(), &flow, (), now).is_err() {
                        let leg = self.leg.as_mut().unwrap();
                        leg.handle_failure(&request.method(), request.cseq(), Failure::Transport, now);
                    }
                }
                LegOutput::Ack { flow, request } => self.transactions.send_ack(&request, &flow),
                LegOutput::Again { flow, response } => self.transactions.send_again(&response, &flow),
                LegOutput::Refer { to, replaces } => self.refers.push((to, replaces.is_some())),
                LegOutput::Signal(signal) => self.signals.push(signal),
                LegOutput::OfferedOtherwise { status, secured } => self.second_offers.push((status, secured)),
                LegOutput::Finished => {
                    assert!(!self.finished, "Finished is said once");
                    self.finished = true;
                }
            }
        }
        any
    }

    fn next_timeout(&self) -> Option<Instant> {
        let transactions = self.transactions.poll_timeout().map(|(at, _)| at);
        let leg = self.leg.as_ref().and_then(Leg::poll_timeout).map(|(at, _)| at);
        transactions.into_iter().chain(leg).min()
    }
}

type Filter = Box<dyn FnMut(&str) -> bool>;

/// `a` calls `b`.
pub struct Pair {
    pub a: Side,
    pub b: Side,
    pub now: Instant,
    /// Every message that was sent, as `a INVITE` or `b 200 INVITE`, lost ones with a leading `!`.
    pub wire: Vec<String>,
    pub texts: Vec<String>,
    /// The call asks the phone to take it by itself.
    pub auto_answer: bool,
    /// What is offered by who calls.
    pub offered: MediaDescription,
    lose: Filter,
    flying: VecDeque<(char, Transmit)>,
    hold: bool,
    /// Takes the place of the wire that delivers at once.
    pub network: Option<Netem<(char, Transmit)>>,
}

impl Pair {
    pub fn new(transport: Transport) -> Self {
        Self {
            a: Side::new('a', transport, "192.0.2.10:5060", "192.0.2.20:5060"),
            b: Side::new('b', transport, "192.0.2.20:5060", "192.0.2.10:5060"),
            now: epoch(),
            wire: Vec::new(),
            texts: Vec::new(),
            auto_answer: false,
            offered: media(4000),
            lose: Box::new(|_| false),
            flying: VecDeque::new(),
            hold: false,
            network: None,
        }
    }

    /// From now on everything goes over such a network, and nothing is noted.
    pub fn over(&mut self, seed: u64, conditions: Conditions) {
        match &mut self.network {
            Some(network) => network.set(conditions),
            None => self.network = Some(Netem::new(seed, conditions)),
        }
    }

    /// Loses each message for whose label (as in `wire`) the filter says so.
    pub fn lose(&mut self, filter: impl FnMut(&str) -> bool + 'static) {
        self.lose = Box::new(filter);
    }

    pub fn lose_nothing(&mut self) {
        self.lose(|_| false);
    }

    /// Keeps messages on the wire until [`Self::release`]: what was sent crosses.
    pub fn hold(&mut self) {
        self.hold = true;
    }

    pub fn release(&mut self) {
        self.hold = false;
        self.run();
    }

    /// Opens the call and delivers what follows at once.
    pub fn call(&mut self) {
        let invite = self.invite();
        let setup = self.a.setup();
        let call_id = self.a.tokens.call_id();
        let leg = Leg::outgoing(setup, &invite, identity::Audience::Phone, call_id, &mut self.a.tokens);
        self.a.leg = Some(leg.unwrap());
        self.run();
    }

    /// What the owner of a's leg orders.
    pub fn invite(&self) -> Invite {
        Invite {
            from: Party { number: "1001".into(), display_name: "Anna \"A\"".into(), ..Party::default() },
            to: "1002".into(),
            binding: Binding {
                user: sidetone_model::ids::UserId::new("u").unwrap(),
                device: sidetone_model::ids::DeviceId::new("d").unwrap(),
                contact_uri: "sip:1002@192.0.2.20:5060;ob".into(),
                replica: sidetone_model::ids::ReplicaId::new("r").unwrap(),
                flow: self.a.flow.clone(),
                path: Vec::new(),
            },
            media: self.offered.clone(),
            auto_answer: self.auto_answer,
            anonymous: false,
            diversions: Vec::new(),
            call: None,
            headers: Vec::new(),
            max_forwards: None,
        }
    }

    /// A call that stands.
    pub fn connected(transport: Transport) -> Self {
        let mut pair = Self::new(transport);
        pair.call();
        pair.command('b', LegCommandKind::Ring { media: None });
        pair.command('b', LegCommandKind::Answer { media: media(5000) });
        assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
        assert!(pair.b.leg.as_ref().unwrap().is_confirmed());
        pair.a.take();
        pair.b.take();
        pair.wire.clear();
        pair.texts.clear();
        pair
    }

    pub fn side(&mut self, name: char) -> &mut Side {
        if name == 'a' { &mut self.a } else { &mut self.b }
    }

    pub fn command(&mut self, side: char, command: LegCommandKind) {
        let now = self.now;
        self.side(side).leg.as_mut().unwrap().handle_command(command, now).unwrap();
        self.run();
    }

    /// Puts bytes of another hand on the wire towards `side`.
    pub fn inject(&mut self, side: char, text: &str) {
        let now = self.now;
        let target = self.side(side);
        let flow = target.flow.clone();
        let message = parse_datagram(text.replace('\n', "\r\n").into_bytes().into(), &Limits::default())
            .unwrap_or_else(|failure| panic!("{}: {text}", failure.reason()));
        target.transactions.handle_message(message, &flow, now);
        self.run();
    }

    /// Puts bytes on the wire towards `side` that may be no message. True when they are one.
    pub fn inject_whatever(&mut self, side: char, bytes: Vec<u8>) -> bool {
        let now = self.now;
        let target = self.side(side);
        let flow = target.flow.clone();
        let Ok(message) = parse_datagram(bytes.into(), &Limits::default()) else { return false };
        target.transactions.handle_message(message, &flow, now);
        self.run();
        true
    }

    /// Delivers until nothing moves.
    pub fn run(&mut self) {
        loop {
            let now = self.now;
            let moved = self.a.pump(now) | self.b.pump(now);
            while let Some(transmit) = self.a.transactions.poll_transmit() {
                self.note('a', transmit);
            }
            while let Some(transmit) = self.b.transactions.poll_transmit() {
                self.note('b', transmit);
            }
            let delivered = !self.hold && self.deliver();
            if !moved && !delivered {
                return;
            }
        }
    }

    /// Lets time pass, timer by timer.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            let now = self.now;
            for side in [&mut self.a, &mut self.b] {
                side.transactions.handle_timeout(now);
                if let Some(leg) = &mut side.leg {
                    leg.handle_timeout(now);
                }
            }
            self.run();
        }
        self.now = until;
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.network.as_ref().and_then(Netem::next_arrival);
        [&self.a, &self.b].iter().filter_map(|side| side.next_timeout()).chain(arrival).min()
    }

    pub fn sent(&self, label: &str) -> usize {
        self.wire.iter().filter(|sent| sent.trim_start_matches('!') == label).count()
    }

    fn note(&mut self, from: char, transmit: Transmit) {
        if let Some(network) = &mut self.network {
            return network.send((from, transmit), self.now);
        }
        let label = format!("{from} {}", label(&transmit));
        self.texts.push(String::from_utf8_lossy(&transmit.bytes).into_owned());
        if (self.lose)(&label) {
            self.wire.push(format!("!{label}"));
        } else {
            self.wire.push(label);
            self.flying.push_back((from, transmit));
        }
    }

    fn deliver(&mut self) -> bool {
        let now = self.now;
        let next = match &mut self.network {
            Some(network) => network.receive(now),
            None => self.flying.pop_front(),
        };
        let Some((from, transmit)) = next else { return false };
        let target = if from == 'a' { &mut self.b } else { &mut self.a };
        let flow = target.flow.clone();
        let message = parse_datagram(transmit.bytes, &Limits::default()).unwrap();
        target.transactions.handle_message(message, &flow, now);
        true
    }
}

fn label(transmit: &Transmit) -> String {
    match parse_datagram(transmit.bytes.clone(), &Limits::default()) {
        Ok(Message::Request(request)) => request.method().to_string(),
        Ok(Message::Response(response)) => format!("{} {}", response.status(), response.cseq_method()),
        // A way over hundreds of proxies that the far side has named is a header field each in what goes back.
        Err(failure) if failure.reason() == "too_large" => "too large".to_owned(),
        Err(failure) => panic!("our own message is malformed: {}", failure.reason()),
    }
}

/// A phone's answer to a request: the fields that every response repeats, and a tag of its own where To has none.
pub fn response_to(request: &str, status: &str) -> String {
    let mut response = format!("SIP/2.0 {status}\n");
    for line in request.split("\r\n") {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name) {
            let tag = if name == "To" && !line.contains(";tag=") { ";tag=phone" } else { "" };
            response.push_str(&format!("{line}{tag}\n"));
        }
    }
    response.push_str("Content-Length: 0\n\n");
    response
}
