//! Handing a shard's facts to another service, with what is needed to fold them.
//!
//! Whoever projects facts needs the state before each. A follower gives the last entry that it has dealt with, and gets
//! the history that folds to the state after that entry, then every further entry. The history comes from the newest
//! snapshot unless that is already past the cursor; then from the log itself, as far back as it is kept.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::fact::Fact;
use sidetone_model::ids::ShardId;
use sidetone_model::wire::{WireError, decode_batch};
use sidetone_runtime::link::{FactFeed, Followed, LinkError, Speaker};
use sidetone_store::{Record, Sequence, Store, StoreError};
use tokio::sync::broadcast;

use crate::CallControl;
use crate::owner::log::{Snapshot, snapshot, stream};

/// Why a shard cannot be followed.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    #[error("entry {at} of the log cannot be understood")]
    Unreadable { at: Sequence, source: WireError },
}

impl From<FollowError> for LinkError {
    fn from(error: FollowError) -> Self {
        let problem = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self { service: "call-control", problem }
    }
}

#[async_trait::async_trait]
impl FactFeed for CallControl {
    fn shards(&self) -> u16 {
        self.shared().shards
    }

    async fn position(&self, shard: ShardId) -> Result<u64, LinkError> {
        let (_, last) = self.shared().store.bounds(&stream(shard)).await.map_err(FollowError::from)?;
        Ok(last.0)
    }

    async fn follow(
        &self,
        shard: ShardId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<Followed, LinkError>>, LinkError> {
        let store = Arc::clone(&self.shared().store);
        let stopping = self.shared().lifecycle.stopping();
        let followed = follow(store, shard, after).await?;
        Ok(followed.map_err(LinkError::from).take_until(stopping.cancelled_owned()).boxed())
    }

    fn speakers(&self) -> broadcast::Receiver<Speaker> {
        self.router().nodes.speakers()
    }
}

async fn follow(
    store: Arc<dyn Store>,
    shard: ShardId,
    after: Option<u64>,
) -> Result<BoxStream<'static, Result<Followed, FollowError>>, FollowError> {
    let name = stream(shard);
    let (first, last) = store.bounds(&name).await?;
    let cursor = after.map_or(last, Sequence);
    let snapshot = snapshot(&store, shard).await?.filter(|snapshot| snapshot.holds <= cursor);
    let begin = match &snapshot {
        Some(snapshot) => Sequence(snapshot.holds.0 + 1),
        None => first,
    };
    let held = snapshot.into_iter().flat_map(history);
    let entries = store.tail(&name, Sequence(begin.0.max(first.0).max(1))).await?;
    let entries = entries
        .map_err(FollowError::from)
        .and_then(move |record| std::future::ready(followed(&record, record.sequence <= cursor)));
    Ok(stream::iter(held.collect::<Vec<_>>()).chain(entries).boxed())
}

/// A snapshot piece by piece: none is larger than one value of the store.
fn history(snapshot: Snapshot) -> impl Iterator<Item = Result<Followed, FollowError>> {
    let entry = snapshot.holds.0;
    let pieces = snapshot.records.into_iter();
    pieces.map(move |record| Ok(Followed { entry, history: true, facts: facts_of(&record)? }))
}

fn followed(record: &Record, history: bool) -> Result<Followed, FollowError> {
    Ok(Followed { entry: record.sequence.0, history, facts: facts_of(record)? })
}

fn facts_of(record: &Record) -> Result<Vec<Fact>, FollowError> {
    let steps = decode_batch(&record.record)
        .map_err(|source| FollowError::Unreadable { at: record.sequence, source })?;
    Ok(steps.into_iter().flat_map(|step| step.facts).collect())
}
