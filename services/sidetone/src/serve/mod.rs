//! Running services: all four in one process, or one alone.

mod media_source;
mod running;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sidetone_call_control::CallControl;
use sidetone_directory::{Directory, DirectoryService};
use sidetone_http::HttpDoor;
use sidetone_media::MediaNode;
use sidetone_outbox::Outbox;
use sidetone_proto::callcontrol::v1::call_control_server::CallControlServer;
use sidetone_proto::directory::v1::directory_server::DirectoryServer;
use sidetone_proto::events::v1::events_server::EventsServer;
use sidetone_proto::media::v1::NodeRegistration;
use sidetone_proto::media::v1::media_server::MediaServer;
use sidetone_proto::outbox::v1::outbox_server::OutboxServer;
use sidetone_proto::push::v1::push_server::PushServer;
use sidetone_proto::signalling::v1::bans_server::BansServer;
use sidetone_proto::signalling::v1::ladders_server::LaddersServer;
use sidetone_proto::signalling::v1::leg_streams_server::LegStreamsServer;
use sidetone_proto::signalling::v1::signalling_server::SignallingServer;
use sidetone_proto::store::v1::store_server::StoreServer;
use sidetone_push::Push;
use sidetone_runtime::config::ConfigErrors;
use sidetone_runtime::grpc::caller::TokenVerifier;
use sidetone_runtime::grpc::{BoundGrpc, channel};
use sidetone_runtime::link::{
    GrpcMediaConnector, LinkError, MediaConnector, MediaService, OwnerConnector, PushService, RemotePush,
};
use sidetone_runtime::{Lifecycle, admin};
use sidetone_signalling::{BanDoor, LadderDoor, RemoteOwner, Signalling};
use sidetone_store::Store;
use sidetone_store::embedded::{EmbeddedStore, Options};
use sidetone_store::remote::RemoteStore;
use sidetone_store::service::StoreService;
use sidetone_telemetry::Telemetry;
use tonic::service::RoutesBuilder;

use crate::settings::{Settings, StoreKind};
pub(crate) use running::Running;

/// Which services run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    All,
    Signalling,
    CallControl,
    Media,
    Push,
}

/// How long the media node of the same process may take to be found.
const MEDIA_FOUND_MAX: Duration = Duration::from_secs(10);

/// What every service of a process shares.
struct Shared {
    settings: Settings,
    lifecycle: Lifecycle,
    telemetry: Arc<Telemetry>,
    store: Arc<dyn Store>,
    directory: Directory,
    /// Our own gRPC address, as others are to call it.
    grpc_address: String,
}

/// Runs services until they are told to stop.
pub(crate) async fn run(role: Role, settings: Settings) -> anyhow::Result<()> {
    settings.log.install()?;
    let drain_max = Duration::from_secs(settings.process.drain_max_s);
    let running = start(role, settings).await?;
    let http = running.http.as_ref().map(HttpDoor::address);
    tracing::info!(?role, grpc = %running.grpc, admin = %running.admin, ?http, sip = running.listening(), "running");
    let lifecycle = running.lifecycle.clone();
    lifecycle.run_until_stopped(drain_max, running.drained(), running.end_calls()).await?;
    running.stopped().await;
    if let Some(failure) = lifecycle.failure() {
        anyhow::bail!("stopped, to be started again: {failure}");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Starts services; they are ready when the life cycle says so.
pub(crate) async fn start(role: Role, settings: Settings) -> anyhow::Result<Running> {
    let lifecycle = Lifecycle::new();
    if matches!(role, Role::All | Role::CallControl) {
        // The door opens last: until then the process is not ready, whatever else is.
        lifecycle.component("http");
    }
    let telemetry = Telemetry::new()?;
    let admin = admin::serve(&settings.admin, Arc::clone(&telemetry), lifecycle.clone())
        .await
        .with_context(|| format!("admin.bind {}", settings.admin.bind))?;
    let grpc =
        BoundGrpc::bind(&settings.grpc).await.with_context(|| format!("grpc.bind {}", settings.grpc.bind))?;
    let (store, embedded) = open_store(&settings, &telemetry)?;
    if let Some(embedded) = embedded.clone() {
        let lifecycle = lifecycle.clone();
        tokio::spawn(async move {
            if let Some(failure) = embedded.failed().await {
                lifecycle.fail(format!("store: {failure}"));
            }
        });
    }
    let shared = Shared {
        directory: Directory::new(Arc::clone(&store)),
        grpc_address: grpc.advertised().to_owned(),
        lifecycle: lifecycle.clone(),
        settings,
        telemetry,
        store,
    };
    let mut running = Running::new(lifecycle.clone(), grpc.address(), admin);
    running.store = embedded;
    let mut routes = RoutesBuilder::default();
    match role {
        Role::All => start_all(&shared, &mut routes, &mut running).await?,
        Role::Signalling => {
            let owner = Arc::new(RemoteOwner::new(shared.to_call_control()?));
            running.signalling = Some(shared.start_signalling(&mut routes, owner).await?);
        }
        Role::CallControl => {
            let media = Arc::new(GrpcMediaConnector { tls: shared.settings.tls.clone() });
            let push = shared.remote_push()?;
            let control = shared.start_call_control(&mut routes, media, push).await?;
            shared.open_http(&control, &mut routes, &mut running).await?;
            running.call_control = Some(control);
        }
        Role::Media => running.media = Some(shared.start_media(&mut routes).await?),
        Role::Push => running.push = Some(shared.start_push(&mut routes).await?),
    }
    if let Some(signalling) = &running.signalling {
        running.sip = signalling.listeners().iter().map(|listener| listener.local).collect();
    }
    // Only who holds the directory can tell tokens.
    let serves_api = matches!(role, Role::All | Role::CallControl);
    let verifier = serves_api.then(|| Arc::new(shared.directory.clone()) as Arc<dyn TokenVerifier>);
    running.serving = Some(grpc.serve(&shared.settings.tls, routes, verifier, &lifecycle).await?);
    Ok(running)
}

/// All four in one process: they call each other directly, through the same traits.
async fn start_all(shared: &Shared, routes: &mut RoutesBuilder, running: &mut Running) -> anyhow::Result<()> {
    let push = shared.start_push(routes).await?;
    let media = shared.start_media(routes).await?;
    let local = LocalMedia {
        boot_id: media.boot_id().to_string(),
        service: Arc::new(media.service()),
        others: GrpcMediaConnector { tls: shared.settings.tls.clone() },
    };
    let push_service: Arc<PushService> = Arc::new(push.clone());
    let control = shared.start_call_control(routes, Arc::new(local), Some(push_service)).await?;
    // Phones are let in when there is somebody to carry their media, so that not even the first call is refused.
    let found = tokio::time::timeout(MEDIA_FOUND_MAX, control.media_found()).await;
    found.context("call control does not find the media node of this process")?;
    running.signalling = Some(shared.start_signalling(routes, Arc::new(control.clone())).await?);
    shared.open_http(&control, routes, running).await?;
    running.call_control = Some(control);
    running.media = Some(media);
    running.push = Some(push);
    Ok(())
}

impl Shared {
    async fn start_signalling(
        &self,
        routes: &mut RoutesBuilder,
        owner: Arc<dyn OwnerConnector>,
    ) -> anyhow::Result<Signalling> {
        let deps = sidetone_signalling::Deps {
            store: Arc::clone(&self.store),
            directory: self.directory.clone(),
            owner,
            telemetry: Arc::clone(&self.telemetry),
            lifecycle: self.lifecycle.clone(),
            grpc_address: self.grpc_address.clone(),
            tls: self.settings.tls.clone(),
        };
        let signalling = Signalling::start(self.settings.signalling.clone(), deps).await?;
        routes.add_service(SignallingServer::new(signalling.service()));
        Ok(signalling)
    }

    async fn start_call_control(
        &self,
        routes: &mut RoutesBuilder,
        media: Arc<dyn MediaConnector>,
        push: Option<Arc<PushService>>,
    ) -> anyhow::Result<CallControl> {
        // All mistakes are told at once, and before anything is written.
        let mistakes = crate::settings::seed_mistakes(&self.settings.seed).await?;
        if !mistakes.is_empty() {
            return Err(ConfigErrors(mistakes).into());
        }
        let seeded = self.directory.seed(&self.settings.seed).await.context("[seed]")?;
        tracing::info!(added = seeded.added, kept = seeded.kept, "directory seeded");
        let deps = sidetone_call_control::Deps {
            store: Arc::clone(&self.store),
            directory: self.directory.clone(),
            media,
            push,
            telemetry: Arc::clone(&self.telemetry),
            lifecycle: self.lifecycle.clone(),
        };
        let control = CallControl::start(self.settings.call_control.clone(), deps).await?;
        routes
            .add_service(CallControlServer::new(control.clone()))
            .add_service(EventsServer::new(control.clone()))
            .add_service(LegStreamsServer::new(control.clone()))
            .add_service(LaddersServer::new(LadderDoor {
                calls: control.clone(),
                store: Arc::clone(&self.store),
                tls: self.settings.tls.clone(),
            }))
            .add_service(BansServer::new(BanDoor {
                store: Arc::clone(&self.store),
                tls: self.settings.tls.clone(),
            }))
            .add_service(DirectoryServer::new(self.directory_service(&control)))
            .add_service(StoreServer::new(StoreService::new(Arc::clone(&self.store))));
        Ok(control)
    }

    /// Whoever puts what cannot work is told so.
    fn directory_service(&self, control: &CallControl) -> DirectoryService {
        let outbox = self.settings.outbox.clone();
        DirectoryService::new(self.directory.clone())
            .with_prompts(Arc::new(control.clone()))
            .with_webhooks(Arc::new(move |url: &str| outbox.webhook_problem(url)))
    }

    /// The door stands beside call control, whose facts it projects; the outbox behind it delivers to applications.
    async fn open_http(
        &self,
        control: &CallControl,
        routes: &mut RoutesBuilder,
        running: &mut Running,
    ) -> anyhow::Result<()> {
        let outbox = sidetone_outbox::Deps {
            store: Arc::clone(&self.store),
            directory: self.directory.clone(),
            telemetry: Arc::clone(&self.telemetry),
            lifecycle: self.lifecycle.clone(),
        };
        let outbox = Outbox::start(self.settings.outbox.clone(), outbox).await?;
        routes.add_service(OutboxServer::new(outbox.clone()));
        let deps = sidetone_http::Deps {
            store: Arc::clone(&self.store),
            directory: self.directory.clone(),
            feed: Arc::new(control.clone()),
            commands: Arc::new(control.clone()),
            media: Some(Arc::new(media_source::FromNodes(control.clone()))),
            outlet: Some(Arc::new(outbox.clone())),
            dialects: sidetone_dialects::all(),
            telemetry: Arc::clone(&self.telemetry),
            lifecycle: self.lifecycle.clone(),
        };
        let door = HttpDoor::start(self.settings.http.clone(), deps).await?;
        control.tell_urls(Arc::new(media_source::UrlsOfDoor(door.media_urls())));
        running.http = Some(door);
        running.outbox = Some(outbox);
        Ok(())
    }

    async fn start_media(&self, routes: &mut RoutesBuilder) -> anyhow::Result<MediaNode> {
        let deps = sidetone_media::Deps {
            store: Arc::clone(&self.store),
            telemetry: Arc::clone(&self.telemetry),
            lifecycle: self.lifecycle.clone(),
            grpc_address: self.grpc_address.clone(),
        };
        let mut mistakes = Vec::new();
        self.settings.media.check_addresses(&mut mistakes);
        if !mistakes.is_empty() {
            return Err(ConfigErrors(mistakes).into());
        }
        let node = MediaNode::start(self.settings.media.clone(), deps).await?;
        routes.add_service(MediaServer::new(node.service()));
        Ok(node)
    }

    async fn start_push(&self, routes: &mut RoutesBuilder) -> anyhow::Result<Push> {
        let deps = sidetone_push::Deps {
            store: Arc::clone(&self.store),
            telemetry: Arc::clone(&self.telemetry),
            lifecycle: self.lifecycle.clone(),
        };
        let push = Push::start(self.settings.push.clone(), deps).await?;
        routes.add_service(PushServer::new(push.clone()));
        Ok(push)
    }

    fn to_call_control(&self) -> anyhow::Result<tonic::transport::Channel> {
        let address = self.settings.peers.call_control.as_deref().context("peers.call_control is not set")?;
        channel(address, &self.settings.tls)
    }

    fn remote_push(&self) -> anyhow::Result<Option<Arc<PushService>>> {
        let Some(address) = &self.settings.peers.push else { return Ok(None) };
        Ok(Some(Arc::new(RemotePush::new(channel(address, &self.settings.tls)?))))
    }
}

type OpenStore = (Arc<dyn Store>, Option<Arc<EmbeddedStore>>);

fn open_store(settings: &Settings, telemetry: &Arc<Telemetry>) -> anyhow::Result<OpenStore> {
    if settings.store.kind == StoreKind::Remote {
        let address = settings.peers.call_control.as_deref().context("peers.call_control is not set")?;
        return Ok((Arc::new(RemoteStore::new(channel(address, &settings.tls)?)), None));
    }
    let options = Options { telemetry: Some(Arc::clone(telemetry)), ..Options::default() };
    let store = match &settings.store.path {
        Some(path) => EmbeddedStore::open_with(path, options)
            .with_context(|| format!("store.path {}", path.display()))?,
        None => EmbeddedStore::in_memory_with(options)?,
    };
    Ok((Arc::clone(&store) as Arc<dyn Store>, Some(store)))
}

/// The media node of this process without a network, and others over it.
struct LocalMedia {
    boot_id: String,
    service: Arc<MediaService>,
    others: GrpcMediaConnector,
}

#[async_trait::async_trait]
impl MediaConnector for LocalMedia {
    async fn connect(&self, node: &NodeRegistration) -> Result<Arc<MediaService>, LinkError> {
        if node.boot_id == self.boot_id {
            return Ok(Arc::clone(&self.service));
        }
        self.others.connect(node).await
    }
}
