//! What the transactions tell: requests by their kind, and responses to their legs.

use std::time::Instant;

use sidetone_model::ids::LegId;
use sidetone_model::party::{Flow, Transport};
use sidetone_model::termination::Cause;
use sidetone_sip_core::body;
use sidetone_sip_core::events::ALLOW_EVENTS;
use sidetone_sip_core::leg::SUPPORTED;
use sidetone_sip_core::message::{Method, Request, Response, ResponseBuilder, Status};
use sidetone_sip_core::outside::{self, ALLOW_OUTSIDE};
use sidetone_sip_core::transaction::{Event, ServerTx, flow_back};

use super::Agent;
use crate::transport::Shown;

impl Agent {
    pub(super) fn handle_event(&mut self, event: Event<LegId>, now: Instant) {
        match event {
            Event::Request { tx, flow, request } => self.handle_request(tx, flow, request, now),
            Event::Cancelled { owner: Some(leg), cancel, .. } => {
                self.with_leg(leg, now, |leg| leg.handle_cancel(&cancel));
            }
            Event::Cancelled { invite, owner: None, .. } => self.cancel_pending(invite, now),
            Event::Ack { request, flow } => {
                if let Some(leg) = request.dialog_key().and_then(|key| self.legs.by_dialog(&key)) {
                    self.parts.defence.proved(&request, &flow, Shown::Place, now);
                    self.with_leg(leg, now, |leg| leg.handle_ack(&request, now));
                }
            }
            Event::Response { owner, response, .. } => {
                if self.handle_notify_response(owner, &response, now) {
                    return;
                }
                self.note_response(owner, &response);
                self.count_response_of_trunk(owner, &response);
                self.trunking.heard(owner);
                if self.handle_job_response(owner, &response, now)
                    || self.answers_challenge(owner, &response, now)
                {
                    return;
                }
                self.with_leg(owner, now, |leg| leg.handle_response(&response, now));
            }
            Event::Stray { response } => {
                if let Some(leg) = response.dialog_key().and_then(|key| self.legs.by_dialog(&key)) {
                    self.with_leg(leg, now, |leg| leg.handle_response(&response, now));
                }
            }
            Event::Failed { owner, method, cseq, failure, request, .. } => {
                if self.handle_notify_failure(owner, failure, now)
                    || self.handle_job_failure(owner, failure, now)
                {
                    return;
                }
                if method != Method::Cancel && self.falls_back(owner, cseq, failure, now)
                    || self.reaches_carrier_again(owner, (&method, cseq), failure, now)
                    || self.reaches_device_again(owner, request, failure, now)
                {
                    return;
                }
                self.with_leg(owner, now, |leg| leg.handle_failure(&method, cseq, failure, now));
            }
        }
    }

    fn handle_request(&mut self, tx: ServerTx, flow: Flow, request: Request, now: Instant) {
        let dialog = request.dialog_key();
        if let Some(leg) = dialog.as_ref().and_then(|key| self.legs.by_dialog(key)) {
            // Nobody else knows our tag.
            self.parts.defence.proved(&request, &flow, Shown::Place, now);
            let flow = flow_back(&request, &flow);
            self.with_leg(leg, now, |leg| leg.handle_request(tx, &flow, request, now));
            return self.send_to_returned(now);
        }
        if let Some(id) = dialog.as_ref().and_then(|key| self.subscriptions.by_dialog(key)) {
            self.parts.defence.proved(&request, &flow, Shown::Place, now);
            return self.handle_in_subscription(tx, id, &flow, &request, now);
        }
        let known = self.parts.defence.is_known(flow.remote, now);
        if !self.parts.defence.take_of_source(flow.remote.ip(), now) {
            if flow.transport == Transport::Udp && !known {
                return self.parts.transactions.drop_silently(tx);
            }
            return self.refuse(tx, &request, Cause::NoCapacity, now);
        }
        if dialog.is_some() {
            // Nothing is kept of it: it costs whoever makes such up more than us. A phone may be late, too: no line of log.
            self.parts.telemetry.signalling.defended.with_label_values(&["no_dialog"]).inc();
            let response = self.response(&request, Status::NO_SUCH_TRANSACTION).build();
            self.parts.telemetry.signalling.responses_sent.with_label_values(&[class(&response)]).inc();
            return self.parts.transactions.answer_statelessly(tx, &response);
        }
        if let Err(refusal) = outside::inspect(&request) {
            self.refused_as_bad(refusal.reason(), now);
            let tag = self.parts.tokens.tag();
            let response = refusal.response(&request, &tag).build();
            return self.respond(tx, response, now);
        }
        match request.method() {
            Method::Invite if self.is_own(&request) => {
                self.parts.defence.dropped("loop", now);
                self.answer(tx, &request, Status::LOOP_DETECTED, now);
            }
            Method::Invite | Method::Register => self.admit(tx, flow, request, now),
            // Who is known, and gateways that are told to be (`defence.exempt`), by whatever host they ask.
            Method::Options if known || self.parts.defence.is_exempt(flow.remote.ip()) => {
                self.answer_options(tx, &request, Some(PRODUCT), now);
            }
            // A stranger gets an answer when it knows whom to ask.
            _ => self.admit(tx, flow, request, now),
        }
    }

    /// Whether an INVITE is one that we sent and that came back as it was (RFC 3261, section 16.3, step 4). One that came
    /// back for somebody else is a spiral, and welcome.
    fn is_own(&self, request: &Request) -> bool {
        let sent_by = request.sender_key().and_then(|key| self.legs.by_dialog(&key));
        let leg = sent_by.and_then(|leg| self.legs.get(leg)).and_then(|entry| entry.leg.as_ref());
        leg.is_some_and(|leg| leg.target().user() == request.uri().user())
    }

    /// As an INVITE would be (RFC 3261, section 11.2): carriers ask before they send calls. `product` is for those who are known.
    pub(super) fn answer_options(
        &mut self,
        tx: ServerTx,
        request: &Request,
        product: Option<&str>,
        now: Instant,
    ) {
        if let Some(reason) = self.closed_for_calls(now) {
            self.count_refused(reason);
            return self.refuse(tx, request, Cause::NoCapacity, now);
        }
        let ok = self.response(request, Status::OK).header("Allow", ALLOW_OUTSIDE);
        let ok = ok.header("Accept", body::ACCEPT).header("Supported", SUPPORTED);
        let ok = ok.header("Allow-Events", ALLOW_EVENTS).header_opt("Server", product);
        self.respond(tx, ok.build(), now);
    }

    /// A response of our own, outside of any dialog. It does not tell what we are: most who hear it have proved nothing.
    pub(super) fn response(&mut self, request: &Request, status: Status) -> ResponseBuilder {
        let tag = self.parts.tokens.tag();
        ResponseBuilder::new(request, status, &tag)
    }

    /// Answers with a status that a rule of the protocol demands.
    pub(super) fn answer(&mut self, tx: ServerTx, request: &Request, status: Status, now: Instant) {
        let response = self.response(request, status).build();
        self.respond(tx, response, now);
    }

    /// Refuses for a cause, with Retry-After where trying again makes sense.
    pub(super) fn refuse(&mut self, tx: ServerTx, request: &Request, cause: Cause, now: Instant) {
        let status = Status::new(cause.sip_status()).unwrap_or(Status::SERVER_INTERNAL_ERROR);
        let retry = cause.retry_after_s().map(|seconds| seconds.to_string());
        let response = self.response(request, status).header_opt("Retry-After", retry).build();
        self.respond(tx, response, now);
    }

    pub(super) fn respond(&mut self, tx: ServerTx, response: Response, now: Instant) {
        let class = class(&response);
        if self.parts.transactions.respond(tx, response, now) {
            self.parts.telemetry.signalling.responses_sent.with_label_values(&[class]).inc();
        }
    }

    /// A request that is refused for what is wrong with it.
    pub(super) fn refused_as_bad(&mut self, reason: &'static str, now: Instant) {
        self.count_refused(reason);
        self.parts.defence.refused(reason, now);
    }

    pub(super) fn count_refused(&self, reason: &str) {
        self.parts.telemetry.signalling.refused.with_label_values(&[reason]).inc();
    }
}

/// The label of a response's class.
pub(super) fn class(response: &Response) -> &'static str {
    match response.status().code() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "6xx",
    }
}

/// What Server and User-Agent say.
pub(super) const PRODUCT: &str = concat!("Sidetone/", env!("CARGO_PKG_VERSION"));
