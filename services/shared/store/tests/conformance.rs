//! Every backend passes the one suite, and so does one that coalesces and loses notices as far as the contract allows.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use sidetone_model::time::Timestamp;
use sidetone_proto::store::v1::store_server::StoreServer;
use sidetone_store::embedded::{EmbeddedStore, Options};
use sidetone_store::remote::RemoteStore;
use sidetone_store::service::StoreService;
use sidetone_store::{
    Append, Entry, Expect, ManualClock, Record, RecordStream, Revision, Sequence, Store, StoreError,
    WatchEvent, WatchStream, conformance,
};

fn clock_and_options() -> (ManualClock, Options) {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    let options =
        Options { clock: clock.clock(), sweep_interval: Duration::from_millis(1), ..Options::default() };
    (clock, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, options) = clock_and_options();
    let store = EmbeddedStore::open_with(folder.path().join("store.redb"), options).unwrap();
    conformance::run(store, &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_in_memory() {
    let (clock, options) = clock_and_options();
    conformance::run(EmbeddedStore::in_memory_with(options).unwrap(), &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_over_grpc() {
    let (clock, options) = clock_and_options();
    let held = EmbeddedStore::in_memory_with(options).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(StoreServer::new(StoreService::new(held.clone())))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let server = tokio::spawn(server);
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let store = Arc::new(RemoteStore::new(channel));
    conformance::run(store.clone(), &clock).await;

    let mut watch = store.watch("nothing/").await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), WatchEvent::Current);
    held.close().await;
    assert!(matches!(store.get("k").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(watch.next().await, Some(Err(StoreError::Unavailable(_)))));
    server.abort();
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let store = RemoteStore::new(endpoint.connect_lazy());
    assert!(matches!(store.get("k").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.watch("k").await.map(drop), Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_coalesces_and_loses_expiries() {
    // Without a sweeper no expiry is ever told.
    let (clock, options) = clock_and_options();
    let options = Options { sweep_interval: Duration::from_secs(3600), ..options };
    let store = EmbeddedStore::in_memory_with(options).unwrap();
    conformance::run(Arc::new(Coalescing(store)), &clock).await;
}

/// Tells of each key only the last change that is waiting.
struct Coalescing(Arc<EmbeddedStore>);

fn key_of(event: &Result<WatchEvent, StoreError>) -> Option<&str> {
    match event {
        Ok(WatchEvent::Put(entry)) => Some(&entry.key),
        Ok(WatchEvent::Deleted(key)) => Some(key),
        _ => None,
    }
}

#[async_trait::async_trait]
impl Store for Coalescing {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.0.get(key).await
    }
    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expires_at: Option<Timestamp>,
        expect: Expect,
    ) -> Result<Revision, StoreError> {
        self.0.put(key, value, expires_at, expect).await
    }
    async fn delete(&self, key: &str, expect: Expect) -> Result<(), StoreError> {
        self.0.delete(key, expect).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.0.list(prefix).await
    }
    async fn watch(&self, prefix: &str) -> Result<WatchStream, StoreError> {
        let inner = self.0.watch(prefix).await?;
        let state = (inner, VecDeque::new());
        Ok(futures_util::stream::unfold(state, |(mut inner, mut waiting)| async move {
            if waiting.is_empty() {
                waiting.push_back(inner.next().await?);
            }
            while let Some(Some(event)) = inner.next().now_or_never() {
                waiting.retain(|w| key_of(w).is_none() || key_of(w) != key_of(&event));
                waiting.push_back(event);
            }
            let next = waiting.pop_front()?;
            Some((next, (inner, waiting)))
        })
        .boxed())
    }
    async fn append(&self, append: Append) -> Result<Sequence, StoreError> {
        self.0.append(append).await
    }
    async fn read(&self, stream: &str, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.0.read(stream, from, limit).await
    }
    async fn tail(&self, stream: &str, from: Sequence) -> Result<RecordStream, StoreError> {
        self.0.tail(stream, from).await
    }
    async fn trim(&self, stream: &str, before: Sequence) -> Result<(), StoreError> {
        self.0.trim(stream, before).await
    }
    async fn bounds(&self, stream: &str) -> Result<(Sequence, Sequence), StoreError> {
        self.0.bounds(stream).await
    }
}
