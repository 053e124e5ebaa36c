//! Listeners for connections: accepting, counting, and the handshakes of TLS and WebSocket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sidetone_model::party::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connections::Connections;
use super::session::{self, Dressed};
use super::tls::Identities;
use super::{Shared, websocket};
use crate::config::ListenerConfig;

/// What every listener for connections is given.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) shared: Shared,
    pub(super) connections: Connections,
    pub(super) identities: Option<Arc<Identities>>,
    pub(super) origins: Arc<[String]>,
}

/// Binds a listener and accepts connections until the process stops.
pub(super) fn open(config: &ListenerConfig, door: Door) -> io::Result<SocketAddr> {
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
    tokio::spawn(accept(listener, config.transport.into(), local, door));
    Ok(local)
}

async fn accept(listener: TcpListener, transport: Transport, local: SocketAddr, door: Door) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.shared.stopping.cancelled() => return,
            () = door.shared.to_agent.closed() => return,
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
        if door.shared.known.is_shut_out(remote, Instant::now()) {
            door.shared.bad.connection("banned");
            continue;
        }
        match door.connections.take(remote.ip()) {
            Ok(place) => {
                let flow = Flow { transport, local, remote };
                let door = door.clone();
                tokio::spawn(async move {
                    let idle = door.connections.idle;
                    let dressing = timeout(HANDSHAKE_TIMEOUT, door.dress(stream, transport));
                    match dressing.await.unwrap_or(Err("handshake_timeout")) {
                        Ok(dressed) => session::serve(dressed, flow, door.shared, idle, place).await,
                        Err(reason) => door.shared.bad.connection(reason),
                    }
                });
            }
            Err(limit) => door.shared.bad.connection(limit),
        }
    }
}

impl Door {
    async fn dress(&self, stream: TcpStream, transport: Transport) -> Result<Dressed, &'static str> {
        // Small messages that wait for each other: delaying them gains nothing.
        let _best_effort = stream.set_nodelay(true);
        Ok(match transport {
            Transport::Udp | Transport::Tcp => Dressed::Plain(stream),
            Transport::Tls => Dressed::Tls(Box::new(self.shake_hands(stream).await?)),
            Transport::Ws => {
                let socket = websocket::accept(stream, &self.origins).await;
                Dressed::Ws(Box::new(socket.map_err(|_| "websocket_handshake")?))
            }
            Transport::Wss => {
                let stream = self.shake_hands(stream).await?;
                let socket = websocket::accept(stream, &self.origins).await;
                Dressed::Wss(Box::new(socket.map_err(|_| "websocket_handshake")?))
            }
        })
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> Result<tokio_rustls::server::TlsStream<TcpStream>, &'static str> {
        let identities = self.identities.as_ref().ok_or("no_certificate")?;
        TlsAcceptor::from(identities.load_full()).accept(stream).await.map_err(|_| "tls_handshake")
    }
}

const ACCEPT_BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the handshakes of TLS and WebSocket together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
