//! Media encryption by device and by trunk: as the directory has it when the call begins, from both sides.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::carrier::{Carrier, put, trunk, until};
use harness::phone::{Phone, SDP};
use harness::{Rig, invite_to, media, tls};
use sidetone_model::command::Invite;
use sidetone_model::media::{Crypto, MediaDescription};
use sidetone_model::party::{Binding, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::{Config, TransportKind};
use sidetone_sip_core::message::{Message, Request};

fn keyed() -> MediaDescription {
    let key = Crypto {
        tag: 1,
        suite: "AES_CM_128_HMAC_SHA1_80".into(),
        inline: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz".into(),
        parameters: "".into(),
    };
    MediaDescription { crypto: vec![key], ..media() }
}

fn body(request: &Request) -> String {
    String::from_utf8(request.body().to_vec()).unwrap()
}

/// Sets a device's encryption, and waits until the replica has it: from then on a call to it says so.
async fn set(rig: &Rig, encryption: pb::MediaEncryption) {
    let devices = rig.directory.list_devices(&"alpha".parse().unwrap(), None).await.unwrap();
    let desk = devices.into_iter().find(|it| it.user == "ada" && it.device == "desk").unwrap();
    let desk = pb::Device { media_encryption: encryption.into(), ..desk };
    rig.directory.put_device(desk, None).await.unwrap();
    let followed = rig.telemetry.signalling.encryption_settings.clone();
    let expected = i64::from(encryption != pb::MediaEncryption::Unspecified);
    rig.until("the setting is known", || followed.get() == expected).await;
}

#[tokio::test]
async fn a_device_that_must_encrypt_is_offered_srtp_and_heard_with_nothing_else() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.register(600).await;
    let binding = rig.bindings("alpha", "ada").await.remove(0).binding;
    let invite = || Invite { media: keyed(), ..invite_to("1001", binding.clone()) };
    // Without a setting no key goes over UDP.
    owner.calls(1, invite()).await;
    let offer = phone.request().await;
    assert!(body(&offer).contains("RTP/AVP") && !body(&offer).contains("a=crypto"), "{}", body(&offer));
    phone.answer(&offer, "486 Busy Here", "").await;
    let (ended, _) = owner.ended().await;
    owner.ack(&ended).await;
    phone.request().await;

    set(&rig, pb::MediaEncryption::Required).await;
    owner.calls(2, invite()).await;
    let offer = phone.request().await;
    assert!(body(&offer).contains("RTP/SAVP") && body(&offer).contains("a=crypto:1"), "{}", body(&offer));
    phone.answer(&offer, "200 OK", SDP).await;
    let (ended, why) = owner.ended().await;
    assert!(why.cause == Cause::NoCommonCodec && why.text.contains("SRTP"), "{why:?}");
    owner.ack(&ended).await;
    assert_eq!(phone.request().await.method().as_str(), "ACK");
    let bye = phone.request().await;
    assert_eq!(bye.method().as_str(), "BYE");
    phone.answer(&bye, "200 OK", "").await;
    // And what it offers itself.
    phone.invite("1002", "plain").await;
    let refusal = phone.last().await;
    assert_eq!(refusal.status().code(), 488);
    assert!(refusal.header("Warning").unwrap().contains("switch SRTP on in it"));

    // Taken back, it is as before.
    set(&rig, pb::MediaEncryption::Unspecified).await;
    phone.invite("1002", "again").await;
    let offered = owner.signal().await;
    assert!(matches!(offered.kind, LegSignalKind::Offered(_)), "{offered:?}");
}

/// A device that is offered SRTP and takes none: it is called once more, and whoever looks after the server can see that.
#[tokio::test]
async fn a_second_offer_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { tls: tls::config(folder.path()), ..Config::default() };
    let rig = Rig::at("127.0.0.1:0", &[TransportKind::Tls], config).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tls, "alpha.test", "1001", "pw-of-ada").await;
    phone.register(600).await;
    set(&rig, pb::MediaEncryption::Offered).await;
    let binding = rig.bindings("alpha", "ada").await.remove(0).binding;
    owner.calls(1, Invite { media: keyed(), ..invite_to("1001", binding) }).await;
    let first = phone.request().await;
    assert!(body(&first).contains("RTP/SAVP"), "{}", body(&first));
    phone.answer(&first, "488 Not Acceptable Here", "").await;
    let second = loop {
        let request = phone.request().await;
        if request.method().as_str() == "INVITE" {
            break request;
        }
    };
    assert!(body(&second).contains("RTP/AVP") && !body(&second).contains("a=crypto"), "{}", body(&second));
    let offers = &rig.telemetry.signalling.second_offers;
    let counts = ["plain", "srtp"].map(|offered| offers.with_label_values(&[offered]).get());
    assert_eq!(counts, [1, 0]);
    phone.answer(&second, "200 OK", SDP).await;
    let answered = owner.signal().await;
    assert!(matches!(answered.kind, LegSignalKind::Answered { .. }), "{answered:?}");
}

#[tokio::test]
async fn a_trunk_that_must_encrypt_is_offered_srtp_and_its_plain_calls_are_refused() {
    let rig = Rig::start().await;
    let owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    let record =
        pb::Trunk { media_encryption: pb::MediaEncryption::Required.into(), ..trunk("acme", &carrier, 1) };
    put(&rig, record).await;
    until(&rig, "acme", |_| true).await;
    let outside = Binding::outside("+4930123", "signalling-0".parse().unwrap());
    owner.calls(3, Invite { media: keyed(), ..invite_to("+4930123", outside) }).await;
    let offer = carrier.request("INVITE").await;
    assert!(body(&offer).contains("RTP/SAVP") && body(&offer).contains("a=crypto:1"), "{}", body(&offer));
    carrier.answer(&offer, "486 Busy Here", "", "").await;
    let local = carrier.socket.local_addr().unwrap();
    let plain = format!(
        "INVITE sip:+49301001@{} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKp;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+4940777@carrier.test>;tag=a\r\nTo: <sip:+49301001@carrier.test>\r\nCall-ID: p\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{local}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        carrier.server,
        SDP.len()
    );
    carrier.socket.send_to(plain.as_bytes(), carrier.server).await.unwrap();
    let refused = loop {
        match carrier.next().await {
            Message::Response(response) if response.call_id() == "p" && response.status().is_final() => {
                break response;
            }
            _ => {}
        }
    };
    assert_eq!(refused.status().code(), 488);
    assert!(refused.header("Warning").unwrap().contains("switch SRTP on in it"));
}
