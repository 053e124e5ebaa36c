//! The one thread that writes: whatever has arrived while it was busy goes into the next durable commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use redb::ReadTransaction;
use sidetone_model::time::Timestamp;
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Change, Made};
use super::durable::Durable;
use super::watchers::{WatchBuffer, Watchers};
use crate::contract::{Append, Expect, Revision, Sequence};
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

/// Who waits for a change.
enum Waiting {
    Put(Reply<Revision>),
    Append(Reply<Sequence>),
    Change(Reply<()>),
    Nobody,
}

/// The state of the writer thread.
pub(super) struct Writer {
    tables: Durable,
    telemetry: Option<Arc<Telemetry>>,
    watchers: Watchers,
    followed: HashMap<String, watch::Sender<u64>>,
    failed: watch::Sender<Option<StoreError>>,
}

impl Writer {
    /// `failed` is told why the store cannot go on, if it ever cannot.
    pub(super) fn new(
        tables: Durable,
        telemetry: Option<Arc<Telemetry>>,
        failed: watch::Sender<Option<StoreError>>,
    ) -> Self {
        let watchers = Watchers::new(telemetry.clone());
        Self { tables, telemetry, watchers, followed: HashMap::new(), failed }
    }

    /// Runs until every sender is gone, [`Command::Close`] comes, or the tables are broken.
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
            let sweeping = batch.iter().any(|command| matches!(command, Command::Sweep));
            self.handle_batch(&mut batch);
            if closing {
                break;
            }
            // A quiet store is brought into its file at the sweep, a busy one when much has come together.
            self.checkpoint_if_due(commands.is_empty(), sweeping);
            if let Some(error) = self.tables.broken() {
                tracing::error!(%error, "the store ends; what was acknowledged is in its journal");
                let _ = self.failed.send(Some(error.clone()));
                return;
            }
        }
        self.checkpoint();
    }

    /// Makes the changes of a batch durable in one commit, then tells them, then answers. A watch that came with the
    /// batch begins after it.
    fn handle_batch(&mut self, batch: &mut Vec<Command>) {
        let mut begins = Vec::new();
        let mut changes = Vec::with_capacity(batch.len());
        let mut waiting = Vec::with_capacity(batch.len());
        for command in batch.drain(..) {
            match command.change() {
                Ok((Change::Sweep, _)) if !self.tables.has_expired() => {}
                Ok((change, who)) => {
                    changes.push(change);
                    waiting.push(who);
                }
                Err(begin) => begins.push(begin),
            }
        }
        if !changes.is_empty() {
            self.handle_changes(&changes, waiting);
        }
        for begin in begins {
            match begin {
                Command::Watch { prefix, reply } => {
                    let view = self.tables.view();
                    let _ = reply.send(view.map(|view| (self.watchers.add(prefix), view)));
                }
                Command::Follow { stream, reply } => {
                    let _ = reply.send(Ok(self.follow(stream)));
                }
                _ => {}
            }
        }
    }

    fn handle_changes(&mut self, changes: &[Change], waiting: Vec<Waiting>) {
        let started = Instant::now();
        match self.tables.commit(changes) {
            Ok((results, outcome)) => {
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
                waiting.into_iter().zip(results).for_each(|(who, result)| who.answer(result));
            }
            Err(error) => {
                tracing::error!(%error, changes = changes.len(), "a commit of the store failed");
                waiting.into_iter().for_each(|who| who.answer(Err(error.clone())));
            }
        }
    }

    fn checkpoint_if_due(&mut self, idle: bool, sweeping: bool) {
        let bytes = self.tables.uncommitted();
        let due = if idle { CHECKPOINT_IDLE_BYTES } else { CHECKPOINT_BYTES };
        if bytes >= due || (sweeping && bytes > 0) {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        if self.tables.uncommitted() == 0 {
            return;
        }
        let started = Instant::now();
        match self.tables.checkpoint() {
            Ok(()) => {
                if let Some(telemetry) = &self.telemetry {
                    telemetry.store.checkpoint.observe(started.elapsed().as_secs_f64());
                }
            }
            Err(error) => {
                tracing::error!(%error, "the store's file could not be brought up to date")
            }
        }
    }

    fn follow(&mut self, stream: String) -> watch::Receiver<u64> {
        self.followed.retain(|_, followed| followed.receiver_count() > 0);
        self.followed.entry(stream).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Append { append, .. } => append.record.len(),
            _ => 0,
        }
    }

    /// The change that is asked for and who waits for it; the command itself when it asks for none.
    fn change(self) -> Result<(Change, Waiting), Self> {
        Ok(match self {
            Self::Put { key, value, expires_at, expect, reply } => {
                (Change::Put { key, value, expires_at, expect }, Waiting::Put(reply))
            }
            Self::Delete { key, expect, reply } => (Change::Delete { key, expect }, Waiting::Change(reply)),
            Self::Append { append, reply } => (Change::Append(append), Waiting::Append(reply)),
            Self::Trim { stream, before, reply } => (Change::Trim { stream, before }, Waiting::Change(reply)),
            Self::Sweep => (Change::Sweep, Waiting::Nobody),
            begin => return Err(begin),
        })
    }
}

impl Waiting {
    fn answer(self, result: Result<Made, StoreError>) {
        match (self, result) {
            (Self::Put(reply), Ok(Made::Put(revision))) => drop(reply.send(Ok(revision))),
            (Self::Append(reply), Ok(Made::Appended(sequence))) => drop(reply.send(Ok(sequence))),
            (Self::Change(reply), Ok(_)) => drop(reply.send(Ok(()))),
            (Self::Put(reply), Err(error)) => drop(reply.send(Err(error))),
            (Self::Append(reply), Err(error)) => drop(reply.send(Err(error))),
            (Self::Change(reply), Err(error)) => drop(reply.send(Err(error))),
            // Nobody waits, or a reply that its change cannot have.
            _ => {}
        }
    }
}

/// How many commands go into one commit.
const BATCH_COMMANDS_MAX: usize = 1024;
/// How many bytes of values and records go into one commit, before the last one.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of the journal after which the tables are made durable: about ten milliseconds of writing, for which changes
/// wait.
const CHECKPOINT_BYTES: u64 = 1024 * 1024;
/// The same while nobody waits.
const CHECKPOINT_IDLE_BYTES: u64 = 256 * 1024;
