//! Confirmed dialogs in the store, so that calls outlive the process (design, rule 11).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use sidetone_model::ids::{LegId, ReplicaId};
use sidetone_sip_core::leg::StoredLeg;
use sidetone_store::{Expect, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One dialog as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct StoredDialog {
    #[prost(string, tag = "1")]
    pub(crate) tenant: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) leg: Option<StoredLeg>,
    /// The number of the leg's last signal when this was written.
    #[prost(uint64, tag = "3")]
    pub(crate) last_signal_n: u64,
    /// Whose device it is, when that is known.
    #[prost(string, tag = "4")]
    pub(crate) user: String,
    #[prost(string, tag = "5")]
    pub(crate) device: String,
    /// Of which call the leg is one, when that is known.
    #[prost(string, tag = "6")]
    pub(crate) call: String,
    /// When this was written, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "7")]
    pub(crate) at_unix_ms: u64,
    /// Over which trunk the call goes; empty for none.
    #[prost(string, tag = "8")]
    pub(crate) trunk: String,
    /// The +sip.instance of its phone; empty where it is not known.
    #[prost(string, tag = "9")]
    pub(crate) instance: String,
}

impl std::fmt::Debug for StoredDialog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredDialog({})", self.tenant)
    }
}

/// The dialogs of one replica. The store gathers what is written at the same time into one commit.
#[derive(Clone)]
pub(crate) struct Dialogs {
    store: Arc<dyn Store>,
    prefix: String,
}

impl Dialogs {
    pub(crate) fn new(store: Arc<dyn Store>, replica: &ReplicaId) -> Self {
        Self { store, prefix: format!("signalling-dialogs/{replica}/") }
    }

    /// All that a former life has left.
    pub(crate) async fn load(&self) -> Result<Vec<(LegId, StoredDialog)>, StoreError> {
        let entries = self.store.list(&self.prefix).await?;
        let read = |entry: &sidetone_store::Entry| {
            let leg = entry.key.strip_prefix(&self.prefix)?.parse().ok()?;
            Some((leg, StoredDialog::decode(entry.value.clone()).ok()?))
        };
        Ok(entries.iter().filter_map(read).collect())
    }

    /// Writes one; false when that was not done in time.
    pub(crate) async fn put(&self, leg: LegId, dialog: &StoredDialog) -> bool {
        let key = format!("{}{leg}", self.prefix);
        let writing = self.store.put(&key, Bytes::from(dialog.encode_to_vec()), None, Expect::Any);
        matches!(tokio::time::timeout(DEADLINE, writing).await, Ok(Ok(_)))
    }

    /// Removes one. What stays for want of an answer is removed when call control does not know it.
    async fn remove(&self, leg: LegId) {
        let key = format!("{}{leg}", self.prefix);
        let _best_effort = tokio::time::timeout(DEADLINE, self.store.delete(&key, Expect::Any)).await;
    }
}

/// Removes the records of legs that are over: those that have come together, in one commit of the store.
#[derive(Debug)]
pub(crate) struct Removal {
    over: mpsc::Sender<LegId>,
    task: JoinHandle<()>,
}

impl Removal {
    pub(crate) fn start(dialogs: Dialogs) -> Self {
        let (over, mut legs) = mpsc::channel(REMOVALS_MAX);
        let task = tokio::spawn(async move {
            let mut together = Vec::new();
            while legs.recv_many(&mut together, TOGETHER).await > 0 {
                join_all(together.drain(..).map(|leg| dialogs.remove(leg))).await;
                if !legs.is_closed() {
                    tokio::time::sleep(BETWEEN_REMOVALS).await;
                }
            }
        });
        Self { over, task }
    }

    /// Has a record removed soon; false when too many wait, and it stays until call control says that it does not know the
    /// leg.
    pub(crate) fn remove(&self, leg: LegId) -> bool {
        self.over.try_send(leg).is_ok()
    }

    /// Comes back when nothing is left to be removed, or the store does not answer.
    pub(crate) async fn finish(self) {
        drop(self.over);
        let _best_effort = tokio::time::timeout(DEADLINE, self.task).await;
    }
}

/// Records that may wait to be removed.
const REMOVALS_MAX: usize = 16_384;
/// How many are removed at once at most.
const TOGETHER: usize = 256;
/// How long the next ones are gathered.
const BETWEEN_REMOVALS: Duration = Duration::from_millis(20);
/// A caller waits no longer for its 200, whatever the store does.
const DEADLINE: Duration = Duration::from_secs(1);
