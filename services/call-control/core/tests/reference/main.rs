//! A million things that phones and applications do, each told to the shard and to a model of its own: after every one of them
//! both must say the same.
//!
//! What holds after every step: nobody is free in a call; every leg is somebody's; who is in which call, how far, and who hears
//! whom is what the model says; what the model allows is offered, and succeeds; what it does not allow is refused, and changes
//! nothing; the folded log and the snapshot are the state; every phone can hang up, and then nothing is left.
//!
//! Every walk has a number, which is its seed; a failure says how to go the same way again, alone and with every step told.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops where something is not as it must be, and says how it came there"
)]

mod commands;
mod compare;
mod model;
mod walk;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::World;

/// Steps of one walk, and how many walks.
const STEPS: u32 = 400;
const WALKS: u64 = 2500;
/// Of so many walks one reads what is written.
const READ_EVERY: u64 = 4;
/// The steps before a failure that are told with it.
const TOLD: usize = 12;

type Tally = BTreeMap<String, [u32; 2]>;

/// Goes one way. The steps, and how often each operation was carried out and refused.
fn go(seed: u64, aloud: bool) -> (u32, Tally) {
    let mut world = World::new(seed);
    let mut told: Vec<String> = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for step in 0..STEPS {
            let what = world.step();
            if aloud {
                println!("{step}: {what}");
            }
            told.push(what);
            world.compare();
        }
        world.all_hang_up();
        if seed.is_multiple_of(READ_EVERY) {
            world.reads_its_log();
        }
    }));
    if let Err(panic) = outcome {
        let last = told.iter().enumerate().skip(told.len().saturating_sub(TOLD));
        last.for_each(|(step, what)| eprintln!("{step}: {what}"));
        eprintln!(
            "walk {seed} went wrong at step {}. Again: SIDETONE_WALK_SEED={seed} cargo test -p sidetone-call-core \
             --test reference -- --nocapture",
            told.len(),
        );
        resume_unwind(panic);
    }
    (told.len() as u32, world.tally)
}

/// Walks `seeds`, a thread for every processor.
fn go_all(seeds: std::ops::Range<u64>) -> (u64, Tally) {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let walkers: Vec<_> = (0..threads)
        .map(|of| seeds.clone().skip(of as usize).step_by(threads as usize))
        .map(|seeds| std::thread::spawn(move || seeds.map(|seed| go(seed, false)).collect::<Vec<_>>()))
        .collect();
    let (mut steps, mut tally) = (0, Tally::new());
    for walker in walkers {
        let ways = walker.join().unwrap_or_else(|panic| resume_unwind(panic));
        for (gone, tried) in ways {
            steps += u64::from(gone);
            for (name, [done, refused]) in tried {
                let sum = tally.entry(name).or_default();
                *sum = [sum[0] + done, sum[1] + refused];
            }
        }
    }
    (steps, tally)
}

#[test]
fn a_million_steps_are_as_the_model_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("SIDETONE_WALK_SEED") {
        go(seed, true);
        return;
    }
    let first = number("SIDETONE_WALK_FROM").unwrap_or(0);
    println!("walks {first} to {}", first + WALKS - 1);
    let (steps, tally) = go_all(first..first + WALKS);
    for (name, [done, refused]) in &tally {
        println!("{name}: {done} carried out, {refused} refused");
    }
    assert_eq!(steps, 1_000_000);
    assert_eq!(tally.len(), 29, "an operation that was never tried: {:?}", tally.keys());
    for (name, [done, refused]) in &tally {
        // Whoever is there can be hung up upon.
        let always = name.starts_with("HangUp");
        assert!(*done > 0 && (*refused > 0 || always), "the walk never came to both with {name}");
    }
}
