//! Handing a shard's facts to another service, with what is needed to fold them.
//!
//! Whoever projects facts needs the state before each. A follower gives the last entry that it has dealt with, and gets
//! the history that folds to the state after that entry, then every further entry. The history comes from the newest
//! snapshot unless that is already past the cursor; then from the log itself, as far back as it is kept.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::ids::ShardId;
use sidetone_runtime::link::{FactFeed, Followed, LinkError, Speaker};
use sidetone_store::Sequence;
use tokio::sync::broadcast;

use crate::CallControl;
use crate::entries::{EntryError, Source, entry};
use crate::owner::Entry;
use crate::owner::snapshots::{Snapshot, newest};

impl From<EntryError> for LinkError {
    fn from(error: EntryError) -> Self {
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
        let (_, last) = self.source(shard).bounds().await.map_err(EntryError::from)?;
        Ok(last.0)
    }

    async fn follow(
        &self,
        shard: ShardId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<Followed, LinkError>>, LinkError> {
        let stopping = self.shared().lifecycle.stopping();
        let followed = follow(self.source(shard), after).await?;
        Ok(followed.map_err(LinkError::from).take_until(stopping.cancelled_owned()).boxed())
    }

    fn speakers(&self) -> broadcast::Receiver<Speaker> {
        self.router().nodes.speakers()
    }
}

async fn follow(
    source: Source,
    after: Option<u64>,
) -> Result<BoxStream<'static, Result<Followed, EntryError>>, EntryError> {
    let (first, last) = source.bounds().await?;
    let cursor = after.map_or(last, Sequence);
    let snapshot = newest(&source.store, source.shard).await?.filter(|snapshot| snapshot.holds <= cursor);
    let begin = match &snapshot {
        Some(snapshot) => Sequence(snapshot.holds.0 + 1),
        None => first,
    };
    let held = snapshot.into_iter().flat_map(history);
    let entries = source.follow(Sequence(begin.0.max(first.0).max(1)));
    let entries = entries.map_ok(move |Entry { sequence, facts }| {
        let history = sequence <= cursor;
        Followed { entry: sequence.0, history, facts }
    });
    Ok(stream::iter(held.collect::<Vec<_>>()).chain(entries).boxed())
}

/// A snapshot piece by piece: none is larger than one value of the store.
fn history(snapshot: Snapshot) -> impl Iterator<Item = Result<Followed, EntryError>> {
    let holds = snapshot.holds.0;
    let pieces = snapshot.records.into_iter();
    pieces.map(move |record| Ok(Followed { entry: holds, history: true, facts: entry(&record)?.facts }))
}
