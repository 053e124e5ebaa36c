//! What a called phone, or a carrier's, lets be heard before it answers: judged by the caller's ear.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::PhoneError;
use support::phones::{self, call_again, eventually, hears, registered, ringing};
use support::process::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_is_heard_and_then_the_call_is_refused() {
    let installation = Installation::one_process();
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = ringing(&installation, "1002", 700.0, false).await;
    let (calling, ()) = tokio::join!(call_again(&ada, "1002"), async {
        let incoming = phones::incoming(&ben).await;
        incoming.ring();
        let announcement = incoming.announce(1100.0).unwrap();
        let heard = || ada.dialled().is_some_and(|ear| ear.hears(1100.0));
        eventually(&installation, "the announcement, before any answer", heard).await;
        drop(announcement);
        incoming.reject(486, "Busy Here");
    });
    assert!(matches!(calling, Err(PhoneError::Refused { status: 486, .. })), "{calling:?}");
    let trace = ada.trace().join("\n");
    assert!(trace.contains("SIP/2.0 183 "), "{trace}");
    eventually(&installation, "the call is over", || installation.calls().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_answered_after_an_announcement_goes_on_both_ways() {
    let installation = Installation::one_process();
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = ringing(&installation, "1002", 700.0, false).await;
    let (at_ada, at_ben) = tokio::join!(ada.call_within("1002", Duration::from_secs(60)), async {
        let incoming = phones::incoming(&ben).await;
        let announcement = incoming.announce(1100.0).unwrap();
        let heard = || ada.dialled().is_some_and(|ear| ear.hears(1100.0));
        eventually(&installation, "the announcement, before any answer", heard).await;
        drop(announcement);
        incoming.answer().unwrap()
    });
    let at_ada = at_ada.unwrap();
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
    at_ada.hang_up().await.unwrap();
    eventually(&installation, "the call is over", || installation.calls().is_empty()).await;
}
