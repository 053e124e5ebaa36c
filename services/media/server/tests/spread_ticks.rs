//! Rooms and legs have their turns at different times of a tick, so that their packets do not leave in one burst.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use pb::connect_leg_request::{Nothing, To};
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_half_of_what_a_tick_sends_leaves_at_once_and_everybody_is_heard() {
    let node = node_with(|config| config.workers = 1).await;
    let mut phones = Vec::new();
    // Eight rooms of four, and eight who hear silence.
    for n in 0..40u32 {
        let phone = Phone::call(&node, n + 1, Law::A, 300.0 + 20.0 * n as f32, 20).await;
        let to = if n < 32 { To::MixId(format!("room-{}", n / 4)) } else { To::Nothing(Nothing {}) };
        node.connect(&phone.leg, to).await;
        phones.push(phone);
    }
    let burst = &node.telemetry.media.tick_burst;
    until("bursts of half of them at the most", async || {
        phones[0].hear(60).await;
        // After a stall several turns are made up for, one behind the other, and each is counted.
        (1..=20).contains(&burst.get()).then_some(())
    })
    .await;
    for (n, phone) in phones.iter().enumerate().take(32) {
        let other = 300.0 + 20.0 * ((n ^ 1) as f32);
        phone.until_hears("a neighbour", |heard| has_tone(heard, other)).await;
    }
    assert_continuous(&phones[5].heard.lock().unwrap());
    assert_continuous(&phones[35].heard.lock().unwrap());
    // Whoever goes from one to another has the turn of those with whom it is.
    for (from, to) in [(0, 4), (32, 1), (33, 34)] {
        let to = if from == 33 {
            To::PeerLegId(phones[to].leg.clone())
        } else {
            To::MixId(format!("room-{}", to / 4))
        };
        node.connect(&phones[from].leg, to).await;
    }
    phones[34].until_hears("who came to it", |heard| has_tone(heard, 300.0 + 20.0 * 33.0)).await;
    phones[0].until_hears("the other room", |heard| has_tone(heard, 300.0 + 20.0 * 5.0)).await;
    for phone in &phones {
        assert_continuous(&phone.heard.lock().unwrap());
    }
}
