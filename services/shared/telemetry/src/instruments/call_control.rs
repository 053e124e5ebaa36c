//! Instruments of call control.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Result};

use super::{Registry, counter, counters, gauge, seconds};

/// Instruments of call control.
#[derive(Debug)]
pub struct CallControl {
    /// API commands by kind and result.
    pub commands: IntCounterVec,
    /// Times that legs had to come to one media node for a command, by what became of it.
    pub gatherings: IntCounterVec,
    /// Calls that ended, by outcome and cause.
    pub calls_ended: IntCounterVec,
    /// Legs that ended, by outcome and cause.
    pub legs_ended: IntCounterVec,
    /// Facts written to the log.
    pub facts: IntCounter,
    /// Entries of the log that were handed to who follows it, by where they were had from.
    pub entries_read: IntCounterVec,
    /// From the decision to its durable record.
    pub append: Histogram,
    /// Live calls.
    pub calls: IntGauge,
    /// Live legs.
    pub legs: IntGauge,
    /// Signalling replicas attached.
    pub replicas: IntGauge,
    /// Media nodes that can be reached.
    pub media_nodes: IntGauge,
    /// Appends refused because another owner had written.
    pub fenced: IntCounter,
    /// Changes of mailboxes that phones were not told of, because too many waited.
    pub mailbox_changes_dropped: IntCounter,
}

impl CallControl {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            commands: counters(
                registry,
                "sidetone_call_control_commands_total",
                "API commands by kind and result.",
                &["kind", "result"],
            )?,
            gatherings: counters(
                registry,
                "sidetone_call_control_gatherings_total",
                "Times that legs had to come to one media node for a command, by what became of it.",
                &["result"],
            )?,
            calls_ended: counters(
                registry,
                "sidetone_call_control_calls_ended_total",
                "Calls that ended, by outcome and cause.",
                &["outcome", "cause"],
            )?,
            legs_ended: counters(
                registry,
                "sidetone_call_control_legs_ended_total",
                "Legs that ended, by outcome and cause.",
                &["outcome", "cause"],
            )?,
            facts: counter(registry, "sidetone_call_control_facts_total", "Facts written to the log.")?,
            entries_read: counters(
                registry,
                "sidetone_call_control_entries_read_total",
                "Entries of the log that were handed to who follows it, by where they were had from.",
                &["from"],
            )?,
            append: seconds(
                registry,
                "sidetone_call_control_append_seconds",
                "From the decision to its durable record.",
            )?,
            calls: gauge(registry, "sidetone_call_control_calls_count", "Live calls.")?,
            legs: gauge(registry, "sidetone_call_control_legs_count", "Live legs.")?,
            replicas: gauge(
                registry,
                "sidetone_call_control_replicas_count",
                "Signalling replicas attached.",
            )?,
            media_nodes: gauge(
                registry,
                "sidetone_call_control_media_nodes_count",
                "Media nodes that can be reached.",
            )?,
            fenced: counter(
                registry,
                "sidetone_call_control_fenced_total",
                "Appends refused because another owner had written.",
            )?,
            mailbox_changes_dropped: counter(
                registry,
                "sidetone_call_control_mailbox_changes_dropped_total",
                "Changes of mailboxes that phones were not told of, because too many waited.",
            )?,
        })
    }
}
