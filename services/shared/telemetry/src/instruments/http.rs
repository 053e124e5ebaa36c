//! Instruments of the HTTP door.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of the HTTP door.
    pub struct Http {
        /// HTTP requests, by dialect, method and class of the answer.
        requests: IntCounterVec = "sidetone_http_requests_total" by ["dialect", "method", "class"],
        /// From a request to the head of its answer.
        answer: Histogram = "sidetone_http_answer_seconds",
        /// Events that dialects told, by dialect.
        emitted: IntCounterVec = "sidetone_http_emitted_total" by ["dialect"],
        /// Sessions of telephony clients.
        sessions: IntGauge = "sidetone_http_sessions_count",
        /// Event channels that are open.
        channels: IntGauge = "sidetone_http_channels_count",
        /// Connections to the HTTP door that are open.
        connections: IntGauge = "sidetone_http_connections_count",
        /// Connections, log-ins, sessions and subscriptions that a bound refused or ended, by bound.
        limited: IntCounterVec = "sidetone_http_limited_total" by ["bound"],
        /// Event channels cut because they fell further behind than events are kept.
        channels_lost: IntCounter = "sidetone_http_channels_lost_total",
        /// Changes of who speaks that came faster than they could be told.
        speakers_lost: IntCounter = "sidetone_http_speakers_lost_total",
        /// From an event to the channel that takes it.
        channel_delay: Histogram = "sidetone_http_channel_delay_seconds",
    }
}
