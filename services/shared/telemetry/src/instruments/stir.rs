//! Instruments of STIR: signatures of callers' numbers.

use prometheus::{Histogram, IntCounterVec, IntGauge, Result};

use super::{Registry, counters, gauge, seconds};

/// Instruments of STIR.
#[derive(Debug)]
pub struct Stir {
    /// Calls from carriers by what their signature was worth.
    pub verified: IntCounterVec,
    /// Calls to carriers by attestation, or by why they are not signed.
    pub signed: IntCounterVec,
    /// Certificates asked for, by where they came from or why they did not come.
    pub certificates: IntCounterVec,
    /// Certificates kept.
    pub kept: IntGauge,
    /// Changed keys and authorities, by whether they could be used.
    pub reloads: IntCounterVec,
    /// How long calls waited for the verdict.
    pub delay: Histogram,
}

impl Stir {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            verified: counters(
                registry,
                "sidetone_stir_verified_total",
                "Calls from carriers by trunk and what the signature of their caller's number was worth.",
                &["trunk", "verdict"],
            )?,
            signed: counters(
                registry,
                "sidetone_stir_signed_total",
                "Calls to carriers that sign, by trunk and attestation, or by why they are not signed.",
                &["trunk", "result"],
            )?,
            certificates: counters(
                registry,
                "sidetone_stir_certificates_total",
                "Certificates of callers' numbers, by where they came from or why they did not come.",
                &["result"],
            )?,
            kept: gauge(
                registry,
                "sidetone_stir_certificates_kept_count",
                "Certificates of callers' numbers that are kept.",
            )?,
            reloads: counters(
                registry,
                "sidetone_stir_reloads_total",
                "Changed keys and authorities of callers' numbers, by whether they could be used.",
                &["result"],
            )?,
            delay: seconds(
                registry,
                "sidetone_stir_delay_seconds",
                "How long calls from carriers waited for the verdict on their caller's number.",
            )?,
        })
    }
}
