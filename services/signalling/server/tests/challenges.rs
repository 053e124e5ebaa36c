//! Carriers that want to know who we are for every request, not only for the first.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::carrier::{CHALLENGE, Carrier, call_out, put, trunk, until};
use harness::phone::SDP;
use harness::{OwnerEnd, Rig, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::LegId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_signalling::Config;
use sidetone_sip_core::message::Request;

/// A call over a trunk that stands.
async fn stands(rig: &Rig, owner: &mut OwnerEnd, carrier: &Carrier) -> LegId {
    put(rig, trunk("acme", carrier, 1)).await;
    until(rig, "acme", |_| true).await;
    let leg = call_out(owner, 1, "0401234").await;
    let invite = carrier.request("INVITE").await;
    let supported = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\nAllow: INVITE, BYE, UPDATE\r\n";
    carrier.answer(&invite, "200 OK", supported, SDP).await;
    assert!(matches!(owner.signal().await.kind, LegSignalKind::Answered { .. }));
    carrier.request("ACK").await;
    leg
}

/// Challenges a request and gives back the one that answers.
async fn challenged(carrier: &Carrier, method: &str) -> Request {
    let first = carrier.request(method).await;
    assert!(first.header("Authorization").is_none());
    carrier.answer(&first, "401 Unauthorized", CHALLENGE, "").await;
    let again = loop {
        let again = carrier.request(method).await;
        // What is repeated had been on its way.
        if again.cseq() != first.cseq() {
            break again;
        }
    };
    assert_eq!(again.call_id(), first.call_id());
    assert!(again.cseq() > first.cseq());
    let answer = again.header("Authorization").unwrap();
    assert!(answer.contains(&format!("uri=\"{}\"", again.uri())), "{answer}");
    assert_eq!(again.body(), first.body());
    again
}

#[tokio::test]
async fn a_change_of_media_and_a_bye_answer_the_carriers_challenge() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    let leg = stands(&rig, &mut owner, &carrier).await;
    owner.command("alpha", leg, 2, LegCommandKind::Reoffer { media: media() }).await;
    let again = challenged(&carrier, "INVITE").await;
    carrier.answer(&again, "200 OK", "", SDP).await;
    let signal = owner.signal().await;
    assert!(matches!(signal.kind, LegSignalKind::Reanswered { .. }), "{signal:?}");
    loop {
        let ack = carrier.request("ACK").await;
        if ack.cseq() == again.cseq() {
            break;
        }
    }
    owner.command("alpha", leg, 3, LegCommandKind::End(Termination::new(Cause::Normal))).await;
    let again = challenged(&carrier, "BYE").await;
    carrier.answer(&again, "200 OK", "", "").await;
    owner.ended().await;
    rig.nothing_stored().await;
}

#[tokio::test]
async fn a_wrong_password_is_given_once() {
    let rig = Rig::with(Config { t1_ms: 100, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    let leg = stands(&rig, &mut owner, &carrier).await;
    owner.command("alpha", leg, 2, LegCommandKind::Reoffer { media: media() }).await;
    let again = challenged(&carrier, "INVITE").await;
    carrier.answer(&again, "401 Unauthorized", CHALLENGE, "").await;
    let signal = owner.signal().await;
    let LegSignalKind::ReofferRefused(why) = signal.kind else { panic!("{signal:?}") };
    assert_eq!(why.sip_status, Some(401));
}
