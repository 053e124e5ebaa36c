//! Operations on calls, by ear: phones that each sing their own tone, and the command line that tells call control what to
//! do with them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{Call, Direction, EndedBy, Phone};
use support::operations::{does, leg, no_longer_hears, taken, talking};
use support::phones::{self, call_again, eventually, hears, registered};
use support::process::Installation;
use support::sound::loudest_dbov;

/// Long enough for what is still on its way to be over.
const SETTLED: Duration = Duration::from_millis(700);

/// Each side talks with the server alone: neither its ports, nor its dialog, nor what it is comes out at the other.
#[tokio::test(flavor = "multi_thread")]
async fn neither_phone_learns_where_and_what_the_other_is() {
    let installation = Installation::with_call_control("hold_told = true");
    let (ada, ben, at_ada, at_ben) = talking(&installation).await;
    let holder = leg(&installation, "1001");
    does(&installation, &["hold", &holder]);
    let held = || at_ben.remote().is_some_and(|remote| remote.direction == Direction::SendOnly);
    eventually(&installation, "Ben's phone is told that it is held", held).await;
    does(&installation, &["retrieve", &holder]);
    at_ada.reinvite(Direction::SendRecv).await.unwrap();
    hears(&installation, &at_ben, 440.0).await;
    at_ada.hang_up().await.unwrap();
    assert!(at_ben.wait_ended(Duration::from_secs(30)).await.is_some());
    let own_tag = |call: &Call| call.replaces().rsplit_once("from-tag=").unwrap().1.to_owned();
    for (hearer, method, other, there) in [(&ben, "BYE", &ada, &at_ada), (&ada, "INVITE", &ben, &at_ben)] {
        let heard = hearer.trace().into_iter().filter(|message| message.starts_with("<-"));
        let heard = heard.collect::<Vec<_>>().join("\n");
        assert!(heard.contains(&format!(" {method}\r\n")), "{heard}");
        let media = there.media().local_addr().port();
        for known_by_one_side in [
            format!(":{}", other.local_addr().port()),
            format!("m=audio {media} "),
            there.call_id(),
            own_tag(there),
            "sidetone-testkit".to_owned(),
        ] {
            assert!(!heard.contains(&known_by_one_side), "{known_by_one_side} in\n{heard}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_is_silence_until_it_is_over() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let holder = leg(&installation, "1001");
    does(&installation, &["hold", &holder]);
    no_longer_hears(&installation, &at_ben, 440.0).await;
    no_longer_hears(&installation, &at_ada, 700.0).await;
    let again = installation.command(&["calls", "hold", &holder]).unwrap_err();
    assert!(again.contains("does not allow"), "{again}");
    does(&installation, &["retrieve", &holder]);
    hears(&installation, &at_ben, 440.0).await;
    hears(&installation, &at_ada, 700.0).await;
    at_ben.hang_up().await.unwrap();
    assert!(matches!(at_ada.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_passed_on_without_asking() {
    let installation = Installation::one_process();
    let cid = registered(&installation, "1003", 1100.0).await;
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    does(&installation, &["transfer", &leg(&installation, "1002"), "1003"]);
    assert!(matches!(at_ben.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
    assert_eq!(installation.calls().len(), 1, "it is still the same call");
    at_ada.hang_up().await.unwrap();
    assert!(at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hear_each_other_and_two_go_on() {
    let installation = Installation::one_process();
    let cid = registered(&installation, "1003", 1100.0).await;
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    does(&installation, &["add", &leg(&installation, "1001"), "1003"]);
    let at_cid = taken(&installation, &cid).await;
    for (at, others, own) in [
        (&at_ada, [700.0, 1100.0], 440.0),
        (&at_ben, [440.0, 1100.0], 700.0),
        (&at_cid, [440.0, 700.0], 1100.0),
    ] {
        for tone in others {
            hears(&installation, at, tone).await;
        }
        assert!(!at.ear().hears(own), "one hears oneself at {own} Hz");
    }
    let aside = leg(&installation, "1002");
    does(&installation, &["aside", &aside]);
    no_longer_hears(&installation, &at_ben, 440.0).await;
    no_longer_hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ada, 1100.0).await;
    does(&installation, &["aside", &aside, "--back"]);
    hears(&installation, &at_ada, 700.0).await;
    at_ada.hang_up().await.unwrap();
    hears(&installation, &at_ben, 1100.0).await;
    hears(&installation, &at_cid, 700.0).await;
    no_longer_hears(&installation, &at_cid, 440.0).await;
    at_cid.hang_up().await.unwrap();
    assert!(at_ben.wait_ended(Duration::from_secs(30)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_elsewhere_is_picked_up() {
    let installation = Installation::one_process();
    let silent = Phone::start(
        sidetone_testkit::phone::PhoneConfig::new(installation.sip, "127.0.0.1", "1002", "secret-1002")
            .with_tone(700.0),
    )
    .await
    .unwrap();
    silent.register().await.unwrap();
    let cid = registered(&installation, "1003", 1100.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    let ringing = phones::incoming(&silent).await;
    eventually(&installation, "it rings", || {
        let calls = installation.json(&["calls"]);
        let text = calls.to_string();
        text.contains("LEG_STATE_RINGING")
    })
    .await;
    does(&installation, &["pick-up", &leg(&installation, "1002"), "user1003"]);
    assert!(ringing.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    let (at_ada, _ada) = calling.await.unwrap();
    let at_ada = at_ada.unwrap();
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_somebody_else_and_connects_the_two() {
    let installation = Installation::one_process();
    let cid = registered(&installation, "1003", 1100.0).await;
    let (ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let first = leg(&installation, "1001");
    does(&installation, &["enquire", &first, "1003"]);
    eventually(&installation, "the second call", || ada.calls().len() == 2).await;
    let second_at_ada = ada.calls().into_iter().find(|call| call.call_id() != at_ada.call_id()).unwrap();
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_cid, 440.0).await;
    hears(&installation, &second_at_ada, 1100.0).await;
    tokio::time::sleep(SETTLED).await;
    assert!(!at_ben.ear().hears(440.0), "who is held hears who asks");
    let calls = installation.json(&["calls"]);
    let legs: Vec<_> = calls
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|call| call["legs"].as_array().unwrap().clone())
        .filter(|leg| leg["cause"] == "LEG_CAUSE_ENQUIRY")
        .collect();
    let active = legs[0]["leg_id"].as_str().unwrap().to_owned();
    does(&installation, &["transfer", &active, "--held", &first]);
    hears(&installation, &at_cid, 700.0).await;
    hears(&installation, &at_ben, 1100.0).await;
    for at in [&at_ada, &second_at_ada] {
        assert!(matches!(at.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_answer_is_left_a_message() {
    let installation = Installation::one_process();
    let silent =
        sidetone_testkit::phone::PhoneConfig::new(installation.sip, "127.0.0.1", "1002", "secret-1002");
    let silent = Phone::start(silent).await.unwrap();
    silent.register().await.unwrap();
    let ada = registered(&installation, "1001", 440.0).await;
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    let ringing = phones::incoming(&silent).await;
    eventually(&installation, "it rings", || {
        installation.json(&["calls"]).to_string().contains("LEG_STATE_RINGING")
    })
    .await;
    does(&installation, &["overflow", &leg(&installation, "1001")]);
    assert!(ringing.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    let (at_ada, _ada) = calling.await.unwrap();
    let at_ada = at_ada.unwrap();
    let call = installation.calls().remove(0);
    let recording = |state: &str| {
        let call = installation.json(&["calls", "show", &call]);
        call["recordings"][0]["state"] == state
    };
    eventually(&installation, "the message begins", || recording("RECORDING_STATE_RUNNING")).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    at_ada.hang_up().await.unwrap();
    eventually(&installation, "the message is complete", || recording("RECORDING_STATE_FINISHED")).await;
    let shown = installation.json(&["calls", "show", &call]);
    let file =
        installation.folder.path().join("recordings").join(shown["recordings"][0]["file"].as_str().unwrap());
    let mut wav = hound::WavReader::open(file).unwrap();
    let samples: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
    // At its end is silence: the phone says nothing more before its BYE has come.
    let level = loudest_dbov(&samples, 8000, 440.0);
    assert!(
        level > -30.0,
        "the message does not hold what was said: {level} dBov of {} samples",
        samples.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_on_shows_how_its_legs_sound() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, _at_ben) = talking(&installation).await;
    let call = installation.calls().remove(0);
    let sounds = |shown: &serde_json::Value| {
        let legs = shown["legs"].as_array().unwrap().clone();
        let sounds = legs.iter().filter_map(|leg| leg["sound"].as_object().cloned());
        // Without loss A-law is at its best, whatever the machine does to the timing; a score is there for each.
        sounds.filter(|sound| sound["mean_opinion_hundredths"].as_u64().unwrap_or(0) >= 100).count()
    };
    eventually(&installation, "a score of both", || {
        sounds(&installation.json(&["calls", "show", &call])) == 2
    })
    .await;
    let shown = installation.json(&["calls", "show", &call]);
    for leg in shown["legs"].as_array().unwrap() {
        assert_eq!(
            (&leg["sound"]["encoding_received"], &leg["sound"]["encoding_sent"]),
            (&"PCMA".into(), &"PCMA".into())
        );
    }
    let text = installation.command(&["calls", "show", &call]).unwrap();
    assert_eq!(text.matches("in PCMA, PCMA out, lost ").count(), 2, "{text}");
    let listed = installation.command(&["calls"]).unwrap();
    assert!(listed.contains("MOS"), "{listed}");
    at_ada.hang_up().await.unwrap();
}
