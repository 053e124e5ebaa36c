//! How much one source may ask for: a token bucket each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Buckets by source. The table is bounded; when it is full, those that are full again are forgotten, and when that
/// frees nothing, an unknown source is refused: the attack is on then, and known sources go on.
#[derive(Debug)]
pub(super) struct SourceLimit {
    per_second: f64,
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl SourceLimit {
    /// `per_second` requests, twice as many at once; 0 for no limit.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second), buckets: HashMap::new() }
    }

    /// Takes one token of a source; false when it has none.
    pub(super) fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.per_second == 0.0 {
            return true;
        }
        let source = network(source);
        let (rate, burst) = (self.per_second, self.per_second * 2.0);
        if !self.buckets.contains_key(&source) && self.buckets.len() >= SOURCES_MAX {
            self.buckets.retain(|_, bucket| bucket.level(rate, burst, now) < burst);
            if self.buckets.len() >= SOURCES_MAX {
                return false;
            }
        }
        let bucket = self.buckets.entry(source).or_insert(Bucket { tokens: burst, at: now });
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

/// An IPv4 address as it is; of an IPv6 address its /64, out of which one host may choose freely (RFC 7421).
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 => v4,
    }
}

const SOURCES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut limit = SourceLimit::new(10);
        let now = Instant::now();
        let source = IpAddr::from([192, 0, 2, 1]);
        assert_eq!((0..30).filter(|_| limit.take(source, now)).count(), 20);
        assert!(limit.take(IpAddr::from([192, 0, 2, 2]), now), "another source is not concerned");
        let later = now + Duration::from_secs(1);
        assert_eq!((0..30).filter(|_| limit.take(source, later)).count(), 10);
    }
}
