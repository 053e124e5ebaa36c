//! Hold and retrieve.

use sidetone_model::call::HeldBy;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::shard::Shard;

impl Shard {
    pub(crate) fn hold(&mut self, tenant: &TenantId, leg: LegId, now: Timestamp) -> Result<(), CommandError> {
        let leg = self.allowed(tenant, leg, Capability::Hold)?;
        self.put_on_hold(&leg, now);
        Ok(())
    }

    pub(crate) fn retrieve(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let leg = self.allowed(tenant, leg, Capability::Retrieve)?;
        self.take_from_hold(&leg, now);
        Ok(())
    }

    pub(crate) fn put_on_hold(&mut self, leg: &LegView, now: Timestamp) {
        if leg.held.is_none() {
            self.fact(&leg.tenant, now, FactKind::LegHeld { leg: leg.leg, by: HeldBy::Application });
            self.arrange_media(leg.call);
        }
    }

    pub(crate) fn take_from_hold(&mut self, leg: &LegView, now: Timestamp) {
        if leg.held.is_some() {
            self.fact(&leg.tenant, now, FactKind::LegRetrieved { leg: leg.leg });
            self.arrange_media(leg.call);
        }
    }
}
