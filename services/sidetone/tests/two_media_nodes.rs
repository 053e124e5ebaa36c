//! Calls on two media nodes are connected, by ear: the phones of one get another address in a re-INVITE.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{Call, Phone};
use support::operations::{does, ended_by_far_end, leg, legs, no_longer_hears, taken, talking};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;

/// ada (440 Hz) talks to ben (700 Hz) on the first node, which is full then, holds, and talks to cid (1100 Hz) on the second.
struct Parted {
    installation: Installation,
    phones: Vec<Phone>,
    at_ada: Call,
    at_ben: Call,
    second_at_ada: Call,
    at_cid: Call,
    held: String,
    active: String,
}

async fn parted() -> Parted {
    parted_after(async |_| ()).await.0
}

/// The same with something done while ada still talks to ben.
async fn parted_after<T>(first: impl AsyncFnOnce(&Installation) -> T) -> (Parted, T) {
    let mut installation = Installation::four_processes_with("legs_max = 2\n");
    let cid = registered(&installation, "1003", 1100.0).await;
    let (ada, ben, at_ada, at_ben) = talking(&installation).await;
    let begun = first(&installation).await;
    let held = leg(&installation, "1001");
    does(&installation, &["hold", &held]);
    no_longer_hears(&installation, &at_ben, 440.0).await;
    installation.add_media_node();
    let second_at_ada = call(&installation, &ada, "1003").await;
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_cid, 440.0).await;
    let own = legs(&installation, |leg| leg["party"]["number"] == "1001");
    let active = own.into_iter().find(|leg| *leg != held).unwrap();
    for node in ["media-1", "media-2"] {
        holds(&installation, node, 2).await;
    }
    let phones = vec![ada, ben, cid];
    (Parted { installation, phones, at_ada, at_ben, second_at_ada, at_cid, held, active }, begun)
}

/// Waits until a node tells that it has so many legs.
async fn holds(installation: &Installation, node: &str, legs: u64) {
    eventually(installation, &format!("{node} holds {legs} legs"), || {
        let nodes = installation.json(&["nodes"]);
        nodes.as_array().unwrap().iter().any(|row| row["name"] == node && row["legs"] == legs)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_two_nodes_become_one() {
    let it = parted().await;
    does(&it.installation, &["merge", &it.active, &it.held]);
    ended_by_far_end(&it.at_ada).await;
    for (at, tones) in
        [(&it.second_at_ada, [700.0, 1100.0]), (&it.at_ben, [440.0, 1100.0]), (&it.at_cid, [440.0, 700.0])]
    {
        for tone in tones {
            hears(&it.installation, at, tone).await;
        }
    }
    holds(&it.installation, "media-1", 0).await;
    holds(&it.installation, "media-2", 3).await;
    assert_eq!(it.installation.calls().len(), 1);
    let control = it.installation.call_control.as_ref().unwrap();
    assert!(control.metric("sidetone_call_control_gatherings_total") >= 1.0);
    it.second_at_ada.hang_up().await.unwrap();
    hears(&it.installation, &it.at_ben, 1100.0).await;
    it.at_ben.hang_up().await.unwrap();
    assert!(it.at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
    drop(it.phones);
}

/// Ids of the recordings of a call that are finished.
fn recorded_in(installation: &Installation, call: &str) -> Vec<String> {
    let listed = installation.json(&["recordings", "list", "--call", call]);
    let listed = listed.as_array().unwrap().iter().map(|of| of["recording"].clone());
    let finished = listed.filter(|of| of["state"] == "RECORDING_STATE_FINISHED");
    finished.map(|of| of["recording_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_goes_on_at_another_node_is_found_under_each_of_its_calls() {
    let (it, first) = parted_after(async |installation| {
        let call = installation.calls().remove(0);
        installation.json(&["calls", "record", &call])["recording_id"].as_str().unwrap().to_owned()
    })
    .await;
    let calls = it.installation.json(&["calls"]);
    let call_of = |leg: &str| {
        let has = |call: &&serde_json::Value| call["legs"].to_string().contains(leg);
        calls.as_array().unwrap().iter().find(has).unwrap()["call_id"].as_str().unwrap().to_owned()
    };
    let (of_held, of_active) = (call_of(&it.held), call_of(&it.active));
    does(&it.installation, &["merge", &it.active, &it.held]);
    ended_by_far_end(&it.at_ada).await;
    hears(&it.installation, &it.at_ben, 1100.0).await;
    for at in [&it.second_at_ada, &it.at_ben] {
        at.hang_up().await.unwrap();
    }
    assert!(it.at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
    // What was said on the second node is of the first call, too: its recording goes on there.
    eventually(&it.installation, "both are found under the first call", || {
        recorded_in(&it.installation, &of_held).len() == 2
    })
    .await;
    let both = recorded_in(&it.installation, &of_held);
    assert_eq!(both[0], first);
    assert_eq!(recorded_in(&it.installation, &of_active), both[1..], "and that part under the other");
    let listed = it.installation.json(&["recordings", "list"]);
    let nodes: Vec<_> = listed.as_array().unwrap().iter().map(|of| &of["recording"]["node_id"]).collect();
    assert_eq!(nodes, ["media-1", "media-2"], "{listed}");
    assert_eq!(listed[0]["recording"]["goes_on_in_recording_id"], *both[1], "{listed}");
    drop(it.phones);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_connects_its_calls_of_two_nodes() {
    let it = parted().await;
    it.second_at_ada.refer("1002", Some(&it.at_ada)).await.unwrap();
    hears(&it.installation, &it.at_ben, 1100.0).await;
    hears(&it.installation, &it.at_cid, 700.0).await;
    ended_by_far_end(&it.at_ada).await;
    holds(&it.installation, "media-1", 0).await;
    holds(&it.installation, "media-2", 2).await;
    it.at_ben.hang_up().await.unwrap();
    assert!(it.at_cid.wait_ended(Duration::from_secs(30)).await.is_some());
    drop(it.phones);
}
