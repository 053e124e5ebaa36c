//! A receiver that is killed, slow, and answers 500 in turn, over 1,000 calls; and the outbox itself killed meanwhile.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use std::time::Duration;

use kit::{Mood, World, lane, ms};
use rand::RngExt;
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::Limits;

/// Each for half a minute in turn.
fn moody(now: Timestamp) -> Mood {
    match now.as_millis() / 30_000 % 4 {
        0 => Mood::Dead,
        1 => Mood::TooSlow,
        2 => Mood::Fails,
        _ => Mood::Well { after_ms: 20 },
    }
}

fn thousand_calls(seed: u64, limits: Limits, kill_every: Option<usize>) -> World {
    let (bad, good) = (lane("bad"), lane("good"));
    let bad_one = bad.clone();
    let mut world =
        World::new(
            seed,
            limits,
            move |lane, now, _| {
                if *lane == bad_one { moody(now) } else { Mood::Well { after_ms: 10 } }
            },
        );
    // Ten calls live at a time, eight events each, over five minutes.
    for first in (0..1_000).step_by(10) {
        for event in 0..8 {
            for call in first..first + 10 {
                let (order, body) = (format!("call-{call}"), format!("{call}:{event}"));
                world.happens(&[(&bad, &order, &body), (&good, &order, &body)]);
                let pause = world.rng.random_range(0..=75);
                world.run_for(ms(pause));
            }
        }
        if kill_every.is_some_and(|every| first % every == 0) {
            world.kill();
        }
    }
    world.run_for(Duration::from_secs(1800));
    world
}

#[test]
fn a_receiver_killed_slow_and_failing_in_turn_gets_everything_in_order() {
    for seed in 1..=3 {
        let world = thousand_calls(seed, Limits::default(), None);
        assert!(world.owes_nothing());
        assert!(world.store.dead.is_empty());
        world.check(&lane("bad"));
        world.check(&lane("good"));
        assert_eq!(world.got[&lane("good")].len(), 8_000, "the good receiver has no reason for a duplicate");
        assert!(world.store.spilled > 0, "it was away for longer than memory is used");
    }
}

#[test]
fn the_outbox_may_be_killed_at_any_time() {
    for seed in 4..=8 {
        let world = thousand_calls(seed, Limits::default(), Some(30));
        assert!(world.owes_nothing());
        world.check(&lane("bad"));
        world.check(&lane("good"));
        assert_eq!(world.outbox.cursor(kit::SHARD), Some(world.log.len() as u64));
    }
}

#[test]
fn little_memory_is_enough() {
    let limits = Limits { held_per_lane_max: 20, spill_record_max: 5, ..Limits::default() };
    for seed in 9..=11 {
        let world = thousand_calls(seed, limits, Some(50));
        assert!(world.owes_nothing());
        world.check(&lane("bad"));
        world.check(&lane("good"));
        assert!(world.store.streams.values().all(|stream| stream.is_empty()), "what is settled is trimmed");
    }
}

#[test]
fn a_slow_or_dead_receiver_delays_nobody_else() {
    let world = thousand_calls(12, Limits::default(), None);
    for (at, parcel) in &world.got[&lane("good")] {
        // Itself 10 ms, behind at most the one before it of the same call.
        assert!(at.since(parcel.at) <= ms(20), "{parcel:?} took {:?}", at.since(parcel.at));
    }
}

#[test]
fn any_number_of_slow_receivers_leaves_room_for_a_quick_one() {
    let limits = Limits { in_flight_max: 64, ..Limits::default() };
    let quick = lane("quick");
    let mut world = World::new(13, limits, |lane, _, _| {
        if &*lane.receiver == "quick" { Mood::Well { after_ms: 1 } } else { Mood::Well { after_ms: 9_000 } }
    });
    for n in 0..30 {
        for call in 0..20 {
            let slow = lane(&format!("slow-{n}"));
            world.happens(&[(&slow, &format!("call-{call}"), "x")]);
        }
    }
    world.happens(&[(&quick, "call", "now")]);
    world.run_for(ms(5));
    assert_eq!(world.got[&quick].len(), 1);
}
