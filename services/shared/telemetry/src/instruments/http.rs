//! Instruments of the HTTP door.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Result};

use super::{Registry, counter, counters, gauge, seconds};

/// Instruments of the HTTP door.
#[derive(Debug)]
pub struct Http {
    /// Requests by dialect, method and class of the answer's status.
    pub requests: IntCounterVec,
    /// From a request to the head of its answer.
    pub answer: Histogram,
    /// Events by dialect.
    pub emitted: IntCounterVec,
    /// Sessions that are open.
    pub sessions: IntGauge,
    /// Event channels that are open.
    pub channels: IntGauge,
    /// Connections that are open.
    pub connections: IntGauge,
    /// What a bound kept clients from, by bound.
    pub limited: IntCounterVec,
    /// Channels that were cut because they fell too far behind.
    pub channels_lost: IntCounter,
    /// Changes of who speaks that were not looked at in time.
    pub speakers_lost: IntCounter,
    /// From an event to the channel that takes it: a channel's backlog, in time.
    pub channel_delay: Histogram,
}

impl Http {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            requests: counters(
                registry,
                "sidetone_http_requests_total",
                "HTTP requests, by dialect, method and class of the answer.",
                &["dialect", "method", "class"],
            )?,
            answer: seconds(
                registry,
                "sidetone_http_answer_seconds",
                "From a request to the head of its answer.",
            )?,
            emitted: counters(
                registry,
                "sidetone_http_emitted_total",
                "Events that dialects told, by dialect.",
                &["dialect"],
            )?,
            sessions: gauge(registry, "sidetone_http_sessions_count", "Sessions of telephony clients.")?,
            channels: gauge(registry, "sidetone_http_channels_count", "Event channels that are open.")?,
            connections: gauge(
                registry,
                "sidetone_http_connections_count",
                "Connections to the HTTP door that are open.",
            )?,
            limited: counters(
                registry,
                "sidetone_http_limited_total",
                "Connections, log-ins, sessions and subscriptions that a bound refused or ended, by bound.",
                &["bound"],
            )?,
            channels_lost: counter(
                registry,
                "sidetone_http_channels_lost_total",
                "Event channels cut because they fell further behind than events are kept.",
            )?,
            speakers_lost: counter(
                registry,
                "sidetone_http_speakers_lost_total",
                "Changes of who speaks that came faster than they could be told.",
            )?,
            channel_delay: seconds(
                registry,
                "sidetone_http_channel_delay_seconds",
                "From an event to the channel that takes it.",
            )?,
        })
    }
}
