//! What one receiver is owed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::rngs::StdRng;
use sidetone_model::time::Timestamp;

use crate::parcel::{DeadReason, Outcome, Parcel, ParcelId};
use crate::policy::{Backoff, Limits};
use crate::spill::Spill;

/// Names a parcel in memory, in the order in which they came.
pub(crate) type Ticket = u64;

#[derive(Debug, Default)]
pub(crate) struct Lane {
    held: BTreeMap<Ticket, Held>,
    /// Parcels of one order; only the first may be sent.
    orders: BTreeMap<Box<str>, VecDeque<Ticket>>,
    /// First ones that are not under way, by when they may be tried.
    due: BTreeSet<(Timestamp, Ticket)>,
    in_flight: usize,
    /// In a row, over all parcels.
    failures: u32,
    hold_until: Timestamp,
    /// The last parcel that came from the log.
    last: Option<ParcelId>,
    /// What only the log holds, since when: it holds the shard's cursor.
    log_only: BTreeMap<ParcelId, Timestamp>,
    pub(crate) spill: Option<Spill>,
    next_ticket: Ticket,
}

#[derive(Debug)]
struct Held {
    parcel: Parcel,
    backing: Backing,
    attempts: u32,
    /// Those answered with a failure while the receiver took others.
    counted: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backing {
    /// The log.
    Log,
    /// A record of the lane's stream.
    Spilled(u64),
    /// A dead letter that is being replayed.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind another of its order.
    Behind,
    /// In `due`.
    Due(Timestamp),
    InFlight,
    /// To be written as a dead letter.
    Burying,
}

/// What followed from a report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing that must be written.
    Nothing,
    /// These are to be written as dead letters.
    Bury(Vec<(Ticket, DeadReason)>),
    /// A replayed dead letter arrived: its record can go.
    Unbury(ParcelId),
}

impl Lane {
    /// Found in the store after a start.
    pub(crate) fn found(spill: Spill, last: Option<ParcelId>) -> Self {
        Self { spill: Some(spill), last, ..Self::default() }
    }

    pub(crate) fn has_seen(&self, id: ParcelId) -> bool {
        self.last.is_some_and(|last| id <= last)
    }

    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.waiting() >= limits.held_per_lane_max)
    }

    /// A parcel out of the log.
    pub(crate) fn accept(&mut self, parcel: Parcel, limits: &Limits, now: Timestamp) {
        self.last = Some(parcel.id);
        self.log_only.insert(parcel.id, now);
        match &mut self.spill {
            Some(spill) => spill.push(parcel),
            None => {
                self.hold(parcel, Backing::Log, now);
                if self.held.len() > limits.held_per_lane_max {
                    self.enter_spill();
                }
            }
        }
    }

    /// A dead letter to be tried again; false when it is being tried already.
    pub(crate) fn replay(&mut self, parcel: Parcel, now: Timestamp) -> bool {
        if self.held.values().any(|held| held.parcel.id == parcel.id) {
            return false;
        }
        self.hold(parcel, Backing::Dead, now);
        true
    }

    /// How many dead letters are being tried again.
    pub(crate) fn replaying(&self) -> usize {
        self.held.values().filter(|held| held.backing == Backing::Dead).count()
    }

    fn hold(&mut self, parcel: Parcel, backing: Backing, now: Timestamp) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let order = self.orders.entry(parcel.order.clone()).or_default();
        order.push_back(ticket);
        let first = order.len() == 1;
        let state = if first { State::Due(now) } else { State::Behind };
        self.held.insert(ticket, Held { parcel, backing, attempts: 0, counted: 0, state });
        if first {
            self.due.insert((now, ticket));
        }
    }

    pub(crate) fn enter_spill(&mut self) {
        let owed = self.held.values().filter(|held| held.backing == Backing::Log);
        self.spill = Some(Spill::enter(owed.map(|held| held.parcel.clone())));
    }

    /// Whether something has held the cursor for too long.
    pub(crate) fn spill_at(&self, limits: &Limits) -> Option<Timestamp> {
        if self.spill.is_some() {
            return None;
        }
        self.log_only.first_key_value().map(|(_, since)| *since + limits.spill_after)
    }

    /// The entry that only the log holds; none when nothing is.
    pub(crate) fn holds_cursor_at(&self) -> Option<u64> {
        self.log_only.first_key_value().map(|(id, _)| id.entry)
    }

    /// A record of the stream was written.
    pub(crate) fn spilled(&mut self, sequence: u64) {
        let Some(spill) = &mut self.spill else { return };
        let Some(written) = spill.written(sequence) else { return };
        for id in &written.ids {
            self.log_only.remove(id);
        }
        if written.in_memory {
            let there = self.held.values_mut().filter(|held| held.backing == Backing::Log);
            for held in there.filter(|held| written.ids.contains(&held.parcel.id)) {
                held.backing = Backing::Spilled(sequence);
                spill.opened(sequence);
            }
        }
    }

    /// Records of the stream were read.
    pub(crate) fn read(&mut self, records: Vec<(u64, Vec<Parcel>)>, now: Timestamp) {
        let Some(spill) = &mut self.spill else { return };
        let fresh = spill.read(records);
        for (sequence, parcels) in fresh {
            for parcel in parcels {
                if let Some(spill) = &mut self.spill {
                    spill.opened(sequence);
                }
                self.hold(parcel, Backing::Spilled(sequence), now);
            }
        }
    }

    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.held.len() + limits.spill_record_max <= limits.held_per_lane_max.max(limits.spill_record_max)
    }

    /// Leaves the store when nothing is owed out of it. Called when its trims have been asked for.
    pub(crate) fn tidy(&mut self) {
        if self.spill.as_ref().is_some_and(Spill::is_empty) {
            self.spill = None;
        }
    }

    /// Whether it could have another attempt, were it due.
    fn slots(&self, limits: &Limits, sparing: bool) -> bool {
        let one = sparing || self.failures >= limits.failures_max;
        self.in_flight < if one { 1 } else { limits.in_flight_per_lane_max }
    }

    /// When it wants an attempt; none while only an attempt's end can change that.
    pub(crate) fn next_due(&self, limits: &Limits, sparing: bool) -> Option<Timestamp> {
        let (at, _) = self.due.first()?;
        self.slots(limits, sparing).then_some((*at).max(self.hold_until))
    }

    /// Takes the next attempt.
    pub(crate) fn take(
        &mut self,
        limits: &Limits,
        sparing: bool,
        now: Timestamp,
    ) -> Option<(Ticket, Parcel, u32)> {
        if self.next_due(limits, sparing)? > now {
            return None;
        }
        let (_, ticket) = self.due.pop_first()?;
        let held = self.held.get_mut(&ticket)?;
        held.state = State::InFlight;
        held.attempts += 1;
        self.in_flight += 1;
        Some((ticket, held.parcel.clone(), held.attempts))
    }

    /// How an attempt ended.
    pub(crate) fn report(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        policy: (&Limits, &Backoff),
        rng: &mut StdRng,
        now: Timestamp,
    ) -> After {
        let Some(held) = self.held.get(&ticket).filter(|held| held.state == State::InFlight) else {
            return After::Nothing;
        };
        self.in_flight -= 1;
        match outcome {
            Outcome::Delivered => {
                let replayed = (held.backing == Backing::Dead).then_some(held.parcel.id);
                self.answers(now);
                self.settle(ticket, now);
                replayed.map_or(After::Nothing, After::Unbury)
            }
            Outcome::Refused(reason) => {
                if reason == DeadReason::Refused {
                    self.answers(now);
                }
                After::Bury(self.bury(ticket, reason).into_iter().collect())
            }
            Outcome::Failed { retry_after } => self.failed(ticket, true, retry_after, policy, rng, now),
            Outcome::Unreachable => self.failed(ticket, false, None, policy, rng, now),
        }
    }

    /// The receiver is there again: whoever waited needs not wait longer.
    fn answers(&mut self, now: Timestamp) {
        let was_held = self.hold_until > now || self.failures > 1;
        self.failures = 0;
        self.hold_until = Timestamp::default();
        if was_held {
            for (_, ticket) in std::mem::take(&mut self.due) {
                self.set_due(ticket, now);
            }
        }
    }

    fn failed(
        &mut self,
        ticket: Ticket,
        answered: bool,
        asked: Option<std::time::Duration>,
        (limits, backoff): (&Limits, &Backoff),
        rng: &mut StdRng,
        now: Timestamp,
    ) -> After {
        let takes_others = self.failures < limits.failures_max;
        self.failures = self.failures.saturating_add(1);
        let Some(held) = self.held.get_mut(&ticket) else { return After::Nothing };
        held.counted += u32::from(answered && takes_others);
        let wait = backoff.wait(held.attempts, asked, rng);
        let dead = if held.counted >= limits.attempts_max {
            Some(DeadReason::Attempts)
        } else {
            (now.since(held.parcel.at) > limits.age_max).then_some(DeadReason::Age)
        };
        let mut buried = Vec::new();
        match dead {
            Some(reason) => buried.extend(self.bury(ticket, reason)),
            None => self.set_due(ticket, now + wait),
        }
        if self.failures >= limits.failures_max {
            let hold = Backoff { max: HOLD_MAX, ..*backoff };
            self.hold_until = now + hold.wait(self.failures - limits.failures_max + 1, None, rng);
            buried.extend(self.expire(limits, now));
        }
        if buried.is_empty() { After::Nothing } else { After::Bury(buried) }
    }

    /// What waited behind a receiver that is away is not tried one by one when its time is over.
    fn expire(&mut self, limits: &Limits, now: Timestamp) -> Vec<(Ticket, DeadReason)> {
        let old =
            |held: &Held| matches!(held.state, State::Due(_)) && now.since(held.parcel.at) > limits.age_max;
        let old: Vec<Ticket> =
            self.held.iter().filter(|(_, held)| old(held)).map(|(ticket, _)| *ticket).collect();
        old.into_iter().filter_map(|ticket| self.bury(ticket, DeadReason::Age)).collect()
    }

    fn set_due(&mut self, ticket: Ticket, at: Timestamp) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.state = State::Due(at);
            self.due.insert((at, ticket));
        }
    }

    fn bury(&mut self, ticket: Ticket, reason: DeadReason) -> Option<(Ticket, DeadReason)> {
        let held = self.held.get_mut(&ticket)?;
        if let State::Due(at) = held.state {
            self.due.remove(&(at, ticket));
        }
        held.state = State::Burying;
        Some((ticket, reason))
    }

    /// What a dead letter of it says.
    pub(crate) fn to_bury(&self, ticket: Ticket) -> Option<(Parcel, u32)> {
        self.held.get(&ticket).map(|held| (held.parcel.clone(), held.attempts))
    }

    /// A dead letter is durable.
    pub(crate) fn buried(&mut self, ticket: Ticket, now: Timestamp) {
        if self.held.get(&ticket).is_some_and(|held| held.state == State::Burying) {
            self.settle(ticket, now);
        }
    }

    fn settle(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(held) = self.held.remove(&ticket) else { return };
        match held.backing {
            Backing::Log => drop(self.log_only.remove(&held.parcel.id)),
            Backing::Spilled(sequence) => {
                if let Some(spill) = &mut self.spill {
                    spill.settled(sequence);
                }
            }
            Backing::Dead => {}
        }
        if let Some(order) = self.orders.get_mut(&held.parcel.order) {
            order.pop_front();
            match order.front().copied() {
                Some(next) => self.set_due(next, now),
                None => drop(self.orders.remove(&held.parcel.order)),
            }
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.spill.is_none()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.held.values().map(|held| held.parcel.at).min()
    }
}

/// How long a receiver that is away is left alone at most: it shall be noticed soon when it is back.
const HOLD_MAX: std::time::Duration = std::time::Duration::from_secs(30);
