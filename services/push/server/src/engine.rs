//! The shell around the state machine: one loop that sends what is due, and the ledger behind every change.
//!
//! The state machine is behind a lock that is never held across an await. Writes of one entry are serialised by the
//! entry's slot, which also knows its revision in the store; each write takes the newest state of the entry, so that
//! an older one can never replace it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sidetone_model::time::Timestamp;
use sidetone_push_core::{DeadReason, Ended, Key, Kind, Order, Outcome, Report, State, WakeUp, WakeUps};
use sidetone_runtime::Lifecycle;
use sidetone_store::{Clock, Entry, Expect, Revision, Store, StoreError};
use sidetone_telemetry::Telemetry;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::ledger;
use crate::providers::{Notice, Providers};
use crate::registry::Registry;

/// What [`Engine`] is made of.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Registry,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) clock: Clock,
    pub(crate) providers: Providers,
    pub(crate) state: Mutex<Shared>,
    pub(crate) changed: Notify,
    pub(crate) tasks: TaskTracker,
}

/// What is behind the lock.
pub(crate) struct Shared {
    pub(crate) wake_ups: WakeUps,
    slots: BTreeMap<Key, Slot>,
    /// Entries whose last state could not be written; tried again every second.
    unsaved: BTreeSet<Key>,
}

/// The revision of an entry in the store; none before it was first written.
type Slot = Arc<tokio::sync::Mutex<Option<Revision>>>;

impl Shared {
    pub(crate) fn new(wake_ups: WakeUps) -> Self {
        Self { wake_ups, slots: BTreeMap::new(), unsaved: BTreeSet::new() }
    }

    /// Takes over an entry from the store.
    pub(crate) fn adopt(&mut self, wake_up: WakeUp, revision: Revision) {
        let key = wake_up.request.key.clone();
        if self.wake_ups.get(&key).is_none() {
            self.slots.insert(key, Arc::new(tokio::sync::Mutex::new(Some(revision))));
            self.wake_ups.handle_loaded(wake_up);
        }
    }

    /// Forgets an entry that is finished and stored.
    pub(crate) fn forget(&mut self, key: &Key) {
        if self.wake_ups.forget(key) {
            self.slots.remove(key);
            self.unsaved.remove(key);
        }
    }
}

impl Engine {
    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one entry of the ledger, as far as this release understands it.
    pub(crate) fn read(entry: &Entry) -> Result<WakeUp, StoreError> {
        ledger::decode(&entry.value)
            .map_err(|error| StoreError::Corrupt(format!("an entry of the push ledger: {error}")))
    }

    /// Takes up everything that was unfinished when the last process ended.
    pub(crate) async fn recover(&self) -> Result<(), StoreError> {
        let entries = self.store.list(ledger::LEDGER).await?;
        let mut recovered = 0_usize;
        for entry in entries {
            match Self::read(&entry) {
                Ok(wake_up) if wake_up.is_settled() => {}
                Ok(wake_up) => {
                    recovered += 1;
                    self.shared().adopt(wake_up, entry.revision);
                }
                // One unreadable entry must not keep all others from being delivered.
                Err(error) => tracing::error!(%error, "an entry of the push ledger is left alone"),
            }
        }
        tracing::info!(recovered, "push ledger read");
        Ok(())
    }

    /// Makes sure that an entry of the ledger is at hand; whether there is one.
    pub(crate) async fn load(&self, key: &Key) -> Result<bool, StoreError> {
        if self.shared().wake_ups.get(key).is_some() {
            return Ok(true);
        }
        let Some(entry) = self.store.get(&ledger::place_of(key)).await? else { return Ok(false) };
        let wake_up = Self::read(&entry)?;
        self.shared().adopt(wake_up, entry.revision);
        Ok(true)
    }

    /// Writes the newest state of an entry into the ledger.
    pub(crate) async fn persist(&self, key: &Key) -> Result<(), StoreError> {
        let slot = Arc::clone(self.shared().slots.entry(key.clone()).or_default());
        let mut revision = slot.lock().await;
        let Some(snapshot) = self.shared().wake_ups.get(key).cloned() else { return Ok(()) };
        let until =
            snapshot.deadline.max(snapshot.request.deadline) + Duration::from_secs(self.config.keep_s);
        let expect = revision.map_or(Expect::Absent, Expect::Revision);
        let place = ledger::place_of(key);
        *revision = Some(self.store.put(&place, ledger::encode(&snapshot), Some(until), expect).await?);
        let mut shared = self.shared();
        shared.wake_ups.handle_stored(&snapshot);
        shared.unsaved.remove(key);
        shared.forget(key);
        drop(shared);
        self.changed.notify_one();
        Ok(())
    }

    /// A new entry could not be written: as if it had never come.
    pub(crate) fn withdraw(&self, key: &Key) {
        let mut shared = self.shared();
        shared.wake_ups.handle_not_stored(key);
        if shared.wake_ups.get(key).is_none() {
            shared.slots.remove(key);
        }
    }

    /// Writes an entry for which nobody waits; what fails is tried again later. Until then a restart would repeat it.
    async fn persist_or_keep(&self, key: &Key) {
        if let Err(error) = self.persist(key).await {
            tracing::warn!(%error, push_id = %key.push, "the push ledger could not be written; trying again");
            self.shared().unsaved.insert(key.clone());
        }
    }

    /// Sends what is due until the process stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let stopping = self.lifecycle.stopping();
        let mut retry = tokio::time::interval(SAVE_AGAIN);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let pause = self.step();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = retry.tick() => self.save_again().await,
            }
        }
    }

    /// One round; tells when the next one is due.
    fn step(self: &Arc<Self>) -> Duration {
        let now = self.clock.now();
        let mut shared = self.shared();
        let timed_out = shared.wake_ups.handle_timeout(now);
        let orders: Vec<Order> = std::iter::from_fn(|| shared.wake_ups.poll_attempt(now)).collect();
        let next = shared.wake_ups.poll_timeout();
        self.telemetry.push.pending.set(shared.wake_ups.open() as i64);
        drop(shared);
        for (key, ended) in timed_out {
            if let Some(ended) = ended {
                self.count(UNSENT, ended);
            }
            let this = Arc::clone(self);
            self.spawn(async move { this.persist_or_keep(&key).await });
        }
        for order in orders {
            let this = Arc::clone(self);
            self.spawn(async move { this.attempt(order).await });
        }
        next.map_or(IDLE_MAX, |at| at.since(now).clamp(Duration::from_millis(1), IDLE_MAX))
    }

    /// Runs something until it is done or the process stops.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.lifecycle.stopping();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    async fn save_again(&self) {
        let unsaved: Vec<Key> = self.shared().unsaved.iter().cloned().collect();
        for key in unsaved {
            if self.persist(&key).await.is_err() {
                return;
            }
            // Whatever became of it, it is either written or gone.
            self.shared().unsaved.remove(&key);
        }
    }

    async fn attempt(&self, order: Order) {
        let key = order.request.key.clone();
        let (provider, report) = self.send(&order).await;
        self.telemetry.push.attempts.with_label_values(&[provider, report.outcome.label()]).inc();
        tracing::debug!(
            push_id = %key.push,
            provider,
            outcome = report.outcome.label(),
            status = report.status,
            "push attempt"
        );
        let ended = self.shared().wake_ups.handle_report(&key, report, self.clock.now());
        self.changed.notify_one();
        if let Some(ended) = ended {
            self.count(provider, ended);
        }
        self.persist_or_keep(&key).await;
    }

    async fn send(&self, order: &Order) -> (&'static str, Report) {
        let request = &order.request;
        let none = |outcome| Report { outcome, status: 0, took: Duration::ZERO };
        let found = self.registry.active(&request.key.tenant, &request.user, &request.device).await;
        let (target, revision) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return (UNSENT, none(Outcome::Permanent(DeadReason::NoTarget))),
            Err(error) => {
                tracing::warn!(%error, push_id = %request.key.push, "the push target could not be read");
                return (UNSENT, none(Outcome::Retryable { retry_after: None }));
            }
        };
        let now = self.clock.now();
        let notice = Notice {
            request,
            kind: order.kind,
            deadline_unix_ms: order.deadline.as_millis(),
            now_unix_s: now.as_millis() / 1000,
        };
        let limit = order.deadline.since(now).min(Duration::from_millis(self.config.request_timeout_ms));
        let report = self.providers.send(&target.settings, notice, limit).await;
        if report.outcome == Outcome::Permanent(DeadReason::TargetGone) {
            let mut gone = target.clone();
            gone.inactive = true;
            // Registered anew meanwhile: then it is not the one that is gone.
            if let Err(error) = self.registry.put(&gone, Expect::Revision(revision)).await {
                tracing::info!(%error, push_id = %request.key.push, "a target that is gone was not marked");
            }
        }
        (target.settings.provider(), report)
    }

    fn count(&self, provider: &'static str, ended: Ended) {
        self.telemetry.push.wake_ups.with_label_values(&[provider, ended.state.label()]).inc();
        if ended.state == State::Delivered {
            self.telemetry.push.delivery.observe(ended.after.as_secs_f64());
        }
    }

    /// Counts a wake-up that was cancelled before it was delivered.
    pub(crate) fn count_cancelled(&self, wake_up: &WakeUp, now: Timestamp) {
        let ended = Ended { state: wake_up.state, after: now.since(wake_up.accepted_at) };
        debug_assert!(wake_up.next.is_none_or(|next| next.kind == Kind::Cancel));
        self.count(UNSENT, ended);
    }
}

/// The provider label of what no provider has seen the end of.
const UNSENT: &str = "none";
/// How often the loop looks at the clock when nothing is due: wall clocks may be set.
const IDLE_MAX: Duration = Duration::from_secs(1);
const SAVE_AGAIN: Duration = Duration::from_secs(1);
