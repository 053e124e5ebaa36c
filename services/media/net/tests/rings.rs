//! Rings and wake-ups between two threads, as a worker and its control plane use them. `.ci/sanitizers` runs it under ThreadSanitizer,
//! which sees also how the ring's own memory is shared.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use sidetone_net::Wake;

/// Longer than any machine stands still.
const FOR_EVER: Duration = Duration::from_secs(600);
const COMMANDS: u64 = 50_000;
/// Taken between two looks at what else there is to do.
const A_TURN: usize = 4;

/// A command that shows whether it came whole, and counts how many there are.
struct Command {
    words: [u64; 8],
    alive: Arc<AtomicUsize>,
}

impl Command {
    fn new(number: u64, alive: &Arc<AtomicUsize>) -> Box<Self> {
        alive.fetch_add(1, Ordering::Relaxed);
        Box::new(Self { words: [number; 8], alive: Arc::clone(alive) })
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The control plane: gives all commands, rings with each, and frees here, not on the worker, what is no longer needed.
fn give(
    commands: &mut Producer<Box<Command>>,
    retired: &mut Consumer<Box<Command>>,
    (wake, alive): (&Wake, &Arc<AtomicUsize>),
) {
    let mut came_back = 0;
    let mut free = || {
        while let Ok(command) = retired.pop() {
            assert_eq!(command.words, [came_back; 8]);
            came_back += 1;
        }
        came_back
    };
    for number in 0..COMMANDS {
        let mut command = Command::new(number, alive);
        while let Err(PushError::Full(back)) = commands.push(command) {
            command = back;
            free();
            thread::yield_now();
        }
        wake.ring();
    }
    while free() < COMMANDS {
        thread::yield_now();
    }
}

/// The worker: sleeps until it is rung, carries out a few, and rings for itself when there are more.
fn carry_out(commands: &mut Consumer<Box<Command>>, retired: &mut Producer<Box<Command>>, wake: &Wake) {
    let mut next = 0;
    while next < COMMANDS {
        wake.rest(FOR_EVER);
        assert!(wake.take(), "command {next} was slept through");
        for _ in 0..A_TURN {
            // As it keeps room for the answers.
            if retired.slots() == 0 {
                break;
            }
            let Ok(command) = commands.pop() else { break };
            assert_eq!(command.words, [next; 8]);
            next += 1;
            assert!(retired.push(command).is_ok());
        }
        if !commands.is_empty() {
            wake.ring();
        }
    }
}

#[test]
fn each_command_is_carried_out_once_in_its_order_and_none_is_slept_through() {
    let (mut commands, mut taken) = RingBuffer::new(16);
    let (mut retiring, mut retired) = RingBuffer::new(8);
    let (wake, alive) = (Wake::new().unwrap(), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        let bell = wake.clone();
        scope.spawn(move || carry_out(&mut taken, &mut retiring, &bell));
        give(&mut commands, &mut retired, (&wake, &alive));
    });
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// As a prompt that is decoded while it plays, and what an application says.
#[test]
fn what_is_in_a_ring_is_heard_to_its_end_although_its_writer_is_gone() {
    for round in 0..2_000u64 {
        let (mut say, mut hear) = RingBuffer::new(4);
        thread::scope(|scope| {
            scope.spawn(move || (0..round % 9).for_each(|n| while say.push(n).is_err() {}));
            let mut heard = 0;
            loop {
                match hear.pop() {
                    Ok(n) => {
                        assert_eq!(n, heard);
                        heard += 1;
                    }
                    // In this order: what was said before it went is there when it is seen to be gone.
                    Err(_) if hear.is_abandoned() && hear.is_empty() => break,
                    Err(_) => thread::yield_now(),
                }
            }
            assert_eq!(heard, round % 9, "round {round}");
        });
    }
}
