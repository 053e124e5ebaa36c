//! A user's calls that nobody takes: where they go is set with the command line, and the message that is left is heard.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{Call, Phone, PhoneError};
use support::operations::{ended_by_far_end, silent, taken};
use support::phones::{self, call, call_again, eventually, hears, registered};
use support::process::Installation;

const SEED: &str = "[[seed.tenants.numbers]]\nnumber = \"9300\"\nown_mailbox = true\n";
/// Longer than it takes until a phone that does not answer is told to stop.
const CANCELLED_MAX: Duration = Duration::from_secs(30);

fn messages(installation: &Installation) -> usize {
    installation.json(&["voicemail", "list", "user1002"]).as_array().unwrap().len()
}

/// The caller, who sings, leaves some seconds of that.
async fn leaves_message(installation: &Installation, at_ada: &Call) {
    let before = messages(installation);
    eventually(installation, "it is the only call", || installation.calls().len() == 1).await;
    let this = installation.calls().remove(0);
    eventually(installation, "the message begins", || {
        let shown = installation.json(&["calls", "show", &this]);
        shown["recordings"][0]["state"] == "RECORDING_STATE_RUNNING"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    at_ada.media().dial("#");
    ended_by_far_end(at_ada).await;
    eventually(installation, "the message is there", || messages(installation) == before + 1).await;
}

async fn hears_own_messages(installation: &Installation, ben: &Phone) {
    let listening = call(installation, ben, "9300").await;
    hears(installation, &listening, 440.0).await;
    listening.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_not_answered_or_not_registered_a_message_is_left_and_heard() {
    let installation = Installation::with_seed(SEED);
    let rules = ["--on-busy", "voicemail", "--on-no-answer", "2:voicemail", "--on-unregistered", "voicemail"];
    let put: Vec<&str> = ["directory", "put-user", "user1002"].into_iter().chain(rules).collect();
    installation.command(&put).unwrap();
    let users = installation.command(&["directory", "users"]).unwrap();
    assert!(users.contains("2:voicemail"), "{users}");

    let ada = registered(&installation, "1001", 440.0).await;
    let at_ada = call(&installation, &ada, "1002").await;
    leaves_message(&installation, &at_ada).await;

    let ben = silent(&installation, "1002").await;
    let (at_ada, ()) = tokio::join!(call(&installation, &ada, "1002"), async {
        phones::incoming(&ben).await.reject(486, "Busy Here");
    });
    leaves_message(&installation, &at_ada).await;

    let (at_ada, cancelled) = tokio::join!(call(&installation, &ada, "1002"), async {
        phones::incoming(&ben).await.wait_cancelled(CANCELLED_MAX).await
    });
    assert!(cancelled, "it rings on while the message is left");
    leaves_message(&installation, &at_ada).await;
    hears_own_messages(&installation, &ben).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_user_s_call_rings_at_another_and_a_rule_that_makes_no_sense_is_refused() {
    let installation = Installation::with_seed(SEED);
    for (rule, why) in [
        (["--on-busy", "1002"], "leads back to the user"),
        (["--on-busy", "no where"], "expected voicemail, assistant or a number"),
        (["--on-no-answer", "0:1003"], "expected 1 to 600 seconds"),
    ] {
        let put: Vec<&str> = ["directory", "put-user", "user1002"].into_iter().chain(rule).collect();
        let refused = installation.command(&put).unwrap_err();
        assert!(refused.contains(why), "{rule:?}: {refused}");
    }
    installation.command(&["directory", "put-user", "user1002", "--on-busy", "1003"]).unwrap();
    // In a ring the call comes to nobody twice.
    installation.command(&["directory", "put-user", "user1003", "--on-busy", "1002"]).unwrap();
    let ben = silent(&installation, "1002").await;
    let cid = silent(&installation, "1003").await;
    let ada = registered(&installation, "1001", 440.0).await;
    let (at_ada, at_cid) = tokio::join!(call(&installation, &ada, "1002"), async {
        phones::incoming(&ben).await.reject(486, "Busy Here");
        phones::incoming(&cid).await.answer().unwrap()
    });
    hears(&installation, &at_cid, 440.0).await;
    at_ada.hang_up().await.unwrap();
    let (refused, ()) = tokio::join!(call_again(&ada, "1002"), async {
        phones::incoming(&ben).await.reject(486, "Busy Here");
        phones::incoming(&cid).await.reject(486, "Busy Here");
    });
    let refused = format!("{:?}", refused.map(drop));
    assert!(refused.contains("486"), "{refused}");
}

/// The device of 1002 is not registered, and registers soon after it is called.
fn sleeps(installation: &Installation, seconds: &str) {
    installation.command(&["directory", "put-device", "user1002", "desk1002", "--wake", seconds]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_sleeps_is_rung_where_it_registers_and_talks() {
    let installation = Installation::one_process();
    sleeps(&installation, "60");
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = phones::unregistered(&installation, "1002", 700.0).await;
    let wakes = async {
        eventually(&installation, "the device is being woken", || {
            let this = installation.calls().pop();
            this.is_some_and(|this| {
                let shown = installation.command(&["calls", "show", &this]).unwrap();
                shown.contains("waking") && ada.trace().iter().any(|line| line.contains("180"))
            })
        })
        .await;
        ben.register().await.unwrap();
        taken(&installation, &ben).await
    };
    let (at_ada, at_ben) = tokio::join!(call(&installation, &ada, "1002"), wakes);
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
    is_shown_as_csv(&installation);
    at_ben.hang_up().await.unwrap();
    ended_by_far_end(&at_ada).await;
    eventually(&installation, "the record says so", || {
        let cdrs = installation.json(&["cdrs"]);
        let mut legs = cdrs.as_array().unwrap().iter();
        legs.any(|cdr| cdr["was_asleep"] == true && cdr["woken_unix_ms"].as_str().is_some_and(|at| at != "0"))
    })
    .await;
    assert_eq!(waited_for(&installation), 1.0);
}

/// A row for each leg of the call, and one for each fact, as spreadsheets take them.
fn is_shown_as_csv(installation: &Installation) {
    let this = installation.calls().remove(0);
    let shown = installation.command(&["calls", "show", &this, "--output", "csv"]).unwrap();
    let rows: Vec<&str> = shown.lines().collect();
    assert!(rows[0].starts_with("call_id,dialled,leg_id,direction,number,"), "{shown}");
    assert!(rows.len() == 3 && rows[1..].iter().all(|row| row.starts_with(&this)), "{shown}");
    let told = installation.command(&["events", "--output", "csv", "--limit", "5"]).unwrap();
    let rows: Vec<&str> = told.lines().collect();
    assert_eq!((rows[0], rows.len()), ("cursor,at,at_unix_ms,kind,call_id,leg_id,fact", 6), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wake_up_in_time_has_a_message() {
    let installation = Installation::with_seed(SEED);
    sleeps(&installation, "1");
    installation.command(&["directory", "put-user", "user1002", "--on-no-answer", "voicemail"]).unwrap();
    let ada = registered(&installation, "1001", 440.0).await;
    let at_ada = call(&installation, &ada, "1002").await;
    leaves_message(&installation, &at_ada).await;
    assert_eq!(waited_for(&installation), 1.0);
    // Without a rule the caller is told that nobody answered.
    installation.command(&["directory", "put-user", "user1002", "--on-no-answer", "none"]).unwrap();
    match ada.call("1002").await {
        Err(PhoneError::Refused { status: 480, .. }) => {}
        other => panic!("{other:?}"),
    }
    let refused = ["directory", "put-device", "user1002", "desk1002", "--wake", "61"];
    assert!(installation.command(&refused).unwrap_err().contains("0 to 60"));
}

fn waited_for(installation: &Installation) -> f64 {
    installation.serve.as_ref().unwrap().metric("sidetone_call_control_wakings_total")
}
