//! The state machine of all wake-ups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use sidetone_model::classify::{Class, Classify};
use sidetone_model::time::Timestamp;

use crate::policy::{Backoff, Limits};
use crate::queue::Queue;
use crate::wake_up::{
    ATTEMPTS_KEPT, Attempt, CancelReason, DeadReason, Key, Kind, Next, Outcome, Report, Request, State,
    WakeUp,
};

/// Every wake-up that has something left to be done.
#[derive(Debug)]
pub struct WakeUps {
    limits: Limits,
    backoff: Backoff,
    rng: StdRng,
    live: BTreeMap<Key, Live>,
    queue: Queue,
    deadlines: BTreeSet<(Timestamp, Key)>,
}

#[derive(Debug)]
struct Live {
    wake_up: WakeUp,
    /// What is being sent at this moment.
    in_flight: Option<Kind>,
    /// It stands in the ledger.
    stored: bool,
    /// It stands there otherwise than here.
    dirty: bool,
}

/// How a wake-up was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is new, or still on its way into the ledger: store it before telling anybody that it was accepted.
    Store,
    /// It is in the ledger: answer as the first time.
    Known,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The same push id came before with another body.
    #[error("this push id was used with another body")]
    OtherBody,
    /// The deadline has passed.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// The deadline is further away than a wake-up may live.
    #[error("the deadline is too far away")]
    DeadlineTooFar,
    /// The tenant has too many open wake-ups.
    #[error("too many open wake-ups of this tenant")]
    TenantFull,
    /// There are too many open wake-ups.
    #[error("too many open wake-ups")]
    Full,
    /// There is no such wake-up.
    #[error("no such wake-up")]
    Unknown,
    /// Only what was given up can be replayed.
    #[error("only a dead letter can be replayed")]
    NotDead,
}

/// One message to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What was asked.
    pub request: Request,
    /// What is told.
    pub kind: Kind,
    /// Useless from then on: also the latest end of the attempt.
    pub deadline: Timestamp,
}

/// A wake-up that came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub state: State,
    /// How long after it was accepted.
    pub after: Duration,
}

impl WakeUps {
    /// No wake-ups yet. Jitter repeats itself for the same seed.
    pub fn new(limits: Limits, backoff: Backoff, seed: [u8; 32]) -> Self {
        Self {
            limits,
            backoff,
            rng: StdRng::from_seed(seed),
            live: BTreeMap::new(),
            queue: Queue::default(),
            deadlines: BTreeSet::new(),
        }
    }

    /// A new wake-up. It takes its place in the queue at once and is attempted after [`Self::handle_stored`].
    pub fn handle_wake(&mut self, request: Request, now: Timestamp) -> Result<Admission, Refusal> {
        if let Some(known) = self.live.get(&request.key) {
            return match (known.wake_up.request == request, known.stored) {
                (false, _) => Err(Refusal::OtherBody),
                (true, true) => Ok(Admission::Known),
                (true, false) => Ok(Admission::Store),
            };
        }
        self.check_deadline(request.deadline, now)?;
        self.check_room(&request.key)?;
        let wake_up = WakeUp {
            accepted_at: now,
            deadline: request.deadline,
            state: State::Pending,
            next: Some(Next { kind: Kind::Wake, at: now, failures: 0 }),
            maybe_sent: false,
            attempts: Vec::new(),
            request,
        };
        self.insert(Live { wake_up, in_flight: None, stored: false, dirty: true });
        Ok(Admission::Store)
    }

    /// The entry is durable as it was at `written`: attempts may begin.
    pub fn handle_stored(&mut self, written: &WakeUp) {
        self.change(&written.request.key, |live| {
            live.stored = true;
            live.dirty = live.wake_up != *written;
        });
    }

    /// The entry could not be made durable: as if it had never come, unless it was stored meanwhile.
    pub fn handle_not_stored(&mut self, key: &Key) {
        if self.live.get(key).is_some_and(|live| !live.stored) {
            self.take(key);
        }
    }

    /// Takes an entry out of the ledger, after a start or for another command. What is here already stays as it is.
    ///
    /// An attempt may have been under way when it was written, so a pending one may have been sent.
    pub fn handle_loaded(&mut self, mut wake_up: WakeUp) {
        if self.live.contains_key(&wake_up.request.key) {
            return;
        }
        wake_up.maybe_sent |= wake_up.state == State::Pending;
        self.insert(Live { wake_up, in_flight: None, stored: true, dirty: false });
    }

    /// The call does not wait any longer. What was not sent is dropped; a device that may have been told of the call is
    /// told that it is over. Doing it twice is doing it once. Store the entry before answering.
    pub fn handle_cancel(&mut self, key: &Key, reason: CancelReason, now: Timestamp) -> Result<(), Refusal> {
        let live = self.live.get(key).ok_or(Refusal::Unknown)?;
        if matches!(live.wake_up.state, State::Cancelled(_)) {
            return Ok(());
        }
        let told = live.wake_up.maybe_sent && now < live.wake_up.deadline;
        if told && self.queue.open >= self.limits.open_max.saturating_mul(2) {
            return Err(Refusal::Full);
        }
        self.change(key, |live| {
            if told || live.wake_up.state == State::Pending {
                live.wake_up.state = State::Cancelled(reason);
                live.wake_up.next = told.then_some(Next { kind: Kind::Cancel, at: now, failures: 0 });
            }
        });
        Ok(())
    }

    /// Tries a dead letter again until a new deadline. Store the entry before answering.
    pub fn handle_replay(&mut self, key: &Key, deadline: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let live = self.live.get(key).ok_or(Refusal::Unknown)?;
        match live.wake_up.state {
            State::Dead(_) => {}
            // The same replay asked for again.
            State::Pending if live.wake_up.deadline == deadline => return Ok(()),
            _ => return Err(Refusal::NotDead),
        }
        self.check_deadline(deadline, now)?;
        self.check_room(key)?;
        self.change(key, |live| {
            live.wake_up.state = State::Pending;
            live.wake_up.deadline = deadline;
            live.wake_up.next = Some(Next { kind: Kind::Wake, at: now, failures: 0 });
        });
        Ok(())
    }

    /// What is to be sent now; none when nothing is due, or enough is under way.
    pub fn poll_attempt(&mut self, now: Timestamp) -> Option<Order> {
        let key = self.queue.take(now, self.limits.in_flight_per_tenant_max, self.limits.in_flight_max)?;
        let live = self.live.get_mut(&key)?;
        let kind = live.wake_up.next?.kind;
        live.in_flight = Some(kind);
        live.wake_up.maybe_sent = true;
        Some(Order { request: live.wake_up.request.clone(), kind, deadline: live.wake_up.deadline })
    }

    /// What became of an attempt. Store the entry afterwards. Tells the end of a wake-up, once.
    pub fn handle_report(&mut self, key: &Key, report: Report, now: Timestamp) -> Option<Ended> {
        let live = self.live.get_mut(key)?;
        let sent = live.in_flight.take()?;
        let was_pending = live.wake_up.state == State::Pending;
        let failures = live.wake_up.next.map_or(0, |next| next.failures) + 1;
        let pause = (failures < self.limits.attempts_max).then(|| self.backoff.wait(failures, &mut self.rng));
        self.queue.landed(&key.tenant);
        let state = self.change(key, |live| {
            let wake_up = &mut live.wake_up;
            if wake_up.attempts.len() >= ATTEMPTS_KEPT {
                wake_up.attempts.remove(0);
            }
            wake_up.attempts.push(Attempt { kind: sent, at: now, report });
            wake_up.conclude(sent, report.outcome, now, pause);
            wake_up.state
        })?;
        let over = was_pending && matches!(state, State::Delivered | State::Dead(_));
        over.then(|| self.ended(key, now)).flatten()
    }

    /// Gives up what has passed its deadline; the entries are to be stored.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Vec<(Key, Option<Ended>)> {
        let mut over = Vec::new();
        while self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.deadlines.pop_first() else { break };
            let died = self.change(&key, |live| {
                live.wake_up.next = None;
                let died = live.wake_up.state == State::Pending;
                if died {
                    live.wake_up.state = State::Dead(DeadReason::Deadline);
                }
                died
            });
            let ended = (died == Some(true)).then(|| self.ended(&key, now)).flatten();
            over.push((key, ended));
        }
        over
    }

    /// When to come back, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.queue.next_due(self.limits.in_flight_per_tenant_max, self.limits.in_flight_max);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [due, deadline].into_iter().flatten().min()
    }

    /// One wake-up as it stands.
    pub fn get(&self, key: &Key) -> Option<&WakeUp> {
        self.live.get(key).map(|live| &live.wake_up)
    }

    /// Forgets a wake-up that the ledger has in its last state; whether it did.
    pub fn forget(&mut self, key: &Key) -> bool {
        let done = self
            .live
            .get(key)
            .is_some_and(|live| !live.dirty && live.in_flight.is_none() && live.wake_up.is_settled());
        if done {
            self.take(key);
        }
        done
    }

    /// How many have something left to be sent.
    pub fn open(&self) -> usize {
        self.queue.open
    }

    /// How many attempts are under way.
    pub fn in_flight(&self) -> usize {
        self.queue.in_flight
    }

    fn check_deadline(&self, deadline: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if deadline <= now {
            Err(Refusal::DeadlinePassed)
        } else if deadline.since(now) > self.limits.deadline_max {
            Err(Refusal::DeadlineTooFar)
        } else {
            Ok(())
        }
    }

    fn check_room(&self, key: &Key) -> Result<(), Refusal> {
        if self.queue.open_of(&key.tenant) >= self.limits.open_per_tenant_max {
            Err(Refusal::TenantFull)
        } else if self.queue.open >= self.limits.open_max {
            Err(Refusal::Full)
        } else {
            Ok(())
        }
    }

    fn ended(&self, key: &Key, now: Timestamp) -> Option<Ended> {
        let wake_up = self.get(key)?;
        Some(Ended { state: wake_up.state, after: now.since(wake_up.accepted_at) })
    }

    fn insert(&mut self, live: Live) {
        let key = live.wake_up.request.key.clone();
        self.index(&key, &live);
        self.live.insert(key, live);
    }

    fn take(&mut self, key: &Key) -> Option<Live> {
        let live = self.live.remove(key)?;
        self.unindex(key, &live);
        Some(live)
    }

    /// Every change of an entry goes through here, so that the indexes cannot disagree with it.
    fn change<T>(&mut self, key: &Key, change: impl FnOnce(&mut Live) -> T) -> Option<T> {
        let mut live = self.take(key)?;
        live.dirty = true;
        let result = change(&mut live);
        self.insert(live);
        Some(result)
    }

    fn index(&mut self, key: &Key, live: &Live) {
        let Some(next) = live.wake_up.next else { return };
        self.queue.count_open(&key.tenant, true);
        if live.stored {
            self.deadlines.insert((live.wake_up.deadline, key.clone()));
        }
        if live.stored && live.in_flight.is_none() {
            self.queue.insert(key, next.at);
        }
    }

    fn unindex(&mut self, key: &Key, live: &Live) {
        let Some(next) = live.wake_up.next else { return };
        self.queue.remove(key, next.at);
        self.deadlines.remove(&(live.wake_up.deadline, key.clone()));
        self.queue.count_open(&key.tenant, false);
    }
}

impl WakeUp {
    /// What follows from the outcome of an attempt. `pause` is the wait before the next one; none gives up.
    fn conclude(&mut self, sent: Kind, outcome: Outcome, now: Timestamp, pause: Option<Duration>) {
        let Some(next) = self.next else {
            // The deadline came first. A delivery is still one.
            if sent == Kind::Wake && outcome == Outcome::Delivered && matches!(self.state, State::Dead(_)) {
                self.state = State::Delivered;
            }
            return;
        };
        if next.kind != sent {
            // Cancelled meanwhile. A device that refused has nothing to stop.
            if matches!(outcome, Outcome::Permanent(_)) {
                self.next = None;
            }
            return;
        }
        let given_up = match outcome {
            Outcome::Delivered => None,
            Outcome::Permanent(reason) => Some(reason),
            Outcome::Retryable { retry_after } => {
                let failures = next.failures + 1;
                match pause.map(|pause| now + pause.max(retry_after.unwrap_or_default())) {
                    Some(at) if at < self.deadline => {
                        self.next = Some(Next { at, failures, ..next });
                        return;
                    }
                    Some(_) => Some(DeadReason::Deadline),
                    None => Some(DeadReason::Attempts),
                }
            }
        };
        self.next = None;
        if sent == Kind::Wake {
            self.state = given_up.map_or(State::Delivered, State::Dead);
        }
    }
}

impl Classify for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::OtherBody => Class::Conflict,
            Self::DeadlinePassed | Self::DeadlineTooFar => Class::Invalid,
            Self::TenantFull | Self::Full => Class::Exhausted,
            Self::Unknown => Class::NotFound,
            Self::NotDead => Class::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::OtherBody => "other_body",
            Self::DeadlinePassed => "deadline_passed",
            Self::DeadlineTooFar => "deadline_too_far",
            Self::TenantFull => "tenant_full",
            Self::Full => "full",
            Self::Unknown => "unknown",
            Self::NotDead => "not_dead",
        }
    }
}
