//! Instruments of what a media node plays, fetches, streams and stores.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of what a media node plays, fetches, streams and stores.
    pub struct Audio {
        /// Live streams running now.
        streams: IntGauge = "sidetone_audio_streams_count",
        /// Who listen to live streams now.
        listeners: IntGauge = "sidetone_audio_listeners_count",
        /// Listeners cut off because they did not keep up.
        listeners_cut_off: IntCounter = "sidetone_audio_listeners_cut_off_total",
        /// Bytes of decoded prompts held in memory.
        prompt_cache_bytes: IntGauge = "sidetone_audio_prompt_cache_bytes",
        /// Playbacks of prompts that are decoded as they play.
        long_prompts: IntGauge = "sidetone_audio_long_prompts_count",
        /// Frames of 20 ms of such prompts that were not decoded in time, and were silent instead.
        long_prompt_late: IntCounter = "sidetone_audio_long_prompt_late_frames_total",
        /// Playbacks that their hearer ended, by what: key or voice.
        barge_ins: IntCounterVec = "sidetone_audio_barge_ins_total" by ["by"],
        /// Prompts fetched by URL, by result.
        fetches: IntCounterVec = "sidetone_audio_fetches_total" by ["result"],
        /// Digits that phones sent, by what carried them: event, sound, or both (told of once).
        digits: IntCounterVec = "sidetone_audio_digits_total" by ["carrier"],
        /// Objects put into the bucket, by result.
        uploads: IntCounterVec = "sidetone_audio_uploads_total" by ["result"],
        /// Recordings that are not in the bucket as a whole yet.
        uploads_waiting: IntGauge = "sidetone_audio_uploads_waiting_count",
        /// For how long the oldest of them waits since it ended, or since the bucket first refused it.
        upload_oldest_seconds: IntGauge = "sidetone_audio_upload_oldest_seconds",
    }
}
