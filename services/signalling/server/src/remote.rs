//! The owner over gRPC.

use sidetone_model::signal::{OwnerMessage, ReplicaMessage};
use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::leg_streams_client::LegStreamsClient;
use sidetone_runtime::link::{LINK_MESSAGES_MAX, LinkError, OwnerConnector, ReplicaLink};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// Call control behind a channel.
///
/// What the owner sends and cannot be understood ends the stream: going on would leave a gap in a leg's commands.
#[derive(Debug, Clone)]
pub struct RemoteOwner {
    client: LegStreamsClient<Channel>,
}

impl RemoteOwner {
    /// The owner at the far end of a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: LegStreamsClient::new(channel) }
    }
}

#[async_trait::async_trait]
impl OwnerConnector for RemoteOwner {
    async fn attach(&self) -> Result<ReplicaLink, LinkError> {
        let (to_owner, outgoing) = mpsc::channel::<ReplicaMessage>(LINK_MESSAGES_MAX);
        let (forward, from_owner) = mpsc::channel(LINK_MESSAGES_MAX);
        let outgoing = ReceiverStream::new(outgoing).map(|message| pb::ReplicaMessage::from(&message));
        let mut client = self.client.clone();
        // The server answers the call only when it has read Hello, which is sent after this returns.
        tokio::spawn(async move {
            match client.attach(outgoing).await {
                Ok(response) => receive(response.into_inner(), forward).await,
                Err(status) => tracing::debug!(code = ?status.code(), "call control refuses the stream"),
            }
        });
        Ok(ReplicaLink { to_owner, from_owner })
    }
}

async fn receive(mut incoming: Streaming<pb::OwnerMessage>, forward: mpsc::Sender<OwnerMessage>) {
    loop {
        let next = tokio::select! {
            next = incoming.next() => next,
            () = forward.closed() => return,
        };
        let message = match next {
            Some(Ok(message)) => OwnerMessage::try_from(message),
            Some(Err(status)) => {
                tracing::debug!(code = ?status.code(), "the stream to call control broke");
                return;
            }
            None => return,
        };
        match message {
            Ok(message) => {
                if forward.send(message).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "call control sent what cannot be understood");
                return;
            }
        }
    }
}
