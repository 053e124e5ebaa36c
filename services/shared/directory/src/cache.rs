//! A bounded cache of single records, and of what stands in a folder of them, which a watch of the store keeps fresh.
//!
//! A change that the watch tells only removes the key from the cache; the next reader asks the store. So it does not
//! matter that changes may be coalesced, and what a reader has fetched is kept only if no change at all was told since
//! it began to ask. An expired record is not served, whether its expiry was told or not. While there is no watch the
//! cache is empty and every reader asks the store.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use sidetone_model::time::Timestamp;
use sidetone_store::{Entry, Store, StoreError, WatchEvent};
use tokio::task::AbortHandle;

use crate::keys;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    fresh: bool,
    /// Grows with every change that is told.
    changes: u64,
    kept: HashMap<String, Option<Entry>>,
    /// By the folder, which ends with a slash.
    folders: HashMap<String, Vec<Entry>>,
}

impl State {
    fn forget(&mut self, key: &str) {
        self.changes += 1;
        self.kept.remove(key);
        if let Some(slash) = key.rfind('/') {
            self.folders.remove(&key[..=slash]);
        }
    }
}

/// Ends the watch when the directory is gone.
#[derive(Debug)]
pub(crate) struct Watching(AbortHandle);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cache {
    /// Reads a key through the cache.
    pub(crate) async fn get(
        &self,
        store: &dyn Store,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Entry>, StoreError> {
        let changes = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            match state.kept.get(key).filter(|_| state.fresh) {
                Some(None) => return Ok(None),
                Some(Some(entry)) if entry.expires_at.is_none_or(|t| t > now) => {
                    return Ok(Some(entry.clone()));
                }
                _ => state.changes,
            }
        };
        let entry = store.get(key).await?;
        self.change(|state| {
            if state.fresh && state.changes == changes {
                if state.kept.len() >= KEYS_MAX {
                    state.kept.clear();
                }
                state.kept.insert(key.to_owned(), entry.clone());
            }
        });
        Ok(entry)
    }

    /// Reads everything in a folder through the cache. For folders without folders in them, of records that do not expire.
    pub(crate) async fn folder(&self, store: &dyn Store, folder: &str) -> Result<Vec<Entry>, StoreError> {
        let changes = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            match state.folders.get(folder).filter(|_| state.fresh) {
                Some(entries) => return Ok(entries.clone()),
                None => state.changes,
            }
        };
        let entries = store.list(folder).await?;
        self.change(|state| {
            if state.fresh && state.changes == changes {
                if state.folders.len() >= KEYS_MAX {
                    state.folders.clear();
                }
                state.folders.insert(folder.to_owned(), entries.clone());
            }
        });
        Ok(entries)
    }

    /// Forgets a key that we are about to change, or have changed, ourselves: our own reader must not wait for the
    /// watch.
    pub(crate) fn forget(&self, key: &str) {
        self.change(|state| state.forget(key));
    }

    /// Starts the watch. Without a runtime there is none, and nothing is cached.
    pub(crate) fn watch(self: &Arc<Self>, store: Arc<dyn Store>) -> Option<Watching> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let task = runtime.spawn(keep_fresh(Arc::downgrade(self), store));
        Some(Watching(task.abort_handle()))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn handle_event(&self, event: WatchEvent) {
        match event {
            WatchEvent::Current => self.change(|state| state.fresh = true),
            WatchEvent::Put(Entry { key, .. }) | WatchEvent::Deleted(key) => self.forget(&key),
        }
    }

    fn lose(&self) {
        self.change(|state| {
            *state = State { changes: state.changes + 1, ..State::default() };
        });
    }
}

async fn keep_fresh(cache: Weak<Cache>, store: Arc<dyn Store>) {
    let mut wait = RETRY_FIRST;
    loop {
        match store.watch(keys::DIRECTORY).await {
            Ok(mut watch) => {
                while let Some(Ok(event)) = watch.next().await {
                    let Some(cache) = cache.upgrade() else { return };
                    cache.handle_event(event);
                    wait = RETRY_FIRST;
                }
            }
            Err(error) => tracing::debug!(%error, "the directory cannot be watched"),
        }
        let Some(alive) = cache.upgrade() else { return };
        alive.lose();
        drop(alive);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// How many keys are kept, absent ones included, and how many folders. A full cache is emptied.
const KEYS_MAX: usize = 65_536;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
