//! Starts a replica and hands out its handle.

use std::sync::Arc;

use sidetone_directory::Directory;
use sidetone_model::ids::{BootId, IdSource, LegId, ReplicaId};
use sidetone_runtime::Lifecycle;
use sidetone_runtime::grpc::TlsConfig;
use sidetone_runtime::link::OwnerConnector;
use sidetone_sip_core::auth::{Algorithm, AuthConfig, Authenticator};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{Timers, Transactions, TransactionsConfig};
use sidetone_store::{Store, StoreError};
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Former, Inputs, Parts};
use crate::bad_input::BadInput;
use crate::config::Config;
use crate::defence::Defence;
use crate::devices;
use crate::dialogs::Dialogs;
use crate::handover::{
    Carriers, FromNeighbour, Mark, NEIGHBOUR_INPUTS_MAX, Neighbours, keep_neighbours, read_neighbours,
};
use crate::ladder::{Ladder, Redactor};
use crate::owner::{self, LINK_EVENTS_MAX};
use crate::replica::{self, wall_clock};
use crate::service::{OPERATORS_MAX, SignallingService, Stats};
use crate::stir::Stir;
use crate::subscriptions::Records;
use crate::transport::{self, INBOUND_MAX, Inbound, KnownPeers, Lent, Outputs, os_random};
use crate::trunks::{Keeper, Names, Reports, Table};

pub use crate::transport::BoundListener;

/// What a replica needs of its process.
#[derive(Clone)]
pub struct Deps {
    /// Where the replica registers, and where the secret of nonces is shared.
    pub store: Arc<dyn Store>,
    /// Who there is, and where devices are registered.
    pub directory: Directory,
    /// Call control.
    pub owner: Arc<dyn OwnerConnector>,
    /// Instruments.
    pub telemetry: Arc<Telemetry>,
    /// The life of the process.
    pub lifecycle: Lifecycle,
    /// Where the process answers gRPC, as host:port; told to others by the registration.
    pub grpc_address: String,
    /// How other replicas are spoken to.
    pub tls: TlsConfig,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deps")
    }
}

/// Why a replica cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The name of the replica is none.
    #[error("signalling.replica_id")]
    ReplicaId(#[source] sidetone_model::ids::IdError),
    /// A listener cannot be bound.
    #[error("a SIP listener cannot be bound")]
    Listen(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store does not answer.
    #[error("the secret of nonces cannot be had from the store")]
    Store(#[source] StoreError),
    /// The other replicas cannot be read.
    #[error("the other replicas cannot be had from the store")]
    Neighbours(#[source] StoreError),
    /// The dialogs of a former life cannot be read.
    #[error("the dialogs of a former life cannot be had from the store")]
    Dialogs(#[source] StoreError),
    /// What is set of devices cannot be read.
    #[error("the devices cannot be had from the store")]
    Devices(#[source] sidetone_directory::DirectoryError),
    /// The files of the ladder have no place.
    #[error("signalling.ladder.directory cannot be used")]
    Ladder(#[source] std::io::Error),
    /// The keys or authorities of callers' numbers are of no use.
    #[error("signalling.stir")]
    Stir(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no random bytes.
    #[error("no random bytes from the system")]
    Random(#[source] std::io::Error),
}

/// A running replica.
#[derive(Debug)]
pub struct Signalling {
    service: SignallingService,
    drained: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Signalling {
    /// Binds the listeners and begins to serve.
    ///
    /// # Errors
    /// When a listener cannot be bound or the store cannot be asked.
    pub async fn start(config: Config, deps: Deps) -> Result<Self, StartError> {
        let replica = ReplicaId::new(&config.replica_id).map_err(StartError::ReplicaId)?;
        let secret = replica::nonce_secret(&*deps.store).await.map_err(StartError::Store)?;
        let mut ids = IdSource::seeded(os_random().map_err(StartError::Random)?);
        let boot: BootId = ids.make(wall_clock());
        // The sockets outlive the order to stop: the last goodbyes go over them.
        let closing = CancellationToken::new();
        let known = KnownPeers::default();
        let (outputs, inbound) = listen(&config, &deps, &known, &closing)?;
        let stats = Arc::new(Stats::default());
        let (ladder, stir) = open_ladder_and_stir(&config, &deps, &secret, &closing)?;
        let (to_agent, neighbours) = mpsc::channel(NEIGHBOUR_INPUTS_MAX);
        let carriers = know_neighbours(&deps, &replica, secret, to_agent.clone()).await?;
        let mark = Mark::of(&secret, &replica).to_string();
        let (to_operators, operators) = mpsc::channel(OPERATORS_MAX);
        let service = SignallingService {
            to_agent,
            operators: to_operators,
            replica: replica.clone(),
            boot,
            listeners: outputs.listeners().to_vec(),
            stats: Arc::clone(&stats),
            ladder: ladder.clone(),
        };

        let links = attach(&deps, &replica, boot)?;
        let (timers, transactions) = transactions_of(&config)?;
        let (drained_sender, drained) = watch::channel(false);
        let defence = defence_of(&config, known, &deps.telemetry);
        let (table, reports) = keep_trunks(&config, &deps, &replica)?;
        let (following, telemetry) = (deps.directory.clone(), Arc::clone(&deps.telemetry));
        let encryptions = devices::follow(following, telemetry, deps.lifecycle.stopping()).await;
        let dialogs = Dialogs::new(Arc::clone(&deps.store), &replica);
        let former = former_of(&deps, &dialogs, &replica).await?;
        let subscription_records = Records::start(Arc::clone(&deps.store), &replica);
        let authenticator = Authenticator::new(auth_of(&config), &secret);
        let agent = Agent::new(Parts {
            config,
            replica,
            boot,
            ids,
            tokens: tokens()?.marked(&mark),
            timers,
            transactions,
            authenticator,
            outputs,
            lent: Lent::default(),
            carriers,
            defence,
            ladder,
            stir,
            dialogs,
            subscription_records,
            table,
            reports,
            directory: deps.directory,
            encryptions: encryptions.map_err(StartError::Devices)?,
            telemetry: deps.telemetry,
            stats,
            drained: drained_sender,
            ready: deps.lifecycle.component("signalling"),
        });
        let (draining, stopping) = (deps.lifecycle.draining(), deps.lifecycle.stopping());
        let inputs = Inputs { inbound, links, neighbours, operators, draining, stopping };
        let task = tokio::spawn(async move {
            agent.run(inputs, former).await;
            closing.cancel();
        });
        Ok(Self { service, drained, task })
    }

    /// Every listener with the address really bound.
    pub fn listeners(&self) -> &[BoundListener] {
        &self.service.listeners
    }

    /// This life of the replica.
    pub fn boot(&self) -> BootId {
        self.service.boot
    }

    /// The gRPC service `Signalling`.
    pub fn service(&self) -> SignallingService {
        self.service.clone()
    }

    /// Resolves when the process drains and the last leg has ended and been acknowledged.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut drained = self.drained.clone();
        async move {
            // An agent that is gone has nothing left to drain.
            let _done = drained.wait_for(|drained| *drained).await;
        }
    }

    /// Stops at once and says nothing to anybody, as SIGKILL would: for tests of what outlives a replica.
    pub async fn kill(self) {
        self.task.abort();
        let _cancelled = self.task.await;
    }

    /// Resolves when the replica has stopped.
    pub async fn finished(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the signalling task failed");
        }
    }
}

/// Opens the sockets; what comes in over them.
fn listen(
    config: &Config,
    deps: &Deps,
    known: &KnownPeers,
    closing: &CancellationToken,
) -> Result<(Outputs, mpsc::Receiver<Inbound>), StartError> {
    let (to_agent, inbound) = mpsc::channel(INBOUND_MAX);
    let (telemetry, stopping) = (Arc::clone(&deps.telemetry), closing.clone());
    let bad = BadInput::new(&telemetry);
    let shared = transport::Shared { to_agent, telemetry, stopping, known: known.clone(), bad };
    let outputs = transport::open(config, &shared).map_err(|error| StartError::Listen(Box::new(error)))?;
    Ok((outputs, inbound))
}

fn open_ladder_and_stir(
    config: &Config,
    deps: &Deps,
    secret: &[u8; 32],
    closing: &CancellationToken,
) -> Result<(Ladder, Arc<Stir>), StartError> {
    let telemetry = &deps.telemetry;
    let ladder = Ladder::open((&config.ladder, &config.hep), Redactor::new(secret), telemetry, closing)
        .map_err(StartError::Ladder)?;
    let stir =
        Stir::open(&config.stir, telemetry, closing).map_err(|error| StartError::Stir(Box::new(error)))?;
    Ok((ladder, stir))
}

/// What the life before this one has left.
async fn former_of(deps: &Deps, dialogs: &Dialogs, replica: &ReplicaId) -> Result<Former, StartError> {
    let subscriptions = Records::load(&*deps.store, replica).await.map_err(StartError::Dialogs)?;
    Ok(Former { dialogs: dialogs.load().await.map_err(StartError::Dialogs)?, subscriptions })
}

fn auth_of(config: &Config) -> AuthConfig {
    AuthConfig {
        nonce_lifetime: std::time::Duration::from_secs(config.nonce_lifetime_s),
        algorithms: config.digest_algorithms.iter().filter_map(|name| Algorithm::from_token(name)).collect(),
        ..AuthConfig::default()
    }
}

fn defence_of(config: &Config, known: KnownPeers, telemetry: &Arc<Telemetry>) -> Defence {
    Defence::new(config.defence.clone(), config.source_requests_per_s, known, Arc::clone(telemetry))
}

fn transactions_of(config: &Config) -> Result<(Timers, Transactions<LegId>), StartError> {
    let timers = Timers { t1: std::time::Duration::from_millis(config.t1_ms), ..Timers::default() };
    let config = TransactionsConfig { timers, ..TransactionsConfig::default() };
    Ok((timers, Transactions::new(config, tokens()?)))
}

/// Holds the stream to the owner of the calls, and this replica's place in the store.
fn attach(
    deps: &Deps,
    replica: &ReplicaId,
    boot: BootId,
) -> Result<mpsc::Receiver<owner::LinkEvent>, StartError> {
    let (link_events, links) = mpsc::channel(LINK_EVENTS_MAX);
    tokio::spawn(owner::keep_attached(
        Arc::clone(&deps.owner),
        link_events,
        tokens()?,
        deps.lifecycle.stopping(),
    ));
    tokio::spawn(replica::keep_registered(
        Arc::clone(&deps.store),
        replica.clone(),
        boot,
        deps.grpc_address.clone(),
        deps.lifecycle.stopping(),
    ));
    Ok(links)
}

/// Learns who the other replicas are, and goes on following that.
async fn know_neighbours(
    deps: &Deps,
    replica: &ReplicaId,
    secret: [u8; 32],
    to_agent: mpsc::Sender<FromNeighbour>,
) -> Result<Carriers, StartError> {
    let none = Neighbours::default();
    let found =
        read_neighbours(&*deps.store, replica, &secret, &none).await.map_err(StartError::Neighbours)?;
    let (table, neighbours) = watch::channel(Arc::new(found));
    let stopping = deps.lifecycle.stopping();
    tokio::spawn(keep_neighbours(Arc::clone(&deps.store), replica.clone(), secret, table, stopping));
    Ok(Carriers::new(replica.clone(), deps.tls.clone(), neighbours, to_agent))
}

/// Starts the task that follows the trunks; what it reads, and where it is told of their state.
fn keep_trunks(
    config: &Config,
    deps: &Deps,
    replica: &ReplicaId,
) -> Result<(watch::Receiver<Arc<Table>>, Reports), StartError> {
    let (sender, table) = watch::channel(Arc::default());
    let reports = Reports::default();
    let keeper = Keeper::new(
        deps.directory.clone(),
        replica.clone(),
        Names::new(&config.dns_records),
        tokens()?,
        Arc::clone(&reports),
        sender,
    );
    tokio::spawn(keeper.run(deps.lifecycle.stopping()));
    Ok((table, reports))
}

fn tokens() -> Result<Tokens, StartError> {
    os_random().map(Tokens::seeded).map_err(StartError::Random)
}
