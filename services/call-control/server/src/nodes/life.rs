//! One life of one node, from its registration to its loss.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use sidetone_call_core::{FinishedRecording, HeldMedia, HeldSounds};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::termination::Termination;
use sidetone_model::wire;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_event::Kind;
use sidetone_proto::types::v1::BargeIn;
use sidetone_runtime::link::MediaService;
use tonic::{Request, Status};

use super::ask::{self, LaneEnd};
use super::registry::{NodeLife, Nodes};
use crate::owner::Input;

/// How often a lost node is looked for again before it counts as lost, and how long between.
const RETURNS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(200);

/// Connects, serves the lanes, and watches until the node is gone.
pub(super) async fn live(nodes: Arc<Nodes>, life: Arc<NodeLife>, lanes: Vec<LaneEnd>) {
    let registration = life.registration.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let service = match nodes.connector.connect(&registration).await {
        Ok(service) => service,
        Err(error) => {
            tracing::warn!(node = %life.node, %error, "a media node has registered that cannot be reached");
            nodes.end(&life);
            return;
        }
    };
    let _ = life.service.set(Arc::clone(&service));
    for lane in lanes {
        tokio::spawn(ask::serve(Arc::clone(&nodes), Arc::clone(&life), Arc::clone(&service), lane));
    }
    tokio::spawn(refresh(Arc::clone(&nodes), Arc::clone(&life), Arc::clone(&service)));
    let mut failures = 0;
    while failures < RETURNS && !life.over.is_cancelled() {
        let watched = tokio::select! {
            watched = watch(&nodes, &life, &service) => watched,
            () = life.over.cancelled() => return,
        };
        life.reachable.store(false, Ordering::Relaxed);
        tokio::time::sleep(BETWEEN).await;
        if life.is_gone().await && life.is_gone().await {
            break;
        }
        // One that says nothing is waited for as long as `is_gone` says. One that is there and cannot be watched is no use; a
        // watch that stood for a while starts the count anew.
        failures = match (watched, life.is_silent()) {
            (true, _) => 1,
            (false, true) => failures,
            (false, false) => failures + 1,
        };
    }
    tracing::warn!(node = %life.node, "a media node is gone");
    nodes.end(&life);
}

/// Follows a node's events until the stream breaks. Whether it stood at all.
async fn watch(nodes: &Nodes, life: &NodeLife, service: &Arc<MediaService>) -> bool {
    let opened =
        tokio::time::timeout(Duration::from_secs(1), service.watch(Request::new(pb::WatchRequest {})));
    let Ok(Ok(events)) = opened.await else { return false };
    let mut events = events.into_inner();
    let mut attached = false;
    while let Some(Ok(event)) = events.next().await {
        let Some(kind) = event.kind else { continue };
        let inputs = match kind {
            Kind::Attached(hello) => {
                if hello.boot_id != life.boot.to_string() {
                    return false;
                }
                attached = true;
                // Ends first: what has ended is not to be started again by what the list shows to be missing.
                for one in hello.unacknowledged.into_iter().filter_map(|one| finished(life, one)) {
                    if nodes.inputs.send(one).await.is_err() {
                        return attached;
                    }
                }
                if list(nodes, life, service).await.is_err() {
                    return false;
                }
                life.reachable.store(true, Ordering::Relaxed);
                Vec::new()
            }
            // No fact of a call: it goes past the owner.
            Kind::SpeakerChanged(event) => {
                nodes.told_speaker(event);
                Vec::new()
            }
            other => Vec::from_iter(input(life, other)),
        };
        for input in inputs {
            if nodes.inputs.send(input).await.is_err() {
                return attached;
            }
        }
    }
    attached
}

/// Tells the owner everything that a node holds.
async fn list(nodes: &Nodes, life: &NodeLife, service: &Arc<MediaService>) -> Result<(), Status> {
    let told = service.list_legs(Request::new(pb::ListLegsRequest::default())).await?.into_inner();
    let sounds = told.tells_sounds.then(|| Arc::new(sounds(&told)));
    let held: Vec<HeldMedia> = told.legs.into_iter().filter_map(held).collect();
    life.holds(held.iter().map(|held| held.leg));
    let (node, held) = (life.node.clone(), Arc::new(held));
    let input = Input::NodeLegs { node, boot: life.boot, held, sounds };
    nodes.inputs.send(input).await.map_err(|_| Status::cancelled("stopping"))
}

fn held(leg: pb::HeldLeg) -> Option<HeldMedia> {
    Some(HeldMedia {
        leg: leg.leg_id.parse().ok()?,
        local: leg.local.and_then(|local| local.try_into().ok()),
        mix: leg.mix_id.parse().ok(),
        peer: leg.peer_leg_id.parse().ok(),
    })
}

/// What a node plays to its legs. Beeps and utterances have names of the node's own.
fn sounds(told: &pb::ListLegsResponse) -> HeldSounds {
    let to_leg = |leg: &pb::HeldLeg| {
        let playbacks = leg.playback_ids.iter().filter_map(|id| id.parse().ok()).collect();
        Some((leg.leg_id.parse().ok()?, playbacks))
    };
    told.legs.iter().filter_map(to_leg).collect()
}

fn input(life: &NodeLife, kind: Kind) -> Option<Input> {
    let on = || (life.node.clone(), life.boot);
    match kind {
        Kind::LegTimedOut(event) if event.no_rtp => {
            Some(Input::LegLifeless { leg: event.leg_id.parse().ok()?, on: on() })
        }
        Kind::LegTimedOut(event) => Some(Input::LegTimedOut { leg: event.leg_id.parse().ok()?, on: on() }),
        Kind::LegFailed(event) => {
            let (leg, reason) = (event.leg_id.parse().ok()?, event.reason.into());
            Some(Input::LegFailed { leg, on: on(), reason })
        }
        Kind::Digit(event) => Some(Input::Digit {
            leg: event.leg_id.parse().ok()?,
            digit: event.digit.chars().next()?,
            duration_ms: event.duration_ms,
        }),
        Kind::PlaybackFinished(event) => Some(Input::PlaybackFinished {
            playback: event.playback_id.parse().ok()?,
            end: match (&event.failure, event.stopped, event.ended_by()) {
                (Some(_), _, _) => PlaybackEnd::Failed,
                (None, true, BargeIn::Key) => PlaybackEnd::Key,
                (None, true, BargeIn::Voice) => PlaybackEnd::Voice,
                (None, true, BargeIn::None | BargeIn::Any) => PlaybackEnd::Stopped,
                (None, false, _) => PlaybackEnd::Done,
            },
        }),
        Kind::StreamEnded(event) => {
            Some(Input::StreamEnded { node: life.node.clone(), stream: event.stream_id.parse().ok()? })
        }
        Kind::RecordingFinished(recording) => finished(life, recording),
        Kind::SpeakerChanged(_) | Kind::Attached(_) | Kind::RecordingStored(_) => None,
    }
}

fn finished(life: &NodeLife, recording: pb::FinishedRecording) -> Option<Input> {
    let failure = recording.failure.and_then(|failure| Termination::try_from(failure).ok());
    let finished = FinishedRecording {
        recording: recording.recording_id.parse().ok()?,
        file: recording.file.into(),
        tracks: recording.tracks.into_iter().map(Into::into).collect(),
        duration_ms: recording.duration_ms,
        size_bytes: recording.size_bytes,
        failure,
    };
    Some(Input::RecordingFinished { node: life.node.clone(), finished })
}

/// Tells a node which of its legs are still wanted, again and again.
async fn refresh(nodes: Arc<Nodes>, life: Arc<NodeLife>, service: Arc<MediaService>) {
    let mut every = tokio::time::interval(nodes.refresh);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = life.over.cancelled() => return,
        }
        let Some(leg_ids) = wanted(&nodes, &life).await else { return };
        if leg_ids.is_empty() {
            continue;
        }
        let answer = service.refresh(Request::new(pb::RefreshRequest { leg_ids })).await;
        for leg in answer.map(|answer| answer.into_inner().unknown_leg_ids).unwrap_or_default() {
            if let Ok(leg) = wire::id("RefreshResponse.unknown_leg_ids", &leg)
                && nodes
                    .inputs
                    .send(Input::LegTimedOut { leg, on: (life.node.clone(), life.boot) })
                    .await
                    .is_err()
            {
                return;
            }
        }
    }
}

/// The legs that the log has on this node.
async fn wanted(nodes: &Nodes, life: &NodeLife) -> Option<Vec<String>> {
    let (reply, legs) = tokio::sync::oneshot::channel();
    let (node, boot) = (life.node.clone(), life.boot);
    let look = Input::Look(Box::new(move |shards| {
        let on_node = |leg: &&sidetone_model::fold::LegView| {
            leg.is_live() && leg.node.as_ref().is_some_and(|(of, life)| *of == node && *life == boot)
        };
        let ids = shards
            .iter()
            .flat_map(|shard| shard.fold().legs().filter(on_node))
            .map(|leg| leg.leg.to_string());
        drop(reply.send(ids.collect()));
    }));
    nodes.inputs.send(look).await.ok()?;
    legs.await.ok()
}
