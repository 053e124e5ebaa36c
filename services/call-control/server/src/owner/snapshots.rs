//! Snapshots of a shard in the store: written beside the work of its owner, and read at the next start.
//!
//! The records of one stand in a stream of their own; a key points at the first and the last of them, and at the last entry of the
//! log that they hold. It is written when all are there, and only when no other pointer came meanwhile: whoever lost the log to
//! another owner changes nothing any more.

use std::sync::Arc;

use bytes::Bytes;
use sidetone_model::fact::FactRecord;
use sidetone_model::ids::{BootId, ShardId};
use sidetone_model::wire::encode_batch;
use sidetone_store::{Append, Expect, Sequence, Store, StoreError, VALUE_BYTES_MAX};

/// Records of one snapshot entry: well below the store's largest value.
const SNAPSHOT_BYTES: usize = VALUE_BYTES_MAX / 2;

fn snapshot_stream(shard: ShardId) -> String {
    format!("shards/{shard}/snapshot")
}

fn snapshot_key(shard: ShardId) -> String {
    format!("shards/{shard}/snapshot")
}

/// Writes one.
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) shard: ShardId,
    pub(super) boot: BootId,
    /// The last entry of the log that it holds.
    pub(super) holds: Sequence,
}

impl Writer {
    /// A failure is told, and the next one tried later: a snapshot only shortens the next start.
    pub(super) async fn write(self, records: Vec<FactRecord>) {
        let shard = self.shard;
        if let Err(error) = self.try_write(records).await {
            tracing::warn!(%shard, %error, "no snapshot was made");
        }
    }

    async fn try_write(self, records: Vec<FactRecord>) -> Result<(), StoreError> {
        // A large one takes its time to be encoded; those who wait for the owner are on the same threads.
        let encoded = tokio::task::spawn_blocking(move || chunks(&records)).await;
        let chunks = encoded.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (stream, key) = (snapshot_stream(self.shard), snapshot_key(self.shard));
        let before = self.store.get(&key).await?;
        let expect = before.map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
        let (_, mut last) = self.store.bounds(&stream).await?;
        let first = Sequence(last.0 + 1);
        for chunk in chunks {
            let idempotency_key = format!("{}-{}", self.boot, last.0 + 1);
            let append =
                Append { stream: stream.clone(), expected_last: last, idempotency_key, record: chunk };
            last = self.store.append(append).await?;
        }
        // The pointer comes last: until then the older snapshot stands.
        let pointer = format!("{} {} {}", first.0, last.0, self.holds.0);
        self.store.put(&key, Bytes::from(pointer), None, expect).await?;
        self.store.trim(&stream, first).await
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

/// The last entry of the log that the newest snapshot holds; none without a snapshot.
pub(crate) async fn newest_holds(store: &Arc<dyn Store>, shard: ShardId) -> Option<Sequence> {
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
pub(crate) async fn newest(store: &Arc<dyn Store>, shard: ShardId) -> Result<Option<Snapshot>, StoreError> {
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

#[cfg(test)]
mod tests {
    use sidetone_call_core::{Limits, Shard};
    use sidetone_model::fact::{Fact, FactKind};
    use sidetone_model::ids::{IdSource, TenantId};
    use sidetone_model::time::Timestamp;
    use sidetone_store::embedded::EmbeddedStore;
    use sidetone_store::{Entry, Record, RecordStream, Revision, WatchStream};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::owner::log::{Log, stream};

    /// A store that takes records of snapshots only with a permit, and tells when it is asked to.
    struct Slow {
        kept: Arc<EmbeddedStore>,
        asked: Semaphore,
        permits: Semaphore,
    }

    fn slow() -> Arc<Slow> {
        let kept = EmbeddedStore::in_memory().expect("a store");
        Arc::new(Slow { kept, asked: Semaphore::new(0), permits: Semaphore::new(0) })
    }

    #[async_trait::async_trait]
    impl Store for Slow {
        async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
            self.kept.get(key).await
        }
        async fn put(
            &self,
            key: &str,
            value: Bytes,
            expires_at: Option<Timestamp>,
            expect: Expect,
        ) -> Result<Revision, StoreError> {
            self.kept.put(key, value, expires_at, expect).await
        }
        async fn delete(&self, key: &str, expect: Expect) -> Result<(), StoreError> {
            self.kept.delete(key, expect).await
        }
        async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
            self.kept.list(prefix).await
        }
        async fn watch(&self, prefix: &str) -> Result<WatchStream, StoreError> {
            self.kept.watch(prefix).await
        }
        async fn append(&self, append: Append) -> Result<Sequence, StoreError> {
            if append.stream == snapshot_stream(ShardId(0)) {
                self.asked.add_permits(1);
                self.permits.acquire().await.expect("it is never closed").forget();
            }
            self.kept.append(append).await
        }
        async fn read(&self, stream: &str, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
            self.kept.read(stream, from, limit).await
        }
        async fn tail(&self, stream: &str, from: Sequence) -> Result<RecordStream, StoreError> {
            self.kept.tail(stream, from).await
        }
        async fn trim(&self, stream: &str, before: Sequence) -> Result<(), StoreError> {
            self.kept.trim(stream, before).await
        }
        async fn bounds(&self, stream: &str) -> Result<(Sequence, Sequence), StoreError> {
            self.kept.bounds(stream).await
        }
    }

    /// A call begins.
    async fn happens(log: &mut Log, state: &mut Shard, ids: &mut IdSource) {
        let at = Timestamp::from_millis(1_000);
        let kind = FactKind::CallCreated {
            call: ids.make(at),
            from: Default::default(),
            dialled: "200".into(),
            destination: None,
            by_application: false,
            anonymous: false,
            open: false,
            headers: Vec::new(),
            max_forwards: None,
        };
        let tenant = TenantId::new("demo").expect("a name");
        let record = FactRecord { facts: vec![Fact { tenant, at, kind }], ..FactRecord::default() };
        state.replay(&record);
        log.append(vec![record]).await.expect("the log is ours");
    }

    fn shard() -> Shard {
        Shard::new(Limits::default(), [1; 32])
    }

    #[tokio::test]
    async fn nobody_waits_for_a_snapshot_and_two_are_never_written_at_once() {
        let slow = slow();
        let store: Arc<dyn Store> = slow.clone();
        let mut ids = IdSource::seeded([2; 32]);
        let (boot, mut state) = (ids.make(Timestamp::default()), shard());
        let mut log = Log::open(Arc::clone(&store), ShardId(0), boot, &mut state).await.expect("empty");
        for _ in 0..5 {
            happens(&mut log, &mut state, &mut ids).await;
            log.snapshot_if_due(1, &state);
        }
        assert!(newest_holds(&store, ShardId(0)).await.is_none(), "none is written yet");
        assert_eq!(
            slow.kept.bounds(&stream(ShardId(0))).await.expect("there").1,
            Sequence(5),
            "the log went on"
        );
        slow.permits.add_permits(100);
        let holds = loop {
            match newest_holds(&store, ShardId(0)).await {
                Some(holds) => break holds,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(holds, Sequence(1), "what was there when it was begun");
        let mut again = shard();
        Log::open(Arc::clone(&store), ShardId(0), boot, &mut again).await.expect("readable");
        assert!(again.is_same_log(&state));
    }

    #[tokio::test]
    async fn one_whose_place_another_owner_has_taken_changes_nothing() {
        let slow = slow();
        let mut ids = IdSource::seeded([2; 32]);
        let mut writer = |store: Arc<dyn Store>, holds| {
            let boot = ids.make(Timestamp::default());
            Writer { store, shard: ShardId(0), boot, holds: Sequence(holds) }.try_write(Vec::new())
        };
        let late = tokio::spawn(writer(slow.clone(), 7));
        slow.asked.acquire().await.expect("it is never closed").forget();
        writer(slow.kept.clone(), 9).await.expect("it is alone");
        slow.permits.add_permits(1);
        assert!(late.await.expect("it ends").is_err());
        let store: Arc<dyn Store> = slow;
        assert_eq!(newest_holds(&store, ShardId(0)).await, Some(Sequence(9)));
    }
}
