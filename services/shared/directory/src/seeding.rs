//! Carrying out a seed: in the directory, or for its mistakes alone in one of which nothing is kept.

use sidetone_model::ids::{DeviceId, RoomId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;
use sidetone_runtime::config::ConfigError;

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::people::SeedMediaEncryption;
use crate::record::Replaces;
use crate::seed::{SeedConfig, SeedTenant, SeedUser};

/// What seeding did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Records that were added.
    pub added: usize,
    /// Records that were there already.
    pub kept: usize,
}

impl Directory {
    /// Adds what is not there yet. Stops at the first record that cannot be added.
    ///
    /// # Errors
    /// What is wrong with that record, and which it is: by its place in the configuration, since errors name nobody.
    pub async fn seed(&self, config: &SeedConfig) -> Result<Seeded, SeedError> {
        let mut seeding = Seeding::default();
        self.seed_all(config, &mut seeding).await?;
        Ok(seeding.seeded)
    }

    /// Every mistake in a seed that shows only when it is carried out, and what is in it twice. To be asked of a directory with
    /// nothing in it, which is of no use afterwards.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rehearse(&self, config: &SeedConfig) -> Result<Vec<ConfigError>, SeedError> {
        let mut seeding = Seeding { mistakes: Some(Vec::new()), ..Seeding::default() };
        self.seed_all(config, &mut seeding).await?;
        Ok(seeding.mistakes.unwrap_or_default())
    }

    async fn seed_all(&self, config: &SeedConfig, seeding: &mut Seeding) -> Result<(), SeedError> {
        for (n, tenant) in config.tenants.iter().enumerate() {
            let at = format!("seed.tenants[{n}]");
            let Some(id) =
                seeding.good(&at, TenantId::new(&tenant.tenant).map_err(DirectoryError::id("tenant")))?
            else {
                continue;
            };
            self.seed_people(&id, &at, tenant, seeding).await?;
            self.seed_numbers(&id, &at, tenant, seeding).await?;
            self.seed_outside(&id, &at, tenant, seeding).await?;
        }
        Ok(())
    }

    /// The tenant itself, its users with their devices, and its rooms.
    async fn seed_people(
        &self,
        id: &TenantId,
        at: &str,
        tenant: &SeedTenant,
        seeding: &mut Seeding,
    ) -> Result<(), SeedError> {
        if seeding.is_new(at, self.tenant(id).await)? {
            let record = pb::Tenant {
                tenant: tenant.tenant.clone(),
                domains: tenant.domains.clone(),
                calls_max: tenant.calls_max,
                assistant: tenant.assistant.clone(),
                registrations_max: tenant.registrations_max,
                redirects: pb::Redirects::from(tenant.redirects).into(),
                names_by_phones: tenant.names_by_phones,
                revision: 0,
            };
            seeding.note(at, self.write_tenant(record, Replaces::Nothing).await)?;
        }
        for (n, user) in tenant.users.iter().enumerate() {
            self.seed_user(id, &format!("{at}.users[{n}]"), user, seeding).await?;
        }
        for (n, room) in tenant.rooms.iter().enumerate() {
            let at = format!("{at}.rooms[{n}]");
            let room_id = RoomId::new(&room.room).map_err(DirectoryError::id("room"));
            let Some(room_id) = seeding.good(&at, room_id)? else { continue };
            if seeding.is_new(&at, self.room(id, &room_id).await)? {
                let record = pb::Room {
                    tenant: tenant.tenant.clone(),
                    room: room.room.clone(),
                    participants_max: room.participants_max,
                    record: room.record,
                    revision: 0,
                };
                seeding.note(&at, self.write_room(record, Replaces::Nothing).await)?;
            }
        }
        Ok(())
    }

    async fn seed_user(
        &self,
        tenant: &TenantId,
        at: &str,
        user: &SeedUser,
        seeding: &mut Seeding,
    ) -> Result<(), SeedError> {
        let id = UserId::new(&user.user).map_err(DirectoryError::id("user"));
        let Some(id) = seeding.good(at, id)? else { return Ok(()) };
        if seeding.is_new(at, self.user(tenant, &id).await)? {
            let Some(record) = seeding.good(at, user.record(tenant))? else { return Ok(()) };
            seeding.note(at, self.write_user(record, Replaces::Nothing).await)?;
        }
        for (n, device) in user.devices.iter().enumerate() {
            let at = format!("{at}.devices[{n}]");
            let device_id = DeviceId::new(&device.device).map_err(DirectoryError::id("device"));
            let Some(device_id) = seeding.good(&at, device_id)? else { continue };
            if seeding.is_new(&at, self.device(tenant, &id, &device_id).await)? {
                let record = pb::Device {
                    tenant: tenant.to_string(),
                    user: user.user.clone(),
                    device: device.device.clone(),
                    auth_username: device.auth_username().to_owned(),
                    media_encryption: SeedMediaEncryption::wire(device.media_encryption),
                    wake_s: device.wake_s,
                    ..pb::Device::default()
                };
                let written = self.write_device(record, Some(&device.password), Replaces::Nothing).await;
                seeding.note(&at, written)?;
            }
        }
        Ok(())
    }

    async fn seed_numbers(
        &self,
        id: &TenantId,
        at: &str,
        tenant: &SeedTenant,
        seeding: &mut Seeding,
    ) -> Result<(), SeedError> {
        for (n, number) in tenant.numbers.iter().enumerate() {
            let at = format!("{at}.numbers[{n}]");
            let invalid = |reason| DirectoryError::Invalid { field: "number", reason };
            let Some(destination) = seeding.good(&at, number.destination().map_err(invalid))? else {
                continue;
            };
            self.seed_number(id, &at, (&number.number, &destination, number.open), seeding).await?;
        }
        for (u, user) in tenant.users.iter().enumerate() {
            let user_id = UserId::new(&user.user).map_err(DirectoryError::id("user"));
            let Some(user_id) = seeding.good(&format!("{at}.users[{u}]"), user_id)? else { continue };
            for (n, number) in user.numbers.iter().enumerate() {
                let destination = Destination::User(user_id.clone());
                let at = format!("{at}.users[{u}].numbers[{n}]");
                self.seed_number(id, &at, (number, &destination, false), seeding).await?;
            }
        }
        Ok(())
    }

    async fn seed_number(
        &self,
        tenant: &TenantId,
        at: &str,
        (number, destination, open): (&str, &Destination, bool),
        seeding: &mut Seeding,
    ) -> Result<(), SeedError> {
        if seeding.is_new(at, self.number(tenant, number).await)? {
            let record = pb::Number {
                tenant: tenant.to_string(),
                number: number.to_owned(),
                destination: Some(destination.into()),
                open,
                revision: 0,
            };
            seeding.note(at, self.write_number(record, Replaces::Nothing).await)?;
        }
        Ok(())
    }

    /// Carriers and applications.
    async fn seed_outside(
        &self,
        id: &TenantId,
        at: &str,
        tenant: &SeedTenant,
        seeding: &mut Seeding,
    ) -> Result<(), SeedError> {
        for (n, trunk) in tenant.trunks.iter().enumerate() {
            let at = format!("{at}.trunks[{n}]");
            let present = self.list_trunks(Some(id)).await;
            let present = present.map(|trunks| trunks.into_iter().find(|t| t.trunk == trunk.trunk));
            if seeding.is_new(&at, present)? {
                let (record, password) = (trunk.record(&tenant.tenant), trunk.password.as_ref());
                seeding.note(&at, self.write_trunk(record, password, Replaces::Nothing).await)?;
            }
        }
        for (n, application) in tenant.applications.iter().enumerate() {
            let at = format!("{at}.applications[{n}]");
            if seeding.is_new(&at, self.application(&application.application).await)? {
                let (record, secret) = (application.record(&tenant.tenant), application.secret.as_ref());
                seeding.note(&at, self.write_application(record, secret, Replaces::Nothing).await)?;
            }
        }
        Ok(())
    }
}

/// Why seeding stopped.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{at}: {error}")]
pub struct SeedError {
    /// The record, by its place in the configuration.
    pub at: String,
    /// What is wrong with it.
    #[source]
    pub error: DirectoryError,
}

/// How far seeding has come.
#[derive(Debug, Default)]
struct Seeding {
    seeded: Seeded,
    /// Mistakes are gathered here, where it is a rehearsal.
    mistakes: Option<Vec<ConfigError>>,
}

impl Seeding {
    /// What can be used. A mistake ends the seeding, or is noted and its record left out.
    fn good<T>(&mut self, at: &str, made: Result<T, DirectoryError>) -> Result<Option<T>, SeedError> {
        let error = match made {
            Ok(made) => return Ok(Some(made)),
            Err(error) => error,
        };
        match &mut self.mistakes {
            // The directory may have it already; [`SeedConfig::odd`] tells of it.
            Some(_) if matches!(error, DirectoryError::NotFound { .. }) => Ok(None),
            Some(mistakes) if !matches!(error, DirectoryError::Store(_)) => {
                // What can be seen without a store has been told of already, by the same words.
                mistakes.push(ConfigError::new(at.to_owned(), error.to_string()));
                Ok(None)
            }
            _ => Err(SeedError { at: at.to_owned(), error }),
        }
    }

    fn is_new<T>(&mut self, at: &str, found: Result<Option<T>, DirectoryError>) -> Result<bool, SeedError> {
        let Some(found) = self.good(at, found)? else { return Ok(false) };
        if found.is_some() {
            self.seeded.kept += 1;
            if let Some(mistakes) = &mut self.mistakes {
                mistakes.push(ConfigError::new(at.to_owned(), "it is in the seed twice".to_owned()));
            }
        }
        Ok(found.is_none())
    }

    /// Another process that seeds at the same time may have been first; that is as good.
    fn note<T>(&mut self, at: &str, written: Result<T, DirectoryError>) -> Result<(), SeedError> {
        let at_once = |error: &DirectoryError| {
            matches!(error, DirectoryError::Changed { .. } | DirectoryError::Taken { what: "number" })
        };
        match written {
            Ok(_) => self.seeded.added += 1,
            Err(error) if at_once(&error) => self.seeded.kept += 1,
            Err(error) => drop(self.good::<T>(at, Err(error))?),
        }
        Ok(())
    }
}
