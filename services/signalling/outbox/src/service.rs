//! `sidetone.outbox.v1`: looking at what is owed, and dead letters.

use sidetone_directory::DirectoryError;
use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::TenantId;
use sidetone_model::wire;
use sidetone_outbox_core::{DeadLetter, LaneKey, ParcelId};
use sidetone_proto::outbox::v1 as pb;
use sidetone_proto::outbox::v1::outbox_server::Outbox as Service;
use sidetone_runtime::{Caller, status};
use tonic::{Request, Response, Status};

use crate::progress::Progress;
use crate::{Outbox, ledger};

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("id: expected one of the listed ids, entry.place.index")]
    Id,
    #[error("there is no such dead letter")]
    NoSuchLetter,
    #[error("receiver: name one when an id is given")]
    Receiver,
    #[error("after: expected the `next` of an answer before")]
    After,
    #[error("limit: expected 1 to 1000")]
    Limit,
}

impl Classify for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::Id | Self::Receiver | Self::After | Self::Limit => Class::Invalid,
            Self::NoSuchLetter => Class::NotFound,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::Id => "invalid_id",
            Self::Receiver => "missing_receiver",
            Self::After => "invalid_after",
            Self::Limit => "invalid_limit",
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
    /// A name that nobody has is no tenant to which nothing is owed.
    async fn must_be_there(&self, tenant: &TenantId) -> Result<(), Status> {
        let there = self.directory().tenant(tenant).await.map_err(|error| status(&error))?;
        there.map(drop).ok_or_else(|| status(&DirectoryError::NotFound { what: "tenant" }))
    }

    /// The dead letters that a request names: one, those of a receiver, or all of a tenant; behind a place when it names one.
    async fn named(
        &self,
        tenant: &TenantId,
        request: &pb::DeadLettersRequest,
    ) -> Result<Vec<DeadLetter>, Status> {
        let pb::DeadLettersRequest { receiver, id, after, .. } = request;
        let behind =
            |after: &String| ledger::key_of_place(tenant, after).ok_or_else(|| status(&Refusal::After));
        let after = Some(after).filter(|after| !after.is_empty()).map(behind).transpose()?;
        if !receiver.is_empty() && TenantId::new(receiver.as_str()).is_err() {
            return Err(status(&Refusal::NoSuchLetter));
        }
        let all = self.dead_letters(tenant, receiver, after.as_deref()).await;
        let all = all.map_err(|error| status(&error))?;
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
        self.must_be_there(&tenant).await?;
        let owed = self.owed(&tenant).into_iter().map(|owed| pb::Owed {
            why: self.trouble_of(&owed.lane),
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
        let found = self.named(&tenant, &request).await?;
        if found.is_empty() {
            self.must_be_there(&tenant).await?;
        }
        let limit = match request.limit {
            0 => LIMIT_DEFAULT,
            limit if limit as usize <= LIMIT_MAX => limit as usize,
            _ => return Err(status(&Refusal::Limit)),
        };
        let shown = page(&found, limit);
        let more = shown.len() < found.len();
        let next = shown.last().filter(|_| more).map(ledger::place_of).unwrap_or_default();
        let dead_letters = shown.iter().map(to_proto).collect();
        Ok(Response::new(pb::ListDeadLettersResponse { dead_letters, next }))
    }

    async fn replay(
        &self,
        request: Request<pb::DeadLettersRequest>,
    ) -> Result<Response<pb::CountResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let progress = Progress::parse(&tenant, &request.after);
        let mut progress = progress.ok_or_else(|| status(&Refusal::After))?;
        let request = pb::DeadLettersRequest { after: String::new(), ..request };
        let found = self.named(&tenant, &request).await?;
        let (count, broken_off) = Outbox::replay(self, found, &mut progress);
        Ok(Response::new(pb::CountResponse { count: count as u64, next: progress.text(broken_off) }))
    }

    async fn discard(
        &self,
        request: Request<pb::DeadLettersRequest>,
    ) -> Result<Response<pb::CountResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let found = self.named(&tenant, &request).await?;
        for letter in &found {
            let lane = LaneKey { tenant: tenant.clone(), receiver: letter.lane.receiver.clone() };
            Outbox::discard(self, &lane, letter.parcel.id).await.map_err(|error| status(&error))?;
        }
        Ok(Response::new(pb::CountResponse { count: found.len() as u64, next: String::new() }))
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

/// As many as are asked for, and no more than one message may hold.
fn page(found: &[DeadLetter], limit: usize) -> &[DeadLetter] {
    let (mut bytes, mut count) = (0, 0);
    for letter in found.iter().take(limit) {
        bytes += letter.parcel.body.len();
        if count > 0 && bytes > PAGE_BYTES_MAX {
            break;
        }
        count += 1;
    }
    &found[..count]
}

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
const PAGE_BYTES_MAX: usize = 1 << 20;
