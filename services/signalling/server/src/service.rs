//! The gRPC service `Signalling`, for operators.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sidetone_model::ids::{BootId, ReplicaId};
use sidetone_model::party::Flow;
use sidetone_model::wire;
use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::signalling_server::Signalling;
use sidetone_runtime::{Caller, status};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::defence::{Asked, Ban};
use crate::handover::{Carried, FromNeighbour};
use crate::ladder::{Ladder, Question};
use crate::replica::wall_clock;
use crate::transport::BoundListener;

/// What the agent tells about itself after each step.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) legs: AtomicU64,
    pub(crate) unacknowledged: AtomicU64,
    pub(crate) draining: AtomicBool,
}

/// Answers what this replica is and holds.
#[derive(Debug, Clone)]
pub struct SignallingService {
    pub(crate) replica: ReplicaId,
    pub(crate) boot: BootId,
    pub(crate) listeners: Vec<BoundListener>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) ladder: Ladder,
    pub(crate) to_agent: mpsc::Sender<FromNeighbour>,
    pub(crate) operators: mpsc::Sender<Asked>,
}

impl SignallingService {
    /// Asks the agent, which answers between two messages.
    async fn ask<T>(&self, asked: impl FnOnce(oneshot::Sender<T>) -> Asked + Send) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        let stops = || Status::unavailable("the replica stops, or has too much to do");
        self.operators.try_send(asked(reply)).map_err(|_| stops())?;
        answer.await.map_err(|_| stops())
    }

    fn ban(&self, ban: &Ban) -> pb::Ban {
        let until = wall_clock() + ban.left;
        pb::Ban {
            source: source_text(ban.source),
            replica_id: self.replica.to_string(),
            reason: "wrong_passwords".to_owned(),
            until_unix_ms: until.as_millis(),
            times: ban.times,
        }
    }
}

#[async_trait::async_trait]
impl Signalling for SignallingService {
    async fn get_replica(
        &self,
        request: Request<pb::GetReplicaRequest>,
    ) -> Result<Response<pb::Replica>, Status> {
        Caller::of(&request).must_be_operator()?;
        let listeners = self.listeners.iter().map(|listener| {
            let remote = listener.advertised;
            (&Flow { transport: listener.transport, local: listener.local, remote }).into()
        });
        Ok(Response::new(pb::Replica {
            replica_id: self.replica.to_string(),
            boot_id: self.boot.to_string(),
            listeners: listeners.collect(),
            legs: self.stats.legs.load(Ordering::Relaxed),
            draining: self.stats.draining.load(Ordering::Relaxed),
            unacknowledged_signals: self.stats.unacknowledged.load(Ordering::Relaxed),
        }))
    }

    async fn carry(&self, request: Request<pb::CarryRequest>) -> Result<Response<pb::CarryResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let from: ReplicaId = wire::id("replica_id", &request.replica_id).map_err(|error| status(&error))?;
        let carried: Result<Vec<Carried>, _> = request.carried.into_iter().map(Carried::try_from).collect();
        let carried = carried.map_err(|error| status(&error))?;
        // All or nothing: what is refused is sent again.
        let places = timeout(CARRY_MAX, self.to_agent.reserve_many(carried.len())).await;
        let places = places.ok().and_then(Result::ok);
        let places = places.ok_or_else(|| Status::unavailable("too much waits, or the replica stops"))?;
        for (place, carried) in places.zip(carried) {
            place.send(FromNeighbour::Carried { from: from.clone(), carried });
        }
        Ok(Response::new(pb::CarryResponse {}))
    }

    async fn read_bans(
        &self,
        request: Request<pb::ReadBansRequest>,
    ) -> Result<Response<pb::ReadBansResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let bans = self.ask(Asked::Bans).await?;
        Ok(Response::new(pb::ReadBansResponse { bans: bans.iter().map(|ban| self.ban(ban)).collect() }))
    }

    async fn end_ban(
        &self,
        request: Request<pb::EndBanRequest>,
    ) -> Result<Response<pb::EndBanResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let source = source_of(&request.into_inner().source)?;
        match self.ask(|reply| Asked::EndBan(source, reply)).await? {
            true => Ok(Response::new(pb::EndBanResponse {})),
            false => Err(Status::not_found("the address is not banned")),
        }
    }

    type ReadLadderStream = BoxStream<'static, Result<pb::LadderMessage, Status>>;

    async fn read_ladder(
        &self,
        request: Request<pb::ReadLadderRequest>,
    ) -> Result<Response<Self::ReadLadderStream>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let tenant = wire::id("tenant", &request.tenant).map_err(|error| status(&error))?;
        let legs = request.leg_ids.iter().map(|leg| wire::id("leg_ids", leg)).collect::<Result<_, _>>();
        let legs = legs.map_err(|error| status(&error))?;
        let question = Question { tenant, legs, show_numbers: request.show_numbers };
        let found = self.ladder.read(question).await;
        let replica_id = self.replica.to_string();
        let messages = found.into_iter().map(move |(leg, record)| {
            Ok(pb::LadderMessage {
                at_unix_us: record.at_us,
                leg_id: leg.to_string(),
                replica_id: replica_id.clone(),
                received: record.received,
                flow: Some((&record.flow).into()),
                message: record.bytes.into(),
            })
        });
        Ok(Response::new(futures_util::stream::iter(messages).boxed()))
    }
}

/// A banned source as people read it: an address, or a network of IPv6.
fn source_text(source: IpAddr) -> String {
    match source {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(network) => format!("{network}/64"),
    }
}

/// The address that a person means: itself, or any of its network.
pub(crate) fn source_of(text: &str) -> Result<IpAddr, Status> {
    let address = text.strip_suffix("/64").unwrap_or(text).parse();
    address.map_err(|_| {
        Status::invalid_argument("source: expected an IP address, or a network as 2001:db8::/64")
    })
}

/// Questions of operators that may wait; then they are refused.
pub(crate) const OPERATORS_MAX: usize = 16;
/// How long other replicas wait for room before they try again.
const CARRY_MAX: Duration = Duration::from_millis(500);
