//! A world on a virtual clock: a log, a store, receivers that misbehave, and the outbox between them.
#![allow(clippy::unwrap_used, dead_code, reason = "tests fail by panicking; not every test uses all of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::{
    Attempt, Backoff, DeadLetter, DeadReason, LaneKey, Limits, Order, Outbox, Outcome, Parcel, ParcelId,
};

pub(crate) const SHARD: ShardId = ShardId(0);

pub(crate) fn lane(name: &str) -> LaneKey {
    LaneKey { tenant: TenantId::new("demo").unwrap(), receiver: name.into() }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How a receiver treats an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well {
        after_ms: u64,
    },
    /// Takes it, but only after the sender has given up waiting.
    TooSlow,
    Fails,
    Dead,
    Refuses,
}

/// What is kept over a crash.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) streams: BTreeMap<LaneKey, BTreeMap<u64, Vec<Parcel>>>,
    pub(crate) last: BTreeMap<LaneKey, u64>,
    pub(crate) dead: BTreeMap<(LaneKey, ParcelId), DeadLetter>,
    pub(crate) cursor: u64,
    pub(crate) spilled: usize,
}

type Moods = dyn FnMut(&LaneKey, Timestamp, &Parcel) -> Mood;

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) outbox: Outbox,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) rng: StdRng,
    /// The log: entry by entry, the parcels that it projects to.
    pub(crate) log: Vec<(Timestamp, Vec<(LaneKey, Parcel)>)>,
    pub(crate) followed: usize,
    /// What each receiver got, in order.
    pub(crate) got: BTreeMap<LaneKey, Vec<(Timestamp, Parcel)>>,
    mood: Box<Moods>,
    flying: Vec<(Timestamp, Attempt, Outcome)>,
    saved_at: Timestamp,
}

/// How long the sender waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

impl World {
    pub(crate) fn new(
        seed: u64,
        limits: Limits,
        mood: impl FnMut(&LaneKey, Timestamp, &Parcel) -> Mood + 'static,
    ) -> Self {
        eprintln!("seed {seed}");
        let now = Timestamp::from_millis(1_700_000_000_000);
        Self {
            now,
            outbox: Outbox::new(limits, Backoff::default(), [seed as u8; 32]),
            store: Store::default(),
            limits,
            rng: StdRng::seed_from_u64(seed),
            log: Vec::new(),
            followed: 0,
            got: BTreeMap::new(),
            mood: Box::new(mood),
            flying: Vec::new(),
            saved_at: now,
        }
    }

    /// Something happens: one entry of the log.
    pub(crate) fn happens(&mut self, parcels: &[(&LaneKey, &str, &str)]) {
        let entry = self.log.len() as u64 + 1;
        let at = self.now;
        let parcels = (0..).zip(parcels).map(|(index, (lane, order, body))| {
            let id = ParcelId { entry, place: 0, index };
            let body = Bytes::copy_from_slice(body.as_bytes());
            ((*lane).clone(), Parcel { id, at, order: (*order).into(), body, to: None })
        });
        let parcels = parcels.collect();
        self.log.push((at, parcels));
        self.work();
    }

    fn follow(&mut self) {
        while let Some((_, parcels)) = self.log.get(self.followed) {
            let mut full = false;
            for (lane, parcel) in parcels {
                full |= self.outbox.handle_parcel(SHARD, lane, parcel.clone(), self.now).is_err();
            }
            if full {
                return;
            }
            self.followed += 1;
            self.outbox.handle_followed(SHARD, self.followed as u64);
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Spill { lane, record } => {
                let last = self.store.last.entry(lane.clone()).or_default();
                *last += 1;
                self.store.spilled += record.len();
                self.store.streams.entry(lane.clone()).or_default().insert(*last, record);
                self.outbox.handle_spilled(&lane, *last);
            }
            Order::Read { lane, after } => {
                let stream = self.store.streams.entry(lane.clone()).or_default();
                let page = stream.range(after + 1..).take(2).map(|(n, r)| (*n, r.clone())).collect();
                self.outbox.handle_read(&lane, page, self.now);
            }
            Order::Trim { lane, before } => {
                self.store.streams.entry(lane).or_default().retain(|n, _| *n >= before);
            }
            Order::Bury { dead, ticket } => {
                let lane = dead.lane.clone();
                self.store.dead.insert((lane.clone(), dead.parcel.id), dead);
                self.outbox.handle_buried(&lane, ticket, self.now);
            }
            Order::Unbury { lane, id } => drop(self.store.dead.remove(&(lane, id))),
        }
    }

    /// Everything that can be done at this moment.
    pub(crate) fn work(&mut self) {
        loop {
            self.outbox.handle_timeout(self.now);
            self.follow();
            let mut idle = true;
            while let Some(order) = self.outbox.poll_order() {
                self.carry_out(order);
                idle = false;
            }
            while let Some(attempt) = self.outbox.poll_attempt(self.now) {
                self.send(attempt);
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    fn send(&mut self, attempt: Attempt) {
        let taken = |world: &mut Self, after| {
            let at = world.now + after;
            world.got.entry(attempt.lane.clone()).or_default().push((at, attempt.parcel.clone()));
        };
        let (after, outcome) = match (self.mood)(&attempt.lane, self.now, &attempt.parcel) {
            Mood::Well { after_ms } => {
                taken(self, ms(after_ms));
                (ms(after_ms), Outcome::Delivered)
            }
            Mood::TooSlow => {
                taken(self, TIMEOUT);
                (TIMEOUT, Outcome::Unreachable)
            }
            Mood::Fails => (ms(5), Outcome::Failed { retry_after: None }),
            Mood::Dead => (ms(1), Outcome::Unreachable),
            Mood::Refuses => (ms(2), Outcome::Refused(DeadReason::Refused)),
        };
        self.flying.push((self.now + after, attempt, outcome));
    }

    /// Lets time pass, stopping wherever something is to be done.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.work();
            let landing = self.flying.iter().map(|(at, ..)| *at).min();
            let due = self.outbox.poll_timeout().map(|(at, _)| at);
            let next = [landing, due].into_iter().flatten().min().map_or(until, |at| at.min(until));
            self.now = self.now.max(next);
            self.land();
            self.save();
            if self.now >= until {
                self.work();
                return;
            }
        }
    }

    fn land(&mut self) {
        let now = self.now;
        let (landed, flying) = std::mem::take(&mut self.flying).into_iter().partition(|(at, ..)| *at <= now);
        self.flying = flying;
        let mut landed: Vec<(Timestamp, Attempt, Outcome)> = landed;
        landed.sort_by_key(|(at, ..)| *at);
        for (_, attempt, outcome) in landed {
            self.outbox.handle_report(&attempt.lane, attempt.ticket, outcome, now);
        }
    }

    /// Once a second the cursor is written.
    fn save(&mut self) {
        if self.now.since(self.saved_at) >= ms(1000) {
            self.saved_at = self.now;
            self.store.cursor = self.outbox.cursor(SHARD).unwrap_or_default().max(self.store.cursor);
        }
    }

    /// The process is killed and another begins: only the store and the log are left.
    pub(crate) fn kill(&mut self) {
        self.flying.clear();
        self.outbox = Outbox::new(self.limits, Backoff::default(), self.rng.random());
        for (lane, stream) in &self.store.streams {
            let last = self.store.last[lane];
            let first = stream.keys().next().copied().unwrap_or(last + 1);
            let id = stream.values().next_back().and_then(|record| record.last()).map(|parcel| parcel.id);
            self.outbox.handle_found(SHARD, lane.clone(), (first, last), id);
        }
        self.followed = self.store.cursor as usize;
        self.work();
    }

    pub(crate) fn owes_nothing(&self) -> bool {
        self.outbox.owed().next().is_none() && self.flying.is_empty()
    }

    /// Nothing lost, nothing out of order, and a duplicate is the same parcel under the same id.
    pub(crate) fn check(&self, lane: &LaneKey) {
        let owed: Vec<&Parcel> = self
            .log
            .iter()
            .flat_map(|(_, parcels)| parcels)
            .filter(|(to, _)| to == lane)
            .map(|(_, p)| p)
            .collect();
        let got: Vec<&Parcel> = self.got.get(lane).into_iter().flatten().map(|(_, parcel)| parcel).collect();
        let mut first: BTreeMap<ParcelId, &Parcel> = BTreeMap::new();
        let mut newest: BTreeMap<&str, ParcelId> = BTreeMap::new();
        for parcel in got {
            if let Some(before) = first.get(&parcel.id) {
                assert_eq!(*before, parcel, "the same id with another content");
                continue;
            }
            first.insert(parcel.id, parcel);
            let newest = newest.entry(&parcel.order).or_insert(parcel.id);
            assert!(*newest <= parcel.id, "{} of {} came after {newest}", parcel.id, parcel.order);
            *newest = parcel.id;
        }
        let dead: BTreeSet<ParcelId> =
            self.store.dead.keys().filter(|(of, _)| of == lane).map(|(_, id)| *id).collect();
        for parcel in owed {
            let there = first.get(&parcel.id);
            assert!(there.is_some() || dead.contains(&parcel.id), "{parcel:?} is lost");
            assert!(there.is_none_or(|there| *there == parcel));
        }
    }
}
