//! Users, their devices, and the credentials of these.

use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::party::Binding;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::types::v1::destination::Kind;
use sidetone_store::{Entry, Expect, Revision, StoreError};

use crate::directory::{Directory, changed};
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record as _, Replaces, StoredCredential, StoredHash};
use crate::secret::{Algorithm, Password};

impl Directory {
    /// Adds or replaces a user.
    pub async fn put_user(&self, user: pb::User) -> Result<pb::User, DirectoryError> {
        let replaces = Replaces::of(user.revision);
        self.write_user(user, replaces).await
    }

    pub(crate) async fn write_user(
        &self,
        user: pb::User,
        replaces: Replaces,
    ) -> Result<pb::User, DirectoryError> {
        let tenant = TenantId::new(&user.tenant).map_err(DirectoryError::id("user.tenant"))?;
        let id = UserId::new(&user.user).map_err(DirectoryError::id("user.user"))?;
        if Binding::is_reserved(&id) {
            return Err(DirectoryError::Invalid { field: "user.user", reason: "the name is reserved" });
        }
        if user.display_name.len() > DISPLAY_NAME_BYTES_MAX || user.display_name.chars().any(char::is_control)
        {
            return Err(DirectoryError::Invalid {
                field: "user.display_name",
                reason: "expected at most 128 bytes without control characters",
            });
        }
        if pb::MessageWaiting::try_from(user.message_waiting).is_err() {
            return Err(DirectoryError::Invalid {
                field: "user.message_waiting",
                reason: "expected always or subscribed",
            });
        }
        if pb::BusyLamp::try_from(user.busy_lamp).is_err() {
            return Err(DirectoryError::Invalid {
                field: "user.busy_lamp",
                reason: "expected calls, state or nobody",
            });
        }
        self.needs_tenant(&tenant).await?;
        self.check_forwards(&tenant, &id, &user).await?;
        self.put_record(&keys::user(&tenant, &id), &user, replaces).await
    }

    /// Removes a user without devices, to whom no number leads.
    pub async fn delete_user(&self, tenant: &TenantId, user: &UserId) -> Result<(), DirectoryError> {
        if self.any(&keys::devices(tenant, Some(user))).await? {
            return Err(DirectoryError::InUse { what: "user", by: "devices" });
        }
        if self.list_numbers(tenant).await?.iter().any(
            |n| matches!(n.destination.as_ref().and_then(|d| d.kind.as_ref()), Some(Kind::User(u)) if u == user.as_str()),
        ) {
            return Err(DirectoryError::InUse { what: "user", by: "numbers" });
        }
        // Before the user: who has the name next has a voicemail of its own.
        self.forget_mailbox(tenant, user).await?;
        self.delete_record::<pb::User>(&keys::user(tenant, user)).await.map(drop)
    }

    /// Every user of a tenant.
    pub async fn list_users(&self, tenant: &TenantId) -> Result<Vec<pb::User>, DirectoryError> {
        self.records(&keys::users(tenant)).await
    }

    /// Adds or replaces a device. Without a password the present one stays; a new device, and one whose digest user
    /// name or set of algorithms changes, needs one, because the hashes cannot be made without.
    pub async fn put_device(
        &self,
        device: pb::Device,
        password: Option<&Password>,
    ) -> Result<pb::Device, DirectoryError> {
        let replaces = Replaces::of(device.revision);
        self.write_device(device, password, replaces).await
    }

    pub(crate) async fn write_device(
        &self,
        mut device: pb::Device,
        password: Option<&Password>,
        replaces: Replaces,
    ) -> Result<pb::Device, DirectoryError> {
        let checked = Checked::new(&device, password)?;
        let (tenant, user, id) = (&checked.tenant, &checked.user, &checked.device);
        self.needs_user(tenant, user).await?;
        let key = keys::device(tenant, user, id);
        let current = self.store().get(&key).await?;
        if !replaces.allows(current.as_ref()) {
            return Err(DirectoryError::Changed { what: pb::Device::WHAT });
        }
        let old = current.as_ref().map(pb::Device::from_entry).transpose()?;

        let credential_key = keys::credential(tenant, &device.auth_username);
        let before = self.store().get(&credential_key).await?;
        let credential = checked.credential(&device, before.as_ref(), password)?;
        device.algorithms = credential.hashes.iter().map(|h| h.algorithm.clone()).collect();
        let claimed = self.write_credential(&credential_key, &credential, before.as_ref()).await?;
        let written = self.put_record(&key, &device, replaces).await;
        if written.is_err() {
            self.undo_credential(&credential_key, claimed, before.as_ref()).await?;
        }
        let written = written?;
        if let Some(old) = old.filter(|o| o.auth_username != written.auth_username) {
            self.forget_credential(tenant, user, id, &old.auth_username).await?;
        }
        Ok(written)
    }

    /// Removes a device with its credential and registrations.
    pub async fn delete_device(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<(), DirectoryError> {
        // The credential goes first: if we are stopped in between, the device cannot register and can be deleted again.
        let key = keys::device(tenant, user, device);
        let Some(entry) = self.store().get(&key).await? else {
            return Err(DirectoryError::NotFound { what: pb::Device::WHAT });
        };
        let auth_username = pb::Device::from_entry(&entry)?.auth_username;
        self.forget_credential(tenant, user, device, &auth_username).await?;
        self.delete_record::<pb::Device>(&key).await?;
        self.delete_registrations_of(tenant, user, device).await
    }

    /// The devices of a user, as every call to it must know them: through the cache.
    pub async fn devices_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<pb::Device>, DirectoryError> {
        let entries = self.inner.cache.folder(self.store(), &keys::devices(tenant, Some(user))).await?;
        entries.iter().map(pb::Device::from_entry).collect()
    }

    /// The devices of a tenant, or of one of its users.
    pub async fn list_devices(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
    ) -> Result<Vec<pb::Device>, DirectoryError> {
        self.records(&keys::devices(tenant, user)).await
    }

    /// Writes a credential over the one that was there before; none when it is the same.
    async fn write_credential(
        &self,
        key: &str,
        credential: &StoredCredential,
        before: Option<&Entry>,
    ) -> Result<Option<Revision>, DirectoryError> {
        let value = credential.to_value();
        if before.is_some_and(|b| b.value == value) {
            return Ok(None);
        }
        let expect = before.map_or(Expect::Absent, |b| Expect::Revision(b.revision));
        let written = self.store().put(key, value, None, expect).await;
        self.inner.cache.forget(key);
        match written {
            Ok(revision) => Ok(Some(revision)),
            Err(StoreError::RevisionMismatch { .. }) if before.is_none() => {
                let first = self.store().get(key).await?;
                let first = first.as_ref().map(StoredCredential::from_entry).transpose()?;
                // Our own device, put twice at the same time, has lost a race and not a name.
                match first {
                    Some(first) if first.user == credential.user && first.device == credential.device => {
                        Err(DirectoryError::Changed { what: pb::Device::WHAT })
                    }
                    _ => Err(DirectoryError::Taken { what: "digest user name" }),
                }
            }
            Err(error) => Err(changed(error, StoredCredential::WHAT)),
        }
    }

    /// Puts back what was there before, unless somebody else has changed it since.
    async fn undo_credential(
        &self,
        key: &str,
        written: Option<Revision>,
        before: Option<&Entry>,
    ) -> Result<(), DirectoryError> {
        let Some(written) = written else { return Ok(()) };
        let expect = Expect::Revision(written);
        let undone = match before {
            Some(before) => self.store().put(key, before.value.clone(), None, expect).await.map(drop),
            None => self.store().delete(key, expect).await,
        };
        self.inner.cache.forget(key);
        ignore_changed(undone)
    }

    async fn forget_credential(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
        auth_username: &str,
    ) -> Result<(), DirectoryError> {
        let key = keys::credential(tenant, auth_username);
        let Some(entry) = self.store().get(&key).await? else { return Ok(()) };
        if !StoredCredential::from_entry(&entry)?.belongs_to(user, device) {
            return Ok(());
        }
        let deleted = self.store().delete(&key, Expect::Revision(entry.revision)).await;
        self.inner.cache.forget(&key);
        ignore_changed(deleted)
    }
}

/// Which phones of a user are told that voicemail messages wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedMessageWaiting {
    /// Every registered one, whether it has subscribed or not.
    #[default]
    Always,
    /// Those that have subscribed (RFC 3842).
    Subscribed,
}

impl From<SeedMessageWaiting> for pb::MessageWaiting {
    fn from(seed: SeedMessageWaiting) -> Self {
        match seed {
            SeedMessageWaiting::Always => Self::Always,
            SeedMessageWaiting::Subscribed => Self::Subscribed,
        }
    }
}

/// Whether the media of a device or trunk is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedMediaEncryption {
    /// Keys in SDP are neither offered nor taken.
    Off,
    /// Offered as RTP/SAVP over TLS and WSS, and not insisted on.
    Offered,
    /// Nothing is said or heard without.
    Required,
}

impl SeedMediaEncryption {
    pub(crate) fn wire(seed: Option<Self>) -> i32 {
        match seed {
            None => pb::MediaEncryption::Unspecified,
            Some(Self::Off) => pb::MediaEncryption::Off,
            Some(Self::Offered) => pb::MediaEncryption::Offered,
            Some(Self::Required) => pb::MediaEncryption::Required,
        }
        .into()
    }
}

/// What other users of the tenant may see of a user's calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedBusyLamp {
    /// Whether the user is called or talks, and with whom.
    #[default]
    Calls,
    /// Whether the user is called or talks.
    State,
    /// Nothing.
    Nobody,
}

impl From<SeedBusyLamp> for pb::BusyLamp {
    fn from(seed: SeedBusyLamp) -> Self {
        match seed {
            SeedBusyLamp::Calls => Self::Calls,
            SeedBusyLamp::State => Self::State,
            SeedBusyLamp::Nobody => Self::Nobody,
        }
    }
}

/// A device whose fields are what they should be.
/// How long a call may wait for a device to register, in seconds: a phone rings no longer either.
const WAKE_S_MAX: u32 = 60;

struct Checked {
    tenant: TenantId,
    user: UserId,
    device: DeviceId,
    algorithms: Vec<Algorithm>,
}

impl Checked {
    fn new(device: &pb::Device, password: Option<&Password>) -> Result<Self, DirectoryError> {
        let tenant = TenantId::new(&device.tenant).map_err(DirectoryError::id("device.tenant"))?;
        let user = UserId::new(&device.user).map_err(DirectoryError::id("device.user"))?;
        let id = DeviceId::new(&device.device).map_err(DirectoryError::id("device.device"))?;
        if !is_auth_username(&device.auth_username) {
            return Err(DirectoryError::Invalid {
                field: "device.auth_username",
                reason: "expected 1 to 128 printable ASCII characters without colon, quotation mark and backslash",
            });
        }
        if pb::MediaEncryption::try_from(device.media_encryption).is_err() {
            return Err(DirectoryError::Invalid {
                field: "device.media_encryption",
                reason: "expected off, offered or required",
            });
        }
        if password.is_some_and(|p| !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&p.reveal().len())) {
            return Err(DirectoryError::Invalid { field: "password", reason: PASSWORD_PROBLEM });
        }
        if device.wake_s > WAKE_S_MAX {
            return Err(DirectoryError::Invalid {
                field: "device.wake_s",
                reason: "expected 0 to 60 seconds",
            });
        }
        let mut algorithms = Vec::new();
        for token in &device.algorithms {
            algorithms.push(Algorithm::from_token(token).ok_or(DirectoryError::Invalid {
                field: "device.algorithms",
                reason: "expected SHA-256 or MD5",
            })?);
        }
        let algorithms =
            Algorithm::ALL.into_iter().filter(|a| algorithms.is_empty() || algorithms.contains(a)).collect();
        Ok(Self { tenant, user, device: id, algorithms })
    }

    /// The credential that is to be kept, over the one that is there.
    fn credential(
        &self,
        device: &pb::Device,
        before: Option<&Entry>,
        password: Option<&Password>,
    ) -> Result<StoredCredential, DirectoryError> {
        let before = before.map(StoredCredential::from_entry).transpose()?;
        if before.as_ref().is_some_and(|b| !b.belongs_to(&self.user, &self.device)) {
            return Err(DirectoryError::Taken { what: "digest user name" });
        }
        if let Some(password) = password {
            let hash = |a: &Algorithm| StoredHash {
                algorithm: a.token().to_owned(),
                ha1: a.ha1(&device.auth_username, self.tenant.as_str(), password.reveal()),
            };
            return Ok(StoredCredential {
                user: self.user.to_string(),
                device: self.device.to_string(),
                hashes: self.algorithms.iter().map(hash).collect(),
            });
        }
        let missing = DirectoryError::Invalid {
            field: "password",
            reason: "must be given for a new device, a new digest user name and a new algorithm",
        };
        let Some(mut kept) = before else { return Err(missing) };
        if !device.algorithms.is_empty() {
            kept.hashes.retain(|h| self.algorithms.iter().any(|a| a.token() == h.algorithm));
            if kept.hashes.len() != self.algorithms.len() {
                return Err(missing);
            }
        }
        Ok(kept)
    }
}

/// Whether a text can be a digest user name. A colon would make HA1 ambiguous (RFC 7616, section 3.4.4).
pub(crate) fn is_auth_username(text: &str) -> bool {
    let usable = |b: u8| (b.is_ascii_graphic() || b == b' ') && !b":\"\\".contains(&b);
    (1..=AUTH_USERNAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(usable)
}

fn ignore_changed(result: Result<(), StoreError>) -> Result<(), DirectoryError> {
    match result {
        Ok(()) | Err(StoreError::RevisionMismatch { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const DISPLAY_NAME_BYTES_MAX: usize = 128;
const AUTH_USERNAME_BYTES_MAX: usize = 128;
/// What is guessed in minutes is none: scanners try short ones first. Registered devices keep what they have.
pub(crate) const PASSWORD_BYTES_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1024;
pub(crate) const PASSWORD_PROBLEM: &str = "expected 8 to 1024 bytes; make one by `openssl rand -base64 15`, since SIP passwords are guessed all day";
