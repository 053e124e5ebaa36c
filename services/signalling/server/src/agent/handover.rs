//! What is for a leg of another replica goes there, and what others have for our legs and flows is taken (decision 73).
//!
//! What is handed over is never handed on: two replicas that disagree about whose a leg is make no loop.

use std::time::Instant;

use bytes::Bytes;
use sidetone_model::ids::ReplicaId;
use sidetone_model::party::Flow;
use sidetone_model::termination::Cause;
use sidetone_sip_core::message::{Message, Method, Request, ResponseBuilder, Status, parse_datagram};
use sidetone_sip_core::transaction::{flow_back, reply_flow};

use super::Agent;
use crate::handover::{Carried, FromNeighbour, Mark, What};
use crate::transport::limits;

impl Agent {
    /// Hands a message to the replica whose leg it is for. True when there is nothing more to do with it here. What is for nobody
    /// here counts against the share of its source.
    pub(super) fn hands_over(&mut self, flow: &Flow, message: &Message, bytes: &Bytes, now: Instant) -> bool {
        let neighbours = self.parts.carriers.neighbours();
        let of_nothing = matches!(message, Message::Request(request) if self.is_cancel_of_nothing(request));
        let tag = match message {
            Message::Request(request) => request.to().tag(),
            Message::Response(response) => response.from().tag(),
        };
        let to: Vec<ReplicaId> = match tag.and_then(Mark::in_tag) {
            Some(mark) => neighbours.by_mark(&mark).cloned().into_iter().collect(),
            // A CANCEL names nobody (RFC 3261, section 9.1): whoever has the INVITE answers, and the others keep silent.
            None if of_nothing => neighbours.present().cloned().collect(),
            None => return false,
        };
        if to.is_empty() && !of_nothing {
            return false;
        }
        let known = self.parts.defence.is_known(flow.remote, now);
        if !known && !self.parts.defence.take_of_source(flow.remote.ip(), now) {
            return true;
        }
        if to.is_empty() {
            return false;
        }
        let label = match message {
            Message::Request(request) if request.method() == Method::Cancel => "cancel",
            Message::Request(_) => "request",
            Message::Response(_) => "response",
        };
        for replica in to {
            let carried = Carried { flow: flow.clone(), what: What::Received(bytes.clone()) };
            self.carry(&replica, carried, label, now);
        }
        true
    }

    fn is_cancel_of_nothing(&self, request: &Request) -> bool {
        request.method() == Method::Cancel && !self.parts.transactions.has_cancelled(request)
    }

    /// A connection of ours has closed: those who used it hear that.
    pub(super) fn tell_closed(&mut self, flow: &Flow, now: Instant) {
        for replica in self.parts.lent.closed(flow) {
            let carried = Carried { flow: flow.clone(), what: What::Gone };
            self.carry(&replica, carried, "gone", now);
        }
    }

    /// Whether a flow has a connection, here or at the replica that has lent it.
    pub(super) fn stands(&self, flow: &Flow) -> bool {
        self.parts.outputs.has_connection(flow) || self.parts.lent.of(flow).is_some()
    }

    /// Sends over a flow of another replica; false when it is none.
    pub(super) fn send_by_neighbour(&mut self, flow: &Flow, bytes: &Bytes, now: Instant) -> bool {
        let Some(replica) = self.parts.lent.of(flow).cloned() else { return false };
        if self.parts.outputs.has_connection(flow) {
            self.parts.lent.give_back(flow);
            return false;
        }
        self.parts.lent.used(flow, now);
        let carried = Carried { flow: flow.clone(), what: What::Send(bytes.clone()) };
        self.carry(&replica, carried, "send", now);
        true
    }

    fn carry(&mut self, to: &ReplicaId, carried: Carried, label: &str, now: Instant) {
        if carried.flow.transport.is_reliable() && matches!(carried.what, What::Received(_)) {
            self.parts.lent.lend(&carried.flow, to);
        }
        if self.parts.carriers.carry(to, carried.clone(), now) {
            self.count_handed_over(label);
        } else {
            self.handle_not_carried(carried, now);
        }
    }

    /// Hands an INVITE to the replica that has its transaction.
    pub(super) fn hand_on(&mut self, to: &ReplicaId, invite: Carried, now: Instant) {
        self.carry(to, invite, "invite", now);
    }

    pub(super) fn handle_neighbour(&mut self, input: FromNeighbour, now: Instant) {
        match input {
            FromNeighbour::Carried { from, carried: Carried { flow, what } } => match what {
                What::Received(bytes) => self.handle_handed_over(&from, flow, bytes, now),
                What::Send(bytes) => {
                    if self.parts.outputs.send(&flow, bytes).is_err() {
                        let carried = Carried { flow, what: What::Gone };
                        self.carry(&from, carried, "gone", now);
                    } else if flow.transport.is_reliable() {
                        self.parts.lent.lend(&flow, &from);
                    }
                }
                What::Gone => {
                    if self.parts.lent.of(&flow) == Some(&from) {
                        self.flow_is_gone(&flow, now);
                    }
                }
            },
            FromNeighbour::NotCarried { carried } => self.handle_not_carried(carried, now),
        }
    }

    fn handle_handed_over(&mut self, from: &ReplicaId, flow: Flow, bytes: Bytes, now: Instant) {
        let Ok(message) = parse_datagram(bytes.clone(), &limits()) else {
            return self.count_handed_over("malformed");
        };
        let silent = matches!(&message, Message::Request(request) if self.is_cancel_of_nothing(request));
        // Judged before it is given anything: a flow that is borrowed makes another one go.
        if silent || !self.admits(&flow, &message, &bytes, now) {
            return;
        }
        if !self.is_expected(&message) {
            return self.refuse_unexpected(from, &flow, &message, now);
        }
        if let Message::Request(request) = &message {
            // Answers to it may go to another port (RFC 3261, section 18.2.2).
            self.borrow(reply_flow(request, &flow), from, now);
        }
        self.count_handed_over("taken");
        self.borrow(flow.clone(), from, now);
        if let Message::Request(request) = &message
            && let Some(leg) = self.parts.transactions.owner_of(request).copied()
        {
            self.answer_repeated(leg, &flow);
        }
        self.take_message(&flow, message, bytes, now);
    }

    /// Whether a message is for a dialog or a transaction that is held here.
    fn is_expected(&self, message: &Message) -> bool {
        let dialog = match message {
            Message::Request(request) => request.dialog_key(),
            Message::Response(response) => response.dialog_key(),
        };
        let held = dialog.is_some_and(|key| {
            self.legs.by_dialog(&key).or_else(|| self.subscriptions.by_dialog(&key)).is_some()
        });
        held || self.parts.transactions.knows(message)
            || matches!(message, Message::Request(request) if request.method() == Method::Cancel)
    }

    /// Its tag has our mark and is of nothing here: whoever sent it is told so over the way it came, and nothing is kept of it.
    fn refuse_unexpected(&mut self, from: &ReplicaId, flow: &Flow, message: &Message, now: Instant) {
        self.count_handed_over("unexpected");
        let Message::Request(request) = message else { return };
        if request.method() == Method::Ack {
            return;
        }
        let tag = request.to().tag().unwrap_or_default();
        let bytes = ResponseBuilder::new(request, Status::NO_SUCH_TRANSACTION, tag).build().to_bytes();
        let flow = flow_back(request, flow);
        if self.parts.defence.may_answer(&flow, bytes.len(), now) {
            self.carry(from, Carried { flow, what: What::Send(bytes) }, "send", now);
        }
    }

    pub(super) fn borrow(&mut self, flow: Flow, from: &ReplicaId, now: Instant) {
        if self.parts.lent.take(flow, from, now) {
            self.count_handed_over("made_room");
        }
    }

    /// Flows that nobody has used for long are given back.
    pub(super) fn tend_lent(&mut self, now: Instant) {
        for _ in 0..self.parts.lent.expire(now) {
            self.count_handed_over("expired");
        }
    }

    /// What did not arrive: a request is to come again later, and what was to go out over a flow finds it gone.
    fn handle_not_carried(&mut self, carried: Carried, now: Instant) {
        self.count_handed_over("not_carried");
        let Carried { flow, what } = carried;
        match what {
            What::Gone => {}
            What::Send(_) => self.flow_is_gone(&flow, now),
            What::Received(bytes) => {
                if let Ok(Message::Request(request)) = parse_datagram(bytes, &limits())
                    && !matches!(request.method(), Method::Ack | Method::Cancel)
                {
                    self.refuse_for_absent(&request, &flow, now);
                }
            }
        }
    }

    /// Its dialog lives, but nobody can answer for it now: the request fails and not the call (RFC 3261, section 12.2.1.2, has
    /// 481 end it).
    fn refuse_for_absent(&mut self, request: &Request, flow: &Flow, now: Instant) {
        let cause = Cause::NoCapacity;
        let status = Status::new(cause.sip_status()).unwrap_or(Status::SERVER_INTERNAL_ERROR);
        let retry = cause.retry_after_s().map(|seconds| seconds.to_string());
        let response = ResponseBuilder::new(request, status, request.to().tag().unwrap_or_default())
            .header_opt("Retry-After", retry)
            .build();
        let (flow, bytes) = (flow_back(request, flow), response.to_bytes());
        if self.parts.defence.may_answer(&flow, bytes.len(), now) {
            // A connection that is gone needs no answer.
            let _best_effort = self.parts.outputs.send(&flow, bytes);
        }
    }

    fn flow_is_gone(&mut self, flow: &Flow, now: Instant) {
        self.parts.lent.give_back(flow);
        self.follow_from(flow);
        self.note_callers_gone(flow, now);
        self.parts.transactions.handle_flow_closed(flow, now);
    }

    fn count_handed_over(&self, what: &str) {
        self.parts.telemetry.signalling.handed_over.with_label_values(&[what]).inc();
    }
}
