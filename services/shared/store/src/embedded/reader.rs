//! Reading: each call sees the last durable state.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase};
use sidetone_model::time::Timestamp;

use super::failure;
use super::tables::{EXPIRIES, KEYS, RECORDS, STREAMS, is_expired};
use crate::contract::{Entry, Record, Revision, Sequence};
use crate::error::StoreError;

pub(super) fn get(database: &Arc<Database>, key: &str, now: Timestamp) -> Result<Option<Entry>, StoreError> {
    let view = database.begin_read().map_err(failure)?;
    let keys = view.open_table(KEYS).map_err(failure)?;
    let row = keys.get(key).map_err(failure)?;
    Ok(row.and_then(|row| entry(key, row.value(), now)))
}

pub(super) fn list(view: &ReadTransaction, prefix: &str, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
    let keys = view.open_table(KEYS).map_err(failure)?;
    let mut entries = Vec::new();
    for row in keys.range(prefix..).map_err(failure)? {
        let (key, value) = row.map_err(failure)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        entries.extend(entry(key.value(), value.value(), now));
    }
    Ok(entries)
}

/// First and last of a stream, and the records from `from` on, as many as fit the limits but at least one.
pub(super) fn read(
    database: &Arc<Database>,
    stream: &str,
    from: Sequence,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let view = database.begin_read().map_err(failure)?;
    let (first, last) = bounds_in(&view, stream)?;
    let from = from.0.max(1);
    if from < first.0 {
        return Err(StoreError::Trimmed { first });
    }
    let mut records = Vec::new();
    if limit == 0 || from > last.0 {
        return Ok(records);
    }
    let mut bytes = 0;
    let table = view.open_table(RECORDS).map_err(failure)?;
    for row in table.range((stream, from)..=(stream, last.0)).map_err(failure)? {
        let (key, record) = row.map_err(failure)?;
        let record = Bytes::copy_from_slice(record.value());
        bytes += record.len();
        records.push(Record { sequence: Sequence(key.value().1), record });
        if records.len() >= limit || bytes >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(records)
}

pub(super) fn bounds(database: &Arc<Database>, stream: &str) -> Result<(Sequence, Sequence), StoreError> {
    bounds_in(&database.begin_read().map_err(failure)?, stream)
}

/// Whether a sweep would find something.
pub(super) fn has_expired(database: &Database, now: Timestamp) -> Result<bool, StoreError> {
    let expiries = database.begin_read().map_err(failure)?.open_table(EXPIRIES).map_err(failure)?;
    let due = ..(now.as_millis().saturating_add(1), "");
    Ok(expiries.range(due).map_err(failure)?.next().is_some())
}

fn bounds_in(view: &ReadTransaction, stream: &str) -> Result<(Sequence, Sequence), StoreError> {
    let streams = view.open_table(STREAMS).map_err(failure)?;
    let row = streams.get(stream).map_err(failure)?;
    Ok(row.map_or((Sequence(0), Sequence(0)), |row| {
        let (first, last, _) = row.value();
        (Sequence(first), Sequence(last))
    }))
}

fn entry(key: &str, (revision, expires_ms, value): (u64, u64, &[u8]), now: Timestamp) -> Option<Entry> {
    (!is_expired(expires_ms, now)).then(|| Entry {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value),
        revision: Revision(revision),
        expires_at: (expires_ms != 0).then(|| Timestamp::from_millis(expires_ms)),
    })
}

/// How many bytes of records one read returns, before the last one.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;
