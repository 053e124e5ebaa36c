//! Subscriptions in the store beside the registrations, so that phones need not subscribe again when a replica was restarted.
//!
//! They are written soon, and not before the answer goes out: what is lost with a replica that dies in that moment the phone gets
//! back with its next refresh, which finds no subscription (481) and makes one anew (RFC 6665, section 4.1.2.2).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use sidetone_model::ids::{LegId, ReplicaId};
use sidetone_model::time::Timestamp;
use sidetone_sip_core::events::StoredSubscription;
use sidetone_store::{Expect, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One subscription as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct Record {
    #[prost(string, tag = "1")]
    pub(crate) tenant: String,
    /// Whose device has subscribed.
    #[prost(string, tag = "2")]
    pub(crate) user: String,
    #[prost(string, tag = "3")]
    pub(crate) device: String,
    /// Who is watched.
    #[prost(string, tag = "4")]
    pub(crate) watched: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) subscription: Option<StoredSubscription>,
    /// The watcher is not told with whom the watched user talks.
    #[prost(bool, tag = "6")]
    pub(crate) nameless: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({})", self.tenant)
    }
}

/// What is to be done with one record: written, with the time until which it is good, or removed.
type Change = (LegId, Option<(Bytes, Timestamp)>);

/// Writes and removes records in their order, those that have come together in one commit of the store.
#[derive(Debug)]
pub(crate) struct Records {
    changes: mpsc::Sender<Change>,
    task: JoinHandle<()>,
}

impl Records {
    pub(crate) fn start(store: Arc<dyn Store>, replica: &ReplicaId) -> Self {
        let (changes, mut waiting) = mpsc::channel(CHANGES_MAX);
        let prefix = prefix(replica);
        let task = tokio::spawn(async move {
            let mut together = Vec::new();
            while waiting.recv_many(&mut together, TOGETHER).await > 0 {
                // Of several changes of one record the last counts.
                let last: HashMap<_, _> = together.drain(..).collect();
                join_all(last.into_iter().map(|(id, change)| write(&*store, &prefix, id, change))).await;
            }
        });
        Self { changes, task }
    }

    /// All that a former life has left.
    pub(crate) async fn load(
        store: &dyn Store,
        replica: &ReplicaId,
    ) -> Result<Vec<(LegId, Record)>, StoreError> {
        let prefix = prefix(replica);
        let entries = store.list(&prefix).await?;
        let read = |entry: &sidetone_store::Entry| {
            let id = entry.key.strip_prefix(&prefix)?.parse().ok()?;
            Some((id, Record::decode(entry.value.clone()).ok()?))
        };
        Ok(entries.iter().filter_map(read).collect())
    }

    /// Has a record written soon; false when too many wait.
    pub(crate) fn put(&self, id: LegId, record: &Record, expires_at: Timestamp) -> bool {
        self.changes.try_send((id, Some((record.encode_to_vec().into(), expires_at)))).is_ok()
    }

    /// Has a record removed soon; false when too many wait, and it stays until its time is up.
    pub(crate) fn remove(&self, id: LegId) -> bool {
        self.changes.try_send((id, None)).is_ok()
    }

    /// Comes back when nothing is left to be written, or the store does not answer.
    pub(crate) async fn finish(self) {
        drop(self.changes);
        let _best_effort = tokio::time::timeout(DEADLINE, self.task).await;
    }
}

async fn write(store: &dyn Store, prefix: &str, id: LegId, change: Option<(Bytes, Timestamp)>) {
    let key = format!("{prefix}{id}");
    let writing = async {
        match change {
            Some((value, expires_at)) => {
                store.put(&key, value, Some(expires_at), Expect::Any).await.map(drop)
            }
            None => store.delete(&key, Expect::Any).await,
        }
    };
    // The phone's next refresh makes good what is not written now.
    if !matches!(tokio::time::timeout(DEADLINE, writing).await, Ok(Ok(()))) {
        tracing::debug!(subscription = %id, "the record of a subscription was not written in time");
    }
}

fn prefix(replica: &ReplicaId) -> String {
    format!("signalling-subscriptions/{replica}/")
}

/// Changes that may wait to be written.
const CHANGES_MAX: usize = 16_384;
/// How many are written at once at most.
const TOGETHER: usize = 256;
const DEADLINE: Duration = Duration::from_secs(1);
