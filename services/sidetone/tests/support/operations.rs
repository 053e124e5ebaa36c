//! What tests of operations have in common: phones that sing their own tones, and the command line that steers them.

use std::time::Duration;

use sidetone_testkit::phone::{Call, EndedBy, Incoming, Phone, PhoneConfig};

use super::phones::{call, eventually, hears, incoming, registered};
use super::process::Installation;

/// The live leg of a number in the calls that go on.
pub fn leg(installation: &Installation, number: &str) -> String {
    legs(installation, |leg| leg["party"]["number"] == number)
        .pop()
        .unwrap_or_else(|| panic!("no leg of {number}: {:#}", installation.json(&["calls"])))
}

/// The live leg of a user's device.
pub fn leg_of_device(installation: &Installation, device: &str) -> String {
    legs(installation, |leg| leg["party"]["device"] == device)
        .pop()
        .unwrap_or_else(|| panic!("no leg of {device}: {:#}", installation.json(&["calls"])))
}

/// Live legs, the oldest last.
pub fn legs(installation: &Installation, wanted: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
    let calls = installation.json(&["calls"]);
    let legs = calls.as_array().unwrap().iter().flat_map(|call| call["legs"].as_array().unwrap().clone());
    let live = legs.filter(|leg| leg["state"] != "LEG_STATE_ENDED").filter(|leg| wanted(leg));
    let mut ids: Vec<String> = live.map(|leg| leg["leg_id"].as_str().unwrap().to_owned()).collect();
    ids.reverse();
    ids
}

/// An operation that must be allowed.
pub fn does(installation: &Installation, arguments: &[&str]) {
    let arguments: Vec<&str> = ["calls"].iter().chain(arguments).copied().collect();
    installation.command(&arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
}

/// What a call hears from now on has nothing of a tone in it.
pub async fn no_longer_hears(installation: &Installation, call: &Call, tone_hz: f32) {
    eventually(installation, &format!("no tone of {tone_hz} Hz"), || !call.ear().hears(tone_hz)).await;
}

/// The one call of a phone that is called.
pub async fn taken(installation: &Installation, phone: &Phone) -> Call {
    eventually(installation, "the phone is in a call", || !phone.calls().is_empty()).await;
    phone.calls().remove(0)
}

/// The far end ends a call.
pub async fn ended_by_far_end(call: &Call) {
    assert!(matches!(call.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
}

/// 1001 sings at 440 Hz and talks to 1002, who sings at 700 Hz.
pub async fn talking(installation: &Installation) -> (Phone, Phone, Call, Call) {
    let ada = registered(installation, "1001", 440.0).await;
    let ben = registered(installation, "1002", 700.0).await;
    let at_ada = call(installation, &ada, "1002").await;
    let at_ben = taken(installation, &ben).await;
    hears(installation, &at_ada, 700.0).await;
    hears(installation, &at_ben, 440.0).await;
    (ada, ben, at_ada, at_ben)
}

/// A registered phone that rings and does not answer.
pub async fn silent(installation: &Installation, number: &str) -> Phone {
    let password = format!("secret-{number}");
    let phone =
        Phone::start(PhoneConfig::new(installation.sip, "127.0.0.1", number, &password)).await.unwrap();
    phone.register().await.unwrap_or_else(|error| panic!("{number}: {error}\n{}", installation.logs()));
    phone
}

/// It rings at a phone, and call control knows.
pub async fn rings(installation: &Installation, phone: &Phone, number: &str) -> (Incoming, String) {
    let incoming = incoming(phone).await;
    let wanted =
        |leg: &serde_json::Value| leg["party"]["number"] == number && leg["state"] == "LEG_STATE_RINGING";
    eventually(installation, "it rings", || !legs(installation, wanted).is_empty()).await;
    (incoming, legs(installation, wanted).remove(0))
}
