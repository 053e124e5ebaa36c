//! Who there is: the registrations in the store, watched.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use prost::Message as _;
use sidetone_call_core::{MediaRequest, NodeCandidate};
use sidetone_directory::Directory;
use sidetone_model::ids::{BootId, LegId, NodeId};
use sidetone_model::wire;
use sidetone_proto::callcontrol::v1::MediaNode;
use sidetone_proto::media::v1::{GetNodeRequest, NodeRegistration, SpeakerChanged};
use sidetone_runtime::link::{MediaConnector, MediaService, Speaker};
use sidetone_store::{Store, WatchEvent};
use sidetone_telemetry::Telemetry;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::ask::{LANES, Lane};
use super::life;
use super::unheard::Unheard;
use crate::clock;
use crate::owner::Input;

/// Where nodes stand in the store.
const PREFIX: &str = "media-nodes/";
/// A node that is so full refuses calls; it tells so itself.
const FULL_PERMILLE: u32 = 1_000;
/// Below this, in thousandths of what it may use, nothing is concluded from what a node's workers need.
const IDLE_PERMILLE: u32 = 50;
/// A node is behind when so many of its lanes are: one may wait for a single sound that is slow to come.
const LANES_BEHIND: usize = LANES / 4;
/// A lane is behind when the request that it has an answer for next has waited so long. Who calls now would wait twice as long, for
/// its own media and for that of whom it calls.
const BEHIND: Duration = Duration::from_secs(1);
/// How often expired registrations are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// Within which a node that may be gone must answer, each time that it is asked.
const ANSWER_MAX: Duration = Duration::from_millis(400);
/// How long a node may say nothing, and refuse no connection either, before it counts as lost: its calls need nobody's
/// permission to go on, and a machine or a network that is slow for a moment is slow for all nodes at once.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Changes of speakers that wait for a listener.
const SPEAKERS_MAX: usize = 1024;

/// One life of one node.
pub(super) struct NodeLife {
    pub(super) node: NodeId,
    pub(super) boot: BootId,
    pub(super) registration: Mutex<NodeRegistration>,
    /// Legs that it holds or was asked for, as far as this process knows.
    legs: Mutex<HashSet<LegId>>,
    /// Legs for which it was chosen and not asked yet. Who never asks is forgotten with the next registration.
    promised: AtomicU32,
    pub(super) lanes: Vec<Lane>,
    /// It answers.
    pub(super) reachable: AtomicBool,
    /// Cancelled when this life is over.
    pub(super) over: CancellationToken,
    /// The way to it, once there is one.
    pub(super) service: OnceLock<Arc<MediaService>>,
    silence: Mutex<Silence>,
    /// It is being asked.
    asking: AtomicBool,
}

/// What comes of asking a node whether it is there.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Here,
    /// It cannot be connected to, or another has its address.
    Gone,
    None,
}

/// Since when a node has said nothing when it was asked, and when it was asked last.
#[derive(Debug, Default)]
struct Silence(Option<(Instant, Instant)>);

impl Silence {
    fn is_gone(&mut self, answer: Answer, now: Instant) -> bool {
        match answer {
            Answer::Here => self.0 = None,
            Answer::Gone => return true,
            Answer::None => {
                let (since, last) = self.0.get_or_insert((now, now));
                if now.duration_since(*last) >= SILENCE_MAX {
                    // Nobody has asked in between: that it was silent long ago says nothing.
                    *since = now;
                }
                *last = now;
                return now.duration_since(*since) >= SILENCE_MAX;
            }
        }
        false
    }
}

/// Every node that is known.
pub(crate) struct Nodes {
    pub(super) connector: Arc<dyn MediaConnector>,
    /// Which has the PINs and greetings of voicemails.
    pub(crate) directory: Directory,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) refresh: Duration,
    lives: Mutex<HashMap<NodeId, Arc<NodeLife>>>,
    /// Who speaks, for whoever listens now.
    speakers: broadcast::Sender<Speaker>,
    pub(super) unheard: Unheard,
}

impl Nodes {
    pub(crate) fn new(
        connector: Arc<dyn MediaConnector>,
        directory: Directory,
        inputs: mpsc::Sender<Input>,
        telemetry: Arc<Telemetry>,
        refresh: Duration,
    ) -> Arc<Self> {
        let (speakers, _) = broadcast::channel(SPEAKERS_MAX);
        let (lives, unheard) = Default::default();
        Arc::new(Self { connector, directory, inputs, telemetry, refresh, lives, speakers, unheard })
    }

    /// Who speaks, from now on.
    pub(crate) fn speakers(&self) -> broadcast::Receiver<Speaker> {
        self.speakers.subscribe()
    }

    pub(super) fn told_speaker(&self, event: SpeakerChanged) {
        let leg = event.leg_id.parse().ok();
        // Nobody may be listening.
        let _ = self.speakers.send(Speaker { mix: event.mix_id.into(), leg, at: clock::now() });
    }

    /// Follows the registrations until `stopping`.
    pub(crate) async fn follow(self: Arc<Self>, store: Arc<dyn Store>, stopping: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP);
        while !stopping.is_cancelled() {
            let Ok(mut watch) = store.watch(PREFIX).await else {
                tokio::time::sleep(SWEEP).await;
                continue;
            };
            loop {
                tokio::select! {
                    event = watch.next() => match event {
                        Some(Ok(WatchEvent::Put(entry))) => self.on_registered(&entry.value),
                        Some(Ok(WatchEvent::Deleted(key))) => self.on_deleted(&key),
                        Some(Ok(WatchEvent::Current)) => {}
                        Some(Err(_)) | None => break,
                    },
                    _ = sweep.tick() => self.drop_expired(),
                    () = stopping.cancelled() => return,
                }
            }
        }
    }

    fn on_registered(self: &Arc<Self>, value: &[u8]) {
        let Ok(registration) = NodeRegistration::decode(value) else { return };
        let ids = wire::id::<NodeId>("NodeRegistration.node_id", &registration.node_id).and_then(|node| {
            Ok((node, wire::id::<BootId>("NodeRegistration.boot_id", &registration.boot_id)?))
        });
        let Ok((node, boot)) = ids else {
            tracing::warn!("a media node has registered under an unusable name");
            return;
        };
        if registration.expires_unix_ms <= clock::now().as_millis() {
            return;
        }
        let present = self.lives().get(&node).cloned();
        match present {
            Some(life) if life.boot == boot => {
                life.promised.store(0, Ordering::Relaxed);
                *life.registration.lock().unwrap_or_else(PoisonError::into_inner) = registration;
            }
            older => {
                if let Some(older) = older {
                    self.end(&older);
                }
                self.begin(node, boot, registration);
            }
        }
    }

    fn begin(self: &Arc<Self>, node: NodeId, boot: BootId, registration: NodeRegistration) {
        tracing::info!(%node, %boot, "a media node has registered");
        let over = CancellationToken::new();
        let lanes: Vec<_> = (0..LANES).map(|_| Lane::new()).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
        let life = Arc::new(NodeLife {
            node: node.clone(),
            boot,
            registration: Mutex::new(registration),
            legs: Mutex::default(),
            promised: AtomicU32::new(0),
            lanes: senders,
            reachable: false.into(),
            over,
            service: OnceLock::new(),
            silence: Mutex::default(),
            asking: false.into(),
        });
        self.lives().insert(node, Arc::clone(&life));
        tokio::spawn(life::live(Arc::clone(self), life, receivers));
    }

    fn on_deleted(self: &Arc<Self>, key: &str) {
        let node = key.strip_prefix(PREFIX).and_then(|name| NodeId::new(name).ok());
        let life = node.and_then(|node| self.lives().get(&node).cloned());
        if let Some(life) = life {
            life.registration.lock().unwrap_or_else(PoisonError::into_inner).expires_unix_ms = 0;
            self.drop_expired();
        }
    }

    /// A node that has not renewed its registration is asked, one question at a time: it may only have been slow, or the
    /// store away. As long as it is not known to be gone it keeps its legs; it gets no new ones.
    fn drop_expired(self: &Arc<Self>) {
        let now = clock::now().as_millis();
        let expired: Vec<_> = self.lives().values().filter(|life| life.expires() <= now).cloned().collect();
        for life in expired {
            if life.asking.swap(true, Ordering::Relaxed) {
                continue;
            }
            let nodes = Arc::clone(self);
            tokio::spawn(async move {
                let gone = life.is_gone().await;
                life.asking.store(false, Ordering::Relaxed);
                if gone {
                    tracing::warn!(node = %life.node, "a media node has not renewed its registration");
                    nodes.end(&life);
                }
            });
        }
        let reachable = self.lives().values().filter(|life| life.is_reachable()).count();
        self.telemetry.call_control.media_nodes.set(reachable as i64);
    }

    /// A life is over: what it held is lost.
    pub(super) fn end(&self, life: &Arc<NodeLife>) {
        let mut lives = self.lives();
        if lives.get(&life.node).is_some_and(|present| present.boot == life.boot) {
            lives.remove(&life.node);
        }
        drop(lives);
        if !life.over.is_cancelled() {
            life.over.cancel();
            let input = Input::NodeLost { node: life.node.clone(), boot: life.boot };
            let inputs = self.inputs.clone();
            tokio::spawn(async move { drop(inputs.send(input).await) });
        }
    }

    /// Nodes that take new legs, the emptiest first. The first is counted as fuller by `legs` from now on.
    pub(crate) fn candidates(&self, legs: u32) -> Vec<NodeCandidate> {
        let (lives, now) = (self.lives(), Instant::now());
        let keeps_up = |life: &&Arc<NodeLife>| {
            let behind = life.is_behind(now);
            self.telemetry.call_control.media_nodes_behind.inc_by(u64::from(behind));
            !behind
        };
        let open = lives.values().filter(keeps_up).filter_map(|life| Some((life.load_ppm()?, life)));
        let mut open: Vec<(u64, &Arc<NodeLife>)> = open.collect();
        open.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.node.cmp(&b.1.node)));
        if let Some((_, first)) = open.first() {
            first.promised.fetch_add(legs, Ordering::Relaxed);
        }
        open.iter().map(|(_, life)| NodeCandidate { node: life.node.clone(), boot: life.boot }).collect()
    }

    /// Whether the owner has stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.inputs.is_closed()
    }

    /// Every node, for people.
    pub(crate) fn list(&self) -> Vec<MediaNode> {
        let mut nodes: Vec<MediaNode> = self.lives().values().map(|life| life.describe()).collect();
        nodes.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        nodes
    }

    /// The way to a node, once there is one.
    pub(crate) fn service(&self, node: &NodeId) -> Option<Arc<MediaService>> {
        self.lives().get(node)?.service.get().cloned()
    }

    /// The ways to all nodes that can be reached.
    pub(crate) fn services(&self) -> Vec<Arc<MediaService>> {
        let lives = self.lives();
        let reachable = lives.values().filter(|life| life.is_reachable());
        reachable.filter_map(|life| life.service.get().cloned()).collect()
    }

    fn emptiest(&self) -> Option<Arc<NodeLife>> {
        let lives = self.lives();
        let reachable = lives.values().filter(|life| life.is_reachable());
        let fullness = |life: &&Arc<NodeLife>| (life.load_ppm().unwrap_or(u64::MAX), life.node.clone());
        reachable.min_by_key(fullness).cloned()
    }

    /// Asks a node; the answer becomes an input of the owner. Requests of one leg keep their order. What is to be finished for a
    /// node that is gone is asked of another.
    pub(crate) fn ask(&self, shard: usize, node: NodeId, request: MediaRequest) {
        let mut life = self.lives().get(&node).cloned();
        if life.is_none() && matches!(request, MediaRequest::FinishRecording { .. }) {
            life = self.emptiest();
        }
        let mut hasher = DefaultHasher::new();
        match &request {
            MediaRequest::StartRecording { recording, .. }
            | MediaRequest::PauseRecording { recording, .. }
            | MediaRequest::StopRecording { recording }
            | MediaRequest::FinishRecording { recording, .. }
            | MediaRequest::AckRecording { recording } => recording.hash(&mut hasher),
            MediaRequest::Play { playback, .. }
            | MediaRequest::StopPlay { playback }
            | MediaRequest::SteerPlay { playback, .. } => {
                playback.hash(&mut hasher);
            }
            MediaRequest::StartStream { stream, .. } | MediaRequest::StopStream { stream } => {
                stream.hash(&mut hasher);
            }
            other => other.leg().hash(&mut hasher),
        }
        if let Some(life) = &life {
            life.count(&request);
        }
        let refused = match life {
            Some(life) => life.lanes[hasher.finish() as usize % LANES].push(shard, request),
            None => Some(request),
        };
        if let Some(request) = refused {
            let answer = Err(super::ask::unreachable_node());
            let inputs = self.inputs.clone();
            tokio::spawn(
                async move { drop(inputs.send(Input::Media { shard, node, request, answer }).await) },
            );
        }
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<NodeLife>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeLife {
    fn expires(&self) -> u64 {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner).expires_unix_ms
    }

    /// Whether it is gone: it cannot be connected to, another has its address, or it has said nothing for [`SILENCE_MAX`].
    pub(super) async fn is_gone(&self) -> bool {
        let Some(service) = self.service.get() else { return true };
        let asked = service.get_node(tonic::Request::new(GetNodeRequest {}));
        let answer = match tokio::time::timeout(ANSWER_MAX, asked).await {
            Ok(Ok(node)) if node.get_ref().boot_id == self.boot.to_string() => Answer::Here,
            Ok(_) => Answer::Gone,
            Err(_) => Answer::None,
        };
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).is_gone(answer, Instant::now())
    }

    /// Whether it said nothing when it was asked last.
    pub(super) fn is_silent(&self) -> bool {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// How full it is, in millionths; none when it takes nothing.
    fn load_ppm(&self) -> Option<u64> {
        let registration = self.registration.lock().unwrap_or_else(PoisonError::into_inner);
        // It tells once a second how many it has, others' included; this process knows its own at once.
        let known = u64::from(registration.legs).max(self.known_legs().len() as u64);
        let legs = known + u64::from(self.promised.load(Ordering::Relaxed));
        let max = u64::from(registration.legs_max);
        let open = !registration.draining && registration.expires_unix_ms > clock::now().as_millis();
        // What its workers have to do, where it tells that; its legs cost what they cost.
        let fullness = registration.fullness_permille.unwrap_or(0);
        let has_room = legs < max && fullness < FULL_PERMILLE;
        // What workers need that have next to nothing to do differs by itself: there legs alone are compared.
        let busy = if fullness < IDLE_PERMILLE { 0 } else { fullness };
        let ppm = || (legs * 1_000_000 / max).max(u64::from(busy) * 1_000);
        (open && has_room && self.is_reachable()).then(ppm)
    }

    /// Whether it answers later than a caller waits, because more is asked of it than it can do.
    fn is_behind(&self, now: Instant) -> bool {
        self.lanes.iter().filter(|lane| lane.waits(now) > BEHIND).take(LANES_BEHIND).count() == LANES_BEHIND
    }

    fn known_legs(&self) -> MutexGuard<'_, HashSet<LegId>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps count of what is asked of it.
    fn count(&self, request: &MediaRequest) {
        match request {
            MediaRequest::CreateLeg { leg, .. } => {
                self.known_legs().insert(*leg);
                let less = |promised: u32| promised.checked_sub(1);
                let _ = self.promised.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            MediaRequest::ReleaseLeg { leg } => drop(self.known_legs().remove(leg)),
            _ => {}
        }
    }

    /// It has refused a leg.
    pub(super) fn has_not(&self, leg: LegId) {
        self.known_legs().remove(&leg);
    }

    /// It tells what it holds.
    pub(super) fn holds(&self, legs: impl Iterator<Item = LegId>) {
        self.known_legs().extend(legs);
    }

    fn describe(&self) -> MediaNode {
        let registration = self.registration.lock().unwrap_or_else(PoisonError::into_inner);
        MediaNode {
            node_id: self.node.to_string(),
            boot_id: self.boot.to_string(),
            address: registration.grpc_address.clone(),
            legs: registration.legs,
            legs_max: registration.legs_max,
            draining: registration.draining,
            reachable: self.is_reachable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_slow_is_not_lost_and_one_that_refuses_is() {
        let (mut silence, begin) = (Silence::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!(!silence.is_gone(Answer::None, begin));
        assert!(!silence.is_gone(Answer::None, after(2)));
        assert!(!silence.is_gone(Answer::Here, after(2)));
        assert!(!silence.is_gone(Answer::None, after(3)), "it begins anew");
        assert!(!silence.is_gone(Answer::None, after(5)));
        assert!(silence.is_gone(Answer::None, after(6)));
        let mut long_ago = Silence::default();
        assert!(!long_ago.is_gone(Answer::None, begin));
        assert!(!long_ago.is_gone(Answer::None, after(3600)), "it was not asked meanwhile");
        assert!(Silence::default().is_gone(Answer::Gone, begin));
    }
}
