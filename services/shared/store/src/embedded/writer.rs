//! The one thread that writes: whatever has arrived while it was busy goes into the next durable commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use sidetone_model::time::Timestamp;
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot, watch};

use super::tables::Tables;
use super::watchers::{WatchBuffer, Watchers};
use super::{closed, failure};
use crate::clock::Clock;
use crate::contract::{Append, Expect, Revision, Sequence, WatchEvent};
use crate::error::StoreError;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer thread is asked to do.
pub(super) enum Command {
    Put {
        key: String,
        value: Bytes,
        expires_at: Option<Timestamp>,
        expect: Expect,
        reply: Reply<Revision>,
    },
    Delete {
        key: String,
        expect: Expect,
        reply: Reply<()>,
    },
    Append {
        append: Append,
        reply: Reply<Sequence>,
    },
    Trim {
        stream: String,
        before: Sequence,
        reply: Reply<()>,
    },
    Sweep,
    /// Answered with the changes from now on, and a view of what was there before them.
    Watch {
        prefix: String,
        reply: Reply<(Arc<WatchBuffer>, ReadTransaction)>,
    },
    /// Answered with where the stream ends, now and after each append.
    Follow {
        stream: String,
        reply: Reply<watch::Receiver<u64>>,
    },
    /// Ends the thread; what is in the queue behind this is refused.
    Close,
}

/// A change that is made but not durable yet, with whoever waits for it.
enum Done {
    Put(Reply<Revision>, Result<Revision, StoreError>),
    Nothing(Reply<()>, Result<(), StoreError>),
    Append(Reply<Sequence>, Result<Sequence, StoreError>),
}

/// The state of the writer thread.
pub(super) struct Writer {
    database: Arc<Database>,
    clock: Clock,
    telemetry: Option<Arc<Telemetry>>,
    watchers: Watchers,
    followed: HashMap<String, watch::Sender<u64>>,
}

impl Writer {
    pub(super) fn new(database: Arc<Database>, clock: Clock, telemetry: Option<Arc<Telemetry>>) -> Self {
        let watchers = Watchers::new(telemetry.clone());
        Self { database, clock, telemetry, watchers, followed: HashMap::new() }
    }

    /// Runs until every sender is gone or [`Command::Close`] comes.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH_COMMANDS_MAX);
        while let Some(first) = commands.blocking_recv() {
            let mut bytes = 0;
            let mut next = Some(first);
            let mut closing = false;
            while let Some(command) = next.take() {
                if matches!(command, Command::Close) {
                    closing = true;
                    break;
                }
                bytes += command.bytes();
                batch.push(command);
                if batch.len() < BATCH_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
                    next = commands.try_recv().ok();
                }
            }
            self.handle_batch(&mut batch);
            if closing {
                return;
            }
        }
    }

    /// Makes the changes of a batch durable in one commit, then tells them, then answers. A watch that came with the
    /// batch begins after it.
    fn handle_batch(&mut self, batch: &mut Vec<Command>) {
        let mut begins = Vec::new();
        let mut changes = Vec::new();
        for command in batch.drain(..) {
            match command {
                Command::Watch { .. } | Command::Follow { .. } => begins.push(command),
                other => changes.push(other),
            }
        }
        if !changes.is_empty() {
            self.handle_changes(changes);
        }
        for command in begins {
            match command {
                Command::Watch { prefix, reply } => {
                    let begun = self.database.begin_read().map_err(failure);
                    let _ = reply.send(begun.map(|view| (self.watchers.add(prefix), view)));
                }
                Command::Follow { stream, reply } => {
                    let _ = reply.send(Ok(self.follow(stream)));
                }
                _ => {}
            }
        }
    }

    fn handle_changes(&mut self, changes: Vec<Command>) {
        let started = Instant::now();
        let mut done = Vec::with_capacity(changes.len());
        let mut outcome = Outcome::default();
        let committed = self.commit(changes, &mut done, &mut outcome);
        match &committed {
            Ok(()) => {
                if let Some(telemetry) = &self.telemetry {
                    telemetry.store.commit.observe(started.elapsed().as_secs_f64());
                    telemetry.store.records.inc_by(outcome.changes);
                    telemetry.store.swept.inc_by(outcome.swept);
                }
                self.watchers.tell(&outcome.events);
                for (stream, last) in outcome.appended {
                    if self.followed.get(&stream).is_some_and(|f| f.send(last.0).is_err()) {
                        self.followed.remove(&stream);
                    }
                }
            }
            Err(error) => tracing::error!(%error, changes = done.len(), "a commit of the store failed"),
        }
        for one in done {
            one.answer(&committed);
        }
    }

    fn commit(
        &self,
        changes: Vec<Command>,
        done: &mut Vec<Done>,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        let begun = self.database.begin_write().map_err(failure);
        let mut tables = begun.as_ref().map_err(Clone::clone).and_then(|t| Tables::open(t, self.clock.now()));
        for change in changes {
            if let Err(spoiled) = change.apply(tables.as_mut().ok(), done, outcome) {
                tables = Err(spoiled);
            }
        }
        tables?.finish()?;
        begun?.commit().map_err(failure)
    }

    fn follow(&mut self, stream: String) -> watch::Receiver<u64> {
        self.followed.retain(|_, followed| followed.receiver_count() > 0);
        self.followed.entry(stream).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

/// What a batch changed.
#[derive(Default)]
struct Outcome {
    events: Vec<WatchEvent>,
    appended: Vec<(String, Sequence)>,
    changes: u64,
    swept: u64,
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Append { append, .. } => append.record.len(),
            _ => 0,
        }
    }

    /// Makes the change in `tables`, or only notes who waits for it when the transaction is spoiled already. An error
    /// spoils it.
    fn apply(
        self,
        tables: Option<&mut Tables<'_>>,
        done: &mut Vec<Done>,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        match self {
            Self::Put { key, value, expires_at, expect, reply } => {
                let (result, spoiled) = split(tables.map(|t| t.put(&key, &value, expires_at, expect)));
                let result = result.map(|(revision, event)| {
                    outcome.note(event);
                    revision
                });
                done.push(Done::Put(reply, result));
                spoiled
            }
            Self::Delete { key, expect, reply } => {
                let (result, spoiled) = split(tables.map(|t| t.delete(&key, expect)));
                let result = result.map(|event| {
                    if let Some(event) = event {
                        outcome.note(event);
                    }
                });
                done.push(Done::Nothing(reply, result));
                spoiled
            }
            Self::Append { append, reply } => {
                let (result, spoiled) = split(tables.map(|t| t.append(&append)));
                if let Ok(sequence) = result {
                    outcome.changes += 1;
                    outcome.appended.push((append.stream, sequence));
                }
                done.push(Done::Append(reply, result));
                spoiled
            }
            Self::Trim { stream, before, reply } => {
                let (result, spoiled) = split(tables.map(|t| t.trim(&stream, before).map(Ok)));
                done.push(Done::Nothing(reply, result));
                spoiled
            }
            Self::Sweep => {
                let Some(tables) = tables else { return Ok(()) };
                let events = tables.sweep(SWEEP_KEYS_MAX)?;
                outcome.swept += events.len() as u64;
                outcome.events.extend(events);
                Ok(())
            }
            Self::Watch { .. } | Self::Follow { .. } | Self::Close => Ok(()),
        }
    }
}

impl Outcome {
    fn note(&mut self, event: WatchEvent) {
        self.changes += 1;
        self.events.push(event);
    }
}

impl Done {
    /// Answers, if the commit went well, with the change's own result; else with why it did not.
    fn answer(self, committed: &Result<(), StoreError>) {
        fn send<T>(reply: Reply<T>, result: Result<T, StoreError>, committed: &Result<(), StoreError>) {
            let _ = reply.send(committed.clone().and(result));
        }
        match self {
            Self::Put(reply, result) => send(reply, result, committed),
            Self::Nothing(reply, result) => send(reply, result, committed),
            Self::Append(reply, result) => send(reply, result, committed),
        }
    }
}

/// Parts the caller's result from what spoils the transaction.
fn split<T>(
    applied: Option<Result<Result<T, StoreError>, StoreError>>,
) -> (Result<T, StoreError>, Result<(), StoreError>) {
    match applied {
        None => (Err(closed()), Ok(())),
        Some(Err(spoiled)) => (Err(spoiled.clone()), Err(spoiled)),
        Some(Ok(result)) => (result, Ok(())),
    }
}

/// How many commands go into one commit.
const BATCH_COMMANDS_MAX: usize = 1024;
/// How many bytes of values and records go into one commit, before the last one.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many keys one sweep removes.
const SWEEP_KEYS_MAX: usize = 1000;
