//! How a leg sounds to the others, by ear: a coach whom the agent alone hears, a monitor whom nobody hears, gain and automatic
//! gain, as they are set from the command line, and as they outlive call control; and a phone of which nothing is heard any more.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::coding::Format;
use sidetone_testkit::phone::{Call, EndedBy};
use support::operations::{does, leg, no_longer_hears, talking};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;

/// What the API tells of a number's voice.
fn voice(installation: &Installation, number: &str) -> serde_json::Value {
    let calls = installation.json(&["calls"]);
    let legs = calls.as_array().unwrap().iter().flat_map(|call| call["legs"].as_array().unwrap());
    let of = |leg: &&serde_json::Value| leg["party"]["number"] == number && leg["state"] != "LEG_STATE_ENDED";
    legs.filter(of).map(|leg| leg["voice"].clone()).next_back().unwrap()
}

/// Listens until a tone has a level, in dBov.
async fn hears_at(installation: &Installation, call: &Call, tone_hz: f32, level: std::ops::Range<f32>) {
    let what = format!("{tone_hz} Hz at {level:?} dBov");
    eventually(installation, &what, || level.contains(&call.ear().level_of(tone_hz))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coach_is_heard_by_the_agent_alone_and_a_monitor_by_nobody() {
    let mut installation = Installation::four_processes();
    let phones = [
        registered(&installation, "1001", 400.0).await,
        registered(&installation, "1002", 700.0).await,
        registered(&installation, "1003", 1100.0).await,
    ];
    let agent = call(&installation, &phones[0], "3000").await;
    let caller = call(&installation, &phones[1], "3000").await;
    let third = call(&installation, &phones[2], "3000").await;
    hears(&installation, &agent, 1100.0).await;
    hears(&installation, &caller, 1100.0).await;
    let (at_agent, at_third) = (leg(&installation, "1001"), leg(&installation, "1003"));

    does(&installation, &["audio", &at_third, "--role", "coach", "--heard-by", &at_agent]);
    no_longer_hears(&installation, &caller, 1100.0).await;
    hears(&installation, &agent, 1100.0).await;
    hears(&installation, &third, 700.0).await;
    let itself = ["calls", "audio", &at_third, "--role", "coach", "--heard-by", &at_third];
    assert!(installation.command(&itself).is_err(), "nobody coaches himself");
    let loud = ["calls", "audio", &at_third, "--gain-db", "19"];
    assert!(installation.command(&loud).is_err(), "18 dB is the most");

    installation.call_control.as_mut().unwrap().kill();
    installation.call_control.as_mut().unwrap().restart();
    installation.call_control.as_ref().unwrap().wait_until_ready();
    eventually(&installation, "the coach is in the log", || {
        voice(&installation, "1003")["role"] == "VOICE_ROLE_COACH"
    })
    .await;
    // What is let through changes, and how it sounds does not.
    does(&installation, &["audio", &at_third, "--same-voice", "--deafened"]);
    no_longer_hears(&installation, &third, 700.0).await;
    hears(&installation, &agent, 1100.0).await;
    assert!(!caller.ear().hears(1100.0));

    agent.hang_up().await.unwrap();
    no_longer_hears(&installation, &caller, 400.0).await;
    assert!(!caller.ear().hears(1100.0), "a coach without an agent is heard by nobody");
    does(&installation, &["audio", &at_third]);
    hears(&installation, &caller, 1100.0).await;
    does(&installation, &["audio", &at_third, "--role", "monitor"]);
    no_longer_hears(&installation, &caller, 1100.0).await;
    hears(&installation, &third, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gain_and_automatic_gain_in_a_call_of_two() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let own = leg(&installation, "1001");
    // What the phone sends is fixed; a level that is read once, in a second in which something was late, would be too low.
    let spoken = -22.2;
    let around = |level: f32| level - 1.5..level + 1.5;
    hears_at(&installation, &at_ben, 440.0, around(spoken)).await;
    does(&installation, &["audio", &own, "--gain-db=-12"]);
    hears_at(&installation, &at_ben, 440.0, around(spoken - 12.0)).await;
    does(&installation, &["audio", &own, "--agc"]);
    hears_at(&installation, &at_ben, 440.0, around(-19.5)).await;
    does(&installation, &["audio", &own, "--agc", "--suppress-noise", "--gain-db", "3"]);
    let told = voice(&installation, "1001");
    assert_eq!(
        (&told["gain_mdb"], &told["automatic_gain"], &told["suppress_noise"]),
        (&3_000.into(), &true.into(), &true.into())
    );
    hears(&installation, &at_ada, 700.0).await;
    does(&installation, &["audio", &own]);
    hears_at(&installation, &at_ben, 440.0, around(spoken)).await;
    assert!(voice(&installation, "1001").is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_falls_silent_in_mid_call_is_ended_on_both_sides() {
    let installation = Installation::with_media("rtp_timeout_s = 5\n");
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let Some(remote) = at_ben.remote() else { panic!("no description") };
    // A number that was not agreed on, and then nothing at all.
    let garbage = Format { payload_type: 77, ..remote.format };
    at_ben.media().send_to(Some((remote.audio, garbage)), None);
    no_longer_hears(&installation, &at_ada, 700.0).await;
    at_ben.media().send_to(None, None);
    for call in [&at_ben, &at_ada] {
        let ended = call.wait_ended(Duration::from_secs(40)).await;
        assert!(matches!(ended, Some(EndedBy::FarEnd { reason: Some(_) })), "{ended:?}");
    }
    eventually(&installation, "the record says so", || {
        installation.command(&["cdrs", "--output", "csv"]).is_ok_and(|cdrs| cdrs.contains("media_timeout"))
    })
    .await;
}
