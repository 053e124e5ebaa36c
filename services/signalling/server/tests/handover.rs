//! What comes to one replica and is for a leg of another is handed over, and is answered the way it came.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use std::collections::BTreeSet;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, media};
use sidetone_model::command::{LegCommandKind, ReferralState};
use sidetone_model::ids::LegId;
use sidetone_model::party::Transport;
use sidetone_model::signal::{LegSignal, LegSignalKind};
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::message::{Request, Response};

const DIGIT: &str = "Signal=5\r\nDuration=160\r\n";

/// A call of the phone to another user, answered but not confirmed; with its 200.
async fn answered(owner: &mut OwnerEnd, phone: &mut Phone, call_id: &str) -> (LegId, Response) {
    phone.invite("1002", call_id).await;
    let offered = owner.signal().await;
    assert!(matches!(offered.kind, LegSignalKind::Offered(_)));
    owner.ack(&offered).await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    assert_eq!(ok.status().code(), 200);
    (offered.leg, ok)
}

async fn expect(
    owner: &mut OwnerEnd,
    leg: LegId,
    what: &str,
    is: impl Fn(&LegSignalKind) -> bool,
) -> LegSignal {
    let signal = owner.signal().await;
    assert!(signal.leg == leg && is(&signal.kind), "{what}: {signal:?}");
    owner.ack(&signal).await;
    signal
}

/// The final response to the phone's last request, which must come from that replica; others are repetitions.
async fn answer_from(phone: &mut Phone, rig: &Rig, status: u16) -> Response {
    let answer = loop {
        let answer = phone.last().await;
        if answer.cseq() == phone.cseq() {
            break answer;
        }
    };
    assert_eq!(answer.status().code(), status, "{:?}", answer.cseq_method());
    if phone.transport == Transport::Udp {
        assert_eq!(phone.heard_from, rig.address(Transport::Udp));
    }
    answer
}

async fn ours(phone: &mut Phone, rig: &Rig, method: &str) -> Request {
    loop {
        let request = phone.request().await;
        if request.method().as_str() == method {
            if phone.transport == Transport::Udp {
                assert_eq!(phone.heard_from, rig.address(Transport::Udp));
            }
            return request;
        }
    }
}

#[tokio::test]
async fn a_whole_call_goes_on_over_another_replica() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let holder = Rig::start().await;
        let other = holder.beside("signalling-1").await;
        let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
        let mut phone = Phone::new(&holder, transport, "alpha.test", "1001", "pw-of-ada").await;
        let (leg, ok) = answered(&mut owner, &mut phone, "c1").await;

        phone.speak_to(&other).await;
        phone.within_dialog("ACK", &ok, "", "").await;
        expect(&mut owner, leg, "ACK", |kind| matches!(kind, LegSignalKind::Confirmed { .. })).await;

        let held = SDP.replace("a=rtpmap", "a=sendonly\r\na=rtpmap");
        phone.within_dialog("INVITE", &ok, "", &held).await;
        expect(&mut owner, leg, "INVITE", |kind| matches!(kind, LegSignalKind::Reoffered { .. })).await;
        owner.command("alpha", leg, 2, LegCommandKind::AnswerReoffer { media: Some(media()) }).await;
        let changed = answer_from(&mut phone, &other, 200).await;
        phone.within_dialog("ACK", &changed, "", "").await;

        phone.within_dialog("UPDATE", &ok, "", SDP).await;
        expect(&mut owner, leg, "UPDATE", |kind| matches!(kind, LegSignalKind::Reoffered { .. })).await;
        owner.command("alpha", leg, 3, LegCommandKind::AnswerReoffer { media: Some(media()) }).await;
        answer_from(&mut phone, &other, 200).await;

        let relay = "Content-Type: application/dtmf-relay\r\n";
        let (uri, to) = ("1002@alpha.test", ok.header("To").unwrap());
        let info = phone.compose("INFO", uri, &to, "c1", relay, DIGIT);
        phone.send(info.replacen("Content-Type: application/sdp\r\n", "", 1)).await;
        expect(&mut owner, leg, "INFO", |kind| matches!(kind, LegSignalKind::Digit { .. })).await;
        answer_from(&mut phone, &other, 200).await;

        phone.within_dialog("REFER", &ok, "Refer-To: <sip:1003@alpha.test>\r\n", "").await;
        expect(&mut owner, leg, "REFER", |kind| matches!(kind, LegSignalKind::Referred { .. })).await;
        let refused = ReferralState::Failed(Termination::new(Cause::NotFound));
        owner.command("alpha", leg, 4, LegCommandKind::Referral(refused)).await;
        answer_from(&mut phone, &other, 404).await;

        // What we ask goes by the other replica, too, and its answer finds the way back.
        owner.command("alpha", leg, 5, LegCommandKind::Reoffer { media: media() }).await;
        let reinvite = ours(&mut phone, &other, "INVITE").await;
        phone.answer(&reinvite, "200 OK", SDP).await;
        expect(&mut owner, leg, "200", |kind| matches!(kind, LegSignalKind::Reanswered { .. })).await;
        ours(&mut phone, &other, "ACK").await;

        phone.within_dialog("BYE", &ok, "", "").await;
        answer_from(&mut phone, &other, 200).await;
        let (ended, termination) = owner.ended().await;
        assert_eq!((ended.leg, termination.cause), (leg, Cause::Normal));
        owner.ack(&ended).await;
        holder.nothing_stored().await;
        assert!(other.handed_over("request") >= 6 && other.handed_over("response") >= 1);
        assert!(holder.handed_over("taken") >= 7 && holder.handed_over("send") >= 6);
    }
}

#[tokio::test]
async fn we_hang_up_over_the_connection_of_another_replica() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::new(&holder, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    let (leg, ok) = answered(&mut owner, &mut phone, "c1").await;
    phone.speak_to(&other).await;
    phone.within_dialog("ACK", &ok, "", "").await;
    expect(&mut owner, leg, "ACK", |kind| matches!(kind, LegSignalKind::Confirmed { .. })).await;
    // Refreshes the session, and tells by this where the phone is now.
    phone.within_dialog("INVITE", &ok, "", SDP).await;
    let refreshed = answer_from(&mut phone, &other, 200).await;
    phone.within_dialog("ACK", &refreshed, "", "").await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
    let bye = ours(&mut phone, &other, "BYE").await;
    phone.answer(&bye, "200 OK", "").await;
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.leg, termination.cause), (leg, Cause::Application));
}

#[tokio::test]
async fn we_hang_up_on_a_phone_that_has_registered_at_another_replica() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::new(&holder, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    phone.register(600).await;
    let (leg, ok) = answered(&mut owner, &mut phone, "c1").await;
    phone.within_dialog("ACK", &ok, "", "").await;
    expect(&mut owner, leg, "ACK", |kind| matches!(kind, LegSignalKind::Confirmed { .. })).await;
    // Its connection breaks, and it is let in elsewhere. Of the call it says nothing.
    phone.speak_to(&other).await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let connections = holder.telemetry.signalling.connections.with_label_values(&["tcp"]);
    holder.until("the old connection is gone", || connections.get() == 0).await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Application))).await;
    let bye = ours(&mut phone, &other, "BYE").await;
    assert_eq!(bye.call_id(), "c1");
    phone.answer(&bye, "200 OK", "").await;
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.leg, termination.cause), (leg, Cause::Application));
    holder.until("the answer has come", || holder.handed_over("taken") >= 1).await;
}

#[tokio::test]
async fn a_call_is_cancelled_over_another_replica() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::udp(&holder, "1001", "pw-of-ada").await;
    phone.invite("1002", "c1").await;
    let offered = owner.signal().await;
    owner.ack(&offered).await;
    phone.speak_to(&other).await;
    let cancel = phone.compose("CANCEL", "1002@alpha.test", "<sip:1002@alpha.test>", "c1", "", "");
    phone.send(cancel).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let answer = phone.last().await;
        seen.insert((answer.status().code(), answer.cseq_method().as_str().to_owned()));
    }
    assert_eq!(Vec::from_iter(seen), [(200, "CANCEL".to_owned()), (487, "INVITE".to_owned())]);
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.leg, termination.cause), (offered.leg, Cause::Cancelled));
    assert!(other.handed_over("cancel") >= 1);
}

#[tokio::test]
async fn a_ringing_call_is_acknowledged_over_another_replica() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::udp(&holder, "1001", "pw-of-ada").await;
    phone.invite("1002", "c1").await;
    let offered = owner.signal().await;
    owner.ack(&offered).await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Ring { media: Some(media()) }).await;
    let ringing = phone.response().await;
    let rseq = ringing.header("RSeq").expect("it is sent reliably");
    let rack = format!("RAck: {rseq} {} INVITE\r\n", phone.cseq());
    phone.speak_to(&other).await;
    phone.within_dialog("PRACK", &ringing, &rack, "").await;
    loop {
        let answer = phone.response().await;
        if answer.cseq_method().as_str() == "PRACK" {
            assert_eq!((answer.status().code(), phone.heard_from), (200, other.address(Transport::Udp)));
            break;
        }
    }
}

#[tokio::test]
async fn what_is_for_a_killed_replica_waits_until_it_is_back() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::new(&holder, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    let (leg, ok) = answered(&mut owner, &mut phone, "c1").await;
    phone.within_dialog("ACK", &ok, "", "").await;
    expect(&mut owner, leg, "ACK", |kind| matches!(kind, LegSignalKind::Confirmed { .. })).await;

    phone.speak_to(&other).await;
    let restarting = holder.restart();
    phone.within_dialog("BYE", &ok, "", "").await;
    let holder = restarting.await;
    let mut owner = holder.attach().await;
    let (ended, termination) = owner.ended().await;
    assert_eq!((ended.leg, termination.cause), (leg, Cause::Normal));
    answer_from(&mut phone, &other, 200).await;
}

#[tokio::test]
async fn a_call_of_a_replica_that_stays_away_is_not_declared_dead() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::new(&holder, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    let (_, ok) = answered(&mut owner, &mut phone, "c1").await;
    phone.within_dialog("ACK", &ok, "", "").await;
    phone.speak_to(&other).await;
    holder.kill().await;
    phone.within_dialog("INVITE", &ok, "", SDP).await;
    let refused = answer_from(&mut phone, &other, 503).await;
    assert!(refused.header("Retry-After").is_some(), "481 would end the call");
    assert!(other.handed_over("not_carried") >= 1);

    // A tag of nobody's is as ever.
    let to = "<sip:1002@alpha.test>;tag=0123456789ab-cdef";
    let bye = phone.compose("BYE", "1002@alpha.test", to, "c2", "", "");
    phone.send(bye).await;
    answer_from(&mut phone, &other, 481).await;
}

#[tokio::test]
async fn what_has_our_mark_and_is_of_no_dialog_of_ours_borrows_nothing() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::udp(&holder, "1001", "pw-of-ada").await;
    let (_, ok) = answered(&mut owner, &mut phone, "c1").await;
    phone.within_dialog("ACK", &ok, "", "").await;
    phone.speak_to(&other).await;
    // The tag is right, the Call-ID is somebody's.
    let bye = phone.compose("BYE", "1002@alpha.test", &ok.header("To").unwrap(), "c2", "", "");
    phone.send(bye).await;
    answer_from(&mut phone, &other, 481).await;
    assert_eq!(holder.handed_over("taken"), 0);
    assert!(holder.handed_over("unexpected") >= 1);
    // A response to nothing that was asked.
    let from = ok.header("To").unwrap();
    let to = ok.header("From").unwrap();
    let stray = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKnone\r\nFrom: {from}\r\nTo: {to}\r\n\
         Call-ID: c2\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    let before = holder.handed_over("unexpected");
    phone.send(stray).await;
    holder.until("it was looked at", || holder.handed_over("unexpected") > before).await;
    assert_eq!(holder.handed_over("taken"), 0);
}
