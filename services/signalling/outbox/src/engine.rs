//! The loop around the core: what is due is sent, what must last is written.
//!
//! The core is behind a lock that is never held across an await. Every attempt and every order of the store is a task of
//! its own; the core never asks for two at a time whose order would matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sidetone_directory::Directory;
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::{
    Attempt, DeadLetter, DeadReason, LaneKey, Order, Outbox as Core, Outcome, Owed, Parcel, ParcelId,
};
use sidetone_runtime::Lifecycle;
use sidetone_store::{Append, Clock, Expect, Sequence, Store, StoreError};
use sidetone_telemetry::Telemetry;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::ledger;
use crate::mention::Mentions;
use crate::progress::{Place, Progress};
use crate::trouble::{Noted, Troubles};
use crate::webhook::{Sent, Webhooks};

/// What the outbox needs.
pub struct Deps {
    /// Where it keeps what must last.
    pub store: Arc<dyn Store>,
    /// Who the receivers are.
    pub directory: Directory,
    /// Instruments.
    pub telemetry: Arc<Telemetry>,
    /// The process.
    pub lifecycle: Lifecycle,
}

/// The outbox, running. Clones are the same one.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: Config,
    pub(crate) deps: Deps,
    pub(crate) clock: Clock,
    pub(crate) webhooks: Webhooks,
    troubles: Troubles,
    pub(crate) mentions: Mentions,
    state: Mutex<State>,
    /// Something may be due.
    changed: Notify,
    /// A full lane may have room.
    room: Notify,
    tasks: TaskTracker,
}

struct State {
    core: Core,
    /// The end of each spilled lane's stream.
    ends: BTreeMap<LaneKey, Sequence>,
    /// Cursors as they are in the store.
    saved: BTreeMap<ShardId, u64>,
    shards: BTreeMap<LaneKey, ShardId>,
}

impl Outbox {
    /// Who there is.
    pub(crate) fn directory(&self) -> &Directory {
        &self.inner.deps.directory
    }

    /// Takes up what an earlier life left, and begins to deliver.
    ///
    /// # Errors
    /// When the store cannot be read or the HTTP client cannot be made.
    pub async fn start(config: Config, deps: Deps) -> anyhow::Result<Self> {
        let mut seed = [0; 32];
        rand::fill(&mut seed);
        let core = Core::new(config.limits(), config.backoff(), seed);
        let webhooks = Webhooks::new(&config, deps.directory.clone())?;
        let state = State { core, ends: BTreeMap::new(), saved: BTreeMap::new(), shards: BTreeMap::new() };
        let inner = Inner {
            config,
            deps,
            clock: Clock::system(),
            webhooks,
            troubles: Troubles::default(),
            mentions: Mentions::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
            room: Notify::new(),
            tasks: TaskTracker::new(),
        };
        let outbox = Self { inner: Arc::new(inner) };
        outbox.inner.recover().await?;
        tokio::spawn(Arc::clone(&outbox.inner).run());
        Ok(outbox)
    }

    /// Resolves after a stop, when the cursors are written.
    pub async fn finished(&self) {
        self.inner.deps.lifecycle.stopping().cancelled().await;
        self.inner.save_cursors().await;
    }

    /// The entry from after which the log of a shard is to be projected; none when nothing was handed in yet.
    pub async fn stored_cursor(&self, shard: ShardId) -> Result<Option<u64>, StoreError> {
        let Some(entry) = self.inner.deps.store.get(&ledger::cursor(shard)).await? else { return Ok(None) };
        let text = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
        text.map(Some).ok_or_else(|| StoreError::Corrupt("a cursor of the outbox is no number".to_owned()))
    }

    /// Whether a receiver has an address for a message; without one it is owed nothing. `has_address` when the message has one
    /// of its own, `knocks` when it tells of a caller who waits: for that an application may have a separate address.
    pub async fn wants(&self, lane: &LaneKey, has_address: bool, knocks: bool) -> anyhow::Result<bool> {
        let application = self.inner.deps.directory.application(&lane.receiver).await?;
        Ok(application.is_some_and(|application| {
            let is_its = application.tenant == lane.tenant.as_str();
            let answers = knocks && !application.answer_url.is_empty();
            is_its && (has_address || answers || !application.event_url.is_empty())
        }))
    }

    /// Owes a parcel; waits while the lane waits for the store.
    pub async fn accept(&self, shard: ShardId, lane: LaneKey, parcel: Parcel) {
        loop {
            let room = self.inner.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let mut state = self.inner.state();
                let now = self.inner.clock.now();
                state.shards.insert(lane.clone(), shard);
                if state.core.handle_parcel(shard, &lane, parcel.clone(), now).is_ok() {
                    break;
                }
            }
            self.inner.deps.telemetry.outbox.waits.inc();
            self.inner.changed.notify_one();
            room.await;
        }
        self.inner.changed.notify_one();
    }

    /// Every parcel of the shard's log up to this entry has been handed in.
    pub fn followed(&self, shard: ShardId, entry: u64) {
        self.inner.state().core.handle_followed(shard, entry);
    }

    /// Tells a receiver something once, soon, or not at all: nothing of it is kept.
    pub fn mention(&self, lane: LaneKey, at: Timestamp, body: bytes::Bytes) {
        if self.inner.mention(&lane, at, body) {
            let inner = Arc::clone(&self.inner);
            self.inner.spawn(async move { inner.tell_mentions(lane).await });
        }
    }

    /// Why the last attempt at a receiver failed; empty where it did not.
    pub(crate) fn trouble_of(&self, lane: &LaneKey) -> String {
        self.inner.troubles.of(lane)
    }

    pub(crate) fn owed(&self, tenant: &TenantId) -> Vec<Owed> {
        self.inner.state().core.owed().filter(|owed| owed.lane.tenant == *tenant).collect()
    }

    pub(crate) async fn dead_letters(
        &self,
        tenant: &TenantId,
        receiver: &str,
        after: Option<&str>,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut entries = self.inner.deps.store.list(&ledger::dead_letters(tenant, receiver)).await?;
        // In the order of their keys.
        let behind = after.map_or(0, |after| entries.partition_point(|entry| entry.key.as_str() <= after));
        entries.drain(..behind);
        Ok(entries.into_iter().filter_map(|entry| ledger::decode_dead(entry.value)).collect())
    }

    /// Tries dead letters again, of each receiver so many at a time: how many of them, and whether others were not come to. They stay
    /// until they have arrived. One receiver of which as many as may are being tried holds up no other.
    pub(crate) fn replay(&self, dead: Vec<DeadLetter>, progress: &mut Progress) -> (usize, bool) {
        let now = self.inner.clock.now();
        let mut state = self.inner.state();
        let (mut replayed, mut broken_off) = (0, false);
        let mut full: BTreeSet<Box<str>> = BTreeSet::new();
        let mut trying: BTreeMap<LaneKey, (usize, Place)> = BTreeMap::new();
        for letter in dead.into_iter().filter(|letter| progress.is_open(letter)).collect::<Vec<_>>() {
            if full.contains(&letter.lane.receiver) {
                progress.passed(&letter);
                continue;
            }
            let before = trying.get(&letter.lane);
            let count = before.map_or_else(|| state.core.replaying(&letter.lane), |(count, _)| *count);
            if count >= REPLAY_MAX {
                if !progress.put_off(&letter, before.map(|(_, last)| last.clone())) {
                    broken_off = true;
                    break;
                }
                full.insert(letter.lane.receiver.clone());
                progress.passed(&letter);
                continue;
            }
            progress.tried(&letter);
            let (lane, last) = (letter.lane.clone(), Place::of(&letter));
            let shard = state.shards.get(&lane).copied().unwrap_or(ShardId(0));
            let taken = usize::from(state.core.handle_replay(shard, letter, now));
            trying.insert(lane, (count + taken, last));
            replayed += taken;
        }
        drop(state);
        for receiver in progress.waiting().into_iter().filter(|it| !broken_off && !full.contains(it)) {
            progress.finish(&receiver);
        }
        self.inner.changed.notify_one();
        (replayed, broken_off)
    }

    pub(crate) async fn discard(&self, lane: &LaneKey, id: ParcelId) -> Result<(), StoreError> {
        self.inner.deps.store.delete(&ledger::dead_letter(lane, id), Expect::Any).await
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn recover(&self) -> Result<(), StoreError> {
        for entry in self.deps.store.list(ledger::LANES).await? {
            let shard = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
            let (Some(lane), Some(shard)) = (ledger::lane_of(&entry.key), shard.map(ShardId)) else {
                continue;
            };
            let stream = ledger::stream(&lane);
            let (first, last) = self.deps.store.bounds(&stream).await?;
            let newest = if first <= last && last.0 > 0 {
                self.deps.store.read(&stream, last, 1).await?.into_iter().next()
            } else {
                None
            };
            let parcels = newest.and_then(|record| ledger::decode_record(record.record));
            let id = parcels.and_then(|parcels| parcels.last().map(|parcel| parcel.id));
            let mut state = self.state();
            state.ends.insert(lane.clone(), last);
            state.shards.insert(lane.clone(), shard);
            let bounds = (first.0.min(last.0 + 1), last.0);
            state.core.handle_found(shard, lane, bounds, id);
        }
        Ok(())
    }

    async fn run(self: Arc<Self>) {
        let stopping = self.deps.lifecycle.stopping();
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let pause = self.step();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = save.tick() => self.save_cursors().await,
            }
        }
    }

    /// One round; tells when the next one is due.
    fn step(self: &Arc<Self>) -> Duration {
        let now = self.clock.now();
        let mut state = self.state();
        state.core.handle_timeout(now);
        let orders: Vec<Order> = std::iter::from_fn(|| state.core.poll_order()).collect();
        let attempts: Vec<Attempt> = std::iter::from_fn(|| state.core.poll_attempt(now)).collect();
        let next = state.core.poll_timeout();
        let held: usize = state.core.owed().map(|owed| owed.held).sum();
        drop(state);
        self.deps.telemetry.outbox.held.set(held as i64);
        for order in orders {
            let this = Arc::clone(self);
            self.spawn(async move { this.carry_out(order).await });
        }
        for attempt in attempts {
            let this = Arc::clone(self);
            self.spawn(async move { this.attempt(attempt).await });
        }
        next.map_or(IDLE_MAX, |(at, _)| at.since(now).clamp(Duration::from_millis(1), IDLE_MAX))
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.deps.lifecycle.stopping();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    async fn attempt(&self, attempt: Attempt) {
        let now = self.clock.now();
        let Sent { outcome, why } = self.webhooks.send(&attempt, now).await;
        self.count(&attempt, outcome);
        self.tell(&attempt.lane, outcome, why);
        self.state().core.handle_report(&attempt.lane, attempt.ticket, outcome, self.clock.now());
        self.changed.notify_one();
    }

    /// Whoever set the receiver up sees why it takes nothing. What is refused for good is told as a dead letter.
    fn tell(&self, lane: &LaneKey, outcome: Outcome, why: Option<Box<str>>) {
        let (tenant, receiver) = (&lane.tenant, &lane.receiver);
        match (outcome, why) {
            (Outcome::Failed { .. } | Outcome::Unreachable, Some(why)) => {
                match self.troubles.note(lane, why.clone(), Instant::now()) {
                    Noted::Say(attempts) => tracing::warn!(
                        %tenant, %receiver, %why, attempts, see = "sidetone outbox owed", "webhooks fail"
                    ),
                    Noted::Said => {}
                    Noted::Untold => self.deps.telemetry.outbox.untold.inc(),
                }
            }
            _ if self.troubles.over(lane) => tracing::info!(%tenant, %receiver, "webhooks are taken again"),
            _ => {}
        }
    }

    fn count(&self, attempt: &Attempt, outcome: Outcome) {
        let instruments = &self.deps.telemetry.outbox;
        let result = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Failed { .. } => "failed",
            Outcome::Unreachable => "unreachable",
            Outcome::Refused(reason) => reason.name(),
        };
        instruments.attempts.with_label_values(&[result]).inc();
        if outcome == Outcome::Delivered {
            instruments.delay.observe(self.clock.now().since(attempt.parcel.at).as_secs_f64());
        }
    }

    /// Does what the core wants of the store, until it is done.
    async fn carry_out(&self, order: Order) {
        let mut wait = RETRY_FIRST;
        loop {
            let done = match &order {
                Order::Spill { lane, record } => self.spill(lane, record).await,
                Order::Read { lane, after } => self.read(lane, *after).await,
                Order::Trim { lane, before } => {
                    self.deps.store.trim(&ledger::stream(lane), Sequence(*before)).await
                }
                Order::Bury { dead, ticket } => self.bury(dead, *ticket).await,
                Order::Unbury { lane, id } => {
                    self.deps.store.delete(&ledger::dead_letter(lane, *id), Expect::Any).await
                }
            };
            match done {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "the outbox could not be written; trying again"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
        self.changed.notify_one();
    }

    async fn spill(&self, lane: &LaneKey, record: &[Parcel]) -> Result<(), StoreError> {
        let stream = ledger::stream(lane);
        let end = self.state().ends.get(lane).copied();
        let shard = self.state().shards.get(lane).copied().unwrap_or(ShardId(0));
        let expected_last = match end {
            Some(end) => end,
            None => {
                let value = shard.to_string().into();
                self.deps.store.put(&ledger::lane(lane), value, None, Expect::Any).await?;
                self.deps.store.bounds(&stream).await?.1
            }
        };
        let first = record.first().map(|parcel| parcel.id).unwrap_or_default();
        let append = Append {
            stream,
            expected_last,
            idempotency_key: format!("{first}+{}", record.len()),
            record: ledger::encode_record(record),
        };
        let appended = self.deps.store.append(append).await;
        if matches!(appended, Err(StoreError::SequenceMismatch { .. })) {
            // Not known after an answer that was lost: to be asked for again.
            self.state().ends.remove(lane);
        }
        let sequence = appended?;
        let mut state = self.state();
        state.ends.insert(lane.clone(), sequence);
        state.core.handle_spilled(lane, sequence.0);
        drop(state);
        self.deps.telemetry.outbox.spilled.inc_by(record.len() as u64);
        self.room.notify_waiters();
        Ok(())
    }

    async fn read(&self, lane: &LaneKey, after: u64) -> Result<(), StoreError> {
        let stream = ledger::stream(lane);
        let mut from = Sequence(after + 1);
        let (first, _) = self.deps.store.bounds(&stream).await?;
        from = from.max(first);
        let records = self.deps.store.read(&stream, from, READ_MAX).await?;
        let mut page = Vec::new();
        for record in records {
            let sequence = record.sequence.0;
            match ledger::decode_record(record.record) {
                Some(parcels) => page.push((sequence, parcels)),
                // One unreadable record must not keep all others from being delivered.
                None => tracing::error!(sequence, "a record of the outbox cannot be read and is left out"),
            }
        }
        self.state().core.handle_read(lane, page, self.clock.now());
        Ok(())
    }

    async fn bury(&self, dead: &DeadLetter, ticket: u64) -> Result<(), StoreError> {
        let key = ledger::dead_letter(&dead.lane, dead.parcel.id);
        let until = self.clock.now() + Duration::from_secs(self.config.dead_kept_s);
        self.deps.store.put(&key, ledger::encode_dead(dead), Some(until), Expect::Any).await?;
        self.state().core.handle_buried(&dead.lane, ticket, self.clock.now());
        self.deps.telemetry.outbox.dead.with_label_values(&[dead.reason.name()]).inc();
        let see = match dead.reason {
            DeadReason::Forbidden => "outbox.allowed_networks, outbox.allow_http",
            _ => "sidetone outbox dead",
        };
        tracing::warn!(
            tenant = %dead.lane.tenant,
            receiver = %dead.lane.receiver,
            id = %dead.parcel.id,
            reason = dead.reason.name(),
            see,
            "a webhook is a dead letter"
        );
        Ok(())
    }

    async fn save_cursors(&self) {
        let changed: Vec<(ShardId, u64)> = {
            let state = self.state();
            let shards = state.core.shards();
            let cursors = shards.filter_map(|shard| Some((shard, state.core.cursor(shard)?)));
            cursors
                .filter(|(shard, entry)| state.saved.get(shard).is_none_or(|saved| saved < entry))
                .collect()
        };
        for (shard, entry) in changed {
            let value = entry.to_string().into();
            match self.deps.store.put(&ledger::cursor(shard), value, None, Expect::Any).await {
                Ok(_) => drop(self.state().saved.insert(shard, entry)),
                Err(error) => tracing::warn!(%error, "a cursor of the outbox could not be written"),
            }
        }
    }
}

/// How much is delivered twice after a crash, at most; the key tells the receiver.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const IDLE_MAX: Duration = Duration::from_secs(3600);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Records in one read: the core holds room for at least one.
const READ_MAX: usize = 4;
/// Dead letters of one receiver that are tried again at a time: as many as are held in memory of one anyway.
const REPLAY_MAX: usize = 1000;
