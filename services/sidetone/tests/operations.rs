//! Tenants, drain, API, recordings and CDRs, on the whole program from outside.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{EndedBy, Phone, PhoneConfig, PhoneError};
use support::phones::{call, call_again, eventually, hears, registered, unregistered};
use support::process::Installation;
use support::sound::loudest_dbov;

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_with_equal_names_and_numbers_do_not_see_each_other() {
    let installation = Installation::with_seed(
        "[[seed.tenants]]\ntenant = \"other\"\ndomains = [\"other.example\"]\ncalls_max = 1\n\
         [[seed.tenants.users]]\nuser = \"user1001\"\nnumbers = [\"1001\"]\n\
         devices = [{ device = \"desk1001\", auth_username = \"1001\", password = \"other-1001\" }]\n\
         [[seed.tenants.rooms]]\nroom = \"lobby\"\n[[seed.tenants.numbers]]\nnumber = \"3000\"\nroom = \"lobby\"\n",
    );
    let ours = registered(&installation, "1001", 440.0).await;
    let theirs = PhoneConfig::new(installation.sip, "other.example", "1001", "other-1001").with_tone(700.0);
    let theirs = Phone::start(theirs).await.unwrap();
    theirs.register().await.unwrap();
    let wrong = PhoneConfig::new(installation.sip, "other.example", "1001", "secret-1001");
    assert!(
        Phone::start(wrong).await.unwrap().register().await.is_err(),
        "a password of another tenant registered"
    );

    let in_ours = call(&installation, &ours, "3000").await;
    let in_theirs = call(&installation, &theirs, "3000").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!in_ours.ear().hears(700.0), "one tenant hears the other");
    assert!(!in_theirs.ear().hears(440.0), "one tenant hears the other");
    assert_eq!(installation.calls().len(), 1);
    let second = theirs.call("3000").await;
    assert!(
        matches!(second, Err(PhoneError::Refused { status: 503, .. })),
        "more calls than calls_max: {second:?}"
    );
    assert_eq!(installation.json(&["conferences"]).as_array().unwrap().len(), 1);
    in_theirs.hang_up().await.unwrap();
    eventually(&installation, "their call is over", || {
        let calls = installation.command_as(&["calls", "--tenant", "other", "--output", "json"]).unwrap();
        calls.trim() == "[]"
    })
    .await;
    let number = theirs.call("1002").await;
    assert!(
        matches!(number, Err(PhoneError::Refused { status: 404, .. })),
        "a number of the other tenant rang"
    );

    let token = installation.command(&["directory", "create-token", "test"]).unwrap();
    let with_token =
        |tenant: &str| installation.command_as(&["calls", "--token", token.trim(), "--tenant", tenant]);
    assert!(with_token("acme").is_ok());
    assert!(with_token("other").unwrap_err().contains("another tenant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_running_calls_and_takes_no_new_ones() {
    let mut installation = Installation::one_process();
    let phone = registered(&installation, "1001", 440.0).await;
    let other = unregistered(&installation, "1002", 550.0).await;
    let running = call(&installation, &phone, "9196").await;
    hears(&installation, &running, 440.0).await;
    let mut serve = installation.serve.take().unwrap();
    serve.signal("-TERM");
    serve.wait_for_readiness(503, Duration::from_secs(30));
    let refused = other.call("9196").await;
    assert!(matches!(refused, Err(PhoneError::Refused { status: 503, .. })), "{refused:?}");
    hears(&installation, &running, 440.0).await;
    running.hang_up().await.unwrap();
    assert_eq!(serve.wait(Duration::from_secs(30)).code(), Some(0));
}

/// Whoever has to be billed is billed by the process that had the call, and not for the time until the next one starts.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_stop_ends_are_in_the_cdrs_when_the_process_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[call_control]\ncdr_dir = \"{}\"\n", folder.path().display());
    let mut installation = Installation::one_process_with("", "", &config);
    let phone = registered(&installation, "1001", 440.0).await;
    let running = call(&installation, &phone, "9196").await;
    hears(&installation, &running, 440.0).await;
    let mut serve = installation.serve.take().unwrap();
    serve.signal("-INT");
    assert_eq!(serve.wait(Duration::from_secs(30)).code(), Some(0));
    assert!(matches!(running.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    let file = std::fs::read_dir(folder.path()).unwrap().next().expect("a file of CDRs").unwrap();
    let written = std::fs::read_to_string(file.path()).unwrap();
    let records: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_calls: Vec<_> = records.iter().filter(|record| record["kind"] == "KIND_CALL").collect();
    assert_eq!(of_calls.len(), 1, "{written}");
    assert_eq!(of_calls[0]["cause"], "shutdown", "{written}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_places_records_and_ends_calls() {
    let installation = Installation::one_process();
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = registered(&installation, "1002", 700.0).await;
    let made = installation.json(&["call", "1002", "--from", "1001", "--idempotency-key", "once"]);
    let again = installation.json(&["call", "1002", "--from", "1001", "--idempotency-key", "once"]);
    assert_eq!(made, again, "the same key made a second call");
    let id = made["call_id"].as_str().unwrap().to_owned();
    let other_body = installation.command(&["call", "1003", "--from", "1001", "--idempotency-key", "once"]);
    assert!(other_body.unwrap_err().contains("another body"));

    eventually(&installation, "both phones are in the call", || ada.calls().len() + ben.calls().len() == 2)
        .await;
    let (at_ada, at_ben) = (ada.calls().remove(0), ben.calls().remove(0));
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;

    let recording = installation.json(&["calls", "record", &id, "--stereo"]);
    let recording = recording["recording_id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(4)).await;
    installation.command(&["calls", "stop-recording", &recording]).unwrap();
    eventually(&installation, "the recording is finished", || {
        installation.json(&["calls", "show", &id])["recordings"][0]["state"] == "RECORDING_STATE_FINISHED"
    })
    .await;
    let file =
        installation.json(&["calls", "show", &id])["recordings"][0]["file"].as_str().unwrap().to_owned();
    let mut wav = hound::WavReader::open(installation.folder.path().join("recordings").join(file)).unwrap();
    assert_eq!(wav.spec().channels, 2);
    let samples: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
    let side = |n: usize| samples.iter().copied().skip(n).step_by(2).collect::<Vec<i16>>();
    for (n, own, far) in [(0, 440.0, 700.0), (1, 700.0, 440.0)] {
        let level = |hz| loudest_dbov(&side(n), 8000, hz);
        assert!(
            level(own) > -30.0 && level(far) < -45.0,
            "channel {n}: {} and {} dBov",
            level(own),
            level(far)
        );
    }

    recorded_by_tracks(&installation, &id).await;
    installation.command(&["calls", "hang-up", &id]).unwrap();
    for call in [&at_ada, &at_ben] {
        assert!(matches!(call.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    }
    eventually(&installation, "the call is over", || installation.calls().is_empty()).await;
    let cdrs = installation.json(&["cdrs", "--call", &id]);
    let kinds: Vec<&str> = cdrs.as_array().unwrap().iter().map(|cdr| cdr["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "KIND_LEG").count(), 2, "{cdrs}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "KIND_CALL").count(), 1, "{cdrs}");
    assert!(installation.command(&["cdrs", "--output", "csv"]).unwrap().lines().count() >= 4);
    assert!(installation.command(&["events", "--limit", "3"]).unwrap().contains("call_created"));
}

/// Each leg in a file of its own, and each of them is written by `fetch`.
async fn recorded_by_tracks(installation: &Installation, call: &str) {
    let recording = installation.json(&["calls", "record", call, "--tracks"]);
    let recording = recording["recording_id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(4)).await;
    installation.command(&["calls", "stop-recording", &recording]).unwrap();
    eventually(installation, "the recording by tracks is finished", || {
        let shown = installation.json(&["calls", "show", call]);
        shown["recordings"][1]["state"] == "RECORDING_STATE_FINISHED"
            && shown["recordings"][1]["tracks"].as_array().is_some_and(|tracks| tracks.len() == 1)
    })
    .await;
    let to = installation.folder.path().join("both.wav");
    installation.command(&["calls", "fetch", &recording, "--to", to.to_str().unwrap()]).unwrap();
    for (file, own, far) in [("both.wav", 440.0, 700.0), ("both.1.wav", 700.0, 440.0)] {
        let mut wav = hound::WavReader::open(installation.folder.path().join(file)).unwrap();
        let samples: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
        let level = |hz| loudest_dbov(&samples, 8000, hz);
        assert!(level(own) > -30.0 && level(far) < -45.0, "{file}: {} and {} dBov", level(own), level(far));
    }
    let third = installation.command(&["calls", "fetch", &recording, "--track", "2", "--to", "-"]);
    assert!(third.is_err(), "there are two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_is_answered_by_an_application_and_an_announcement_ends_by_itself() {
    let installation = Installation::one_process();
    let phone = registered(&installation, "1001", 440.0).await;
    let waiting = tokio::spawn(async move { (call_again(&phone, "9198").await, phone) });
    eventually(&installation, "the call waits", || {
        installation.json(&["calls"])[0]["legs"][0]["state"] == "LEG_STATE_WAITING"
    })
    .await;
    let leg = installation.json(&["calls"])[0]["legs"][0]["leg_id"].as_str().unwrap().to_owned();
    installation.command(&["calls", "answer", &leg, "9196"]).unwrap();
    let (answered, _phone) = waiting.await.unwrap();
    let answered = answered.unwrap();
    hears(&installation, &answered, 440.0).await;
    answered.hang_up().await.unwrap();

    let listener = unregistered(&installation, "1002", 550.0).await;
    let announcement = call(&installation, &listener, "9197").await;
    let ended = announcement.wait_ended(Duration::from_secs(60)).await;
    assert!(matches!(ended, Some(EndedBy::FarEnd { .. })), "{ended:?}");
    let loudest = announcement.ear().pcm().iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    assert!(loudest > 1000, "the announcement was silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_made_on_the_command_line_can_call() {
    let installation = Installation::one_process();
    let new = |arguments: &[&str]| {
        let tenant: &[&str] = &["--tenant", "fresh"];
        installation.command_as(&[&["directory"], arguments, tenant].concat())
    };
    new(&["put-tenant", "fresh", "--domain", "fresh.example"]).unwrap();
    new(&["put-user", "eve", "--display-name", "Eve"]).unwrap();
    new(&["put-room", "den"]).unwrap();
    new(&["put-number", "3000", "--room", "den"]).unwrap();
    new(&["put-number", "9196", "--echo"]).unwrap();
    let device = ["directory", "put-device", "eve", "soft", "--password-stdin", "--tenant", "fresh"];
    installation.command_with_input(&device, "made by hand\n").unwrap();
    assert!(
        new(&["put-number", "3001", "--room", "nowhere"]).unwrap_err().contains("room"),
        "a dangling number"
    );
    assert!(new(&["delete-room", "den"]).is_err(), "a room that a number leads to was deleted");

    let phone = PhoneConfig::new(installation.sip, "fresh.example", "eve", "made by hand").with_tone(440.0);
    let phone = Phone::start(phone).await.unwrap();
    phone.register().await.unwrap();
    let listed = new(&["registrations", "--output", "json"]).unwrap();
    assert!(listed.contains("\"device\": \"soft\""), "{listed}");
    let echo = call(&installation, &phone, "9196").await;
    hears(&installation, &echo, 440.0).await;
    echo.hang_up().await.unwrap();
    phone.unregister().await.unwrap();
    assert_eq!(new(&["registrations", "--output", "json"]).unwrap().trim(), "[]");
    let listed = new(&["devices", "--output", "json"]).unwrap();
    assert!(!listed.contains("made by hand"), "a password came out");
}
