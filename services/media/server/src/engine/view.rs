//! What the node holds, for those who ask.

use std::collections::HashMap;

use sidetone_model::ids::LegId;
use sidetone_model::media::Encoding;
use sidetone_proto::media::v1 as pb;
use sidetone_rtp_core::srtp::Suite;
use sidetone_rtp_core::{VoipMetrics, xr};

use super::link::Reply;
use super::play::Audience;
use super::{Engine, LegEntry, Routed};
use crate::error::MediaError;
use crate::negotiate::{Payload, clock_per_ms, encoding_of};
use crate::quality::conditions;
use crate::state::LegState;
use crate::worker::rings::{Command, Page};

impl Engine {
    /// The node itself.
    pub(crate) async fn node(&self) -> pb::Node {
        let control = self.control.lock().await;
        pb::Node {
            node_id: self.config.node_id.clone(),
            boot_id: self.boot.to_string(),
            legs: control.legs.len() as u32,
            legs_max: self.config.legs_max as u32,
            draining: self.is_draining(),
            workers: control.workers.len() as u32,
            late_ticks_excused: control
                .workers
                .iter()
                .map(|worker| worker.counters.late_ticks_excused.get())
                .sum(),
            late_ticks: control.workers.iter().map(|worker| worker.counters.late_ticks.get()).sum(),
            worker_load_permille: control
                .workers
                .iter()
                .map(|worker| worker.counters.load_permille() as u32)
                .collect(),
            worker_expected_permille: (0..control.workers.len())
                .map(|worker| control.admission.expected_permille(worker) as u32)
                .collect(),
            fullness_permille: control.admission.fullness_permille(),
        }
    }

    /// Every leg; with `call_ids` only those of these calls, without looking at the others.
    pub(crate) async fn list_legs(&self, call_ids: &[String]) -> Result<Vec<pb::HeldLeg>, MediaError> {
        let states = self.leg_states(call_ids).await?;
        let now_ms = self.now_ms();
        let control = self.control.lock().await;
        let mut playing: HashMap<LegId, Vec<String>> = HashMap::new();
        for (id, entry) in &control.playbacks {
            if let Audience::Leg(leg) = &entry.audience {
                playing.entry(*leg).or_default().push(id.to_string());
            }
        }
        let wanted = control.legs.iter().filter(|(_, entry)| is_of(call_ids, entry));
        let held = wanted.map(|(id, entry)| {
            let state = states.get(&id.as_u128());
            let (mix_id, peer_leg_id) = match &entry.route {
                Routed::Mix(mix) => (mix.to_string(), String::new()),
                Routed::Peer(peer) => (String::new(), peer.to_string()),
                Routed::Fresh | Routed::Nothing | Routed::Echo => Default::default(),
            };
            pb::HeldLeg {
                leg_id: id.to_string(),
                call_id: entry.request.call_id.clone(),
                tenant: entry.request.tenant.clone(),
                local: Some((&entry.local).into()),
                mix_id,
                peer_leg_id,
                silent_ms: state.and_then(|s| s.heard_ms).map(|heard| now_ms.saturating_sub(heard)),
                stats: state.map(stats),
                playback_ids: playing.remove(id).unwrap_or_default(),
            }
        });
        Ok(held.collect())
    }

    /// The states of legs, asked of the workers that have some.
    async fn leg_states(&self, call_ids: &[String]) -> Result<HashMap<u128, LegState>, MediaError> {
        let mut pending = Vec::new();
        {
            let mut control = self.control.lock().await;
            let mut slots = vec![Vec::new(); control.workers.len()];
            for entry in control.legs.values().filter(|entry| is_of(call_ids, entry)) {
                slots[entry.worker].push(entry.slot);
            }
            for (link, slots) in control.workers.iter_mut().zip(slots).filter(|(_, slots)| !slots.is_empty())
            {
                let (token, listed) = self.replies.open();
                let legs = Vec::with_capacity(slots.len());
                let only = (!call_ids.is_empty()).then(|| slots.into());
                link.push(Command::List { token, page: Box::new(Page { legs, only }) }).await?;
                pending.push(listed);
            }
        }
        let mut states = HashMap::new();
        for listed in pending {
            if let Ok(Reply::States(page)) = listed.await {
                states.extend(page.into_iter().map(|state| (state.leg, state)));
            }
        }
        Ok(states)
    }

    /// How many legs are held.
    pub(crate) async fn legs(&self) -> usize {
        self.control.lock().await.legs.len()
    }
}

/// Whether a leg is of one of these calls; of any where none is named.
fn is_of(call_ids: &[String], entry: &LegEntry) -> bool {
    call_ids.is_empty() || call_ids.contains(&entry.request.call_id)
}

/// A leg's numbers.
pub(crate) fn stats(state: &LegState) -> pb::LegStats {
    let incoming = &state.incoming;
    let sent = state.agreement.and_then(|a| a.send.audio()).filter(|_| state.outgoing.packets > 0);
    let received = state.agreement.and_then(|a| a.receive.get(incoming.payload_type));
    let clock = match received {
        Some(Payload::Audio(codec)) => clock_per_ms(codec),
        _ => 8,
    };
    let quality = conditions(incoming, received);
    let bursts = incoming.stats.bursts().summary(PACKET_MS);
    pb::LegStats {
        packets_received: incoming.stats.received(),
        packets_sent: state.outgoing.packets,
        packets_lost: incoming.stats.lost(),
        packets_refused: incoming.refused,
        packets_late: incoming.late,
        jitter_us: incoming.stats.jitter() * 1_000 / u32::from(clock),
        round_trip_us: incoming.round_trip_us,
        rating: quality.map_or(0, |conditions| conditions.rating().round() as u32),
        mean_opinion_hundredths: quality
            .map_or(0, |conditions| (conditions.mean_opinion() * 100.0).round() as u32),
        burst_density_percent: percent(bursts.burst_density),
        burst_ms: bursts.burst_ms.into(),
        far: incoming.far.as_ref().map(far),
        srtp_suite: state.suite.map_or("", Suite::name).into(),
        encoding_received: received
            .filter(|_| incoming.stats.ssrc.is_some())
            .map_or_else(String::new, encoding),
        encoding_sent: sent.map_or_else(String::new, |(_, codec)| encoding(Payload::Audio(codec))),
    }
}

fn encoding(payload: Payload) -> String {
    match payload {
        Payload::Audio(codec) => encoding_of(codec).name().into(),
        Payload::Event(_) => Encoding::TelephoneEvent.name().into(),
        Payload::Noise(_) => Encoding::ComfortNoise.name().into(),
    }
}

/// What the far side reports of how it hears us.
fn far(metrics: &VoipMetrics) -> pb::FarQuality {
    let known = |value: u8| if value == xr::UNKNOWN { 0 } else { u32::from(value) };
    pb::FarQuality {
        loss_percent: percent(metrics.loss_rate),
        discard_percent: percent(metrics.discard_rate),
        burst_density_percent: percent(metrics.burst_density),
        burst_ms: metrics.burst_ms.into(),
        round_trip_ms: metrics.round_trip_ms.into(),
        end_system_ms: metrics.end_system_ms.into(),
        rating: known(metrics.rating),
        mean_opinion_hundredths: known(metrics.opinion_conversation) * 10,
    }
}

/// Out of 1/256.
fn percent(share: u8) -> f32 {
    f32::from(share) * 100.0 / 256.0
}

const PACKET_MS: u32 = 20;
