//! Instruments of the store.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of the store.
    pub struct Store {
        /// Requests by operation and result.
        requests: IntCounterVec = "sidetone_store_requests_total" by ["operation", "result"],
        /// One durable group commit.
        commit: Histogram = "sidetone_store_commit_seconds",
        /// One time that the tables were made durable; changes wait meanwhile.
        checkpoint: Histogram = "sidetone_store_checkpoint_seconds",
        /// Changes and records made durable.
        records: IntCounter = "sidetone_store_committed_records_total",
        /// Watches and tails open now.
        watchers: IntGauge = "sidetone_store_watchers_count",
        /// Watches ended because their reader was too slow.
        watchers_dropped: IntCounter = "sidetone_store_watchers_dropped_total",
        /// Expired keys removed.
        swept: IntCounter = "sidetone_store_swept_total",
    }
}
