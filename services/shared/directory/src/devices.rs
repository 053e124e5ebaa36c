//! What is set of devices, as it changes: for those who must know it at once and may not ask.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_proto::directory::v1 as pb;
use sidetone_store::{StoreError, WatchEvent};

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::keys;
use crate::record::Record as _;

/// One step of a watch of devices.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceEvent {
    /// A device was added or changed.
    Put(Box<pb::Device>),
    /// A device is gone.
    Deleted {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The device.
        device: DeviceId,
    },
    /// Everything that was there at the start has been told.
    Current,
}

/// Devices as they change. Ends with an error when it can no longer be kept up; then watch again.
pub type DeviceStream = BoxStream<'static, Result<DeviceEvent, DirectoryError>>;

impl Directory {
    /// Watches the devices of every tenant.
    ///
    /// # Errors
    /// When the store cannot be watched.
    pub async fn watch_devices(&self) -> Result<DeviceStream, DirectoryError> {
        let watch = self.store().watch(keys::DEVICES).await?;
        Ok(watch.filter_map(|event| async { device_event(event).transpose() }).boxed())
    }
}

fn device_event(event: Result<WatchEvent, StoreError>) -> Result<Option<DeviceEvent>, DirectoryError> {
    Ok(match event? {
        WatchEvent::Current => Some(DeviceEvent::Current),
        WatchEvent::Put(entry) => Some(DeviceEvent::Put(Box::new(pb::Device::from_entry(&entry)?))),
        WatchEvent::Deleted(key) => {
            named(&key).map(|(tenant, user, device)| DeviceEvent::Deleted { tenant, user, device })
        }
    })
}

/// Whose record a key holds.
fn named(key: &str) -> Option<(TenantId, UserId, DeviceId)> {
    let mut parts = key.strip_prefix(keys::DEVICES)?.splitn(3, '/');
    let tenant = TenantId::new(parts.next()?).ok()?;
    let user = UserId::new(parts.next()?).ok()?;
    Some((tenant, user, DeviceId::new(parts.next()?).ok()?))
}
