//! Carriers: registered at, asked for signs of life, called from and called over, one after the other.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod harness;

use std::net::SocketAddr;

use harness::phone::SDP;
use harness::{OwnerEnd, Rig, media, within};
use sidetone_directory::Password;
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::ids::{IdSource, LegId, ReplicaId, TenantId};
use sidetone_model::party::{Binding, Party, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::Config;
use sidetone_sip_core::message::{Limits, Message, Request, parse_datagram};
use tokio::net::UdpSocket;

/// A carrier that speaks by raw text.
struct Carrier {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Carrier {
    async fn new(rig: &Rig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { socket, server: rig.address(Transport::Udp) }
    }

    fn uri(&self) -> String {
        format!("sip:{}", self.socket.local_addr().unwrap())
    }

    async fn next(&self) -> Message {
        let mut buffer = vec![0; 65_536];
        let (length, _) = within(self.socket.recv_from(&mut buffer)).await.unwrap();
        parse_datagram(buffer[..length].to_vec().into(), &Limits::default()).unwrap()
    }

    /// The next request of a method; others are answered with 200.
    async fn request(&self, method: &str) -> Request {
        loop {
            if let Message::Request(request) = self.next().await {
                match request.method().as_str() {
                    got if got == method => return request,
                    "ACK" => {}
                    _ => self.answer(&request, "200 OK", "", "").await,
                }
            }
        }
    }

    async fn answer(&self, request: &Request, status: &str, extra: &str, body: &str) {
        let line = |name: &str| format!("{name}: {}\r\n", request.header(name).unwrap());
        let to = match request.to().tag() {
            Some(_) => line("To"),
            None => format!("To: {};tag=carrier\r\n", request.header("To").unwrap()),
        };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "SIP/2.0 {status}\r\n{}{}{to}{}{}Contact: <{}>\r\n{extra}{content}Content-Length: {}\r\n\r\n{body}",
            line("Via"),
            line("From"),
            line("Call-ID"),
            line("CSeq"),
            self.uri(),
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.server).await.unwrap();
    }
}

fn trunk(name: &str, carrier: &Carrier, priority: u32) -> pb::Trunk {
    let rule = |prefix: &str, strip, prepend: &str| pb::NumberRule {
        prefix: prefix.to_owned(),
        strip,
        prepend: prepend.to_owned(),
    };
    pb::Trunk {
        tenant: "alpha".into(),
        trunk: name.into(),
        uri: carrier.uri(),
        routes: vec![pb::TrunkRoute { prefix: "+".into(), priority, weight: 1 }],
        outbound: vec![rule("0", 1, "+49"), rule("1", 0, "+49301")],
        inbound: vec![rule("+4930", 5, "")],
        ..pb::Trunk::default()
    }
}

async fn put(rig: &Rig, trunk: pb::Trunk) {
    let password = Password::new("carrier-secret");
    rig.directory.put_trunk(trunk, Some(&password)).await.unwrap();
}

async fn state(rig: &Rig, name: &str) -> Option<pb::TrunkState> {
    let tenant = TenantId::new("alpha").unwrap();
    rig.directory.trunk_states(&tenant).await.unwrap().into_iter().find(|state| state.trunk == name)
}

/// Waits until a replica has taken the trunk and says of it what is wanted.
async fn until(rig: &Rig, name: &str, wanted: impl Fn(&pb::TrunkState) -> bool) {
    within(async {
        while !state(rig, name).await.is_some_and(|state| wanted(&state)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn call_out(owner: &OwnerEnd, seed: u8, number: &str) -> LegId {
    let leg = IdSource::seeded([seed; 32]).make(Timestamp::from_millis(1));
    let invite = Invite {
        from: Party { number: "1001".into(), ..Party::default() },
        to: number.into(),
        binding: Binding::outside(number, ReplicaId::new("signalling-0").unwrap()),
        media: media(),
        auto_answer: false,
        anonymous: false,
        diversions: Vec::new(),
        headers: Vec::new(),
    };
    owner.command("alpha", leg, 1, LegCommandKind::Invite(Box::new(invite))).await;
    leg
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";

#[tokio::test]
async fn a_trunk_is_registered_with_its_password_and_asked_for_life() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    let record = pb::Trunk {
        register_as: "4930@carrier.test".into(),
        options_interval_s: 1,
        ..trunk("acme", &carrier, 1)
    };
    put(&rig, record).await;
    let register = carrier.request("REGISTER").await;
    assert_eq!(register.to().uri.user(), "4930");
    carrier.answer(&register, "401 Unauthorized", CHALLENGE, "").await;
    let again = carrier.request("REGISTER").await;
    assert_eq!((again.call_id(), again.cseq() > register.cseq()), (register.call_id(), true));
    let answer = again.header("Authorization").unwrap();
    assert!(answer.contains("username=\"4930\"") && answer.contains("uri=\"sip:carrier.test\""), "{answer}");
    assert!(!answer.contains("carrier-secret"));
    carrier.answer(&again, "423 Interval Too Brief", "Min-Expires: 900\r\n", "").await;
    let longer = carrier.request("REGISTER").await;
    assert_eq!(longer.expires_s(), Some(900));
    carrier.answer(&longer, "200 OK", "Expires: 900\r\n", "").await;
    let options = carrier.request("OPTIONS").await;
    carrier.answer(&options, "200 OK", "", "").await;
    until(&rig, "acme", |state| state.registered && state.healthy).await;
    // Nothing lives behind it any more, and then it does again.
    let options = carrier.request("OPTIONS").await;
    carrier.answer(&options, "503 Service Unavailable", "", "").await;
    until(&rig, "acme", |state| !state.healthy && state.problem == "503").await;
    let options = carrier.request("OPTIONS").await;
    carrier.answer(&options, "200 OK", "", "").await;
    until(&rig, "acme", |state| state.healthy && state.problem.is_empty()).await;
}

#[tokio::test]
async fn a_call_takes_the_next_way_when_one_fails_and_answers_a_challenge() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let (first, second) = (Carrier::new(&rig).await, Carrier::new(&rig).await);
    put(&rig, trunk("first", &first, 1)).await;
    put(&rig, pb::Trunk { caller_id: "+49301000".into(), ..trunk("second", &second, 2) }).await;
    until(&rig, "second", |_| true).await;

    let leg = call_out(&owner, 1, "0401234").await;
    let invite = first.request("INVITE").await;
    assert_eq!(invite.uri().user(), "+49401234");
    assert_eq!(invite.from().uri.user(), "+493011001");
    first.answer(&invite, "503 Service Unavailable", "", "").await;
    let invite = second.request("INVITE").await;
    assert_eq!((invite.uri().user(), invite.from().uri.user()), ("+49401234".into(), "+49301000".into()));
    second.answer(&invite, "401 Unauthorized", CHALLENGE, "").await;
    let again = second.request("INVITE").await;
    assert_eq!((again.call_id(), again.cseq()), (invite.call_id(), invite.cseq() + 1));
    assert!(again.header("Authorization").is_some());
    second.answer(&again, "200 OK", "", SDP).await;
    let signal = owner.signal().await;
    assert!(matches!(signal.kind, LegSignalKind::Answered { media: Some(_) }), "{signal:?}");
    let ack = second.request("ACK").await;
    assert_eq!(ack.cseq(), again.cseq());
    until(&rig, "second", |state| state.calls == 1).await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Normal))).await;
    let bye = second.request("BYE").await;
    second.answer(&bye, "200 OK", "", "").await;
    owner.ended().await;
    until(&rig, "second", |state| state.calls == 0).await;

    // The first rests now; and what a carrier refuses for good is not tried elsewhere.
    call_out(&owner, 2, "0405678").await;
    let invite = second.request("INVITE").await;
    second.answer(&invite, "486 Busy Here", "", "").await;
    let (_, termination) = owner.ended().await;
    assert_eq!(termination.sip_status, Some(486));
    let count = |trunk: &str, result: &str| {
        rig.telemetry.signalling.trunk_calls.with_label_values(&[trunk, result]).get()
    };
    assert_eq!((count("first", "tried"), count("first", "failed")), (1, 1));
    assert_eq!((count("second", "tried"), count("second", "refused")), (2, 1));
}

#[tokio::test]
async fn a_carrier_that_says_nothing_is_left_for_the_next() {
    let rig = Rig::with(Config { t1_ms: 10, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let (silent, second) = (Carrier::new(&rig).await, Carrier::new(&rig).await);
    put(&rig, trunk("silent", &silent, 1)).await;
    put(&rig, trunk("second", &second, 2)).await;
    until(&rig, "second", |_| true).await;
    call_out(&owner, 3, "0401234").await;
    let invite = second.request("INVITE").await;
    second.answer(&invite, "603 Decline", "", "").await;
    assert_eq!(owner.ended().await.1.sip_status, Some(603));
}

#[tokio::test]
async fn a_carriers_call_finds_tenant_and_number_and_never_another_carrier() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    put(&rig, pb::Trunk { calls_max: 1, ..trunk("acme", &carrier, 1) }).await;
    until(&rig, "acme", |_| true).await;
    let invite = |number: &str, call_id: &str| {
        let local = carrier.socket.local_addr().unwrap();
        format!(
            "INVITE sip:{number}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{call_id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+4940777@carrier.test>;tag=a\r\nTo: <sip:{number}@carrier.test>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:{local}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            carrier.server,
            SDP.len()
        )
    };
    let status = async |call_id: &str| loop {
        if let Message::Response(response) = carrier.next().await
            && response.call_id() == call_id
            && response.status().is_final()
        {
            return response.status().code();
        }
    };
    carrier.socket.send_to(invite("+49301001", "a").as_bytes(), carrier.server).await.unwrap();
    let LegSignalKind::Offered(offered) = owner.signal().await.kind else { panic!("a call") };
    assert_eq!((&*offered.dialled, &*offered.from.number), ("1001", "+4940777"));
    assert_eq!(offered.from.user, None);
    // As many as it may.
    carrier.socket.send_to(invite("+49301002", "b").as_bytes(), carrier.server).await.unwrap();
    assert_eq!(status("b").await, 503);
    // A number that nobody here has would go out again: it does not.
    carrier.socket.send_to(invite("+4940999", "c").as_bytes(), carrier.server).await.unwrap();
    assert_ne!(status("c").await, 200);
    assert_eq!(rig.telemetry.signalling.legs.get(), 1);
}
