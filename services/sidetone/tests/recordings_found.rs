//! What was recorded is found, fetched and taken away by its id, and what streams is heard at a URL.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use serde_json::Value;
use support::operations::talking;
use support::phones::eventually;
use support::process::Installation;

/// Records the one call for as long as it takes that something was said.
async fn record(installation: &Installation, call: &str) -> String {
    let recording = installation.json(&["calls", "record", call]);
    let recording = recording["recording_id"].as_str().unwrap().to_owned();
    let running = installation.command(&["recordings", "fetch", &recording]).unwrap_err();
    assert!(running.contains("still being recorded"), "{running}");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    installation.command(&["calls", "stop-recording", &recording]).unwrap();
    eventually(installation, "the recording is finished", || {
        of(&list(installation, &[]), &recording)["state"] == "RECORDING_STATE_FINISHED"
    })
    .await;
    recording
}

fn list(installation: &Installation, more: &[&str]) -> Value {
    installation.json(&[&["recordings", "list"], more].concat())
}

fn of<'a>(listed: &'a Value, recording: &str) -> &'a Value {
    let found = listed.as_array().unwrap().iter().map(|of| &of["recording"]);
    found.into_iter().find(|of| of["recording_id"] == recording).unwrap_or(&Value::Null)
}

fn ids(listed: &Value) -> Vec<&str> {
    let ids = listed.as_array().unwrap().iter().map(|of| of["recording"]["recording_id"].as_str().unwrap());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_listed_fetched_and_taken_away_by_their_ids() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, _at_ben) = talking(&installation).await;
    let call = installation.calls().remove(0);
    let first = record(&installation, &call).await;
    let second = record(&installation, &call).await;

    let all = list(&installation, &[]);
    assert_eq!(ids(&all), [&first, &second]);
    assert_eq!((&all[0]["from_number"], &all[0]["dialled"]), (&"1001".into(), &"1002".into()), "{all}");
    assert_eq!(all[0]["call_id"], *call);
    let size = &of(&all, &first)["size_bytes"];
    assert!(size.as_u64().or_else(|| size.as_str()?.parse().ok()).unwrap() > 1000, "{all}");
    assert_eq!(ids(&list(&installation, &["--limit", "1"])), [&first]);
    assert_eq!(ids(&list(&installation, &["--after", &first])), [&second]);
    assert_eq!(ids(&list(&installation, &["--number", "1002", "--from", "2026-01-01"])), [&first, &second]);
    for none in [["--number", "1003"], ["--until", "2026-01-01"]] {
        assert_eq!(ids(&list(&installation, &none)), [""; 0], "{none:?}");
    }
    assert!(installation.command(&["recordings"]).unwrap().contains("finished"));

    at_ada.hang_up().await.unwrap();
    eventually(&installation, "the call's record has the recordings", || {
        let cdrs = installation.json(&["cdrs", "--call", &call]);
        let of_call = |cdr: &&Value| cdr["kind"] == "KIND_CALL";
        let found = cdrs.as_array().unwrap().iter().find(of_call).map(|cdr| cdr["recording_ids"].clone());
        found == Some(serde_json::json!([first, second]))
    })
    .await;

    let to = installation.folder.path().join("kept.wav");
    let fetch = ["recordings", "fetch", &first, "--to", to.to_str().unwrap()];
    installation.command(&fetch).unwrap();
    assert!(hound::WavReader::open(&to).unwrap().len() > 1000);
    let again = installation.command(&fetch).unwrap_err();
    assert!(again.contains("--force"), "{again}");
    installation.command(&[&fetch[..], &["--force"]].concat()).unwrap();

    for _ in 0..2 {
        installation.command(&["recordings", "delete", &first]).unwrap();
    }
    assert!(installation.command(&[&fetch[..], &["--force"]].concat()).is_err(), "it is gone");
    let left = list(&installation, &[]);
    assert_eq!(of(&left, &first)["state"], "RECORDING_STATE_DELETED", "{left}");
    assert_eq!(of(&left, &second)["state"], "RECORDING_STATE_FINISHED", "{left}");
    let files = |id: &str| {
        let days = std::fs::read_dir(installation.folder.path().join("recordings/acme")).unwrap().flatten();
        let files = days.flat_map(|day| std::fs::read_dir(day.path()).unwrap().flatten());
        files.filter(|file| file.file_name().to_string_lossy().contains(id)).count()
    };
    assert_eq!((files(&first), files(&second)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_heard_at_the_url_that_is_told() {
    let installation = Installation::one_process();
    let (_ada, _ben, _at_ada, _at_ben) = talking(&installation).await;
    let call = installation.calls().remove(0);
    let begun = installation.json(&["calls", "stream", &call]);
    let url = begun["url"].as_str().unwrap();
    let mut heard = reqwest::get(url).await.unwrap();
    assert_eq!(heard.status(), 200, "{url}");
    assert_eq!(heard.headers()["content-type"], "audio/mpeg");
    assert!(heard.chunk().await.unwrap().is_some_and(|sound| !sound.is_empty()));
    let words = installation.command(&["calls", "stream", &call, "--format", "wav"]).unwrap();
    assert!(words.lines().nth(1).is_some_and(|url| url.starts_with("http://")), "{words}");
}
