//! Instruments of the push service.

use prometheus::{Histogram, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of the push service.
    pub struct Push {
        /// Wake-ups that came to an end, by provider and result.
        wake_ups: IntCounterVec = "sidetone_push_wake_ups_total" by ["provider", "result"],
        /// Attempts by provider and result.
        attempts: IntCounterVec = "sidetone_push_attempts_total" by ["provider", "result"],
        /// Wake-ups waiting for an attempt.
        pending: IntGauge = "sidetone_push_pending_count",
        /// From acceptance to delivery.
        delivery: Histogram = "sidetone_push_delivery_seconds",
        /// Requests refused, by reason.
        refused: IntCounterVec = "sidetone_push_refused_total" by ["reason"],
    }
}
