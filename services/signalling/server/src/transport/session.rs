//! One connection, from its first byte to its last, whatever it is dressed in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sidetone_model::party::Flow;
use sidetone_sip_core::message::Message;
use sidetone_sip_core::tokens::Tokens;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream as ClientTls;
use tokio_rustls::server::TlsStream as ServerTls;
use tokio_tungstenite::WebSocketStream;

use super::connections::Place;
use super::{Inbound, Shared, os_random, stream, websocket};

/// What a connection's tasks share.
pub(super) struct Session {
    pub(super) flow: Flow,
    pub(super) shared: Shared,
    pub(super) idle: Duration,
    /// The reader must not keep the queue open that the agent closes to end the connection.
    to_peer: mpsc::WeakSender<Bytes>,
}

/// A connection as it is dressed.
pub(super) enum Dressed {
    Plain(TcpStream),
    Tls(Box<ServerTls<TcpStream>>),
    /// One that we opened.
    OwnTls(Box<ClientTls<TcpStream>>),
    Ws(Box<WebSocketStream<TcpStream>>),
    Wss(Box<WebSocketStream<ServerTls<TcpStream>>>),
}

/// Serves a connection that was accepted.
pub(super) async fn serve(dressed: Dressed, flow: Flow, shared: Shared, idle: Duration, place: Place) {
    let (to_peer, queue) = mpsc::channel(QUEUE_MAX);
    let opened = Inbound::Opened { flow: flow.clone(), to_peer: to_peer.clone() };
    if shared.to_agent.send(opened).await.is_err() {
        return;
    }
    let session = Session { flow, shared, idle, to_peer: to_peer.downgrade() };
    drop(to_peer);
    session.run(dressed, queue).await;
    drop(place);
    session.closed().await;
}

impl Session {
    /// Of a connection that we open; the queue stands already.
    pub(super) fn own(flow: Flow, shared: Shared, idle: Duration, to_peer: mpsc::WeakSender<Bytes>) -> Self {
        Self { flow, shared, idle, to_peer }
    }

    /// Until either side ends it, or the process stops.
    pub(super) async fn run(&self, dressed: Dressed, queue: mpsc::Receiver<Bytes>) {
        let Ok(seed) = os_random() else { return };
        let tokens = Tokens::seeded(seed);
        let transport = [self.flow.transport.uri_parameter()];
        self.shared.telemetry.signalling.connections.with_label_values(&transport).inc();
        let conversation = async {
            match dressed {
                Dressed::Plain(stream) => stream::converse(stream, self, queue, tokens).await,
                Dressed::Tls(stream) => stream::converse(*stream, self, queue, tokens).await,
                Dressed::OwnTls(stream) => stream::converse(*stream, self, queue, tokens).await,
                Dressed::Ws(socket) => websocket::converse(*socket, self, queue, tokens).await,
                Dressed::Wss(socket) => websocket::converse(*socket, self, queue, tokens).await,
            }
        };
        tokio::select! {
            () = conversation => {}
            () = self.shared.stopping.cancelled() => {}
        }
        self.shared.telemetry.signalling.connections.with_label_values(&transport).dec();
    }

    /// Tells the agent that the connection is gone.
    pub(super) async fn closed(self) {
        let _agent_gone = self.shared.to_agent.send(Inbound::Closed { flow: self.flow }).await;
    }

    /// Hands a message to the agent; while the agent is busy, the peer waits. False when there is no agent any more.
    pub(super) async fn pass_on(&self, message: Message, bytes: Bytes) -> bool {
        let input = Inbound::Message { flow: self.flow.clone(), message: Box::new(message), bytes };
        self.shared.to_agent.send(input).await.is_ok()
    }

    /// Whether the peer has been banned since it connected.
    pub(super) fn is_shut_out(&self) -> bool {
        let shut_out = self.shared.known.is_shut_out(self.flow.remote, Instant::now());
        if shut_out {
            self.shared.bad.connection("banned");
        }
        shut_out
    }

    /// Answers without the agent. A peer that sends more than it reads answers to is not worth its connection.
    pub(super) fn answer(&self, bytes: Bytes) -> bool {
        self.to_peer.upgrade().is_some_and(|to_peer| to_peer.try_send(bytes).is_ok())
    }

    pub(super) fn count_dropped(&self, reason: &'static str) {
        self.shared.bad.message(reason);
    }

    /// Nothing came for as long as a connection may be silent: that is no fault.
    pub(super) fn count_idle(&self) {
        self.shared.telemetry.signalling.connections_closed.with_label_values(&["idle"]).inc();
    }
}

/// Messages that may wait for one peer to read.
pub(super) const QUEUE_MAX: usize = 128;
