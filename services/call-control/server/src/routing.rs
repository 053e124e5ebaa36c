//! Where a number leads, looked up before it becomes an input.

use std::sync::Arc;

use sidetone_call_core::{RoomSettings, Routing};
use sidetone_directory::{Directory, DirectoryError};
use sidetone_model::ids::TenantId;
use sidetone_model::party::Destination;

use crate::nodes::Nodes;

/// The look-ups of the owner.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) directory: Directory,
    pub(crate) nodes: Arc<Nodes>,
}

impl Router {
    /// Everything a shard needs to know of a number.
    pub(crate) async fn resolve(&self, tenant: &TenantId, number: &str) -> Result<Routing, DirectoryError> {
        let resolved = self.directory.resolve(tenant, number).await?;
        self.lead(tenant, resolved.map(|resolved| resolved.destination)).await
    }

    /// Everything a shard needs to know of a destination.
    pub(crate) async fn lead(
        &self,
        tenant: &TenantId,
        destination: Option<Destination>,
    ) -> Result<Routing, DirectoryError> {
        let calls_max = self.directory.tenant(tenant).await?.map_or(0, |tenant| tenant.calls_max);
        let mut routing = Routing { calls_max, ..Routing::default() };
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
