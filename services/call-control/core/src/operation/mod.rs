//! What applications and phones do with calls that stand: one file for each family of operations.
//!
//! Every operation asks [`sidetone_model::fold::Fold::capabilities`] first. What is offered succeeds, whatever else is
//! refused and changes nothing.

mod audio;
mod devices;
mod divert;
mod enquiry;
mod group;
mod hold;
mod join;
mod participants;
mod redirected;
mod referred;
mod replacing;
mod transfer;

pub(crate) use redirected::REDIRECTIONS_MAX;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{LegId, TenantId};

use crate::error::CommandError;
use crate::shard::Shard;

impl Shard {
    /// A live leg of the tenant with which that may be done now.
    pub(crate) fn allowed(
        &self,
        tenant: &TenantId,
        leg: LegId,
        what: Capability,
    ) -> Result<LegView, CommandError> {
        let view = self.own_leg(tenant, leg)?;
        let may = self.fold.capabilities(leg).contains(what);
        if may { Ok(view) } else { Err(CommandError::CapabilityMissing) }
    }
}
