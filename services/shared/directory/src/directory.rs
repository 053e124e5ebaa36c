//! The view itself: lookups by signalling and call control, and the shared ways to read and write a record.

use std::sync::Arc;

use sidetone_model::ids::{DeviceId, RoomId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::{Clock, Entry, Expect, Store, StoreError};

use crate::cache::{Cache, Watching};
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record, Replaces, StoredCredential};
use crate::secret::Credential;

/// A typed view of a store. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct Directory {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) cache: Arc<Cache>,
    _watching: Option<Watching>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Directory")
    }
}

/// Where a number leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// To whom or what.
    pub destination: Destination,
    /// May be called without credentials.
    pub open: bool,
    /// The number, as it is written in the directory.
    pub number: Box<str>,
}

impl Directory {
    /// A view of `store`, by the clock of this machine. Within a tokio runtime it keeps a cache, and a task that ends
    /// with the last clone.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::with_clock(store, Clock::system())
    }

    /// A view of `store` by another clock.
    pub fn with_clock(store: Arc<dyn Store>, clock: Clock) -> Self {
        let cache = Arc::new(Cache::default());
        let _watching = cache.watch(Arc::clone(&store));
        Self { inner: Arc::new(Inner { store, clock, cache, _watching }) }
    }

    /// The tenant of a SIP domain: the host part of an address of record, without port; case and the brackets of an
    /// IPv6 address do not matter.
    pub async fn tenant_of_domain(&self, host: &str) -> Result<Option<TenantId>, DirectoryError> {
        let Some(host) = crate::tenants::normal_host(host) else { return Ok(None) };
        let Some(entry) = self.entry(&keys::domain(&host)).await? else { return Ok(None) };
        crate::tenants::claimant(&entry).map(Some)
    }

    /// The credential of a digest user name.
    pub async fn credential(
        &self,
        tenant: &TenantId,
        auth_username: &str,
    ) -> Result<Option<Credential>, DirectoryError> {
        if !crate::people::is_auth_username(auth_username) {
            return Ok(None);
        }
        let stored: Option<StoredCredential> = self.record(&keys::credential(tenant, auth_username)).await?;
        stored.map(StoredCredential::into_credential).transpose()
    }

    /// Where a number leads: by the tenant's numbers, else to the user of that very name.
    pub async fn resolve(&self, tenant: &TenantId, number: &str) -> Result<Option<Resolved>, DirectoryError> {
        if let Some(found) = self.number(tenant, number).await? {
            let destination = found.destination.ok_or(DirectoryError::Unreadable { what: "number" })?;
            let destination = Destination::try_from(destination)
                .map_err(|_| DirectoryError::Unreadable { what: "number" })?;
            return Ok(Some(Resolved { destination, open: found.open, number: found.number.into() }));
        }
        let Ok(user) = UserId::new(number) else { return Ok(None) };
        let found = self.user(tenant, &user).await?;
        Ok(found.map(|_| Resolved {
            destination: Destination::User(user),
            open: false,
            number: number.into(),
        }))
    }

    /// A tenant.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Option<pb::Tenant>, DirectoryError> {
        self.record(&keys::tenant(tenant)).await
    }

    /// A user.
    pub async fn user(&self, tenant: &TenantId, user: &UserId) -> Result<Option<pb::User>, DirectoryError> {
        self.record(&keys::user(tenant, user)).await
    }

    /// A device.
    pub async fn device(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<pb::Device>, DirectoryError> {
        self.record(&keys::device(tenant, user, device)).await
    }

    /// A number, exactly as it is written.
    pub async fn number(
        &self,
        tenant: &TenantId,
        number: &str,
    ) -> Result<Option<pb::Number>, DirectoryError> {
        if !crate::numbers::is_number(number) {
            return Ok(None);
        }
        self.record(&keys::number(tenant, number)).await
    }

    /// A room.
    pub async fn room(&self, tenant: &TenantId, room: &RoomId) -> Result<Option<pb::Room>, DirectoryError> {
        self.record(&keys::room(tenant, room)).await
    }
}

/// What the other modules build on.
impl Directory {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    /// An entry through the cache.
    pub(crate) async fn entry(&self, key: &str) -> Result<Option<Entry>, DirectoryError> {
        Ok(self.inner.cache.get(self.store(), key, self.inner.clock.now()).await?)
    }

    /// A record through the cache.
    pub(crate) async fn record<R: Record>(&self, key: &str) -> Result<Option<R>, DirectoryError> {
        self.entry(key).await?.as_ref().map(R::from_entry).transpose()
    }

    /// Every record under a prefix, from the store.
    pub(crate) async fn records<R: Record>(&self, prefix: &str) -> Result<Vec<R>, DirectoryError> {
        self.store().list(prefix).await?.iter().map(R::from_entry).collect()
    }

    /// Whether there is anything under a prefix.
    pub(crate) async fn any(&self, prefix: &str) -> Result<bool, DirectoryError> {
        Ok(!self.store().list(prefix).await?.is_empty())
    }

    /// Writes a record and answers it with its revision. One that is there already in the same form is left alone.
    pub(crate) async fn put_record<R: Record>(
        &self,
        key: &str,
        record: &R,
        replaces: Replaces,
    ) -> Result<R, DirectoryError> {
        let current = self.store().get(key).await?;
        if !replaces.allows(current.as_ref()) {
            return Err(DirectoryError::Changed { what: R::WHAT });
        }
        let value = record.to_value();
        if let Some(current) = current.filter(|c| c.value == value) {
            return R::from_entry(&current);
        }
        let written = self.store().put(key, value, None, replaces.expect()).await;
        self.inner.cache.forget(key);
        let mut record = record.clone();
        record.set_revision(written.map_err(|e| changed(e, R::WHAT))?.0);
        Ok(record)
    }

    /// Removes a record that must be there.
    pub(crate) async fn delete_record<R: Record>(&self, key: &str) -> Result<R, DirectoryError> {
        let Some(entry) = self.store().get(key).await? else {
            return Err(DirectoryError::NotFound { what: R::WHAT });
        };
        let deleted = self.store().delete(key, Expect::Revision(entry.revision)).await;
        self.inner.cache.forget(key);
        deleted.map_err(|e| changed(e, R::WHAT))?;
        R::from_entry(&entry)
    }

    /// Sees that a tenant exists.
    pub(crate) async fn needs_tenant(&self, tenant: &TenantId) -> Result<(), DirectoryError> {
        self.tenant(tenant).await?.map(drop).ok_or(DirectoryError::NotFound { what: "tenant" })
    }

    /// Sees that a user exists.
    pub(crate) async fn needs_user(&self, tenant: &TenantId, user: &UserId) -> Result<(), DirectoryError> {
        self.user(tenant, user).await?.map(drop).ok_or(DirectoryError::NotFound { what: "user" })
    }
}

pub(crate) fn changed(error: StoreError, what: &'static str) -> DirectoryError {
    match error {
        StoreError::RevisionMismatch { .. } => DirectoryError::Changed { what },
        other => DirectoryError::Store(other),
    }
}
