//! The other replicas, as they have registered in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use sidetone_model::ids::ReplicaId;
use sidetone_store::{Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Mark;
use crate::replica::{REPLICAS_PREFIX, ReplicaRegistration};

/// Who they are, by the mark in their tags. Bounded by the replicas of the last minutes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Neighbours {
    by_mark: HashMap<Mark, Neighbour>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Neighbour {
    replica: ReplicaId,
    grpc_address: String,
    /// When it was last registered.
    seen_at: Instant,
}

impl Neighbours {
    /// Who makes tags with that mark.
    pub(crate) fn by_mark(&self, mark: &Mark) -> Option<&ReplicaId> {
        self.by_mark.get(mark).map(|neighbour| &neighbour.replica)
    }

    /// Where one answers gRPC, as far as is known.
    pub(crate) fn address(&self, replica: &ReplicaId) -> Option<&str> {
        let neighbour = self.by_mark.values().find(|neighbour| neighbour.replica == *replica)?;
        Some(&neighbour.grpc_address)
    }

    /// Those that are there now.
    pub(crate) fn present(&self) -> impl Iterator<Item = &ReplicaId> {
        let newest = self.by_mark.values().map(|neighbour| neighbour.seen_at).max();
        let now = move |neighbour: &&Neighbour| Some(neighbour.seen_at) == newest;
        self.by_mark.values().filter(now).map(|neighbour| &neighbour.replica)
    }

    /// Takes in who is registered. One that is away is remembered: it may have been killed, and comes back for its calls.
    fn refresh(&mut self, found: impl IntoIterator<Item = (Mark, ReplicaId, String)>, now: Instant) {
        self.by_mark.retain(|_, neighbour| now.saturating_duration_since(neighbour.seen_at) < REMEMBERED);
        for (mark, replica, grpc_address) in found {
            self.by_mark.insert(mark, Neighbour { replica, grpc_address, seen_at: now });
        }
    }
}

/// Reads who is registered beside `own`.
pub(crate) async fn read_neighbours(
    store: &dyn Store,
    own: &ReplicaId,
    secret: &[u8; 32],
    before: &Neighbours,
) -> Result<Neighbours, StoreError> {
    let listed = store.list(REPLICAS_PREFIX).await?;
    let found = listed.iter().filter_map(|entry| {
        let registered = ReplicaRegistration::decode(entry.value.clone()).ok()?;
        let replica = ReplicaId::new(&registered.replica_id).ok().filter(|replica| replica != own)?;
        Some((Mark::of(secret, &replica), replica, registered.grpc_address))
    });
    let mut neighbours = before.clone();
    neighbours.refresh(found, Instant::now());
    Ok(neighbours)
}

/// Keeps the table fresh until the process stops. While the store does not answer, the old one holds.
pub(crate) async fn keep_neighbours(
    store: Arc<dyn Store>,
    own: ReplicaId,
    secret: [u8; 32],
    table: watch::Sender<Arc<Neighbours>>,
    stopping: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = stopping.cancelled() => return,
        }
        let before = Arc::clone(&table.borrow());
        if let Ok(neighbours) = read_neighbours(&*store, &own, &secret, &before).await {
            table.send_replace(Arc::new(neighbours));
        }
    }
}

/// A leg of a replica that has just started is known elsewhere after this time.
const REFRESH: Duration = Duration::from_secs(1);
/// How long one that is away may take to come back for its calls.
const REMEMBERED: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_away_is_remembered_for_a_while() {
        let mut neighbours = Neighbours::default();
        let start = Instant::now();
        let entry = |name: &str| {
            let replica = ReplicaId::new(name).unwrap();
            (Mark::of(&[1; 32], &replica), replica, format!("{name}:1"))
        };
        let gone = entry("a");
        neighbours.refresh([gone.clone(), entry("b")], start);
        assert_eq!(neighbours.present().count(), 2);
        neighbours.refresh([entry("b")], start + REFRESH);
        assert_eq!(neighbours.present().map(ToString::to_string).collect::<Vec<_>>(), ["b"]);
        assert_eq!((neighbours.by_mark(&gone.0), neighbours.address(&gone.1)), (Some(&gone.1), Some("a:1")));
        neighbours.refresh([entry("b")], start + REFRESH + REMEMBERED);
        assert_eq!(neighbours.by_mark(&gone.0), None);
    }
}
