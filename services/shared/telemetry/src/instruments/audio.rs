//! Instruments of what a media node plays, fetches, streams and stores.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Result};

use super::{Registry, counter, counters, gauge};

/// Instruments of what a media node plays, fetches, streams and stores.
#[derive(Debug)]
pub struct Audio {
    /// Live streams running now.
    pub streams: IntGauge,
    /// Who listen to live streams now.
    pub listeners: IntGauge,
    /// Listeners cut off because they did not keep up.
    pub listeners_cut_off: IntCounter,
    /// Bytes of decoded prompts held in memory.
    pub prompt_cache_bytes: IntGauge,
    /// Prompts fetched by URL, by result.
    pub fetches: IntCounterVec,
    /// Digits that phones sent, by what carried them: event, sound, or both (told of once).
    pub digits: IntCounterVec,
    /// Objects put into the bucket, by result.
    pub uploads: IntCounterVec,
    /// Recordings that are not in the bucket as a whole yet.
    pub uploads_waiting: IntGauge,
}

impl Audio {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            streams: gauge(registry, "sidetone_audio_streams_count", "Live streams running now.")?,
            listeners: gauge(registry, "sidetone_audio_listeners_count", "Who listen to live streams now.")?,
            listeners_cut_off: counter(
                registry,
                "sidetone_audio_listeners_cut_off_total",
                "Listeners cut off because they did not keep up.",
            )?,
            prompt_cache_bytes: gauge(
                registry,
                "sidetone_audio_prompt_cache_bytes",
                "Bytes of decoded prompts held in memory.",
            )?,
            fetches: counters(
                registry,
                "sidetone_audio_fetches_total",
                "Prompts fetched by URL, by result.",
                &["result"],
            )?,
            digits: counters(
                registry,
                "sidetone_audio_digits_total",
                "Digits that phones sent, by what carried them: event, sound, or both (told of once).",
                &["carrier"],
            )?,
            uploads: counters(
                registry,
                "sidetone_audio_uploads_total",
                "Objects put into the bucket, by result.",
                &["result"],
            )?,
            uploads_waiting: gauge(
                registry,
                "sidetone_audio_uploads_waiting_count",
                "Recordings that are not in the bucket as a whole yet.",
            )?,
        })
    }
}
