//! Reading facts out of the log: for watchers, with cursors, and for CDRs. And forgetting them in time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::fact::Fact;
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_model::wire::{self, decode_batch};
use sidetone_proto::events::v1::events_server::Events;
use sidetone_proto::events::v1::{WatchRequest, WatchedFact};
use sidetone_runtime::{Caller, status};
use sidetone_store::{Record, Sequence, Store, StoreError};
use tonic::{Request, Response, Status};

use crate::owner::log::stream;
use crate::{CallControl, clock};

/// Where a fact stands: the entry of its shard's log, and its place in that entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub(crate) entry: Sequence,
    pub(crate) place: u32,
}

impl Cursor {
    /// Before everything.
    pub(crate) const START: Self = Self { entry: Sequence(0), place: u32::MAX };

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (entry, place) = text.split_once('.')?;
        Some(Self { entry: Sequence(entry.parse().ok()?), place: place.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.entry, self.place)
    }
}

/// Facts of a shard after `after`: those that are in the log, and, with `follow`, those that come.
pub(crate) async fn read(
    store: Arc<dyn Store>,
    shard: ShardId,
    after: Cursor,
    follow: bool,
) -> Result<BoxStream<'static, Result<(Cursor, Fact), Status>>, Status> {
    let name = stream(shard);
    let (first, last) = store.bounds(&name).await.map_err(|error| status(&error))?;
    let from = Sequence(after.entry.0.max(first.0).max(1));
    let entries = if follow {
        store.tail(&name, from).await.map_err(|error| status(&error))?
    } else {
        pages(store, name, from, last)
    };
    let facts = entries.map_err(|error| status(&error)).and_then(async |record| facts_of(&record));
    let flat = facts.map_ok(|facts| stream::iter(facts.into_iter().map(Ok))).try_flatten();
    Ok(flat.try_filter(move |(cursor, _)| std::future::ready(*cursor > after)).boxed())
}

fn pages(
    store: Arc<dyn Store>,
    name: String,
    from: Sequence,
    last: Sequence,
) -> BoxStream<'static, Result<Record, StoreError>> {
    stream::try_unfold((store, name, from), move |(store, name, from)| async move {
        if from > last {
            return Ok(None);
        }
        let page = store.read(&name, from, 1000).await?;
        let Some(end) = page.last().map(|record| record.sequence) else { return Ok(None) };
        Ok(Some((stream::iter(page.into_iter().map(Ok)), (store, name, Sequence(end.0 + 1)))))
    })
    .try_flatten()
    .boxed()
}

fn facts_of(record: &Record) -> Result<Vec<(Cursor, Fact)>, Status> {
    let steps = decode_batch(&record.record).map_err(|error| {
        tracing::error!(entry = %record.sequence, %error, "an entry of the log cannot be read");
        Status::internal("an entry of the log cannot be read; it is in the server's log")
    })?;
    let facts = steps.into_iter().flat_map(|step| step.facts);
    let placed = (0..).zip(facts).map(|(place, fact)| (Cursor { entry: record.sequence, place }, fact));
    Ok(placed.collect())
}

#[tonic::async_trait]
impl Events for CallControl {
    type WatchStream = BoxStream<'static, Result<WatchedFact, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = wire::id::<TenantId>("tenant", &request.tenant).map_err(|error| status(&error))?;
        caller.may(&tenant)?;
        let shared = self.shared();
        let shard = ShardId::of(&tenant, shared.shards);
        let after = match request.cursor.as_str() {
            "" if request.from_now => {
                let (_, last) = shared.store.bounds(&stream(shard)).await.map_err(|error| status(&error))?;
                Cursor { entry: last, place: u32::MAX }
            }
            "" => Cursor::START,
            text => Cursor::parse(text).ok_or_else(|| Status::invalid_argument("cursor: not one of ours"))?,
        };
        let facts = read(Arc::clone(&shared.store), shard, after, true).await?;
        let own = facts.try_filter_map(move |(cursor, fact)| {
            let watched = (fact.tenant == tenant)
                .then(|| WatchedFact { cursor: cursor.to_string(), fact: Some((&fact).into()) });
            std::future::ready(Ok(watched))
        });
        let stopping = shared.lifecycle.stopping();
        Ok(Response::new(own.take_until(stopping.cancelled_owned()).boxed()))
    }
}

/// How often old facts are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(3600);

/// Forgets facts that are older than the retention, as long as the process runs.
pub(crate) fn start_trimming(control: &CallControl, retention_days: u64) {
    let control = control.clone();
    tokio::spawn(async move {
        let stopping = control.shared().lifecycle.stopping();
        let mut every = tokio::time::interval(TRIM_EVERY);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = stopping.cancelled() => return,
            }
            let kept = Duration::from_secs(retention_days * 24 * 3600);
            let before = clock::now().as_millis().saturating_sub(kept.as_millis() as u64);
            for shard in (0..control.shared().shards).map(ShardId) {
                if let Err(error) = trim(&control, shard, Timestamp::from_millis(before)).await {
                    tracing::warn!(%shard, error = error.message(), "old facts could not be forgotten");
                }
            }
        }
    });
}

/// Forgets what is before the first fact to be kept, but never the present state: only what a snapshot holds.
async fn trim(control: &CallControl, shard: ShardId, before: Timestamp) -> Result<(), Status> {
    let store = &control.shared().store;
    let Some(snapshot_holds) = crate::owner::log::snapshot_holds(store, shard).await else { return Ok(()) };
    let mut facts = read(Arc::clone(store), shard, Cursor::START, false).await?;
    let mut keep = Sequence(0);
    while let Some((cursor, fact)) = facts.try_next().await? {
        if fact.at >= before || cursor.entry >= snapshot_holds {
            break;
        }
        keep = cursor.entry;
    }
    if keep.0 > 0 {
        store.trim(&stream(shard), keep).await.map_err(|error| status(&error))?;
    }
    Ok(())
}
