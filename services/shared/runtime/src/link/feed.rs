//! Following what happens in a shard: in the process that decides it, or over the network.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::fact::Fact;
use sidetone_model::ids::ShardId;
use sidetone_proto::events::v1 as pb;
use sidetone_proto::events::v1::events_client::EventsClient;
use tonic::transport::Channel;

use super::LinkError;

/// One entry of a shard's log, or a part of the history before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The entry; for history the last one that it holds.
    pub entry: u64,
    /// It happened before the cursor: to be folded, not to be told.
    pub history: bool,
    /// What happened, in its order.
    pub facts: Vec<Fact>,
}

/// Where facts come from.
#[async_trait::async_trait]
pub trait FactFeed: Send + Sync + 'static {
    /// Into how many shards the tenants are divided.
    async fn shards(&self) -> Result<u16, LinkError>;

    /// First the history that folds to the state after the entry `after` (the present when it is none), then, without a
    /// gap, each entry that follows. After an error follow again from the last entry that was dealt with.
    async fn follow(
        &self,
        shard: ShardId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<Followed, LinkError>>, LinkError>;
}

/// Call control behind a channel.
#[derive(Debug, Clone)]
pub struct RemoteFeed {
    client: EventsClient<Channel>,
}

impl RemoteFeed {
    /// The facts of the call control at the far end of a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: EventsClient::new(channel) }
    }

    async fn open(
        &self,
        shard: u16,
        after: Option<u64>,
    ) -> Result<tonic::Streaming<pb::Followed>, LinkError> {
        let request = pb::FollowRequest { shard: u32::from(shard), after };
        Ok(self.client.clone().follow(request).await.map_err(refused)?.into_inner())
    }
}

#[async_trait::async_trait]
impl FactFeed for RemoteFeed {
    async fn shards(&self) -> Result<u16, LinkError> {
        let shards = self.client.clone().get_shards(pb::GetShardsRequest {}).await.map_err(refused)?;
        u16::try_from(shards.into_inner().shards).map_err(|error| broken(&error))
    }

    async fn follow(
        &self,
        shard: ShardId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<Followed, LinkError>>, LinkError> {
        let entries = self.open(shard.0, after).await?;
        Ok(entries.map_err(refused).and_then(|entry| std::future::ready(parse(entry))).boxed())
    }
}

fn parse(entry: pb::Followed) -> Result<Followed, LinkError> {
    let facts = entry.facts.into_iter().map(Fact::try_from).collect::<Result<_, _>>();
    let facts = facts.map_err(|error| broken(&error))?;
    Ok(Followed { entry: entry.entry, history: entry.history, facts })
}

fn refused(status: tonic::Status) -> LinkError {
    LinkError { service: "call-control", problem: status.to_string() }
}

fn broken(error: &dyn std::fmt::Display) -> LinkError {
    LinkError { service: "call-control", problem: format!("it sent what cannot be understood: {error}") }
}
