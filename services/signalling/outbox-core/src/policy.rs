//! How much, how often, how long.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// Bounds of an outbox. What does not fit in memory is in the store; nothing owed is ever dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Parcels of one lane in memory, at least 1. Past that the lane is spilled.
    pub held_per_lane_max: usize,
    /// Attempts of one lane under way at the same time, at least 1.
    pub in_flight_per_lane_max: usize,
    /// Attempts under way at the same time. Past half of it a lane has one at a time, so that receivers which
    /// all are slow cannot keep a quick one waiting.
    pub in_flight_max: usize,
    /// Parcels in one record of a lane's stream.
    pub spill_record_max: usize,
    /// Bytes of bodies in one record of a lane's stream; the store takes 512 KiB.
    pub spill_bytes_max: usize,
    /// How long a parcel may hold the shard's cursor before its lane is spilled.
    pub spill_after: Duration,
    /// Attempts that the receiver answers with a failure while it takes others.
    pub attempts_max: u32,
    /// How long a parcel is tried, from its first attempt.
    pub age_max: Duration,
    /// Failures in a row after which a lane has one attempt at a time.
    pub failures_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            held_per_lane_max: 1024,
            in_flight_per_lane_max: 16,
            in_flight_max: 1024,
            spill_record_max: 64,
            spill_bytes_max: 256 * 1024,
            spill_after: Duration::from_secs(5),
            attempts_max: 16,
            age_max: Duration::from_secs(24 * 3600),
            failures_max: 8,
        }
    }
}

/// The wait between attempts: doubled each time, and spread over its upper half so that many that failed together
/// do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure, before it is spread.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row, counted from 1; not less than the receiver asked for, unless that
    /// is longer than the longest.
    pub(crate) fn wait(&self, failures: u32, asked: Option<Duration>, rng: &mut StdRng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.max);
        doubled.mul_f64(rng.random_range(0.5..=1.0)).max(asked.unwrap_or_default().min(self.max))
    }
}
