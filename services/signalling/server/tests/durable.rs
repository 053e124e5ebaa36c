//! Calls outlive their replica: it is killed with calls up and started again, and hanging up, refreshing and changing work
//! from both sides.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod harness;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, invite_to, media};
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::ids::LegId;
use sidetone_model::party::{Party, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
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
    let mut phone = Phone::udp(&rig, "1001", "pw-ada").await;
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
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-ada").await;
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
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-ada").await;
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
    let mut phone = Phone::udp(&rig, "1001", "pw-ada").await;
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
