//! How others learn of this replica, and what all replicas share.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message as _;
use sidetone_model::ids::{BootId, ReplicaId};
use sidetone_model::time::Timestamp;
use sidetone_store::{Expect, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::transport::os_random;

/// Under `signalling-replicas/<id>` stands the registration of each replica.
pub const REPLICAS_PREFIX: &str = "signalling-replicas/";

/// A replica as it registers in the store; it expires unless it is renewed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReplicaRegistration {
    /// Its name.
    #[prost(string, tag = "1")]
    pub replica_id: String,
    /// Its present life.
    #[prost(string, tag = "2")]
    pub boot_id: String,
    /// Where its gRPC service answers, as host:port.
    #[prost(string, tag = "3")]
    pub grpc_address: String,
}

/// The wall clock.
pub(crate) fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since_epoch.as_millis() as u64)
}

/// Registers, renews the registration, and takes it back when the process stops.
pub(crate) async fn keep_registered(
    store: Arc<dyn Store>,
    replica: ReplicaId,
    boot: BootId,
    grpc_address: String,
    stopping: CancellationToken,
) {
    let key = format!("{REPLICAS_PREFIX}{replica}");
    let value =
        ReplicaRegistration { replica_id: replica.to_string(), boot_id: boot.to_string(), grpc_address };
    let value = Bytes::from(value.encode_to_vec());
    let mut failing = false;
    loop {
        let written = store.put(&key, value.clone(), Some(wall_clock() + LIFETIME), Expect::Any).await;
        match written {
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "cannot register this replica in the store; trying on");
            }
            Ok(_) => failing = false,
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            () = stopping.cancelled() => break,
        }
    }
    // It would expire by itself.
    let _best_effort = store.delete(&key, Expect::Any).await;
}

/// Every replica that is registered, for who asks all of them.
pub(crate) async fn registered(store: &dyn Store) -> Result<Vec<ReplicaRegistration>, tonic::Status> {
    let listed = store.list(REPLICAS_PREFIX).await;
    let listed = listed.map_err(|error| tonic::Status::unavailable(format!("the store: {error}")))?;
    Ok(listed.iter().filter_map(|entry| ReplicaRegistration::decode(entry.value.clone()).ok()).collect())
}

/// The key under which nonces are signed: the same for all replicas, so that a phone that was challenged by one may
/// answer to another. Made by whoever comes first.
pub(crate) async fn nonce_secret(store: &dyn Store) -> Result<[u8; 32], StoreError> {
    for _ in 0..SECRET_ATTEMPTS {
        if let Some(entry) = store.get(SECRET_KEY).await? {
            return entry.value.as_ref().try_into().map_err(|_| {
                StoreError::Corrupt("the secret for nonces has not 32 bytes; delete the key".to_owned())
            });
        }
        let fresh: [u8; 32] = os_random().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        match store.put(SECRET_KEY, Bytes::copy_from_slice(&fresh), None, Expect::Absent).await {
            Ok(_) => return Ok(fresh),
            Err(StoreError::RevisionMismatch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Unavailable("the secret for nonces keeps changing".to_owned()))
}

const LIFETIME: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);
const SECRET_KEY: &str = "signalling-secrets/nonce";
const SECRET_ATTEMPTS: usize = 5;
