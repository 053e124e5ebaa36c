//! Applications and teams: who steers calls through an HTTP dialect, and where events are posted.
//!
//! The secret of an application is needed in clear to check and to make signatures. It has a record of its own, which no
//! list and no answer shows; who can read the store can read it.

use bytes::Bytes;
use serde::Deserialize;
use sidetone_model::ids::TenantId;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::Expect;

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record as _, Replaces};
use crate::secret::Password;

/// One application or team, as the configuration file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedApplication {
    /// Its id, unique in the installation.
    pub application: String,
    /// What it is.
    pub kind: SeedKind,
    /// For people. Default empty.
    #[serde(default)]
    pub name: String,
    /// Where events are posted. Default nowhere.
    #[serde(default)]
    pub event_url: String,
    /// Where calls that come in are told. Default event_url.
    #[serde(default)]
    pub answer_url: String,
    /// Where to when the others fail. Default nowhere.
    #[serde(default)]
    pub fallback_url: String,
    /// The bot of a team.
    #[serde(default)]
    pub bot: String,
    /// PEM of the key that signs its JWTs. Default none.
    #[serde(default)]
    pub public_key: String,
    /// Its numbers. Default all of the tenant.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Signs webhooks and requests, 16 to 1024 bytes.
    #[serde(default)]
    pub secret: Option<Password>,
}

/// Which dialect an application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedKind {
    /// Conversations, users and members.
    Conversation,
    /// A team with its bot.
    Bot,
}

impl SeedApplication {
    pub(crate) fn record(&self, tenant: &str) -> pb::Application {
        let kind = match self.kind {
            SeedKind::Conversation => pb::ApplicationKind::Conversation,
            SeedKind::Bot => pb::ApplicationKind::Bot,
        };
        pb::Application {
            tenant: tenant.to_owned(),
            application: self.application.clone(),
            kind: kind.into(),
            name: self.name.clone(),
            event_url: self.event_url.clone(),
            answer_url: self.answer_url.clone(),
            fallback_url: self.fallback_url.clone(),
            bot: self.bot.clone(),
            public_key: self.public_key.clone(),
            numbers: self.numbers.clone(),
            has_secret: false,
            revision: 0,
        }
    }
}

impl Directory {
    /// Adds or replaces an application. Without a secret the present one stays.
    pub async fn put_application(
        &self,
        application: pb::Application,
        secret: Option<&Password>,
    ) -> Result<pb::Application, DirectoryError> {
        let replaces = Replaces::of(application.revision);
        self.write_application(application, secret, replaces).await
    }

    pub(crate) async fn write_application(
        &self,
        mut application: pb::Application,
        secret: Option<&Password>,
        replaces: Replaces,
    ) -> Result<pb::Application, DirectoryError> {
        let tenant = check(&application)?;
        if let Some(secret) = secret
            && !SECRET_BYTES.contains(&secret.reveal().len())
        {
            return Err(invalid("secret", "expected 16 to 1024 bytes"));
        }
        self.needs_tenant(&tenant).await?;
        let key = keys::application(&application.application);
        let present: Option<pb::Application> =
            self.store().get(&key).await?.as_ref().map(pb::Application::from_entry).transpose()?;
        if present.as_ref().is_some_and(|present| present.tenant != application.tenant) {
            return Err(DirectoryError::Taken { what: pb::Application::WHAT });
        }
        application.has_secret = secret.is_some() || present.is_some_and(|present| present.has_secret);
        if application.kind() == pb::ApplicationKind::Bot && !application.has_secret {
            return Err(invalid("secret", "a bot needs one"));
        }
        if let Some(secret) = secret {
            let key = keys::secret(&application.application);
            let value = Bytes::copy_from_slice(secret.reveal().as_bytes());
            self.store().put(&key, value, None, Expect::Any).await?;
            self.inner.cache.forget(&key);
        }
        self.put_record(&key, &application, replaces).await
    }

    /// An application by its id, whatever its tenant.
    pub async fn application(&self, application: &str) -> Result<Option<pb::Application>, DirectoryError> {
        if !is_id(application) {
            return Ok(None);
        }
        self.record(&keys::application(application)).await
    }

    /// The secret of an application.
    pub async fn application_secret(&self, application: &str) -> Result<Option<Password>, DirectoryError> {
        if !is_id(application) {
            return Ok(None);
        }
        let Some(entry) = self.entry(&keys::secret(application)).await? else { return Ok(None) };
        let secret = std::str::from_utf8(&entry.value).map(Password::new);
        secret.map(Some).map_err(|_| DirectoryError::Unreadable { what: "secret" })
    }

    /// Removes an application with its secret.
    pub async fn delete_application(
        &self,
        tenant: &TenantId,
        application: &str,
    ) -> Result<(), DirectoryError> {
        let missing = DirectoryError::NotFound { what: pb::Application::WHAT };
        let found = self.application(application).await?.filter(|found| found.tenant == tenant.as_str());
        let found = found.ok_or(missing)?;
        let secret = keys::secret(&found.application);
        self.store().delete(&secret, Expect::Any).await?;
        self.inner.cache.forget(&secret);
        self.delete_record::<pb::Application>(&keys::application(&found.application)).await.map(drop)
    }

    /// Every application of a tenant.
    pub async fn list_applications(&self, tenant: &TenantId) -> Result<Vec<pb::Application>, DirectoryError> {
        let mut all: Vec<pb::Application> = self.records(keys::APPLICATIONS).await?;
        all.retain(|application| application.tenant == tenant.as_str());
        Ok(all)
    }
}

fn check(application: &pb::Application) -> Result<TenantId, DirectoryError> {
    let tenant = TenantId::new(&application.tenant).map_err(DirectoryError::id("application.tenant"))?;
    if !is_id(&application.application) {
        return Err(invalid(
            "application.application",
            "expected 1 to 63 letters, digits, '.', '_', '+' and '-', not beginning with a dot",
        ));
    }
    if application.kind() == pb::ApplicationKind::Unspecified {
        return Err(invalid("application.kind", "expected conversation or bot"));
    }
    if application.name.len() > NAME_BYTES_MAX || application.name.chars().any(char::is_control) {
        return Err(invalid("application.name", "expected at most 128 bytes without control characters"));
    }
    let urls = [
        ("application.event_url", &application.event_url),
        ("application.answer_url", &application.answer_url),
        ("application.fallback_url", &application.fallback_url),
    ];
    for (field, url) in urls {
        if !url.is_empty() && !is_url(url) {
            return Err(invalid(
                field,
                "expected an http or https URL of at most 2048 bytes without user name",
            ));
        }
    }
    if application.kind() == pb::ApplicationKind::Bot && !is_id(&application.bot) {
        return Err(invalid("application.bot", "a team needs the id of its bot"));
    }
    let pem = &application.public_key;
    let is_pem = pem.len() <= PEM_BYTES_MAX && pem.starts_with("-----BEGIN PUBLIC KEY-----");
    if !pem.is_empty() && !is_pem {
        return Err(invalid("application.public_key", "expected the PEM of a public key"));
    }
    if application.numbers.len() > NUMBERS_MAX {
        return Err(invalid("application.numbers", "more than 1024"));
    }
    if !application.numbers.iter().all(|number| crate::numbers::is_number(number)) {
        return Err(invalid("application.numbers", "one of them is no number"));
    }
    Ok(tenant)
}

fn invalid(field: &'static str, reason: &'static str) -> DirectoryError {
    DirectoryError::Invalid { field, reason }
}

/// As ids of the model: safe in a key and in a path.
fn is_id(text: &str) -> bool {
    TenantId::new(text).is_ok()
}

/// Only the form; whether the address may be reached is judged when it is reached.
fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    url.len() <= URL_BYTES_MAX
        && url.bytes().all(|byte| byte.is_ascii_graphic())
        && authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'))
}

const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
const NAME_BYTES_MAX: usize = 128;
const URL_BYTES_MAX: usize = 2048;
const PEM_BYTES_MAX: usize = 8192;
const NUMBERS_MAX: usize = 1024;
