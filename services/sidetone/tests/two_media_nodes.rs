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
    let mut installation = Installation::four_processes_with("legs_max = 2\n");
    let cid = registered(&installation, "1003", 1100.0).await;
    let (ada, ben, at_ada, at_ben) = talking(&installation).await;
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
    Parted { installation, phones, at_ada, at_ben, second_at_ada, at_cid, held, active }
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
