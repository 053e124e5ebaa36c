//! The shell around the table: its clock, its sockets, and the way to the workers.
//!
//! One task leads all handshakes: one processor at most, which bounds what a flood of them can take from the
//! rest of the node to one of tokio's threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::Consumer;
use sidetone_model::ids::LegId;
use sidetone_net::Answering;
use sidetone_telemetry::Telemetry;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::table::{News, Table};
use super::{Identity, Wanted};
use crate::engine::Engine;
use crate::worker::proofs::Proof;

/// The control plane's end: says which leg needs what.
#[derive(Debug)]
pub(crate) struct Handshakes {
    orders: mpsc::Sender<Order>,
}

/// What the control plane has said.
#[derive(Debug)]
pub(crate) struct Order {
    leg: u128,
    /// None: the leg is gone.
    wanted: Option<(Wanted, Arc<Answering>)>,
}

/// A packet off the workers' rings.
#[derive(Debug)]
pub(crate) struct Packet {
    leg: u128,
    from: std::net::SocketAddr,
    bytes: Vec<u8>,
}

/// Packets that may wait for the task; what finds no room is dropped and counted, and comes again.
pub(crate) const PACKETS_MAX: usize = 1024;
/// Orders that may wait besides two for each leg.
const ORDERS_MAX: usize = 1024;
/// Packets dealt with in one go, before times and orders have their turn.
const PACKETS_AT_ONCE: usize = 32;
/// How long the task sleeps when nothing is to be repeated.
const IDLE: Duration = Duration::from_secs(60);

impl Handshakes {
    /// Both ends, for a node with so many legs.
    pub(crate) fn new(legs_max: usize) -> (Self, mpsc::Receiver<Order>) {
        let (orders, taken) = mpsc::channel(ORDERS_MAX + 2 * legs_max);
        (Self { orders }, taken)
    }

    /// What a leg needs from now on.
    pub(crate) fn set(&self, leg: LegId, wanted: Wanted, socket: Arc<Answering>) {
        self.order(leg, Some((wanted, socket)));
    }

    /// The leg is gone, or needs nothing any more.
    pub(crate) fn forget(&self, leg: LegId) {
        self.order(leg, None);
    }

    /// Never waits: its caller may hold what the task needs. There is room for more than the legs can want, unless the task
    /// is stuck; then a leg stays without keys until its idle time is over.
    fn order(&self, leg: LegId, wanted: Option<(Wanted, Arc<Answering>)>) {
        if self.orders.try_send(Order { leg: leg.as_u128(), wanted }).is_err() {
            tracing::warn!(%leg, "the handshakes are not told of a leg: too much waits");
        }
    }
}

/// Leads the handshakes of a node until `stopping`.
pub(crate) async fn run(
    engine: Arc<Engine>,
    identity: Identity,
    mut orders: mpsc::Receiver<Order>,
    mut packets: mpsc::Receiver<Packet>,
    stopping: CancellationToken,
) {
    let mut shell = Shell { table: Table::new(identity, Instant::now()), sockets: HashMap::new(), engine };
    let mut batch = Vec::with_capacity(PACKETS_AT_ONCE);
    loop {
        let due = shell.table.due().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            order = orders.recv() => match order {
                Some(order) => shell.obey(order),
                None => return,
            },
            () = tokio::time::sleep_until(due.into()) => {}
            count = packets.recv_many(&mut batch, PACKETS_AT_ONCE) => if count == 0 { return },
        }
        for packet in batch.drain(..) {
            shell.table.handle_packet(packet.leg, packet.from, &packet.bytes, Instant::now());
        }
        shell.table.handle_timeouts(Instant::now());
        for news in shell.table.take_news() {
            shell.tell(news).await;
        }
    }
}

/// Carries what one worker hands over to the task, until the worker has ended.
pub(crate) async fn read_door(
    mut door: Consumer<Proof>,
    told: pipe::Receiver,
    packets: mpsc::Sender<Packet>,
    telemetry: Arc<Telemetry>,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    loop {
        while let Ok(proof) = door.pop() {
            let packet = Packet { leg: proof.leg, from: proof.from, bytes: proof.bytes().to_vec() };
            if packets.try_send(packet).is_err() {
                telemetry.media.packets_dropped.with_label_values(&["handshake_full"]).inc();
            }
        }
        tokio::select! {
            ready = told.readable() => {
                ready?;
                if matches!(told.try_read(&mut [0; 64]), Ok(0)) {
                    return Ok(());
                }
            }
            () = stopping.cancelled() => return Ok(()),
        }
    }
}

struct Shell {
    table: Table,
    sockets: HashMap<u128, Arc<Answering>>,
    engine: Arc<Engine>,
}

impl Shell {
    fn obey(&mut self, order: Order) {
        let Order { leg, wanted } = order;
        match wanted {
            Some((wanted, socket)) => {
                self.sockets.insert(leg, socket);
                self.table.set(leg, wanted, Instant::now());
            }
            None => {
                self.sockets.remove(&leg);
                self.table.forget(leg);
            }
        }
    }

    async fn tell(&mut self, news: News) {
        let media = &self.engine.telemetry.media;
        match news {
            News::Send { leg, to, bytes } => {
                // What is lost is repeated, by us or by the far side.
                let sent = self.sockets.get(&leg).map(|socket| socket.send(&bytes, to));
                if let Some(Err(error)) = sent {
                    tracing::trace!(%error, "a packet of a handshake was not sent");
                }
            }
            News::Proved { leg, pairs } => self.engine.leg_proved(leg_id(leg), pairs).await,
            News::Keyed { leg, rekeying } => {
                media.dtls_handshakes.with_label_values(&["keyed"]).inc();
                self.engine.leg_keyed(leg_id(leg), rekeying).await;
            }
            News::Failed { leg, failure } => {
                media.dtls_handshakes.with_label_values(&[failure.label()]).inc();
                self.engine.leg_failed(leg_id(leg), failure).await;
            }
            News::Heard(outcome) => media.ice_messages.with_label_values(&[outcome.label()]).inc(),
        }
    }
}

fn leg_id(number: u128) -> LegId {
    LegId::from(Uuid::from_u128(number))
}
