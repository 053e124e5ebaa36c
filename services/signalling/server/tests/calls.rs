//! Calls between phones on real sockets and an owner on channels.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, invite_to, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::LegId;
use sidetone_model::party::Transport;
use sidetone_model::signal::{LegSignal, LegSignalKind, OwnerMessage, ReplicaMessage};
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::message::Response;

/// Calls the echo number and answers: a call that stands.
async fn answered(owner: &mut OwnerEnd, phone: &mut Phone, call_id: &str) -> (LegSignal, Response) {
    phone.invite_open("9196", call_id).await;
    let offered = owner.signal().await;
    assert!(matches!(offered.kind, LegSignalKind::Offered(_)), "{offered:?}");
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    assert_eq!(ok.status().code(), 200);
    phone.within_dialog("ACK", &ok, "", "").await;
    let confirmed = owner.signal().await;
    assert_eq!(confirmed.kind, LegSignalKind::Confirmed { media: None });
    owner.ack(&confirmed).await;
    (offered, ok)
}

async fn outgoing(rig: &Rig, owner: &OwnerEnd, seed: u8) -> LegId {
    let binding = rig.bindings("alpha", "ben").await.remove(0).binding;
    owner.calls(seed, invite_to("1002", binding)).await
}

#[tokio::test]
async fn a_proved_caller_rings_talks_and_hangs_up() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.invite("9198", "call").await;
    let signal = owner.signal().await;
    let LegSignalKind::Offered(offered) = signal.kind else { panic!("{:?}", signal.kind) };
    assert_eq!((signal.n, signal.tenant.as_str()), (1, "alpha"));
    assert_eq!(offered.from.user.unwrap().as_str(), "ada");
    assert_eq!((&*offered.from.number, &*offered.dialled), ("1001", "9198"));
    assert_eq!(offered.source, phone.local);
    let leg = signal.leg;
    owner.command("alpha", leg, 1, LegCommandKind::Ring { media: None }).await;
    assert_eq!(phone.response().await.status().code(), 180);
    assert_eq!(owner.next().await, ReplicaMessage::Applied { leg, n: 1 });
    // A command that comes again is acknowledged and not done again; one with a gap before it waits.
    owner.command("alpha", leg, 1, LegCommandKind::Ring { media: None }).await;
    owner.command("alpha", leg, 3, LegCommandKind::Ring { media: None }).await;
    owner.command("alpha", leg, 2, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.response().await;
    assert_eq!(ok.status().code(), 200, "neither repeated nor early");
    for n in [1, 2, 3] {
        assert_eq!(owner.next().await, ReplicaMessage::Applied { leg, n });
    }
    let contact = ok.contact_target().unwrap();
    assert_eq!(contact.port(), Some(rig.address(Transport::Udp).port()));
    phone.within_dialog("ACK", &ok, "", "").await;
    assert_eq!(owner.signal().await.kind, LegSignalKind::Confirmed { media: None });
    phone.within_dialog("BYE", &ok, "", "").await;
    assert_eq!(phone.last().await.status().code(), 200);
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.n, termination.cause), (3, Cause::Normal));
    owner.ack(&ended).await;
    rig.until("nothing kept", || rig.telemetry.signalling.unacknowledged.get() == 0).await;
    assert_eq!(rig.telemetry.signalling.legs.get(), 0);
}

#[tokio::test]
async fn a_spoofed_from_is_replaced_by_the_callers_own_name() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let (uri, to) = ("9198@alpha.test", "<sip:9198@alpha.test>");
    let spoof = |text: String| text.replace("From: <sip:1001@", "From: \"Ben\" <sip:1002@");
    let first = spoof(phone.compose("INVITE", uri, to, "c", "", SDP));
    phone.send(first).await;
    let challenge = phone.last().await;
    let authorization = phone.authorization(&challenge, "INVITE", uri);
    let second = spoof(phone.compose("INVITE", uri, to, "c", &authorization, SDP));
    phone.send(second).await;
    let LegSignalKind::Offered(offered) = owner.signal().await.kind else { panic!() };
    assert_eq!((&*offered.from.number, &*offered.from.display_name), ("ada", ""));
}

#[tokio::test]
async fn registered_phones_are_called_over_their_own_flow() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1002", "pw-of-ben").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let leg = outgoing(&rig, &owner, 1).await;
    let invite = phone.request().await;
    assert_eq!(invite.from().uri.user(), "1001");
    assert_eq!(invite.from().uri.host(), "alpha.test");
    phone.answer(&invite, "180 Ringing", "").await;
    assert_eq!(owner.signal().await.kind, LegSignalKind::Progress { media: None });
    phone.answer(&invite, "200 OK", SDP).await;
    let answered = owner.signal().await;
    assert!(matches!(answered.kind, LegSignalKind::Answered { media: Some(_) }), "{answered:?}");
    assert_eq!(phone.request().await.method().as_str(), "ACK");
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
    let (ended, termination) = owner.ended().await;
    assert_eq!(termination.cause, Cause::Application);
    let bye = phone.request().await;
    assert_eq!(bye.method().as_str(), "BYE");
    assert!(bye.header("Reason").is_some());
    phone.answer(&bye, "200 OK", "").await;
    owner.ack(&ended).await;
    let signalling = &rig.telemetry.signalling;
    rig.until("no leg", || signalling.legs.get() == 0 && signalling.unacknowledged.get() == 0).await;
    // A late repetition of the Invite does not call again.
    outgoing(&rig, &owner, 1).await;
    let repeated = signalling.commands.with_label_values(&["repeated"]);
    rig.until("repeated", || repeated.get() == 1).await;
    assert_eq!(signalling.legs.get(), 0);
}

#[tokio::test]
async fn a_lost_connection_fails_the_call_to_its_phone_at_once() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1002", "pw-of-ben").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    assert_eq!(rig.bindings("alpha", "ben").await[0].binding.flow.transport, Transport::Tcp);
    outgoing(&rig, &owner, 2).await;
    let received = phone.request().await;
    phone.answer(&received, "486 Busy Here", "").await;
    let (_, termination) = owner.ended().await;
    assert_eq!((termination.cause, termination.sip_status), (Cause::Busy, Some(486)));
    drop(phone);
    rig.until("closed", || rig.telemetry.signalling.connections.with_label_values(&["tcp"]).get() == 0).await;
    outgoing(&rig, &owner, 3).await;
    assert_eq!(owner.ended().await.1.cause, Cause::TransportFailure);
}

#[tokio::test]
async fn a_caller_gives_up() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "guest", "").await;
    phone.invite_open("9196", "c").await;
    let offered = owner.signal().await;
    let cancel = phone.compose("CANCEL", "9196@alpha.test", "<sip:9196@alpha.test>", "c", "", "");
    phone.send(cancel).await;
    let mut statuses = [phone.last().await.status().code(), phone.last().await.status().code()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 487]);
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.leg, termination.cause), (offered.leg, Cause::Cancelled));
}

#[tokio::test]
async fn without_an_owner_new_calls_wait_but_phones_register_and_hang_up() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let (offered, ok) = answered(&mut owner, &mut phone, "c").await;
    rig.until("acknowledged", || rig.telemetry.signalling.unacknowledged.get() == 0).await;
    rig.set_owner_present(false);
    drop(owner);
    rig.until("detached", || rig.telemetry.signalling.owner_attached.get() == 0).await;

    let mut other = Phone::udp(&rig, "1002", "pw-of-ben").await;
    other.invite_open("9196", "d").await;
    let refused = other.last().await;
    assert_eq!(refused.status().code(), 503);
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(other.register(600).await.1.status().code(), 200);
    let moved = SDP.replace("30000", "30002");
    phone.within_dialog("INVITE", &ok, "", &moved).await;
    let later = phone.last().await;
    assert_eq!(later.status().code(), 500);
    assert!(later.header("Retry-After").is_some());
    phone.within_dialog("BYE", &ok, "", "").await;
    loop {
        let response = phone.last().await;
        if response.cseq_method().as_str() == "BYE" {
            assert_eq!(response.status().code(), 200);
            break;
        }
    }

    rig.set_owner_present(true);
    let mut owner = rig.attach().await;
    let held = owner.hello.as_ref().unwrap().legs.clone();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].leg, held[0].last_command_n), (offered.leg, 1));
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.leg, ended.n, termination.cause), (offered.leg, 3, Cause::Normal));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_said_again_in_order() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "guest", "").await;
    phone.invite_open("9196", "c").await;
    let offered = owner.signal().await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    phone.within_dialog("ACK", &ok, "", "").await;
    let confirmed = owner.signal().await;
    drop(owner);
    let mut owner = rig.attach().await;
    assert_eq!(owner.signal().await, offered);
    assert_eq!(owner.signal().await, confirmed);
    owner.ack(&confirmed).await;
    // The new owner does not know the leg.
    owner.say(OwnerMessage::Release { leg: offered.leg }).await;
    let bye = phone.request().await;
    assert_eq!(bye.method().as_str(), "BYE");
    assert!(bye.header("Reason").is_some());
    phone.answer(&bye, "200 OK", "").await;
    rig.until("no leg", || rig.telemetry.signalling.legs.get() == 0).await;
    assert_eq!(rig.telemetry.signalling.unacknowledged.get(), 0);
}
