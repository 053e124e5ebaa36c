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
use crate::error::DirectoryError;
use crate::forwards::{forward_of, forward_text, timed_forward_of};
use crate::numbers::is_number;
use crate::people::{
    PASSWORD_BYTES_MIN, PASSWORD_PROBLEM, SeedBusyLamp, SeedMediaEncryption, SeedMessageWaiting,
    is_auth_username,
};
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
    /// Users are shown by the names that their phones send, and not by their display names. Default false.
    #[serde(default)]
    pub names_by_phones: bool,
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
    /// Whether its media is encrypted: `off`, `offered` or `required`. Default as `media.srtp` has it.
    #[serde(default)]
    pub media_encryption: Option<SeedMediaEncryption>,
    /// A call to it while it is not registered waits so many seconds for it to register, 0 to 60. Default 0: it is not waited for.
    #[serde(default)]
    pub wake_s: u32,
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
                if device.password.reveal().len() < PASSWORD_BYTES_MIN {
                    bad(format!("{at}.password"), PASSWORD_PROBLEM.into());
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

    pub(crate) fn record(&self, tenant: &TenantId) -> Result<pb::User, DirectoryError> {
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
    pub(crate) fn auth_username(&self) -> &str {
        self.auth_username.as_deref().unwrap_or(&self.device)
    }
}

impl SeedNumber {
    pub(crate) fn destination(&self) -> Result<Destination, &'static str> {
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

const NUMBER_PROBLEM: &str = "expected 1 to 64 of letters, digits and + * # . _ -";
