//! `sidetone.outbox.v1`: looking at what is owed, and dead letters.

use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::TenantId;
use sidetone_model::wire;
use sidetone_outbox_core::{DeadLetter, LaneKey, ParcelId};
use sidetone_proto::outbox::v1 as pb;
use sidetone_proto::outbox::v1::outbox_server::Outbox as Service;
use sidetone_runtime::{Caller, status};
use tonic::{Request, Response, Status};

use crate::Outbox;

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("id: expected one of the listed ids, entry.place.index")]
    Id,
    #[error("there is no such dead letter")]
    NoSuchLetter,
    #[error("receiver: name one when an id is given")]
    Receiver,
}

impl Classify for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::Id | Self::Receiver => Class::Invalid,
            Self::NoSuchLetter => Class::NotFound,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::Id => "invalid_id",
            Self::Receiver => "missing_receiver",
            Self::NoSuchLetter => "no_such_dead_letter",
        }
    }
}

fn tenant(caller: &Caller, tenant: &str) -> Result<TenantId, Status> {
    let tenant = wire::id::<TenantId>("tenant", tenant).map_err(|error| status(&error))?;
    caller.may(&tenant)?;
    Ok(tenant)
}

impl Outbox {
    /// The dead letters that a request names: one, those of a receiver, or all of a tenant.
    async fn named(&self, tenant: &TenantId, receiver: &str, id: &str) -> Result<Vec<DeadLetter>, Status> {
        if !receiver.is_empty() && TenantId::new(receiver).is_err() {
            return Err(status(&Refusal::NoSuchLetter));
        }
        let all = self.dead_letters(tenant, receiver).await.map_err(|error| status(&error))?;
        if id.is_empty() {
            return Ok(all);
        }
        if receiver.is_empty() {
            return Err(status(&Refusal::Receiver));
        }
        let id: ParcelId = id.parse().map_err(|_| status(&Refusal::Id))?;
        let one: Vec<_> = all.into_iter().filter(|letter| letter.parcel.id == id).collect();
        if one.is_empty() { Err(status(&Refusal::NoSuchLetter)) } else { Ok(one) }
    }
}

#[tonic::async_trait]
impl Service for Outbox {
    async fn list_owed(
        &self,
        request: Request<pb::ListOwedRequest>,
    ) -> Result<Response<pb::ListOwedResponse>, Status> {
        let tenant = tenant(&Caller::of(&request), &request.get_ref().tenant)?;
        let owed = self.owed(&tenant).into_iter().map(|owed| pb::Owed {
            receiver: owed.lane.receiver.to_string(),
            held: owed.held as u64,
            records_stored: owed.records_stored,
            failures: owed.failures,
            oldest_unix_ms: owed.oldest.map_or(0, |at| at.as_millis()),
        });
        Ok(Response::new(pb::ListOwedResponse { owed: owed.collect() }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::DeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let found = self.named(&tenant, &request.receiver, &request.id).await?;
        let dead_letters = found.iter().map(to_proto).collect();
        Ok(Response::new(pb::ListDeadLettersResponse { dead_letters }))
    }

    async fn replay(
        &self,
        request: Request<pb::DeadLettersRequest>,
    ) -> Result<Response<pb::CountResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let found = self.named(&tenant, &request.receiver, &request.id).await?;
        // As many as are held in memory of one receiver anyway; the rest with the next command.
        let count = Outbox::replay(self, found.into_iter().take(REPLAY_MAX).collect());
        Ok(Response::new(pb::CountResponse { count: count as u64 }))
    }

    async fn discard(
        &self,
        request: Request<pb::DeadLettersRequest>,
    ) -> Result<Response<pb::CountResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let found = self.named(&tenant, &request.receiver, &request.id).await?;
        for letter in &found {
            let lane = LaneKey { tenant: tenant.clone(), receiver: letter.lane.receiver.clone() };
            Outbox::discard(self, &lane, letter.parcel.id).await.map_err(|error| status(&error))?;
        }
        Ok(Response::new(pb::CountResponse { count: found.len() as u64 }))
    }
}

fn to_proto(dead: &DeadLetter) -> pb::DeadLetter {
    pb::DeadLetter {
        receiver: dead.lane.receiver.to_string(),
        id: dead.parcel.id.to_string(),
        reason: dead.reason.name().to_owned(),
        attempts: dead.attempts,
        happened_unix_ms: dead.parcel.at.as_millis(),
        buried_unix_ms: dead.at.as_millis(),
        body: String::from_utf8_lossy(&dead.parcel.body).into_owned(),
    }
}

const REPLAY_MAX: usize = 1000;
