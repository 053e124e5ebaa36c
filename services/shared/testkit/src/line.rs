//! A bad line: some of what phones send over it arrives damaged. Seeded, so that what went wrong once goes wrong again, as far
//! as phones send in the same order.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// A line that damages some datagrams; many phones may share it.
#[derive(Debug)]
pub struct BadLine {
    seed: u64,
    damaged_per_million: u64,
    sent: AtomicU64,
    damaged: AtomicU64,
}

impl BadLine {
    /// `damaged` is the share of datagrams that are damaged, 0 to 1.
    pub fn new(seed: u64, damaged: f64) -> Self {
        let damaged_per_million = (damaged.clamp(0.0, 1.0) * 1e6) as u64;
        Self { seed, damaged_per_million, sent: AtomicU64::new(0), damaged: AtomicU64::new(0) }
    }

    /// What arrives of a datagram.
    pub fn pass<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let n = self.sent.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice(self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if dice.below(1_000_000) >= self.damaged_per_million || bytes.is_empty() {
            return Cow::Borrowed(bytes);
        }
        self.damaged.fetch_add(1, Ordering::Relaxed);
        Cow::Owned(damage(bytes, &mut |bound| dice.below(bound)))
    }

    /// Datagrams sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Datagrams damaged.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }
}

/// Bytes cut short, or some of them overwritten. `below` gives a number below a bound.
pub fn damage(bytes: &[u8], below: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len() as u64;
    if below(4) == 0 {
        bytes.truncate(below(length) as usize);
        return bytes;
    }
    let from = below(length) as usize;
    let to = (from + 1 + below(40) as usize).min(bytes.len());
    bytes[from..to].iter_mut().for_each(|byte| *byte = below(256) as u8);
    bytes
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_damaged_as_should_be_and_the_same_with_the_same_seed() {
        let pass = |seed| {
            let line = BadLine::new(seed, 0.01);
            let all: Vec<Vec<u8>> = (0..10_000).map(|_| line.pass(b"hello, world").into_owned()).collect();
            assert_eq!(line.sent(), 10_000);
            (all, line.damaged())
        };
        let (first, damaged) = pass(7);
        assert!((50..200).contains(&damaged), "{damaged}");
        let changed = first.iter().filter(|bytes| *bytes != b"hello, world").count() as u64;
        assert!(changed <= damaged && changed >= damaged / 2, "{changed} of {damaged}");
        assert_eq!(pass(7).0, first);
        assert_ne!(pass(8).0, first);
    }
}
