//! Devices that come into reach and go out of it.

use sidetone_model::fact::FactKind;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::time::Timestamp;

use crate::effect::Step;
use crate::shard::Shard;

impl Shard {
    /// Whether a device can be reached now. It is a fact only when it changes; a device that was never in service is not
    /// out of it.
    pub fn handle_device_state(
        &mut self,
        tenant: &TenantId,
        (user, device): (&UserId, &DeviceId),
        in_service: bool,
        now: Timestamp,
    ) -> Step {
        if self.fold.is_in_service(tenant, user, device).unwrap_or(false) != in_service {
            let (user, device) = (user.clone(), device.clone());
            self.fact(tenant, now, FactKind::DeviceStateChanged { user, device, in_service });
        }
        self.finish()
    }
}
