//! Every order in which a writer and readers of a lane can meet, by loom: nobody takes half of one number and half of another.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a part of the crate, taken for a model check"
)]

#[path = "../src/submix/lane.rs"]
mod lane;
#[path = "../src/submix/open.rs"]
mod open;

/// What the lane is made of, here.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

use lane::Lane;
use loom::sync::Arc;
use loom::thread;
use open::Open;

/// The words of a number: each tells whose it is.
fn words(number: u64) -> impl Iterator<Item = u64> {
    [number * 10, number * 10 + 1].into_iter()
}

fn take(lane: &Lane, number: u64) -> Option<Vec<u64>> {
    let mut taken = Vec::new();
    let whole = lane.read(number, 0, |word| {
        taken.push(word);
        true
    });
    whole.then_some(taken)
}

/// One writer of three numbers into so many places, and one reader of each number that is asked for.
fn meet(places: usize, asked: &'static [u64]) {
    let mut model = loom::model::Builder::new();
    // Bugs of memory order show with two or three turns taken away; all of them together take a minute.
    model.preemption_bound = Some(3);
    model.check(move || {
        let lane = Arc::new(Lane::new(places, 2));
        let writer = thread::spawn({
            let lane = Arc::clone(&lane);
            move || (0..3).for_each(|number| lane.publish(number, words(number)))
        });
        for number in asked {
            if let Some(taken) = take(&lane, *number) {
                assert_eq!(taken, words(*number).collect::<Vec<_>>(), "half of {number}");
            }
        }
        writer.join().unwrap();
        // What was written last is there, and what it lies on is not.
        assert_eq!(take(&lane, 2).unwrap(), words(2).collect::<Vec<_>>());
        assert_eq!(take(&lane, 2 - places as u64), None);
    });
}

#[test]
fn a_reader_takes_a_number_whole_or_not_at_all_while_it_is_written_over() {
    meet(1, &[0, 1]);
    meet(1, &[1, 2]);
}

#[test]
fn a_reader_of_the_last_number_but_one_is_left_alone() {
    meet(2, &[0, 1]);
    meet(2, &[1, 2]);
}

#[test]
fn two_readers_at_once() {
    loom::model(|| {
        let lane = Arc::new(Lane::new(1, 2));
        lane.publish(0, words(0));
        let reader = thread::spawn({
            let lane = Arc::clone(&lane);
            move || assert!(take(&lane, 0).is_none_or(|taken| taken == [0, 1]))
        });
        let writer = thread::spawn({
            let lane = Arc::clone(&lane);
            move || lane.publish(1, words(1))
        });
        assert!(take(&lane, 1).is_none_or(|taken| taken == [10, 11]));
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Who is found at work has said what it said before: a peer that has just come is not taken for late.
#[test]
fn who_is_found_at_work_is_heard() {
    loom::model(|| {
        let own = Arc::new(Open::new(3, 2));
        let writer = thread::spawn({
            let own = Arc::clone(&own);
            move || {
                own.say(0, words(0));
                own.close();
                // It comes back.
                own.say(1, words(1));
            }
        });
        if own.is_open() {
            assert_eq!(take(own.lane(), 0).unwrap(), words(0).collect::<Vec<_>>());
        }
        writer.join().unwrap();
        assert!(own.is_open());
        assert_eq!(take(own.lane(), 1).unwrap(), words(1).collect::<Vec<_>>());
    });
}
