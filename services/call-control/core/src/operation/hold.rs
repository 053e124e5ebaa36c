//! Hold and retrieve.

use sidetone_model::call::HeldBy;
use sidetone_model::command::LegCommandKind;
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
        let leg = self.own_leg(tenant, leg)?;
        must_take_back(&leg)?;
        let leg = self.allowed(tenant, leg.leg, Capability::Retrieve)?;
        self.take_from_hold(&leg, now);
        Ok(())
    }

    pub(crate) fn put_on_hold(&mut self, leg: &LegView, now: Timestamp) {
        if leg.held.is_none() {
            self.fact(&leg.tenant, now, FactKind::LegHeld { leg: leg.leg, by: HeldBy::Application });
            self.arrange_media(leg.call);
        }
    }

    /// What the phone holds by itself only the phone can take back: it is asked to, and when it does its offer says so. Until then
    /// it holds.
    pub(crate) fn take_from_hold(&mut self, leg: &LegView, now: Timestamp) {
        match leg.held {
            None => {}
            Some(HeldBy::Application) => {
                self.fact(&leg.tenant, now, FactKind::LegRetrieved { leg: leg.leg });
                self.arrange_media(leg.call);
            }
            Some(HeldBy::Phone) if self.is_ending(leg.leg) => {}
            Some(HeldBy::Phone) => self.command(leg, LegCommandKind::Talk),
        }
    }
}

/// Whether a phone that holds by itself can be asked to talk again.
pub(super) fn must_take_back(leg: &LegView) -> Result<(), CommandError> {
    let refused = leg.held == Some(HeldBy::Phone) && !leg.can_be_retrieved();
    if refused { Err(CommandError::HeldByPhone) } else { Ok(()) }
}
