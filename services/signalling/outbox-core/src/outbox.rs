//! All lanes: fairness between them, and the cursor behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use rand::SeedableRng;
use rand::rngs::StdRng;
use sidetone_model::ids::ShardId;
use sidetone_model::time::Timestamp;

use crate::lane::{After, Lane, Ticket};
use crate::parcel::{DeadLetter, LaneKey, Outcome, Parcel, ParcelId};
use crate::policy::{Backoff, Limits};
use crate::spill::Spill;

/// What is owed to all receivers.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    backoff: Backoff,
    rng: StdRng,
    lanes: BTreeMap<LaneKey, (ShardId, Lane)>,
    /// Lanes that owe something.
    busy: BTreeSet<LaneKey>,
    followed: BTreeMap<ShardId, u64>,
    in_flight: usize,
    last_served: Option<LaneKey>,
    orders: VecDeque<Order>,
}

/// One attempt to be made. Its outcome goes to [`Outbox::handle_report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// To whom.
    pub lane: LaneKey,
    /// Names the attempt in the report.
    pub ticket: u64,
    /// What.
    pub parcel: Parcel,
    /// Which one it is for this parcel, from 1 (since the last start).
    pub number: u32,
}

/// Something to be done in the store. What fails is to be done again by the shell, in the order of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Append a record to the lane's stream; then [`Outbox::handle_spilled`].
    Spill {
        /// Whose stream.
        lane: LaneKey,
        /// The record.
        record: Vec<Parcel>,
    },
    /// Read records after `after` from the lane's stream; then [`Outbox::handle_read`].
    Read {
        /// Whose stream.
        lane: LaneKey,
        /// The last record that is not wanted.
        after: u64,
    },
    /// Forget the records before `before`.
    Trim {
        /// Whose stream.
        lane: LaneKey,
        /// The first record that is still wanted.
        before: u64,
    },
    /// Write a dead letter; then [`Outbox::handle_buried`].
    Bury {
        /// What.
        dead: DeadLetter,
        /// Names it in the answer.
        ticket: u64,
    },
    /// Remove a dead letter that has arrived after all.
    Unbury {
        /// Whose.
        lane: LaneKey,
        /// Which.
        id: ParcelId,
    },
}

/// A lane whose newcomers wait for the store. Offer the parcel again when a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lane waits for the store")]
pub struct Full;

/// Why [`Outbox::handle_timeout`] wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// An attempt is due.
    Attempt,
    /// A lane has held the cursor for too long.
    Spill,
}

/// What a lane owes, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Which lane.
    pub lane: LaneKey,
    /// Parcels in memory.
    pub held: usize,
    /// Records in the store that are not in memory.
    pub records_stored: u64,
    /// Failures in a row.
    pub failures: u32,
    /// When what the oldest parcel in memory tells happened.
    pub oldest: Option<Timestamp>,
}

impl Outbox {
    /// Owes nothing. `seed` spreads the waits.
    pub fn new(limits: Limits, backoff: Backoff, seed: [u8; 32]) -> Self {
        Self {
            limits,
            backoff,
            rng: StdRng::from_seed(seed),
            lanes: BTreeMap::new(),
            busy: BTreeSet::new(),
            followed: BTreeMap::new(),
            in_flight: 0,
            last_served: None,
            orders: VecDeque::new(),
        }
    }

    /// A lane's stream was found in the store at the start: its first and last record, and the last parcel in it.
    pub fn handle_found(
        &mut self,
        shard: ShardId,
        lane: LaneKey,
        (first, last): (u64, u64),
        id: Option<ParcelId>,
    ) {
        self.busy.insert(lane.clone());
        self.lanes.insert(lane, (shard, Lane::found(Spill::found(first, last), id)));
    }

    /// A parcel out of the log of `shard`, in the log's order; one that came before is known by its id and changes nothing.
    ///
    /// # Errors
    /// [`Full`]: nothing has changed; offer it again after the next [`Outbox::handle_spilled`].
    pub fn handle_parcel(
        &mut self,
        shard: ShardId,
        lane: &LaneKey,
        parcel: Parcel,
        now: Timestamp,
    ) -> Result<(), Full> {
        let (_, state) = self.lanes.entry(lane.clone()).or_insert_with(|| (shard, Lane::default()));
        if state.has_seen(parcel.id) {
            return Ok(());
        }
        if state.is_full(&self.limits) {
            return Err(Full);
        }
        state.accept(parcel, &self.limits, now);
        self.busy.insert(lane.clone());
        Ok(())
    }

    /// Every parcel of the shard's log up to this entry has been handed in.
    pub fn handle_followed(&mut self, shard: ShardId, entry: u64) {
        let followed = self.followed.entry(shard).or_default();
        *followed = entry.max(*followed);
    }

    /// Tries a dead letter again. It stays a dead letter until it has arrived.
    pub fn handle_replay(&mut self, shard: ShardId, dead: DeadLetter, now: Timestamp) -> bool {
        let lane = dead.lane;
        let (_, state) = self.lanes.entry(lane.clone()).or_insert_with(|| (shard, Lane::default()));
        // Its age counts from now.
        let taken = state.replay(Parcel { at: now, ..dead.parcel }, now);
        self.busy.insert(lane);
        taken
    }

    /// How many dead letters of a lane are being tried again.
    pub fn replaying(&self, lane: &LaneKey) -> usize {
        self.lanes.get(lane).map_or(0, |(_, lane)| lane.replaying())
    }

    /// The entry up to which nothing of the shard needs the log any more: to be stored, and to be followed from after a
    /// start. None before anything was followed.
    pub fn cursor(&self, shard: ShardId) -> Option<u64> {
        let followed = *self.followed.get(&shard)?;
        let lanes = self.busy.iter().filter_map(|key| self.lanes.get(key));
        let held = lanes.filter(|(of, _)| *of == shard).filter_map(|(_, lane)| lane.holds_cursor_at()).min();
        Some(held.map_or(followed, |entry| followed.min(entry.saturating_sub(1))))
    }

    /// Every shard of which something was followed.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.followed.keys().copied()
    }

    /// The next attempt; none when nothing is due or everything that may be under way is.
    pub fn poll_attempt(&mut self, now: Timestamp) -> Option<Attempt> {
        if self.in_flight >= self.limits.in_flight_max {
            return None;
        }
        let sparing = self.sparing();
        let after = self.last_served.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (limits, lanes) = (&self.limits, &mut self.lanes);
        let later = self.busy.range::<LaneKey, _>((after, Bound::Unbounded));
        let turn = later.chain(&self.busy);
        let (key, (ticket, parcel, number)) = turn.take(self.busy.len() * 2).find_map(|key| {
            let (_, lane) = lanes.get_mut(key)?;
            Some((key.clone(), lane.take(limits, sparing, now)?))
        })?;
        self.in_flight += 1;
        self.last_served = Some(key.clone());
        Some(Attempt { lane: key, ticket, parcel, number })
    }

    fn sparing(&self) -> bool {
        self.in_flight >= self.limits.in_flight_max / 2
    }

    /// How an attempt ended.
    pub fn handle_report(&mut self, lane: &LaneKey, ticket: u64, outcome: Outcome, now: Timestamp) {
        let Some((_, state)) = self.lanes.get_mut(lane) else { return };
        self.in_flight = self.in_flight.saturating_sub(1);
        match state.report(ticket, outcome, (&self.limits, &self.backoff), &mut self.rng, now) {
            After::Nothing => {}
            After::Unbury(id) => self.orders.push_back(Order::Unbury { lane: lane.clone(), id }),
            After::Bury(tickets) => {
                for (ticket, reason) in tickets {
                    let Some((parcel, attempts)) = state.to_bury(ticket) else { continue };
                    let dead = DeadLetter { lane: lane.clone(), parcel, reason, attempts, at: now };
                    self.orders.push_back(Order::Bury { dead, ticket });
                }
            }
        }
        self.rest(lane);
    }

    /// The next thing to be done in the store.
    pub fn poll_order(&mut self) -> Option<Order> {
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        let limits = &self.limits;
        let lanes = &mut self.lanes;
        let found = self.busy.iter().find_map(|key| order_of(key, &mut lanes.get_mut(key)?.1, limits));
        if let Some(Order::Trim { lane, .. }) = &found {
            let lane = lane.clone();
            self.rest(&lane);
        }
        found
    }

    /// A record of the lane's stream is durable, at `sequence`.
    pub fn handle_spilled(&mut self, lane: &LaneKey, sequence: u64) {
        self.with(lane, |lane| lane.spilled(sequence));
    }

    /// What was read from the lane's stream. An empty answer says that the stream has no more.
    pub fn handle_read(&mut self, lane: &LaneKey, records: Vec<(u64, Vec<Parcel>)>, now: Timestamp) {
        self.with(lane, |lane| lane.read(records, now));
    }

    /// The lane's stream could not be read; it will be asked for again.
    pub fn handle_read_failed(&mut self, lane: &LaneKey) {
        self.with(lane, |lane| {
            if let Some(spill) = &mut lane.spill {
                spill.read_failed();
            }
        });
    }

    /// A dead letter is durable.
    pub fn handle_buried(&mut self, lane: &LaneKey, ticket: Ticket, now: Timestamp) {
        self.with(lane, |lane| lane.buried(ticket, now));
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for key in &self.busy {
            if let Some((_, lane)) = self.lanes.get_mut(key)
                && lane.spill_at(&self.limits).is_some_and(|at| at <= now)
            {
                lane.enter_spill();
            }
        }
    }

    /// When something is to be done next, and what.
    pub fn poll_timeout(&self) -> Option<(Timestamp, Why)> {
        let sparing = self.sparing();
        let full = self.in_flight >= self.limits.in_flight_max;
        let lanes = || self.busy.iter().filter_map(|key| self.lanes.get(key)).map(|(_, lane)| lane);
        let attempts = lanes().filter(|_| !full).filter_map(|lane| lane.next_due(&self.limits, sparing));
        let spills = lanes().filter_map(|lane| lane.spill_at(&self.limits));
        let attempts = attempts.map(|at| (at, Why::Attempt));
        attempts.chain(spills.map(|at| (at, Why::Spill))).min_by_key(|(at, _)| *at)
    }

    /// What each lane that owes something owes.
    pub fn owed(&self) -> impl Iterator<Item = Owed> {
        self.busy.iter().filter_map(|key| {
            let (_, lane) = self.lanes.get(key)?;
            Some(Owed {
                lane: key.clone(),
                held: lane.held(),
                records_stored: lane.spill.as_ref().map_or(0, Spill::unread),
                failures: lane.failures(),
                oldest: lane.oldest(),
            })
        })
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn with(&mut self, lane: &LaneKey, change: impl FnOnce(&mut Lane)) {
        if let Some((_, state)) = self.lanes.get_mut(lane) {
            change(state);
        }
        self.rest(lane);
    }

    fn rest(&mut self, lane: &LaneKey) {
        if self.lanes.get(lane).is_some_and(|(_, state)| state.is_idle()) {
            self.busy.remove(lane);
        }
    }
}

/// What a lane wants of the store.
fn order_of(key: &LaneKey, lane: &mut Lane, limits: &Limits) -> Option<Order> {
    let room = lane.has_room(limits);
    let spill = lane.spill.as_mut()?;
    if let Some(record) = spill.next_record(limits) {
        return Some(Order::Spill { lane: key.clone(), record });
    }
    if let Some(before) = spill.next_trim() {
        lane.tidy();
        return Some(Order::Trim { lane: key.clone(), before });
    }
    if room && let Some(after) = spill.next_read() {
        return Some(Order::Read { lane: key.clone(), after });
    }
    lane.tidy();
    None
}
