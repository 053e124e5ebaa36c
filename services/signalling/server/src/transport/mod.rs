//! Sockets and connections: bytes from and to phones, and nothing of what they mean.
//!
//! Each socket and connection has a task that reads and cuts messages, and hands them to the agent over one bounded
//! queue. A datagram that finds it full is dropped (its sender repeats it) and counted; a connection waits, which
//! pushes back on its peer. In the other direction a datagram that the kernel does not take at once is dropped and
//! counted; a connection whose peer does not read what stands in its queue is closed.

mod accept;
mod connections;
mod dial;
mod known_peers;
mod lent;
mod session;
mod stream;
mod stun;
mod tls;
mod udp;
mod websocket;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{Limits, Message, ParseFailure};
use sidetone_sip_core::tokens::Tokens;
use sidetone_telemetry::Telemetry;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bad_input::BadInput;
use crate::config::{Config, ListenerConfig};

use accept::Door;
use connections::Connections;
use dial::Dialler;
use tls::TlsError;

pub(crate) use known_peers::{KnownPeers, Shown, network};
pub(crate) use lent::Lent;

/// What comes from the network.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A connection was accepted; `to_peer` writes to it.
    Opened { flow: Flow, to_peer: mpsc::Sender<Bytes> },
    /// A message, and what it was on the way.
    Message { flow: Flow, message: Box<Message>, bytes: Bytes },
    /// The connection is gone.
    Closed { flow: Flow },
}

/// Messages that may wait for the agent.
pub(crate) const INBOUND_MAX: usize = 4096;

/// A listener that is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundListener {
    /// Its transport.
    pub transport: Transport,
    /// The address bound.
    pub local: SocketAddr,
    /// The address by which phones reach it.
    pub advertised: SocketAddr,
}

/// The ways out, owned by the agent.
pub(crate) struct Outputs {
    listeners: Vec<BoundListener>,
    sockets: Vec<(SocketAddr, Arc<UdpSocket>)>,
    connections: HashMap<Flow, mpsc::Sender<Bytes>>,
    dialler: Dialler,
    telemetry: Arc<Telemetry>,
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outputs({} connections)", self.connections.len())
    }
}

/// The flow cannot carry anything any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowGone;

/// What the tasks of all sockets share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) to_agent: mpsc::Sender<Inbound>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) stopping: CancellationToken,
    pub(crate) known: KnownPeers,
    pub(crate) bad: BadInput,
}

/// Binds every listener and starts its task.
pub(crate) fn open(config: &Config, shared: &Shared) -> Result<Outputs, OpenError> {
    let connections = Connections::new(config);
    let secure = config.listeners.iter().any(|l| Transport::from(l.transport).is_secure());
    let identities = match secure {
        true => Some(tls::identities(&config.tls, &shared.telemetry, &shared.stopping)?),
        false => None,
    };
    let dialler = Dialler {
        shared: shared.clone(),
        connections: connections.clone(),
        tls: tls::own_side(&config.tls, &shared.telemetry, &shared.stopping)?,
    };
    let mut outputs = Outputs {
        listeners: Vec::new(),
        sockets: Vec::new(),
        connections: HashMap::new(),
        dialler,
        telemetry: Arc::clone(&shared.telemetry),
    };
    let door = Door {
        shared: shared.clone(),
        connections,
        identities,
        origins: config.websocket_origins.clone().into(),
    };
    for listener in &config.listeners {
        let bound = match Transport::from(listener.transport) {
            Transport::Udp => outputs.open_udp(listener, shared),
            _ => accept::open(listener, door.clone()),
        };
        let local = bound.map_err(|source| OpenError::Bind { listener: listener.clone(), source })?;
        let mut advertised = listener.advertised.unwrap_or(local);
        if advertised.port() == 0 {
            advertised.set_port(local.port());
        }
        let transport = listener.transport.into();
        outputs.listeners.push(BoundListener { transport, local, advertised });
    }
    Ok(outputs)
}

/// The listeners could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// One could not be bound.
    #[error("signalling.listeners: cannot listen at {} ({:?})", listener.bind, listener.transport)]
    Bind {
        /// Which.
        listener: ListenerConfig,
        /// Why.
        source: io::Error,
    },
    /// The certificates are of no use.
    #[error("signalling.tls")]
    Tls(#[from] TlsError),
}

impl Outputs {
    fn open_udp(&mut self, listener: &ListenerConfig, shared: &Shared) -> io::Result<SocketAddr> {
        let socket = udp::open(listener, shared)?;
        let local = socket.local_addr()?;
        self.sockets.push((local, socket));
        Ok(local)
    }

    /// Every listener, in the order of the configuration.
    pub(crate) fn listeners(&self) -> &[BoundListener] {
        &self.listeners
    }

    /// By which address phones reach us over a flow.
    pub(crate) fn advertised(&self, flow: &Flow) -> Option<SocketAddr> {
        let same = |l: &&BoundListener| l.transport == flow.transport;
        let exact = self.listeners.iter().filter(same).find(|l| l.local == flow.local);
        exact.or_else(|| self.listeners.iter().find(same)).map(|l| l.advertised)
    }

    /// Whether a connection stands.
    pub(crate) fn has_connection(&self, flow: &Flow) -> bool {
        self.connections.contains_key(flow)
    }

    /// Notes a new connection.
    pub(crate) fn opened(&mut self, flow: Flow, to_peer: mpsc::Sender<Bytes>) {
        self.connections.insert(flow, to_peer);
    }

    /// Forgets a connection.
    pub(crate) fn closed(&mut self, flow: &Flow) {
        self.connections.remove(flow);
    }

    /// Sends a message, now or never.
    pub(crate) fn send(&mut self, flow: &Flow, bytes: Bytes) -> Result<(), FlowGone> {
        match flow.transport {
            Transport::Udp => self.send_datagram(flow, &bytes),
            _ => self.send_on_connection(flow, bytes),
        }
    }

    /// Our end of flows to a peer over a transport: the first listener of that transport and address family.
    pub(crate) fn flow_to(&self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let fits = |l: &&BoundListener| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4();
        let local = self.listeners.iter().find(fits)?.local;
        Some(Flow { transport, local, remote })
    }

    /// Sees to it that there is a connection: the one there is, or a new one, over which what is sent waits until it
    /// stands. `name` is what the peer's certificate must be good for.
    pub(crate) fn connect(&mut self, flow: &Flow, name: Option<&str>) {
        if flow.transport.is_reliable() && !self.connections.contains_key(flow) {
            let to_peer = self.dialler.dial(flow.clone(), name);
            self.connections.insert(flow.clone(), to_peer);
        }
    }

    fn send_datagram(&self, flow: &Flow, bytes: &[u8]) -> Result<(), FlowGone> {
        let exact = self.sockets.iter().find(|(local, _)| *local == flow.local);
        // A binding made before a restart may name an address that is no longer ours.
        let same_family = || self.sockets.iter().find(|(local, _)| local.is_ipv4() == flow.remote.is_ipv4());
        let (_, socket) = exact.or_else(same_family).ok_or(FlowGone)?;
        if socket.try_send_to(bytes, flow.remote).is_err() {
            // The same to SIP as a datagram lost on the way: timers repeat what matters.
            self.telemetry.signalling.messages_dropped.with_label_values(&["send_failed"]).inc();
        }
        Ok(())
    }

    fn send_on_connection(&mut self, flow: &Flow, bytes: Bytes) -> Result<(), FlowGone> {
        let connection = self.connections.get(flow).ok_or(FlowGone)?;
        match connection.try_send(bytes) {
            Ok(()) => Ok(()),
            Err(error) => {
                let full = matches!(error, mpsc::error::TrySendError::Full(_));
                let reason = if full { "peer_does_not_read" } else { "connection_closed" };
                self.telemetry.signalling.messages_dropped.with_label_values(&[reason]).inc();
                // Without its sender the connection's task ends.
                self.connections.remove(flow);
                Err(FlowGone)
            }
        }
    }
}

/// What a reader makes of bytes that are no message: the answer its sender is owed, if any. Counts it.
fn refusal(failure: &ParseFailure, source: SocketAddr, tokens: &mut Tokens, bad: &BadInput) -> Option<Bytes> {
    bad.message(failure.reason());
    failure.response(source, &tokens.tag())
}

/// Messages larger than a datagram can be are refused on connections, too.
pub(crate) fn limits() -> Limits {
    Limits::default()
}

/// Random words from the system's source.
pub(crate) fn os_random<const N: usize>() -> io::Result<[u8; N]> {
    use rand::TryRng as _;
    let mut bytes = [0; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
