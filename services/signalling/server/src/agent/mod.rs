//! One task that owns all protocol state: transactions, legs, nonces, and what is said to call control.
//!
//! Each turn takes one input, carries it through (`settle`) until nothing is left to do, and only then looks for the
//! next. What needs the directory leaves as a task and comes back as an input.

mod admission;
mod awaited;
mod by_flow;
mod caller_gone;
mod commands;
mod delayed;
mod durable;
mod handover;
mod legs;
mod lookup;
mod moved;
mod next_hop;
mod outbox;
mod outgoing;
mod pick_up;
mod referral;
mod registration;
mod repeated;
mod requests;
mod subscribe;
mod trunking;
mod upstream;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sidetone_directory::Directory;
use sidetone_model::ids::{BootId, IdSource, LegId, ReplicaId, TenantId};
use sidetone_model::party::Flow;
use sidetone_model::termination::{Cause, Termination};
use sidetone_runtime::lifecycle::Component;
use sidetone_sip_core::auth::Authenticator;
use sidetone_sip_core::message::Message;
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{Counters, ServerTx, Timers, Transactions};
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::defence::{Asked, Defence};
use crate::devices::Encryptions;
use crate::dialogs::{Dialogs, StoredDialog};
use crate::handover::{Carriers, FromNeighbour};
use crate::ladder::Ladder;
use crate::log_limit::LogLimit;
use crate::owner::LinkEvent;
use crate::service::Stats;
use crate::stir::Stir;
use crate::subscriptions::{Record, Records};
use crate::transport::{Inbound, Lent, Outputs};
use crate::trunks::{Reports, Table};
use admission::Pending;
use awaited::Awaited;
use caller_gone::CallersGone;
use delayed::Delayed;
use durable::Durable;
use legs::Legs;
use lookup::Finding;
use outgoing::Outgoing;
use registration::Held;
use requests::class;
use subscribe::Subscriptions;
use trunking::Trunking;
use upstream::{Said, Upstream};

/// What an agent is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) replica: ReplicaId,
    pub(crate) boot: BootId,
    pub(crate) ids: IdSource,
    pub(crate) tokens: Tokens,
    pub(crate) timers: Timers,
    pub(crate) transactions: Transactions<LegId>,
    pub(crate) authenticator: Authenticator,
    pub(crate) outputs: Outputs,
    pub(crate) lent: Lent,
    pub(crate) carriers: Carriers,
    pub(crate) defence: Defence,
    pub(crate) ladder: Ladder,
    pub(crate) stir: Arc<Stir>,
    pub(crate) dialogs: Dialogs,
    pub(crate) subscription_records: Records,
    pub(crate) table: watch::Receiver<Arc<Table>>,
    pub(crate) reports: Reports,
    pub(crate) directory: Directory,
    pub(crate) encryptions: watch::Receiver<Arc<Encryptions>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) drained: watch::Sender<bool>,
    pub(crate) ready: Component,
}

/// From where an agent gets its input.
pub(crate) struct Inputs {
    pub(crate) inbound: mpsc::Receiver<Inbound>,
    pub(crate) links: mpsc::Receiver<LinkEvent>,
    pub(crate) neighbours: mpsc::Receiver<FromNeighbour>,
    pub(crate) operators: mpsc::Receiver<Asked>,
    pub(crate) draining: CancellationToken,
    pub(crate) stopping: CancellationToken,
}

/// What a former life has left in the store.
pub(crate) struct Former {
    pub(crate) dialogs: Vec<(LegId, StoredDialog)>,
    pub(crate) subscriptions: Vec<(LegId, Record)>,
}

/// The protocol side of a replica.
pub(crate) struct Agent {
    parts: Parts,
    legs: Legs,
    upstream: Upstream,
    pending: HashMap<ServerTx, Pending>,
    /// The SIP domain under which a tenant's phones were last heard: the host of From on calls to them.
    domains: HashMap<TenantId, Box<str>>,
    delayed: Delayed,
    durable: Durable,
    subscriptions: Subscriptions,
    trunking: Trunking,
    outgoing: Outgoing,
    callers_gone: CallersGone,
    awaited: Awaited,
    /// What goes with each connection when it closes. Bounded by the number of connections.
    flows: HashMap<Flow, Vec<Held>>,
    findings: mpsc::Sender<Finding>,
    found: Option<mpsc::Receiver<Finding>>,
    draining: bool,
    /// What is worth a line of log now and then.
    said: LogLimit,
    /// The order to stop has come; then the task ends at the latest.
    stop_at: Option<Instant>,
    counted: Counters,
}

/// One turn's input.
enum Input {
    Network(Inbound),
    Link(LinkEvent),
    Neighbour(FromNeighbour),
    Found(Finding),
    Operator(Asked),
    /// A timer, or room on the stream to the owner.
    Wake,
    Drain,
    Stop,
}

impl Agent {
    pub(crate) fn new(parts: Parts) -> Self {
        let (findings, found) = mpsc::channel(FINDINGS_MAX);
        Self {
            delayed: Delayed::default(),
            durable: Durable::new(parts.dialogs.clone()),
            subscriptions: Subscriptions::default(),
            trunking: Trunking::new(parts.table.clone(), Arc::clone(&parts.reports)),
            parts,
            legs: Legs::default(),
            upstream: Upstream::default(),
            pending: HashMap::new(),
            domains: HashMap::new(),
            outgoing: Outgoing::default(),
            callers_gone: CallersGone::default(),
            awaited: Awaited::default(),
            flows: HashMap::new(),
            findings,
            found: Some(found),
            draining: false,
            said: LogLimit::default(),
            stop_at: None,
            counted: Counters::default(),
        }
    }

    /// Runs until the order to stop has been carried out.
    pub(crate) async fn run(mut self, mut inputs: Inputs, former: Former) {
        let Some(mut found) = self.found.take() else { return };
        self.restore(former.dialogs, Instant::now());
        self.restore_subscriptions(former.subscriptions, Instant::now());
        loop {
            let now = Instant::now();
            self.settle(now);
            if self.stop_at.is_some_and(|at| now >= at || self.legs.is_empty()) {
                self.parts.subscription_records.finish().await;
                return self.durable.finish().await;
            }
            let input = self.next_input(&mut inputs, &mut found).await;
            self.handle(input, Instant::now());
        }
    }

    async fn next_input(&mut self, inputs: &mut Inputs, found: &mut mpsc::Receiver<Finding>) -> Input {
        let wake_at = self.next_timeout().unwrap_or_else(|| Instant::now() + IDLE_MAX);
        let congested = self.upstream.congested();
        let room = async {
            match &congested {
                // An error is noticed by who sends.
                Some(to_owner) => drop(to_owner.reserve().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = inputs.links.recv(), if !self.upstream.is_overfull() => Input::Link(event),
            Some(finding) = found.recv() => Input::Found(finding),
            Some(inbound) = inputs.inbound.recv() => Input::Network(inbound),
            Some(input) = inputs.neighbours.recv() => Input::Neighbour(input),
            Some(asked) = inputs.operators.recv() => Input::Operator(asked),
            () = room => Input::Wake,
            () = tokio::time::sleep_until(wake_at.into()) => Input::Wake,
            () = inputs.draining.cancelled(), if !self.draining => Input::Drain,
            () = inputs.stopping.cancelled(), if self.stop_at.is_none() => Input::Stop,
        }
    }

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Network(Inbound::Opened { flow, to_peer }) => self.parts.outputs.opened(flow, to_peer),
            Input::Network(Inbound::Closed { flow }) => {
                self.parts.outputs.closed(&flow);
                self.tell_closed(&flow, now);
                self.forget_flow(&flow);
                self.follow_from(&flow);
                self.note_callers_gone(&flow, now);
                self.parts.transactions.handle_flow_closed(&flow, now);
            }
            Input::Network(Inbound::Message { flow, message, bytes }) => {
                self.parts.lent.give_back(&flow);
                if self.admits(&flow, &message, &bytes, now) && !self.hands_over(&flow, &message, &bytes, now)
                {
                    self.take_message(&flow, *message, bytes, now);
                }
            }
            Input::Neighbour(input) => self.handle_neighbour(input, now),
            Input::Link(LinkEvent::Up(to_owner)) => self.handle_link_up(to_owner),
            Input::Link(LinkEvent::Message(message)) => self.handle_owner_message(message, now),
            Input::Link(LinkEvent::Down) => self.handle_link_down(),
            Input::Found(finding) => self.handle_finding(finding, now),
            Input::Operator(asked) => self.parts.defence.answer(asked, now),
            Input::Wake => self.handle_timeouts(now),
            Input::Drain => self.handle_drain(),
            Input::Stop => self.handle_stop(now),
        }
    }

    fn admits(&mut self, flow: &Flow, message: &Message, bytes: &Bytes, now: Instant) -> bool {
        self.count_message(message);
        if self.trunking.is_source(flow.remote.ip()) {
            self.parts.defence.carrier(flow, now);
        }
        match message {
            Message::Request(request) => self.parts.defence.admits(request, flow, bytes.len(), now),
            Message::Response(_) => true,
        }
    }

    fn take_message(&mut self, flow: &Flow, message: Message, bytes: Bytes, now: Instant) {
        if self.parts.ladder.is_on() {
            self.parts.ladder.heard(flow, bytes);
        }
        self.parts.transactions.handle_message(message, flow, now);
    }

    /// Carries everything through that the last input has set going.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(event) = self.parts.transactions.poll_event() {
                self.handle_event(event, now);
            } else if let Some(transmit) = self.parts.transactions.poll_transmit() {
                let answer = transmit.bytes.starts_with(b"SIP/");
                if !answer {
                    let sent = &self.parts.telemetry.signalling.requests_sent;
                    sent.with_label_values(&[method_in(&transmit.bytes)]).inc();
                }
                if answer && !self.parts.defence.may_answer(&transmit.flow, transmit.bytes.len(), now) {
                    continue;
                }
                self.parts.ladder.said(&transmit.flow, &transmit.bytes);
                if self.send_by_neighbour(&transmit.flow, &transmit.bytes, now) {
                    continue;
                }
                if self.parts.outputs.send(&transmit.flow, transmit.bytes).is_err() {
                    self.parts.transactions.handle_flow_closed(&transmit.flow, now);
                }
            } else {
                break;
            }
        }
        self.flush_upstream(now);
        self.publish();
    }

    fn next_timeout(&self) -> Option<Instant> {
        let transactions = self.parts.transactions.poll_timeout().map(|(at, _)| at);
        let own = [self.delayed.next(), self.trunking.next(), self.subscriptions.next(), self.stop_at];
        let gone = [self.callers_gone.next(), self.awaited.next()];
        [transactions, self.legs.next_timeout(), self.parts.lent.next()]
            .into_iter()
            .chain(own)
            .chain(gone)
            .flatten()
            .min()
    }

    fn handle_timeouts(&mut self, now: Instant) {
        self.parts.transactions.handle_timeout(now);
        self.tend_trunks(now);
        self.leave_silent_carriers(now);
        self.tend_subscriptions(now);
        self.tend_lent(now);
        self.end_calls_of_callers_gone(now);
        self.tend_awaited(now);
        while let Some((tx, response)) = self.delayed.pop_due(now) {
            self.respond(tx, response, now);
        }
        while let Some(leg) = self.legs.pop_due(now) {
            self.with_leg(leg, now, |leg| leg.handle_timeout(now));
        }
    }

    fn handle_drain(&mut self) {
        self.draining = true;
        self.parts.stats.draining.store(true, Ordering::Relaxed);
        self.upstream.say(Said::Draining);
        tracing::info!(legs = self.legs.live(), "draining: no new calls");
    }

    /// Ends every leg, and gives the goodbyes a moment.
    fn handle_stop(&mut self, now: Instant) {
        self.draining = true;
        self.stop_at = Some(now + STOP_GRACE);
        for leg in self.legs.live_ids() {
            self.end_leg(leg, Termination::new(Cause::Shutdown), now);
        }
    }

    fn publish(&mut self) {
        let instruments = &self.parts.telemetry.signalling;
        let (live, unacknowledged) = (self.legs.live(), self.legs.unacknowledged());
        instruments.legs.set(live as i64);
        instruments.unacknowledged.set(unacknowledged as i64);
        instruments.owner_attached.set(i64::from(self.upstream.is_attached()));
        self.parts.stats.legs.store(live as u64, Ordering::Relaxed);
        self.parts.stats.unacknowledged.store(unacknowledged as u64, Ordering::Relaxed);
        let (seen, told) = (self.parts.transactions.counters(), self.counted);
        if seen != told {
            let count =
                |event: &str, more: u64| instruments.transactions.with_label_values(&[event]).inc_by(more);
            count("refused_full", seen.refused_full - told.refused_full);
            count("unmatched", seen.unmatched - told.unmatched);
            let received = seen.request_retransmissions_received - told.request_retransmissions_received;
            count("request_retransmission_received", received);
            count("retransmission_sent", seen.retransmissions_sent - told.retransmissions_sent);
            count("abandoned", seen.abandoned - told.abandoned);
            self.counted = seen;
        }
        if self.draining && self.legs.is_empty() && self.pending.is_empty() {
            self.parts.drained.send_replace(true);
        }
    }

    fn count_message(&self, message: &Message) {
        let (method, kind) = match message {
            Message::Request(request) => (request.method(), "request"),
            Message::Response(response) => {
                let received = &self.parts.telemetry.signalling.responses_received;
                received.with_label_values(&[class(response)]).inc();
                (response.cseq_method().clone(), "response")
            }
        };
        // What others invent is no label.
        let label = match &method {
            sidetone_sip_core::message::Method::Other(_) => "other",
            known => known.as_str(),
        };
        self.parts.telemetry.signalling.messages_received.with_label_values(&[label, kind]).inc();
    }
}

/// The method of a request of ours, as a label.
fn method_in(bytes: &[u8]) -> &'static str {
    let is =
        |method: &&&str| bytes.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" "));
    METHODS_SENT.iter().find(is).copied().unwrap_or("other")
}

/// The methods of which requests of ours are.
const METHODS_SENT: [&str; 11] =
    ["INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"];
/// How long the task sleeps when nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(3600);
/// What BYEs and their answers may take when the process stops.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Answers of the directory that may wait; then the tasks that bring them wait.
const FINDINGS_MAX: usize = 1024;
