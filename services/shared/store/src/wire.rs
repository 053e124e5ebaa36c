//! The contract's types and errors in the form of `store.v1`.
//!
//! An error travels as its gRPC status with two metadata: `store-error`, the stable word of the error, and
//! `current`, the number that goes with it (a revision, a sequence number or a size).

use sidetone_model::classify::Classify as _;
use sidetone_model::time::Timestamp;
use sidetone_proto::store::v1 as pb;
use tonic::{Code, Status};

use crate::contract::{Entry, Expect, Record, Revision, Sequence, VALUE_BYTES_MAX, WatchEvent};
use crate::error::StoreError;

pub(crate) fn expiry(unix_ms: u64) -> Option<Timestamp> {
    (unix_ms != 0).then(|| Timestamp::from_millis(unix_ms))
}

/// 0 means never on the wire, and the epoch itself is past in any case.
pub(crate) fn expiry_ms(expires_at: Option<Timestamp>) -> u64 {
    expires_at.map_or(0, |t| t.as_millis().max(1))
}

impl From<Entry> for pb::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            key: entry.key,
            value: entry.value,
            revision: entry.revision.0,
            expires_unix_ms: expiry_ms(entry.expires_at),
        }
    }
}

impl From<pb::Entry> for Entry {
    fn from(entry: pb::Entry) -> Self {
        Self {
            key: entry.key,
            value: entry.value,
            revision: Revision(entry.revision),
            expires_at: expiry(entry.expires_unix_ms),
        }
    }
}

impl From<Record> for pb::Record {
    fn from(record: Record) -> Self {
        Self { sequence: record.sequence.0, record: record.record }
    }
}

impl From<pb::Record> for Record {
    fn from(record: pb::Record) -> Self {
        Self { sequence: Sequence(record.sequence), record: record.record }
    }
}

impl From<WatchEvent> for pb::WatchEvent {
    fn from(event: WatchEvent) -> Self {
        use pb::watch_event::{Current, Kind};
        let kind = match event {
            WatchEvent::Put(entry) => Kind::Put(entry.into()),
            WatchEvent::Deleted(key) => Kind::Deleted(key),
            WatchEvent::Current => Kind::Current(Current {}),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::WatchEvent> for WatchEvent {
    type Error = StoreError;
    fn try_from(event: pb::WatchEvent) -> Result<Self, StoreError> {
        use pb::watch_event::Kind;
        match event.kind {
            Some(Kind::Put(entry)) => Ok(Self::Put(entry.into())),
            Some(Kind::Deleted(key)) => Ok(Self::Deleted(key)),
            Some(Kind::Current(_)) => Ok(Self::Current),
            None => Err(StoreError::Corrupt("a watch told something unknown".to_owned())),
        }
    }
}

pub(crate) fn expect_message(expect: Expect) -> pb::Expect {
    use pb::expect::{Absent, Any, Kind};
    let kind = match expect {
        Expect::Any => Kind::Any(Any {}),
        Expect::Absent => Kind::Absent(Absent {}),
        Expect::Revision(revision) => Kind::Revision(revision.0),
    };
    pb::Expect { kind: Some(kind) }
}

/// What a request expects. To leave it out would silently mean anything, so that is refused.
pub(crate) fn expect(expect: Option<pb::Expect>) -> Result<Expect, Status> {
    use pb::expect::Kind;
    match expect.and_then(|e| e.kind) {
        Some(Kind::Any(_)) => Ok(Expect::Any),
        Some(Kind::Absent(_)) => Ok(Expect::Absent),
        Some(Kind::Revision(0)) => {
            Err(status(&StoreError::BadKey { reason: "`expect.revision` is at least 1" }))
        }
        Some(Kind::Revision(revision)) => Ok(Expect::Revision(Revision(revision))),
        None => Err(status(&StoreError::BadKey { reason: "`expect` is missing" })),
    }
}

/// An error as it is told to a client.
pub(crate) fn status(error: &StoreError) -> Status {
    let mut status = sidetone_runtime::status(error);
    let current = match error {
        StoreError::RevisionMismatch { current } => current.map(|r| r.0),
        StoreError::SequenceMismatch { current } => Some(current.0),
        StoreError::Trimmed { first } => Some(first.0),
        StoreError::TooLarge { bytes, .. } => Some(*bytes as u64),
        _ => None,
    };
    if let Ok(reason) = error.reason().parse() {
        status.metadata_mut().insert(REASON, reason);
    }
    if let Some(current) = current {
        status.metadata_mut().insert(CURRENT, current.into());
    }
    status
}

/// The error behind a status. What did not come from a store is a store that cannot be reached.
pub(crate) fn error(status: &Status) -> StoreError {
    let text = |name| status.metadata().get(name).and_then(|v| v.to_str().ok());
    let current = text(CURRENT).and_then(|c| c.parse::<u64>().ok());
    match (text(REASON), current) {
        (Some("revision_mismatch"), current) => {
            StoreError::RevisionMismatch { current: current.map(Revision) }
        }
        (Some("sequence_mismatch"), Some(current)) => {
            StoreError::SequenceMismatch { current: Sequence(current) }
        }
        (Some("trimmed"), Some(first)) => StoreError::Trimmed { first: Sequence(first) },
        (Some("too_large"), Some(bytes)) => {
            StoreError::TooLarge { bytes: bytes as usize, max: VALUE_BYTES_MAX }
        }
        (Some("key_reused"), _) => StoreError::KeyReused,
        (Some("bad_key"), _) => StoreError::BadKey { reason: "the store refuses the key" },
        (Some("corrupt"), _) => StoreError::Corrupt(status.message().to_owned()),
        _ if matches!(status.code(), Code::Unimplemented | Code::DataLoss) => {
            StoreError::Corrupt(status.message().to_owned())
        }
        _ => StoreError::Unavailable(status.message().to_owned()),
    }
}

const REASON: &str = "store-error";
const CURRENT: &str = "current";
