//! Refusals: limits, drain, and what the protocol does not allow.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::{Phone, SDP};
use harness::{Rig, media, within};
use sidetone_model::command::LegCommandKind;
use sidetone_model::signal::ReplicaMessage;
use sidetone_model::termination::Cause;
use sidetone_signalling::Config;

#[tokio::test]
async fn the_protocol_is_kept_outside_of_dialogs() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "guest", "").await;
    let (uri, to) = ("9196@alpha.test", "<sip:9196@alpha.test>");
    let ask = async |phone: &mut Phone, text: String| {
        phone.send(text).await;
        phone.last().await
    };
    let text = phone.compose("OPTIONS", uri, to, "a", "", "");
    let options = ask(&mut phone, text).await;
    assert_eq!(options.status().code(), 200);
    assert!(options.lists("Allow", "INVITE") && options.lists("Allow", "REGISTER"));
    let text = phone.compose("MESSAGE", uri, to, "b", "", "");
    assert_eq!(ask(&mut phone, text).await.status().code(), 405);
    let text = phone.compose("BYE", uri, "<sip:9196@alpha.test>;tag=gone", "c", "", "");
    assert_eq!(ask(&mut phone, text).await.status().code(), 481);
    let text = phone.compose("INVITE", uri, to, "d", "", SDP).replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(ask(&mut phone, text).await.status().code(), 483);
    let text = phone.compose("INVITE", uri, to, "e", "", "nonsense");
    assert_eq!(ask(&mut phone, text).await.status().code(), 400);
    let text = phone.compose("INVITE", uri, to, "f", "", &SDP.replace("m=audio", "m=video"));
    assert_eq!(ask(&mut phone, text).await.status().code(), 488);
    // The same INVITE over another way.
    let first = phone.compose("INVITE", uri, to, "h", "", SDP);
    phone.send(&first).await;
    rig.until("offered", || rig.telemetry.signalling.legs.get() == 1).await;
    let merged = first.replace("branch=z9hG4bK", "branch=z9hG4bKother");
    assert_eq!(ask(&mut phone, merged).await.status().code(), 482);
}

#[tokio::test]
async fn legs_and_sources_are_limited() {
    let rig = Rig::with(Config { legs_max: 1, source_requests_per_s: 2, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "guest", "").await;
    phone.invite_open("9196", "a").await;
    rig.until("offered", || rig.telemetry.signalling.legs.get() == 1).await;
    phone.invite_open("9196", "b").await;
    let full = phone.last().await;
    assert_eq!(full.status().code(), 503);
    assert!(full.header("Retry-After").is_some());
    assert_eq!(rig.telemetry.signalling.refused.with_label_values(&["legs"]).get(), 1);
    // However slowly they come: sooner or later they are more than two a second.
    let over = || rig.telemetry.signalling.defended.with_label_values(&["source_rate"]).get() >= 1;
    for n in 0..200 {
        phone.invite_open("9196", &format!("c{n}")).await;
        assert_eq!(phone.last().await.status().code(), 503);
        if over() {
            break;
        }
    }
    assert!(over());
}

#[tokio::test]
async fn whoever_calls_while_call_control_is_behind_is_told_so_at_once() {
    let rig = Rig::with(Config { behind_max_ms: 100, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let (mut first, mut other) =
        (Phone::udp(&rig, "1001", "pw-of-ada").await, Phone::udp(&rig, "1002", "pw-of-ben").await);
    let asked = async |phone: &mut Phone, until: u16| {
        for n in 0.. {
            let (uri, to) = ("9196@alpha.test", "<sip:9196@alpha.test>");
            let text = phone.compose("OPTIONS", uri, to, &format!("{until}-{n}"), "", "");
            phone.send(text).await;
            if phone.last().await.status().code() == until {
                break;
            }
        }
    };
    first.invite_open("9196", "a").await;
    let offered = owner.signal().await;
    // Nobody acknowledges it: after 100 ms call control is behind, also for a carrier that asks before it sends calls.
    asked(&mut other, 503).await;
    other.invite_open("9196", "b").await;
    let refused = other.last().await;
    assert_eq!(refused.status().code(), 503);
    assert!(refused.header("Retry-After").is_some());
    assert!(rig.telemetry.signalling.refused.with_label_values(&["owner_behind"]).get() >= 2);
    // The call that is there goes on.
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    assert_eq!(first.last().await.status().code(), 200);
    owner.ack(&offered).await;
    asked(&mut other, 200).await;
    other.invite_open("9196", "c").await;
    assert_ne!(owner.signal().await.leg, offered.leg);
}

#[tokio::test]
async fn a_drain_refuses_new_calls_and_is_done_with_the_last_leg() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.invite_open("9196", "a").await;
    let offered = owner.signal().await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    phone.within_dialog("ACK", &ok, "", "").await;
    owner.signal().await;
    rig.lifecycle.drain();
    while owner.next().await != ReplicaMessage::Draining {}
    let drained = rig.signalling.drained();
    let mut other = Phone::udp(&rig, "1002", "pw-of-ben").await;
    other.invite_open("9196", "b").await;
    assert_eq!(other.last().await.status().code(), 503);
    assert_eq!(other.register(600).await.1.status().code(), 200, "registrations go on");
    phone.within_dialog("BYE", &ok, "", "").await;
    let (ended, _) = owner.ended().await;
    owner.ack(&ended).await;
    within(drained).await;
}

#[tokio::test]
async fn a_stop_ends_what_still_runs_with_a_reason() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "guest", "").await;
    phone.invite_open("9196", "a").await;
    owner.signal().await;
    rig.lifecycle.stop();
    assert_eq!(phone.last().await.status().code(), 503);
    let (ended, termination) = owner.ended().await;
    assert_eq!(termination.cause, Cause::Shutdown);
    owner.ack(&ended).await;
    within(rig.signalling.finished()).await;
}
