//! Instruments of a media node.

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, Result};

use super::{Registry, counter, counters, durations, gauge, ratio, seconds};

/// Instruments of a media node.
#[derive(Debug)]
pub struct Media {
    /// RTP packets accepted.
    pub packets_received: IntCounter,
    /// RTP packets sent.
    pub packets_sent: IntCounter,
    /// Packets dropped, by reason.
    pub packets_dropped: IntCounterVec,
    /// Packets of legs in rooms that have long been quiet, and were not decoded.
    pub packets_passed_over: IntCounter,
    /// Packets of comfort noise that came (RFC 3389).
    pub pauses_heard: IntCounter,
    /// Frames of silence that were not sent.
    pub frames_suppressed: IntCounter,
    /// Times that an encoder of Opus followed what its far side lost, by what was changed.
    pub opus_adapted: IntCounterVec,
    /// Legs held now.
    pub legs: IntGauge,
    /// Mixes held now.
    pub mixes: IntGauge,
    /// Rooms that are on several workers now.
    pub rooms_spread: IntGauge,
    /// Sums of other parts of a room that came too late for a tick, and were faded instead.
    pub sums_late: IntCounter,
    /// How much of the last half second the busiest worker worked, 0 to 1.
    pub busiest_worker: Gauge,
    /// How much of its time the worker with most room needs for its legs when all are connected, 0 to 1 and more.
    pub emptiest_worker: Gauge,
    /// What a leg costs in each tick of 20 ms as it was learned, in seconds, by codec and role.
    pub leg_cost: GaugeVec,
    /// Recordings running now.
    pub recordings: IntGauge,
    /// Ticks that began more than one packet time late.
    pub late_ticks: IntCounter,
    /// Of these, those for which the thread waited for a processor: the machine's fault.
    pub late_ticks_excused: IntCounter,
    /// Ticks left out after a stall that was longer than the bounded catch-up.
    pub skipped_ticks: IntCounter,
    /// Short rests of workers under load, so that one wake-up serves many packets.
    pub rests: IntCounter,
    /// Ticks done.
    pub ticks: IntCounter,
    /// Work done in the longest tick of each second, of each worker.
    pub tick_work: Histogram,
    /// Legs refused, by reason.
    pub refused: IntCounterVec,
    /// Legs that ended, by how what came from them was heard: good (mean opinion 4.03 and more), fair (3.60), poor (3.10), bad.
    pub legs_heard: IntCounterVec,
    /// Legs freed by the idle time.
    pub legs_timed_out: IntCounter,
    /// Recordings that ended, by result.
    pub recordings_ended: IntCounterVec,
    /// Frames or events lost because a ring to the control plane was full.
    pub ring_full: IntCounter,
    /// Handshakes by DTLS that ended, by result.
    pub dtls_handshakes: IntCounterVec,
    /// Messages of ICE that came, by what became of them.
    pub ice_messages: IntCounterVec,
    /// Legs that are sent nothing any more because their far side proved nothing for long (RFC 7675).
    pub consent_ended: IntCounter,
}

impl Media {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            packets_received: counter(
                registry,
                "sidetone_media_packets_received_total",
                "RTP packets accepted.",
            )?,
            packets_sent: counter(registry, "sidetone_media_packets_sent_total", "RTP packets sent.")?,
            packets_dropped: counters(
                registry,
                "sidetone_media_packets_dropped_total",
                "Packets dropped, by reason.",
                &["reason"],
            )?,
            packets_passed_over: counter(
                registry,
                "sidetone_media_packets_passed_over_total",
                "Packets of legs in rooms that have long been quiet, and were not decoded.",
            )?,
            pauses_heard: counter(
                registry,
                "sidetone_media_comfort_noise_received_total",
                "Packets of comfort noise that came (RFC 3389).",
            )?,
            frames_suppressed: counter(
                registry,
                "sidetone_media_frames_suppressed_total",
                "Frames of silence that were not sent: comfort noise or DTX stood for them.",
            )?,
            opus_adapted: counters(
                registry,
                "sidetone_media_opus_adapted_total",
                "Times that an encoder of Opus followed what its far side lost, by what was changed.",
                &["change"],
            )?,
            legs: gauge(registry, "sidetone_media_legs_count", "Legs held now.")?,
            mixes: gauge(registry, "sidetone_media_mixes_count", "Mixes held now.")?,
            rooms_spread: gauge(
                registry,
                "sidetone_media_rooms_spread_count",
                "Rooms that are on several workers now.",
            )?,
            sums_late: counter(
                registry,
                "sidetone_media_room_sums_late_total",
                "Sums of other parts of a room that came too late for a tick, and were faded instead.",
            )?,
            busiest_worker: ratio(
                registry,
                "sidetone_media_busiest_worker_ratio",
                "How much of the last half second the busiest worker worked, 0 to 1.",
            )?,
            emptiest_worker: ratio(
                registry,
                "sidetone_media_emptiest_worker_ratio",
                "How much of its time the worker with most room needs for its legs when all are connected.",
            )?,
            leg_cost: durations(
                registry,
                "sidetone_media_leg_cost_seconds",
                "What a leg costs in each tick of 20 ms, as it was learned, by codec and role.",
                &["codec", "role"],
            )?,
            recordings: gauge(registry, "sidetone_media_recordings_count", "Recordings running now.")?,
            late_ticks: counter(
                registry,
                "sidetone_media_late_ticks_total",
                "Ticks that began more than one packet time late.",
            )?,
            late_ticks_excused: counter(
                registry,
                "sidetone_media_late_ticks_excused_total",
                "Late ticks for which the thread had waited for a processor as long.",
            )?,
            skipped_ticks: counter(
                registry,
                "sidetone_media_skipped_ticks_total",
                "Ticks left out after a stall longer than the bounded catch-up.",
            )?,
            rests: counter(
                registry,
                "sidetone_media_rests_total",
                "Short rests of workers under load, so that one wake-up serves many packets.",
            )?,
            ticks: counter(registry, "sidetone_media_ticks_total", "Ticks done.")?,
            tick_work: seconds(
                registry,
                "sidetone_media_tick_work_seconds",
                "Work done in the longest tick of each second, of each worker.",
            )?,
            refused: counters(
                registry,
                "sidetone_media_refused_total",
                "Legs refused, by reason.",
                &["reason"],
            )?,
            legs_heard: counters(
                registry,
                "sidetone_media_legs_heard_total",
                "Legs that ended, by how they were heard (E-model): good, fair, poor or bad.",
                &["opinion"],
            )?,
            legs_timed_out: counter(
                registry,
                "sidetone_media_legs_timed_out_total",
                "Legs freed by the idle time.",
            )?,
            recordings_ended: counters(
                registry,
                "sidetone_media_recordings_ended_total",
                "Recordings that ended, by result.",
                &["result"],
            )?,
            ring_full: counter(
                registry,
                "sidetone_media_ring_full_total",
                "Frames or events lost because a ring to the control plane was full.",
            )?,
            dtls_handshakes: counters(
                registry,
                "sidetone_media_dtls_handshakes_total",
                "Handshakes by DTLS that ended, by result.",
                &["result"],
            )?,
            ice_messages: counters(
                registry,
                "sidetone_media_ice_messages_total",
                "Messages of ICE that came, by what became of them.",
                &["outcome"],
            )?,
            consent_ended: counter(
                registry,
                "sidetone_media_ice_consent_ended_total",
                "Legs sent nothing any more because their far side proved nothing for 30 s.",
            )?,
        })
    }
}
