//! The suite that every backend must pass. It asserts the contract and nothing more: that watches may coalesce and
//! expiries may go untold is part of it.
//!
//! Call [`run`] with a fresh, empty store. Every failure panics with the name of what was asked.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sidetone_model::time::Timestamp;

use crate::clock::ManualClock;
use crate::contract::{
    Append, Expect, KEY_BYTES_MAX, Record, Sequence, Store, VALUE_BYTES_MAX, WatchEvent, WatchStream,
};
use crate::error::StoreError;

/// How long the suite waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs everything. `clock` is the one by which the store judges expiry.
pub async fn run(store: Arc<dyn Store>, clock: &ManualClock) {
    keys_have_revisions(&*store).await;
    what_is_unusable_is_refused(&*store).await;
    listing_is_ordered_and_exact(&*store).await;
    one_of_many_wins(&store).await;
    keys_expire(&*store, clock).await;
    watches_converge(&*store).await;
    appends_are_fenced_and_repeatable(&*store).await;
    one_appender_of_many_wins(&store).await;
    streams_are_read_tailed_and_trimmed(&*store).await;
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn append(stream: &str, last: u64, key: &str, record: &str) -> Append {
    Append {
        stream: stream.to_owned(),
        expected_last: Sequence(last),
        idempotency_key: key.to_owned(),
        record: bytes(record),
    }
}

async fn keys_have_revisions(store: &dyn Store) {
    assert_eq!(store.get("rev/a").await.unwrap(), None);
    let first = store.put("rev/a", bytes("1"), None, Expect::Absent).await.unwrap();
    let error = store.put("rev/a", bytes("x"), None, Expect::Absent).await.unwrap_err();
    assert!(matches!(error, StoreError::RevisionMismatch { current: Some(r) } if r == first), "{error:?}");
    let second = store.put("rev/a", bytes("2"), None, Expect::Revision(first)).await.unwrap();
    assert_ne!(first, second, "a revision was given twice");
    for stale in [
        store.put("rev/a", bytes("x"), None, Expect::Revision(first)).await.map(drop),
        store.delete("rev/a", Expect::Revision(first)).await,
        store.delete("rev/a", Expect::Absent).await,
    ] {
        assert!(matches!(stale, Err(StoreError::RevisionMismatch { .. })), "{stale:?}");
    }
    let entry = store.get("rev/a").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (bytes("2"), second));
    store.delete("rev/a", Expect::Revision(second)).await.unwrap();
    assert_eq!(store.get("rev/a").await.unwrap(), None);
    store.delete("rev/a", Expect::Any).await.unwrap();
    let gone = store.put("rev/a", bytes("x"), None, Expect::Revision(second)).await.unwrap_err();
    assert!(matches!(gone, StoreError::RevisionMismatch { current: None }), "{gone:?}");
    let third = store.put("rev/a", bytes("3"), None, Expect::Absent).await.unwrap();
    assert!(third != first && third != second, "a revision came back after a deletion");
}

async fn what_is_unusable_is_refused(store: &dyn Store) {
    for key in ["", "a b", "ä", "a*", &"k".repeat(KEY_BYTES_MAX + 1)] {
        let results = [
            store.get(key).await.map(drop),
            store.put(key, Bytes::new(), None, Expect::Any).await.map(drop),
            store.append(append(key, 0, "i", "r")).await.map(drop),
        ];
        for result in results {
            assert!(matches!(result, Err(StoreError::BadKey { .. })), "{key:?}: {result:?}");
        }
    }
    let longest = "k".repeat(KEY_BYTES_MAX);
    let largest = Bytes::from(vec![7; VALUE_BYTES_MAX]);
    store.put(&longest, largest.clone(), None, Expect::Any).await.unwrap();
    assert_eq!(store.get(&longest).await.unwrap().unwrap().value, largest);
    let larger = Bytes::from(vec![7; VALUE_BYTES_MAX + 1]);
    let refused = store.put("large", larger.clone(), None, Expect::Any).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let refused = store.append(Append { record: larger, ..append("large", 0, "i", "") }).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    for key in [String::new(), "i".repeat(129)] {
        assert!(store.append(append("large", 0, &key, "r")).await.is_err(), "idempotency key {key:?}");
    }
    assert_eq!(store.bounds("large").await.unwrap(), (Sequence(0), Sequence(0)));
}

async fn listing_is_ordered_and_exact(store: &dyn Store) {
    for key in ["list/b", "list/a", "list/a/1", "listless", "lisz"] {
        store.put(key, bytes(key), None, Expect::Any).await.unwrap();
    }
    let keys: Vec<_> = store.list("list/").await.unwrap().into_iter().map(|e| e.key).collect();
    assert_eq!(keys, ["list/a", "list/a/1", "list/b"]);
    assert!(store.list("nothing/").await.unwrap().is_empty());
}

async fn one_of_many_wins(store: &Arc<dyn Store>) {
    for round in 0..5 {
        let key = format!("race/{round}");
        let racers = (0..16).map(|n| {
            let (store, key) = (Arc::clone(store), key.clone());
            tokio::spawn(async move { store.put(&key, bytes(&n.to_string()), None, Expect::Absent).await })
        });
        let mut won = 0;
        for racer in racers.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(_) => won += 1,
                Err(StoreError::RevisionMismatch { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(won, 1, "winners of one key");
    }
}

async fn keys_expire(store: &dyn Store, clock: &ManualClock) {
    let soon = clock.now() + Duration::from_secs(10);
    let revision = store.put("expiry/a", bytes("1"), Some(soon), Expect::Absent).await.unwrap();
    store.put("expiry/b", bytes("1"), None, Expect::Absent).await.unwrap();
    assert_eq!(store.get("expiry/a").await.unwrap().unwrap().expires_at, Some(soon));
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(store.list("expiry/").await.unwrap().len(), 2);
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.get("expiry/a").await.unwrap(), None, "served after its expiry");
    let keys: Vec<_> = store.list("expiry/").await.unwrap().into_iter().map(|e| e.key).collect();
    assert_eq!(keys, ["expiry/b"]);
    let late = store.put("expiry/a", bytes("2"), None, Expect::Revision(revision)).await;
    assert!(matches!(late, Err(StoreError::RevisionMismatch { current: None })), "{late:?}");
    store.put("expiry/a", bytes("2"), Some(clock.now() + PATIENCE), Expect::Absent).await.unwrap();
    store.put("expiry/a", bytes("3"), None, Expect::Any).await.unwrap();
    clock.advance(PATIENCE * 2);
    assert_eq!(store.get("expiry/a").await.unwrap().unwrap().value, bytes("3"), "an old expiry was applied");
    let past = Some(Timestamp::from_millis(1));
    store.put("expiry/c", bytes("1"), past, Expect::Any).await.unwrap();
    assert_eq!(store.get("expiry/c").await.unwrap(), None);
}

/// What a watch has told so far, and whether the snapshot is over.
async fn told(watch: &mut WatchStream, state: &mut BTreeMap<String, Bytes>) -> bool {
    let event = tokio::time::timeout(PATIENCE, watch.next()).await.expect("a watch is silent");
    match event.unwrap().unwrap() {
        WatchEvent::Put(entry) => drop(state.insert(entry.key, entry.value)),
        WatchEvent::Deleted(key) => drop(state.remove(&key)),
        WatchEvent::Current => return true,
    }
    false
}

async fn watches_converge(store: &dyn Store) {
    store.put("watch/old", bytes("1"), None, Expect::Any).await.unwrap();
    store.put("other", bytes("1"), None, Expect::Any).await.unwrap();
    let mut watch = store.watch("watch/").await.unwrap();
    let mut state = BTreeMap::new();
    while !told(&mut watch, &mut state).await {}
    assert_eq!(state, BTreeMap::from([("watch/old".to_owned(), bytes("1"))]), "the snapshot");
    for n in 0..20 {
        let key = format!("watch/{}", n % 3);
        store.put(&key, bytes(&n.to_string()), None, Expect::Any).await.unwrap();
        store.put("other", bytes(&n.to_string()), None, Expect::Any).await.unwrap();
    }
    store.delete("watch/old", Expect::Any).await.unwrap();
    store.put("watch/last", bytes("z"), None, Expect::Any).await.unwrap();
    let end: BTreeMap<_, _> =
        store.list("watch/").await.unwrap().into_iter().map(|e| (e.key, e.value)).collect();
    while state != end {
        assert!(!told(&mut watch, &mut state).await, "current was told twice");
        assert!(!state.contains_key("other"), "told what was not asked for");
    }
}

async fn appends_are_fenced_and_repeatable(store: &dyn Store) {
    assert_eq!(store.bounds("fence").await.unwrap(), (Sequence(0), Sequence(0)));
    assert_eq!(store.append(append("fence", 0, "a", "1")).await.unwrap(), Sequence(1));
    assert_eq!(store.append(append("fence", 0, "a", "1")).await.unwrap(), Sequence(1), "a repetition");
    let reused = store.append(append("fence", 0, "a", "2")).await;
    assert!(matches!(reused, Err(StoreError::KeyReused)), "{reused:?}");
    for wrong in [0, 2, u64::MAX] {
        let fenced = store.append(append("fence", wrong, "b", "2")).await;
        assert!(
            matches!(fenced, Err(StoreError::SequenceMismatch { current: Sequence(1) })),
            "{wrong}: {fenced:?}"
        );
    }
    assert_eq!(store.append(append("fence", 1, "b", "2")).await.unwrap(), Sequence(2));
    assert_eq!(store.bounds("fence").await.unwrap(), (Sequence(1), Sequence(2)));
}

async fn one_appender_of_many_wins(store: &Arc<dyn Store>) {
    for last in 0..5 {
        let racers = (0..16).map(|n| {
            let store = Arc::clone(store);
            let attempt = append("contest", last, &format!("{last}-{n}"), &n.to_string());
            tokio::spawn(async move { store.append(attempt).await })
        });
        let mut won = 0;
        for racer in racers.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(sequence) => {
                    assert_eq!(sequence, Sequence(last + 1));
                    won += 1;
                }
                Err(StoreError::SequenceMismatch { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(won, 1, "winners of one place");
    }
}

async fn streams_are_read_tailed_and_trimmed(store: &dyn Store) {
    let mut early = store.tail("tail", Sequence(0)).await.unwrap();
    for n in 0..10 {
        store.append(append("tail", n, &format!("k{n}"), &n.to_string())).await.unwrap();
    }
    let record = |n: u64| Record { sequence: Sequence(n), record: bytes(&(n - 1).to_string()) };
    let mut late = store.tail("tail", Sequence(8)).await.unwrap();
    for n in 1..=10 {
        let next = tokio::time::timeout(PATIENCE, early.next()).await.expect("a tail is silent");
        assert_eq!(next.unwrap().unwrap(), record(n));
    }
    for n in 8..=10 {
        let next = tokio::time::timeout(PATIENCE, late.next()).await.expect("a tail is silent");
        assert_eq!(next.unwrap().unwrap(), record(n));
    }
    assert_eq!(store.read("tail", Sequence(3), 2).await.unwrap(), [record(3), record(4)]);
    assert!(store.read("tail", Sequence(11), 5).await.unwrap().is_empty());
    assert!(store.read("unknown", Sequence(1), 5).await.unwrap().is_empty());
    store.trim("tail", Sequence(4)).await.unwrap();
    store.trim("tail", Sequence(2)).await.unwrap();
    assert_eq!(store.bounds("tail").await.unwrap(), (Sequence(4), Sequence(10)));
    let trimmed = store.read("tail", Sequence(3), 2).await;
    assert!(matches!(trimmed, Err(StoreError::Trimmed { first: Sequence(4) })), "{trimmed:?}");
    assert_eq!(store.read("tail", Sequence(4), 1).await.unwrap(), [record(4)]);
    store.trim("tail", Sequence(100)).await.unwrap();
    assert_eq!(store.bounds("tail").await.unwrap(), (Sequence(11), Sequence(10)), "the last was forgotten");
    assert_eq!(store.append(append("tail", 10, "k10", "10")).await.unwrap(), Sequence(11));
    let next = tokio::time::timeout(PATIENCE, early.next()).await.expect("a tail is silent");
    assert_eq!(next.unwrap().unwrap(), record(11));
}
