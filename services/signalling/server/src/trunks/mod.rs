//! Carriers: read from the directory, resolved, and served by one replica each.
//!
//! A task of its own reads the records, looks up their names and holds what this replica serves; the agent gets the result
//! as a [`Table`] and does the SIP: it registers, asks for signs of life, and takes the next way when one fails.

mod resolve;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sidetone_directory::{Directory, DirectoryError};
use sidetone_model::ids::{ReplicaId, TenantId};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::uri::SipUri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::replica::wall_clock;

pub(crate) use resolve::Names;
pub(crate) use table::{Condition, Table, Trunk, TrunkKey, Way};

/// What the agent tells of the trunks: whether they are healthy and registered, their problem, and their calls.
pub(crate) type Reports = Arc<Mutex<HashMap<TrunkKey, pb::TrunkState>>>;

/// Keeps the table fresh.
pub(crate) struct Keeper {
    pub(crate) directory: Directory,
    pub(crate) replica: ReplicaId,
    pub(crate) names: Names,
    pub(crate) tokens: Tokens,
    pub(crate) reports: Reports,
    pub(crate) table: watch::Sender<Arc<Table>>,
}

impl Keeper {
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
                () = tokio::time::sleep(REFRESH) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// The trunks as they are now, and whether there are some that calls could not take so far: those are held, which says to
    /// everybody that this replica has them, only when calls can.
    async fn read(&mut self) -> Result<(Table, bool), DirectoryError> {
        let (mut trunks, mut unseen) = (Vec::new(), false);
        for record in self.directory.list_trunks(None).await? {
            let Ok(tenant) = TenantId::new(&record.tenant) else { continue };
            let key = (tenant, record.trunk.clone());
            let seen = self.table.borrow().get(&key).is_some();
            unseen |= !seen;
            let held = seen && self.hold(&key).await?;
            let password = match record.has_password {
                true => self.directory.trunk_password(&key.0, &key.1).await?,
                false => None,
            };
            let targets = match SipUri::parse(&record.uri) {
                Ok(uri) => {
                    let tokens = &mut self.tokens;
                    let mut random = |bound| tokens.below(bound);
                    let looking = self.names.targets(&uri, &mut random);
                    tokio::time::timeout(LOOKUP_TIMEOUT, looking).await.unwrap_or_default()
                }
                Err(_) => Vec::new(),
            };
            // A name that leads nowhere for a moment leads where it led.
            let before =
                || self.table.borrow().get(&key).map(|trunk| trunk.targets.clone()).unwrap_or_default();
            let targets = if targets.is_empty() { before() } else { targets };
            let sources = record.sources.iter().filter_map(|text| text.parse().ok()).collect();
            trunks.push(Trunk { key, record, password, targets, sources, held });
        }
        Ok((Table { trunks }, unseen))
    }

    async fn hold(&self, key: &TrunkKey) -> Result<bool, DirectoryError> {
        let report = self.reports.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let state = pb::TrunkState {
            tenant: key.0.to_string(),
            trunk: key.1.clone(),
            replica: self.replica.to_string(),
            ..report.unwrap_or(pb::TrunkState { healthy: true, ..pb::TrunkState::default() })
        };
        self.directory.hold_trunk(&state, wall_clock() + HOLD).await
    }
}

const REFRESH: Duration = Duration::from_secs(2);
const HOLD: Duration = Duration::from_secs(10);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
