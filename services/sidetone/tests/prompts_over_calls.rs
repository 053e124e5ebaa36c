//! Prompts that applications play over a conversation and under it, judged by the ears of the phones: who gives way, and that only
//! who is meant hears it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::Call;
use support::operations::{does, leg, no_longer_hears, talking};
use support::phones::{eventually, hears};
use support::process::Installation;

/// The other phone sings at that.
const OTHER_HZ: f32 = 700.0;
/// The prompt `tone` of every node.
const PROMPT_HZ: f32 = 440.0;
/// Nearer than this two levels are the same, in dB.
const SAME_DB: f32 = 4.0;
/// What gives way is turned down by 15 dB: by more than this and by less than that.
const DOWN_DB: std::ops::Range<f32> = 9.0..24.0;

/// How loud the other is to somebody who hears nothing besides.
async fn alone(installation: &Installation, call: &Call) -> f32 {
    hears(installation, call, OTHER_HZ).await;
    let mut loudest = call.ear().level_of(OTHER_HZ);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        loudest = loudest.max(call.ear().level_of(OTHER_HZ));
    }
    loudest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_a_call_turns_it_down_and_one_under_it_gives_way() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let full = alone(&installation, &at_ada).await;
    let listener = leg(&installation, "1001");
    let call = installation.calls().remove(0);
    let play = |options: &[&str]| {
        let told = ["play", &call, "tone", "--leg", &listener, "--repeat", "0"];
        let all: Vec<&str> = told.into_iter().chain(options.iter().copied()).collect();
        does(&installation, &all);
    };
    let level = |tone_hz: f32| at_ada.ear().level_of(tone_hz);

    play(&["--over"]);
    eventually(&installation, "the prompt, and the other turned down", || {
        at_ada.ear().hears(PROMPT_HZ) && DOWN_DB.contains(&(full - level(OTHER_HZ)))
    })
    .await;
    let prompt = level(PROMPT_HZ);

    play(&["--under"]);
    eventually(&installation, "the other, and the prompt turned down", || {
        (full - level(OTHER_HZ)).abs() < SAME_DB && DOWN_DB.contains(&(prompt - level(PROMPT_HZ)))
    })
    .await;

    play(&["--over", "--duck", "-72", "--gain", "-10"]);
    eventually(&installation, "the prompt alone, and quieter", || {
        !at_ada.ear().hears(OTHER_HZ) && (5.0..15.0).contains(&(prompt - level(PROMPT_HZ)))
    })
    .await;
    // The other is told nothing of all this.
    hears(&installation, &at_ben, 440.0).await;

    does(&installation, &["stop-play", &call]);
    no_longer_hears(&installation, &at_ada, PROMPT_HZ).await;
    eventually(&installation, "the other again", || (full - level(OTHER_HZ)).abs() < SAME_DB).await;

    let levels = ["calls", "play", &call, "tone", "--gain", "3"];
    let refused = installation.command(&levels).unwrap_err();
    assert!(refused.contains("Play.manner"), "{refused}");
    let both = ["calls", "play", &call, "tone", "--over", "--under"];
    assert!(installation.command(&both).is_err(), "over and under at once");
}

/// What `calls play` began.
fn playback(told: &str) -> String {
    told.split_whitespace().find(|word| word.len() == 36).unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_paused_and_goes_on_and_ends_when_its_hearer_speaks() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, _at_ben) = talking(&installation).await;
    hears(&installation, &at_ada, OTHER_HZ).await;
    let listener = leg(&installation, "1001");
    let call = installation.calls().remove(0);
    let play = |barge_in: &str| {
        let told = ["calls", "play", &call, "tone", "--leg", &listener, "--repeat", "0", "--from-ms", "500"];
        let all: Vec<&str> = told.into_iter().chain(["--barge-in", barge_in]).collect();
        playback(&installation.command(&all).unwrap())
    };

    // She sings all the time, and that does not end it.
    let by_key = play("key");
    let prompt_alone = || at_ada.ear().hears(PROMPT_HZ) && !at_ada.ear().hears(OTHER_HZ);
    eventually(&installation, "the prompt instead of the other", prompt_alone).await;
    does(&installation, &["playback", &by_key, "--pause"]);
    let silence = || !at_ada.ear().hears(PROMPT_HZ) && !at_ada.ear().hears(OTHER_HZ);
    eventually(&installation, "silence", silence).await;
    does(&installation, &["playback", &by_key, "--resume"]);
    eventually(&installation, "the prompt again", prompt_alone).await;
    does(&installation, &["playback", &by_key, "--seek-ms", "200"]);
    does(&installation, &["stop-play", &call, &by_key]);
    let late = installation.command(&["calls", "playback", &by_key, "--resume"]).unwrap_err();
    assert!(late.contains("playback_id"), "{late}");
    assert!(installation.command(&["calls", "playback", &by_key]).is_err(), "nothing is to be done");

    let by_voice = play("voice");
    eventually(&installation, "the other again", || at_ada.ear().hears(OTHER_HZ)).await;
    eventually(&installation, "its end", || {
        installation.command(&["calls", "playback", &by_voice, "--resume"]).is_err()
    })
    .await;
}
