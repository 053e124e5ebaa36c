//! Requests of ours on their way out. One that is too large for a datagram goes by TCP (RFC 3261, section 18.1.1): a
//! fragmented datagram is lost with any of its pieces, and many NATs drop the pieces that carry no port. A phone that takes
//! no TCP gets it by UDP after all, and is not tried again for a while.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_model::ids::LegId;
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{Method, Request, Response};
use sidetone_sip_core::transaction::Failure;

use super::Agent;

/// What went by TCP although its leg talks over UDP.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    moved: HashMap<(LegId, u32), Moved>,
    /// Who takes no TCP, and until when that is believed. Bounded; when it is full, TCP is tried in vain once more.
    no_tcp: HashMap<SocketAddr, Instant>,
}

#[derive(Debug)]
struct Moved {
    original: Request,
    original_flow: Flow,
    flow: Flow,
}

impl Outgoing {
    fn takes_no_tcp(&mut self, peer: SocketAddr, now: Instant) {
        if self.no_tcp.len() >= NO_TCP_MAX {
            self.no_tcp.retain(|_, until| *until > now);
        }
        if self.no_tcp.len() < NO_TCP_MAX {
            self.no_tcp.insert(peer, now + NO_TCP_LASTS);
        }
    }

    fn may_take_tcp(&self, peer: SocketAddr, now: Instant) -> bool {
        self.no_tcp.get(&peer).is_none_or(|until| *until <= now)
    }

    /// Nothing more comes of a request.
    fn forget(&mut self, leg: LegId, cseq: u32) {
        self.moved.remove(&(leg, cseq));
    }

    /// Nothing more comes of a leg.
    pub(super) fn forget_leg(&mut self, leg: LegId) {
        if !self.moved.is_empty() {
            self.moved.retain(|(of, _), _| *of != leg);
        }
    }
}

impl Agent {
    /// Sends a leg's request; the leg hears when that cannot be.
    pub(super) fn send_request(&mut self, id: LegId, flow: Flow, request: Request, now: Instant) {
        let (method, cseq) = (request.method(), request.cseq());
        if let (Method::Invite, Some(dialog), Some(entry)) =
            (&method, request.sender_key(), self.legs.get(id))
            && request.is_initial_invite()
        {
            self.parts.ladder.begin(id, &entry.tenant, &dialog, None);
        }
        self.note_request(id, &request);
        let (request, flow) = self.fit(id, request, flow, now);
        self.transmit(id, request, &flow, (&method, cseq), now);
    }

    pub(super) fn transmit(
        &mut self,
        id: LegId,
        request: Request,
        flow: &Flow,
        key: (&Method, u32),
        now: Instant,
    ) {
        let sent = self.parts.transactions.send_request(request, flow, id, now);
        let leg = self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut());
        if let (Err(_), Some(leg)) = (sent, leg) {
            leg.handle_failure(key.0, key.1, Failure::Transport, now);
        }
    }

    /// The request as it goes out, and over what.
    fn fit(&mut self, id: LegId, request: Request, flow: Flow, now: Instant) -> (Request, Flow) {
        if flow.transport != Transport::Udp {
            return (request, flow);
        }
        let cseq = request.cseq();
        // A CANCEL follows its INVITE (RFC 3261, section 9.1).
        if request.method() == Method::Cancel {
            let moved = self.outgoing.moved.get(&(id, cseq)).map(|moved| moved.flow.clone());
            let over = moved.and_then(|flow| Some((self.rewritten(&request, &flow)?, flow)));
            return over.unwrap_or((request, flow));
        }
        let bytes_max = self.parts.config.udp_request_bytes_max;
        let large = bytes_max > 0 && request.to_bytes().len() > bytes_max;
        if !large || !self.outgoing.may_take_tcp(flow.remote, now) {
            return (request, flow);
        }
        let over = self.parts.outputs.flow_to(Transport::Tcp, flow.remote);
        let Some((rewritten, over)) = over.and_then(|over| Some((self.rewritten(&request, &over)?, over)))
        else {
            return (request, flow);
        };
        self.parts.outputs.connect(&over, None);
        self.count_sent_large("tcp");
        let moved = Moved { original: request, original_flow: flow, flow: over.clone() };
        self.outgoing.moved.insert((id, cseq), moved);
        (rewritten, over)
    }

    pub(super) fn rewritten(&self, request: &Request, over: &Flow) -> Option<Request> {
        request.sent_over(over.transport, self.parts.outputs.advertised(over)?)
    }

    /// A request got no answer: one that was moved is sent again as a datagram. True when that has been done.
    pub(super) fn falls_back(&mut self, id: LegId, cseq: u32, failure: Failure, now: Instant) -> bool {
        let Some(moved) = self.outgoing.moved.remove(&(id, cseq)) else { return false };
        if failure != Failure::Transport || self.legs.get(id).is_none_or(|entry| entry.leg.is_none()) {
            return false;
        }
        self.outgoing.takes_no_tcp(moved.original_flow.remote, now);
        self.count_sent_large("udp_after_all");
        let method = moved.original.method();
        self.transmit(id, moved.original, &moved.original_flow, (&method, cseq), now);
        true
    }

    /// A response came: what has its final one is done.
    pub(super) fn note_response(&mut self, id: LegId, response: &Response) {
        if response.status().is_final() && *response.cseq_method() != Method::Cancel {
            self.outgoing.forget(id, response.cseq());
        }
    }

    fn count_sent_large(&self, way: &str) {
        self.parts.telemetry.signalling.large_requests.with_label_values(&[way]).inc();
    }
}

const NO_TCP_MAX: usize = 16_384;
const NO_TCP_LASTS: Duration = Duration::from_secs(600);
