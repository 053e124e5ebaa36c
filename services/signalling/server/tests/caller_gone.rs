//! A caller whose connection closes while it rings (decision 74).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::Phone;
use harness::{Rig, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_signalling::Config;

#[tokio::test]
async fn it_is_as_if_it_had_cancelled_and_an_answered_call_stays() {
    let rig = Rig::with(Config { caller_gone_s: 1, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    phone.invite("1002", "answered").await;
    let talks = owner.signal().await;
    owner.ack(&talks).await;
    owner.command("alpha", talks.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    phone.within_dialog("ACK", &ok, "", "").await;
    let confirmed = owner.signal().await;
    assert_eq!((confirmed.leg, &confirmed.kind), (talks.leg, &LegSignalKind::Confirmed { media: None }));
    owner.ack(&confirmed).await;
    phone.invite("1002", "rings").await;
    let rings = owner.signal().await;
    assert!(matches!(rings.kind, LegSignalKind::Offered(_)));
    owner.ack(&rings).await;
    drop(phone);
    let (ended, termination) = owner.ended().await;
    assert_eq!(
        (ended.leg, termination.cause, termination.sip_status),
        (rings.leg, Cause::Cancelled, Some(487))
    );
    owner.ack(&ended).await;
    assert_eq!(rig.telemetry.signalling.refused.with_label_values(&["caller_gone"]).get(), 1);
    rig.until("the answered call is left", || rig.telemetry.signalling.legs.get() == 1).await;
}

#[tokio::test]
async fn one_that_comes_back_over_another_connection_is_answered_over_that() {
    // Whether the end of the first or what comes over the second is noticed first is left to chance, and does not matter.
    let rig = Rig::with(Config { caller_gone_s: 60, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    phone.invite("1002", "comes-back").await;
    let offered = owner.signal().await;
    owner.ack(&offered).await;
    phone.reconnect(&rig).await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let connections = rig.telemetry.signalling.connections.with_label_values(&["tcp"]);
    rig.until("the first connection is closed", || connections.get() == 1).await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    // REGISTER was its last request, and this is no answer to that.
    let ok = loop {
        let response = phone.response().await;
        if response.status().is_final() && response.call_id() == "comes-back" {
            break response;
        }
    };
    assert_eq!(ok.status().code(), 200);
    assert_eq!(rig.telemetry.signalling.refused.with_label_values(&["caller_gone"]).get(), 0);
}
