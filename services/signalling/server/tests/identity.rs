//! Who is believed, and who is told, over real sockets: phones, trusted carriers and others.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod harness;

use std::net::SocketAddr;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, media, within};
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::ids::{IdSource, LegId, ReplicaId, TenantId};
use sidetone_model::party::{Binding, Party, Transport};
use sidetone_model::signal::{LegSignalKind, Offered};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::Config;
use sidetone_sip_core::message::{Limits, Message, Request, parse_datagram};
use tokio::net::UdpSocket;

struct Carrier {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Carrier {
    /// A carrier that is trusted or not, with the one trunk of the tenant.
    async fn new(rig: &Rig, trusted: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let rule = pb::NumberRule { prefix: "0".into(), strip: 1, prepend: "+49".into() };
        let own = pb::NumberRule { prefix: "1".into(), strip: 0, prepend: "+4930".into() };
        let trunk = pb::Trunk {
            tenant: "alpha".into(),
            trunk: "acme".into(),
            uri: format!("sip:{}", socket.local_addr().unwrap()),
            routes: vec![pb::TrunkRoute { prefix: "+".into(), priority: 1, weight: 1 }],
            outbound: vec![rule, own],
            inbound: vec![pb::NumberRule { prefix: "+4930".into(), strip: 5, prepend: String::new() }],
            trusted,
            ..pb::Trunk::default()
        };
        rig.directory.put_trunk(trunk, None).await.unwrap();
        let tenant = TenantId::new("alpha").unwrap();
        within(async {
            while rig.directory.trunk_states(&tenant).await.unwrap().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        Self { socket, server: rig.address(Transport::Udp) }
    }

    async fn calls(&self, from: &str, headers: &str) {
        let local = self.socket.local_addr().unwrap();
        let text = format!(
            "INVITE sip:+49301001@{} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKa;rport\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=a\r\nTo: <sip:+49301001@carrier.test>\r\nCall-ID: a\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:{local}>\r\n{headers}Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{SDP}",
            self.server,
            SDP.len()
        );
        self.socket.send_to(text.as_bytes(), self.server).await.unwrap();
    }

    async fn invite(&self) -> Request {
        let mut buffer = vec![0; 65_536];
        loop {
            let (length, _) = within(self.socket.recv_from(&mut buffer)).await.unwrap();
            match parse_datagram(buffer[..length].to_vec().into(), &Limits::default()).unwrap() {
                Message::Request(request) if request.is_initial_invite() => return request,
                _ => {}
            }
        }
    }
}

async fn offered(owner: &mut OwnerEnd) -> Offered {
    let signal = owner.signal().await;
    match signal.kind {
        LegSignalKind::Offered(offered) => *offered,
        other => panic!("{other:?}"),
    }
}

async fn calls_out(owner: &OwnerEnd, binding: Binding, anonymous: bool, headers: &[(&str, &str)]) {
    let leg: LegId = IdSource::seeded([9; 32]).make(Timestamp::from_millis(1));
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let from = Party { number: "1001".into(), display_name: "Ada".into(), ..Party::default() };
    let (to, diversions) = ("0401234".into(), Vec::new());
    let invite =
        Invite { from, to, binding, media: media(), auto_answer: false, anonymous, diversions, headers };
    owner.command("alpha", leg, 1, LegCommandKind::Invite(Box::new(invite))).await;
}

fn outside() -> Binding {
    Binding::outside("0401234", ReplicaId::new("signalling-0").unwrap())
}

const ASSERTED: &str = "P-Asserted-Identity: \"Eve\" <sip:+4940777@carrier.test>\r\n\
                        Diversion: <sip:+4940888@carrier.test>;reason=no-answer\r\nX-Account: 7\r\n";

#[tokio::test]
async fn a_trusted_carriers_assertion_is_the_caller_and_privacy_hides_it() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig, true).await;
    carrier.calls("<sip:4711@carrier.test>", &format!("{ASSERTED}Privacy: id\r\n")).await;
    let call = offered(&mut owner).await;
    assert_eq!((&*call.from.number, call.anonymous, &*call.dialled), ("anonymous", true, "1001"));
    let names: Vec<&str> = call.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["P-Asserted-Identity", "Diversion", "X-Account"]);
}

#[tokio::test]
async fn others_may_assert_what_they_like() {
    let rig = Rig::with(Config { headers_max: 1, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig, false).await;
    carrier.calls("<sip:4711@carrier.test>", &format!("{ASSERTED}X-More: 8\r\n")).await;
    let call = offered(&mut owner).await;
    assert_eq!((&*call.from.number, call.anonymous), ("4711", false));
    assert_eq!(call.headers, [("X-Account".into(), "7".into())]);
    let left_out = |why: &str| rig.telemetry.signalling.headers_left_out.with_label_values(&[why]).get();
    assert_eq!((left_out("distrusted"), left_out("bounds")), (2, 1));
}

#[tokio::test]
async fn a_trusted_carrier_is_told_who_is_anonymous_and_gets_its_own_form_of_the_number() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let carrier = Carrier::new(&rig, true).await;
    calls_out(&owner, outside(), true, &[("X-Account", "7")]).await;
    let invite = carrier.invite().await;
    assert_eq!(invite.from().uri.to_string(), "sip:anonymous@anonymous.invalid");
    let asserted = invite.header("P-Asserted-Identity").unwrap();
    assert!(asserted.starts_with("\"Ada\" <sip:+49301001@"), "{asserted}");
    assert_eq!(
        (invite.header("Privacy").unwrap(), invite.header("X-Account").unwrap()),
        ("id".into(), "7".into())
    );
}

#[tokio::test]
async fn a_call_that_goes_on_to_a_trusted_carrier_keeps_what_was_asserted() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let carrier = Carrier::new(&rig, true).await;
    let headers = [
        ("P-Asserted-Identity", "\"Eve\" <sip:0777@carrier.test>"),
        ("Diversion", "<sip:+4940888@carrier.test>;reason=no-answer"),
    ];
    calls_out(&owner, outside(), true, &headers).await;
    let invite = carrier.invite().await;
    let asserted = invite.header("P-Asserted-Identity").unwrap();
    assert!(asserted.starts_with("\"Eve\" <sip:+49777@"), "{asserted}");
    assert!(invite.header("Diversion").unwrap().starts_with("<sip:+4940888@127.0.0.1"));
}

#[tokio::test]
async fn any_other_carrier_is_told_nothing() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let carrier = Carrier::new(&rig, false).await;
    let headers = [("P-Asserted-Identity", "<sip:0777@carrier.test>"), ("X-Account", "7")];
    calls_out(&owner, outside(), true, &headers).await;
    let text = String::from_utf8(carrier.invite().await.to_bytes().to_vec()).unwrap();
    for secret in ["P-Asserted", "Ada", "1001@", "777@", "X-Account", "Privacy"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_phone_chooses_among_its_own_names_and_may_stay_anonymous() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001m", "pw-mobile").await;
    let (uri, to) = ("9198@alpha.test", "<sip:9198@alpha.test>");
    for (call_id, wish, number, anonymous) in [
        ("own", "P-Preferred-Identity: <sip:1001@alpha.test>\r\nPrivacy: id\r\n", "1001", true),
        // Somebody else's number is not to be had.
        ("other", "P-Preferred-Identity: <sip:1002@alpha.test>\r\n", "1001m", false),
    ] {
        let first = phone.compose("INVITE", uri, to, call_id, wish, SDP);
        phone.send(first).await;
        let challenge = phone.last().await;
        let ack = phone.ack_of_refusal(&challenge, uri);
        phone.send(ack).await;
        let authorization = phone.authorization(&challenge, "INVITE", uri);
        let second = phone.compose("INVITE", uri, to, call_id, &format!("{authorization}{wish}"), SDP);
        phone.send(second).await;
        let call = offered(&mut owner).await;
        assert_eq!((&*call.from.number, call.anonymous), (number, anonymous), "{call_id}");
        assert_eq!(call.from.user.unwrap().as_str(), "ada");
    }
}

#[tokio::test]
async fn a_phone_that_is_called_does_not_learn_who_is_anonymous() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1002", "pw-ben").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let binding = rig.bindings("alpha", "ben").await.remove(0).binding;
    calls_out(&owner, binding, true, &[("P-Asserted-Identity", "<sip:0777@carrier.test>")]).await;
    let invite = phone.request().await;
    let text = String::from_utf8(invite.to_bytes().to_vec()).unwrap();
    assert!(!text.contains("1001@") && !text.contains("0777@") && !text.contains("Privacy"), "{text}");
    assert_eq!(invite.from().uri.host(), "anonymous.invalid");
}
