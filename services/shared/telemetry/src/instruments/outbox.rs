//! Instruments of the outbox.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of the outbox.
    pub struct Outbox {
        /// Attempts at webhooks, by result.
        attempts: IntCounterVec = "sidetone_outbox_attempts_total" by ["result"],
        /// Webhooks in memory that are owed.
        held: IntGauge = "sidetone_outbox_held_count",
        /// Webhooks that went into the store because their receiver fell behind.
        spilled: IntCounter = "sidetone_outbox_spilled_total",
        /// Webhooks that became dead letters, by reason.
        dead: IntCounterVec = "sidetone_outbox_dead_total" by ["reason"],
        /// Times that facts waited because a receiver's backlog waited for the store.
        waits: IntCounter = "sidetone_outbox_waits_total",
        /// Failed attempts of which neither the log nor `sidetone outbox owed` says why: more receivers fail than are remembered.
        untold: IntCounter = "sidetone_outbox_failures_untold_total",
        /// Samples (who speaks) told once or not at all, by result: delivered, failed, dropped.
        mentions: IntCounterVec = "sidetone_outbox_mentions_total" by ["result"],
        /// From the fact to the receiver.
        delay: Histogram = "sidetone_outbox_delay_seconds",
    }
}
