//! Instruments of the outbox.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Result};

use super::{Registry, counter, counters, gauge, seconds};

/// Instruments of the outbox.
#[derive(Debug)]
pub struct Outbox {
    /// Attempts by result.
    pub attempts: IntCounterVec,
    /// Messages in memory.
    pub held: IntGauge,
    /// Messages that went into the store because their receiver fell behind.
    pub spilled: IntCounter,
    /// Dead letters by reason.
    pub dead: IntCounterVec,
    /// Times that a full receiver made the facts wait for the store.
    pub waits: IntCounter,
    /// What is told once or not at all, by result.
    pub mentions: IntCounterVec,
    /// From the fact to the receiver.
    pub delay: Histogram,
}

impl Outbox {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            attempts: counters(
                registry,
                "sidetone_outbox_attempts_total",
                "Attempts at webhooks, by result.",
                &["result"],
            )?,
            held: gauge(registry, "sidetone_outbox_held_count", "Webhooks in memory that are owed.")?,
            spilled: counter(
                registry,
                "sidetone_outbox_spilled_total",
                "Webhooks that went into the store because their receiver fell behind.",
            )?,
            dead: counters(
                registry,
                "sidetone_outbox_dead_total",
                "Webhooks that became dead letters, by reason.",
                &["reason"],
            )?,
            waits: counter(
                registry,
                "sidetone_outbox_waits_total",
                "Times that facts waited because a receiver's backlog waited for the store.",
            )?,
            mentions: counters(
                registry,
                "sidetone_outbox_mentions_total",
                "Samples (who speaks) told once or not at all, by result: delivered, failed, dropped.",
                &["result"],
            )?,
            delay: seconds(registry, "sidetone_outbox_delay_seconds", "From the fact to the receiver.")?,
        })
    }
}
