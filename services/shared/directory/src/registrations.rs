//! Where devices are registered (RFC 3261, section 10): records that expire.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::party::Binding;
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::{Entry, Expect, Revision, StoreError, WatchEvent};

use crate::directory::{Directory, changed};
use crate::error::DirectoryError;
use crate::keys;
use crate::record::Record as _;

/// One registered contact with what a registrar must remember of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who, where, over which flow.
    pub binding: Binding,
    /// Good until then.
    pub expires_at: Timestamp,
    /// The User-Agent of the device; may be empty.
    pub user_agent: Box<str>,
    /// The Call-ID of the REGISTER that made it (RFC 3261, section 10.3).
    pub sip_call_id: Box<str>,
    /// The CSeq of the same.
    pub cseq: u32,
    /// The +sip.instance of the contact (RFC 5626, section 4.1); empty when there is none.
    pub instance: Box<str>,
    /// Which of the instance's flows it is (`reg-id`, RFC 5626, section 4.2); 0 when it does not say.
    pub reg_id: u32,
    /// How much the contact is preferred, in thousandths: its q-value (RFC 3261, section 20.10).
    pub q_thousandths: u16,
    /// The state in which it was read; none for one that is to be written.
    pub revision: Option<Revision>,
}

/// One step of a watch of registrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationEvent {
    /// A contact was registered or refreshed.
    Put {
        /// The tenant.
        tenant: TenantId,
        /// The registration. May have expired meanwhile.
        registration: Box<Registration>,
    },
    /// A contact is gone. An expiry may not be told.
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

/// Registrations as they change. Ends with an error when it can no longer be kept up; then watch again.
pub type RegistrationStream = BoxStream<'static, Result<RegistrationEvent, DirectoryError>>;

impl Directory {
    /// The contacts under which a user can be reached now.
    pub async fn bindings(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<Registration>, DirectoryError> {
        self.list_registrations(tenant, Some(user)).await
    }

    /// The unexpired registrations of a tenant, or of one of its users.
    pub async fn list_registrations(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
    ) -> Result<Vec<Registration>, DirectoryError> {
        let now = self.inner.clock.now();
        let entries = self.store().list(&keys::registrations(tenant, user)).await?;
        let mut registrations = Vec::with_capacity(entries.len());
        for entry in &entries {
            let mut registration = Registration::from_entry(entry)?;
            if owner_of(&entry.key).is_some_and(|(tenant, ..)| registration.key(&tenant) != entry.key) {
                registration.revision = None;
            }
            registrations.push(registration);
        }
        registrations.retain(|r| r.expires_at > now);
        Ok(registrations)
    }

    /// The registration of one contact with +sip.instance of a device; `reg_id` is 0 for one that is not one of several flows.
    pub async fn registration(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
        flow: (&str, u32),
    ) -> Result<Option<Registration>, DirectoryError> {
        let entry = self.store().get(&keys::registration(tenant, user, device, flow, "")).await?;
        let found = entry.as_ref().map(Registration::from_entry).transpose()?;
        Ok(found.filter(|r| r.expires_at > self.inner.clock.now()))
    }

    /// Writes a registration. Each device has one for each flow of each +sip.instance, and one for each URI without.
    ///
    /// # Errors
    /// [`DirectoryError::Changed`] when `expect` is not met: another REGISTER of the same contact came first.
    pub async fn put_registration(
        &self,
        tenant: &TenantId,
        registration: &Registration,
        expect: Expect,
    ) -> Result<Revision, DirectoryError> {
        let value = pb::Registration::from(registration).to_value();
        let key = registration.key(tenant);
        let written = self.store().put(&key, value, Some(registration.expires_at), expect).await;
        written.map_err(|e| changed(e, pb::Registration::WHAT))
    }

    /// Removes a registration. One that is gone already is no error with [`Expect::Any`].
    pub async fn delete_registration(
        &self,
        tenant: &TenantId,
        registration: &Registration,
        expect: Expect,
    ) -> Result<(), DirectoryError> {
        // Where a former release has written it.
        let of_device =
            || keys::registration_of_device(tenant, &registration.binding.user, &registration.binding.device);
        let key = match registration.revision {
            None if registration.instance.is_empty() => of_device(),
            _ => registration.key(tenant),
        };
        let deleted = self.store().delete(&key, expect).await;
        deleted.map_err(|e| changed(e, pb::Registration::WHAT))
    }

    /// Watches the registrations of every tenant.
    pub async fn watch_registrations(&self) -> Result<RegistrationStream, DirectoryError> {
        let watch = self.store().watch(keys::REGISTRATIONS).await?;
        Ok(watch.filter_map(|event| async { registration_event(event).transpose() }).boxed())
    }

    pub(crate) async fn delete_registrations_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<(), DirectoryError> {
        for registration in self.list_registrations(tenant, Some(user)).await? {
            if registration.binding.device == *device {
                self.delete_registration(tenant, &registration, Expect::Any).await?;
            }
        }
        Ok(())
    }
}

impl Registration {
    fn key(&self, tenant: &TenantId) -> String {
        let flow = (&*self.instance, self.reg_id);
        keys::registration(tenant, &self.binding.user, &self.binding.device, flow, &self.binding.contact_uri)
    }

    fn from_entry(entry: &Entry) -> Result<Self, DirectoryError> {
        let stored = pb::Registration::from_entry(entry)?;
        let binding = stored.binding.and_then(|b| Binding::try_from(b).ok());
        Ok(Self {
            binding: binding.ok_or(DirectoryError::Unreadable { what: pb::Registration::WHAT })?,
            expires_at: Timestamp::from_millis(stored.expires_unix_ms),
            user_agent: stored.user_agent.into(),
            sip_call_id: stored.sip_call_id.into(),
            cseq: stored.cseq,
            instance: stored.instance.into(),
            reg_id: stored.reg_id,
            q_thousandths: 1000 - stored.q_below_thousandths.min(1000) as u16,
            revision: Some(entry.revision),
        })
    }
}

impl From<&Registration> for pb::Registration {
    fn from(registration: &Registration) -> Self {
        Self {
            binding: Some((&registration.binding).into()),
            expires_unix_ms: registration.expires_at.as_millis(),
            user_agent: registration.user_agent.to_string(),
            sip_call_id: registration.sip_call_id.to_string(),
            cseq: registration.cseq,
            instance: registration.instance.to_string(),
            reg_id: registration.reg_id,
            q_below_thousandths: 1000 - u32::from(registration.q_thousandths.min(1000)),
        }
    }
}

fn registration_event(
    event: Result<WatchEvent, StoreError>,
) -> Result<Option<RegistrationEvent>, DirectoryError> {
    Ok(match event? {
        WatchEvent::Current => Some(RegistrationEvent::Current),
        WatchEvent::Put(entry) => owner_of(&entry.key)
            .map(|(tenant, _, _)| {
                let registration = Box::new(Registration::from_entry(&entry)?);
                Ok::<_, DirectoryError>(RegistrationEvent::Put { tenant, registration })
            })
            .transpose()?,
        WatchEvent::Deleted(key) => {
            owner_of(&key).map(|(tenant, user, device)| RegistrationEvent::Deleted { tenant, user, device })
        }
    })
}

/// Whose registration a key holds.
fn owner_of(key: &str) -> Option<(TenantId, UserId, DeviceId)> {
    let mut parts = key.strip_prefix(keys::REGISTRATIONS)?.splitn(3, '/');
    let tenant = TenantId::new(parts.next()?).ok()?;
    let user = UserId::new(parts.next()?).ok()?;
    let device = parts.next()?;
    let device = device.split_once('=').map_or(device, |(device, _)| device);
    Some((tenant, user, DeviceId::new(device).ok()?))
}
