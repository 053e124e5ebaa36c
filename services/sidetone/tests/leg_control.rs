//! What applications and phones do inside dialogs, by ear: answering from afar, telling of hold.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sidetone_testkit::phone::{Call, EndedBy, Phone};
use support::phones::{call, eventually, hears, registered, ringing};
use support::process::Installation;

/// The live leg of a number in the calls that go on.
fn leg(installation: &Installation, number: &str) -> Option<String> {
    let calls = installation.json(&["calls"]);
    let legs = calls.as_array().unwrap().iter().flat_map(|call| call["legs"].as_array().unwrap().clone());
    let mut live = legs.filter(|leg| leg["party"]["number"] == number && leg["state"] != "LEG_STATE_ENDED");
    Some(live.next()?["leg_id"].as_str()?.to_owned())
}

async fn rings(installation: &Installation, number: &str) -> String {
    eventually(installation, "it rings", || {
        let calls = installation.json(&["calls"]);
        let legs = calls.as_array().unwrap().iter().flat_map(|call| call["legs"].as_array().unwrap().clone());
        let mut ringing = legs.filter(|leg| leg["state"] == "LEG_STATE_RINGING");
        ringing.any(|leg| leg["party"]["number"] == number)
    })
    .await;
    leg(installation, number).unwrap()
}

async fn taken(installation: &Installation, phone: &Phone) -> Call {
    eventually(installation, "the phone is in a call", || !phone.calls().is_empty()).await;
    phone.calls().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_rings_is_answered_from_afar() {
    let installation = Installation::one_process();
    let ben = ringing(&installation, "1002", 700.0, true).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let calling = tokio::spawn(async move { (ada.call("1002").await, ada) });
    let leg = rings(&installation, "1002").await;
    installation.command(&["calls", "answer-ringing", &leg]).unwrap();
    let (at_ada, _ada) = calling.await.unwrap();
    let (at_ada, at_ben) = (at_ada.unwrap(), taken(&installation, &ben).await);
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_cannot_be_answered_from_afar_says_so_and_rings_on() {
    let installation = Installation::one_process();
    let ben = ringing(&installation, "1002", 700.0, false).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let calling = tokio::spawn(async move { (ada.call("1002").await, ada) });
    let incoming = ben.next_incoming().await.unwrap();
    let leg = rings(&installation, "1002").await;
    installation.command(&["calls", "answer-ringing", &leg]).unwrap();
    eventually(&installation, "the refusal is told", || {
        installation
            .command(&["calls", "answer-ringing", &leg])
            .is_err_and(|error| error.contains("does not allow"))
    })
    .await;
    let asked = ben.trace().iter().any(|line| line.contains("SIP/2.0 489"));
    assert!(asked, "{}", ben.trace().join("\n"));
    let at_ben = incoming.answer().unwrap();
    let (at_ada, _ada) = calling.await.unwrap();
    hears(&installation, &at_ada.unwrap(), 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_is_told_where_that_is_wanted() {
    let installation = Installation::with_call_control("hold_told = true");
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = registered(&installation, "1002", 700.0).await;
    let at_ada = call(&installation, &ada, "1002").await;
    let at_ben = taken(&installation, &ben).await;
    hears(&installation, &at_ada, 700.0).await;
    let holder = leg(&installation, "1001").unwrap();
    let described =
        |direction| move |at: &Call| at.remote().is_some_and(|remote| remote.direction == direction);
    use sidetone_testkit::phone::Direction;
    installation.command(&["calls", "hold", &holder]).unwrap();
    eventually(&installation, "the phone shows that it is held", || described(Direction::SendOnly)(&at_ben))
        .await;
    eventually(&installation, "silence", || !at_ada.ear().hears(700.0)).await;
    installation.command(&["calls", "retrieve", &holder]).unwrap();
    eventually(&installation, "the phone shows that it talks", || described(Direction::SendRecv)(&at_ben))
        .await;
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
    at_ben.hang_up().await.unwrap();
    assert!(matches!(at_ada.wait_ended(Duration::from_secs(5)).await, Some(EndedBy::FarEnd { .. })));
}
