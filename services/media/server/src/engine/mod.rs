//! The control plane of a node: who holds which leg, port and mix. It never touches sound.
//!
//! All of it is one value behind one asynchronous lock, whose holder talks to the workers through their rings. A leg that
//! is to hear a leg or a mix of another worker moves there with its sockets, so that everything which is connected is on
//! one worker; a room that is too large for that is on several, which exchange sums.

pub(crate) mod audio;
pub(crate) mod coding;
pub(crate) mod connect;
mod costs;
mod encoding;
mod events;
mod feed;
mod handshakes;
pub(crate) mod legs;
pub(crate) mod link;
mod metrics;
mod moving;
mod offering;
mod placing;
pub(crate) mod play;
mod record;
mod rooms;
mod speech;
mod stream;
mod streaming;
pub(crate) mod view;
mod warning;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sidetone_dsp::Rate;
use sidetone_dsp::codec::Codec;
use sidetone_model::ids::{BootId, LegId};
use sidetone_model::media::{Fingerprint, MediaDescription};
use sidetone_net::Answering;
use sidetone_proto::media::v1 as pb;
use sidetone_telemetry::Telemetry;
use tokio::sync::{Mutex, Notify, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::adaptation::Adaptation;
use crate::admission::Admission;
use crate::config::Config;
use crate::error::MediaError;
use crate::handshake::Handshakes;
use crate::keys::Keys;
use crate::negotiate::Agreement;
use crate::ports::Ports;
use crate::prompts::Prompts;
use crate::proof::Proof;
use crate::recorder::RecorderHandle;
use crate::state::Audio;
use crate::storage::Joins;
use crate::worker::coding::Plan;
use crate::worker::conditioning::Conditioning;
use crate::worker::playing::Steer;
use crate::worker::rings::{Command, Slot};
use link::{Replies, WorkerLink};
use rooms::MixEntry;

pub(crate) use events::pump;

/// The control plane of one node.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) boot: BootId,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) events: broadcast::Sender<pb::MediaEvent>,
    pub(crate) registration_changed: Notify,
    epoch: Instant,
    unix_us_at_zero: u64,
    control: Mutex<Control>,
    replies: Replies,
    recorder: RecorderHandle,
    /// Where recordings of other nodes are asked for; none without object storage.
    joins: Option<Joins>,
    /// Places for what is brought before it is played.
    preparing: Semaphore,
    /// Places for prompts that are encoded for all.
    encoding: Semaphore,
    /// Places for long prompts.
    streaming: Arc<Semaphore>,
    /// Of the certificate that is shown in handshakes.
    fingerprint: Fingerprint,
    handshakes: Handshakes,
    draining: AtomicBool,
    process_draining: CancellationToken,
    pub(crate) stopping: CancellationToken,
}

/// What the engine knows. Whoever holds the lock may change it.
#[derive(Debug)]
pub(crate) struct Control {
    workers: Vec<WorkerLink>,
    /// What legs cost, and who has room for another.
    admission: Admission,
    legs: HashMap<LegId, LegEntry>,
    /// The legs of each call: what has to be known of them is asked for each new one.
    calls: HashMap<Box<str>, Vec<LegId>>,
    mixes: HashMap<Box<str>, MixEntry>,
    playbacks: HashMap<Box<str>, PlaybackEntry>,
    recordings: HashMap<Box<str>, RecordingEntry>,
    streams: HashMap<Box<str>, stream::StreamEntry>,
    /// What is said into streams, by their id.
    speeches: HashMap<Box<str>, speech::Speech>,
    feeds: HashMap<LegId, feed::Feed>,
    /// Legs that hear that they are recorded, by the number of that playback.
    warned: HashMap<LegId, warning::Warning>,
    ports: Vec<Ports>,
    prompts: Prompts,
    next_number: u64,
}

#[derive(Debug)]
struct LegEntry {
    worker: usize,
    slot: Slot,
    request: pb::CreateLegRequest,
    /// What may be agreed, best first.
    codecs: Vec<Codec>,
    agreement: Option<Agreement>,
    /// How the codecs that it has were made.
    plan: Option<Plan>,
    /// What is done to its sound; none where nothing is.
    conditioning: Option<Conditioning>,
    /// How its encoder of Opus follows the far side's losses; none before the first report.
    adaptation: Option<Adaptation>,
    /// Our last offer, as long as answers to it may come.
    offer: Option<MediaDescription>,
    local: MediaDescription,
    keys: Keys,
    proof: Proof,
    /// Through which handshakes and checks are answered; none on a leg that began without them.
    answering: Option<Arc<Answering>>,
    /// The last update with its answer, so that it can be repeated.
    updated: Option<(pb::UpdateLegRequest, MediaDescription)>,
    realm: usize,
    port: u16,
    route: Routed,
    audio: Audio,
    dialed: audio::Dialed,
}

/// What a leg is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Routed {
    Fresh,
    Nothing,
    Peer(LegId),
    Mix(Box<str>),
    Echo,
}

#[derive(Debug)]
struct PlaybackEntry {
    request: pb::PlayRequest,
    audience: play::Audience,
    number: u64,
    duration_ms: u64,
    /// Cancelled to stop it while its sound is still fetched; none once it plays.
    loading: Option<CancellationToken>,
    /// What it is to do when it plays, at most one of each kind.
    steered: Vec<Steer>,
    /// Where it is long and plays: what decodes it.
    seeker: Option<streaming::Seeker>,
}

#[derive(Debug)]
struct RecordingEntry {
    request: pb::StartRecordingRequest,
    number: u32,
    rate: Rate,
    /// It takes nothing in at the moment.
    paused: bool,
}

impl RecordingEntry {
    fn legs(&self) -> Vec<LegId> {
        self.request.leg_ids.iter().filter_map(|leg| leg.parse().ok()).collect()
    }
}

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) boot: BootId,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) epoch: Instant,
    pub(crate) workers: Vec<WorkerLink>,
    pub(crate) recorder: RecorderHandle,
    pub(crate) joins: Option<Joins>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) handshakes: Handshakes,
    pub(crate) draining: CancellationToken,
    pub(crate) stopping: CancellationToken,
}

/// Events that a slow watcher may be behind before it must watch anew.
const EVENTS_BEHIND_MAX: usize = 4096;

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, boot, telemetry, epoch, workers, recorder, draining, stopping, .. } = parts;
        let (fingerprint, handshakes) = (parts.fingerprint, parts.handshakes);
        let rest = std::time::Duration::from_secs(config.port_rest_s);
        let ports = config.realms.iter().map(|realm| Ports::new(realm.clone(), rest)).collect();
        let control = Control {
            admission: Admission::new(workers.len(), config.load_max_permille),
            workers,
            legs: HashMap::new(),
            calls: HashMap::new(),
            mixes: HashMap::new(),
            playbacks: HashMap::new(),
            recordings: HashMap::new(),
            streams: HashMap::new(),
            speeches: HashMap::new(),
            feeds: HashMap::new(),
            warned: HashMap::new(),
            ports,
            prompts: Prompts::new(&config.prompts_dir, config.prompt_cache_mb << 20),
            next_number: 1,
        };
        let unix_us =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        Self {
            config,
            boot,
            telemetry,
            events: broadcast::channel(EVENTS_BEHIND_MAX).0,
            registration_changed: Notify::new(),
            epoch,
            unix_us_at_zero: unix_us.saturating_sub(epoch.elapsed().as_micros() as u64),
            control: Mutex::new(control),
            replies: Replies::default(),
            recorder,
            joins: parts.joins,
            preparing: Semaphore::new(play::PREPARING_MAX),
            encoding: Semaphore::new(encoding::ENCODING_MAX),
            streaming: Arc::new(Semaphore::new(streaming::STREAMS_MAX)),
            fingerprint,
            handshakes,
            draining: AtomicBool::new(false),
            process_draining: draining,
            stopping,
        }
    }

    /// Refuses new legs from now on.
    pub(crate) fn drain(&self) {
        if !self.draining.swap(true, Ordering::Relaxed) {
            tracing::info!("media node is draining");
            self.registration_changed.notify_one();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.process_draining.is_cancelled()
    }

    /// Cancelled when the process drains.
    pub(crate) fn process_draining(&self) -> CancellationToken {
        self.process_draining.clone()
    }

    /// Ends the threads.
    pub(crate) async fn stop_workers(&self) {
        let mut control = self.control.lock().await;
        for link in &mut control.workers {
            // A worker that takes no more commands for a second is past being told.
            let _ = link.push(Command::Stop).await;
        }
        self.recorder.stop();
    }

    /// The threads have ended: what they did not answer will not be answered.
    pub(crate) fn close_replies(&self) {
        self.replies.close();
    }

    /// The node's monotonic clock, in ms.
    fn now_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    fn tell(&self, kind: pb::media_event::Kind) {
        // Nobody watching is no fault: what lasts is found by reconciliation.
        let _ = self.events.send(pb::MediaEvent { at_unix_ms: unix_ms(), kind: Some(kind) });
    }

    fn refused(&self, error: MediaError) -> MediaError {
        use sidetone_model::classify::Classify as _;
        self.telemetry.media.refused.with_label_values(&[error.reason()]).inc();
        error
    }
}

impl Control {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

/// The wall clock in ms since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
