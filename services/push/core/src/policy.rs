//! How much, how often, how long.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// How much is taken at once. What does not fit is refused; nothing accepted is ever dropped for something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wake-ups of one tenant that have something left to send.
    pub open_per_tenant_max: usize,
    /// Wake-ups that have something left to send, in all. Cancellations may use as much again, because refusing one
    /// would leave a device ringing.
    pub open_max: usize,
    /// Attempts of one tenant under way at the same time.
    pub in_flight_per_tenant_max: usize,
    /// Attempts under way at the same time.
    pub in_flight_max: usize,
    /// Attempts for one message.
    pub attempts_max: u32,
    /// How far in the future a deadline may be.
    pub deadline_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_per_tenant_max: 1_000,
            open_max: 10_000,
            in_flight_per_tenant_max: 16,
            in_flight_max: 128,
            attempts_max: 8,
            deadline_max: Duration::from_secs(60),
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
        Self { first: Duration::from_millis(500), max: Duration::from_secs(8) }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row, counted from 1.
    pub fn wait(&self, failures: u32, rng: &mut StdRng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.max);
        doubled.mul_f64(rng.random_range(0.5..=1.0))
    }
}
