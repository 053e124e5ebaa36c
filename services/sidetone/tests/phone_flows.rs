//! A phone that has registered over two flows (RFC 5626) is reached over the one that lives.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use sidetone_testkit::phone::{Phone, PhoneConfig, Transport};
use support::operations::legs;
use support::phones::{call, eventually, hears, unregistered};
use support::process::Installation;

/// One flow of the phone of 1002.
async fn flow(installation: &Installation, transport: Transport, reg_id: u32, tone_hz: f32) -> Phone {
    let mut config =
        PhoneConfig::new(installation.sip, "127.0.0.1", "1002", "secret-1002").with_tone(tone_hz);
    config.transport = transport;
    config.auto_answer = true;
    config.flow = Some(("urn:uuid:00000000-0000-1000-8000-000a95a0e128".to_owned(), reg_id));
    let phone = Phone::start(config).await.unwrap();
    // Longer for the later: of two that were refreshed in the same millisecond it is the preferred one, too.
    phone.register_for(600 + 600 * reg_id).await.unwrap();
    phone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_gets_through_although_the_preferred_flow_is_dead() {
    // Long enough that a phone on a busy machine is not taken for silent.
    let installation = Installation::with_call_control("flow_silence_s = 8");
    let caller = unregistered(&installation, "1001", 440.0).await;
    let lives = flow(&installation, Transport::Tcp, 1, 700.0).await;
    let preferred = flow(&installation, Transport::Udp, 2, 900.0).await;

    let over_preferred = call(&installation, &caller, "1002").await;
    hears(&installation, &over_preferred, 900.0).await;
    assert!(lives.calls().is_empty(), "one flow of an instance rings");
    over_preferred.hang_up().await.unwrap();
    eventually(&installation, "the call is over", || installation.calls().is_empty()).await;

    // Its NAT has forgotten it: nothing is said any more, and nothing closes.
    drop(preferred);
    let over_other = call(&installation, &caller, "1002").await;
    hears(&installation, &over_other, 700.0).await;
    let called = || legs(&installation, |leg| leg["incoming"] == false).len();
    eventually(&installation, "the silent one is given up", || called() == 1).await;
    over_other.hang_up().await.unwrap();
}
