//! Carriers: read from the directory, resolved, and served by one replica each.
//!
//! A task of its own reads the records and holds what this replica serves, while names are looked up beside it; the agent gets
//! the result as a [`Table`] and does the SIP: it registers, asks for signs of life, and takes the next way when one fails.

mod lookups;
mod resolve;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sidetone_directory::{Directory, DirectoryError};
use sidetone_model::ids::{ReplicaId, TenantId};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::uri::SipUri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::replica::wall_clock;

use lookups::Lookups;
#[cfg(test)]
pub(crate) use resolve::Target;
pub(crate) use resolve::{Names, transport_of};
pub(crate) use table::{Condition, Table, Trunk, TrunkKey, Way};

/// What the agent tells of the trunks: whether they are healthy and registered, their problem, and their calls.
pub(crate) type Reports = Arc<Mutex<HashMap<TrunkKey, pb::TrunkState>>>;

/// Keeps the table fresh.
pub(crate) struct Keeper {
    directory: Directory,
    replica: ReplicaId,
    names: Arc<Names>,
    tokens: Tokens,
    reports: Reports,
    table: watch::Sender<Arc<Table>>,
    lookups: Lookups,
}

impl Keeper {
    /// One that writes to `table`, and takes what is to be told of the trunks from `reports`.
    pub(crate) fn new(
        directory: Directory,
        replica: ReplicaId,
        names: Names,
        tokens: Tokens,
        reports: Reports,
        table: watch::Sender<Arc<Table>>,
    ) -> Self {
        let (names, lookups) = (Arc::new(names), Lookups::default());
        Self { directory, replica, names, tokens, reports, table, lookups }
    }

    /// Until the process stops.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut failing = false;
        loop {
            match self.read().await {
                Ok((table, unseen)) => {
                    self.table.send_replace(Arc::new(table));
                    failing = false;
                    if unseen {
                        continue;
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "the trunks cannot be read; the old ones stay");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.take_found() => {}
                () = tokio::time::sleep(REFRESH) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Takes in what look-ups find, until one of a trunk that was not known to lead anywhere. The table is made anew when a trunk leads
    /// elsewhere, and not for each look-up that tells what was known.
    async fn take_found(&mut self) {
        loop {
            let news = self.lookups.next().await;
            if !news.elsewhere {
                if news.first {
                    return;
                }
                continue;
            }
            let before = Arc::clone(&self.table.borrow());
            let now_at = |trunk: &Trunk| {
                let found = self.lookups.found(&trunk.key).unwrap_or_default();
                Trunk { targets: found.to_vec(), ..trunk.clone() }
            };
            let trunks = before.trunks.iter().map(now_at).collect();
            self.table.send_replace(Arc::new(Table { trunks }));
            if news.first {
                return;
            }
        }
    }

    /// The trunks as they are now, and whether there are some that calls could not take so far: those are held, which says to
    /// everybody that this replica has them, only when calls can.
    async fn read(&mut self) -> Result<(Table, bool), DirectoryError> {
        let (mut trunks, mut unseen) = (Vec::<Trunk>::new(), false);
        for record in self.directory.list_trunks(None).await? {
            let Ok(tenant) = TenantId::new(&record.tenant) else { continue };
            let key = (tenant, record.trunk.clone());
            let seen = self.table.borrow().get(&key).is_some();
            unseen |= !seen;
            let uri = SipUri::parse(&record.uri).ok();
            let password = match record.has_password {
                true => self.directory.trunk_password(&key.0, &key.1).await?,
                false => None,
            };
            let record_leads_nowhere = uri.is_none();
            let targets = uri.map(|uri| self.look_up(&key, uri)).unwrap_or_default();
            let sources = record.sources.iter().filter_map(|text| text.parse().ok()).collect();
            // Others send calls here as soon as they read the lease: it comes last, and is known to the agent at once.
            let answered = seen && (record_leads_nowhere || self.lookups.is_answered(&key));
            let held = answered && self.hold(&key, record.options_interval_s > 0).await?;
            if held {
                self.show_held(&key);
            }
            trunks.push(Trunk { key, record, password, targets, sources, held });
        }
        self.lookups.retain(|key| trunks.iter().any(|trunk| trunk.key == *key));
        Ok((Table { trunks }, unseen))
    }

    /// A trunk that was not held so far is from now on.
    fn show_held(&self, key: &TrunkKey) {
        self.table.send_if_modified(|table| {
            let at = table.trunks.iter().position(|trunk| trunk.key == *key && !trunk.held);
            let Some(at) = at else { return false };
            let mut trunks = table.trunks.clone();
            trunks[at].held = true;
            *table = Arc::new(Table { trunks });
            true
        });
    }

    /// Where a trunk's URI leads as far as it is known; what is not is looked up meanwhile.
    fn look_up(&mut self, key: &TrunkKey, uri: SipUri) -> Vec<resolve::Target> {
        let (names, seed) = (Arc::clone(&self.names), self.tokens.below(u32::MAX));
        self.lookups.targets(key, &uri.to_string(), Instant::now(), || async move {
            let mut random = Tokens::seeded(spread(seed));
            names.targets(&uri, &mut |bound| random.below(bound)).await
        })
    }

    async fn hold(&self, key: &TrunkKey, asks: bool) -> Result<bool, DirectoryError> {
        let report = self.reports.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let state = pb::TrunkState {
            tenant: key.0.to_string(),
            trunk: key.1.clone(),
            replica: self.replica.to_string(),
            ..report.unwrap_or_else(|| not_told(asks))
        };
        self.directory.hold_trunk(&state, wall_clock() + HOLD).await
    }
}

/// The state of a trunk of which the agent has not told anything; `asks` says that it will be asked for signs of life.
fn not_told(asks: bool) -> pb::TrunkState {
    pb::TrunkState { healthy: !asks, unknown: asks, ..pb::TrunkState::default() }
}

/// A seed out of one word.
fn spread(word: u32) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&word.to_be_bytes());
    seed
}

const REFRESH: Duration = Duration::from_secs(2);
const HOLD: Duration = Duration::from_secs(10);
