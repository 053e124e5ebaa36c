//! Watches of keys: what the writer thread puts in, and what a reader takes out at its own pace.
//!
//! Between the two lies a bounded buffer with one place per key: a newer change of a key replaces the one that has
//! not been read yet and goes to the back, so that a reader that falls behind sees fewer changes, never older ones
//! after newer. A reader that leaves more than [`BUFFER_KEYS_MAX`] keys unread has its watch ended with an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sidetone_telemetry::Telemetry;
use tokio::sync::Notify;

use crate::contract::WatchEvent;
use crate::error::StoreError;

/// How many keys one watch may leave unread.
pub(super) const BUFFER_KEYS_MAX: usize = 16_384;

/// Every watch, in the hands of the writer thread.
pub(super) struct Watchers {
    list: Vec<(String, Weak<WatchBuffer>)>,
    telemetry: Option<Arc<Telemetry>>,
}

impl Watchers {
    pub(super) fn new(telemetry: Option<Arc<Telemetry>>) -> Self {
        Self { list: Vec::new(), telemetry }
    }

    /// Adds a watch of everything that starts with `prefix`.
    pub(super) fn add(&mut self, prefix: String) -> Arc<WatchBuffer> {
        let buffer = Arc::new(WatchBuffer::new(BUFFER_KEYS_MAX));
        self.list.retain(|(_, watcher)| watcher.strong_count() > 0);
        self.list.push((prefix, Arc::downgrade(&buffer)));
        buffer
    }

    /// Tells changes that are durable, in their order.
    pub(super) fn tell(&mut self, events: &[WatchEvent]) {
        if events.is_empty() {
            return;
        }
        let telemetry = self.telemetry.as_deref();
        self.list.retain(|(prefix, watcher)| {
            let Some(buffer) = watcher.upgrade() else { return false };
            let kept_up = events
                .iter()
                .filter(|e| key_of(e).is_some_and(|key| key.starts_with(prefix.as_str())))
                .all(|e| buffer.push(e.clone()));
            if !kept_up && let Some(telemetry) = telemetry {
                telemetry.store.watchers_dropped.inc();
            }
            kept_up
        });
    }
}

impl Drop for Watchers {
    /// The writer has ended: there will be no more changes to tell.
    fn drop(&mut self) {
        for (_, watcher) in &self.list {
            if let Some(buffer) = watcher.upgrade() {
                buffer.end("the store was closed");
            }
        }
    }
}

/// The changes that one watch has not read yet.
pub(super) struct WatchBuffer {
    pending: Mutex<Pending>,
    changed: Notify,
    keys_max: usize,
}

#[derive(Default)]
struct Pending {
    next: u64,
    ordered: BTreeMap<u64, WatchEvent>,
    places: HashMap<String, u64>,
    ended: Option<&'static str>,
}

impl WatchBuffer {
    fn new(keys_max: usize) -> Self {
        Self { pending: Mutex::default(), changed: Notify::new(), keys_max }
    }

    /// Adds a change; false when the buffer is full and the watch has been ended by that.
    fn push(&self, event: WatchEvent) -> bool {
        let Some(key) = key_of(&event).map(str::to_owned) else { return true };
        let mut pending = self.lock();
        let place = pending.next;
        pending.next += 1;
        if let Some(old) = pending.places.insert(key, place) {
            pending.ordered.remove(&old);
        }
        pending.ordered.insert(place, event);
        let full = pending.ordered.len() > self.keys_max;
        if full {
            *pending = Pending { ended: Some("the watch fell behind"), ..Pending::default() };
        }
        drop(pending);
        self.changed.notify_one();
        !full
    }

    fn end(&self, reason: &'static str) {
        self.lock().ended.get_or_insert(reason);
        self.changed.notify_one();
    }

    /// The next change, as soon as there is one. What was told before the end is still read.
    pub(super) async fn next(&self) -> Result<WatchEvent, StoreError> {
        loop {
            {
                let mut pending = self.lock();
                if let Some((_, event)) = pending.ordered.pop_first() {
                    if let Some(key) = key_of(&event) {
                        pending.places.remove(key);
                    }
                    return Ok(event);
                }
                if let Some(reason) = pending.ended {
                    return Err(StoreError::Unavailable(reason.to_owned()));
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(event: &WatchEvent) -> Option<&str> {
    match event {
        WatchEvent::Put(entry) => Some(&entry.key),
        WatchEvent::Deleted(key) => Some(key),
        WatchEvent::Current => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::contract::{Entry, Revision};

    fn put(key: &str, revision: u64) -> WatchEvent {
        WatchEvent::Put(Entry {
            key: key.into(),
            value: Bytes::new(),
            revision: Revision(revision),
            expires_at: None,
        })
    }

    #[tokio::test]
    async fn an_unread_change_is_replaced_by_the_newer_one_of_the_same_key() {
        let buffer = WatchBuffer::new(4);
        for event in [put("a", 1), put("b", 2), put("a", 3)] {
            assert!(buffer.push(event));
        }
        assert_eq!(buffer.next().await.unwrap(), put("b", 2));
        assert_eq!(buffer.next().await.unwrap(), put("a", 3));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_too_much_unread_is_ended() {
        let buffer = WatchBuffer::new(2);
        assert!(buffer.push(put("a", 1)));
        assert!(buffer.push(put("b", 2)));
        assert!(buffer.push(put("b", 3)));
        assert!(!buffer.push(put("c", 4)));
        assert!(matches!(buffer.next().await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn the_end_of_the_store_is_told_after_what_came_before() {
        let mut watchers = Watchers::new(None);
        let buffer = watchers.add("x/".into());
        watchers.tell(&[put("x/1", 1), put("y/1", 2)]);
        drop(watchers);
        assert_eq!(buffer.next().await.unwrap(), put("x/1", 1));
        assert!(matches!(buffer.next().await, Err(StoreError::Unavailable(_))));
    }
}
