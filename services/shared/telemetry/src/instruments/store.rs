//! Instruments of the store.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Result};

use super::{Registry, counter, counters, gauge, seconds};

/// Instruments of the store.
#[derive(Debug)]
pub struct Store {
    /// Requests by operation and result.
    pub requests: IntCounterVec,
    /// One durable group commit.
    pub commit: Histogram,
    /// One time that the tables were made durable, in whose stead the journal stood until then.
    pub checkpoint: Histogram,
    /// Changes and records made durable.
    pub records: IntCounter,
    /// Watches and tails open now.
    pub watchers: IntGauge,
    /// Watches ended because their reader was too slow.
    pub watchers_dropped: IntCounter,
    /// Expired keys removed.
    pub swept: IntCounter,
}

impl Store {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            requests: counters(
                registry,
                "sidetone_store_requests_total",
                "Requests by operation and result.",
                &["operation", "result"],
            )?,
            commit: seconds(registry, "sidetone_store_commit_seconds", "One durable group commit.")?,
            checkpoint: seconds(
                registry,
                "sidetone_store_checkpoint_seconds",
                "One time that the tables were made durable; changes wait meanwhile.",
            )?,
            records: counter(
                registry,
                "sidetone_store_committed_records_total",
                "Changes and records made durable.",
            )?,
            watchers: gauge(registry, "sidetone_store_watchers_count", "Watches and tails open now.")?,
            watchers_dropped: counter(
                registry,
                "sidetone_store_watchers_dropped_total",
                "Watches ended because their reader was too slow.",
            )?,
            swept: counter(registry, "sidetone_store_swept_total", "Expired keys removed.")?,
        })
    }
}
