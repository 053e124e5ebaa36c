//! Sockets of a phone: datagrams, or one connection to the server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::mpsc;

use super::message::Message;

/// How a phone reaches its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Datagrams, with retransmission.
    #[default]
    Udp,
    /// One connection, opened by the phone.
    Tcp,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Sends without waiting; full buffers lose the message, which retransmission repairs.
#[derive(Debug)]
pub(crate) enum Wire {
    Udp(Arc<UdpSocket>),
    Tcp(mpsc::Sender<Vec<u8>>),
}

impl Wire {
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) {
        match self {
            // Lost is lost: a transaction that gets no answer says so.
            Self::Udp(socket) => drop(socket.try_send_to(bytes, to)),
            Self::Tcp(queue) => drop(queue.try_send(bytes.to_vec())),
        }
    }
}

/// What came in and from where.
pub(crate) type Received = (Vec<u8>, SocketAddr);

/// Opens the transport; what it receives comes out of the queue.
pub(crate) async fn open(
    transport: Transport,
    server: SocketAddr,
) -> io::Result<(Wire, SocketAddr, mpsc::Receiver<Received>)> {
    let ip = local_ip(server)?;
    let (received, queue) = mpsc::channel(QUEUE);
    match transport {
        Transport::Udp => {
            let socket = Arc::new(UdpSocket::bind((ip, 0)).await?);
            // Until the runtime has seen the socket once, sending without waiting would fail.
            socket.writable().await?;
            let local = socket.local_addr()?;
            tokio::spawn(read_datagrams(Arc::clone(&socket), received));
            Ok((Wire::Udp(socket), local, queue))
        }
        Transport::Tcp => {
            let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind((ip, 0).into())?;
            let stream = socket.connect(server).await?;
            stream.set_nodelay(true)?;
            let local = stream.local_addr()?;
            let (mut reader, mut writer) = stream.into_split();
            let (outgoing, mut outbox) = mpsc::channel::<Vec<u8>>(QUEUE);
            tokio::spawn(async move {
                while let Some(bytes) = outbox.recv().await {
                    if writer.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                loop {
                    tokio::select! {
                        read = reader.read_buf(&mut buffer) => if !matches!(read, Ok(1..)) { break },
                        () = received.closed() => break,
                    }
                    while let Some(message) = next_message(&mut buffer) {
                        if received.send((message, server)).await.is_err() {
                            return;
                        }
                    }
                }
            });
            Ok((Wire::Tcp(outgoing), local, queue))
        }
    }
}

async fn read_datagrams(socket: Arc<UdpSocket>, received: mpsc::Sender<Received>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let datagram = tokio::select! {
            datagram = socket.recv_from(&mut buffer) => datagram,
            () = received.closed() => return,
        };
        // An error is the echo of an ICMP message about an earlier datagram.
        let Ok((length, from)) = datagram else { continue };
        if received.send((buffer[..length].to_vec(), from)).await.is_err() {
            return;
        }
    }
}

fn next_message(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let keepalive = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.drain(..keepalive);
    match Message::frame(buffer) {
        Ok(Some(length)) => Some(buffer.drain(..length).collect()),
        Ok(None) => None,
        Err(_) => {
            buffer.clear();
            None
        }
    }
}

/// The address from which the server is reached, found by a routing decision: nothing is sent.
fn local_ip(server: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        "[::]:0".parse().map_err(io::Error::other)?
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

const QUEUE: usize = 256;
