//! The store: keys with revisions, expiry and watch, beside append-only streams with cursors.
//!
//! One trait, [`Store`], and one contract, which is what NATS JetStream can honestly give; no backend offers more:
//!
//! - No transaction over several keys or streams.
//! - A revision is opaque and only good for comparing; revisions have gaps.
//! - Expiry is a time inside the value. It is checked on every read; a sweeper removes what is left.
//! - A watch is a snapshot, then [`WatchEvent::Current`], then changes. Changes of one key may be coalesced into the
//!   last one, and an expiry may not be told at all.
//! - An append takes the sequence number the stream is expected to end with, an idempotency key and one record.
//! - Values and records are at most [`VALUE_BYTES_MAX`] bytes, keys at most [`KEY_BYTES_MAX`].
#![forbid(unsafe_code)]

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
pub mod embedded;
mod error;
pub mod key;
pub mod remote;
pub mod service;
mod wire;

pub use clock::{Clock, ManualClock};
pub use contract::{
    Append, Entry, Expect, KEY_BYTES_MAX, Record, RecordStream, Revision, Sequence, Store, VALUE_BYTES_MAX,
    WatchEvent, WatchStream,
};
pub use error::StoreError;
