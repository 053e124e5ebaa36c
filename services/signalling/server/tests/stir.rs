//! Signatures of callers' numbers on trunks (RFC 8224, RFC 8588): calls to a carrier are signed, a carrier's calls are judged.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, invite_to, within};
use sidetone_model::command::Invite;
use sidetone_model::ids::{ReplicaId, TenantId};
use sidetone_model::party::{Binding, Party, Proof, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::{Config, StirConfig, StirKeyConfig};
use sidetone_sip_core::message::{Limits, Message, Request, Response, parse_datagram};
use sidetone_stir_core::{
    Anchors, Attestation, Chain, Offer, Passport, SigningKey, TelephoneNumber, Verified,
};
use sidetone_testkit::stir::{Authority, CertificateServer, GoodFor, Issued};
use tempfile::TempDir;
use tokio::net::UdpSocket;

const CALLER: &str = "+12155551212";
const CALLEE: &str = "+49301001";

/// A replica with a key, an authority that it trusts, a place for certificates, and a carrier.
struct World {
    rig: Rig,
    owner: OwnerEnd,
    carrier: Carrier,
    authority: Authority,
    ours: Issued,
    /// What the carrier signs with, and where its certificate stands.
    theirs: Issued,
    x5u: String,
    server: CertificateServer,
    folder: TempDir,
}

impl World {
    async fn new(trunk: pb::Trunk) -> Self {
        Self::with(trunk, |_| {}).await
    }

    async fn with(trunk: pb::Trunk, change: impl FnOnce(&mut StirConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let (ours, theirs) =
            (authority.issue(GoodFor::Provider("1234")), authority.issue(GoodFor::Provider("709J")));
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        let trust = folder.path().join("roots.pem");
        std::fs::write(&trust, authority.root_pem()).unwrap();
        write_key(folder.path(), &ours);
        let server = CertificateServer::start().await.unwrap();
        let x5u = server.put("/theirs.pem", theirs.chain_pem.clone());
        let key = StirKeyConfig {
            name: "shaken".into(),
            key: folder.path().join("key.pem"),
            cert: folder.path().join("cert.pem"),
            x5u: "https://cert.example.org/ours.pem".into(),
            tenants: vec!["alpha".into()],
            origid: None,
        };
        let mut stir = StirConfig {
            trust: Some(trust),
            allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
            timeout_ms: 10_000,
            reload_s: 1,
            keys: vec![key],
            ..StirConfig::default()
        };
        change(&mut stir);
        let config = Config { stir, ..Config::default() };
        let mut errors = Vec::new();
        config.check(&mut errors);
        assert_eq!(errors, []);
        let rig = Rig::with(config).await;
        let owner = rig.attach().await;
        let carrier = Carrier::new(&rig).await;
        let rule = |prefix: &str, strip, prepend: &str| pb::NumberRule {
            prefix: prefix.to_owned(),
            strip,
            prepend: prepend.to_owned(),
        };
        let trunk = pb::Trunk {
            tenant: "alpha".into(),
            trunk: "acme".into(),
            uri: format!("sip:{}", carrier.local),
            routes: vec![pb::TrunkRoute { prefix: "+".into(), priority: 1, weight: 1 }],
            outbound: vec![rule("0", 1, "+49"), rule("1", 0, "+4930")],
            inbound: vec![rule("+4930", 5, "")],
            ..trunk
        };
        rig.directory.put_trunk(trunk, None).await.unwrap();
        let tenant = TenantId::new("alpha").unwrap();
        within(async {
            while rig.directory.trunk_states(&tenant).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Self { rig, owner, carrier, authority, ours, theirs, x5u, server, folder }
    }

    /// Sends a call out; the INVITE as the carrier has it.
    async fn call_out(&self, seed: u8, from: Party) -> Request {
        let outside = Binding::outside("0401234", ReplicaId::new("signalling-0").unwrap());
        self.owner.calls(seed, Invite { from, ..invite_to("0401234", outside) }).await;
        let invite = self.carrier.invite().await;
        self.carrier.refuse(&invite).await;
        invite
    }

    /// What stands behind the number of an INVITE that we sent.
    fn judged(&self, invite: &Request, certificate: &Issued) -> Verified {
        let anchors = Anchors::from_pem(self.authority.root_pem().as_bytes()).unwrap();
        let number = |text: String| TelephoneNumber::canonical(&text).unwrap();
        let (from, to) = (number(invite.from().uri.user()), number(invite.to().uri.user()));
        let now = Timestamp::from_millis(now_s() * 1000);
        let identities = invite.headers_named("Identity");
        let offer = Offer::choose(&identities, &[from], Some(&to), None, (now, 60)).unwrap();
        let chain = Chain::parse(certificate.chain_pem.as_bytes()).unwrap();
        offer.verify(&chain, &anchors, now).unwrap()
    }

    /// An Identity header of the carrier's for a call.
    fn signed(&self, by: &Issued, (from, to): (&str, &str), attest: Attestation, at_s: u64) -> String {
        let number = |text: &str| TelephoneNumber::canonical(text).unwrap();
        let numbers = (number(from), number(to));
        let passport = Passport::shaken(&self.x5u, numbers, attest, "origin", at_s);
        let identity = SigningKey::from_pem(by.key_pem.as_bytes()).unwrap().sign(&passport).unwrap();
        format!("Identity: {identity}\r\n")
    }

    fn good(&self) -> String {
        self.signed(&self.theirs, (CALLER, CALLEE), Attestation::A, now_s())
    }

    fn verified(&self, verdict: &str) -> u64 {
        self.rig.telemetry.stir.verified.with_label_values(&["acme", verdict]).get()
    }

    /// A call of the carrier's with these lines: what vouches for its number, as call control is told.
    async fn offered(&mut self, call_id: &str, lines: &str) -> Proof {
        self.carrier.call(call_id, lines).await;
        let LegSignalKind::Offered(offered) = self.owner.signal().await.kind else { panic!("a call") };
        assert_eq!((&*offered.from.number, &*offered.dialled), (CALLER, "1001"));
        offered.from.proof
    }
}

fn write_key(folder: &Path, issued: &Issued) {
    std::fs::write(folder.join("key.pem"), &issued.key_pem).unwrap();
    std::fs::write(folder.join("cert.pem"), &issued.chain_pem).unwrap();
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A carrier that speaks by raw text.
struct Carrier {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
}

impl Carrier {
    async fn new(rig: &Rig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        Self { socket, local, server: rig.address(Transport::Udp) }
    }

    async fn next(&self) -> Message {
        let mut buffer = vec![0; 65_536];
        let (length, _) = within(self.socket.recv_from(&mut buffer)).await.unwrap();
        parse_datagram(buffer[..length].to_vec().into(), &Limits::default()).unwrap()
    }

    /// The next INVITE that has not been refused yet.
    async fn invite(&self) -> Request {
        loop {
            match self.next().await {
                Message::Request(request) if request.method().as_str() == "INVITE" => return request,
                _ => {}
            }
        }
    }

    async fn refuse(&self, invite: &Request) {
        let line = |name: &str| format!("{name}: {}\r\n", invite.header(name).unwrap());
        let to = invite.header("To").unwrap();
        let text = format!(
            "SIP/2.0 486 Busy Here\r\n{}{}To: {to};tag=carrier\r\n{}{}Content-Length: 0\r\n\r\n",
            line("Via"),
            line("From"),
            line("Call-ID"),
            line("CSeq"),
        );
        self.socket.send_to(text.as_bytes(), self.server).await.unwrap();
        loop {
            // Repetitions of the INVITE come before the ACK.
            if let Message::Request(request) = self.next().await
                && request.method().as_str() == "ACK"
            {
                return;
            }
        }
    }

    async fn call(&self, call_id: &str, lines: &str) {
        let text = format!(
            "INVITE sip:{CALLEE}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{call_id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{CALLER}@carrier.test>;tag=a\r\nTo: <sip:{CALLEE}@carrier.test>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:{}>\r\n{lines}\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            self.server,
            self.local,
            self.local,
            SDP.len()
        );
        self.socket.send_to(text.as_bytes(), self.server).await.unwrap();
    }

    async fn refused(&self, call_id: &str) -> Response {
        loop {
            if let Message::Response(response) = self.next().await
                && response.call_id() == call_id
                && response.status().is_final()
            {
                return response;
            }
        }
    }
}

fn user(number: &str, proof: Proof) -> Party {
    Party { user: Some("ada".parse().unwrap()), number: number.into(), proof, ..Party::default() }
}

fn signs(key: &str) -> pb::Trunk {
    pb::Trunk { stir_sign: key.into(), ..pb::Trunk::default() }
}

fn verifies(verify: pb::StirVerify) -> pb::Trunk {
    pb::Trunk { stir_verify: verify.into(), ..pb::Trunk::default() }
}

#[tokio::test]
async fn callers_are_signed_for_as_well_as_they_are_known() {
    let world = World::new(signs("shaken")).await;
    let anybody = Party { number: "+4940777".into(), ..Party::default() };
    for (seed, from, attest) in [
        (1, user("1001", Proof::Own), Attestation::A),
        (2, user("1002", Proof::User), Attestation::B),
        (3, anybody, Attestation::C),
        // What another carrier says of its caller, we cannot say.
        (4, Party { number: "+1215".into(), proof: Proof::PassedA, ..Party::default() }, Attestation::C),
    ] {
        let invite = world.call_out(seed, from).await;
        let verified = world.judged(&invite, &world.ours);
        assert_eq!(verified.attest, Some(attest), "{seed}");
        assert_eq!(verified.origid.unwrap().len(), 36, "a UUID");
        assert!(invite.header("Date").unwrap().ends_with(" GMT"));
        let signed = world.rig.telemetry.stir.signed.with_label_values(&["acme", attest.as_str()]).get();
        assert!(signed >= 1);
    }
    // A caller whose number means something here alone is not signed for, and is called all the same.
    let invite = world.call_out(5, user("ada", Proof::Own)).await;
    assert_eq!(invite.header("Identity"), None);
    assert_eq!(world.rig.telemetry.stir.signed.with_label_values(&["acme", "no_number"]).get(), 1);
}

#[tokio::test]
async fn a_key_that_is_not_there_or_not_the_tenants_signs_nothing() {
    let world = World::new(signs("other")).await;
    assert_eq!(world.call_out(1, user("1001", Proof::Own)).await.header("Identity"), None);
    assert_eq!(world.rig.telemetry.stir.signed.with_label_values(&["acme", "no_key"]).get(), 1);
    let world = World::with(signs("shaken"), |stir| stir.keys[0].tenants = vec!["beta".into()]).await;
    assert_eq!(world.call_out(1, user("1001", Proof::Own)).await.header("Identity"), None);
    let counted = world.rig.telemetry.stir.signed.with_label_values(&["acme", "not_the_tenants_key"]).get();
    assert_eq!(counted, 1);
}

#[tokio::test]
async fn a_new_key_is_used_without_a_restart_and_a_wrong_one_is_not() {
    let world = World::new(signs("shaken")).await;
    let count = |result: &str| world.rig.telemetry.stir.reloads.with_label_values(&[result]).get();
    let next = world.authority.issue(GoodFor::Provider("1234")).unwrap();
    std::fs::write(world.folder.path().join("cert.pem"), &next.chain_pem).unwrap();
    world.rig.until("half of a pair is noticed", || count("failed") >= 1).await;
    let invite = world.call_out(1, user("1001", Proof::Own)).await;
    assert_eq!(world.judged(&invite, &world.ours).attest, Some(Attestation::A), "the old one stays");
    write_key(world.folder.path(), &next);
    world.rig.until("the pair is in use", || count("ok") >= 1).await;
    let invite = world.call_out(2, user("1001", Proof::Own)).await;
    assert_eq!(world.judged(&invite, &next).attest, Some(Attestation::A));
}

#[tokio::test]
async fn a_verdict_is_told_and_stops_nobody_where_it_only_marks() {
    let mut world = World::new(verifies(pb::StirVerify::Mark)).await;
    let good = world.good();
    assert_eq!(world.offered("good", &good).await, Proof::PassedA);
    let gateway = world.signed(&world.theirs, (CALLER, CALLEE), Attestation::C, now_s());
    assert_eq!(world.offered("gateway", &gateway).await, Proof::PassedC);
    assert_eq!(world.offered("none", "").await, Proof::Absent);
    let other = world.signed(&world.theirs, ("+12155559999", CALLEE), Attestation::A, now_s());
    assert_eq!(world.offered("other", &other).await, Proof::Failed);
    // Signed with a key that is not the certificate's.
    let forged = world.signed(&world.ours, (CALLER, CALLEE), Attestation::A, now_s());
    assert_eq!(world.offered("forged", &forged).await, Proof::Failed);
    assert_eq!(world.server.asked(), 1, "one certificate for all");
    for verdict in ["passed_a", "passed_c", "missing", "other_caller", "signature"] {
        assert_eq!(world.verified(verdict), 1, "{verdict}");
    }
}

#[tokio::test]
async fn where_a_signature_is_required_each_fault_has_its_response() {
    let mut world = World::new(verifies(pb::StirVerify::Require)).await;
    let stranger = Authority::new().unwrap().issue(GoodFor::Provider("709J")).unwrap();
    let nowhere = world.good().replace("/theirs.pem", "/nothing.pem");
    let (call, now) = ((CALLER, CALLEE), now_s());
    let cases = [
        ("missing", String::new(), 428),
        ("stale", world.signed(&world.theirs, call, Attestation::A, now - 300), 403),
        ("callee", world.signed(&world.theirs, (CALLER, "+4911"), Attestation::A, now), 438),
        ("forged", world.signed(&stranger, call, Attestation::A, now), 438),
        ("malformed", "Identity: abc;info=<x>\r\n".to_owned(), 438),
        ("info", nowhere, 436),
    ];
    for (call_id, lines, status) in cases {
        world.carrier.call(call_id, &lines).await;
        let refusal = world.carrier.refused(call_id).await;
        assert_eq!(refusal.status().code(), status, "{call_id}");
        let reason = refusal.header("Reason").unwrap();
        assert!(reason.starts_with(&format!("STIR;cause={status};text=")), "{reason}");
    }
    // The certificate at that place is now another authority's.
    world.x5u = world.server.put("/stranger.pem", stranger.chain_pem.clone());
    let lines = world.signed(&stranger, call, Attestation::A, now);
    world.carrier.call("stranger", &lines).await;
    assert_eq!(world.carrier.refused("stranger").await.status().code(), 437);
    assert_eq!(world.rig.telemetry.signalling.refused.with_label_values(&["stir"]).get(), 7);
    world.x5u = world.x5u.replace("/stranger.pem", "/theirs.pem");
    let good = world.good();
    assert_eq!(world.offered("good", &good).await, Proof::PassedA);
}

/// The certificate does not come for longer than a test waits for anything.
#[tokio::test]
async fn a_slow_certificate_holds_no_call_up() {
    let mut world = World::with(verifies(pb::StirVerify::Mark), |stir| stir.timeout_ms = 200).await;
    world.server.set_delay(Duration::from_secs(60));
    let good = world.good();
    assert_eq!(world.offered("slow", &good).await, Proof::Absent);
    assert_eq!(world.offered("again", &good).await, Proof::Absent);
    world.rig.until("asked for", || world.server.asked() > 0).await;
    assert_eq!(world.server.asked(), 1, "both waited for the same");
}

#[tokio::test]
async fn a_carrier_cannot_send_us_into_our_own_network() {
    let mut world = World::with(verifies(pb::StirVerify::Mark), |stir| stir.allowed_networks.clear()).await;
    for (call_id, x5u) in [("a", world.x5u.clone()), ("b", world.x5u.replace("http:", "https:"))] {
        world.x5u = x5u;
        let good = world.good();
        assert_eq!(world.offered(call_id, &good).await, Proof::Absent);
    }
    assert_eq!(world.server.asked(), 0);
    assert_eq!(world.rig.telemetry.stir.certificates.with_label_values(&["refused"]).get(), 2);
}

#[tokio::test]
async fn phones_are_told_the_verdict() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let binding = rig.bindings("alpha", "ada").await.remove(0).binding;
    for (seed, proof, verstat) in [
        (1, Proof::PassedB, Some("TN-Validation-Passed")),
        (2, Proof::Failed, Some("TN-Validation-Failed")),
        (3, Proof::Absent, Some("No-TN-Validation")),
        (4, Proof::None, None),
    ] {
        let from = Party { number: CALLER.into(), display_name: "Ann".into(), proof, ..Party::default() };
        owner.calls(seed, Invite { from, ..invite_to("1001", binding.clone()) }).await;
        let invite = loop {
            let request = phone.request().await;
            if request.method().as_str() == "INVITE" {
                break request;
            }
        };
        let told = invite.header("P-Asserted-Identity").filter(|told| told.contains("verstat"));
        match verstat {
            Some(verstat) => {
                let told = told.unwrap();
                assert!(told.starts_with("\"Ann\" <sip:+12155551212;verstat="), "{told}");
                assert!(
                    told.contains(&format!("verstat={verstat}@")) && told.contains("user=phone"),
                    "{told}"
                );
            }
            None => assert_eq!(told, None),
        }
        // What the phone shows and dials stays the number.
        assert_eq!(invite.from().uri.user(), CALLER);
        phone.answer(&invite, "486 Busy Here", "").await;
    }
}
