//! Devices that come into reach and go out of it.

use sidetone_model::fact::FactKind;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::party::Binding;
use sidetone_model::time::Timestamp;

use crate::effect::Step;
use crate::shard::Shard;

impl Shard {
    /// Where a device can be reached now: nowhere, or at a contact, first, and over further flows of the same instance (RFC 5626).
    /// Whether it can is a fact only when it changes; a device that was never in service is not out of it. Calls that wait for it to
    /// wake up ring it.
    pub fn handle_device_state(
        &mut self,
        tenant: &TenantId,
        (user, device): (&UserId, &DeviceId),
        contacts: &[Binding],
        now: Timestamp,
    ) -> Step {
        let in_service = !contacts.is_empty();
        if self.fold.is_in_service(tenant, user, device).unwrap_or(false) != in_service {
            let (user, device) = (user.clone(), device.clone());
            self.fact(tenant, now, FactKind::DeviceStateChanged { user, device, in_service });
        }
        self.wake_all(tenant, (user, device), contacts, now);
        self.finish()
    }
}
