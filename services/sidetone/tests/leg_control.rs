//! What applications and phones do inside dialogs, by ear: answering from afar, telling of hold, passing calls on, taking the
//! place of others, sending calls on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{Call, EndedBy, Phone};
use support::phones::{self, call, call_again, call_with_again, eventually, hears, registered, ringing};
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
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
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
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    let incoming = phones::incoming(&ben).await;
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
    // The other way round it is the phone that called that is offered something.
    let holder = leg(&installation, "1002").unwrap();
    installation.command(&["calls", "hold", &holder]).unwrap();
    eventually(&installation, "the caller shows that it is held", || described(Direction::SendOnly)(&at_ada))
        .await;
    installation.command(&["calls", "retrieve", &holder]).unwrap();
    eventually(&installation, "the caller shows that it talks", || described(Direction::SendRecv)(&at_ada))
        .await;
    hears(&installation, &at_ada, 700.0).await;
    at_ben.hang_up().await.unwrap();
    assert!(matches!(at_ada.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
}

/// 1001 and 1002 talk.
async fn talking(installation: &Installation) -> (Phone, Phone, Call, Call) {
    let ada = registered(installation, "1001", 440.0).await;
    let ben = registered(installation, "1002", 700.0).await;
    let at_ada = call(installation, &ada, "1002").await;
    let at_ben = taken(installation, &ben).await;
    hears(installation, &at_ada, 700.0).await;
    hears(installation, &at_ben, 440.0).await;
    (ada, ben, at_ada, at_ben)
}

async fn told(installation: &Installation, call: &Call, last: &str) {
    eventually(installation, last, || call.told().last().is_some_and(|line| line.starts_with(last))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_passes_its_call_on_and_is_told_how_that_went() {
    let installation = Installation::one_process();
    let cid = ringing(&installation, "1003", 1100.0, false).await;
    let (_ada, ben, at_ada, at_ben) = talking(&installation).await;
    at_ben.reinvite(sidetone_testkit::phone::Direction::SendOnly).await.unwrap();
    let answer = at_ben.refer("1003", None).await.unwrap();
    assert_eq!(answer.status(), Some(202), "{}", ben.trace().join("\n"));
    let incoming = phones::incoming(&cid).await;
    told(&installation, &at_ben, "SIP/2.0 180").await;
    let at_cid = incoming.answer().unwrap();
    told(&installation, &at_ben, "SIP/2.0 200").await;
    assert!(at_ben.wait_ended(Duration::from_secs(30)).await.is_some());
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
    assert_eq!(at_ben.told().first().map(String::as_str), Some("SIP/2.0 100 Trying"));
    at_ada.hang_up().await.unwrap();
    assert!(at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_comes_back_to_whoever_passed_it_on() {
    let installation = Installation::one_process();
    let cid = ringing(&installation, "1003", 1100.0, false).await;
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let nowhere = at_ben.refer("4711", None).await.unwrap();
    assert_eq!(nowhere.status(), Some(404), "nobody has this number");
    assert_eq!(at_ben.refer("1003", None).await.unwrap().status(), Some(202));
    phones::incoming(&cid).await.reject(486, "Busy Here");
    told(&installation, &at_ben, "SIP/2.0 486").await;
    at_ada.ear().forget();
    at_ben.ear().forget();
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_connects_the_two_it_talks_with() {
    let installation = Installation::one_process();
    let cid = registered(&installation, "1003", 1100.0).await;
    let (ada, _ben, at_ada, at_ben) = talking(&installation).await;
    at_ada.reinvite(sidetone_testkit::phone::Direction::SendOnly).await.unwrap();
    let second = call(&installation, &ada, "1003").await;
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_cid, 440.0).await;
    let answer = at_ada.refer("1003", Some(&second)).await.unwrap();
    assert_eq!(answer.status(), Some(202), "{}", ada.trace().join("\n"));
    hears(&installation, &at_ben, 1100.0).await;
    hears(&installation, &at_cid, 700.0).await;
    for at in [&at_ada, &second] {
        assert!(matches!(at.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    }
    assert_eq!(at_ada.told().last().map(String::as_str), Some("SIP/2.0 200 OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_takes_the_place_of_another_and_picks_up_what_rings() {
    let installation = Installation::one_process();
    let dan = registered(&installation, "1004", 1500.0).await;
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let replaces = at_ben.replaces();
    let headers = [("Replaces", replaces.as_str()), ("Require", "replaces")];
    let at_dan = call_with_again(&dan, "1001", &headers).await.unwrap();
    hears(&installation, &at_ada, 1500.0).await;
    hears(&installation, &at_dan, 440.0).await;
    assert!(at_ben.wait_ended(Duration::from_secs(30)).await.is_some());
    let stale = call_with_again(&dan, "1001", &headers).await.unwrap_err();
    assert!(stale.to_string().starts_with("481") || stale.to_string().starts_with("603"), "{stale}");
    at_ada.hang_up().await.unwrap();
    let cid = ringing(&installation, "1003", 1100.0, false).await;
    let eve = registered(&installation, "1005", 300.0).await;
    let calling = tokio::spawn(async move { (call_again(&eve, "1003").await, eve) });
    let incoming = phones::incoming(&cid).await;
    rings(&installation, "1003").await;
    let replaces = incoming.replaces() + ";early-only";
    let at_dan = call_with_again(&dan, "1003", &[("Replaces", replaces.as_str())]).await.unwrap();
    assert!(incoming.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    let (at_eve, _eve) = calling.await.unwrap();
    hears(&installation, &at_eve.unwrap(), 1500.0).await;
    hears(&installation, &at_dan, 300.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_sends_its_calls_on() {
    let installation = Installation::one_process();
    let ben = ringing(&installation, "1002", 700.0, false).await;
    let cid = registered(&installation, "1003", 1100.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    phones::incoming(&ben).await.redirect("1003");
    let at_cid = taken(&installation, &cid).await;
    let (at_ada, ada) = calling.await.unwrap();
    let at_ada = at_ada.unwrap();
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
    at_ada.hang_up().await.unwrap();
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    phones::incoming(&ben).await.redirect("4711");
    let (refused, _ada) = calling.await.unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("480"), "a number that nobody has is not followed: {refused}");
}
