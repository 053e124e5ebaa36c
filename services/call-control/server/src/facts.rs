//! Reading facts out of the log: for watchers, with cursors, and for CDRs. And forgetting them in time.

use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::fact::Fact;
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_model::wire;
use sidetone_proto::events::v1::events_server::Events;
use sidetone_proto::events::v1::{WatchRequest, WatchedFact};
use sidetone_runtime::{Caller, status};
use sidetone_store::Sequence;
use tonic::{Request, Response, Status};

use crate::entries::{EntryError, Source};
use crate::owner::Entry;
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

/// Entries of a shard that may hold facts after `after`: those that are in the log, and, with `follow`, those that come.
pub(crate) async fn read(
    source: Source,
    after: Cursor,
    follow: bool,
) -> Result<BoxStream<'static, Result<Entry, Status>>, Status> {
    let (first, last) = source.bounds().await.map_err(|error| status(&error))?;
    let from = Sequence(after.entry.0.max(first.0).max(1));
    let entries = if follow { source.follow(from) } else { source.until(from, last) };
    Ok(entries.map_err(refused).boxed())
}

/// The facts of an entry, each with its place.
pub(crate) fn placed(entry: &Entry) -> impl Iterator<Item = (Cursor, &Fact)> {
    let cursor = |place| Cursor { entry: entry.sequence, place };
    (0..).map(cursor).zip(entry.facts.iter())
}

fn refused(error: EntryError) -> Status {
    match error {
        EntryError::Store(error) => status(&error),
        EntryError::Unreadable { at, source } => {
            tracing::error!(entry = %at, error = %source, "an entry of the log cannot be read");
            Status::internal("an entry of the log cannot be read; it is in the server's log")
        }
    }
}

#[tonic::async_trait]
impl Events for CallControl {
    type WatchStream = BoxStream<'static, Result<WatchedFact, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = wire::id::<TenantId>("tenant", &request.tenant).map_err(|error| status(&error))?;
        caller.may(&tenant)?;
        self.must_be_there(&tenant).await?;
        let shared = self.shared();
        let shard = ShardId::of(&tenant, shared.shards);
        let after = match request.cursor.as_str() {
            "" if request.from_now => {
                let (_, last) = self.source(shard).bounds().await.map_err(|error| status(&error))?;
                Cursor { entry: last, place: u32::MAX }
            }
            "" => Cursor::START,
            text => Cursor::parse(text).ok_or_else(|| Status::invalid_argument("cursor: not one of ours"))?,
        };
        let entries = read(self.source(shard), after, true).await?;
        let own = entries.map_ok(move |entry| {
            let own = placed(&entry).filter(|(cursor, fact)| *cursor > after && fact.tenant == tenant);
            let watched = own.map(|(cursor, fact)| {
                Ok(WatchedFact { cursor: cursor.to_string(), fact: Some(fact.into()) })
            });
            stream::iter(watched.collect::<Vec<_>>())
        });
        let own = own.try_flatten();
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
    let Some(snapshot_holds) = crate::owner::snapshots::newest_holds(store, shard).await else {
        return Ok(());
    };
    let mut entries = read(control.source(shard), Cursor::START, false).await?;
    let mut keep = Sequence(0);
    while let Some(entry) = entries.try_next().await? {
        let Some(fact) = entry.facts.first() else { continue };
        if fact.at >= before || entry.sequence >= snapshot_holds {
            break;
        }
        keep = entry.sequence;
    }
    if keep.0 > 0 {
        store.trim(&stream(shard), keep).await.map_err(|error| status(&error))?;
    }
    Ok(())
}
