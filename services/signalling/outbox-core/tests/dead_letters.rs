//! What cannot be delivered is kept, holds nobody up, and can be tried again.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use kit::{Mood, SHARD, World, lane, ms};
use sidetone_outbox_core::{DeadReason, Limits};

#[test]
fn a_refused_parcel_is_kept_and_the_next_of_its_call_goes_on() {
    let hook = lane("hook");
    let mut world = World::new(1, Limits::default(), |_, _, parcel| {
        if parcel.body == "bad" { Mood::Refuses } else { Mood::Well { after_ms: 1 } }
    });
    world.happens(&[(&hook, "call", "one")]);
    world.happens(&[(&hook, "call", "bad")]);
    world.happens(&[(&hook, "call", "three")]);
    world.run_for(ms(100));
    let bodies: Vec<_> = world.got[&hook].iter().map(|(_, parcel)| parcel.body.clone()).collect();
    assert_eq!(bodies, ["one", "three"]);
    let dead: Vec<_> = world.store.dead.values().collect();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].reason, dead[0].attempts), (DeadReason::Refused, 1));
    assert_eq!(dead[0].parcel.body, "bad");
}

#[test]
fn a_replayed_dead_letter_goes_out_under_its_own_id_and_is_gone_when_it_has_arrived() {
    let hook = lane("hook");
    let mended = Rc::new(Cell::new(false));
    let asked = Rc::clone(&mended);
    let mut world = World::new(2, Limits::default(), move |_, _, _| {
        if asked.get() { Mood::Well { after_ms: 1 } } else { Mood::Refuses }
    });
    world.happens(&[(&hook, "call", "one")]);
    world.run_for(ms(100));
    let dead = world.store.dead.values().next().unwrap().clone();

    assert!(world.outbox.handle_replay(SHARD, dead.clone(), world.now));
    world.run_for(ms(100));
    assert_eq!(world.store.dead.len(), 1, "refused again, kept again");

    mended.set(true);
    assert!(world.outbox.handle_replay(SHARD, dead.clone(), world.now));
    assert!(!world.outbox.handle_replay(SHARD, dead.clone(), world.now), "it is being tried already");
    world.run_for(ms(100));
    assert!(world.store.dead.is_empty());
    assert_eq!(world.got[&hook][0].1.id, dead.parcel.id);
    assert!(world.owes_nothing());
}

#[test]
fn what_fails_while_others_are_taken_is_given_up_after_so_many_attempts() {
    let hook = lane("hook");
    let mut world = World::new(3, Limits { attempts_max: 5, ..Limits::default() }, |_, _, parcel| {
        if parcel.body == "poison" { Mood::Fails } else { Mood::Well { after_ms: 1 } }
    });
    world.happens(&[(&hook, "poisoned", "poison")]);
    for n in 0..600 {
        world.happens(&[(&hook, &format!("call-{n}"), "fine")]);
        world.run_for(ms(1000));
    }
    assert_eq!(world.got[&hook].len(), 600, "a poisoned call holds up no other");
    assert!(world.got[&hook].iter().all(|(at, parcel)| at.since(parcel.at) < ms(50)));
    let dead: Vec<_> = world.store.dead.values().collect();
    assert_eq!((dead.len(), dead[0].reason, dead[0].attempts), (1, DeadReason::Attempts, 5));
}

#[test]
fn a_receiver_that_is_away_for_a_day_costs_what_is_older_than_that_and_few_attempts() {
    let hook = lane("hook");
    let attempts = Rc::new(Cell::new(0_u32));
    let count = Rc::clone(&attempts);
    let mut world = World::new(4, Limits::default(), move |_, _, _| {
        count.set(count.get() + 1);
        Mood::Dead
    });
    for n in 0..200 {
        world.happens(&[(&hook, &format!("call-{n}"), "lost")]);
    }
    world.run_for(Duration::from_secs(23 * 3600));
    assert!(world.store.dead.is_empty(), "within the day nothing is given up");
    world.happens(&[(&hook, "late", "kept")]);
    world.run_for(Duration::from_secs(2 * 3600));
    assert_eq!(world.store.dead.len(), 200);
    assert!(world.store.dead.values().all(|dead| dead.reason == DeadReason::Age));
    // One at a time, each half a minute at most.
    assert!(attempts.get() < 25 * 3600 / 15 + 200, "{} attempts", attempts.get());
    assert_eq!(world.outbox.owed().map(|owed| owed.held).sum::<usize>(), 1);
}
