//! A change of the store as a value: it is written into the journal, and made in the tables, now or after a crash.

use bytes::Bytes;
use prost::Message as _;
use sidetone_model::time::Timestamp;

use super::tables::Tables;
use crate::contract::{Append, Expect, Revision, Sequence, WatchEvent};
use crate::error::StoreError;

/// One change. Made on the same state at the same time it has the same outcome, also when that is a refusal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Put { key: String, value: Bytes, expires_at: Option<Timestamp>, expect: Expect },
    Delete { key: String, expect: Expect },
    Append(Append),
    Trim { stream: String, before: Sequence },
    Sweep,
}

/// What came of a change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Made {
    Put(Revision),
    Appended(Sequence),
    Nothing,
}

/// What a batch of changes has changed.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) events: Vec<WatchEvent>,
    pub(super) appended: Vec<(String, Sequence)>,
    pub(super) changes: u64,
    pub(super) swept: u64,
}

impl Change {
    /// About how many bytes it is.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Append(append) => append.record.len(),
            _ => 0,
        }
    }

    /// Makes the change. The inner error is the caller's; the outer one spoils the whole transaction.
    pub(super) fn apply(
        &self,
        tables: &mut Tables<'_>,
        outcome: &mut Outcome,
    ) -> Result<Result<Made, StoreError>, StoreError> {
        Ok(match self {
            Self::Put { key, value, expires_at, expect } => {
                tables.put(key, value, *expires_at, *expect)?.map(|(revision, event)| {
                    outcome.note(event);
                    Made::Put(revision)
                })
            }
            Self::Delete { key, expect } => tables.delete(key, *expect)?.map(|event| {
                event.into_iter().for_each(|event| outcome.note(event));
                Made::Nothing
            }),
            Self::Append(append) => tables.append(append)?.map(|sequence| {
                outcome.changes += 1;
                outcome.appended.push((append.stream.clone(), sequence));
                Made::Appended(sequence)
            }),
            Self::Trim { stream, before } => {
                tables.trim(stream, *before)?;
                Ok(Made::Nothing)
            }
            Self::Sweep => {
                let events = tables.sweep(SWEEP_KEYS_MAX)?;
                outcome.swept += events.len() as u64;
                outcome.events.extend(events);
                Ok(Made::Nothing)
            }
        })
    }
}

impl Outcome {
    fn note(&mut self, event: WatchEvent) {
        self.changes += 1;
        self.events.push(event);
    }
}

/// The changes of one commit, with the time by which they were made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) now: Timestamp,
    pub(super) changes: Vec<Change>,
}

impl Batch {
    /// As bytes of the journal.
    pub(super) fn encode(now: Timestamp, changes: &[Change]) -> Vec<u8> {
        let changes = changes.iter().map(StoredChange::from).collect();
        StoredBatch { now_ms: now.as_millis(), changes }.encode_to_vec()
    }

    /// None for what no release of ours has written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored = StoredBatch::decode(bytes).ok()?;
        let changes = stored.changes.into_iter().map(StoredChange::change).collect::<Option<_>>()?;
        Some(Self { now: Timestamp::from_millis(stored.now_ms), changes })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredBatch {
    #[prost(uint64, tag = "1")]
    now_ms: u64,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<StoredChange>,
}

/// A change in the journal. What a field means depends on the kind; what a kind does not use is left out.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredChange {
    #[prost(enumeration = "Kind", tag = "1")]
    kind: i32,
    /// The key, or the stream.
    #[prost(string, tag = "2")]
    name: String,
    /// The value, or the record.
    #[prost(bytes = "bytes", tag = "3")]
    content: Bytes,
    #[prost(uint64, optional, tag = "4")]
    expires_ms: Option<u64>,
    /// The revision that is expected: 0 for a key that must be absent, nothing for any.
    #[prost(uint64, optional, tag = "5")]
    expect: Option<u64>,
    /// The end that is expected of an append, or the first record that a trim keeps.
    #[prost(uint64, tag = "6")]
    sequence: u64,
    #[prost(string, tag = "7")]
    idempotency_key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Unspecified = 0,
    Put = 1,
    Delete = 2,
    Append = 3,
    Trim = 4,
    Sweep = 5,
}

impl From<&Change> for StoredChange {
    fn from(change: &Change) -> Self {
        let of =
            |kind: Kind, name: &str| Self { kind: kind.into(), name: name.to_owned(), ..Self::default() };
        match change {
            Change::Put { key, value, expires_at, expect } => Self {
                content: value.clone(),
                expires_ms: expires_at.map(Timestamp::as_millis),
                expect: expected(*expect),
                ..of(Kind::Put, key)
            },
            Change::Delete { key, expect } => Self { expect: expected(*expect), ..of(Kind::Delete, key) },
            Change::Append(append) => Self {
                content: append.record.clone(),
                sequence: append.expected_last.0,
                idempotency_key: append.idempotency_key.clone(),
                ..of(Kind::Append, &append.stream)
            },
            Change::Trim { stream, before } => Self { sequence: before.0, ..of(Kind::Trim, stream) },
            Change::Sweep => of(Kind::Sweep, ""),
        }
    }
}

impl StoredChange {
    fn change(self) -> Option<Change> {
        let kind = self.kind();
        let expect = match self.expect {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(revision) => Expect::Revision(Revision(revision)),
        };
        Some(match kind {
            Kind::Unspecified => return None,
            Kind::Put => Change::Put {
                key: self.name,
                value: self.content,
                expires_at: self.expires_ms.map(Timestamp::from_millis),
                expect,
            },
            Kind::Delete => Change::Delete { key: self.name, expect },
            Kind::Append => Change::Append(Append {
                stream: self.name,
                expected_last: Sequence(self.sequence),
                idempotency_key: self.idempotency_key,
                record: self.content,
            }),
            Kind::Trim => Change::Trim { stream: self.name, before: Sequence(self.sequence) },
            Kind::Sweep => Change::Sweep,
        })
    }
}

fn expected(expect: Expect) -> Option<u64> {
    match expect {
        Expect::Any => None,
        Expect::Absent => Some(0),
        Expect::Revision(revision) => Some(revision.0),
    }
}

/// How many keys one sweep removes.
const SWEEP_KEYS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_read_back_as_it_was_written() {
        let put = |expires_at, expect| Change::Put {
            key: "k".into(),
            value: Bytes::from_static(b"\0v"),
            expires_at,
            expect,
        };
        let append = Append {
            stream: "s".into(),
            expected_last: Sequence(0),
            idempotency_key: "i".into(),
            record: Bytes::new(),
        };
        let changes = vec![
            put(None, Expect::Any),
            put(Some(Timestamp::from_millis(0)), Expect::Absent),
            put(Some(Timestamp::from_millis(7)), Expect::Revision(Revision(u64::MAX))),
            Change::Delete { key: "k".into(), expect: Expect::Absent },
            Change::Append(append),
            Change::Trim { stream: "s".into(), before: Sequence(9) },
            Change::Sweep,
        ];
        let now = Timestamp::from_millis(1_700_000_000_000);
        let read = Batch::decode(&Batch::encode(now, &changes));
        assert_eq!(read, Some(Batch { now, changes }));
        assert_eq!(Batch::decode(b"\xff"), None);
    }
}
