//! A network that loses, doubles and reorders what is sent over it, on a clock that its user moves. Seeded, so that what went
//! wrong once goes wrong again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a network does to what is sent over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// So many of 1000 are lost.
    pub loss_per_mille: u32,
    /// So many of 1000 that are not lost come twice, the second time with a delay of its own.
    pub duplicates_per_mille: u32,
    /// The shortest way.
    pub delay_min: Duration,
    /// The longest way. What is sent later may come earlier where it differs from the shortest.
    pub delay_max: Duration,
}

impl Conditions {
    /// Everything comes at once and in order.
    pub const PERFECT: Self = Self {
        loss_per_mille: 0,
        duplicates_per_mille: 0,
        delay_min: Duration::ZERO,
        delay_max: Duration::ZERO,
    };
}

/// How much became of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Given to the network.
    pub sent: u64,
    /// Lost.
    pub lost: u64,
    /// Doubled.
    pub doubled: u64,
    /// Came before something that was sent earlier.
    pub overtook: u64,
}

/// The network.
#[derive(Debug)]
pub struct Netem<T> {
    conditions: Conditions,
    dice: Dice,
    /// By arrival, then by order of sending.
    flying: BTreeMap<(Instant, u64), T>,
    sent: u64,
    tally: Tally,
}

impl<T: Clone> Netem<T> {
    /// An empty network.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self { conditions, dice: Dice::new(seed), flying: BTreeMap::new(), sent: 0, tally: Tally::default() }
    }

    /// From now on it is like that. What flies already arrives when it would have.
    pub fn set(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Sends.
    pub fn send(&mut self, item: T, now: Instant) {
        self.tally.sent += 1;
        if self.dice.chance(self.conditions.loss_per_mille) {
            self.tally.lost += 1;
            return;
        }
        if self.dice.chance(self.conditions.duplicates_per_mille) {
            self.tally.doubled += 1;
            self.fly(item.clone(), now);
        }
        self.fly(item, now);
    }

    /// What has arrived by now, one at a time.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        let first = *self.flying.first_key_value()?.0;
        if first.0 > now {
            return None;
        }
        if self.flying.keys().any(|(_, order)| *order < first.1) {
            self.tally.overtook += 1;
        }
        self.flying.remove(&first)
    }

    /// When the next one arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn fly(&mut self, item: T, now: Instant) {
        let Conditions { delay_min, delay_max, .. } = self.conditions;
        let spread_us = delay_max.saturating_sub(delay_min).as_micros() as u64;
        let delay = delay_min + Duration::from_micros(self.dice.below(spread_us + 1));
        self.sent += 1;
        self.flying.insert((now + delay, self.sent), item);
    }
}

/// Chance from a seed: splitmix64, which is good for tests and for nothing secret.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed throws the same.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound` (at least 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.throw() % bound.max(1)
    }

    /// True in so many of 1000 cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_loses_doubles_and_reorders_about_as_much_as_it_is_told_and_always_the_same() {
        let start = Instant::now();
        let run = |seed| {
            let conditions = Conditions {
                loss_per_mille: 100,
                duplicates_per_mille: 50,
                delay_min: Duration::from_millis(1),
                delay_max: Duration::from_millis(40),
            };
            let mut network = Netem::new(seed, conditions);
            let mut came = Vec::new();
            for n in 0..10_000u32 {
                let now = start + Duration::from_millis(n.into());
                network.send(n, now);
                came.extend(std::iter::from_fn(|| network.receive(now)));
            }
            came.extend(std::iter::from_fn(|| network.receive(start + Duration::from_secs(60))));
            assert_eq!(network.next_arrival(), None);
            (came, network.tally())
        };
        let (came, tally) = run(7);
        assert_eq!(came.len() as u64, tally.sent - tally.lost + tally.doubled);
        assert!((900..1100).contains(&tally.lost) && (380..520).contains(&tally.doubled), "{tally:?}");
        assert!(tally.overtook > 1000, "{tally:?}");
        assert_eq!(run(7), (came.clone(), tally));
        assert_ne!(run(8).0, came);
    }
}
