//! Two calls become one: what was recorded of them and what is listened to goes on, by ear.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use serde_json::Value;
use sidetone_testkit::phone::{Call, Phone};
use support::operations::{does, ended_by_far_end, leg, legs, no_longer_hears, taken, talking};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;
use support::sound::{has_tone, loudest_dbov};

const SECOND: usize = 8_000;

/// ada (440 Hz) has held ben (700 Hz), and talks to cid (1100 Hz) from the same phone.
struct Two {
    held: String,
    active: String,
    at_ada: Call,
    second_at_ada: Call,
    at_ben: Call,
    at_cid: Call,
    _phones: [Phone; 3],
}

/// `first` is done while ada talks to ben.
async fn two<T>(installation: &Installation, first: impl AsyncFnOnce(&str) -> T) -> (Two, T) {
    let cid = registered(installation, "1003", 1100.0).await;
    let (ada, ben, at_ada, at_ben) = talking(installation).await;
    let begun = first(&installation.calls()[0]).await;
    let held = leg(installation, "1001");
    does(installation, &["hold", &held]);
    no_longer_hears(installation, &at_ben, 440.0).await;
    let second_at_ada = call(installation, &ada, "1003").await;
    let at_cid = taken(installation, &cid).await;
    hears(installation, &at_cid, 440.0).await;
    let own = legs(installation, |leg| leg["party"]["number"] == "1001");
    let active = own.into_iter().find(|leg| *leg != held).unwrap();
    let phones = [ada, ben, cid];
    (Two { held, active, at_ada, second_at_ada, at_ben, at_cid, _phones: phones }, begun)
}

fn recordings(installation: &Installation) -> Vec<Value> {
    let listed = installation.json(&["recordings", "list"]);
    listed.as_array().unwrap().iter().map(|of| of["recording"].clone()).collect()
}

/// Those of the calls that go on.
fn of_live_calls(installation: &Installation) -> Vec<Value> {
    let calls = installation.json(&["calls"]);
    calls.as_array().unwrap().iter().flat_map(|call| call["recordings"].as_array().unwrap().clone()).collect()
}

fn begin_recording(installation: &Installation, call: &str) -> String {
    installation.json(&["calls", "record", call])["recording_id"].as_str().unwrap().to_owned()
}

async fn finished(installation: &Installation, recording: &str) {
    eventually(installation, "the recording is finished", || {
        let of = |it: &Value| it["recording_id"] == recording && it["state"] == "RECORDING_STATE_FINISHED";
        recordings(installation).iter().any(of)
    })
    .await;
}

/// The sound of a recording.
fn fetched(installation: &Installation, recording: &str) -> (Vec<i16>, u32) {
    let to = installation.folder.path().join(format!("{recording}.wav"));
    installation
        .command(&["recordings", "fetch", recording, "--force", "--to", to.to_str().unwrap()])
        .unwrap();
    let mut file = hound::WavReader::open(&to).unwrap();
    (file.samples::<i16>().map(Result::unwrap).collect(), file.spec().sample_rate)
}

/// What has been heard of a raw stream, and the response that goes on.
struct Listening(reqwest::Response, Vec<u8>);

impl Listening {
    /// Until its last second has a tone in it, and no longer than a minute.
    async fn hears(&mut self, tone_hz: f32) {
        let Self(response, heard) = self;
        let from = heard.len();
        let listens = async {
            loop {
                heard.extend(response.chunk().await.unwrap().expect("the stream goes on"));
                let samples = heard.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes));
                let last = heard.len() / 2 - from.div_ceil(2).min(heard.len() / 2);
                let last: Vec<i16> = samples.skip(heard.len() / 2 - last.min(SECOND)).collect();
                if last.len() == SECOND && loudest_dbov(&last, SECOND as u32, tone_hz) > -30.0 {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(60), listens).await;
        heard.unwrap_or_else(|_| panic!("no tone of {tone_hz} Hz in the stream"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_and_listened_to_goes_on_in_the_conference() {
    let installation = Installation::one_process();
    let (it, (recording, mut stream)) = two(&installation, async |call: &str| {
        let recording = begin_recording(&installation, call);
        let begun = installation.json(&["calls", "stream", call, "--format", "l16"]);
        let response = reqwest::get(begun["url"].as_str().unwrap()).await.unwrap();
        let mut stream = Listening(response, Vec::new());
        stream.hears(700.0).await;
        (recording, stream)
    })
    .await;
    let calls = installation.calls();
    does(&installation, &["merge", &it.active, &it.held]);
    ended_by_far_end(&it.at_ada).await;
    hears(&installation, &it.at_ben, 1100.0).await;
    hears(&installation, &it.at_cid, 700.0).await;
    // The same response, over the same connection, has whoever has come.
    stream.hears(1100.0).await;
    stream.hears(700.0).await;
    let running = of_live_calls(&installation);
    let ids: Vec<_> = running.iter().map(|it| (&it["recording_id"], &it["state"])).collect();
    assert_eq!(ids, [(&Value::from(recording.as_str()), &Value::from("RECORDING_STATE_RUNNING"))]);
    it.second_at_ada.hang_up().await.unwrap();
    it.at_ben.hang_up().await.unwrap();
    assert!(it.at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
    finished(&installation, &recording).await;
    assert_eq!(recordings(&installation).len(), 1, "it is one recording");
    assert_eq!(calls.len(), 2);
    for call in &calls {
        let found = installation.json(&["recordings", "list", "--call", call]);
        assert_eq!(found[0]["recording"]["recording_id"], recording.as_str(), "under {call} too: {found}");
    }
    let (sound, rate) = fetched(&installation, &recording);
    let first = sound[..rate as usize].to_vec();
    assert!(
        has_tone(&(first.clone(), rate), 700.0) && !has_tone(&(first, rate), 1100.0),
        "ben is there first"
    );
    assert!(has_tone(&(sound, rate), 1100.0), "cid is in the same file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_of_a_transferred_call_has_the_new_party_and_that_of_the_enquiry_its_end() {
    let installation = Installation::one_process();
    let (it, first) = two(&installation, async |call: &str| begin_recording(&installation, call)).await;
    let enquiry = installation.calls().remove(1);
    let second = begin_recording(&installation, &enquiry);
    tokio::time::sleep(Duration::from_secs(1)).await;
    does(&installation, &["transfer", &it.active, "--held", &it.held]);
    hears(&installation, &it.at_ben, 1100.0).await;
    hears(&installation, &it.at_cid, 700.0).await;
    finished(&installation, &second).await;
    let told = recordings(&installation);
    let of = |id: &str| told.iter().find(|it| it["recording_id"] == id).unwrap();
    assert_eq!(of(&second)["goes_on_in_recording_id"], first.as_str(), "{told:?}");
    assert_eq!(of(&first)["state"], "RECORDING_STATE_RUNNING", "{told:?}");
    // As long as it takes that cid has been heard.
    tokio::time::sleep(Duration::from_secs(2)).await;
    it.at_ben.hang_up().await.unwrap();
    assert!(it.at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
    finished(&installation, &first).await;
    assert!(has_tone(&fetched(&installation, &first), 1100.0));
    assert!(has_tone(&fetched(&installation, &second), 1100.0));
    assert!(!has_tone(&fetched(&installation, &second), 700.0), "ben was not in the enquiry");
}
