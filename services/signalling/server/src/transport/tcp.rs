//! Connections. Requests to a device go over the very connection on which it registered (RFC 5626).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{Framed, Framer};
use sidetone_sip_core::tokens::Tokens;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Inbound, Shared, limits, os_random, refusal};
use crate::config::{Config, ListenerConfig};

/// How many connections there are, over all listeners.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    counts: Arc<Mutex<Counts>>,
    total_max: usize,
    per_source_max: usize,
    idle: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One place taken among the connections; given back when dropped.
struct Place {
    counts: Arc<Mutex<Counts>>,
    source: IpAddr,
}

impl Connections {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            counts: Arc::default(),
            total_max: config.connections_max,
            per_source_max: config.connections_per_source_max,
            idle: config.connection_idle(),
        }
    }

    fn take(&self, source: IpAddr) -> Result<Place, &'static str> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.total_max {
            return Err("connections");
        }
        let of_source = counts.by_source.entry(source).or_default();
        if *of_source >= self.per_source_max {
            return Err("connections_of_source");
        }
        *of_source += 1;
        counts.total += 1;
        Ok(Place { counts: Arc::clone(&self.counts), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(of_source) = counts.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                counts.by_source.remove(&self.source);
            }
        }
    }
}

/// Binds a listener and accepts connections until the process stops.
pub(super) async fn open(
    config: &ListenerConfig,
    shared: &Shared,
    connections: &Connections,
) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(config.bind), Type::STREAM, Some(Protocol::TCP))?;
    if config.bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&config.bind.into())?;
    socket.listen(ACCEPT_BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    tokio::spawn(accept(listener, local, shared.clone(), connections.clone()));
    Ok(local)
}

async fn accept(listener: TcpListener, local: SocketAddr, shared: Shared, connections: Connections) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopping.cancelled() => return,
            () = shared.to_agent.closed() => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles, most likely: trying again at once would only burn the processor.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match connections.take(remote.ip()) {
            Ok(place) => {
                let flow = Flow { transport: Transport::Tcp, local, remote };
                tokio::spawn(serve(stream, flow, shared.clone(), connections.idle, place));
            }
            Err(limit) => shared.telemetry.signalling.refused.with_label_values(&[limit]).inc(),
        }
    }
}

async fn serve(stream: TcpStream, flow: Flow, shared: Shared, idle: Duration, place: Place) {
    let Ok(seed) = os_random() else { return };
    // Small messages that wait for each other: delaying them gains nothing.
    let _best_effort = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (to_peer, queue) = mpsc::channel(QUEUE_MAX);
    let opened = Inbound::Opened { flow: flow.clone(), to_peer: to_peer.clone() };
    if shared.to_agent.send(opened).await.is_err() {
        return;
    }
    shared.telemetry.signalling.connections.inc();
    // The reader must not keep the queue open that the agent closes to end the connection.
    let mut reader =
        Reader { read, flow: flow.clone(), shared: shared.clone(), idle, to_peer: to_peer.downgrade() };
    drop(to_peer);
    tokio::select! {
        () = reader.run(Tokens::seeded(seed)) => {}
        () = write_all(write, queue) => {}
        () = shared.stopping.cancelled() => {}
    }
    shared.telemetry.signalling.connections.dec();
    drop(place);
    let _agent_gone = shared.to_agent.send(Inbound::Closed { flow }).await;
}

async fn write_all(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = queue.recv().await {
        match timeout(WRITE_TIMEOUT, write.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

struct Reader {
    read: OwnedReadHalf,
    flow: Flow,
    shared: Shared,
    idle: Duration,
    to_peer: mpsc::WeakSender<Bytes>,
}

impl Reader {
    async fn run(&mut self, mut tokens: Tokens) {
        let mut framer = Framer::new(limits());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            // An unfinished message must go on soon; otherwise it only holds memory.
            let patience = if framer.pending_bytes() > 0 { UNFINISHED_TIMEOUT } else { self.idle };
            let length = match timeout(patience, self.read.read(&mut buffer)).await {
                Ok(Ok(length)) if length > 0 => length,
                _ => return,
            };
            framer.push(&buffer[..length]);
            if !self.handle(&mut framer, &mut tokens).await {
                return;
            }
        }
    }

    /// Takes out what is complete; false when the connection is to be closed.
    async fn handle(&self, framer: &mut Framer, tokens: &mut Tokens) -> bool {
        loop {
            match framer.poll_framed() {
                Ok(None) => return true,
                Ok(Some(Framed::Message(message))) => {
                    let input = Inbound::Message { flow: self.flow.clone(), message: Box::new(message) };
                    if self.shared.to_agent.send(input).await.is_err() {
                        return false;
                    }
                }
                Ok(Some(Framed::Ping)) => {
                    if !self.answer(Bytes::from_static(Framer::PONG)) {
                        return false;
                    }
                }
                Ok(Some(Framed::Failure(failure))) => {
                    let answer = refusal(&failure, self.flow.remote, tokens, &self.shared.telemetry);
                    if !answer.is_none_or(|answer| self.answer(answer)) {
                        return false;
                    }
                }
                Err(error) => {
                    self.shared
                        .telemetry
                        .signalling
                        .messages_dropped
                        .with_label_values(&[error.label()])
                        .inc();
                    return false;
                }
            }
        }
    }

    /// A peer that sends more than it reads answers to is not worth its connection.
    fn answer(&self, bytes: Bytes) -> bool {
        self.to_peer.upgrade().is_some_and(|to_peer| to_peer.try_send(bytes).is_ok())
    }
}

const ACCEPT_BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Messages that may wait for one peer to read.
const QUEUE_MAX: usize = 128;
const READ_BYTES: usize = 8 * 1024;
const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
