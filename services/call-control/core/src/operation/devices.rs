//! Other devices: going on with one, bringing one in, taking what rings elsewhere, breaking in.

use sidetone_model::call::LegCause;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{CallId, DeviceId, LegId, TenantId};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;

impl Shard {
    /// Rings another device of the user of a leg that talks. `own` is where the user is registered.
    pub(crate) fn other_device(
        &mut self,
        tenant: &TenantId,
        (leg, device): (LegId, &DeviceId),
        cause: LegCause,
        mut own: Routing,
        now: Timestamp,
    ) -> Result<LegId, CommandError> {
        let what = match cause {
            LegCause::DeviceSwitched => Capability::SwitchDevice,
            _ => Capability::AddDevice,
        };
        let leg = self.allowed(tenant, leg, what)?;
        own.bindings.retain(|binding| binding.device == *device);
        if Some(device) == leg.party.device.as_ref() {
            return Err(CommandError::SameDevice);
        }
        self.ring_own(&leg, cause, (false, own), now)
    }

    /// Takes a call that rings at somebody else. `own` is where whoever takes it is registered.
    pub(crate) fn pick_up(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (device, mut own): (Option<&DeviceId>, Routing),
        now: Timestamp,
    ) -> Result<LegId, CommandError> {
        let leg = self.allowed(tenant, leg, Capability::PickedUp)?;
        own.bindings.retain(|binding| device.is_none_or(|device| binding.device == *device));
        self.ring_own(&leg, LegCause::PickedUp, (true, own), now)
    }

    /// Breaks into a conversation.
    pub(crate) fn intrude(
        &mut self,
        tenant: &TenantId,
        call: CallId,
        (device, mut own): (Option<&DeviceId>, Routing),
        now: Timestamp,
    ) -> Result<LegId, CommandError> {
        self.own_call(tenant, call)?;
        let talking = self
            .fold
            .live_legs(call)
            .find(|leg| self.fold.capabilities(leg.leg).contains(Capability::Intruded))
            .cloned();
        let talking = talking.ok_or(CommandError::CapabilityMissing)?;
        own.bindings.retain(|binding| device.is_none_or(|device| binding.device == *device));
        self.ring_own(&talking, LegCause::Intrusion, (true, own), now)
    }

    fn ring_own(
        &mut self,
        by: &LegView,
        cause: LegCause,
        (auto_answer, own): (bool, Routing),
        now: Timestamp,
    ) -> Result<LegId, CommandError> {
        let number = own.bindings.first().map(|binding| binding.user.to_string());
        let number = number.ok_or(CommandError::Unregistered)?;
        let ring = Ring {
            call: by.call,
            tenant: by.tenant.clone(),
            number: number.into(),
            cause,
            by: Some(by.leg),
            auto_answer,
            contact: "".into(),
            then: None,
        };
        let legs = self.ring(&ring, &own, now);
        legs.first().copied().ok_or(CommandError::Unregistered)
    }
}
