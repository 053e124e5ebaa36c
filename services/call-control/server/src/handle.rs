//! Starting and holding call control.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sidetone_call_core::Shard;
use sidetone_directory::Directory;
use sidetone_model::ids::{BootId, IdSource, ShardId, StreamId, TenantId};
use sidetone_runtime::Lifecycle;
use sidetone_runtime::link::{MediaConnector, PushService};
use sidetone_store::{Sequence, Store};
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::entries::Source;
use crate::nodes::Nodes;
use crate::owner::log::Log;
use crate::owner::{INPUTS_MAX, Input, Owner, OwnerParts, Recent, ReplicaInfo};
use crate::routing::Router;
use crate::{cdr, clock};

/// How often it is looked whether all calls have ended.
const ENDED_LOOK: Duration = Duration::from_millis(20);
/// How long followers of the log have when all calls have ended.
const FOLLOWED: Duration = Duration::from_millis(300);
/// How long the last round may take when the process stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What call control needs.
pub struct Deps {
    /// Where the logs are.
    pub store: Arc<dyn Store>,
    /// Who there is.
    pub directory: Directory,
    /// The way to media nodes.
    pub media: Arc<dyn MediaConnector>,
    /// The way to the push service. Waking devices begins with a later release; the place is kept.
    pub push: Option<Arc<PushService>>,
    /// Instruments.
    pub telemetry: Arc<Telemetry>,
    /// The process.
    pub lifecycle: Lifecycle,
}

/// Who makes URLs at which streams are heard.
pub trait StreamUrls: Send + Sync {
    /// The URL of a stream of a tenant.
    fn url(&self, tenant: &TenantId, stream: StreamId) -> String;
}

/// Call control, running. Clones are the same one.
#[derive(Clone)]
pub struct CallControl {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) router: Router,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shards: u16,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) replica_infos: Arc<Mutex<Vec<ReplicaInfo>>>,
    /// How long facts are kept.
    pub(crate) retention: Duration,
    pub(crate) urls: OnceLock<Arc<dyn StreamUrls>>,
    /// What each shard's log has been given last, in the order of the shards.
    recent: Vec<Arc<Recent>>,
    /// How far the files of CDRs are, shard by shard; none when there are no files.
    pub(crate) cdrs: OnceLock<Vec<Arc<cdr::Progress>>>,
    finished: watch::Receiver<bool>,
}

impl CallControl {
    /// Folds the logs and starts. It is ready when it has found a media node, or has waited for one long enough.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub async fn start(config: Config, deps: Deps) -> anyhow::Result<Self> {
        let component = deps.lifecycle.component("call-control");
        let mut seed = [0; 32];
        rand::fill(&mut seed);
        let boot = IdSource::seeded(seed).make(clock::now());
        let shards = open_shards(&config, &deps.store, boot).await?;
        let recent = shards.iter().map(|(_, log)| log.recent()).collect();
        let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
        let refresh = Duration::from_secs(config.refresh_s);
        let (directory, telemetry) = (deps.directory.clone(), Arc::clone(&deps.telemetry));
        let nodes = Nodes::new(deps.media, directory, inputs.clone(), telemetry, refresh);
        let replica_infos = Arc::default();
        let (mailboxes, mailbox_changes) = crate::waiting::Mailboxes::new(Arc::clone(&deps.telemetry));
        let (finder, wanted) = crate::devices::Finder::new(Arc::clone(&deps.telemetry));
        let owner = Owner::new(OwnerParts {
            boot,
            shards,
            inputs: receiver,
            nodes: Arc::clone(&nodes),
            telemetry: Arc::clone(&deps.telemetry),
            snapshot_records: config.snapshot_records,
            replica_infos: Arc::clone(&replica_infos),
            mailboxes: mailboxes.clone(),
            finder,
        });
        let finished = run(owner, &deps.lifecycle);
        tokio::spawn(Arc::clone(&nodes).follow(Arc::clone(&deps.store), deps.lifecycle.stopping()));
        let shared = Shared {
            inputs,
            router: Router {
                directory: deps.directory,
                nodes,
                foreign_as_numbers: config.foreign_as_numbers,
                pick_up_prefix: config.pick_up_prefix.as_str().into(),
            },
            store: deps.store,
            shards: config.shards,
            telemetry: deps.telemetry,
            lifecycle: deps.lifecycle,
            replica_infos,
            retention: Duration::from_secs(config.retention_days * 24 * 3600),
            urls: OnceLock::new(),
            recent,
            cdrs: OnceLock::new(),
            finished,
        };
        let new = Self { shared: Arc::new(shared) };
        crate::running::start(&new);
        cdr::start(&new, config.cdr_dir.as_deref())?;
        crate::facts::start_trimming(&new, config.retention_days);
        crate::devices::start(&new, new.shared.router.directory.clone(), mailboxes, wanted);
        if config.message_waiting {
            crate::waiting::start(&new, mailbox_changes);
        }
        let control = new.clone();
        tokio::spawn(async move {
            let found = control.wait_for_media(Duration::from_secs(config.media_wait_s)).await;
            component.set_ready(true);
            if found {
                crate::playable::tell_missing(&control, config.prompts()).await;
            }
        });
        Ok(new)
    }

    /// Without a media node the first call would be refused. But nodes may wait for us, too: not for ever. Whether there is one.
    async fn wait_for_media(&self, wait: Duration) -> bool {
        let found = tokio::time::timeout(wait, self.media_found()).await.is_ok();
        if !found {
            tracing::warn!("no media node was found; calls are refused until there is one");
        }
        found
    }

    /// Lets who begins a stream over gRPC be told where it is heard. The first who is named stays.
    pub fn tell_urls(&self, urls: Arc<dyn StreamUrls>) {
        let _ = self.shared.urls.set(urls);
    }

    /// Waits until the owner has stopped.
    pub async fn finished(&self) {
        let mut finished = self.shared.finished.clone();
        // The owner's task drops the sender at the latest.
        drop(finished.wait_for(|finished| *finished).await);
    }

    /// Ends every call, and waits until phones have answered that they are over and their CDRs are written. The
    /// caller bounds the time: a phone may never answer.
    pub async fn end_calls(&self) {
        if self.shared.inputs.send(Input::EndCalls).await.is_err() {
            return;
        }
        let some_live =
            |shards: &[&Shard]| shards.iter().any(|shard| shard.fold().legs().any(|leg| leg.is_live()));
        while self.look(some_live).await == Some(true) {
            tokio::time::sleep(ENDED_LOOK).await;
        }
        // A look may see what is not in the log yet; the next one comes when it is.
        tokio::time::sleep(ENDED_LOOK).await;
        let _ = self.look(some_live).await;
        cdr::written(self).await;
        // Who else follows the log has a moment, too.
        tokio::time::sleep(FOLLOWED).await;
    }

    /// Waits until a media node has been found and answers: before that, calls are refused for want of one.
    pub async fn media_found(&self) {
        while !self.shared.router.nodes.list().iter().any(|node| node.reachable) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Looks at the shards between two steps; none when the owner has stopped.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&[&Shard]) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let look = Input::Look(Box::new(move |shards| drop(reply.send(look(shards)))));
        self.shared.inputs.send(look).await.ok()?;
        answer.await.ok()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A shard's log, for reading.
    pub(crate) fn source(&self, shard: ShardId) -> Source {
        let Shared { store, telemetry, recent, .. } = self.shared();
        let recent = recent.get(usize::from(shard.0)).map_or_else(|| Recent::new(Sequence(0)), Arc::clone);
        Source { store: Arc::clone(store), shard, recent, telemetry: Arc::clone(telemetry) }
    }

    pub(crate) fn inputs(&self) -> mpsc::Sender<Input> {
        self.shared.inputs.clone()
    }

    pub(crate) fn router(&self) -> Router {
        self.shared.router.clone()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.lifecycle.stopping().is_cancelled() || *self.shared.finished.borrow()
    }

    pub(crate) fn replica_infos(&self) -> Vec<ReplicaInfo> {
        self.shared.replica_infos.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The shards as their logs have them, each with its log.
async fn open_shards(
    config: &Config,
    store: &Arc<dyn Store>,
    boot: BootId,
) -> anyhow::Result<Vec<(Shard, Log)>> {
    let ran_until = crate::running::before(store).await;
    let (mut shards, mut seed) = (Vec::new(), [0; 32]);
    for shard in (0..config.shards).map(ShardId) {
        rand::fill(&mut seed);
        let mut state = Shard::new(config.limits(), seed);
        let log = Log::open(Arc::clone(store), shard, boot, &mut state).await?;
        state.ran_until(ran_until);
        state.begin(clock::now());
        shards.push((state, log));
    }
    Ok(shards)
}

/// Runs the owner. When it loses its log the process must not go on: somebody else owns the shards now.
fn run(owner: Owner, lifecycle: &Lifecycle) -> watch::Receiver<bool> {
    let (sender, finished) = watch::channel(false);
    let lifecycle = lifecycle.clone();
    tokio::spawn(async move {
        let stopping = lifecycle.stopping();
        tokio::select! {
            outcome = owner.run(stopping.clone()) => if let Err(error) = outcome {
                tracing::error!(%error, "call control stops");
                lifecycle.fail(error.to_string());
            },
            // An append under way is waited for, unless the store is away.
            () = async { stopping.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => {}
        }
        let _ = sender.send(true);
    });
    finished
}
