//! A follower of the facts folds the same state as the owner, from whatever cursor it comes back with.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use futures_util::StreamExt as _;
use kit::{DEADLINE, Replica, World, media};
use sidetone_call_control::Config;
use sidetone_model::fold::Fold;
use sidetone_model::ids::ShardId;
use sidetone_model::signal::LegSignalKind;
use sidetone_runtime::link::{FactFeed, Followed};

/// One shard, so that every tenant is in it; a snapshot after nearly every step when `snapshots`.
async fn world(snapshots: bool) -> World {
    let snapshot_records = if snapshots { 2 } else { 1_000_000 };
    World::with(1, Config { shards: 1, snapshot_records, ..Config::default() }).await
}

/// Two calls, of which one has ended.
async fn some_calls(world: &mut World) -> Replica {
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    let caller = phone.call(&mut world.ids, "demo", "bob").await;
    let callee = phone.invite().await;
    phone.signal(callee, LegSignalKind::Answered { media: Some(media()) }).await;
    phone.answer(caller).await;
    let guest = phone.call(&mut world.ids, "demo", "700").await;
    phone.answer(guest).await;
    phone.bye(guest).await;
    world.calls("demo").await;
    phone
}

/// What comes until entry `last` has been seen.
async fn up_to(world: &World, after: Option<u64>, last: u64) -> Vec<Followed> {
    let mut feed = world.control.follow(ShardId(0), after).await.unwrap();
    let mut entries: Vec<Followed> = Vec::new();
    while entries.last().is_none_or(|entry| entry.entry < last) {
        let next = tokio::time::timeout(DEADLINE, feed.next()).await.unwrap();
        entries.push(next.unwrap().unwrap());
    }
    entries
}

fn fold(entries: &[Followed]) -> Fold {
    let mut fold = Fold::default();
    entries.iter().flat_map(|entry| entry.facts.iter()).for_each(|fact| fold.apply(fact));
    fold
}

async fn every_cursor_folds_to_the_same(snapshots: bool) {
    let mut world = world(snapshots).await;
    let _phone = some_calls(&mut world).await;
    let (_, last) = sidetone_store::Store::bounds(&*world.store, "shards/0/log").await.unwrap();
    let whole = fold(&up_to(&world, Some(0), last.0).await);
    assert_eq!(whole.calls().count(), 2);
    for cursor in 0..=last.0 {
        let entries = up_to(&world, Some(cursor), last.0).await;
        assert!(entries.iter().all(|entry| entry.history == (entry.entry <= cursor)), "cursor {cursor}");
        assert_eq!(fold(&entries), whole, "cursor {cursor}");
    }
}

#[tokio::test]
async fn every_cursor_without_a_snapshot() {
    every_cursor_folds_to_the_same(false).await;
}

#[tokio::test]
async fn every_cursor_with_a_snapshot_that_is_past_most_of_them() {
    every_cursor_folds_to_the_same(true).await;
}

#[tokio::test]
async fn without_a_cursor_the_present_is_history() {
    let mut world = world(false).await;
    let mut phone = some_calls(&mut world).await;
    let mut feed = world.control.follow(ShardId(0), None).await.unwrap();
    let leg = phone.call(&mut world.ids, "demo", "700").await;
    let mut fold = Fold::default();
    let mut news = false;
    while fold.leg(leg).is_none() {
        let entry = tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().unwrap().unwrap();
        assert!(!(news && entry.history), "history comes first");
        news = !entry.history;
        entry.facts.iter().for_each(|fact| fold.apply(fact));
    }
    assert!(news, "the call that came afterwards is no history");
    assert_eq!(fold.calls().count(), 3, "the two of before and the new one");
}

#[tokio::test]
async fn a_former_life_is_read_from_the_store_and_this_one_from_memory() {
    let mut world = world(false).await;
    let _phone = some_calls(&mut world).await;
    let (_, former) = sidetone_store::Store::bounds(&*world.store, "shards/0/log").await.unwrap();
    let whole = fold(&up_to(&world, Some(0), former.0).await);
    world.restart().await;
    let read =
        |world: &World, from| world.telemetry.call_control.entries_read.with_label_values(&[from]).get();
    assert_eq!(read(&world, "store"), 0);
    assert_eq!(fold(&up_to(&world, Some(0), former.0).await), whole);
    assert!(read(&world, "store") >= former.0, "{} of {former}", read(&world, "store"));

    let mut feed = world.control.follow(ShardId(0), None).await.unwrap();
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "700").await;
    let mut seen = Fold::default();
    while seen.leg(leg).is_none() {
        let entry = tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().unwrap().unwrap();
        entry.facts.iter().for_each(|fact| seen.apply(fact));
    }
    assert!(read(&world, "memory") > 0);
}
