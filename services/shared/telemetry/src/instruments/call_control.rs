//! Instruments of call control.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::instruments;

instruments! {
    /// Instruments of call control.
    pub struct CallControl {
        /// API commands by kind and result.
        commands: IntCounterVec = "sidetone_call_control_commands_total" by ["kind", "result"],
        /// Commands that were not carried out, because nobody waited for their outcome any more when their turn came.
        commands_expired: IntCounter = "sidetone_call_control_commands_expired_total",
        /// Times that legs had to come to one media node for a command, by what became of it.
        gatherings: IntCounterVec = "sidetone_call_control_gatherings_total" by ["result"],
        /// Calls that ended, by outcome and cause.
        calls_ended: IntCounterVec = "sidetone_call_control_calls_ended_total" by ["outcome", "cause"],
        /// Legs that ended, by outcome and cause.
        legs_ended: IntCounterVec = "sidetone_call_control_legs_ended_total" by ["outcome", "cause"],
        /// Facts written to the log.
        facts: IntCounter = "sidetone_call_control_facts_total",
        /// Entries of the log that were handed to who follows it, by where they were had from.
        entries_read: IntCounterVec = "sidetone_call_control_entries_read_total" by ["from"],
        /// From the decision to its durable record.
        append: Histogram = "sidetone_call_control_append_seconds",
        /// Live calls.
        calls: IntGauge = "sidetone_call_control_calls_count",
        /// Live legs.
        legs: IntGauge = "sidetone_call_control_legs_count",
        /// Signalling replicas attached.
        replicas: IntGauge = "sidetone_call_control_replicas_count",
        /// Media nodes that can be reached.
        media_nodes: IntGauge = "sidetone_call_control_media_nodes_count",
        /// Times that a media node was passed over for a new call because it answers later than a caller waits.
        media_nodes_behind: IntCounter = "sidetone_call_control_media_nodes_behind_total",
        /// Appends refused because another owner had written.
        fenced: IntCounter = "sidetone_call_control_fenced_total",
        /// INVITEs that came to a second replica: handed over, or refused as merged; and those forgotten early to make room.
        invites_repeated: IntCounterVec = "sidetone_call_control_invites_repeated_total" by ["result"],
        /// Redirections (3xx) of phones that were called: followed, or why they were not.
        redirections: IntCounterVec = "sidetone_call_control_redirections_total" by ["result"],
        /// Conversations, and persons who can be members, that were forgotten without being asked to, by why.
        conversations_evicted: IntCounterVec = "sidetone_call_control_conversations_evicted_total" by ["why"],
        /// Changes of mailboxes that phones were not told of, because too many waited.
        mailbox_changes_dropped: IntCounter = "sidetone_call_control_mailbox_changes_dropped_total",
        /// Calls that waited for a device to register, by what came first: it did, its time was over, or the call was.
        wakings: IntCounterVec = "sidetone_call_control_wakings_total" by ["result"],
        /// Times that a voicemail has taken no PIN any more for a while, because of wrong ones.
        mailbox_locked: IntCounter = "sidetone_call_control_mailbox_locked_total",
        /// Calls to a voicemail that were ended because the PIN was wrong three times.
        mailbox_refused: IntCounter = "sidetone_call_control_mailbox_refused_total",
        /// Users whose mailbox or calls phones watch, now.
        watched: IntGauge = "sidetone_call_control_watched_count",
        /// States of watched users told to signalling: sent, later because a replica did not keep up, or refused for too many.
        watched_states: IntCounterVec = "sidetone_call_control_watched_states_total" by ["result"],
    }
}
