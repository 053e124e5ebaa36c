//! Transactions (RFC 3261 section 17, RFC 6026) over any number of flows, on a caller-given clock.
//!
//! The state machines of single transactions come from the SIP library; this layer finds them, runs their timers,
//! bounds their number and answers what needs no user: CANCEL, retransmissions, and everything beyond the bound.
//!
//! `O` is whatever the shell needs to find the user of a transaction again (a leg's id).

mod entry;
mod schedule;
mod types;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use sidetone_model::party::Flow;
use sipx_sip::transaction::ClientState;
use sipx_sip::{ClientTransaction, Output, ServerTransaction, TransactionKey, TuEvent};

use crate::message::{Message, Method, Request, Response, ResponseBuilder, Status};
use crate::tokens::Tokens;
use entry::{Entry, Machine, failed, reliability};
use schedule::Schedule;

pub use entry::{flow_back, reply_flow};
pub use types::{
    ClientTx, Counters, Event, Failure, Full, Reason, ServerTx, Timers, TransactionsConfig, Transmit,
};

/// All transactions of one transport worker.
pub struct Transactions<O> {
    config: TransactionsConfig,
    entries: HashMap<u64, Entry<O>>,
    clients: HashMap<TransactionKey, u64>,
    servers: HashMap<TransactionKey, u64>,
    schedule: Schedule,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event<O>>,
    tokens: Tokens,
    next_id: u64,
    counters: Counters,
}

impl<O> std::fmt::Debug for Transactions<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions")
            .field("clients", &self.clients.len())
            .field("servers", &self.servers.len())
            .finish_non_exhaustive()
    }
}

impl<O: Clone> Transactions<O> {
    /// An empty layer. `tokens` makes the tags of what the layer answers alone.
    pub fn new(config: TransactionsConfig, tokens: Tokens) -> Self {
        Self {
            config,
            entries: HashMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            schedule: Schedule::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            tokens,
            next_id: 1,
            counters: Counters::default(),
        }
    }

    /// Client and server transactions alive.
    pub fn len(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Whether no transaction is alive.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What has been seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a message that came over `flow`. Drain [`Self::poll_event`] and [`Self::poll_transmit`] after it.
    pub fn handle_message(&mut self, message: Message, flow: &Flow, now: Instant) {
        match message {
            Message::Request(mut request) => {
                request.stamp_source(flow.remote);
                self.handle_request(request, flow, now);
            }
            Message::Response(response) => self.handle_response(response, now),
        }
    }

    /// Runs all timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((id, timer)) = self.schedule.pop_due(now) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.timers.fired(timer);
            let outputs = match (&mut entry.machine, timer) {
                (Machine::Client { machine, .. }, schedule::Timer::Sip(timer)) => machine.on_timer(timer),
                (Machine::Server { machine, .. }, schedule::Timer::Sip(timer)) => machine.on_timer(timer),
                (Machine::Server { .. }, schedule::Timer::Abandon) => {
                    self.counters.abandoned += 1;
                    self.forget(id);
                    continue;
                }
                (Machine::Client { .. }, schedule::Timer::Abandon) => {
                    self.give_up_cancelled(id);
                    continue;
                }
            };
            self.counters.retransmissions_sent +=
                outputs.iter().filter(|output| matches!(output, Output::Send(_))).count() as u64;
            self.perform(id, outputs, now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.schedule.next()
    }

    /// The next message to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing the user must know.
    pub fn poll_event(&mut self) -> Option<Event<O>> {
        self.events.pop_front()
    }

    /// Sends a request that is no ACK, by a new client transaction. The request carries its Via already.
    ///
    /// # Errors
    /// [`Full`] when the bound on client transactions is reached; nothing is sent then.
    pub fn send_request(
        &mut self,
        request: Request,
        flow: &Flow,
        owner: O,
        now: Instant,
    ) -> Result<ClientTx, Full> {
        let key = TransactionKey::from_sent_request(&request.inner).ok_or(Full)?;
        if self.clients.len() >= self.config.clients_max || self.clients.contains_key(&key) {
            return Err(Full);
        }
        // RFC 3261 section 9.1: a cancelled INVITE is waited for no longer than 64 T1.
        let cancelled = TransactionKey::for_cancelled_invite(&request.inner)
            .and_then(|invite| self.clients.get(&invite).copied());
        if let Some(invite) = cancelled {
            self.arm(invite, schedule::Timer::Abandon, now + self.config.timers.timeout());
        }
        // An INVITE that rings is given up by whoever made the call. Inside a dialog nobody is there to ring: who has said 100
        // and nothing more since is gone (timer C of RFC 3261 section 16.6, for want of one of a user agent's own).
        let in_dialog = request.method() == Method::Invite && request.to().tag().is_some();
        let (machine, outputs) =
            ClientTransaction::new(request.inner, reliability(flow), self.config.timers.to_sip());
        let id = self.insert(Machine::Client { machine, owner }, key.clone(), flow.clone());
        self.clients.insert(key, id);
        if in_dialog {
            self.arm(id, schedule::Timer::Abandon, now + self.config.timers.timeout() * CHANGE_TIMEOUTS);
        }
        self.perform(id, outputs, now);
        Ok(ClientTx(id))
    }

    /// Sends the ACK to a 2xx, which belongs to no transaction (RFC 3261 section 13.2.2.4).
    pub fn send_ack(&mut self, ack: &Request, flow: &Flow) {
        self.transmits.push_back(Transmit { flow: flow.clone(), bytes: ack.to_bytes() });
    }

    /// Sends a 2xx again whose transaction was that of a former life: it is the user agent's to repeat (RFC 3261 section 13.3.1.4).
    pub fn send_again(&mut self, response: &Response, flow: &Flow) {
        self.transmits.push_back(Transmit { flow: flow.clone(), bytes: response.to_bytes() });
    }

    /// Answers a request. A transaction that is over, or has its final response, takes no other and says so by
    /// `false`.
    pub fn respond(&mut self, tx: ServerTx, response: Response, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&tx.0) else { return false };
        let Machine::Server { machine, to_tag, .. } = &mut entry.machine else { return false };
        if let Some(tag) = response.to().tag() {
            *to_tag = Some(tag.into());
        }
        let outputs = machine.on_tu_response(response.inner);
        let sent = outputs.iter().any(|output| matches!(output, Output::Send(_)));
        if let Some(at) = entry.timers.fired(schedule::Timer::Abandon) {
            self.schedule.cancel(tx.0, schedule::Timer::Abandon, at);
        }
        self.perform(tx.0, outputs, now);
        sent
    }

    /// Forgets a request without an answer: what is hostile gets none, and when it comes again it is new.
    pub fn drop_silently(&mut self, tx: ServerTx) {
        self.forget(tx.0);
    }

    /// Answers a request and keeps nothing of it: when it comes again it is new (RFC 3261 section 8.2.7).
    pub fn answer_statelessly(&mut self, tx: ServerTx, response: &Response) {
        if let Some(entry) = self.entries.get(&tx.0) {
            self.transmits.push_back(Transmit { flow: entry.flow.clone(), bytes: response.to_bytes() });
        }
        self.forget(tx.0);
    }

    /// Whether there is the INVITE that a CANCEL means (RFC 3261 section 9.2), or the CANCEL came before.
    pub fn has_cancelled(&self, cancel: &Request) -> bool {
        let invite = TransactionKey::for_cancelled_invite(&cancel.inner);
        let known = |key: Option<TransactionKey>| key.is_some_and(|key| self.servers.contains_key(&key));
        known(invite) || known(TransactionKey::from_request(&cancel.inner))
    }

    /// Whether a message belongs to a transaction that is alive: a repeated request, an ACK to a refusal, or the response to
    /// a request of ours (RFC 3261 sections 17.1.3 and 17.2.3).
    pub fn knows(&self, message: &Message) -> bool {
        match message {
            Message::Request(request) => TransactionKey::from_request(&request.inner)
                .is_some_and(|key| self.servers.contains_key(&key)),
            Message::Response(response) => {
                let key = TransactionKey::from_response(&response.inner);
                key.is_some_and(|key| self.clients.contains_key(&key))
            }
        }
    }

    /// Says to whom an INVITE's CANCEL is to be told.
    pub fn assign(&mut self, tx: ServerTx, user: O) {
        if let Some(Entry { machine: Machine::Server { owner, .. }, .. }) = self.entries.get_mut(&tx.0) {
            *owner = Some(user);
        }
    }

    /// From now on somebody else is told what becomes of a request that was sent; false when its transaction is over.
    pub fn reassign(&mut self, request: &Request, user: O) -> bool {
        let id = TransactionKey::from_sent_request(&request.inner).and_then(|key| self.clients.get(&key));
        let machine = id.and_then(|id| self.entries.get_mut(id)).map(|entry| &mut entry.machine);
        match machine {
            Some(Machine::Client { owner, .. }) => {
                *owner = user;
                true
            }
            _ => false,
        }
    }

    /// Whose a request is that has come before.
    pub fn owner_of(&self, request: &Request) -> Option<&O> {
        let id = TransactionKey::from_request(&request.inner).and_then(|key| self.servers.get(&key))?;
        match &self.entries.get(id)?.machine {
            Machine::Server { owner, .. } => owner.as_ref(),
            Machine::Client { .. } => None,
        }
    }

    /// What is still to be answered of somebody whose connection is gone is answered over another (RFC 3261 section 18.2.2 has us open
    /// one; a phone behind a NAT has to).
    pub fn answer_over(&mut self, user: &O, flow: &Flow)
    where
        O: PartialEq,
    {
        for entry in self.entries.values_mut() {
            if matches!(&entry.machine, Machine::Server { owner: Some(owner), .. } if owner == user) {
                entry.flow = flow.clone();
            }
        }
    }

    /// A connection is gone: every request waiting on it fails now instead of by timeout.
    pub fn handle_flow_closed(&mut self, flow: &Flow, now: Instant) {
        let mut ids: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.flow == *flow && matches!(entry.machine, Machine::Client { .. }))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            let Some(Entry { machine: Machine::Client { machine, .. }, .. }) = self.entries.get_mut(&id)
            else {
                continue;
            };
            let outputs = machine.on_transport_error();
            self.perform(id, outputs, now);
        }
    }

    /// An INVITE that was cancelled, or that changes a session, got no final response. One that did keeps absorbing what is repeated.
    fn give_up_cancelled(&mut self, id: u64) {
        let Some(Entry { machine: Machine::Client { machine, owner }, .. }) = self.entries.get(&id) else {
            return;
        };
        if matches!(machine.state(), ClientState::Calling | ClientState::Proceeding) {
            self.events.extend(failed(id, owner.clone(), machine.request(), Failure::Timeout));
            self.forget(id);
        }
    }

    fn handle_request(&mut self, request: Request, flow: &Flow, now: Instant) {
        let Some(key) = TransactionKey::from_request(&request.inner) else {
            self.counters.unmatched += 1;
            return;
        };
        let method = request.method();
        if let Some(id) = self.servers.get(&key).copied() {
            let Some(Entry { machine: Machine::Server { machine, .. }, .. }) = self.entries.get_mut(&id)
            else {
                return;
            };
            if method != Method::Ack {
                self.counters.request_retransmissions_received += 1;
            }
            let outputs = machine.on_request(&request.inner);
            self.perform(id, outputs, now);
            return;
        }
        if method == Method::Ack {
            self.events.push_back(Event::Ack { flow: flow.clone(), request });
            return;
        }
        let reply_flow = reply_flow(&request, flow);
        // The last places are for those with whom there are calls: whoever else there is must not keep a BYE away.
        let kept_free = if request.to().tag().is_some() || method == Method::Cancel {
            0
        } else {
            self.config.servers_max / SHARE_OF_CALLS
        };
        if self.servers.len() >= self.config.servers_max - kept_free {
            self.refuse_full(&request, reply_flow);
            return;
        }
        let (machine, outputs) =
            ServerTransaction::new(request.inner.clone(), reliability(flow), self.config.timers.to_sip());
        let id = self.insert(Machine::Server { machine, owner: None, to_tag: None }, key.clone(), reply_flow);
        self.servers.insert(key, id);
        // The machine hands the request back; it is told below with what belongs to it.
        let timers = outputs.into_iter().filter(|output| !matches!(output, Output::ToTu(_))).collect();
        self.perform(id, timers, now);
        match method {
            Method::Cancel => self.handle_cancel(ServerTx(id), request, now),
            Method::Invite => {
                self.events.push_back(Event::Request { tx: ServerTx(id), flow: flow.clone(), request });
            }
            _ => {
                // RFC 4320 section 4.2: after timer F has fired over there, no answer is of use.
                let at = now + self.config.timers.timeout();
                self.arm(id, schedule::Timer::Abandon, at);
                self.events.push_back(Event::Request { tx: ServerTx(id), flow: flow.clone(), request });
            }
        }
    }

    /// RFC 3261 section 9.2.
    fn handle_cancel(&mut self, tx: ServerTx, cancel: Request, now: Instant) {
        let invite = TransactionKey::for_cancelled_invite(&cancel.inner)
            .and_then(|key| self.servers.get(&key).copied())
            .and_then(|id| self.entries.get(&id).map(|entry| (id, entry)));
        let found = match invite {
            Some((id, Entry { machine: Machine::Server { owner, to_tag, .. }, .. })) => {
                Some((id, owner.clone(), to_tag.clone()))
            }
            _ => None,
        };
        let Some((id, owner, to_tag)) = found else {
            self.counters.unmatched += 1;
            let tag = self.tokens.tag();
            let response = ResponseBuilder::new(&cancel, Status::NO_SUCH_TRANSACTION, &tag).build();
            return self.answer_statelessly(tx, &response);
        };
        // The To tag of both answers should be the same.
        let tag = to_tag.map_or_else(|| self.tokens.tag(), String::from);
        self.respond(tx, ResponseBuilder::new(&cancel, Status::OK, &tag).build(), now);
        self.events.push_back(Event::Cancelled { invite: ServerTx(id), owner, cancel });
    }

    fn refuse_full(&mut self, request: &Request, flow: Flow) {
        self.counters.refused_full += 1;
        let cause = sidetone_model::termination::Cause::NoCapacity;
        let status = Status::new(cause.sip_status()).unwrap_or(Status::SERVICE_UNAVAILABLE);
        let tag = self.tokens.tag();
        let response = ResponseBuilder::new(request, status, &tag)
            .header_opt("Retry-After", cause.retry_after_s().map(|seconds| seconds.to_string()))
            .build();
        self.transmits.push_back(Transmit { flow, bytes: response.to_bytes() });
    }

    fn handle_response(&mut self, response: Response, now: Instant) {
        let id =
            TransactionKey::from_response(&response.inner).and_then(|key| self.clients.get(&key).copied());
        let machine = id.and_then(|id| self.entries.get_mut(&id)).map(|entry| &mut entry.machine);
        let (Some(id), Some(Machine::Client { machine, .. })) = (id, machine) else {
            self.counters.unmatched += 1;
            if response.status().is_success() && *response.cseq_method() == Method::Invite {
                self.events.push_back(Event::Stray { response });
            }
            return;
        };
        let outputs = machine.on_response(response.inner);
        self.perform(id, outputs, now);
    }

    fn insert(&mut self, machine: Machine<O>, key: TransactionKey, flow: Flow) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.entries.insert(id, Entry { machine, key, flow, timers: schedule::Armed::default() });
        id
    }

    fn arm(&mut self, id: u64, timer: schedule::Timer, at: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(before) = entry.timers.set(timer, at) {
            self.schedule.cancel(id, timer, before);
        }
        self.schedule.arm(id, timer, at);
    }

    fn perform(&mut self, id: u64, outputs: Vec<Output>, now: Instant) {
        for output in outputs {
            match output {
                Output::Send(message) => {
                    let Some(entry) = self.entries.get(&id) else { continue };
                    self.transmits
                        .push_back(Transmit { flow: entry.flow.clone(), bytes: message.to_bytes() });
                }
                Output::SetTimer { timer, after } => self.arm(id, schedule::Timer::Sip(timer), now + after),
                Output::ClearTimer(timer) => {
                    let timer = schedule::Timer::Sip(timer);
                    if let Some(at) = self.entries.get_mut(&id).and_then(|entry| entry.timers.fired(timer)) {
                        self.schedule.cancel(id, timer, at);
                    }
                }
                Output::ToTu(event) => self.tell(id, *event),
                Output::Terminated(_) => self.forget(id),
                // The library may grow outputs; none of today's is left out.
                _ => {}
            }
        }
    }

    fn tell(&mut self, id: u64, event: TuEvent) {
        let Some(entry) = self.entries.get(&id) else { return };
        match (&entry.machine, event) {
            (Machine::Client { owner, .. }, TuEvent::Response(response)) => {
                // It was a valid Response when it came in, so it still is one.
                if let Ok(response) = Response::from_sip(*response) {
                    self.events.push_back(Event::Response {
                        tx: ClientTx(id),
                        owner: owner.clone(),
                        response,
                    });
                }
            }
            (Machine::Client { owner, machine }, TuEvent::Timeout) => {
                let event = failed(id, owner.clone(), machine.request(), Failure::Timeout);
                self.events.extend(event);
            }
            (Machine::Client { owner, machine }, TuEvent::TransportError) => {
                let event = failed(id, owner.clone(), machine.request(), Failure::Transport);
                self.events.extend(event);
            }
            (Machine::Server { .. }, TuEvent::Ack(ack)) => {
                let flow = entry.flow.clone();
                if let Ok(request) = Request::from_sip(*ack) {
                    self.events.push_back(Event::Ack { flow, request });
                }
            }
            // Timer H: a refusal that nobody confirmed changes nothing for its user.
            _ => {}
        }
    }

    fn forget(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.schedule.cancel_all(id, &entry.timers);
        match entry.machine {
            Machine::Client { .. } => self.clients.remove(&entry.key),
            Machine::Server { .. } => self.servers.remove(&entry.key),
        };
    }
}

/// One in so many server transactions is for requests within dialogs.
const SHARE_OF_CALLS: usize = 8;
/// How many times 64 T1 a re-INVITE may take: with the usual T1 a little more than the three minutes of timer C.
const CHANGE_TIMEOUTS: u32 = 6;
