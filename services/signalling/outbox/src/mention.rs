//! What is told once, at once, or not at all: samples, which are not in the log.
//!
//! Nothing of it is written anywhere. Each receiver has a short queue and one attempt at a time, so that order is kept; who is
//! slow, or away, loses the oldest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::{Attempt, LaneKey, Outcome, Parcel, ParcelId};

use crate::engine::Inner;

/// What waits to be mentioned.
#[derive(Default)]
pub(crate) struct Mentions {
    lanes: Mutex<BTreeMap<LaneKey, VecDeque<(Timestamp, Bytes)>>>,
    /// Numbers them, from the time of the start on: no two have the same idempotency key.
    next: AtomicU64,
}

/// What becomes of one that is handed in.
enum Taken {
    /// Somebody is at work for its receiver.
    Queued,
    /// Somebody has to begin.
    First,
    /// Too many receivers.
    Dropped,
}

impl Mentions {
    fn lanes(&self) -> MutexGuard<'_, BTreeMap<LaneKey, VecDeque<(Timestamp, Bytes)>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one; and how many older ones it has pushed out.
    fn take(&self, lane: &LaneKey, at: Timestamp, body: Bytes) -> (Taken, u64) {
        let mut lanes = self.lanes();
        if let Some(queue) = lanes.get_mut(lane) {
            queue.push_back((at, body));
            let over = queue.len().saturating_sub(QUEUE_MAX);
            queue.drain(..over);
            return (Taken::Queued, over as u64);
        }
        if lanes.len() >= LANES_MAX {
            return (Taken::Dropped, 1);
        }
        lanes.insert(lane.clone(), VecDeque::from([(at, body)]));
        (Taken::First, 0)
    }

    /// The next one of a receiver; without one the receiver is forgotten.
    fn next_of(&self, lane: &LaneKey) -> Option<(Timestamp, Bytes)> {
        let mut lanes = self.lanes();
        let next = lanes.get_mut(lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            lanes.remove(lane);
        }
        next
    }

    /// An id that no entry of a log has: those begin with entry 1.
    fn id(&self, now: Timestamp) -> ParcelId {
        let first = now.as_millis() << 20;
        // Numbers go on from the time of the first.
        let _ = self.next.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        ParcelId { entry: 0, place: (n >> 32) as u32, index: n as u32 }
    }
}

impl Inner {
    /// Tells a receiver something, soon or never. True when [`Inner::tell_mentions`] has to be begun for it.
    pub(crate) fn mention(&self, lane: &LaneKey, at: Timestamp, body: Bytes) -> bool {
        let (taken, dropped) = self.mentions.take(lane, at, body);
        self.count_mentions("dropped", dropped);
        matches!(taken, Taken::First)
    }

    /// Tells what waits for one receiver, in its order.
    pub(crate) async fn tell_mentions(&self, lane: LaneKey) {
        while let Some((at, body)) = self.mentions.next_of(&lane) {
            let now = self.clock.now();
            if now.since(at).as_millis() > AGE_MAX_MS {
                self.count_mentions("dropped", 1);
                continue;
            }
            let parcel = Parcel { id: self.mentions.id(now), at, order: "".into(), body, to: None };
            let attempt = Attempt { lane: lane.clone(), ticket: 0, parcel, number: 1 };
            let delivered = self.webhooks.send(&attempt, now).await.outcome == Outcome::Delivered;
            self.count_mentions(if delivered { "delivered" } else { "failed" }, 1);
        }
    }

    fn count_mentions(&self, result: &str, count: u64) {
        self.deps.telemetry.outbox.mentions.with_label_values(&[result]).inc_by(count);
    }
}

/// Mentions that wait for one receiver.
const QUEUE_MAX: usize = 16;
/// Receivers for which some wait.
const LANES_MAX: usize = 256;
/// What is older is no news.
const AGE_MAX_MS: u128 = 5_000;
