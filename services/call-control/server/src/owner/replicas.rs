//! The signalling replicas that are attached.

use std::collections::HashMap;

use sidetone_model::ids::{BootId, ReplicaId};
use sidetone_model::signal::OwnerMessage;

use super::input::ReplicaStream;

/// What can be told of a replica.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaInfo {
    pub(crate) replica: ReplicaId,
    pub(crate) boot: BootId,
    pub(crate) draining: bool,
}

struct Attached {
    stream: ReplicaStream,
    info: ReplicaInfo,
}

/// Everybody who is attached.
#[derive(Default)]
pub(crate) struct Replicas {
    attached: HashMap<ReplicaId, Attached>,
}

impl Replicas {
    /// A new stream replaces an older one of the same replica.
    pub(crate) fn attach(&mut self, replica: ReplicaId, boot: BootId, stream: ReplicaStream) {
        let info = ReplicaInfo { replica: replica.clone(), boot, draining: false };
        if let Some(older) = self.attached.insert(replica, Attached { stream, info }) {
            older.stream.over.cancel();
        }
    }

    /// A stream has ended. Whether the replica is without one now.
    pub(crate) fn detach(&mut self, replica: &ReplicaId, stream: u64) -> bool {
        // One that did not read its stream was detached before.
        let present = self.attached.get(replica).is_none_or(|attached| attached.stream.id == stream);
        if present {
            self.attached.remove(replica);
        }
        present
    }

    pub(crate) fn is_attached(&self, replica: &ReplicaId) -> bool {
        self.attached.contains_key(replica)
    }

    pub(crate) fn set_draining(&mut self, replica: &ReplicaId) {
        if let Some(attached) = self.attached.get_mut(replica) {
            attached.info.draining = true;
        }
    }

    /// Sends without waiting. A replica that does not read is detached: it comes back, says what it has, and is sent
    /// everything again.
    pub(crate) fn send(&mut self, replica: &ReplicaId, message: OwnerMessage) {
        let Some(attached) = self.attached.get(replica) else { return };
        if attached.stream.to_replica.try_send(message).is_err() {
            tracing::warn!(%replica, "a replica does not read its stream; it is detached");
            attached.stream.over.cancel();
            self.attached.remove(replica);
        }
    }

    /// Sends what may be left out: only where the replica keeps up. Whether it was sent.
    pub(crate) fn offer(&self, replica: &ReplicaId, message: OwnerMessage) -> bool {
        let stream = self.attached.get(replica).map(|attached| &attached.stream.to_replica);
        stream.is_some_and(|stream| {
            stream.capacity() * 2 > stream.max_capacity() && stream.try_send(message).is_ok()
        })
    }

    pub(crate) fn infos(&self) -> Vec<ReplicaInfo> {
        self.attached.values().map(|attached| attached.info.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.attached.len()
    }
}
