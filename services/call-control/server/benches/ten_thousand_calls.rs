//! 10,000 live calls in one call control, whole: shards, log, store, directory and API, with a signalling replica and a media node
//! that are played. How many are set up a second, one after the other, and what a call takes in memory.
//!
//! `cargo bench -p sidetone-call-control --bench ten_thousand_calls`; with `-- --test` a few. The store is in memory, and so are the
//! played neighbours' own notes: what is printed is the most that a call takes here. The core alone is measured by `live_calls` of the
//! benches.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench tells, and stops where something is wrong"
)]

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::time::Instant;

use kit::{Replica, World, media};
use sidetone_model::signal::LegSignalKind;

const CALLS: usize = 10_000;
const FEW: usize = 50;
/// Calls that a list names unless it is asked for more.
const PAGE: usize = 100;

/// Two phones that talk.
async fn call(world: &mut World, phone: &mut Replica) {
    let caller = phone.call(&mut world.ids, "demo", "bob").await;
    let callee = phone.invite().await;
    phone.signal(callee, LegSignalKind::Progress { media: None }).await;
    phone.signal(callee, LegSignalKind::Answered { media: Some(media()) }).await;
    phone.answer(caller).await;
    // What the replica keeps for tests is not what is measured.
    phone.commands.clear();
}

/// Bytes that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::main]
async fn main() {
    let few = std::env::args().any(|argument| argument == "--test");
    let calls = if few { FEW } else { CALLS };
    let mut world = World::new(1).await;
    world.nodes[0].has_room_for(&*world.store, 3 * calls as u32).await;
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    call(&mut world, &mut phone).await;
    let (before, began) = (resident(), Instant::now());
    for _ in 1..calls {
        call(&mut world, &mut phone).await;
    }
    let (took, each) = (began.elapsed(), resident().saturating_sub(before) / (calls - 1));
    // A page of them.
    assert_eq!(world.calls("demo").await.len(), calls.min(PAGE), "they are live");
    let a_second = (calls - 1) as f64 / took.as_secs_f64();
    println!("{calls} live calls in one call control: {each} bytes a call, {a_second:.0} set up a second");
    world.stop().await;
}
