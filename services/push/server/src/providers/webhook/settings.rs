//! A webhook's settings.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use sidetone_proto::push::v1 as pb;
use sidetone_runtime::egress::literal;

use super::error::SettingsError;
use crate::registry::Secrets;

/// Where a webhook goes and how it is signed.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) url: Url,
    pub(super) secret: SecretString,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Paths of webhooks often are secrets too.
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn parse(wire: pb::Webhook) -> Result<Self, SettingsError> {
        if wire.url.len() > URL_BYTES_MAX {
            return Err(SettingsError::Length);
        }
        let url: Url = wire.url.parse().map_err(|_| SettingsError::Url)?;
        match url.scheme() {
            "https" if url.has_host() => {}
            "http" if is_loopback(&url) => {}
            _ => return Err(SettingsError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SettingsError::Credentials);
        }
        if !SECRET_BYTES.contains(&wire.secret.len()) {
            return Err(SettingsError::Secret);
        }
        Ok(Self { url, secret: wire.secret.into() })
    }

    pub(crate) fn to_wire(&self, secrets: Secrets) -> pb::Webhook {
        let secret = match secrets {
            Secrets::Kept => self.secret.expose_secret().to_owned(),
            Secrets::Hidden => String::new(),
        };
        pb::Webhook { url: self.url.to_string(), secret }
    }
}

/// Only an address counts: what a name leads to is known after it was resolved.
fn is_loopback(url: &Url) -> bool {
    literal(url).is_some_and(|ip| ip.is_loopback())
}

const URL_BYTES_MAX: usize = 2048;
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
