//! Instruments of STIR: signatures of callers' numbers.

use prometheus::{Histogram, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of STIR.
    pub struct Stir {
        /// Calls from carriers by trunk and what the signature of their caller's number was worth.
        verified: IntCounterVec = "sidetone_stir_verified_total" by ["trunk", "verdict"],
        /// Calls to carriers that sign, by trunk and attestation, or by why they are not signed.
        signed: IntCounterVec = "sidetone_stir_signed_total" by ["trunk", "result"],
        /// Certificates of callers' numbers, by where they came from or why they did not come.
        certificates: IntCounterVec = "sidetone_stir_certificates_total" by ["result"],
        /// Certificates of callers' numbers that are kept.
        kept: IntGauge = "sidetone_stir_certificates_kept_count",
        /// Changed keys and authorities of callers' numbers, by whether they could be used.
        reloads: IntCounterVec = "sidetone_stir_reloads_total" by ["result"],
        /// How long calls from carriers waited for the verdict on their caller's number.
        delay: Histogram = "sidetone_stir_delay_seconds",
    }
}
