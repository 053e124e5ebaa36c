//! Words of one writer for any number of readers on other threads, by number: nobody ever waits.
//!
//! The words of number `n` lie in place `n` modulo the number of places. A place has a stamp: which number lies in it, or
//! that it is being written. A reader who finds the same stamp before and after it has taken the words has them whole;
//! any other finds nothing. The writer asks nobody: who is slower than all places together has lost what was written over.
//!
//! Why that holds: a reader that has taken a word of a later number has, by acquiring it, also seen the stamp that was
//! changed before that word was written, so the second look at the stamp differs. Stamps never come back.

use super::sync::{AtomicU64, Ordering};

/// What one writer says. Holds no lock, and takes memory only when it is made.
#[derive(Debug)]
pub(crate) struct Lane {
    places: Box<[Place]>,
}

#[derive(Debug)]
struct Place {
    /// One more than the number that lies here; 0 when none ever did.
    stamp: AtomicU64,
    words: Box<[AtomicU64]>,
}

/// The stamp of a place that is being written.
const WRITING: u64 = u64::MAX;

impl Lane {
    /// Keeps the last `places` numbers, each of at most so many `words`; at least one of both.
    pub(crate) fn new(places: usize, words: usize) -> Self {
        let words = || (0..words.max(1)).map(|_| AtomicU64::new(0)).collect();
        let place = |_| Place { stamp: AtomicU64::new(0), words: words() };
        Self { places: (0..places.max(1)).map(place).collect() }
    }

    /// Writes the words of a number over whatever lay there. Only one thread at a time may do so: two that write at once do
    /// not harm memory, but readers could take half of each. Words that find no room are left out.
    pub(crate) fn publish(&self, number: u64, words: impl Iterator<Item = u64>) {
        let place = self.place(number);
        place.stamp.store(WRITING, Ordering::Relaxed);
        for (to, word) in place.words.iter().zip(words) {
            // After the stamp, for whoever sees the word.
            to.store(word, Ordering::Release);
        }
        place.stamp.store(number.wrapping_add(1), Ordering::Release);
    }

    /// Hands out the words of a number from `from` on to `take`, for as long as that says so; false when they are not there
    /// (yet, or any more). Then what was handed out is worth nothing.
    pub(crate) fn read(&self, number: u64, from: usize, mut take: impl FnMut(u64) -> bool) -> bool {
        let place = self.place(number);
        let stamp = number.wrapping_add(1);
        if place.stamp.load(Ordering::Acquire) != stamp {
            return false;
        }
        for word in place.words.iter().skip(from) {
            if !take(word.load(Ordering::Acquire)) {
                break;
            }
        }
        place.stamp.load(Ordering::Relaxed) == stamp
    }

    fn place(&self, number: u64) -> &Place {
        &self.places[(number % self.places.len() as u64) as usize]
    }
}
