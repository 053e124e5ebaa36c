//! How much one source or tenant may ask for: a token bucket each.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Buckets by whose they are. The table is bounded; when it is full, those that are full again are forgotten, and when
/// that frees nothing, who is unknown is refused: the attack is on then, and the known go on.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    per_second: f64,
    max: usize,
    buckets: HashMap<K, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    /// `per_second` requests, twice as many at once; 0 for no limit.
    pub(super) fn new(per_second: u32, max: usize) -> Self {
        Self { per_second: f64::from(per_second), max, buckets: HashMap::new() }
    }

    /// Takes one token; false when there is none.
    pub(super) fn take(&mut self, whose: K, now: Instant) -> bool {
        if self.per_second == 0.0 {
            return true;
        }
        let (rate, burst) = (self.per_second, self.per_second * 2.0);
        if !self.buckets.contains_key(&whose) && self.buckets.len() >= self.max {
            self.buckets.retain(|_, bucket| bucket.level(rate, burst, now) < burst);
            if self.buckets.len() >= self.max {
                return false;
            }
        }
        let bucket = self.buckets.entry(whose).or_insert(Bucket { tokens: burst, at: now });
        let level = bucket.level(rate, burst, now);
        let allowed = level >= 1.0;
        *bucket = Bucket { tokens: if allowed { level - 1.0 } else { level }, at: now };
        allowed
    }
}

impl Bucket {
    fn level(&self, rate: f64, burst: f64, now: Instant) -> f64 {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        (self.tokens + refilled).min(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn everybody_gets_a_burst_and_then_a_rate() {
        let mut limit = Buckets::new(10, 8);
        let now = Instant::now();
        assert_eq!((0..30).filter(|_| limit.take(1, now)).count(), 20);
        assert!(limit.take(2, now), "another is not concerned");
        let later = now + Duration::from_secs(1);
        assert_eq!((0..30).filter(|_| limit.take(1, later)).count(), 10);
    }

    #[test]
    fn a_full_table_refuses_the_unknown_and_not_the_known() {
        let mut limit = Buckets::new(10, 2);
        let now = Instant::now();
        assert!(limit.take(1, now) && limit.take(2, now));
        assert!(!limit.take(3, now));
        assert!(limit.take(1, now));
        assert!(limit.take(3, now + Duration::from_secs(9)), "those that rest are forgotten");
    }
}
