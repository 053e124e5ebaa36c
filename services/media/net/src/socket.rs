//! One non-blocking datagram socket of a leg, and the even and odd ports of a pair.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A non-blocking UDP socket that may be connected to one peer and taken back.
///
/// Connected, the kernel itself drops what others send, and a send saves the route look-up.
#[derive(Debug)]
pub struct Datagram {
    socket: UdpSocket,
    local: SocketAddr,
    peer: Option<SocketAddr>,
}

/// Kernel buffer of each direction in bytes: some 200 packets of G.711, which is more than a stall may hold back.
const BUFFER_BYTES: libc::c_int = 128 * 1024;
/// How many pairs [`bind_pair_anywhere`] tries: others on the machine may take the odd port in between.
const PAIR_ATTEMPTS: usize = 64;

impl Datagram {
    /// Binds to an address; port 0 lets the system choose.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let datagram = Self { socket, local, peer: None };
        datagram.set_buffer(libc::SO_RCVBUF)?;
        datagram.set_buffer(libc::SO_SNDBUF)?;
        Ok(datagram)
    }

    /// Our own end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer it is connected to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Takes packets of this peer alone from now on. Packets of others that came before are still handed out: look at
    /// the source that [`Self::receive`] tells.
    pub fn connect(&mut self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(peer)?;
        self.peer = Some(peer);
        Ok(())
    }

    /// Takes packets of everybody again, on the same local port.
    pub fn disconnect(&mut self) -> io::Result<()> {
        if self.peer.take().is_none() {
            return Ok(());
        }
        // SAFETY: all-zero is a valid `sockaddr`, and the family is set right after.
        let mut address: libc::sockaddr = unsafe { std::mem::zeroed() };
        address.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
        // SAFETY: the pointer is to a live address of the size that is passed.
        let result = unsafe {
            libc::connect(
                self.socket.as_raw_fd(),
                &raw const address,
                size_of::<libc::sockaddr>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The next packet with its source; none when nothing waits. A packet longer than `buffer` is cut. An error the
    /// network reported for an earlier packet (ICMP) is returned once and means nothing for the next call.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.socket.recv_from(buffer) {
            Ok(got) => Ok(Some(got)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one packet. A full buffer is an error of kind `WouldBlock`: the packet is lost, as it would be on the wire.
    pub fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        let sent = if self.peer == Some(to) {
            self.socket.send(packet)
        } else if self.peer.is_some() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        } else {
            self.socket.send_to(packet, to)
        };
        sent.map(|_| ())
    }

    /// Another handle to the socket, which only sends. The port stays taken as long as one of them lives.
    pub fn answering(&self) -> io::Result<Answering> {
        self.socket.try_clone().map(Answering)
    }

    fn set_buffer(&self, option: libc::c_int) -> io::Result<()> {
        let bytes = BUFFER_BYTES;
        // SAFETY: the pointer is to a live c_int of the size that is passed.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const bytes).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// A handle to a [`Datagram`]'s socket that only sends, from any thread.
#[derive(Debug)]
pub struct Answering(UdpSocket);

impl Answering {
    /// Sends one packet, whoever the socket is connected to. A full buffer is an error of kind `WouldBlock`.
    pub fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        self.0.send_to(packet, to).map(|_| ())
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds RTP to `port`, which must be even, and RTCP to the one above (RFC 3550, section 11).
pub fn bind_pair(ip: IpAddr, port: u16) -> io::Result<(Datagram, Datagram)> {
    if !port.is_multiple_of(2) || port == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let rtp = Datagram::bind(SocketAddr::new(ip, port))?;
    let rtcp = Datagram::bind(SocketAddr::new(ip, port + 1))?;
    Ok((rtp, rtcp))
}

/// Binds a pair on ports that the system has free. The ports are bound by number, so that they outlive
/// [`Datagram::disconnect`].
pub fn bind_pair_anywhere(ip: IpAddr) -> io::Result<(Datagram, Datagram)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PAIR_ATTEMPTS {
        let port = Datagram::bind(SocketAddr::new(ip, 0))?.local().port() & !1;
        match bind_pair(ip, port) {
            Ok(pair) => return Ok(pair),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::Poller;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn receive(socket: &Datagram) -> Option<(Vec<u8>, SocketAddr)> {
        let mut poller = Poller::new(1).unwrap();
        poller.add(socket, 0).unwrap();
        poller.wait(Instant::now() + Duration::from_secs(2)).unwrap();
        let mut buffer = [0; 64];
        socket.receive(&mut buffer).unwrap().map(|(n, from)| (buffer[..n].to_vec(), from))
    }

    #[test]
    fn a_pair_is_even_and_odd_and_cannot_be_bound_twice() {
        let (rtp, rtcp) = bind_pair_anywhere(HERE).unwrap();
        assert_eq!(rtp.local().port() % 2, 0);
        assert_eq!(rtcp.local().port(), rtp.local().port() + 1);
        assert!(bind_pair(HERE, rtp.local().port()).is_err());
        assert!(bind_pair(HERE, 20_001).is_err());
    }

    #[test]
    fn a_connection_keeps_others_out_until_it_is_taken_back() {
        let (mut ours, _rtcp) = bind_pair_anywhere(HERE).unwrap();
        let (peer, other) = bind_pair_anywhere(HERE).unwrap();
        ours.connect(peer.local()).unwrap();
        other.send(b"no", ours.local()).unwrap();
        peer.send(b"yes", ours.local()).unwrap();
        assert_eq!(receive(&ours), Some((b"yes".to_vec(), peer.local())));
        assert!(ours.send(b"x", other.local()).is_err(), "a connected socket sends to its peer only");
        let before = ours.local();
        ours.disconnect().unwrap();
        let _ = ours.receive(&mut [0; 8]);
        other.send(b"now", before).unwrap();
        assert_eq!(receive(&ours), Some((b"now".to_vec(), other.local())));
        ours.send(b"back", other.local()).unwrap();
    }

    #[test]
    fn a_second_handle_answers_whoever_asks_while_the_first_is_connected() {
        let (mut ours, _rtcp) = bind_pair_anywhere(HERE).unwrap();
        let (peer, other) = bind_pair_anywhere(HERE).unwrap();
        let answering = ours.answering().unwrap();
        ours.connect(peer.local()).unwrap();
        answering.send(b"answer", other.local()).unwrap();
        assert_eq!(receive(&other), Some((b"answer".to_vec(), ours.local())));
    }
}
