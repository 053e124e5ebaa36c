//! A lane, and whether its writer is at work.

use super::lane::Lane;
use super::sync::{AtomicBool, Ordering};

/// What one thread of a room says, and that it is there. Who finds it at work finds what it said first, too, unless that is so long ago
/// that it was written over.
#[derive(Debug)]
pub(crate) struct Open {
    lane: Lane,
    is_open: AtomicBool,
}

impl Open {
    /// Nobody is at work. See [`Lane::new`].
    pub(crate) fn new(places: usize, words: usize) -> Self {
        Self { lane: Lane::new(places, words), is_open: AtomicBool::new(false) }
    }

    /// Says the words of a number, and is at work from then on. Only one thread at a time may do so.
    pub(crate) fn say(&self, number: u64, words: impl Iterator<Item = u64>) {
        self.lane.publish(number, words);
        if !self.is_open.load(Ordering::Relaxed) {
            // After the words, for whoever sees it.
            self.is_open.store(true, Ordering::Release);
        }
    }

    /// Says nothing any more.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Release);
    }

    /// Whether it is at work.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// What it says.
    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }
}
