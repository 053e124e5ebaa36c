//! Who is believed, and who is told, over real sockets: phones, trusted carriers and others.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::carrier::{Carrier, put, trunk, until};
use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, invite_to};
use sidetone_model::command::Invite;
use sidetone_model::ids::ReplicaId;
use sidetone_model::party::{Binding, Party};
use sidetone_model::signal::{LegSignalKind, Offered};
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::Config;

/// The one carrier of the tenant, trusted or not.
async fn carrier(rig: &Rig, trusted: bool) -> Carrier {
    let carrier = Carrier::new(rig).await;
    put(rig, pb::Trunk { trusted, ..trunk("acme", &carrier, 1) }).await;
    until(rig, "acme", |_| true).await;
    carrier
}

async fn calls(carrier: &Carrier, from: &str, headers: &str) {
    let (server, local) = (carrier.server, carrier.socket.local_addr().unwrap());
    let text = format!(
        "INVITE sip:+49301001@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKa;rport\r\n\
         Max-Forwards: 70\r\nFrom: {from};tag=a\r\nTo: <sip:+49301001@carrier.test>\r\nCall-ID: a\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:{local}>\r\n{headers}Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    );
    carrier.socket.send_to(text.as_bytes(), server).await.unwrap();
}

async fn offered(owner: &mut OwnerEnd) -> Offered {
    let signal = owner.signal().await;
    match signal.kind {
        LegSignalKind::Offered(offered) => *offered,
        other => panic!("{other:?}"),
    }
}

async fn calls_out(owner: &OwnerEnd, binding: Binding, anonymous: bool, headers: &[(&str, &str)]) {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let from = Party { number: "1001".into(), display_name: "Ada".into(), ..Party::default() };
    owner.calls(9, Invite { from, anonymous, headers, ..invite_to("0401234", binding) }).await;
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
    let carrier = carrier(&rig, true).await;
    calls(&carrier, "<sip:4711@carrier.test>", &format!("{ASSERTED}Privacy: id\r\n")).await;
    let call = offered(&mut owner).await;
    assert_eq!((&*call.from.number, call.anonymous, &*call.dialled), ("anonymous", true, "1001"));
    let names: Vec<&str> = call.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["P-Asserted-Identity", "Diversion", "X-Account"]);
}

#[tokio::test]
async fn others_may_assert_what_they_like() {
    let rig = Rig::with(Config { headers_max: 1, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let carrier = carrier(&rig, false).await;
    calls(&carrier, "<sip:4711@carrier.test>", &format!("{ASSERTED}X-More: 8\r\n")).await;
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
    let carrier = carrier(&rig, true).await;
    calls_out(&owner, outside(), true, &[("X-Account", "7")]).await;
    let invite = carrier.request("INVITE").await;
    assert_eq!(invite.from().uri.to_string(), "sip:anonymous@anonymous.invalid");
    let asserted = invite.header("P-Asserted-Identity").unwrap();
    assert!(asserted.starts_with("\"Ada\" <sip:+493011001@"), "{asserted}");
    assert_eq!(
        (invite.header("Privacy").unwrap(), invite.header("X-Account").unwrap()),
        ("id".into(), "7".into())
    );
}

#[tokio::test]
async fn a_call_that_goes_on_to_a_trusted_carrier_keeps_what_was_asserted() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let carrier = carrier(&rig, true).await;
    let headers = [
        ("P-Asserted-Identity", "\"Eve\" <sip:0777@carrier.test>"),
        ("Diversion", "<sip:+4940888@carrier.test>;reason=no-answer"),
    ];
    calls_out(&owner, outside(), true, &headers).await;
    let invite = carrier.request("INVITE").await;
    let asserted = invite.header("P-Asserted-Identity").unwrap();
    assert!(asserted.starts_with("\"Eve\" <sip:+49777@"), "{asserted}");
    assert!(invite.header("Diversion").unwrap().starts_with("<sip:+4940888@127.0.0.1"));
}

#[tokio::test]
async fn any_other_carrier_is_told_nothing() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let carrier = carrier(&rig, false).await;
    let headers = [("P-Asserted-Identity", "<sip:0777@carrier.test>"), ("X-Account", "7")];
    calls_out(&owner, outside(), true, &headers).await;
    let text = String::from_utf8(carrier.request("INVITE").await.to_bytes().to_vec()).unwrap();
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
    let mut phone = Phone::udp(&rig, "1002", "pw-of-ben").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let binding = rig.bindings("alpha", "ben").await.remove(0).binding;
    calls_out(&owner, binding, true, &[("P-Asserted-Identity", "<sip:0777@carrier.test>")]).await;
    let invite = phone.request().await;
    let text = String::from_utf8(invite.to_bytes().to_vec()).unwrap();
    assert!(!text.contains("1001@") && !text.contains("0777@") && !text.contains("Privacy"), "{text}");
    assert_eq!(invite.from().uri.host(), "anonymous.invalid");
}

/// What the phone is set to shows to nobody, where the directory has a name.
#[tokio::test]
async fn a_user_is_shown_by_the_name_of_the_directory_unless_the_tenant_leaves_it_to_phones() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001m", "pw-mobile").await;
    let tenant = "alpha".parse().unwrap();
    let user = rig.directory.user(&tenant, &"ada".parse().unwrap()).await.unwrap().unwrap();
    let own = rig.directory.tenant(&tenant).await.unwrap().unwrap();
    // The name in the directory, whether phones name their users, anonymous; what is shown.
    for (call_id, name, by_phones, wish, shown) in [
        ("none", "", false, "", "The Boss"),
        ("set", "Ada L.", false, "", "Ada L."),
        ("anonymous", "Ada L.", false, "Privacy: id\r\n", ""),
        ("phone", "Ada L.", true, "", "The Boss"),
    ] {
        let user = pb::User { display_name: name.into(), revision: 0, ..user.clone() };
        rig.directory.put_user(user).await.unwrap();
        let own = pb::Tenant { names_by_phones: by_phones, revision: 0, ..own.clone() };
        rig.directory.put_tenant(own).await.unwrap();
        let named = |text: String| text.replace("From: <", "From: \"The Boss\" <");
        let (uri, to) = ("9198@alpha.test", "<sip:9198@alpha.test>");
        let first = named(phone.compose("INVITE", uri, to, call_id, wish, SDP));
        phone.send(first).await;
        let challenge = phone.last().await;
        let ack = phone.ack_of_refusal(&challenge, uri);
        phone.send(ack).await;
        let authorization = phone.authorization(&challenge, "INVITE", uri);
        let second = phone.compose("INVITE", uri, to, call_id, &format!("{authorization}{wish}"), SDP);
        phone.send(named(second)).await;
        let call = offered(&mut owner).await;
        assert_eq!(&*call.from.display_name, shown, "{call_id}");
    }
}
