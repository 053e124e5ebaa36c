//! The gRPC service `Signalling`, for operators.

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
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::handover::{Carried, FromNeighbour};
use crate::ladder::{Ladder, Question};
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

/// How long other replicas wait for room before they try again.
const CARRY_MAX: Duration = Duration::from_millis(500);
