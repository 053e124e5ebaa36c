//! How many bytes an address that has proved nothing may get: as many as came from it, and no more.
//!
//! A phone whose challenge is larger than its REGISTER repeats the REGISTER after half a second (timer E), and gets it
//! then.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Credit by address, in bytes. Bounded; when it is full and nothing is over, a new address gets nothing.
#[derive(Debug, Default)]
pub(super) struct Reflection {
    credit: HashMap<IpAddr, (usize, Instant)>,
}

impl Reflection {
    pub(super) fn received(&mut self, from: IpAddr, bytes: usize, now: Instant) {
        if self.credit.len() >= ADDRESSES_MAX && !self.credit.contains_key(&from) {
            self.credit.retain(|_, (_, at)| now.saturating_duration_since(*at) < LASTS);
            if self.credit.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let (credit, at) = self.credit.entry(from).or_insert((0, now));
        let before = if now.saturating_duration_since(*at) < LASTS { *credit } else { 0 };
        (*credit, *at) = ((before + bytes).min(CREDIT_MAX), now);
    }

    pub(super) fn take(&mut self, to: IpAddr, bytes: usize, now: Instant) -> bool {
        let Some((credit, at)) = self.credit.get_mut(&to) else { return false };
        if now.saturating_duration_since(*at) >= LASTS || *credit < bytes {
            return false;
        }
        *credit -= bytes;
        true
    }
}

const ADDRESSES_MAX: usize = 65_536;
/// The life of a transaction: 64 T1.
const LASTS: Duration = Duration::from_secs(32);
const CREDIT_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_goes_out_than_came_in() {
        let mut reflection = Reflection::default();
        let (now, peer) = (Instant::now(), "192.0.2.1".parse().unwrap());
        assert!(!reflection.take(peer, 1, now));
        reflection.received(peer, 400, now);
        assert!(!reflection.take(peer, 500, now));
        reflection.received(peer, 400, now);
        assert!(reflection.take(peer, 500, now));
        assert!(!reflection.take(peer, 301, now) && reflection.take(peer, 300, now));
        reflection.received(peer, 400, now);
        assert!(!reflection.take(peer, 400, now + LASTS), "credit does not last");
    }
}
