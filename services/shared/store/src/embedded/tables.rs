//! The tables of the embedded store, and every change to them inside one write transaction.
//!
//! - `keys`: key -> (revision, expiry in ms or 0, value)
//! - `expiries`: (expiry in ms, key): what the sweeper walks
//! - `records`: (stream, sequence) -> record
//! - `streams`: stream -> (first kept, last, idempotency key of the last)
//! - `meta`: the format's version, the last revision that was given out, the last batch of the journal that is made
//!   here, and the name by which the journal knows its store
//!
//! The last record of a stream stays in `records` even when it has been trimmed, because a repeated append is
//! compared with it; `first` in `streams` hides it.

use bytes::Bytes;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use sidetone_model::time::Timestamp;

use super::failure;
use crate::contract::{Append, Entry, Expect, Revision, Sequence, WatchEvent};
use crate::error::StoreError;

type KeyRow = (u64, u64, &'static [u8]);
type StreamRow = (u64, u64, &'static str);

pub(super) const KEYS: TableDefinition<'_, &str, KeyRow> = TableDefinition::new("keys");
pub(super) const RECORDS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("records");
pub(super) const STREAMS: TableDefinition<'_, &str, StreamRow> = TableDefinition::new("streams");
pub(super) const EXPIRIES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("expiries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Every table, open for writing.
pub(super) struct Tables<'txn> {
    keys: Table<'txn, &'static str, KeyRow>,
    expiries: Table<'txn, (u64, &'static str), ()>,
    records: Table<'txn, (&'static str, u64), &'static [u8]>,
    streams: Table<'txn, &'static str, StreamRow>,
    meta: Table<'txn, &'static str, u64>,
    revision: u64,
    now: Timestamp,
}

/// What the journal must know of the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The name of this store.
    pub(super) store: u64,
    /// The last batch that is made.
    pub(super) batch: u64,
}

impl<'txn> Tables<'txn> {
    /// Opens (and at first makes) the tables. Fails when the file was written by a newer release. One that was written
    /// before there was a journal becomes one with a journal: an older release would not look into that.
    pub(super) fn open(transaction: &'txn WriteTransaction, now: Timestamp) -> Result<Self, StoreError> {
        let mut meta = transaction.open_table(META).map_err(failure)?;
        let format = meta.get(FORMAT_KEY).map_err(failure)?.map(|v| v.value());
        match format {
            None | Some(FORMAT_WITHOUT_JOURNAL) => drop(meta.insert(FORMAT_KEY, FORMAT).map_err(failure)?),
            Some(FORMAT) => {}
            Some(other) => {
                return Err(StoreError::Corrupt(format!("the file has format {other}, not {FORMAT}")));
            }
        }
        let revision = meta.get(REVISION_KEY).map_err(failure)?.map_or(0, |v| v.value());
        Ok(Self {
            keys: transaction.open_table(KEYS).map_err(failure)?,
            expiries: transaction.open_table(EXPIRIES).map_err(failure)?,
            records: transaction.open_table(RECORDS).map_err(failure)?,
            streams: transaction.open_table(STREAMS).map_err(failure)?,
            meta,
            revision,
            now,
        })
    }

    /// Keeps the counters. To be called once, last.
    pub(super) fn finish(mut self, batch: u64) -> Result<(), StoreError> {
        self.meta.insert(REVISION_KEY, self.revision).map_err(failure)?;
        self.meta.insert(BATCH_KEY, batch).map_err(failure)?;
        Ok(())
    }

    /// Where the journal has to go on. A new store gets `name`.
    pub(super) fn place(&mut self, name: u64) -> Result<Place, StoreError> {
        let store = self.meta.get(STORE_KEY).map_err(failure)?.map(|v| v.value());
        if store.is_none() {
            self.meta.insert(STORE_KEY, name).map_err(failure)?;
        }
        let batch = self.meta.get(BATCH_KEY).map_err(failure)?.map_or(0, |v| v.value());
        Ok(Place { store: store.unwrap_or(name), batch })
    }

    /// Sets a key. The inner error is the caller's; the outer one spoils the whole transaction.
    pub(super) fn put(
        &mut self,
        key: &str,
        value: &Bytes,
        expires_at: Option<Timestamp>,
        expect: Expect,
    ) -> Result<Result<(Revision, WatchEvent), StoreError>, StoreError> {
        let old = self.stored(key)?;
        if let Err(error) = meets(expect, old.and_then(|o| o.live(self.now))) {
            return Ok(Err(error));
        }
        self.forget_expiry(key, old)?;
        self.revision += 1;
        let expires_ms = expires_at.map_or(0, |t| t.as_millis().max(1));
        self.keys.insert(key, (self.revision, expires_ms, &value[..])).map_err(failure)?;
        if expires_ms != 0 {
            self.expiries.insert((expires_ms, key), ()).map_err(failure)?;
        }
        let revision = Revision(self.revision);
        let entry = Entry { key: key.to_owned(), value: value.clone(), revision, expires_at };
        Ok(Ok((revision, WatchEvent::Put(entry))))
    }

    /// Removes a key; tells a change only when there was one.
    pub(super) fn delete(
        &mut self,
        key: &str,
        expect: Expect,
    ) -> Result<Result<Option<WatchEvent>, StoreError>, StoreError> {
        let old = self.stored(key)?;
        if let Err(error) = meets(expect, old.and_then(|o| o.live(self.now))) {
            return Ok(Err(error));
        }
        if old.is_none() {
            return Ok(Ok(None));
        }
        self.forget_expiry(key, old)?;
        self.keys.remove(key).map_err(failure)?;
        Ok(Ok(Some(WatchEvent::Deleted(key.to_owned()))))
    }

    /// Writes one record. The order of the checks matters: a repeated attempt always has an outdated end.
    pub(super) fn append(&mut self, append: &Append) -> Result<Result<Sequence, StoreError>, StoreError> {
        let stream = append.stream.as_str();
        let (first, last, repeated) = match self.streams.get(stream).map_err(failure)? {
            Some(row) => {
                let (first, last, key) = row.value();
                (first, last, last > 0 && key == append.idempotency_key)
            }
            None => (1, 0, false),
        };
        if repeated {
            let same = self.records.get((stream, last)).map_err(failure)?;
            let same = same.is_some_and(|r| r.value() == &append.record[..]);
            return Ok(if same { Ok(Sequence(last)) } else { Err(StoreError::KeyReused) });
        }
        if append.expected_last != Sequence(last) {
            return Ok(Err(StoreError::SequenceMismatch { current: Sequence(last) }));
        }
        if first > last && last > 0 {
            self.records.remove((stream, last)).map_err(failure)?;
        }
        let next = last + 1;
        self.records.insert((stream, next), &append.record[..]).map_err(failure)?;
        let row = (first, next, append.idempotency_key.as_str());
        self.streams.insert(stream, row).map_err(failure)?;
        Ok(Ok(Sequence(next)))
    }

    /// Forgets the records before `before`.
    pub(super) fn trim(&mut self, stream: &str, before: Sequence) -> Result<(), StoreError> {
        let row = self.streams.get(stream).map_err(failure)?;
        let Some((first, last, key)) = row.map(|r| {
            let (first, last, key) = r.value();
            (first, last, key.to_owned())
        }) else {
            return Ok(());
        };
        let before = before.0.min(last + 1);
        if before <= first {
            return Ok(());
        }
        let range = (stream, first)..(stream, before.min(last));
        self.records.retain_in(range, |_, _| false).map_err(failure)?;
        self.streams.insert(stream, (before, last, key.as_str())).map_err(failure)?;
        Ok(())
    }

    /// Removes up to `max` keys that have expired.
    pub(super) fn sweep(&mut self, max: usize) -> Result<Vec<WatchEvent>, StoreError> {
        let end = self.now.as_millis().saturating_add(1);
        let mut due = Vec::new();
        for row in self.expiries.range(..(end, "")).map_err(failure)?.take(max) {
            let (row, _) = row.map_err(failure)?;
            let (expires_ms, key) = row.value();
            due.push((expires_ms, key.to_owned()));
        }
        let mut events = Vec::with_capacity(due.len());
        for (expires_ms, key) in due {
            self.expiries.remove((expires_ms, key.as_str())).map_err(failure)?;
            if self.stored(&key)?.is_some_and(|o| o.expires_ms == expires_ms) {
                self.keys.remove(key.as_str()).map_err(failure)?;
                events.push(WatchEvent::Deleted(key));
            }
        }
        Ok(events)
    }

    fn stored(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let row = self.keys.get(key).map_err(failure)?;
        Ok(row.map(|row| {
            let (revision, expires_ms, _) = row.value();
            Stored { revision: Revision(revision), expires_ms }
        }))
    }

    fn forget_expiry(&mut self, key: &str, old: Option<Stored>) -> Result<(), StoreError> {
        if let Some(old) = old.filter(|o| o.expires_ms != 0) {
            self.expiries.remove((old.expires_ms, key)).map_err(failure)?;
        }
        Ok(())
    }
}

/// What is kept of a key beside its value.
#[derive(Clone, Copy)]
struct Stored {
    revision: Revision,
    expires_ms: u64,
}

impl Stored {
    fn live(self, now: Timestamp) -> Option<Revision> {
        (!is_expired(self.expires_ms, now)).then_some(self.revision)
    }
}

/// Whether a key is past its time. It is good before its expiry, and gone at that very millisecond.
pub(super) fn is_expired(expires_ms: u64, now: Timestamp) -> bool {
    expires_ms != 0 && expires_ms <= now.as_millis()
}

fn meets(expect: Expect, current: Option<Revision>) -> Result<(), StoreError> {
    let met = match expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::Revision(revision) => current == Some(revision),
    };
    if met { Ok(()) } else { Err(StoreError::RevisionMismatch { current }) }
}

const FORMAT: u64 = 2;
const FORMAT_WITHOUT_JOURNAL: u64 = 1;
const FORMAT_KEY: &str = "format";
const REVISION_KEY: &str = "revision";
const BATCH_KEY: &str = "batch";
const STORE_KEY: &str = "store";
