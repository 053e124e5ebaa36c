//! What a configuration file puts into the directory at the start.
//!
//! Seeding only adds what is not there. A record that exists is left as it is, whoever wrote it; one that was deleted
//! comes back with the next start, unless it is taken out of the file too.

use serde::Deserialize;
use sidetone_model::ids::{DeviceId, RoomId, TenantId, UserId};
use sidetone_model::party::{Destination, GROUP_MEMBERS_MAX};
use sidetone_proto::directory::v1 as pb;
use sidetone_runtime::config::ConfigError;

use crate::applications::SeedApplication;
use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::forwards::{forward_of, forward_text, timed_forward_of};
use crate::numbers::is_number;
use crate::people::{SeedBusyLamp, SeedMessageWaiting, is_auth_username};
use crate::record::Replaces;
use crate::secret::Password;
use crate::tenants::{SeedRedirects, normal_host};
use crate::trunks::SeedTrunk;

/// The `seed` section of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeedConfig {
    /// Tenants. Default none.
    pub tenants: Vec<SeedTenant>,
}

/// One tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedTenant {
    /// Its name, which is also the realm of its credentials.
    pub tenant: String,
    /// Host parts of its SIP addresses, without port. Default none.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Calls at once; 0 (default) for no limit.
    #[serde(default)]
    pub calls_max: u32,
    /// Contacts registered at once; 0 (default) for no limit.
    #[serde(default)]
    pub registrations_max: u32,
    /// The number to which calls go that are sent to the assistant. Default none.
    #[serde(default)]
    pub assistant: String,
    /// How far phones that are called may send the call on themselves (3xx): `never`, `inside` (to the tenant's own numbers) or
    /// `everywhere`. Default `everywhere`.
    #[serde(default)]
    pub redirects: SeedRedirects,
    /// Its users. Default none.
    #[serde(default)]
    pub users: Vec<SeedUser>,
    /// Its conference rooms. Default none.
    #[serde(default)]
    pub rooms: Vec<SeedRoom>,
    /// Its numbers beside those of users. Default none.
    #[serde(default)]
    pub numbers: Vec<SeedNumber>,
    /// Its applications and teams. Default none.
    #[serde(default)]
    pub applications: Vec<SeedApplication>,
    /// Its carriers. Default none.
    #[serde(default)]
    pub trunks: Vec<SeedTrunk>,
}

/// One user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    /// The user's name.
    pub user: String,
    /// What others see. Default empty.
    #[serde(default)]
    pub display_name: String,
    /// May take calls that ring at users with whom it shares no pick-up group. Default false.
    #[serde(default)]
    pub may_pick_up: bool,
    /// May break into the conversations of others. Default false.
    #[serde(default)]
    pub may_intrude: bool,
    /// Which phones are told that voicemail messages wait: `always`, or `subscribed`. Default `always`.
    #[serde(default)]
    pub message_waiting: SeedMessageWaiting,
    /// What other users of the tenant may see of this one's calls: `calls`, `state` or `nobody`. Default `calls`.
    #[serde(default)]
    pub busy_lamp: SeedBusyLamp,
    /// Numbers that ring this user. Default none.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Telephones. Default none.
    #[serde(default)]
    pub devices: Vec<SeedDevice>,
    /// Where calls go when the user is busy: `voicemail` (the user's own), `assistant` (the tenant's), or a number. Default
    /// nowhere.
    #[serde(default)]
    pub on_busy: Option<String>,
    /// The same when nobody answers, with the seconds that it rings before: `20:voicemail`. Without seconds the ring time.
    #[serde(default)]
    pub on_no_answer: Option<String>,
    /// The same when no device is registered or can be reached.
    #[serde(default)]
    pub on_unregistered: Option<String>,
}

/// One telephone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedDevice {
    /// Its name, unique to its user.
    pub device: String,
    /// What it gives as digest user name; unique in the tenant. Default the device's name.
    #[serde(default)]
    pub auth_username: Option<String>,
    /// Its password. Only hashes are stored.
    pub password: Password,
}

/// One conference room.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRoom {
    /// Its name.
    pub room: String,
    /// Participants at once; 0 (default) for no limit of its own.
    #[serde(default)]
    pub participants_max: u32,
    /// Every meeting is recorded. Default false.
    #[serde(default)]
    pub record: bool,
}

/// One number, with exactly one of `user`, `room`, `echo`, `announcement`, `wait`, `voicemail`, `mailbox`, `own_mailbox` and
/// `pick_up_group`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeedNumber {
    /// The number as it is dialled.
    pub number: String,
    /// Rings this user.
    pub user: Option<String>,
    /// Leads into this room.
    pub room: Option<String>,
    /// One hears oneself.
    pub echo: bool,
    /// Plays this prompt, then hangs up.
    pub announcement: Option<String>,
    /// How often the prompt is played; 0 is for ever. Default 1.
    pub repeat: Option<u32>,
    /// Stays unanswered until an application answers.
    pub wait: bool,
    /// Leaves a message in this user's voicemail.
    pub voicemail: Option<String>,
    /// This user, and nobody else, listens to the own voicemail.
    pub mailbox: Option<String>,
    /// Whoever calls listens to the own voicemail.
    pub own_mailbox: bool,
    /// These users take each other's calls by dialling it, 2 to 64.
    pub pick_up_group: Option<Vec<String>>,
    /// May be called without credentials. Default false.
    pub open: bool,
}

/// What seeding did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Records that were added.
    pub added: usize,
    /// Records that were there already.
    pub kept: usize,
}

impl SeedConfig {
    /// Reports every mistake that can be seen without a store.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        for (n, tenant) in self.tenants.iter().enumerate() {
            tenant.check(&format!("seed.tenants[{n}]"), errors);
        }
    }

    /// What leads nowhere as far as the seed tells: no mistake, since the directory may have it already.
    pub fn odd(&self) -> Vec<ConfigError> {
        let mut odd = Vec::new();
        for (t, tenant) in self.tenants.iter().enumerate() {
            odd.extend(tenant.odd_forwards(&format!("seed.tenants[{t}]")));
            for (n, number) in tenant.numbers.iter().enumerate() {
                let mut tell = |key: &str, name: &str| {
                    let problem = format!(
                        "{name:?} is not in the seed; without it in the directory, calls to the number fail"
                    );
                    odd.push(ConfigError::new(format!("seed.tenants[{t}].numbers[{n}].{key}"), problem));
                };
                if let Some(room) =
                    number.room.as_ref().filter(|room| !tenant.rooms.iter().any(|r| r.room == **room))
                {
                    tell("room", room);
                }
                let users =
                    [("user", &number.user), ("voicemail", &number.voicemail), ("mailbox", &number.mailbox)];
                for (key, user) in users {
                    if let Some(user) =
                        user.as_ref().filter(|user| !tenant.users.iter().any(|u| u.user == **user))
                    {
                        tell(key, user);
                    }
                }
            }
        }
        odd
    }

    /// The prompts of announcements, each with its key.
    pub fn announcements(&self) -> Vec<(String, String)> {
        let tenants = self.tenants.iter().enumerate();
        let numbers =
            tenants.flat_map(|(t, tenant)| tenant.numbers.iter().enumerate().map(move |(n, of)| (t, n, of)));
        let announced = numbers.filter_map(|(t, n, number)| {
            Some((format!("seed.tenants[{t}].numbers[{n}].announcement"), number.announcement.clone()?))
        });
        announced.collect()
    }
}

impl SeedTenant {
    fn check(&self, at: &str, errors: &mut Vec<ConfigError>) {
        let mut bad = |key: String, problem: String| errors.push(ConfigError::new(key, problem));
        if let Err(error) = TenantId::new(&self.tenant) {
            bad(format!("{at}.tenant"), error.reason.to_owned());
        }
        for (n, domain) in self.domains.iter().enumerate() {
            if normal_host(domain).is_none() {
                bad(format!("{at}.domains[{n}]"), "expected a host name or IP address without port".into());
            }
        }
        for (n, user) in self.users.iter().enumerate() {
            let at = format!("{at}.users[{n}]");
            if let Err(error) = UserId::new(&user.user) {
                bad(format!("{at}.user"), error.reason.to_owned());
            }
            user.check_forwards(&at, &mut bad);
            for (n, number) in user.numbers.iter().enumerate() {
                if !is_number(number) {
                    bad(format!("{at}.numbers[{n}]"), NUMBER_PROBLEM.into());
                }
            }
            for (n, device) in user.devices.iter().enumerate() {
                let at = format!("{at}.devices[{n}]");
                if let Err(error) = DeviceId::new(&device.device) {
                    bad(format!("{at}.device"), error.reason.to_owned());
                }
                if !is_auth_username(device.auth_username()) {
                    bad(format!("{at}.auth_username"), "expected 1 to 128 printable characters".into());
                }
                if device.password.reveal().is_empty() {
                    bad(format!("{at}.password"), "must not be empty".into());
                }
            }
        }
        for (n, room) in self.rooms.iter().enumerate() {
            if let Err(error) = RoomId::new(&room.room) {
                bad(format!("{at}.rooms[{n}].room"), error.reason.to_owned());
            }
        }
        for (n, number) in self.numbers.iter().enumerate() {
            let at = format!("{at}.numbers[{n}]");
            if !is_number(&number.number) {
                bad(format!("{at}.number"), NUMBER_PROBLEM.into());
            }
            if let Err(problem) = number.destination() {
                bad(at, problem.into());
            }
        }
    }
}

impl SeedTenant {
    /// Rules of users that lead to a number which the seed does not have, and which no carrier of it could take.
    fn odd_forwards(&self, at: &str) -> Vec<ConfigError> {
        let known = |number: &str| {
            let of_users =
                self.users.iter().any(|user| user.user == number || user.numbers.iter().any(|n| n == number));
            of_users || self.numbers.iter().any(|it| it.number == number)
        };
        let mut odd = Vec::new();
        for (n, user) in self.users.iter().enumerate().filter(|_| self.trunks.is_empty()) {
            let no_answer = user.on_no_answer.as_deref().and_then(|rule| timed_forward_of(rule).ok());
            let other = |rule: &Option<String>| rule.as_deref().and_then(|rule| forward_of(rule).ok());
            let rules = [
                ("on_busy", other(&user.on_busy)),
                ("on_no_answer", no_answer.map(|(to, _)| to)),
                ("on_unregistered", other(&user.on_unregistered)),
            ];
            for (key, to) in rules {
                let to = to.as_ref().map(|to| forward_text(Some(to))).unwrap_or_default();
                if !["", "voicemail", "assistant"].contains(&to) && !known(to) {
                    let problem =
                        format!("{to:?} is not in the seed; without it in the directory, such calls end");
                    odd.push(ConfigError::new(format!("{at}.users[{n}].{key}"), problem));
                }
            }
        }
        odd
    }
}

impl SeedUser {
    fn check_forwards(&self, at: &str, bad: &mut impl FnMut(String, String)) {
        let own = |text: &str| text == self.user || self.numbers.iter().any(|number| number == text);
        let rules = [
            ("on_busy", &self.on_busy),
            ("on_no_answer", &self.on_no_answer),
            ("on_unregistered", &self.on_unregistered),
        ];
        for (key, rule) in rules {
            let Some(rule) = rule else { continue };
            let read = match key {
                "on_no_answer" => timed_forward_of(rule).map(|(forward, _)| forward),
                _ => forward_of(rule),
            };
            match read {
                Err(problem) => bad(format!("{at}.{key}"), problem.into()),
                Ok(forward) if own(forward_text(Some(&forward))) => {
                    bad(format!("{at}.{key}"), "the number leads back to the user".into());
                }
                Ok(_) => {}
            }
        }
    }

    fn record(&self, tenant: &TenantId) -> Result<pb::User, DirectoryError> {
        let invalid = |field| move |reason| DirectoryError::Invalid { field, reason };
        let rule = |rule: &Option<String>| rule.as_deref().map(forward_of).transpose();
        let no_answer = self.on_no_answer.as_deref().map(timed_forward_of).transpose();
        let (on_no_answer, no_answer_s) =
            no_answer.map_err(invalid("seed.tenants.users.on_no_answer"))?.unzip();
        Ok(pb::User {
            tenant: tenant.to_string(),
            user: self.user.clone(),
            display_name: self.display_name.clone(),
            may_pick_up: self.may_pick_up,
            may_intrude: self.may_intrude,
            message_waiting: pb::MessageWaiting::from(self.message_waiting).into(),
            busy_lamp: pb::BusyLamp::from(self.busy_lamp).into(),
            on_busy: rule(&self.on_busy).map_err(invalid("seed.tenants.users.on_busy"))?,
            on_no_answer,
            no_answer_s: no_answer_s.unwrap_or_default(),
            on_unregistered: rule(&self.on_unregistered)
                .map_err(invalid("seed.tenants.users.on_unregistered"))?,
            revision: 0,
        })
    }
}

impl SeedDevice {
    fn auth_username(&self) -> &str {
        self.auth_username.as_deref().unwrap_or(&self.device)
    }
}

impl SeedNumber {
    fn destination(&self) -> Result<Destination, &'static str> {
        let id = "the user or room has an unusable name";
        let mut all = Vec::new();
        if let Some(user) = &self.user {
            all.push(Destination::User(UserId::new(user).map_err(|_| id)?));
        }
        if let Some(room) = &self.room {
            all.push(Destination::Room(RoomId::new(room).map_err(|_| id)?));
        }
        if self.echo {
            all.push(Destination::Echo);
        }
        if let Some(prompt) = &self.announcement {
            let (prompt, repeat) = (prompt.as_str().into(), self.repeat.unwrap_or(1));
            all.push(Destination::Announcement { prompt, repeat });
        }
        if self.wait {
            all.push(Destination::Wait);
        }
        if let Some(user) = &self.voicemail {
            all.push(Destination::Voicemail(UserId::new(user).map_err(|_| id)?));
        }
        if let Some(user) = &self.mailbox {
            all.push(Destination::Mailbox(UserId::new(user).map_err(|_| id)?));
        }
        if self.own_mailbox {
            all.push(Destination::OwnMailbox);
        }
        if let Some(members) = &self.pick_up_group {
            if !(2..=GROUP_MEMBERS_MAX).contains(&members.len()) {
                return Err("expected 2 to 64 users in pick_up_group");
            }
            let members = members.iter().map(UserId::new).collect::<Result<_, _>>().map_err(|_| id)?;
            all.push(Destination::PickUpGroup { members });
        }
        match all.pop() {
            Some(destination) if all.is_empty() => Ok(destination),
            _ => Err(
                "expected exactly one of user, room, echo, announcement, wait, voicemail, mailbox, own_mailbox and pick_up_group",
            ),
        }
    }
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

const NUMBER_PROBLEM: &str = "expected 1 to 64 of letters, digits and + * # . _ -";
