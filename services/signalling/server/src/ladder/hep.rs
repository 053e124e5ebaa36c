//! Messages to a HOMER server as HEPv3 ("The Hep/EEP Protocol", revision 3): a datagram for each, of chunks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sidetone_model::party::Transport;
use sidetone_telemetry::Telemetry;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Record, Redactor, redact};
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
    redactor: Option<Arc<Redactor>>,
    telemetry: &Arc<Telemetry>,
    stopping: CancellationToken,
) -> Capture {
    let (queue, records) = mpsc::channel(QUEUE_MAX);
    let sender = Sender { config, redactor, telemetry: Arc::clone(telemetry), target: None, asked: None };
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
    telemetry: Arc<Telemetry>,
    target: Option<(SocketAddr, UdpSocket)>,
    asked: Option<Instant>,
}

impl Sender {
    async fn run(mut self, mut records: mpsc::Receiver<Record>) {
        while let Some(record) = records.recv().await {
            self.find().await;
            let payload = match &self.redactor {
                Some(redactor) => redactor.redact(&record.bytes, false),
                None => redact::without_secrets(&record.bytes),
            };
            let datagram = encode(&record, &payload, self.config.capture_id, self.config.password.as_deref());
            let sent = match &self.target {
                Some((address, socket)) => socket.send_to(&datagram, address).await.is_ok(),
                None => false,
            };
            if !sent {
                self.telemetry.signalling.ladder_lost.with_label_values(&["hep"]).inc();
            }
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
pub(super) fn encode(record: &Record, payload: &[u8], capture_id: u32, password: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 160);
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
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const LOOK_SOON: Duration = Duration::from_secs(1);
// Values of the chunks "IP protocol family" (AF_INET, AF_INET6 as HEP numbers them), "IP protocol ID" and "protocol type".
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_TYPE_SIP: u8 = 1;
