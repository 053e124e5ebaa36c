//! The trait that every backend implements and the conformance suite tests.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use sidetone_model::time::Timestamp;

use crate::error::StoreError;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// The largest value or record, in bytes.
pub const VALUE_BYTES_MAX: usize = 512 * 1024;

/// A state of a key. Only good for comparing with another of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub u64);

/// The place of a record in its stream, counted from 1. 0 stands before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sequence(pub u64);

impl std::fmt::Display for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What must be true of a key for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It does not exist, or has expired.
    Absent,
    /// It has this revision.
    Revision(Revision),
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Its state.
    pub revision: Revision,
    /// Good until then; none is for ever.
    pub expires_at: Option<Timestamp>,
}

/// One record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub sequence: Sequence,
    /// Its content.
    pub record: Bytes,
}

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream, named like a key.
    pub stream: String,
    /// Where the stream ends, as far as the writer knows. It is the fence between two writers.
    pub expected_last: Sequence,
    /// Names this very attempt, 1 to 128 characters: the same key as that of the stream's last record, with the same
    /// content, is answered as the first time.
    pub idempotency_key: String,
    /// The content.
    pub record: Bytes,
}

/// One step of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// The key has this value.
    Put(Entry),
    /// The key is gone.
    Deleted(String),
    /// Everything that was there at the start has been told.
    Current,
}

/// A watch. It ends with an error when it can no longer be kept up; then watch again.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, StoreError>>;
/// Records in order.
pub type RecordStream = BoxStream<'static, Result<Record, StoreError>>;

/// Keys with revisions and watch, and append-only streams. See the crate's documentation for the contract.
///
/// Success of a change means that it is durable.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value of a key; none when it is absent or expired.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Sets a key.
    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expires_at: Option<Timestamp>,
        expect: Expect,
    ) -> Result<Revision, StoreError>;

    /// Removes a key. Removing what is not there is success with [`Expect::Any`].
    async fn delete(&self, key: &str, expect: Expect) -> Result<(), StoreError>;

    /// Every unexpired key that starts with `prefix`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// The keys that start with `prefix`, now and as they change.
    async fn watch(&self, prefix: &str) -> Result<WatchStream, StoreError>;

    /// Writes one record at the end of a stream.
    async fn append(&self, append: Append) -> Result<Sequence, StoreError>;

    /// Up to `limit` records from `from` on. There may be fewer although more are there; only an empty answer says
    /// that the stream ends before `from`.
    async fn read(&self, stream: &str, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Records from `from` on, and then new ones as they are written.
    async fn tail(&self, stream: &str, from: Sequence) -> Result<RecordStream, StoreError>;

    /// Forgets the records before `before`.
    async fn trim(&self, stream: &str, before: Sequence) -> Result<(), StoreError>;

    /// First and last record that are kept; both 0 for a stream nobody has written to. The last number survives a
    /// trim of everything, and the first is one more then.
    async fn bounds(&self, stream: &str) -> Result<(Sequence, Sequence), StoreError>;
}
