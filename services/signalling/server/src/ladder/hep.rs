//! Messages to a HOMER server as HEPv3 ("The Hep/EEP Protocol", revision 3): a datagram for each, of chunks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sidetone_model::ids::CallId;
use sidetone_model::party::Transport;
use sidetone_telemetry::Telemetry;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::correlation::Correlations;
use super::{Record, Redactor, head, held, redact};
use crate::config::HepConfig;

/// The way to the task that sends.
#[derive(Debug, Clone)]
pub(super) struct Capture {
    queue: mpsc::Sender<Record>,
}

impl Capture {
    /// Hands a message over; when too many wait, it is lost and counted.
    pub(super) fn take(&self, record: &Record, telemetry: &Telemetry) {
        if self.queue.try_send(record.clone()).is_err() {
            telemetry.signalling.ladder_lost.with_label_values(&["hep"]).inc();
        }
    }
}

/// Starts the task that sends.
pub(super) fn start(
    config: HepConfig,
    (redactor, correlations): (Option<Arc<Redactor>>, Arc<Mutex<Correlations>>),
    telemetry: &Arc<Telemetry>,
    stopping: CancellationToken,
) -> Capture {
    let (queue, records) = mpsc::channel(QUEUE_MAX);
    let telemetry = Arc::clone(telemetry);
    let sender = Sender { config, redactor, correlations, telemetry, target: None, asked: None };
    tokio::spawn(async move {
        tokio::select! {
            () = sender.run(records) => {}
            () = stopping.cancelled() => {}
        }
    });
    Capture { queue }
}

struct Sender {
    config: HepConfig,
    /// None when numbers may be shown.
    redactor: Option<Arc<Redactor>>,
    correlations: Arc<Mutex<Correlations>>,
    telemetry: Arc<Telemetry>,
    target: Option<(SocketAddr, UdpSocket)>,
    asked: Option<Instant>,
}

impl Sender {
    async fn run(mut self, mut records: mpsc::Receiver<Record>) {
        // Messages of calls that are not known yet, since when.
        let mut waiting: VecDeque<(Instant, Record)> = VecDeque::new();
        loop {
            let due = waiting.front().map(|(since, _)| *since + WAIT_FOR_LEG);
            let wait = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into());
            tokio::select! {
                record = records.recv() => {
                    let Some(record) = record else { break };
                    waiting.push_back((Instant::now(), record));
                }
                () = wait, if due.is_some() => {}
            }
            while let Some((since, record)) = waiting.front() {
                let call = self.call_of(record);
                let in_vain = waiting.len() > WAITING_MAX
                    || since.elapsed() >= WAIT_FOR_LEG
                    || !head::is_of_calls(&record.bytes);
                if call.is_none() && !in_vain {
                    break;
                }
                if let Some((_, record)) = waiting.pop_front() {
                    self.send(&record, call).await;
                }
            }
        }
    }

    fn call_of(&self, record: &Record) -> Option<CallId> {
        held(&self.correlations).of(head::read(&record.bytes).call_id)
    }

    async fn send(&mut self, record: &Record, call: Option<CallId>) {
        self.find().await;
        let payload = match &self.redactor {
            Some(redactor) => redactor.redact(&record.bytes, false),
            None => redact::without_secrets(&record.bytes),
        };
        let config = &self.config;
        let datagram = encode(record, &payload, call, config.capture_id, config.password.as_deref());
        let sent = match &self.target {
            Some((address, socket)) => socket.send_to(&datagram, address).await.is_ok(),
            None => false,
        };
        if !sent {
            self.telemetry.signalling.ladder_lost.with_label_values(&["hep"]).inc();
        }
    }

    /// Looks the name up again from time to time: the server may have moved.
    async fn find(&mut self) {
        let wait = if self.target.is_some() { LOOK_AGAIN } else { LOOK_SOON };
        if self.asked.is_some_and(|asked| asked.elapsed() < wait) {
            return;
        }
        self.asked = Some(Instant::now());
        let Some(name) = &self.config.address else { return };
        let Ok(mut found) = tokio::net::lookup_host(name).await else { return };
        let Some(address) = found.next() else { return };
        if self.target.as_ref().is_none_or(|(known, _)| *known != address) {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            self.target = UdpSocket::bind(any).await.ok().map(|socket| (address, socket));
        }
    }
}

/// One message as a HEPv3 datagram.
fn encode(
    record: &Record,
    payload: &[u8],
    call: Option<CallId>,
    capture_id: u32,
    password: Option<&str>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 200);
    out.extend_from_slice(b"HEP3\0\0");
    let (from, to) = match record.received {
        true => (record.flow.remote, record.flow.local),
        false => (record.flow.local, record.flow.remote),
    };
    let family = if from.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 };
    chunk(&mut out, 1, &[family]);
    chunk(&mut out, 2, &[if record.flow.transport == Transport::Udp { PROTOCOL_UDP } else { PROTOCOL_TCP }]);
    address(&mut out, from, 3, 5);
    address(&mut out, to, 4, 6);
    chunk(&mut out, 7, &from.port().to_be_bytes());
    chunk(&mut out, 8, &to.port().to_be_bytes());
    chunk(&mut out, 9, &((record.at_us / 1_000_000) as u32).to_be_bytes());
    chunk(&mut out, 10, &((record.at_us % 1_000_000) as u32).to_be_bytes());
    chunk(&mut out, 11, &[PROTOCOL_TYPE_SIP]);
    chunk(&mut out, 12, &capture_id.to_be_bytes());
    if let Some(password) = password {
        chunk(&mut out, 14, password.as_bytes());
    }
    // The "internal correlation id".
    if let Some(call) = call {
        chunk(&mut out, 17, call.to_string().as_bytes());
    }
    // A message that would make the datagram too long is cut: its head is what matters.
    let room = DATAGRAM_MAX.saturating_sub(out.len() + CHUNK_HEAD);
    chunk(&mut out, 15, &payload[..payload.len().min(room)]);
    let length = out.len() as u16;
    out[4..6].copy_from_slice(&length.to_be_bytes());
    out
}

fn address(out: &mut Vec<u8>, address: SocketAddr, v4: u16, v6: u16) {
    match address {
        SocketAddr::V4(address) => chunk(out, v4, &address.ip().octets()),
        SocketAddr::V6(address) => chunk(out, v6, &address.ip().octets()),
    }
}

/// Vendor 0 (generic), type, length with this head, value.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&((value.len() + CHUNK_HEAD) as u16).to_be_bytes());
    out.extend_from_slice(value);
}

const CHUNK_HEAD: usize = 6;
const DATAGRAM_MAX: usize = 65_000;
const QUEUE_MAX: usize = 4096;
/// How long what came before there was a leg waits for it: the phone answers its challenge, and the directory is asked.
const WAIT_FOR_LEG: Duration = Duration::from_secs(1);
const WAITING_MAX: usize = 1024;
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const LOOK_SOON: Duration = Duration::from_secs(1);
// Values of the chunks "IP protocol family" (AF_INET, AF_INET6 as HEP numbers them), "IP protocol ID" and "protocol type".
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_TYPE_SIP: u8 = 1;
