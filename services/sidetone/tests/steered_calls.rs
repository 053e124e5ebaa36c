//! Every operation on calls that the other tests of operations leave out, by ear: phones that each sing their own tone, and
//! the command line that tells call control what to do with them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{Call, Phone, PhoneConfig, PhoneError};
use support::operations::{
    does, ended_by_far_end, leg, leg_of_device, legs, no_longer_hears, rings, silent, taken, talking,
};
use support::phones::{call, call_again, eventually, hears, registered};
use support::process::Installation;
use support::sound::loudest_dbov;

/// Somebody with two telephones.
const ED: &str = "[[seed.tenants.users]]\nuser = \"ed\"\nnumbers = [\"1010\"]\n\
    devices = [{ device = \"edsdesk\", auth_username = \"edsdesk\", password = \"secret-desk\" },\
    { device = \"edsmobile\", auth_username = \"edsmobile\", password = \"secret-mobile\" }]\n";

async fn of_ed(installation: &Installation, device: &str, tone_hz: f32) -> Phone {
    let password = format!("secret-{}", device.trim_start_matches("eds"));
    let config = PhoneConfig::new(installation.sip, "127.0.0.1", device, &password).with_tone(tone_hz);
    let phone = Phone::start(PhoneConfig { auto_answer: true, ..config }).await.unwrap();
    phone.register().await.unwrap_or_else(|error| panic!("{device}: {error}\n{}", installation.logs()));
    phone
}

/// Each hears all the others and not itself.
async fn all_hear_each_other(installation: &Installation, calls: &[(&Call, f32)]) {
    for (call, own) in calls {
        for (_, tone) in calls.iter().filter(|(_, tone)| tone != own) {
            hears(installation, call, *tone).await;
        }
        assert!(!call.ear().hears(*own), "one hears oneself at {own} Hz");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_is_refused_or_sent_on() {
    let installation = Installation::one_process();
    let ben = silent(&installation, "1002").await;
    let cid = registered(&installation, "1003", 1100.0).await;
    let ada = registered(&installation, "1001", 440.0).await;

    let (refused, ()) = tokio::join!(call_again(&ada, "1002"), async {
        let (incoming, ringing) = rings(&installation, &ben, "1002").await;
        does(&installation, &["reject", &ringing]);
        assert!(incoming.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    });
    assert!(matches!(refused, Err(PhoneError::Refused { status: 400.., .. })), "{refused:?}");

    let nobody = ["redirect", "--assistant"];
    let (at_ada, ()) = tokio::join!(call_again(&ada, "1002"), async {
        let (incoming, ringing) = rings(&installation, &ben, "1002").await;
        let without = installation.command(&["calls", nobody[0], &ringing, nobody[1]]);
        assert!(without.is_err(), "the tenant has no assistant: {without:?}");
        does(&installation, &["redirect", &ringing, "1003"]);
        assert!(incoming.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    });
    let at_ada = at_ada.unwrap();
    let at_cid = taken(&installation, &cid).await;
    all_hear_each_other(&installation, &[(&at_ada, 440.0), (&at_cid, 1100.0)]).await;
    at_ada.hang_up().await.unwrap();
    eventually(&installation, "the call is over", || cid.calls().is_empty()).await;

    let domains = ["--domain", "127.0.0.1", "--domain", "acme.example"];
    let put: Vec<&str> =
        ["directory", "put-tenant", "acme", "--assistant", "1003"].into_iter().chain(domains).collect();
    installation.command(&put).unwrap();
    let (at_ada, ()) = tokio::join!(call_again(&ada, "1002"), async {
        let (incoming, ringing) = rings(&installation, &ben, "1002").await;
        does(&installation, &["redirect", &ringing, "--assistant"]);
        assert!(incoming.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    });
    let at_cid = taken(&installation, &cid).await;
    all_hear_each_other(&installation, &[(&at_ada.unwrap(), 440.0), (&at_cid, 1100.0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_calls_one_is_talked_in_and_then_they_are_one() {
    let installation = Installation::one_process();
    let cid = registered(&installation, "1003", 1100.0).await;
    let dan = silent(&installation, "1004").await;
    let (ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let first = leg(&installation, "1001");
    let enquiry = |leg: &serde_json::Value| leg["cause"] == "LEG_CAUSE_ENQUIRY";

    // An enquiry that nobody takes is given up.
    does(&installation, &["enquire", &first, "1004"]);
    let (incoming, _) = rings(&installation, &dan, "1004").await;
    does(&installation, &["reconnect", &legs(&installation, enquiry).pop().unwrap(), &first]);
    assert!(incoming.wait_cancelled(Duration::from_secs(30)).await, "it rings on");
    all_hear_each_other(&installation, &[(&at_ada, 440.0), (&at_ben, 700.0)]).await;
    eventually(&installation, "one call at the phone", || ada.calls().len() == 1).await;

    does(&installation, &["enquire", &first, "1003"]);
    let at_cid = taken(&installation, &cid).await;
    eventually(&installation, "the second call", || ada.calls().len() == 2).await;
    let asking = ada.calls().into_iter().find(|call| call.call_id() != at_ada.call_id()).unwrap();
    hears(&installation, &at_cid, 440.0).await;
    no_longer_hears(&installation, &at_ben, 440.0).await;
    let second = legs(&installation, enquiry).pop().unwrap();

    does(&installation, &["alternate", &second, &first]);
    hears(&installation, &at_ben, 440.0).await;
    no_longer_hears(&installation, &at_cid, 440.0).await;
    does(&installation, &["alternate", &first, &second]);
    hears(&installation, &at_cid, 440.0).await;
    no_longer_hears(&installation, &at_ben, 440.0).await;

    does(&installation, &["merge", &second, &first]);
    hears(&installation, &at_ben, 1100.0).await;
    hears(&installation, &at_cid, 700.0).await;
    for at in [&at_ben, &at_cid] {
        hears(&installation, at, 440.0).await;
    }
    let remaining: Vec<Call> = [at_ada, asking].into_iter().filter(|call| call.ended().is_none()).collect();
    eventually(&installation, "who merged hears both", || {
        remaining.iter().any(|call| call.ear().hears(700.0) && call.ear().hears(1100.0))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_breaks_in_is_sent_away_and_somebody_leaves() {
    let installation = Installation::one_process();
    let cid = registered(&installation, "1003", 1100.0).await;
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let this = installation.calls().remove(0);
    does(&installation, &["intrude", &this, "user1003"]);
    let at_cid = taken(&installation, &cid).await;
    let three = [(&at_ada, 440.0), (&at_ben, 700.0), (&at_cid, 1100.0)];
    all_hear_each_other(&installation, &three).await;
    does(&installation, &["drop", &leg_of_device(&installation, "desk1003")]);
    ended_by_far_end(&at_cid).await;
    all_hear_each_other(&installation, &[(&at_ada, 440.0), (&at_ben, 700.0)]).await;
    no_longer_hears(&installation, &at_ada, 1100.0).await;

    does(&installation, &["add", &leg(&installation, "1001"), "1003"]);
    eventually(&installation, "the phone is in a call again", || !cid.calls().is_empty()).await;
    let at_cid = cid.calls().remove(0);
    hears(&installation, &at_cid, 440.0).await;
    does(&installation, &["leave", &leg(&installation, "1001")]);
    ended_by_far_end(&at_ada).await;
    all_hear_each_other(&installation, &[(&at_ben, 700.0), (&at_cid, 1100.0)]).await;
    does(&installation, &["hang-up", &this]);
    ended_by_far_end(&at_ben).await;
    ended_by_far_end(&at_cid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_brings_another_device_in_and_goes_on_with_it() {
    let installation = Installation::with_seed(ED);
    let desk = of_ed(&installation, "edsdesk", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let at_ada = call(&installation, &ada, "1010").await;
    let at_desk = taken(&installation, &desk).await;
    hears(&installation, &at_ada, 700.0).await;
    let mobile = of_ed(&installation, "edsmobile", 1100.0).await;
    does(&installation, &["device", &leg_of_device(&installation, "edsdesk"), "edsmobile", "--beside"]);
    let at_mobile = taken(&installation, &mobile).await;
    let three = [(&at_ada, 440.0), (&at_desk, 700.0), (&at_mobile, 1100.0)];
    all_hear_each_other(&installation, &three).await;
    at_mobile.hang_up().await.unwrap();
    no_longer_hears(&installation, &at_ada, 1100.0).await;
    eventually(&installation, "the mobile is free", || mobile.calls().is_empty()).await;

    does(&installation, &["device", &leg_of_device(&installation, "edsdesk"), "edsmobile"]);
    let at_mobile = taken(&installation, &mobile).await;
    ended_by_far_end(&at_desk).await;
    all_hear_each_other(&installation, &[(&at_ada, 440.0), (&at_mobile, 1100.0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_muted_deafened_sent_digits_and_played_to() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, at_ben) = talking(&installation).await;
    let (this, own) = (installation.calls().remove(0), leg(&installation, "1001"));
    does(&installation, &["audio", &own, "--muted"]);
    no_longer_hears(&installation, &at_ben, 440.0).await;
    hears(&installation, &at_ada, 700.0).await;
    does(&installation, &["audio", &own, "--deafened"]);
    no_longer_hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
    does(&installation, &["audio", &own]);
    all_hear_each_other(&installation, &[(&at_ada, 440.0), (&at_ben, 700.0)]).await;

    does(&installation, &["digits", &leg(&installation, "1002"), "19#"]);
    eventually(&installation, "the digits arrive", || at_ben.ear().digits() == "19#").await;
    assert_eq!(at_ada.ear().digits(), "");

    does(&installation, &["play", &this, "tone", "--leg", &own, "--repeat", "0"]);
    // The tone that is built in is at 440 Hz, like Ada's own, which she does not hear.
    hears(&installation, &at_ada, 440.0).await;
    does(&installation, &["stop-play", &this]);
    no_longer_hears(&installation, &at_ada, 440.0).await;
    hears(&installation, &at_ada, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_left_listened_to_and_deleted() {
    let installation = Installation::with_seed(
        "[[seed.tenants.numbers]]\nnumber = \"9300\"\nown_mailbox = true\n\
             [[seed.tenants.numbers]]\nnumber = \"9302\"\nvoicemail = \"user1002\"\n",
    );
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = registered(&installation, "1002", 700.0).await;
    let messages = || installation.json(&["voicemail", "list", "user1002"]).as_array().unwrap().clone();
    let at_ada = call(&installation, &ada, "9302").await;
    let this = installation.calls().remove(0);
    eventually(&installation, "the message begins", || {
        installation.json(&["calls", "show", &this])["recordings"][0]["state"] == "RECORDING_STATE_RUNNING"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    at_ada.media().dial("#");
    ended_by_far_end(&at_ada).await;
    eventually(&installation, "the message is in the voicemail", || messages().len() == 1).await;
    let message = messages().remove(0);
    assert_eq!((&message["heard"], &message["from"]["number"]), (&false.into(), &"1001".into()), "{message}");
    let id = message["message_id"].as_str().unwrap();

    let file = installation.folder.path().join("saved.wav");
    installation.command(&["voicemail", "save", "user1002", id, file.to_str().unwrap()]).unwrap();
    let mut wav = hound::WavReader::open(&file).unwrap();
    let samples: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
    let level = loudest_dbov(&samples, 8000, 440.0);
    assert!(level > -30.0, "{level} dBov of {} samples", samples.len());

    let listening = call(&installation, &ben, "9300").await;
    hears(&installation, &listening, 440.0).await;
    ended_by_far_end(&listening).await;
    assert_eq!(messages()[0]["heard"], true);
    let again = call(&installation, &ben, "9300").await;
    hears(&installation, &again, 440.0).await;
    assert!(again.media().dial("3"));
    eventually(&installation, "the message is deleted", || messages().is_empty()).await;
    again.media().dial("*");
    ended_by_far_end(&again).await;
    // Ada has none.
    let empty = call(&installation, &ada, "9300").await;
    ended_by_far_end(&empty).await;
}
