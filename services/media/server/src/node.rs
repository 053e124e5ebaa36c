//! A running node: threads started, registered in the store, and stopped in order.

use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prost::Message as _;
use rtrb::RingBuffer;
use sidetone_model::ids::{BootId, IdSource};
use sidetone_model::time::Timestamp;
use sidetone_net::{Wake, allowed_cpus, pin_current_thread, set_current_thread_realtime};
use sidetone_proto::media::v1 as pb;
use sidetone_runtime::Lifecycle;
use sidetone_store::{Expect, Store};
use sidetone_telemetry::Telemetry;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::link::WorkerLink;
use crate::engine::{Engine, Parts, pump, unix_ms};
use crate::handshake::{self, Handshakes, Identity};
use crate::recorder;
use crate::service::MediaServer;
use crate::storage::{Bucket, Joining, Joins, Orders, Uploads};
use crate::worker::counters::Counters;
use crate::worker::proofs::{Door, PROOFS_MAX, Proof};
use crate::worker::rings::{COMMANDS_MAX, Command, EVENTS_MAX, FRAMES_MAX};
use crate::worker::{Limits, Worker, WorkerEnds};

/// What a node needs from its process.
pub struct Deps {
    /// Where it registers.
    pub store: Arc<dyn Store>,
    /// Where it counts.
    pub telemetry: Arc<Telemetry>,
    /// When it drains and stops.
    pub lifecycle: Lifecycle,
    /// Where its gRPC service is reached, as host:port; written into the registration.
    pub grpc_address: String,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Threads, sockets or the random source of the system.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Recordings cannot be written where they are to be.
    #[error(transparent)]
    Folder(#[from] recorder::FolderError),
    /// The object storage that is configured cannot be used.
    #[error("the object storage cannot be used")]
    Storage(#[source] object_store::Error),
    /// DTLS could not be set up.
    #[error("{0}")]
    Dtls(&'static str),
    /// The random source of the system.
    #[error("the system's random source does not answer")]
    Random,
}

/// A running media node. It ends with the process's [`Lifecycle`].
#[derive(Debug)]
pub struct MediaNode {
    engine: Arc<Engine>,
    supervisor: Task<()>,
}

/// How often the registration is renewed, and for how long it is good. Each renewal is a durable write: some seconds of a slow
/// disk, or of a busy machine, must not keep calls away from a node that is well. One that is lost is found by its connection.
const RENEWAL: Duration = Duration::from_millis(500);
const GOOD_FOR: Duration = Duration::from_secs(6);
/// How often the threads are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(200);

impl MediaNode {
    /// Starts the threads and registers. The configuration must have passed [`Config::check`].
    pub async fn start(config: Config, deps: Deps) -> Result<Self, StartError> {
        let Deps { store, telemetry, lifecycle, grpc_address } = deps;
        let (component, epoch) = (lifecycle.component("media"), Instant::now());
        let mut threads = Threads::default();
        crate::descriptors::reserve(config.legs_max);
        let links = threads.start_workers(&config, epoch)?;
        let bucket = Bucket::open(&config.storage).map_err(StartError::Storage)?;
        let frames = std::mem::take(&mut threads.frames);
        let (recorder, mut failed, join) = recorder::start(
            config.recordings_dir.clone(),
            &config.node_id,
            epoch,
            frames,
            Arc::clone(&telemetry),
            bucket.clone(),
        )
        .map_err(|source| StartError::System { what: "starting the recorder", source })?;
        threads.joins.push(join);
        let (joins, wanted) = bucket.as_ref().map(|_| Joins::new()).unzip();
        let identity = Identity::new().map_err(StartError::Dtls)?;
        let (handshakes, orders) = Handshakes::new(config.legs_max);
        let counters = links.iter().map(|link| Arc::clone(&link.counters)).collect();
        let parts = Parts {
            config,
            boot: boot_id()?,
            telemetry,
            epoch,
            workers: links,
            recorder,
            joins,
            fingerprint: identity.fingerprint.clone(),
            handshakes,
            draining: lifecycle.draining(),
            stopping: lifecycle.stopping(),
        };
        let engine = Arc::new(Engine::new(parts));
        let mut tasks = threads.start_pumps(&engine);
        tasks.extend(threads.start_handshakes(&engine, identity, orders));
        let failing = Arc::clone(&engine);
        tasks.push(tokio::spawn(async move {
            while let Some(failed) = failed.recv().await {
                failing.recording_failed(failed.number, failed.problem).await;
            }
        }));
        let (taking, stopping) = (Arc::clone(&engine), threads.pumps.clone());
        tasks.push(tokio::spawn(async move { taking.take_over(stopping).await }));
        tasks.push(tokio::spawn(engine.room().run(threads.pumps.clone())));
        if let (Some(bucket), Some(wanted)) = (bucket, wanted) {
            tasks.extend(threads.start_storage(&engine, bucket, wanted));
        }
        let registration = Registration { store, grpc_address, engine: Arc::clone(&engine), counters };
        registration.renew().await;
        component.set_ready(true);
        let stopping = lifecycle.stopping();
        let supervised = Arc::clone(&engine);
        let supervisor = tokio::spawn(async move {
            let mut registered = pin!(registration.run(stopping));
            tokio::select! {
                () = &mut registered => {}
                // Half a node would keep legs that nobody hears, and be given more.
                () = one_ended(&threads.joins) => {
                    lifecycle.fail("a thread of the media node has ended by itself");
                    registered.await;
                }
            }
            component.set_ready(false);
            supervised.stop_workers().await;
            threads.end(&supervised, tasks).await;
        });
        Ok(Self { engine, supervisor })
    }

    /// The service, for a gRPC server or for callers in the same process.
    pub fn service(&self) -> MediaServer {
        MediaServer::new(Arc::clone(&self.engine))
    }

    /// This life of the node.
    pub fn boot_id(&self) -> BootId {
        self.engine.boot
    }

    /// Resolves once a drain has begun and the last leg is gone.
    pub async fn drained(&self) {
        while !self.engine.is_draining() || self.engine.legs().await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Resolves after the life cycle's stop, when threads have ended, files are closed and the registration is gone.
    pub async fn finished(self) {
        // A supervisor that panicked has nothing more to end.
        let _ = self.supervisor.await;
    }
}

/// The threads of a node while they are started, and what has to be wired to them.
#[derive(Debug, Default)]
struct Threads {
    joins: Vec<JoinHandle<()>>,
    events: Vec<(rtrb::Consumer<crate::worker::rings::Event>, pipe::Receiver)>,
    frames: Vec<rtrb::Consumer<crate::worker::rings::RecordingFrame>>,
    doors: Vec<(rtrb::Consumer<Proof>, pipe::Receiver)>,
    pumps: CancellationToken,
}

impl Threads {
    /// Starts the workers, once what they will have to say can be recorded.
    fn start_workers(&mut self, config: &Config, epoch: Instant) -> Result<Vec<WorkerLink>, StartError> {
        recorder::prepare(&config.recordings_dir)?;
        let cpus =
            allowed_cpus().map_err(|source| StartError::System { what: "reading the CPU set", source })?;
        let count = if config.workers == 0 { cpus.len().max(1) } else { config.workers };
        let cpu_of = |number: usize| config.pin_workers.then(|| cpus[number % cpus.len()]);
        (0..count).map(|number| self.start_worker(config, number, cpu_of(number), epoch)).collect()
    }

    /// Starts what brings recordings into the bucket, and makes one of the parts that lost nodes have left there.
    fn start_storage(&self, engine: &Arc<Engine>, bucket: Bucket, wanted: Orders) -> [Task<()>; 2] {
        let joining = Joining::new(bucket.clone(), engine.spool(), Arc::clone(&engine.telemetry), wanted);
        let uploads = Uploads::new(bucket, engine.spool(), Arc::clone(&engine.telemetry));
        let (telling, stopping) = (Arc::clone(engine), self.pumps.clone());
        let joined = tokio::spawn(async move {
            let told = |joined| {
                let telling = Arc::clone(&telling);
                async move { telling.recording_joined(joined).await }
            };
            joining.run(stopping, told).await;
        });
        let (telling, stopping) = (Arc::clone(engine), self.pumps.clone());
        let uploaded =
            tokio::spawn(
                async move { uploads.run(stopping, |stored| telling.recording_stored(stored)).await },
            );
        [joined, uploaded]
    }

    /// Starts the tasks that bring what happens on the workers to the engine.
    fn start_pumps(&mut self, engine: &Arc<Engine>) -> Vec<Task<()>> {
        let of_workers = std::mem::take(&mut self.events).into_iter();
        let start = |(events, told)| {
            let pumping = pump(Arc::clone(engine), events, told, self.pumps.clone());
            tokio::spawn(async move {
                if let Err(error) = pumping.await {
                    tracing::error!(%error, "events of a worker cannot be read");
                }
            })
        };
        of_workers.map(start).collect()
    }

    /// Waits for the threads, which have been told to stop, and then ends the tasks that serve them.
    async fn end(self, engine: &Engine, tasks: Vec<Task<()>>) {
        let joins = self.joins;
        let joined = tokio::task::spawn_blocking(move || {
            for join in joins {
                if join.join().is_err() {
                    tracing::error!("a media thread had panicked");
                }
            }
        });
        let _ = joined.await;
        self.pumps.cancel();
        engine.close_replies();
        for task in tasks {
            let _ = task.await;
        }
    }

    /// Starts the task that leads handshakes, and what brings it the workers' packets.
    fn start_handshakes(
        &mut self,
        engine: &Arc<Engine>,
        identity: Identity,
        orders: mpsc::Receiver<handshake::Order>,
    ) -> Vec<Task<()>> {
        let (packets, waiting) = mpsc::channel(handshake::PACKETS_MAX);
        let leading = handshake::run(Arc::clone(engine), identity, orders, waiting, self.pumps.clone());
        let mut tasks = vec![tokio::spawn(leading)];
        for (door, told) in std::mem::take(&mut self.doors) {
            let telemetry = Arc::clone(&engine.telemetry);
            let reading = handshake::read_door(door, told, packets.clone(), telemetry, self.pumps.clone());
            tasks.push(tokio::spawn(async move {
                if let Err(error) = reading.await {
                    tracing::error!(%error, "handshakes of a worker's legs cannot be read");
                }
            }));
        }
        tasks
    }

    fn start_worker(
        &mut self,
        config: &Config,
        number: usize,
        cpu: Option<usize>,
        epoch: Instant,
    ) -> Result<WorkerLink, StartError> {
        let system = |what| move |source| StartError::System { what, source };
        let (command_in, commands) = RingBuffer::<Command>::new(COMMANDS_MAX);
        let (events, event_out) = RingBuffer::new(EVENTS_MAX);
        let (frames, frame_out) = RingBuffer::new(FRAMES_MAX);
        let wake = Wake::new().map_err(system("making a wake-up"))?;
        let (telling, told) = pipe::pipe().map_err(system("making a pipe"))?;
        let telling = telling.into_nonblocking_fd().map_err(system("making a pipe"))?;
        let (proofs, proof_out) = RingBuffer::new(PROOFS_MAX);
        let (knocking, knocked) = pipe::pipe().map_err(system("making a pipe"))?;
        let knocking = knocking.into_nonblocking_fd().map_err(system("making a pipe"))?;
        let counters = Arc::new(Counters::default());
        let limits = Limits {
            idle_ms: config.idle_timeout_s * 1000,
            held_ms: config.held_timeout_s.saturating_mul(1000),
            lifeless_ms: config.rtp_timeout_s * 1000,
            extended_reports: config.rtcp_xr,
            batch: Duration::from_micros(config.batch_us),
        };
        let door = Door { packets: proofs, told: knocking.into() };
        let ends = WorkerEnds { commands, events, frames, door, wake: wake.clone(), told: telling.into() };
        let worker = Worker::new(config.legs_max, epoch, limits, Arc::clone(&counters), ends)
            .map_err(system("making a worker"))?;
        let priority = config.realtime_priority;
        let join = std::thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || {
                if let Some(cpu) = cpu
                    && let Err(error) = pin_current_thread(cpu)
                {
                    tracing::warn!(cpu, %error, "a worker could not be pinned");
                }
                make_realtime(priority);
                worker.run();
            })
            .map_err(system("starting a worker"))?;
        self.joins.push(join);
        self.events.push((event_out, told));
        self.frames.push(frame_out);
        self.doors.push((proof_out, knocked));
        Ok(WorkerLink::new(command_in, wake, counters, config.legs_max))
    }
}

/// Puts a worker's thread first, where that is wanted; one that may not be goes on as it is.
fn make_realtime(priority: u8) {
    if priority == 0 {
        return;
    }
    if let Err(error) = set_current_thread_realtime(priority) {
        tracing::warn!(
            priority,
            %error,
            "a worker has no real-time priority: permit it (CAP_SYS_NICE, or LimitRTPRIO= of systemd), or set \
             media.realtime_priority = 0"
        );
    }
}

/// The node's entry in the store, and its counts on their way to the metrics.
struct Registration {
    store: Arc<dyn Store>,
    grpc_address: String,
    engine: Arc<Engine>,
    counters: Vec<Arc<Counters>>,
}

impl Registration {
    /// Renews until `stopping`, then takes the entry away.
    async fn run(self, stopping: CancellationToken) {
        let mut timer = tokio::time::interval(RENEWAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut counted = Counted::default();
        let mut drained = false;
        let draining = self.engine.process_draining();
        loop {
            tokio::select! {
                _ = timer.tick() => {
                    self.engine.count(&self.counters, &mut counted);
                    self.engine.look_at_costs(&counted.spent_ns).await;
                }
                () = self.engine.registration_changed.notified() => {}
                () = draining.cancelled(), if !drained => drained = true,
                () = stopping.cancelled() => break,
            }
            tokio::select! {
                () = self.renew() => {}
                () = stopping.cancelled() => break,
            }
        }
        let key = self.key();
        let gone = self.store.delete(&key, Expect::Any);
        match tokio::time::timeout(RENEWAL, gone).await {
            Ok(Ok(())) => {}
            _ => tracing::warn!("the registration could not be taken away; it expires by itself"),
        }
    }

    async fn renew(&self) {
        let node = self.engine.node().await;
        let expires = unix_ms() + GOOD_FOR.as_millis() as u64;
        let realms = self.engine.config.realms.iter();
        let registration = pb::NodeRegistration {
            node_id: node.node_id,
            boot_id: node.boot_id,
            grpc_address: self.grpc_address.clone(),
            realms: realms
                .map(|realm| pb::RealmAddress {
                    realm: realm.name.clone(),
                    ip: realm.advertised().to_string(),
                })
                .collect(),
            legs: node.legs,
            legs_max: node.legs_max,
            draining: node.draining,
            fullness_permille: node.fullness_permille,
            expires_unix_ms: expires,
        };
        let value = registration.encode_to_vec().into();
        let until = Some(Timestamp::from_millis(expires));
        if let Err(error) = self.store.put(&self.key(), value, until, Expect::Any).await {
            tracing::warn!(%error, "the registration could not be renewed");
        }
    }

    fn key(&self) -> String {
        format!("media-nodes/{}", self.engine.config.node_id)
    }
}

/// What has been handed to the metrics so far.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// By instrument, in the order in which they are counted.
    pub(crate) totals: [u64; COUNTED],
    /// Time that each worker had worked, in ns, and when that was looked at.
    pub(crate) busy_ns: Vec<u64>,
    pub(crate) at: Option<Instant>,
    /// How long each worker worked for each tick since then, in ns; none where that is not known.
    pub(crate) spent_ns: Vec<Option<u64>>,
}

/// Instruments that workers count for.
pub(crate) const COUNTED: usize = 32;

fn boot_id() -> Result<BootId, StartError> {
    use rand::TryRng as _;
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(|_| StartError::Random)?;
    Ok(IdSource::seeded(seed).make(Timestamp::from_millis(unix_ms())))
}

/// Resolves when a thread has ended that nobody told to: it has panicked.
async fn one_ended(threads: &[JoinHandle<()>]) {
    while !threads.iter().any(JoinHandle::is_finished) {
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_is_noticed() {
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let mut threads = vec![std::thread::spawn(move || assert!(waits.recv().is_err()))];
        let looked = tokio::time::timeout(WATCH_EVERY * 2, one_ended(&threads)).await;
        assert!(looked.is_err(), "it runs");
        threads.push(std::thread::spawn(|| panic!("as a worker might")));
        one_ended(&threads).await;
        drop(go_on);
    }
}
