//! Instruments of the SIP edge.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::{Registry, counter, counters, gauge, gauges, seconds};

/// Instruments of the SIP edge.
#[derive(Debug)]
pub struct Signalling {
    /// SIP messages taken in, by method of the request or of the CSeq.
    pub messages_received: IntCounterVec,
    /// Datagrams and messages dropped without an answer, by reason.
    pub messages_dropped: IntCounterVec,
    /// Responses sent, by class.
    pub responses_sent: IntCounterVec,
    /// REGISTER requests by result.
    pub registrations: IntCounterVec,
    /// Legs that ended, by cause.
    pub legs_ended: IntCounterVec,
    /// New calls refused without call control, by reason.
    pub refused: IntCounterVec,
    /// Commands of call control, by what became of them.
    pub commands: IntCounterVec,
    /// What the transaction layer did on its own.
    pub transactions: IntCounterVec,
    /// Connections now, by transport.
    pub connections: IntGaugeVec,
    /// Connections that we closed or did not take, by reason.
    pub connections_closed: IntCounterVec,
    /// What became of calls over trunks, and of what keeps them up.
    pub trunk_calls: IntCounterVec,
    /// Dialogs written to the store, by whether that was done in time.
    pub dialogs: IntCounterVec,
    /// Hostile or stray requests that got no answer or a refusal, by the rule that met them.
    pub defended: IntCounterVec,
    /// Sources banned for wrong passwords.
    pub bans: IntCounter,
    /// Requests too large for a datagram, by the way they went.
    pub large_requests: IntCounterVec,
    /// Header fields of INVITEs that were not handed on, by reason.
    pub headers_left_out: IntCounterVec,
    /// Changed certificates, by whether they could be used.
    pub certificate_reloads: IntCounterVec,
    /// SIP messages that fell out of the ladder or did not reach HOMER, by the place that was full.
    pub ladder_lost: IntCounterVec,
    /// Legs held now.
    pub legs: IntGauge,
    /// Signals kept because no owner has acknowledged them.
    pub unacknowledged: IntGauge,
    /// Signals dropped because the buffer was full.
    pub signals_lost: IntCounter,
    /// 1 while the stream to call control stands.
    pub owner_attached: IntGauge,
    /// From sending a signal to its acknowledgement.
    pub owner_ack: Histogram,
}

impl Signalling {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            messages_received: counters(
                registry,
                "sidetone_signalling_messages_received_total",
                "SIP messages taken in, by method of the request or of the CSeq.",
                &["method", "kind"],
            )?,
            messages_dropped: counters(
                registry,
                "sidetone_signalling_messages_dropped_total",
                "Datagrams and messages dropped without an answer, by reason.",
                &["reason"],
            )?,
            responses_sent: counters(
                registry,
                "sidetone_signalling_responses_sent_total",
                "Responses sent, by class.",
                &["class"],
            )?,
            registrations: counters(
                registry,
                "sidetone_signalling_registrations_total",
                "REGISTER requests by result.",
                &["result"],
            )?,
            legs_ended: counters(
                registry,
                "sidetone_signalling_legs_ended_total",
                "Legs that ended, by cause.",
                &["cause"],
            )?,
            refused: counters(
                registry,
                "sidetone_signalling_refused_total",
                "New calls refused without call control, by reason.",
                &["reason"],
            )?,
            commands: counters(
                registry,
                "sidetone_signalling_commands_total",
                "Commands of call control, by what became of them.",
                &["result"],
            )?,
            transactions: counters(
                registry,
                "sidetone_signalling_transactions_total",
                "What the transaction layer did on its own, by event.",
                &["event"],
            )?,
            connections: gauges(
                registry,
                "sidetone_signalling_connections_count",
                "Connections now, by transport.",
                &["transport"],
            )?,
            connections_closed: counters(
                registry,
                "sidetone_signalling_connections_closed_total",
                "Connections that we closed or did not take, by reason.",
                &["reason"],
            )?,
            trunk_calls: counters(
                registry,
                "sidetone_signalling_trunk_calls_total",
                "What became of calls over trunks, and of what keeps them up.",
                &["trunk", "result"],
            )?,
            dialogs: counters(
                registry,
                "sidetone_signalling_dialogs_total",
                "Dialogs written to the store before a final response, by whether that was done in time, and those left there.",
                &["result"],
            )?,
            defended: counters(
                registry,
                "sidetone_signalling_defended_total",
                "Hostile or stray requests that got no answer or a refusal, by the rule that met them.",
                &["rule"],
            )?,
            bans: counter(registry, "sidetone_signalling_bans_total", "Sources banned for wrong passwords.")?,
            large_requests: counters(
                registry,
                "sidetone_signalling_large_requests_total",
                "Requests of ours too large for a datagram, by the way they went.",
                &["way"],
            )?,
            headers_left_out: counters(
                registry,
                "sidetone_signalling_headers_left_out_total",
                "Header fields of INVITEs that were not handed on: too much of them, or of a sender who is not believed.",
                &["reason"],
            )?,
            certificate_reloads: counters(
                registry,
                "sidetone_signalling_certificate_reloads_total",
                "Changed SIP certificates, by whether they could be used.",
                &["result"],
            )?,
            ladder_lost: counters(
                registry,
                "sidetone_signalling_ladder_lost_total",
                "SIP messages that fell out of the ladder or did not reach HOMER, by the place that was full.",
                &["place"],
            )?,
            legs: gauge(registry, "sidetone_signalling_legs_count", "Legs held now.")?,
            unacknowledged: gauge(
                registry,
                "sidetone_signalling_unacknowledged_signals_count",
                "Signals kept because no owner has acknowledged them.",
            )?,
            signals_lost: counter(
                registry,
                "sidetone_signalling_signals_lost_total",
                "Signals dropped because the buffer was full.",
            )?,
            owner_attached: gauge(
                registry,
                "sidetone_signalling_owner_attached_count",
                "1 while the stream to call control stands.",
            )?,
            owner_ack: seconds(
                registry,
                "sidetone_signalling_owner_ack_seconds",
                "From sending a signal to its acknowledgement.",
            )?,
        })
    }
}
