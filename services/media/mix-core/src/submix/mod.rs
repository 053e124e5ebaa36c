//! One room on several threads: each thread mixes its own members, and tells the others the sum of their voices.
//!
//! All mix on one grid: tick `n` begins everywhere at the same time. In tick `n` a thread sums the voices of its own
//! members, publishes that sum under `n`, and adds what the others published under `n - 1`. So its own members hear each
//! other without any delay, those of others one tick later, and a whole tick is left for everybody to be done. Because a
//! member's own voice is in its own thread's sum of the same tick, taking it out is as exact as in one mix.
//!
//! Nobody waits. A sum that is not there when it is needed is replaced by the one before, mirrored and faded out; after that
//! the others are silent until their sums come in time again, which then fade in.

mod lane;
mod notes;
mod open;
mod peer;
mod sync;

use std::sync::Arc;

pub use notes::Notes;

use crate::mixer::Mixer;
use notes::HEAD;
use open::Open;
use peer::Peer;

/// One thread's end of a room on several threads.
#[derive(Debug)]
pub struct Submix {
    own: usize,
    lanes: Arc<[Open]>,
    peers: Box<[Peer]>,
}

/// Ticks that are kept: a thread that makes up for a stall still finds what the others said meanwhile.
const TICKS_KEPT: usize = 8;

impl Submix {
    /// The ends of a room on at most `count` threads, for frames of so many `samples`. All memory is taken here.
    pub fn family(count: usize, samples: usize) -> Vec<Self> {
        let samples = samples.max(1);
        let open = |_| Open::new(TICKS_KEPT, HEAD + samples.div_ceil(2));
        let lanes: Arc<[Open]> = (0..count).map(open).collect();
        let end = |own| Self {
            own,
            lanes: Arc::clone(&lanes),
            peers: (0..count).map(|_| Peer::new(samples)).collect(),
        };
        (0..count).map(end).collect()
    }

    /// Between [`Mixer::sum_up`] and [`Mixer::finish`] of tick `tick`: tells the others what this one's members say, with
    /// `notes`, and adds what theirs said in the tick before. The number of those whose sum came too late.
    pub fn exchange(&mut self, tick: u64, notes: &Notes, mixer: &mut Mixer) -> u32 {
        let voices = mixer.voices() as u32;
        let own = &self.lanes[self.own];
        let sum: &[i32] = if voices > 0 { mixer.sum() } else { &[] };
        let pairs = sum.chunks(2).map(|pair| pack(pair[0], pair.get(1).copied().unwrap_or(0)));
        own.say(tick, notes.head(voices).into_iter().chain(pairs));
        let Some(before) = tick.checked_sub(1) else { return 0 };
        let mut late = 0;
        for (n, (open, peer)) in self.lanes.iter().zip(&mut self.peers).enumerate() {
            if n != self.own {
                late += u32::from(peer.hear(open.lane(), open.is_open(), before, mixer));
            }
        }
        late
    }

    /// This one says nothing any more. What was in its last sum fades out with the others.
    pub fn close(&self) {
        self.lanes[self.own].close();
    }

    /// What the others said last of themselves beside their sums.
    pub fn others(&self) -> impl Iterator<Item = &Notes> {
        self.peers.iter().filter_map(Peer::notes)
    }

    /// What one of the others said last of itself; none when it is not there, or is this one.
    pub fn other(&self, n: usize) -> Option<&Notes> {
        self.peers.get(n)?.notes()
    }
}

/// An end that goes away without having been closed.
impl Drop for Submix {
    fn drop(&mut self) {
        self.close();
    }
}

/// Two samples of a sum in one word.
fn pack(first: i32, second: i32) -> u64 {
    u64::from(first as u32) | u64::from(second as u32) << 32
}

fn unpack(word: u64) -> [i32; 2] {
    [word as u32 as i32, (word >> 32) as u32 as i32]
}
