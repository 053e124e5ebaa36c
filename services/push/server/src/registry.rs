//! Which device is woken how: `push/targets/<tenant>/<user>/<device>`.

use std::sync::Arc;

use prost::Message as _;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::wire::{WireError, id};
use sidetone_proto::push::v1 as pb;
use sidetone_store::{Entry, Expect, Revision, Store, StoreError};

use crate::error::PushError;
use crate::providers::Settings;

/// How one device is woken. Its secret is in the settings, which do not show it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) settings: Settings,
    /// The provider said that it does not exist any more; registering it again makes it work again.
    pub(crate) inactive: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(message, optional, tag = "1")]
    target: Option<pb::Target>,
    #[prost(bool, tag = "2")]
    inactive: bool,
}

/// The targets in the store.
#[derive(Clone)]
pub(crate) struct Registry {
    store: Arc<dyn Store>,
}

impl Registry {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The target of a device; none when it has none, or none that works.
    pub(crate) async fn active(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<(Target, Revision)>, PushError> {
        let Some(entry) = self.store.get(&place(tenant, user, device)).await? else { return Ok(None) };
        let target = Target::read(&entry)?;
        Ok((!target.inactive).then_some((target, entry.revision)))
    }

    pub(crate) async fn put(&self, target: &Target, expect: Expect) -> Result<(), StoreError> {
        let stored = Stored { target: Some(target.to_wire(Secrets::Kept)), inactive: target.inactive };
        let place = place(&target.tenant, &target.user, &target.device);
        self.store.put(&place, stored.encode_to_vec().into(), None, expect).await.map(|_| ())
    }

    pub(crate) async fn delete(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<(), StoreError> {
        self.store.delete(&place(tenant, user, device), Expect::Any).await
    }

    pub(crate) async fn list(&self, tenant: &TenantId) -> Result<Vec<Target>, PushError> {
        let entries = self.store.list(&format!("{TARGETS}{tenant}/")).await?;
        entries.iter().map(|entry| Target::read(entry).map_err(Into::into)).collect()
    }
}

/// Whether secrets are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// Into the store.
    Kept,
    /// For every reader.
    Hidden,
}

impl Target {
    /// A target as somebody registers it.
    pub(crate) fn parse(target: pb::Target) -> Result<Self, PushError> {
        Ok(Self {
            tenant: id("Target.tenant", &target.tenant)?,
            user: id("Target.user", &target.user)?,
            device: id("Target.device", &target.device)?,
            settings: Settings::parse(target.provider)?,
            inactive: false,
        })
    }

    pub(crate) fn to_wire(&self, secrets: Secrets) -> pb::Target {
        pb::Target {
            tenant: self.tenant.to_string(),
            user: self.user.to_string(),
            device: self.device.to_string(),
            provider: Some(self.settings.to_wire(secrets)),
        }
    }

    fn read(entry: &Entry) -> Result<Self, StoreError> {
        let broken = |_| StoreError::Corrupt("a push target cannot be read".into());
        let stored = Stored::decode(entry.value.as_ref()).map_err(|_| broken(()))?;
        let target = stored.target.ok_or(WireError::Missing { field: "target" }).map_err(|_| broken(()))?;
        Ok(Self { inactive: stored.inactive, ..Self::parse(target).map_err(|_| broken(()))? })
    }
}

fn place(tenant: &TenantId, user: &UserId, device: &DeviceId) -> String {
    format!("{TARGETS}{tenant}/{user}/{device}")
}

const TARGETS: &str = "push/targets/";
