//! Datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{DropReason, ParseFailure, parse_datagram};
use sidetone_sip_core::tokens::Tokens;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;

use super::{Inbound, Shared, limits, os_random, refusal, stun};
use crate::config::ListenerConfig;

/// Binds a socket and reads from it until the process stops.
pub(super) fn open(listener: &ListenerConfig, shared: &Shared) -> io::Result<Arc<UdpSocket>> {
    let socket = Socket::new(Domain::for_address(listener.bind), Type::DGRAM, Some(Protocol::UDP))?;
    if listener.bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel grants what its own limit allows.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&listener.bind.into())?;
    let socket = Arc::new(UdpSocket::from_std(socket.into())?);
    let local = socket.local_addr()?;
    let tokens = Tokens::seeded(os_random()?);
    let reader = Reader { socket: Arc::clone(&socket), local, shared: shared.clone(), tokens };
    tokio::spawn(reader.run());
    Ok(socket)
}

struct Reader {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    shared: Shared,
    tokens: Tokens,
}

impl Reader {
    async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let stopping = self.shared.stopping.clone();
        loop {
            let received = tokio::select! {
                received = self.socket.recv_from(&mut buffer) => received,
                () = stopping.cancelled() => return,
                () = self.shared.to_agent.closed() => return,
            };
            match received {
                Ok((length, remote)) => self.handle(&buffer[..length], remote),
                // An ICMP error about a datagram sent earlier; the socket is as good as before.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    fn handle(&mut self, datagram: &[u8], remote: SocketAddr) {
        let bad = &self.shared.bad;
        if stun::is_stun(datagram) {
            return match stun::answer(datagram, remote).filter(|_| !self.is_shut_out(remote)) {
                Some(answer) => self.answer(datagram.len(), &answer, remote),
                None => bad.message("stun"),
            };
        }
        let bytes = Bytes::copy_from_slice(datagram);
        match parse_datagram(bytes.clone(), &limits()) {
            Ok(message) => {
                let flow = Flow { transport: Transport::Udp, local: self.local, remote };
                let input = Inbound::Message { flow, message: Box::new(message), bytes };
                if let Err(TrySendError::Full(_)) = self.shared.to_agent.try_send(input) {
                    bad.message("overload");
                }
            }
            Err(ParseFailure::Drop(DropReason::KeepAlive)) => {}
            Err(failure) => {
                let answer = refusal(&failure, remote, &mut self.tokens, &self.shared.bad);
                if let Some(answer) = answer.filter(|_| !self.is_shut_out(remote)) {
                    self.answer(datagram.len(), &answer, remote);
                }
            }
        }
    }

    /// Whoever guesses passwords does not even learn that somebody is here.
    fn is_shut_out(&self, remote: SocketAddr) -> bool {
        let shut_out = self.shared.known.is_shut_out(remote, Instant::now());
        if shut_out {
            self.shared.telemetry.signalling.defended.with_label_values(&["banned"]).inc();
        }
        shut_out
    }

    /// An address that has proved nothing gets no more than it sent.
    fn answer(&self, received_bytes: usize, answer: &[u8], remote: SocketAddr) {
        if answer.len() > received_bytes && !self.shared.known.is_known(remote, Instant::now()) {
            return self.shared.bad.message("reflection");
        }
        // As good as lost on the way when the kernel does not take it.
        let _sent = self.socket.try_send_to(answer, remote);
    }
}

const DATAGRAM_BYTES_MAX: usize = 65_536;
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
