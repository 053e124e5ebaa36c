//! The backend for processes that do not hold the store: `store.v1` as a client.
//!
//! Each call has a deadline. A change that ran into it may have been made; that is what the idempotency key of an append
//! and the revision of a put are for. A watch or tail ends with an error when the connection is lost; the caller begins
//! it again.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::time::Timestamp;
use sidetone_proto::store::v1 as pb;
use sidetone_proto::store::v1::store_client::StoreClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::contract::{
    Append, Entry, Expect, Record, RecordStream, Revision, Sequence, Store, WatchEvent, WatchStream,
};
use crate::error::StoreError;
use crate::key::{check_append, check_key, check_prefix, check_value};
use crate::service::READ_MAX;
use crate::wire::{error, expect_message, expiry_ms};

/// A store in another process.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    client: StoreClient<Channel>,
    deadline: Duration,
}

impl RemoteStore {
    /// A store behind a channel, with [`DEADLINE`] for each call.
    pub fn new(channel: Channel) -> Self {
        Self::with_deadline(channel, DEADLINE)
    }

    /// A store behind a channel with another deadline.
    pub fn with_deadline(channel: Channel, deadline: Duration) -> Self {
        Self { client: StoreClient::new(channel), deadline }
    }

    /// Waits for an answer within the deadline.
    async fn within<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>> + Send,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.deadline, call).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(|s| error(&s)),
            Err(_) => Err(late()),
        }
    }

    /// Takes in a whole answer that comes in parts, each within the deadline.
    async fn all<P, T: From<P>>(&self, mut parts: tonic::Streaming<P>) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        while let Some(part) = tokio::time::timeout(self.deadline, parts.message())
            .await
            .map_err(|_| late())?
            .map_err(|s| error(&s))?
        {
            all.push(T::from(part));
        }
        Ok(all)
    }
}

#[async_trait::async_trait]
impl Store for RemoteStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let request = pb::GetRequest { key: key.to_owned() };
        Ok(self.within(self.client.clone().get(request)).await?.entry.map(Into::into))
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expires_at: Option<Timestamp>,
        expect: Expect,
    ) -> Result<Revision, StoreError> {
        check_key(key)?;
        check_value(&value)?;
        let request = pb::PutRequest {
            key: key.to_owned(),
            value,
            expires_unix_ms: expiry_ms(expires_at),
            expect: Some(expect_message(expect)),
        };
        Ok(Revision(self.within(self.client.clone().put(request)).await?.revision))
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), StoreError> {
        check_key(key)?;
        let request = pb::DeleteRequest { key: key.to_owned(), expect: Some(expect_message(expect)) };
        self.within(self.client.clone().delete(request)).await.map(drop)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        check_prefix(prefix)?;
        let request = pb::ListRequest { prefix: prefix.to_owned() };
        self.all(self.within(self.client.clone().list(request)).await?).await
    }

    async fn watch(&self, prefix: &str) -> Result<WatchStream, StoreError> {
        check_prefix(prefix)?;
        let request = pb::WatchRequest { prefix: prefix.to_owned() };
        let events = self.within(self.client.clone().watch(request)).await?;
        let events = events.map_err(|s| error(&s)).and_then(|e| async { WatchEvent::try_from(e) });
        Ok(events.chain(ended()).boxed())
    }

    async fn append(&self, append: Append) -> Result<Sequence, StoreError> {
        check_append(&append)?;
        let request = pb::AppendRequest {
            stream: append.stream,
            expected_last: append.expected_last.0,
            idempotency_key: append.idempotency_key,
            record: append.record,
        };
        Ok(Sequence(self.within(self.client.clone().append(request)).await?.sequence))
    }

    async fn read(&self, stream: &str, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
        check_key(stream)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let limit = u32::try_from(limit).unwrap_or(READ_MAX).min(READ_MAX);
        let request = pb::ReadRequest { stream: stream.to_owned(), from: from.0, limit };
        self.all(self.within(self.client.clone().read(request)).await?).await
    }

    async fn tail(&self, stream: &str, from: Sequence) -> Result<RecordStream, StoreError> {
        check_key(stream)?;
        let request = pb::ReadRequest { stream: stream.to_owned(), from: from.0, limit: 0 };
        let records = self.within(self.client.clone().tail(request)).await?;
        Ok(records.map_ok(Record::from).map_err(|s| error(&s)).chain(ended()).boxed())
    }

    async fn trim(&self, stream: &str, before: Sequence) -> Result<(), StoreError> {
        check_key(stream)?;
        let request = pb::TrimRequest { stream: stream.to_owned(), before: before.0 };
        self.within(self.client.clone().trim(request)).await.map(drop)
    }

    async fn bounds(&self, stream: &str) -> Result<(Sequence, Sequence), StoreError> {
        check_key(stream)?;
        let request = pb::LastSequenceRequest { stream: stream.to_owned() };
        let bounds = self.within(self.client.clone().last_sequence(request)).await?;
        Ok((Sequence(bounds.first), Sequence(bounds.last)))
    }
}

/// A stream that the far side has ended without a word has been lost too.
fn ended<T: Send + 'static>() -> impl futures_util::Stream<Item = Result<T, StoreError>> + Send {
    futures_util::stream::iter([Err(StoreError::Unavailable("the stream was ended".to_owned()))])
}

fn late() -> StoreError {
    StoreError::Unavailable("no answer within the deadline".to_owned())
}

/// How long a call may take, unless told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(5);
