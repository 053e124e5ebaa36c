//! A shard's log in the store: folded at the start, appended to ever after.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sidetone_call_core::Shard;
use sidetone_model::fact::FactRecord;
use sidetone_model::ids::{BootId, ShardId};
use sidetone_model::wire::{WireError, decode_batch, encode_batch};
use sidetone_store::{Append, Expect, Sequence, Store, StoreError, VALUE_BYTES_MAX};

use super::recent::{Entry, Recent};

/// How long to wait before a store that is away is asked again.
const RETRY: Duration = Duration::from_millis(200);
/// Records of one snapshot entry: well below the store's largest value.
const SNAPSHOT_BYTES: usize = VALUE_BYTES_MAX / 2;

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
}

/// The name of a shard's stream.
pub(crate) fn stream(shard: ShardId) -> String {
    format!("shards/{shard}/log")
}

fn snapshot_stream(shard: ShardId) -> String {
    format!("shards/{shard}/snapshot")
}

fn snapshot_key(shard: ShardId) -> String {
    format!("shards/{shard}/snapshot")
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
        let mut log = Self { store, shard, boot, last: Sequence(0), recent, steps_since_snapshot: 0 };
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

    /// Makes a snapshot when enough has happened since the last one. A failure is told and tried again later: a
    /// snapshot only shortens the next start.
    pub(crate) async fn snapshot_if_due(&mut self, every: u64, source: &Shard) {
        if self.steps_since_snapshot < every {
            return;
        }
        self.steps_since_snapshot = 0;
        if let Err(error) = self.write_snapshot(&source.snapshot()).await {
            tracing::warn!(shard = %self.shard, %error, "no snapshot was made");
        }
    }

    async fn write_snapshot(&self, records: &[FactRecord]) -> Result<(), StoreError> {
        let stream = snapshot_stream(self.shard);
        let (_, mut last) = self.store.bounds(&stream).await?;
        let first = Sequence(last.0 + 1);
        for chunk in chunks(records) {
            let idempotency_key = format!("{}-{}", self.boot, last.0 + 1);
            let append =
                Append { stream: stream.clone(), expected_last: last, idempotency_key, record: chunk };
            last = self.store.append(append).await?;
        }
        // The pointer comes last: until then the older snapshot stands.
        let pointer = format!("{} {} {}", first.0, last.0, self.last.0);
        self.store.put(&snapshot_key(self.shard), Bytes::from(pointer), None, Expect::Any).await?;
        self.store.trim(&stream, first).await
    }

    /// Folds the newest snapshot; returns the last entry of the log that it holds.
    async fn fold_snapshot(&self, target: &mut Shard) -> Result<Sequence, LogError> {
        let key = snapshot_key(self.shard);
        let pointer = self.retried(|| self.store.get_owned(key.clone())).await?;
        let Some((first, last, holds)) = pointer.and_then(|entry| parse_pointer(&entry.value)) else {
            return Ok(Sequence(0));
        };
        let mut next = first;
        while next.0 <= last.0 {
            let chunks = self.retried(|| self.store.read_owned(snapshot_stream(self.shard), next)).await?;
            let Some(end) = chunks.last() else { break };
            next = Sequence(end.sequence.0 + 1);
            for chunk in chunks.iter().filter(|chunk| chunk.sequence <= last) {
                self.replay(target, chunk.sequence, &chunk.record)?;
            }
        }
        Ok(holds)
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

fn parse_pointer(value: &[u8]) -> Option<(Sequence, Sequence, Sequence)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut numbers = text.split(' ').map(|number| number.parse().map(Sequence));
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn chunks(records: &[FactRecord]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut from = 0;
    let mut bytes = 0;
    for (index, record) in records.iter().enumerate() {
        let size = record.encode_to_bytes().len();
        if bytes + size > SNAPSHOT_BYTES && index > from {
            chunks.push(encode_batch(&records[from..index]));
            (from, bytes) = (index, 0);
        }
        bytes += size;
    }
    chunks.push(encode_batch(&records[from..]));
    chunks
}

/// The store's questions with keys of their own, so that they can be asked again.
trait Owned {
    async fn get_owned(&self, key: String) -> Result<Option<sidetone_store::Entry>, StoreError>;
    async fn read_owned(
        &self,
        stream: String,
        from: Sequence,
    ) -> Result<Vec<sidetone_store::Record>, StoreError>;
    async fn bounds_owned(&self, stream: String) -> Result<(Sequence, Sequence), StoreError>;
}

impl Owned for Arc<dyn Store> {
    async fn get_owned(&self, key: String) -> Result<Option<sidetone_store::Entry>, StoreError> {
        self.get(&key).await
    }
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

/// The last entry of the log that the newest snapshot holds; none without a snapshot.
pub(crate) async fn snapshot_holds(store: &Arc<dyn Store>, shard: ShardId) -> Option<Sequence> {
    let pointer = store.get(&snapshot_key(shard)).await.ok()??;
    parse_pointer(&pointer.value).map(|(_, _, holds)| holds)
}

/// The newest snapshot of a shard.
pub(crate) struct Snapshot {
    /// The last entry of the log that it holds.
    pub(crate) holds: Sequence,
    /// Its records, in their order.
    pub(crate) records: Vec<sidetone_store::Record>,
}

/// Reads the newest snapshot; none without one.
///
/// A newer one may take its place while it is read, and its records may be trimmed away: then that one is read.
pub(crate) async fn snapshot(store: &Arc<dyn Store>, shard: ShardId) -> Result<Option<Snapshot>, StoreError> {
    loop {
        let Some(pointer) = store.get(&snapshot_key(shard)).await? else { return Ok(None) };
        let Some((first, last, holds)) = parse_pointer(&pointer.value) else { return Ok(None) };
        match read_through(store, &snapshot_stream(shard), first, last).await {
            Ok(records) => return Ok(Some(Snapshot { holds, records })),
            Err(StoreError::Trimmed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn read_through(
    store: &Arc<dyn Store>,
    stream: &str,
    first: Sequence,
    last: Sequence,
) -> Result<Vec<sidetone_store::Record>, StoreError> {
    let mut records: Vec<sidetone_store::Record> = Vec::new();
    let mut next = first;
    while next <= last {
        let page = store.read(stream, next, 1000).await?;
        let Some(end) = page.last().map(|record| record.sequence) else { break };
        records.extend(page.into_iter().filter(|record| record.sequence <= last));
        next = Sequence(end.0 + 1);
    }
    Ok(records)
}
