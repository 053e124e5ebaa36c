//! A bare echo: what receiving and sending alone cost, with one connected socket a leg as the media engine has them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sidetone_net::{Datagram, Poller};

use crate::process::Process;

/// The echo's process.
pub(crate) struct Floor {
    pub(crate) process: Process,
}

/// Below the range from which the system gives ports.
const FIRST_PORT: u16 = 22_000;

impl Floor {
    pub(crate) async fn start(cpu: usize, legs: usize) -> anyhow::Result<Self> {
        let us = std::env::current_exe()?;
        let arguments = ["--be-echo".to_owned(), FIRST_PORT.to_string(), legs.to_string()];
        let mut process = Process::start(&us, &arguments, cpu)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        process.check()?;
        Ok(Self { process })
    }

    pub(crate) fn addresses(&self, legs: usize) -> Vec<SocketAddr> {
        (FIRST_PORT..).take(legs).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect()
    }
}

/// The loop of the child: each socket is connected to whom it first hears.
pub(crate) fn be_echo(first: u16, legs: usize) -> anyhow::Result<()> {
    let mut poller = Poller::new(256)?;
    let mut sockets = Vec::new();
    for (token, port) in (0u64..).zip((first..).take(legs)) {
        let socket =
            Datagram::bind((Ipv4Addr::LOCALHOST, port).into()).with_context(|| format!("port {port}"))?;
        poller.add(&socket, token)?;
        sockets.push(socket);
    }
    let mut buffer = [0; 2048];
    loop {
        let ready = poller.wait(Instant::now() + Duration::from_secs(3600))?;
        for index in 0..ready.count {
            let socket = &mut sockets[poller.token(index) as usize];
            let Ok(Some((length, from))) = socket.receive(&mut buffer) else { continue };
            if socket.peer().is_none() {
                socket.connect(from)?;
            }
            // A full queue of the loopback is the receiver's loss, which the generator counts.
            drop(socket.send(&buffer[..length], from));
        }
    }
}
