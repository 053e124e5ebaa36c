//! What only the embedded backend promises: a file for one process, and an end that frees it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use bytes::Bytes;
use futures_util::StreamExt as _;
use sidetone_store::embedded::EmbeddedStore;
use sidetone_store::{Append, Expect, Sequence, Store as _, StoreError};

fn append(last: u64, key: &str) -> Append {
    Append {
        stream: "s".into(),
        expected_last: Sequence(last),
        idempotency_key: key.into(),
        record: Bytes::from(key.to_owned()),
    }
}

#[tokio::test]
async fn a_file_is_held_by_one_store_and_keeps_everything_when_that_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Unavailable(_))));
    let revision = store.put("k", Bytes::from_static(b"v"), None, Expect::Any).await.unwrap();
    store.append(append(0, "one")).await.unwrap();
    store.close().await;
    assert!(matches!(store.get("k").await, Err(StoreError::Unavailable(_))));

    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap().revision, revision);
    assert_eq!(store.append(append(0, "one")).await.unwrap(), Sequence(1), "not recognised as a repetition");
    assert!(store.put("k", Bytes::new(), None, Expect::Any).await.unwrap().0 > revision.0);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    std::fs::write(&path, b"something else altogether").unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Corrupt(_) | StoreError::Unavailable(_))));
}

#[tokio::test]
async fn watches_and_tails_end_with_the_store() {
    let store = EmbeddedStore::in_memory().unwrap();
    let mut watch = store.watch("").await.unwrap();
    let mut tail = store.tail("s", Sequence(1)).await.unwrap();
    watch.next().await.unwrap().unwrap();
    store.append(append(0, "one")).await.unwrap();
    assert_eq!(tail.next().await.unwrap().unwrap().sequence, Sequence(1));
    let closing = store.close();
    let ends = async {
        assert!(matches!(tail.next().await, Some(Err(StoreError::Unavailable(_)))));
        assert!(matches!(watch.next().await, Some(Err(StoreError::Unavailable(_)))));
        assert!(tail.next().await.is_none() && watch.next().await.is_none());
    };
    tokio::join!(closing, ends);
}

#[tokio::test]
async fn a_trimmed_last_record_still_recognises_its_repetition() {
    let store = EmbeddedStore::in_memory().unwrap();
    for n in 0..3 {
        store.append(append(n, &format!("k{n}"))).await.unwrap();
    }
    store.trim("s", Sequence(99)).await.unwrap();
    assert_eq!(store.bounds("s").await.unwrap(), (Sequence(4), Sequence(3)));
    assert_eq!(store.append(append(2, "k2")).await.unwrap(), Sequence(3));
    assert_eq!(store.append(append(3, "k3")).await.unwrap(), Sequence(4));
    assert_eq!(store.bounds("s").await.unwrap(), (Sequence(4), Sequence(4)));
    assert!(matches!(store.read("s", Sequence(3), 9).await, Err(StoreError::Trimmed { first: Sequence(4) })));
    assert_eq!(store.read("s", Sequence(4), 9).await.unwrap().len(), 1);
}
