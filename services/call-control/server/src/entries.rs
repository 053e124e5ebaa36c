//! The entries of a shard's log: those that are there, and those that come.
//!
//! What has just been written is handed on as its writer has it ([`Recent`]); the store is read, and what it holds decoded,
//! only for what is older: at the start of a process, and for who has fallen behind.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::ids::ShardId;
use sidetone_model::wire::{WireError, decode_batch};
use sidetone_store::{Record, Sequence, Store, StoreError};
use sidetone_telemetry::Telemetry;
use tokio::sync::watch;

use crate::owner::log::stream;
use crate::owner::{Entry, Recent};

/// Why a log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// The store refuses.
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    /// An entry is not what a release writes that is known here.
    #[error("entry {at} of the log cannot be understood")]
    Unreadable {
        /// Which.
        at: Sequence,
        /// Why.
        source: WireError,
    },
}

/// Entries in order.
pub(crate) type Entries = BoxStream<'static, Result<Entry, EntryError>>;

/// One shard's log, for reading.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shard: ShardId,
    pub(crate) recent: Arc<Recent>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Source {
    /// The first and the last entry that are kept.
    pub(crate) async fn bounds(&self) -> Result<(Sequence, Sequence), StoreError> {
        self.store.bounds(&stream(self.shard)).await
    }

    /// The last entry that this process has written.
    pub(crate) fn end(&self) -> Sequence {
        *self.recent.last().borrow()
    }

    /// Every entry from `from` up to `last`.
    pub(crate) fn until(self, from: Sequence, last: Sequence) -> Entries {
        let pages = stream::try_unfold((self, from), move |(source, from)| async move {
            if from > last {
                return Ok::<_, EntryError>(None);
            }
            let page = source.page(from).await?;
            let Some(end) = page.back().map(|entry| entry.sequence) else { return Ok(None) };
            Ok(Some((stream::iter(page.into_iter().map(Ok)), (source, Sequence(end.0 + 1)))))
        });
        pages.try_flatten().boxed()
    }

    /// Every entry from `from` on, and then new ones as they are written. It ends with an error.
    pub(crate) fn follow(self, from: Sequence) -> Entries {
        let last = self.recent.last();
        let tail = Tail { source: self, next: from, read: VecDeque::new(), last };
        let entries = stream::unfold(Some(tail), async |tail| {
            let mut tail = tail?;
            match tail.next().await {
                Ok(entry) => Some((Ok(entry), Some(tail))),
                Err(error) => Some((Err(error), None)),
            }
        });
        entries.boxed()
    }

    async fn page(&self, from: Sequence) -> Result<VecDeque<Entry>, EntryError> {
        let records = self.store.read(&stream(self.shard), from, PAGE_ENTRIES).await?;
        self.telemetry.call_control.entries_read.with_label_values(&["store"]).inc_by(records.len() as u64);
        records.iter().map(entry).collect()
    }
}

/// A reader's place in a log.
struct Tail {
    source: Source,
    next: Sequence,
    read: VecDeque<Entry>,
    last: watch::Receiver<Sequence>,
}

impl Tail {
    async fn next(&mut self) -> Result<Entry, EntryError> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                self.next = Sequence(entry.sequence.0 + 1);
                return Ok(entry);
            }
            // Seen before reading: what is appended while we read wakes us again.
            let last = *self.last.borrow_and_update();
            if self.next <= last {
                self.read = match self.source.recent.from(self.next) {
                    Some(entries) => {
                        let read = &self.source.telemetry.call_control.entries_read;
                        read.with_label_values(&["memory"]).inc_by(entries.len() as u64);
                        entries.into()
                    }
                    None => self.source.page(self.next).await?,
                };
            }
            if self.read.is_empty() {
                let ended = || StoreError::Unavailable("the log is not written any more".to_owned());
                self.last.changed().await.map_err(|_| ended())?;
                // Who is told of an entry comes after what follows from it: phones wait for that.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// What an entry of the store says happened.
pub(crate) fn entry(record: &Record) -> Result<Entry, EntryError> {
    let sequence = record.sequence;
    let steps =
        decode_batch(&record.record).map_err(|source| EntryError::Unreadable { at: sequence, source })?;
    Ok(Entry { sequence, facts: steps.into_iter().flat_map(|step| step.facts).collect() })
}

/// How many entries are read from the store at once.
const PAGE_ENTRIES: usize = 256;
