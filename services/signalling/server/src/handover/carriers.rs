//! To every other replica that something is for one task, which sends it in its order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sidetone_model::ids::ReplicaId;
use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::signalling_client::SignallingClient;
use sidetone_runtime::grpc::{TlsConfig, channel};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use super::{Carried, FromNeighbour, Neighbours};

type Waiting = (Instant, Carried);

/// The ways to the other replicas. Bounded by their number.
#[derive(Debug)]
pub(crate) struct Carriers {
    own: ReplicaId,
    tls: TlsConfig,
    neighbours: watch::Receiver<Arc<Neighbours>>,
    to_agent: mpsc::Sender<FromNeighbour>,
    ways: HashMap<ReplicaId, mpsc::Sender<Waiting>>,
}

impl Carriers {
    pub(crate) fn new(
        own: ReplicaId,
        tls: TlsConfig,
        neighbours: watch::Receiver<Arc<Neighbours>>,
        to_agent: mpsc::Sender<FromNeighbour>,
    ) -> Self {
        Self { own, tls, neighbours, to_agent, ways: HashMap::new() }
    }

    /// Who there is.
    pub(crate) fn neighbours(&self) -> Arc<Neighbours> {
        Arc::clone(&self.neighbours.borrow())
    }

    /// Sends something soon; false when too much waits. What does not arrive in time comes back as
    /// [`FromNeighbour::NotCarried`].
    pub(crate) fn carry(&mut self, to: &ReplicaId, carried: Carried, now: Instant) -> bool {
        if self.ways.get(to).is_none_or(mpsc::Sender::is_closed) {
            self.ways.retain(|_, way| !way.is_closed());
            let (way, queue) = mpsc::channel(WAITING_MAX);
            let carrier = Carrier {
                own: self.own.clone(),
                to: to.clone(),
                tls: self.tls.clone(),
                neighbours: self.neighbours.clone(),
                to_agent: self.to_agent.clone(),
                client: None,
                warned_at: None,
            };
            tokio::spawn(carrier.run(queue));
            self.ways.insert(to.clone(), way);
        }
        self.ways.get(to).is_some_and(|way| way.try_send((now, carried)).is_ok())
    }
}

struct Carrier {
    own: ReplicaId,
    to: ReplicaId,
    tls: TlsConfig,
    neighbours: watch::Receiver<Arc<Neighbours>>,
    to_agent: mpsc::Sender<FromNeighbour>,
    client: Option<(String, SignallingClient<Channel>)>,
    warned_at: Option<Instant>,
}

impl Carrier {
    /// Until the agent is gone, or nothing has been to do for long.
    async fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while let Ok(1..) = timeout(IDLE, queue.recv_many(&mut batch, BATCH_MAX)).await {
            while !batch.is_empty() {
                if self.send(&batch).await {
                    batch.clear();
                    break;
                }
                let now = Instant::now();
                let (late, waiting): (Vec<Waiting>, Vec<Waiting>) =
                    batch.into_iter().partition(|(at, _)| now.saturating_duration_since(*at) >= DEADLINE);
                batch = waiting;
                for (_, carried) in late {
                    if self.to_agent.send(FromNeighbour::NotCarried { carried }).await.is_err() {
                        return;
                    }
                }
                sleep(PAUSE).await;
            }
        }
    }

    async fn send(&mut self, batch: &[Waiting]) -> bool {
        let address = self.neighbours.borrow().address(&self.to).map(str::to_owned);
        let Some(address) = address else { return false };
        if self.client.as_ref().is_none_or(|(known, _)| *known != address) {
            match channel(&address, &self.tls) {
                Ok(channel) => self.client = Some((address, SignallingClient::new(channel))),
                Err(error) => {
                    let now = Instant::now();
                    if self.warned_at.is_none_or(|at| now.saturating_duration_since(at) >= WARN_PAUSE) {
                        self.warned_at = Some(now);
                        tracing::warn!(replica = %self.to, %error, "a replica cannot be spoken to");
                    }
                    return false;
                }
            }
        }
        let Some((_, client)) = &mut self.client else { return false };
        let carried = batch.iter().map(|(_, carried)| carried.into()).collect();
        let request = pb::CarryRequest { replica_id: self.own.to_string(), carried };
        match timeout(ATTEMPT, client.carry(request)).await {
            Ok(Ok(_)) => true,
            Ok(Err(status)) => {
                tracing::debug!(replica = %self.to, code = ?status.code(), "a replica does not take what is for it");
                false
            }
            Err(_) => false,
        }
    }
}

/// What may wait for one replica.
const WAITING_MAX: usize = 1024;
/// What goes together at most. As many of the largest messages are what gRPC takes.
const BATCH_MAX: usize = 32;
/// What one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);
/// A replica that was killed is back by then; a phone waits longer for its answer (timer F).
const DEADLINE: Duration = Duration::from_secs(8);
/// Between two lines of log about the same replica.
const WARN_PAUSE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(600);
