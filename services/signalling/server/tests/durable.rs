//! Calls outlive their replica: it is killed with calls up and started again, and hanging up, refreshing and changing work
//! from both sides.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, carrier, invite_to, media, tls};
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::ids::LegId;
use sidetone_model::party::{Party, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::{Config, TransportKind};
use sidetone_sip_core::message::Response;

/// A call of the phone to another user, answered; with its 200.
async fn call_in(rig: &Rig, owner: &mut OwnerEnd, phone: &mut Phone, call_id: &str) -> (LegId, Response) {
    phone.invite("1002", call_id).await;
    let offered = owner.signal().await;
    assert!(matches!(offered.kind, LegSignalKind::Offered(_)));
    owner.ack(&offered).await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    assert_eq!(ok.status().code(), 200);
    let stored = rig.telemetry.signalling.dialogs.with_label_values(&["stored"]);
    assert!(stored.get() > 0, "the dialog is stored before the 200 goes out");
    phone.within_dialog("ACK", &ok, "", "").await;
    let confirmed = owner.signal().await;
    assert!(matches!(confirmed.kind, LegSignalKind::Confirmed { .. }));
    owner.ack(&confirmed).await;
    (offered.leg, ok)
}

/// After the restart the 200 is said again over UDP, since nobody knows whether its ACK had come; the phone sends one again.
async fn confirms_again(owner: &mut OwnerEnd, phone: &mut Phone, ok: &Response) {
    let again = phone.last().await;
    assert_eq!((again.status().code(), again.cseq(), again.body()), (200, ok.cseq(), ok.body()));
    assert_eq!(again.to().tag(), ok.to().tag());
    phone.within_dialog("ACK", ok, "", "").await;
    let confirmed = owner.signal().await;
    assert!(matches!(confirmed.kind, LegSignalKind::Confirmed { .. }), "{confirmed:?}");
    owner.ack(&confirmed).await;
}

/// The final response to the phone's last request; a 200 that has crossed its ACK is passed over.
async fn answer(phone: &mut Phone) -> Response {
    loop {
        let response = phone.last().await;
        if response.cseq() == phone.cseq() {
            return response;
        }
    }
}

/// Killed between the 200 and its ACK (RFC 3261 section 13.3.1.4).
#[tokio::test]
async fn a_200_whose_ack_has_not_come_is_said_again_after_the_restart() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.invite("1002", "c3").await;
    let offered = owner.signal().await;
    owner.ack(&offered).await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    assert_eq!(ok.status().code(), 200);

    let rig = rig.restart().await;
    let mut owner = rig.attach().await;
    confirms_again(&mut owner, &mut phone, &ok).await;
    phone.within_dialog("BYE", &ok, "", "").await;
    assert_eq!(answer(&mut phone).await.status().code(), 200);
    assert_eq!(owner.ended().await.1.cause, Cause::Normal);
    rig.nothing_stored().await;
}

#[tokio::test]
async fn a_phone_hangs_up_refreshes_and_changes_after_the_restart() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let rig = Rig::start().await;
        let mut owner = rig.attach().await;
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-of-ada").await;
        let (leg, ok) = call_in(&rig, &mut owner, &mut phone, "c1").await;

        let rig = rig.restart().await;
        let mut owner = rig.attach().await;
        let held = &owner.hello.as_ref().unwrap().legs;
        assert_eq!(held.iter().map(|held| held.leg).collect::<Vec<_>>(), [leg], "{transport:?}");
        match transport {
            Transport::Tcp => phone.reconnect(&rig).await,
            _ => confirms_again(&mut owner, &mut phone, &ok).await,
        }
        // The same offer again only refreshes: it is answered with what stands.
        phone.within_dialog("INVITE", &ok, "", SDP).await;
        let refreshed = answer(&mut phone).await;
        assert_eq!(refreshed.status().code(), 200);
        assert_eq!(refreshed.body(), ok.body());
        phone.within_dialog("ACK", &refreshed, "", "").await;
        // Another offer is call control's, whose next command has any number.
        let hold = SDP.replace("t=0 0", "t=0 0\r\na=sendonly");
        phone.within_dialog("INVITE", &ok, "", &hold).await;
        let reoffered = owner.signal().await;
        assert!(matches!(reoffered.kind, LegSignalKind::Reoffered { media: Some(_) }), "{reoffered:?}");
        assert_eq!(reoffered.leg, leg);
        owner.ack(&reoffered).await;
        owner.command("alpha", leg, 7, LegCommandKind::AnswerReoffer { media: Some(media()) }).await;
        let changed = answer(&mut phone).await;
        assert_eq!(changed.status().code(), 200);
        phone.within_dialog("ACK", &changed, "", "").await;
        phone.within_dialog("BYE", &ok, "", "").await;
        assert_eq!(answer(&mut phone).await.status().code(), 200);
        let (ended, termination) = owner.ended().await;
        assert_eq!((ended.leg, termination.cause), (leg, Cause::Normal));
        owner.ack(&ended).await;

        // Nothing of it comes back.
        let signalling = rig.telemetry.signalling.legs.clone();
        rig.until("over", || signalling.get() == 0).await;
        rig.nothing_stored().await;
        let rig = rig.restart().await;
        let owner = rig.attach().await;
        assert!(owner.hello.as_ref().unwrap().legs.is_empty());
    }
}

#[tokio::test]
async fn we_hang_up_after_the_restart_also_over_a_new_connection() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let rig = Rig::start().await;
        let mut owner = rig.attach().await;
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-of-ada").await;
        phone.register(600).await;
        let binding = rig.bindings("alpha", "ada").await.remove(0).binding;
        let from = Party { number: "1002".into(), ..Party::default() };
        let leg = owner.calls(8, Invite { from, ..invite_to("1001", binding) }).await;
        let request = phone.request().await;
        phone.answer(&request, "200 OK", SDP).await;
        let answered = owner.signal().await;
        assert!(matches!(answered.kind, LegSignalKind::Answered { .. }));
        owner.ack(&answered).await;
        let ack = phone.request().await;
        assert_eq!(ack.method().as_str(), "ACK");

        let rig = rig.restart().await;
        let mut owner = rig.attach().await;
        if transport == Transport::Tcp {
            phone.reconnect(&rig).await;
            phone.register(600).await;
        }
        owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
        let bye = phone.request().await;
        assert_eq!(bye.method().as_str(), "BYE");
        assert_eq!((bye.call_id(), bye.to().tag()), (request.call_id(), Some("callee")));
        assert!(bye.cseq() > request.cseq());
        phone.answer(&bye, "200 OK", "").await;
        let (ended, termination) = owner.ended().await;
        assert_eq!((ended.leg, termination.cause), (leg, Cause::Application));
    }
}

#[tokio::test]
async fn what_call_control_does_not_know_any_more_is_ended() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let (leg, ok) = call_in(&rig, &mut owner, &mut phone, "c2").await;
    let rig = rig.restart().await;
    let mut owner = rig.attach().await;
    confirms_again(&mut owner, &mut phone, &ok).await;
    owner.say(sidetone_model::signal::OwnerMessage::Release { leg }).await;
    let bye = phone.request().await;
    assert_eq!(bye.method().as_str(), "BYE");
    phone.answer(&bye, "200 OK", "").await;
    rig.nothing_stored().await;
}

/// What became of requests that waited for their phone.
fn awaited(rig: &Rig, result: &str) -> u64 {
    rig.telemetry.signalling.phones_awaited.with_label_values(&[result]).get()
}

/// A call to a registered phone, answered.
async fn call_out(rig: &Rig, owner: &mut OwnerEnd, phone: &mut Phone, number: &str, user: &str) -> LegId {
    let bindings = rig.bindings("alpha", user).await;
    let own = bindings.into_iter().find(|kept| kept.binding.flow.remote == phone.local).unwrap();
    let from = Party { number: "1002".into(), ..Party::default() };
    let leg = owner.calls(11, Invite { from, ..invite_to(number, own.binding) }).await;
    let request = phone.request().await;
    phone.answer(&request, "200 OK", SDP).await;
    let answered = owner.signal().await;
    assert!(matches!(answered.kind, LegSignalKind::Answered { .. }));
    owner.ack(&answered).await;
    assert_eq!(phone.request().await.method().as_str(), "ACK");
    leg
}

/// Its connection died with the replica, and it is not back yet when the call is hung up.
#[tokio::test]
async fn a_bye_waits_for_a_phone_that_registers_later() {
    let folder = tempfile::tempdir().unwrap();
    for transport in [Transport::Tcp, Transport::Tls] {
        let config = Config { tls: tls::config(folder.path()), ..Config::default() };
        let rig = Rig::at("127.0.0.1:0", &[TransportKind::Tcp, TransportKind::Tls], config).await;
        let mut owner = rig.attach().await;
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-of-ada").await;
        phone.register(600).await;
        let leg = call_out(&rig, &mut owner, &mut phone, "1001", "ada").await;

        let rig = rig.restart().await;
        let mut owner = rig.attach().await;
        owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
        let (ended, why) = owner.ended().await;
        assert_eq!((ended.leg, why.cause), (leg, Cause::Application), "call control need not wait");
        owner.ack(&ended).await;
        rig.until("the BYE waits", || awaited(&rig, "waits") == 1).await;
        phone.reconnect(&rig).await;
        phone.register(600).await;
        let bye = phone.request().await;
        assert_eq!(bye.method().as_str(), "BYE", "{transport:?}");
        assert!(bye.header("Via").unwrap().starts_with(&format!("SIP/2.0/{} ", transport.token())));
        phone.answer(&bye, "200 OK", "").await;
        assert_eq!((awaited(&rig, "came"), awaited(&rig, "gave_up")), (1, 0));
        rig.nothing_stored().await;
    }
}

#[tokio::test]
async fn a_change_of_the_session_waits_and_a_bye_takes_its_place() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    phone.register(600).await;
    let leg = call_out(&rig, &mut owner, &mut phone, "1001", "ada").await;
    let rig = rig.restart().await;
    let mut owner = rig.attach().await;
    owner.command("alpha", leg, 2, LegCommandKind::Reoffer { media: media() }).await;
    rig.until("the re-INVITE waits", || awaited(&rig, "waits") == 1).await;
    phone.reconnect(&rig).await;
    phone.register(600).await;
    let changed = phone.request().await;
    assert_eq!(changed.method().as_str(), "INVITE");
    phone.answer(&changed, "200 OK", SDP).await;
    let reanswered = owner.signal().await;
    assert!(matches!(reanswered.kind, LegSignalKind::Reanswered { .. }), "{reanswered:?}");

    let rig = rig.restart().await;
    let mut owner = rig.attach().await;
    owner.command("alpha", leg, 3, LegCommandKind::Reoffer { media: media() }).await;
    rig.until("the re-INVITE waits", || awaited(&rig, "waits") == 1).await;
    owner.command("alpha", leg, 4, LegCommandKind::End(Termination::new(Cause::Application))).await;
    assert_eq!(owner.ended().await.1.cause, Cause::Application);
    rig.until("the BYE waits", || awaited(&rig, "waits") == 2).await;
    phone.reconnect(&rig).await;
    phone.register(600).await;
    assert_eq!(phone.request().await.method().as_str(), "BYE");
}

#[tokio::test]
async fn a_phone_that_does_not_come_back_is_given_up_and_counted() {
    let rig = Rig::with(Config { t1_ms: 20, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    phone.register(600).await;
    let leg = call_out(&rig, &mut owner, &mut phone, "1001", "ada").await;
    let rig = rig.restart().await;
    let owner = rig.attach().await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
    rig.until("it is given up", || awaited(&rig, "gave_up") == 1).await;
    rig.nothing_stored().await;
    assert_eq!(awaited(&rig, "came"), 0);
}

/// Two telephones share the password of one device.
#[tokio::test]
async fn a_bye_goes_to_the_very_phone_and_not_to_the_first_that_is_back() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let instance = |n: u32| format!(";+sip.instance=\"<urn:uuid:{n}>\"");
    let mut phones = Vec::new();
    for n in [1, 2] {
        let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
        phone.register_as(600, &instance(n)).await;
        phones.push(phone);
    }
    let leg = call_out(&rig, &mut owner, &mut phones[0], "1001", "ada").await;
    let rig = rig.restart().await;
    let owner = rig.attach().await;
    phones[1].reconnect(&rig).await;
    phones[1].register_as(600, &instance(2)).await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
    rig.until("the BYE waits", || awaited(&rig, "waits") == 1).await;
    phones[0].reconnect(&rig).await;
    phones[0].register_as(600, &instance(1)).await;
    let bye = phones[0].request().await;
    assert_eq!(bye.method().as_str(), "BYE");
    phones[0].answer(&bye, "200 OK", "").await;
    rig.nothing_stored().await;
}

/// A carrier has no registration here: it is connected to (RFC 3261 section 18.1.1), where its Contact says.
#[tokio::test]
async fn a_carrier_over_tcp_is_connected_to_anew() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("sip:{};transport=tcp", listener.local_addr().unwrap());
    let contact = uri.clone();
    let trunk = pb::Trunk {
        tenant: "alpha".into(),
        trunk: "acme".into(),
        uri,
        routes: vec![pb::TrunkRoute { prefix: "+".into(), priority: 1, weight: 1 }],
        ..pb::Trunk::default()
    };
    carrier::put(&rig, trunk).await;
    carrier::until(&rig, "acme", |_| true).await;
    let leg = carrier::call_out(&owner, 12, "+4930123").await;
    let mut first = carrier::Connection::accept(&listener).await;
    let invite = first.request("INVITE").await;
    first.answer(&contact, &invite, "200 OK", SDP).await;
    let answered = owner.signal().await;
    assert!(matches!(answered.kind, LegSignalKind::Answered { .. }), "{answered:?}");
    owner.ack(&answered).await;
    first.request("ACK").await;

    let rig = rig.restart().await;
    let mut owner = rig.attach().await;
    carrier::until(&rig, "acme", |_| true).await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
    assert_eq!(owner.ended().await.1.cause, Cause::Application);
    let mut second = carrier::Connection::accept(&listener).await;
    let bye = second.request("BYE").await;
    assert_eq!(bye.call_id(), invite.call_id());
    second.answer(&contact, &bye, "200 OK", "").await;
    rig.nothing_stored().await;
}
