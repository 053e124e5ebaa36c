//! Where a number leads, looked up before it becomes an input.

use std::sync::Arc;

use sidetone_call_core::{RoomSettings, Routing};
use sidetone_directory::{Directory, DirectoryError};
use sidetone_model::ids::{ReplicaId, TenantId};
use sidetone_model::party::{Binding, Destination};

use crate::nodes::Nodes;

/// The look-ups of the owner.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) directory: Directory,
    pub(crate) nodes: Arc<Nodes>,
    /// As [`sidetone_call_core::Limits::foreign_as_numbers`].
    pub(crate) foreign_as_numbers: bool,
}

impl Router {
    /// Everything a shard needs to know of a number.
    pub(crate) async fn resolve(&self, tenant: &TenantId, number: &str) -> Result<Routing, DirectoryError> {
        let resolved = self.directory.resolve(tenant, number).await?;
        if resolved.is_none()
            && let Some(replica) = self.directory.trunk_replica(tenant, number).await?
        {
            return self.outside(tenant, number, replica).await;
        }
        self.lead(tenant, resolved.map(|resolved| resolved.destination)).await
    }

    /// A number that nobody in the tenant has goes out over a trunk: to call control it is one more device to ring. Which
    /// trunk, and which next when that one fails, is signalling's ([`sidetone_model::party::Binding::outside`]).
    async fn outside(
        &self,
        tenant: &TenantId,
        number: &str,
        replica: ReplicaId,
    ) -> Result<Routing, DirectoryError> {
        let binding = Binding::outside(number, replica);
        let calls_max = self.directory.tenant(tenant).await?.map_or(0, |tenant| tenant.calls_max);
        Ok(Routing {
            calls_max,
            nodes: self.nodes.candidates(2),
            destination: Some(Destination::User(binding.user.clone())),
            bindings: vec![binding],
            ..Routing::default()
        })
    }

    /// Everything a shard needs to know of a destination.
    pub(crate) async fn lead(
        &self,
        tenant: &TenantId,
        destination: Option<Destination>,
    ) -> Result<Routing, DirectoryError> {
        let own = self.directory.tenant(tenant).await?.unwrap_or_default();
        let mut routing = Routing { calls_max: own.calls_max, ..Routing::default() };
        let destination = match destination {
            // One step: an assistant that is the assistant is none.
            Some(Destination::Assistant) if !own.assistant.is_empty() => {
                let there = self.directory.resolve(tenant, &own.assistant).await?;
                there.map(|resolved| resolved.destination).filter(|to| *to != Destination::Assistant)
            }
            Some(Destination::Assistant) => None,
            destination => destination,
        };
        match &destination {
            Some(Destination::User(user)) => {
                let registrations = self.directory.bindings(tenant, user).await?;
                routing.bindings =
                    registrations.into_iter().map(|registration| registration.binding).collect();
            }
            Some(Destination::Room(room)) => {
                if let Some(room) = self.directory.room(tenant, room).await? {
                    routing.room =
                        RoomSettings { participants_max: room.participants_max, record: room.record };
                }
            }
            _ => {}
        }
        // The caller's leg and, on the same node, one for every device that rings.
        routing.nodes = self.nodes.candidates(1 + routing.bindings.len() as u32);
        routing.destination = destination;
        Ok(routing)
    }
}
