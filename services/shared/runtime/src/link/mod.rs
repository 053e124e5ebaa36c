//! How services reach one another: the same traits in one process and over the network.
//!
//! Signalling and call control share one ordered stream ([`OwnerConnector`]) of domain types. Media and push are called
//! through the trait that is generated from their contract, either on the very object that serves it or on a client that
//! implements it ([`RemoteMedia`], [`RemotePush`]).

mod feed;
mod media;
mod push;

use std::sync::Arc;

use sidetone_model::classify::{Class, Classify};
use sidetone_model::signal::{OwnerMessage, ReplicaMessage};
use sidetone_proto::media::v1::NodeRegistration;
use tokio::sync::mpsc;

pub use feed::{CommandPort, CommandRefused, FactFeed, Followed, Speaker};
pub use media::{GrpcMediaConnector, MediaService, RemoteMedia};
pub use push::{PushService, RemotePush};

/// How many messages may wait in one direction of a replica's stream before its sender waits too.
pub const LINK_MESSAGES_MAX: usize = 1024;

/// The two ends of a replica's stream to the owner. The stream is over when either channel closes.
#[derive(Debug)]
pub struct ReplicaLink {
    /// To the owner. The first message must be Hello.
    pub to_owner: mpsc::Sender<ReplicaMessage>,
    /// From the owner. The first message is Welcome.
    pub from_owner: mpsc::Receiver<OwnerMessage>,
}

/// A service could not be reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} cannot be reached: {problem}")]
pub struct LinkError {
    /// Which.
    pub service: &'static str,
    /// Why.
    pub problem: String,
}

impl Classify for LinkError {
    fn class(&self) -> Class {
        Class::Unavailable
    }
    fn reason(&self) -> &'static str {
        "unreachable"
    }
}

/// Opens the stream to the owner of the shards.
#[async_trait::async_trait]
pub trait OwnerConnector: Send + Sync + 'static {
    /// A new stream. It replaces an older one of the same replica.
    async fn attach(&self) -> Result<ReplicaLink, LinkError>;
}

/// Opens the way to a media node.
#[async_trait::async_trait]
pub trait MediaConnector: Send + Sync + 'static {
    /// The node behind a registration.
    async fn connect(&self, node: &NodeRegistration) -> Result<Arc<MediaService>, LinkError>;
}
