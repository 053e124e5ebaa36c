//! Connections that we open: to carriers, and for requests that are too large for a datagram (RFC 3261, section 18.1.1).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use sidetone_model::party::{Flow, Transport};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connections::Connections;
use super::session::{Dressed, QUEUE_MAX, Session};
use super::tls::OwnSide;
use super::{Inbound, Shared};

/// Opens connections.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) shared: Shared,
    pub(super) connections: Connections,
    pub(super) tls: Arc<OwnSide>,
}

impl Dialler {
    /// Begins to connect; what is sent meanwhile waits. When it fails, the agent hears that the flow is closed. `name` is
    /// what the peer's certificate must be good for.
    pub(super) fn dial(&self, flow: Flow, name: Option<&str>) -> mpsc::Sender<Bytes> {
        let (to_peer, queue) = mpsc::channel(QUEUE_MAX);
        let host = name.map_or_else(|| flow.remote.ip().to_string(), str::to_owned);
        tokio::spawn(self.clone().run(flow, host, to_peer.downgrade(), queue));
        to_peer
    }

    async fn run(
        self,
        flow: Flow,
        host: String,
        to_peer: mpsc::WeakSender<Bytes>,
        queue: mpsc::Receiver<Bytes>,
    ) {
        let closed = self.shared.telemetry.signalling.connections_closed.clone();
        let place = match self.connections.take(flow.remote.ip()) {
            Ok(place) => place,
            Err(limit) => {
                closed.with_label_values(&[limit]).inc();
                let _agent_gone = self.shared.to_agent.send(Inbound::Closed { flow }).await;
                return;
            }
        };
        let connecting = timeout(CONNECT_TIMEOUT, self.connect(&flow, host));
        match connecting.await.unwrap_or(Err("connect_timeout")) {
            Ok(dressed) => {
                let session = Session::own(flow, self.shared, self.connections.idle, to_peer);
                session.run(dressed, queue).await;
                drop(place);
                session.closed().await;
            }
            Err(reason) => {
                closed.with_label_values(&[reason]).inc();
                let _agent_gone = self.shared.to_agent.send(Inbound::Closed { flow }).await;
            }
        }
    }

    async fn connect(&self, flow: &Flow, host: String) -> Result<Dressed, &'static str> {
        let stream = TcpStream::connect(flow.remote).await.map_err(|_| "connect_refused")?;
        let _best_effort = stream.set_nodelay(true);
        match flow.transport {
            Transport::Tcp => Ok(Dressed::Plain(stream)),
            Transport::Tls => {
                let name = ServerName::try_from(host).map_err(|_| "bad_server_name")?;
                let connector = TlsConnector::from(self.tls.load_full());
                let stream = connector.connect(name, stream).await.map_err(|_| "tls_handshake")?;
                Ok(Dressed::OwnTls(Box::new(stream)))
            }
            // Nobody is called over a WebSocket that it did not open (RFC 7118, section 5).
            Transport::Udp | Transport::Ws | Transport::Wss => Err("not_dialled"),
        }
    }
}

/// Long enough for a carrier far away; short enough that the next route is tried before the caller gives up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
