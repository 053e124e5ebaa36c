//! How often passwords may be tried, so that guessing is slow and nobody can stop the log-in of others.
//!
//! Failures are counted of a login from one address, of an address, and of a login from everywhere. Only what a bound counts
//! is held up by it: somebody who guesses keeps the own address out, and one login only by failing from many addresses.
//! When more is counted than is kept, the oldest count goes; nobody is refused for that.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use sidetone_model::ids::TenantId;
use sidetone_model::time::Timestamp;

/// Who tries to log in, as given.
pub(crate) type Login = (TenantId, Box<str>);

/// Wrong passwords of late.
pub(crate) struct Failures {
    pairs: Tally<(Login, IpAddr)>,
    sources: Tally<IpAddr>,
    logins: Tally<Login>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { pairs: Tally::new(PAIR_MAX), sources: Tally::new(SOURCE_MAX), logins: Tally::new(LOGIN_MAX) }
    }
}

impl Failures {
    /// Whether anything may be tried from there now. It counts as a failure until it is [taken back](Self::take_back_source):
    /// of many that come at once no more are let through than of as many one by one.
    pub(crate) fn ask(&mut self, source: IpAddr, now: Timestamp) -> bool {
        self.sources.take(network(source), now)
    }

    /// Whether a login may be tried from there now; counted in the same way.
    pub(crate) fn attempt(&mut self, who: &Login, source: IpAddr, now: Timestamp) -> bool {
        let pair = (who.clone(), network(source));
        if !self.pairs.take(pair.clone(), now) {
            return false;
        }
        let has_room = self.logins.take(who.clone(), now);
        if !has_room {
            self.pairs.take_back(&pair);
        }
        has_room
    }

    /// What was asked from there has not failed.
    pub(crate) fn take_back_source(&mut self, source: IpAddr) {
        self.sources.take_back(&network(source));
    }

    /// The password was not wrong.
    pub(crate) fn take_back(&mut self, who: &Login, source: IpAddr) {
        self.logins.take_back(who);
        self.pairs.take_back(&(who.clone(), network(source)));
    }
}

/// Counts within [`WINDOW_MS`] of the first of each.
struct Tally<K> {
    max: u32,
    counts: BTreeMap<K, u32>,
    /// In the order of their first.
    begun: VecDeque<(Timestamp, K)>,
}

impl<K: Ord + Clone> Tally<K> {
    fn new(max: u32) -> Self {
        Self { max, counts: BTreeMap::new(), begun: VecDeque::new() }
    }

    /// Counts one more, if there is room for it.
    fn take(&mut self, key: K, now: Timestamp) -> bool {
        while self.begun.front().is_some_and(|(at, _)| at.as_millis() + WINDOW_MS <= now.as_millis()) {
            self.drop_oldest();
        }
        if let Some(count) = self.counts.get_mut(&key) {
            let has_room = *count < self.max;
            *count += u32::from(has_room);
            return has_room;
        }
        if self.counts.len() >= KEPT_MAX {
            self.drop_oldest();
        }
        self.counts.insert(key.clone(), 1);
        self.begun.push_back((now, key));
        true
    }

    /// One that was counted was none. Its key goes when its time is over, also with a count of nothing.
    fn take_back(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.begun.pop_front() {
            self.counts.remove(&key);
        }
    }
}

/// Whoever has one address of IPv6 has as a rule its whole /64 (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Wrong passwords of one login from one address within the window.
const PAIR_MAX: u32 = 10;
/// From one address, whatever the logins.
const SOURCE_MAX: u32 = 100;
/// Of one login, from wherever.
const LOGIN_MAX: u32 = 100;
const WINDOW_MS: u64 = 60_000;
/// Counts of each kind that are kept.
const KEPT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Login {
        (TenantId::new("t").unwrap(), name.into())
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn however_many_fail_elsewhere_nobody_else_is_kept_out() {
        let mut failures = Failures::default();
        for n in 0..3 * KEPT_MAX as u32 {
            let source = IpAddr::from((0x0A00_0000 + n / 50).to_be_bytes());
            assert!(failures.ask(source, NOW) && failures.attempt(&who(&format!("guess-{n}")), source, NOW));
        }
        let other = IpAddr::from([192, 0, 2, 1]);
        assert!(failures.ask(other, NOW) && failures.attempt(&who("icm1001"), other, NOW));
        assert!(failures.logins.counts.len() <= KEPT_MAX && failures.logins.begun.len() <= KEPT_MAX);
    }

    #[test]
    fn who_guesses_is_kept_out_alone_and_for_a_minute() {
        let mut failures = Failures::default();
        let (bad, good) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        // Each is counted before anybody knows whether it fails: of a burst no more get through.
        (0..PAIR_MAX).for_each(|_| assert!(failures.ask(bad, NOW) && failures.attempt(&who("a"), bad, NOW)));
        assert!(!failures.attempt(&who("a"), bad, NOW), "the login from there");
        assert!(failures.attempt(&who("a"), good, NOW), "the login from elsewhere");
        assert!(failures.attempt(&who("b"), bad, NOW), "another login from there");
        (PAIR_MAX..SOURCE_MAX).for_each(|_| assert!(failures.ask(bad, NOW)));
        assert!(!failures.ask(bad, NOW) && failures.ask(good, NOW));
        let later = Timestamp::from_millis(NOW.as_millis() + WINDOW_MS);
        assert!(failures.ask(bad, later) && failures.attempt(&who("a"), bad, later));
    }

    #[test]
    fn who_succeeds_is_not_counted() {
        let mut failures = Failures::default();
        let source = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..3 * SOURCE_MAX {
            assert!(failures.ask(source, NOW) && failures.attempt(&who("a"), source, NOW));
            failures.take_back(&who("a"), source);
            failures.take_back_source(source);
        }
        (0..LOGIN_MAX).for_each(|n| {
            let elsewhere = IpAddr::from([198, 51, 100, n as u8]);
            assert!(failures.attempt(&who("a"), elsewhere, NOW));
        });
        assert!(!failures.attempt(&who("a"), source, NOW), "the login from everywhere");
        failures.take_back(&who("a"), IpAddr::from([198, 51, 100, 0]));
        (0..PAIR_MAX).for_each(|n| assert_eq!(failures.attempt(&who("a"), source, NOW), n == 0));
    }

    #[test]
    fn the_addresses_of_one_network_are_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
