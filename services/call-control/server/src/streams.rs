//! The ordered streams of signalling: in this process, and over gRPC.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sidetone_call_core::{Later, Redirects, Routing};
use sidetone_directory::DirectoryError;
use sidetone_model::classify::{Class, Classify as _};
use sidetone_model::ids::{ReplicaId, TenantId};
use sidetone_model::signal::{LegSignalKind, OwnerMessage, ReplicaMessage, Target};
use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::leg_streams_server::LegStreams;
use sidetone_runtime::Caller;
use sidetone_runtime::link::{LINK_MESSAGES_MAX, LinkError, OwnerConnector, ReplicaLink};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::CallControl;
use crate::owner::{Input, ReplicaStream};
use crate::routing::Router;

/// How long to wait before a store that is away is asked again.
const RETRY: Duration = Duration::from_millis(200);

static STREAMS: AtomicU64 = AtomicU64::new(1);

/// Brings the messages of one stream to the owner, in their order, until it ends.
async fn follow(
    inputs: mpsc::Sender<Input>,
    router: Router,
    mut messages: mpsc::Receiver<ReplicaMessage>,
    to_replica: mpsc::Sender<OwnerMessage>,
) {
    let Some(ReplicaMessage::Hello(hello)) = messages.recv().await else { return };
    let replica = hello.replica.clone();
    let id = STREAMS.fetch_add(1, Ordering::Relaxed);
    tracing::info!(%replica, legs = hello.legs.len(), "a signalling replica has attached");
    let over = CancellationToken::new();
    let stream = ReplicaStream { id, to_replica, over: over.clone() };
    if inputs.send(Input::Hello { hello, stream }).await.is_err() {
        return;
    }
    // What is not read is not acknowledged either, and comes again on the next stream.
    while let Some(Some(message)) = over.run_until_cancelled(messages.recv()).await {
        let Some(input) = input(&router, &replica, message).await else { continue };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
    tracing::info!(%replica, "a signalling replica has detached");
    drop(inputs.send(Input::ReplicaGone { replica, stream: id }).await);
}

async fn input(router: &Router, replica: &ReplicaId, message: ReplicaMessage) -> Option<Input> {
    match message {
        ReplicaMessage::Signal(signal) => {
            let routing = match &signal.kind {
                LegSignalKind::Offered(offered) => {
                    Some(resolved(router, &signal.tenant, &offered.dialled).await?)
                }
                LegSignalKind::Referred(referred) if referred.replaces.is_none() => {
                    Some(resolved(router, &signal.tenant, &referred.to.number).await?)
                }
                LegSignalKind::Redirected { targets } => {
                    let callable = targets.iter().filter(|it| it.is_callable(router.foreign_as_numbers));
                    Some(named(router, &signal.tenant, callable).await?)
                }
                _ => None,
            };
            Some(Input::Signal { replica: replica.clone(), signal, routing })
        }
        ReplicaMessage::Applied { leg, n } => Some(Input::Applied { leg, n }),
        ReplicaMessage::Draining => Some(Input::ReplicaDraining { replica: replica.clone() }),
        ReplicaMessage::Watch(watch) => Some(Input::Watch { replica: replica.clone(), watch }),
        ReplicaMessage::Hello(_) => None,
    }
}

/// Where the first of several numbers leads that a phone names, and after it the others, and how far the tenant lets it lead.
async fn named<'a>(
    router: &Router,
    tenant: &TenantId,
    targets: impl Iterator<Item = &'a Target>,
) -> Option<Routing> {
    let mut first: Option<Routing> = None;
    for target in targets {
        let routing = resolved(router, tenant, &target.number).await?;
        match &mut first {
            None => first = Some(Routing { later: Vec::new(), ..routing }),
            Some(first) => first.later.push(Later { number: target.number.clone(), routing }),
        }
    }
    let redirects = looked_up(router, || router.redirects(tenant), Redirects::Never).await?;
    Some(Routing { redirects, ..first.unwrap_or_default() })
}

/// Where a dialled number leads.
async fn resolved(router: &Router, tenant: &TenantId, dialled: &str) -> Option<Routing> {
    looked_up(router, || router.resolve(tenant, dialled), Routing::default()).await
}

/// The answer of the directory. While the store is away nothing could be decided anyway, so it is waited for; none when the owner
/// has stopped meanwhile.
async fn looked_up<T, F>(router: &Router, ask: impl Fn() -> F, unknown: T) -> Option<T>
where
    F: Future<Output = Result<T, DirectoryError>>,
{
    loop {
        match ask().await {
            Ok(found) => return Some(found),
            Err(error) if error.class() == Class::Unavailable => {
                tracing::warn!(%error, "a number cannot be looked up; waiting for the store");
                tokio::time::sleep(RETRY).await;
                if router.nodes.is_stopped() {
                    return None;
                }
            }
            Err(error) => {
                tracing::error!(%error, "a number cannot be looked up; its call is refused");
                return Some(unknown);
            }
        }
    }
}

impl CallControl {
    fn open_stream(&self) -> ReplicaLink {
        let (to_owner, messages) = mpsc::channel(LINK_MESSAGES_MAX);
        let (to_replica, from_owner) = mpsc::channel(LINK_MESSAGES_MAX);
        tokio::spawn(follow(self.inputs(), self.router(), messages, to_replica));
        ReplicaLink { to_owner, from_owner }
    }
}

#[async_trait::async_trait]
impl OwnerConnector for CallControl {
    async fn attach(&self) -> Result<ReplicaLink, LinkError> {
        if self.is_stopped() {
            return Err(LinkError { service: "call control", problem: "it is stopping".to_owned() });
        }
        Ok(self.open_stream())
    }
}

#[tonic::async_trait]
impl LegStreams for CallControl {
    type AttachStream = BoxStream<'static, Result<pb::OwnerMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::ReplicaMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Caller::of(&request).must_be_operator()?;
        let link = self.open_stream();
        let mut incoming = request.into_inner();
        let to_owner = link.to_owner;
        tokio::spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                match ReplicaMessage::try_from(message) {
                    Ok(message) => {
                        if to_owner.send(message).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "a replica sent what cannot be read; its stream is closed");
                        return;
                    }
                }
            }
        });
        let outgoing =
            ReceiverStream::new(link.from_owner).map(|message| Ok(pb::OwnerMessage::from(&message)));
        Ok(Response::new(outgoing.boxed()))
    }
}
