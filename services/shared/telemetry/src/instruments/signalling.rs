//! Instruments of the SIP edge.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::instruments;

instruments! {
    /// Instruments of the SIP edge.
    pub struct Signalling {
        /// SIP messages taken in, by method of the request or of the CSeq.
        messages_received: IntCounterVec = "sidetone_signalling_messages_received_total" by ["method", "kind"],
        /// Datagrams and messages dropped without an answer, by reason.
        messages_dropped: IntCounterVec = "sidetone_signalling_messages_dropped_total" by ["reason"],
        /// Responses sent, by class.
        responses_sent: IntCounterVec = "sidetone_signalling_responses_sent_total" by ["class"],
        /// Responses taken in, by class.
        responses_received: IntCounterVec = "sidetone_signalling_responses_received_total" by ["class"],
        /// Requests sent, by method, those that are said again among them.
        requests_sent: IntCounterVec = "sidetone_signalling_requests_sent_total" by ["method"],
        /// REGISTER requests by result.
        registrations: IntCounterVec = "sidetone_signalling_registrations_total" by ["result"],
        /// SUBSCRIBE requests by event package and result.
        subscribes: IntCounterVec = "sidetone_signalling_subscribes_total" by ["package", "result"],
        /// Subscriptions held now, by event package.
        subscriptions: IntGaugeVec = "sidetone_signalling_subscriptions_count" by ["package"],
        /// What became of NOTIFYs in subscriptions, and of the records of these.
        notifications: IntCounterVec = "sidetone_signalling_notifications_total" by ["package", "result"],
        /// Legs that ended, by cause.
        legs_ended: IntCounterVec = "sidetone_signalling_legs_ended_total" by ["cause"],
        /// New calls refused without call control, by reason.
        refused: IntCounterVec = "sidetone_signalling_refused_total" by ["reason"],
        /// Commands of call control, by what became of them.
        commands: IntCounterVec = "sidetone_signalling_commands_total" by ["result"],
        /// What the transaction layer did on its own, by event.
        transactions: IntCounterVec = "sidetone_signalling_transactions_total" by ["event"],
        /// Connections now, by transport.
        connections: IntGaugeVec = "sidetone_signalling_connections_count" by ["transport"],
        /// Connections that we closed or did not take, by reason.
        connections_closed: IntCounterVec = "sidetone_signalling_connections_closed_total" by ["reason"],
        /// Final responses of carriers to our INVITEs, by trunk and class.
        trunk_responses: IntCounterVec = "sidetone_signalling_trunk_responses_total" by ["trunk", "class"],
        /// What became of calls over trunks, and of what keeps them up.
        trunk_calls: IntCounterVec = "sidetone_signalling_trunk_calls_total" by ["trunk", "result"],
        /// Dialogs written to the store before a final response, by whether that was done in time, and those left
        /// there.
        dialogs: IntCounterVec = "sidetone_signalling_dialogs_total" by ["result"],
        /// Hostile or stray requests that got no answer or a refusal, by the rule that met them.
        defended: IntCounterVec = "sidetone_signalling_defended_total" by ["rule"],
        /// Sources banned for wrong passwords.
        bans: IntCounter = "sidetone_signalling_bans_total",
        /// Bans that an operator has ended.
        bans_lifted: IntCounter = "sidetone_signalling_bans_lifted_total",
        /// Requests of ours too large for a datagram, by the way they went.
        large_requests: IntCounterVec = "sidetone_signalling_large_requests_total" by ["way"],
        /// Header fields of INVITEs that were not handed on: too much of them, or of a sender who is not believed.
        headers_left_out: IntCounterVec = "sidetone_signalling_headers_left_out_total" by ["reason"],
        /// Changed SIP certificates, by whether they could be used.
        certificate_reloads: IntCounterVec = "sidetone_signalling_certificate_reloads_total" by ["result"],
        /// Handed to the replica that has the leg or the flow, taken from one, and not carried in time, by what it was.
        handed_over: IntCounterVec = "sidetone_signalling_handed_over_total" by ["what"],
        /// SIP messages that fell out of the ladder or did not reach HOMER, by the place that was full.
        ladder_lost: IntCounterVec = "sidetone_signalling_ladder_lost_total" by ["place"],
        /// Requests within a call whose phone's connection is gone: waiting for it to register again, and what came of that.
        phones_awaited: IntCounterVec = "sidetone_signalling_phones_awaited_total" by ["result"],
        /// Devices whose media encryption is set otherwise than for all.
        encryption_settings: IntGauge = "sidetone_signalling_encryption_settings_count",
        /// Phones that refused the profile of the first offer and were called again with the other one, by what that was.
        second_offers: IntCounterVec = "sidetone_signalling_second_offers_total" by ["offered"],
        /// Legs held now.
        legs: IntGauge = "sidetone_signalling_legs_count",
        /// Signals kept because no owner has acknowledged them.
        unacknowledged: IntGauge = "sidetone_signalling_unacknowledged_signals_count",
        /// Signals dropped because the buffer was full.
        signals_lost: IntCounter = "sidetone_signalling_signals_lost_total",
        /// 1 while the stream to call control stands.
        owner_attached: IntGauge = "sidetone_signalling_owner_attached_count",
        /// From sending a signal to its acknowledgement.
        owner_ack: Histogram = "sidetone_signalling_owner_ack_seconds",
    }
}
