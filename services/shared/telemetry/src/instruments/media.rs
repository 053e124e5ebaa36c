//! Instruments of a media node.

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of a media node.
    pub struct Media {
        /// RTP packets accepted.
        packets_received: IntCounter = "sidetone_media_packets_received_total",
        /// RTP packets sent.
        packets_sent: IntCounter = "sidetone_media_packets_sent_total",
        /// Packets dropped, by reason.
        packets_dropped: IntCounterVec = "sidetone_media_packets_dropped_total" by ["reason"],
        /// Packets of legs in rooms that have long been quiet, and were not decoded.
        packets_passed_over: IntCounter = "sidetone_media_packets_passed_over_total",
        /// Packets of G.711 that were cut or joined to the packet time that their hearer asked for.
        packets_recut: IntCounter = "sidetone_media_packets_recut_total",
        /// Packets of comfort noise that came (RFC 3389).
        pauses_heard: IntCounter = "sidetone_media_comfort_noise_received_total",
        /// Frames of silence that were not sent: comfort noise or DTX stood for them.
        frames_suppressed: IntCounter = "sidetone_media_frames_suppressed_total",
        /// Times that an encoder of Opus followed what its far side lost, by what was changed.
        opus_adapted: IntCounterVec = "sidetone_media_opus_adapted_total" by ["change"],
        /// Legs held now.
        legs: IntGauge = "sidetone_media_legs_count",
        /// Mixes held now.
        mixes: IntGauge = "sidetone_media_mixes_count",
        /// Rooms that are on several workers now.
        rooms_spread: IntGauge = "sidetone_media_rooms_spread_count",
        /// Sums of other parts of a room that came too late for a tick, and were faded instead.
        sums_late: IntCounter = "sidetone_media_room_sums_late_total",
        /// How much of the last half second the busiest worker worked, 0 to 1.
        busiest_worker: Gauge = "sidetone_media_busiest_worker_ratio",
        /// How much of its time the worker with most room needs for its legs when all are connected.
        emptiest_worker: Gauge = "sidetone_media_emptiest_worker_ratio",
        /// What a leg costs in each tick of 20 ms, as it was learned, by codec and role.
        leg_cost: GaugeVec = "sidetone_media_leg_cost_seconds" by ["codec", "role"],
        /// Recordings running now.
        recordings: IntGauge = "sidetone_media_recordings_count",
        /// Ticks that began more than one packet time late.
        late_ticks: IntCounter = "sidetone_media_late_ticks_total",
        /// Late ticks for which the thread had waited for a processor as long.
        late_ticks_excused: IntCounter = "sidetone_media_late_ticks_excused_total",
        /// Ticks left out after a stall longer than the bounded catch-up.
        skipped_ticks: IntCounter = "sidetone_media_skipped_ticks_total",
        /// Short rests of workers under load, so that one wake-up serves many packets.
        rests: IntCounter = "sidetone_media_rests_total",
        /// Ticks done.
        ticks: IntCounter = "sidetone_media_ticks_total",
        /// The most packets that a worker sent at once in the last second: in one of the four turns of a tick.
        tick_burst: IntGauge = "sidetone_media_tick_burst_packets",
        /// Work done in the longest turn of each second, of each worker: a tick has four.
        tick_work: Histogram = "sidetone_media_tick_work_seconds",
        /// Legs refused, by reason.
        refused: IntCounterVec = "sidetone_media_refused_total" by ["reason"],
        /// Legs that ended, by how they were heard (E-model): good, fair, poor or bad.
        legs_heard: IntCounterVec = "sidetone_media_legs_heard_total" by ["opinion"],
        /// Legs freed by the idle time.
        legs_timed_out: IntCounter = "sidetone_media_legs_timed_out_total",
        /// Recordings that ended, by result.
        recordings_ended: IntCounterVec = "sidetone_media_recordings_ended_total" by ["result"],
        /// Recordings that were not begun, by the bound that was reached.
        recordings_refused: IntCounterVec = "sidetone_media_recordings_refused_total" by ["bound"],
        /// Files of recordings removed because they were old enough.
        recordings_removed: IntCounter = "sidetone_media_recordings_removed_total",
        /// Bytes in the folder of recordings.
        recordings_held_bytes: IntGauge = "sidetone_media_recordings_held_bytes",
        /// Bytes that the disk of recordings still takes.
        recordings_free_bytes: IntGauge = "sidetone_media_recordings_free_bytes",
        /// Samples of recordings left out, as silence, because their disk did not take them in time.
        recording_gap_samples: IntCounter = "sidetone_media_recording_gap_samples_total",
        /// Frames or events lost because a ring to the control plane was full.
        ring_full: IntCounter = "sidetone_media_ring_full_total",
        /// Handshakes by DTLS that ended, by result.
        dtls_handshakes: IntCounterVec = "sidetone_media_dtls_handshakes_total" by ["result"],
        /// Messages of ICE that came, by what became of them.
        ice_messages: IntCounterVec = "sidetone_media_ice_messages_total" by ["outcome"],
        /// Legs sent nothing any more because their far side proved nothing for 30 s.
        consent_ended: IntCounter = "sidetone_media_ice_consent_ended_total",
    }
}
