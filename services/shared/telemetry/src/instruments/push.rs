//! Instruments of the push service.

use prometheus::{Histogram, IntCounterVec, IntGauge, Result};

use super::{Registry, counters, gauge, seconds};

/// Instruments of the push service.
#[derive(Debug)]
pub struct Push {
    /// Wake-ups that came to an end, by provider and result.
    pub wake_ups: IntCounterVec,
    /// Attempts by provider and result.
    pub attempts: IntCounterVec,
    /// Wake-ups waiting for an attempt.
    pub pending: IntGauge,
    /// From acceptance to delivery.
    pub delivery: Histogram,
    /// Requests refused, by reason.
    pub refused: IntCounterVec,
}

impl Push {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            wake_ups: counters(
                registry,
                "sidetone_push_wake_ups_total",
                "Wake-ups that came to an end, by provider and result.",
                &["provider", "result"],
            )?,
            attempts: counters(
                registry,
                "sidetone_push_attempts_total",
                "Attempts by provider and result.",
                &["provider", "result"],
            )?,
            pending: gauge(registry, "sidetone_push_pending_count", "Wake-ups waiting for an attempt.")?,
            delivery: seconds(registry, "sidetone_push_delivery_seconds", "From acceptance to delivery.")?,
            refused: counters(
                registry,
                "sidetone_push_refused_total",
                "Requests refused, by reason.",
                &["reason"],
            )?,
        })
    }
}
