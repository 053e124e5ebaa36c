//! A shard's log in the store: folded at the start, appended to ever after.

use std::sync::Arc;
use std::time::Duration;

use sidetone_call_core::Shard;
use sidetone_model::fact::FactRecord;
use sidetone_model::ids::{BootId, ShardId};
use sidetone_model::wire::{WireError, decode_batch, encode_batch};
use sidetone_store::{Append, Sequence, Store, StoreError};

use super::recent::{Entry, Recent};
use super::snapshots;

/// How long to wait before a store that is away is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// The log cannot be used any more: this owner must stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// Another owner writes it.
    #[error("another call control writes the log of shard {shard}, which ends at {current}")]
    Fenced {
        /// Which.
        shard: ShardId,
        /// Where it ends.
        current: Sequence,
    },
    /// The store refuses.
    #[error("the log of shard {shard} cannot be used: {error}")]
    Store {
        /// Which.
        shard: ShardId,
        /// Why.
        error: StoreError,
    },
    /// A record cannot be read.
    #[error("the log of shard {shard} cannot be read at {at}: {error}")]
    Unreadable {
        /// Which.
        shard: ShardId,
        /// Where.
        at: Sequence,
        /// Why.
        error: WireError,
    },
}

/// The log of one shard, as its only writer sees it.
pub(crate) struct Log {
    store: Arc<dyn Store>,
    shard: ShardId,
    boot: BootId,
    last: Sequence,
    recent: Arc<Recent>,
    steps_since_snapshot: u64,
    /// The last snapshot that was begun.
    snapshot: Option<tokio::task::JoinHandle<()>>,
}

/// The name of a shard's stream.
pub(crate) fn stream(shard: ShardId) -> String {
    format!("shards/{shard}/log")
}

impl Log {
    /// Folds the newest snapshot and what came after it into `target`.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        shard: ShardId,
        boot: BootId,
        target: &mut Shard,
    ) -> Result<Self, LogError> {
        let recent = Recent::new(Sequence(0));
        let (last, snapshot) = (Sequence(0), None);
        let mut log = Self { store, shard, boot, last, recent, steps_since_snapshot: 0, snapshot };
        let mut next = Sequence(log.fold_snapshot(target).await?.0 + 1);
        loop {
            let records = log.retried(|| log.store.read_owned(stream(shard), next)).await?;
            let Some(last) = records.last() else { break };
            next = Sequence(last.sequence.0 + 1);
            for record in &records {
                log.replay(target, record.sequence, &record.record)?;
                log.steps_since_snapshot += 1;
            }
        }
        let (_, last) = log.retried(|| log.store.bounds_owned(stream(shard))).await?;
        (log.last, log.recent) = (last, Recent::new(last));
        Ok(log)
    }

    /// What was appended last, for who follows.
    pub(crate) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    fn replay(&self, target: &mut Shard, at: Sequence, bytes: &[u8]) -> Result<(), LogError> {
        let records =
            decode_batch(bytes).map_err(|error| LogError::Unreadable { shard: self.shard, at, error })?;
        records.iter().for_each(|record| target.replay(record));
        Ok(())
    }

    /// Appends steps as one entry. Comes back when they are durable, however long the store is away.
    pub(crate) async fn append(&mut self, records: Vec<FactRecord>) -> Result<(), LogError> {
        let append = Append {
            stream: stream(self.shard),
            expected_last: self.last,
            idempotency_key: format!("{}-{}", self.boot, self.last.0 + 1),
            record: encode_batch(&records),
        };
        loop {
            match self.store.append(append.clone()).await {
                Ok(sequence) => {
                    self.last = sequence;
                    self.steps_since_snapshot += records.len() as u64;
                    let facts = records.into_iter().flat_map(|record| record.facts).collect();
                    self.recent.push(Entry { sequence, facts });
                    return Ok(());
                }
                Err(StoreError::SequenceMismatch { current }) => {
                    return Err(LogError::Fenced { shard: self.shard, current });
                }
                Err(StoreError::Unavailable(problem)) => {
                    tracing::warn!(shard = %self.shard, problem, "the store is away; what was decided waits for it");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(LogError::Store { shard: self.shard, error }),
            }
        }
    }

    /// Makes a snapshot when enough has happened since the last one: what it is to hold is taken now, and written beside, so that
    /// nobody waits for it. While one is being written no other begins.
    pub(crate) fn snapshot_if_due(&mut self, every: u64, source: &Shard) {
        let under_way = self.snapshot.as_ref().is_some_and(|writing| !writing.is_finished());
        if self.steps_since_snapshot < every || under_way {
            return;
        }
        self.steps_since_snapshot = 0;
        let (shard, boot, holds) = (self.shard, self.boot, self.last);
        let writer = snapshots::Writer { store: Arc::clone(&self.store), shard, boot, holds };
        self.snapshot = Some(tokio::spawn(writer.write(source.snapshot())));
    }

    /// Folds the newest snapshot; returns the last entry of the log that it holds.
    async fn fold_snapshot(&self, target: &mut Shard) -> Result<Sequence, LogError> {
        let found = self.retried(|| snapshots::newest(&self.store, self.shard)).await?;
        let Some(snapshot) = found else { return Ok(Sequence(0)) };
        for chunk in &snapshot.records {
            self.replay(target, chunk.sequence, &chunk.record)?;
        }
        Ok(snapshot.holds)
    }

    /// Asks until the store answers.
    async fn retried<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, LogError> {
        loop {
            match ask().await {
                Err(StoreError::Unavailable(problem)) => {
                    tracing::warn!(shard = %self.shard, problem, "waiting for the store");
                    tokio::time::sleep(RETRY).await;
                }
                other => return other.map_err(|error| LogError::Store { shard: self.shard, error }),
            }
        }
    }
}

/// The store's questions with keys of their own, so that they can be asked again.
trait Owned {
    async fn read_owned(
        &self,
        stream: String,
        from: Sequence,
    ) -> Result<Vec<sidetone_store::Record>, StoreError>;
    async fn bounds_owned(&self, stream: String) -> Result<(Sequence, Sequence), StoreError>;
}

impl Owned for Arc<dyn Store> {
    async fn read_owned(
        &self,
        stream: String,
        from: Sequence,
    ) -> Result<Vec<sidetone_store::Record>, StoreError> {
        match self.read(&stream, from, 1000).await {
            Err(StoreError::Trimmed { first }) => self.read(&stream, first, 1000).await,
            other => other,
        }
    }
    async fn bounds_owned(&self, stream: String) -> Result<(Sequence, Sequence), StoreError> {
        self.bounds(&stream).await
    }
}
