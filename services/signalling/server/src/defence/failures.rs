//! Wrong passwords by whose they are: counted over a window, and a ban when there are too many.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// When there are too many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Failures count for so long.
    pub(super) window: Duration,
    /// More than so many in the window are banned.
    pub(super) failures_max: u32,
    /// For how long, the first time; twice as long each time after.
    pub(super) ban: Duration,
}

/// What the last failure makes of its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// So many in the window, this one counted.
    Failures(u32),
    /// Banned.
    Banned,
}

/// The table. Bounded: when it is full, what is over is forgotten, and when nothing is, the one that was quiet longest.
#[derive(Debug)]
pub(super) struct Failures<K> {
    max: usize,
    records: HashMap<K, Record>,
}

#[derive(Debug)]
struct Record {
    count: u32,
    window_from: Instant,
    last: Instant,
    banned_until: Option<Instant>,
    bans: u32,
}

impl<K: Eq + Hash + Clone> Failures<K> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, records: HashMap::new() }
    }

    pub(super) fn note(&mut self, whose: K, rule: &Rule, now: Instant) -> Judgement {
        self.make_room(&whose, now);
        let fresh = || Record { count: 0, window_from: now, last: now, banned_until: None, bans: 0 };
        let record = self.records.entry(whose).or_insert_with(fresh);
        if now.saturating_duration_since(record.window_from) > rule.window {
            (record.count, record.window_from) = (0, now);
        }
        record.count = record.count.saturating_add(1);
        record.last = now;
        if record.count <= rule.failures_max {
            return Judgement::Failures(record.count);
        }
        let longer = 2u32.saturating_pow(record.bans).min(BAN_FACTOR_MAX);
        record.banned_until = Some(now + rule.ban * longer);
        record.bans += 1;
        (record.count, record.window_from) = (0, now);
        Judgement::Banned
    }

    pub(super) fn is_banned(&self, whose: &K, now: Instant) -> bool {
        self.records.get(whose).is_some_and(|record| record.is_banned(now))
    }

    /// Whoever is banned now, until when and for which time.
    pub(super) fn banned(&self, now: Instant) -> impl Iterator<Item = (&K, Instant, u32)> {
        let banned = move |(key, record): (_, &Record)| {
            Some((key, record.banned_until.filter(|until| *until > now)?, record.bans))
        };
        self.records.iter().filter_map(banned)
    }

    /// Knows nothing of somebody any more; true when that ends a ban.
    pub(super) fn forget(&mut self, whose: &K, now: Instant) -> bool {
        self.records.remove(whose).is_some_and(|record| record.is_banned(now))
    }

    pub(super) fn banned_until(&self, whose: &K) -> Option<Instant> {
        self.records.get(whose)?.banned_until
    }

    fn make_room(&mut self, whose: &K, now: Instant) {
        if self.records.len() < self.max || self.records.contains_key(whose) {
            return;
        }
        self.records.retain(|_, record| now.saturating_duration_since(record.last) < MEMORY);
        if self.records.len() >= self.max {
            let quiet = self.records.iter().min_by_key(|(_, record)| (record.is_banned(now), record.last));
            if let Some(key) = quiet.map(|(key, _)| key.clone()) {
                self.records.remove(&key);
            }
        }
    }
}

impl Record {
    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| until > now)
    }
}

/// For how long somebody's bans are remembered.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
const BAN_FACTOR_MAX: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { window: Duration::from_secs(60), failures_max: 3, ban: Duration::from_secs(300) };

    #[test]
    fn too_many_are_banned_and_the_next_time_for_longer() {
        let mut failures = Failures::new(8);
        let mut now = Instant::now();
        for (round, ban_s) in [300, 600, 1200].into_iter().enumerate() {
            for n in 1..=3 {
                assert_eq!(failures.note("a", &RULE, now), Judgement::Failures(n), "round {round}");
            }
            assert_eq!(failures.note("a", &RULE, now), Judgement::Banned);
            assert!(failures.is_banned(&"a", now + Duration::from_secs(ban_s - 1)));
            now += Duration::from_secs(ban_s);
            assert!(!failures.is_banned(&"a", now));
        }
    }

    #[test]
    fn who_fails_seldom_is_never_banned() {
        let mut failures = Failures::new(8);
        let mut now = Instant::now();
        for _ in 0..1000 {
            assert_ne!(failures.note("a", &RULE, now), Judgement::Banned);
            now += Duration::from_secs(21);
        }
    }

    #[test]
    fn a_full_table_forgets_who_is_quiet_but_no_ban() {
        let mut failures = Failures::new(2);
        let now = Instant::now();
        for _ in 0..4 {
            failures.note("banned", &RULE, now);
        }
        for n in 0..10 {
            let names = ["b", "c"];
            failures.note(names[n % 2], &RULE, now + Duration::from_secs(1));
        }
        assert!(failures.is_banned(&"banned", now + Duration::from_secs(2)));
        assert_eq!(failures.records.len(), 2);
    }
}
