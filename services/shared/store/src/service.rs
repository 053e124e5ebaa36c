//! The gRPC service `store.v1` over any [`Store`].

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sidetone_proto::store::v1 as pb;
use sidetone_proto::store::v1::store_server::Store as StoreV1;
use tonic::{Request, Response, Status};

use crate::contract::{Append, Sequence, Store};
use crate::wire::{expect, expiry, status};

/// Serves a store to processes that do not hold it. It knows no tenants: only services and the operator may call it.
#[derive(Clone)]
pub struct StoreService {
    store: Arc<dyn Store>,
}

impl std::fmt::Debug for StoreService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreService")
    }
}

impl StoreService {
    /// Serves `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = BoxStream<'static, Result<T, Status>>;

#[async_trait::async_trait]
impl StoreV1 for StoreService {
    type ListStream = Stream<pb::Entry>;
    type WatchStream = Stream<pb::WatchEvent>;
    type ReadStream = Stream<pb::Record>;
    type TailStream = Stream<pb::Record>;

    async fn get(&self, request: Request<pb::GetRequest>) -> Answer<pb::GetResponse> {
        operator(&request)?;
        let entry = self.store.get(&request.get_ref().key).await.map_err(|e| status(&e))?;
        Ok(Response::new(pb::GetResponse { entry: entry.map(Into::into) }))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        operator(&request)?;
        let request = request.into_inner();
        let expect = expect(request.expect)?;
        let expires_at = expiry(request.expires_unix_ms);
        let put = self.store.put(&request.key, request.value, expires_at, expect).await;
        Ok(Response::new(pb::PutResponse { revision: put.map_err(|e| status(&e))?.0 }))
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Answer<pb::DeleteResponse> {
        operator(&request)?;
        let request = request.into_inner();
        let deleted = self.store.delete(&request.key, expect(request.expect)?).await;
        deleted.map(|()| Response::new(pb::DeleteResponse {})).map_err(|e| status(&e))
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Answer<Self::ListStream> {
        operator(&request)?;
        let entries = self.store.list(&request.get_ref().prefix).await.map_err(|e| status(&e))?;
        Ok(Response::new(futures_util::stream::iter(entries.into_iter().map(|e| Ok(e.into()))).boxed()))
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Answer<Self::WatchStream> {
        operator(&request)?;
        let events = self.store.watch(&request.get_ref().prefix).await.map_err(|e| status(&e))?;
        Ok(Response::new(events.map(|e| e.map(Into::into).map_err(|e| status(&e))).boxed()))
    }

    async fn append(&self, request: Request<pb::AppendRequest>) -> Answer<pb::AppendResponse> {
        operator(&request)?;
        let request = request.into_inner();
        let append = Append {
            stream: request.stream,
            expected_last: Sequence(request.expected_last),
            idempotency_key: request.idempotency_key,
            record: request.record,
        };
        let sequence = self.store.append(append).await.map_err(|e| status(&e))?;
        Ok(Response::new(pb::AppendResponse { sequence: sequence.0 }))
    }

    async fn read(&self, request: Request<pb::ReadRequest>) -> Answer<Self::ReadStream> {
        operator(&request)?;
        let request = request.get_ref();
        let limit = if request.limit == 0 { READ_DEFAULT } else { request.limit.min(READ_MAX) };
        let records = self.store.read(&request.stream, Sequence(request.from), limit as usize).await;
        let records = records.map_err(|e| status(&e))?;
        Ok(Response::new(futures_util::stream::iter(records.into_iter().map(|r| Ok(r.into()))).boxed()))
    }

    async fn tail(&self, request: Request<pb::ReadRequest>) -> Answer<Self::TailStream> {
        operator(&request)?;
        let records = self.store.tail(&request.get_ref().stream, Sequence(request.get_ref().from)).await;
        let records = records.map_err(|e| status(&e))?;
        Ok(Response::new(records.map(|r| r.map(Into::into).map_err(|e| status(&e))).boxed()))
    }

    async fn trim(&self, request: Request<pb::TrimRequest>) -> Answer<pb::TrimResponse> {
        operator(&request)?;
        let before = Sequence(request.get_ref().before);
        let trimmed = self.store.trim(&request.get_ref().stream, before).await;
        trimmed.map(|()| Response::new(pb::TrimResponse {})).map_err(|e| status(&e))
    }

    async fn last_sequence(
        &self,
        request: Request<pb::LastSequenceRequest>,
    ) -> Answer<pb::LastSequenceResponse> {
        operator(&request)?;
        let (first, last) = self.store.bounds(&request.get_ref().stream).await.map_err(|e| status(&e))?;
        Ok(Response::new(pb::LastSequenceResponse { first: first.0, last: last.0 }))
    }
}

fn operator<T>(request: &Request<T>) -> Result<(), Status> {
    sidetone_runtime::Caller::of(request).must_be_operator()
}

const READ_DEFAULT: u32 = 1000;
/// The most records that one read over the network answers.
pub(crate) const READ_MAX: u32 = 10_000;
