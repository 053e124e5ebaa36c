//! The ways to reach a device. One folder each, with its settings, its client and its errors; adding one means a new
//! folder and its arms in [`Settings`] and [`Providers`].

mod webhook;

use std::time::Duration;

use sidetone_proto::push::v1::target::Provider as Wire;
use sidetone_push_core::{Kind, Report, Request};

use crate::config::Config;
use crate::registry::Secrets;

/// Why a provider's client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The webhook client.
    #[error("setting up the webhook client")]
    Webhook(#[source] reqwest::Error),
}

/// What is wrong with a target's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// No provider that this release knows.
    #[error("Target.provider is absent or of a kind that this release does not know")]
    UnknownProvider,
    /// Those of a webhook.
    #[error(transparent)]
    Webhook(#[from] webhook::SettingsError),
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice<'a> {
    pub(crate) request: &'a Request,
    pub(crate) kind: Kind,
    /// Useless from then on, in ms since the Unix epoch.
    pub(crate) deadline_unix_ms: u64,
    /// The present moment, in s since the Unix epoch.
    pub(crate) now_unix_s: u64,
}

/// How a device is reached.
#[derive(Debug, Clone)]
pub(crate) enum Settings {
    Webhook(webhook::Settings),
}

impl Settings {
    pub(crate) fn parse(wire: Option<Wire>) -> Result<Self, SettingsError> {
        match wire.ok_or(SettingsError::UnknownProvider)? {
            Wire::Webhook(settings) => Ok(Self::Webhook(webhook::Settings::parse(settings)?)),
        }
    }

    pub(crate) fn to_wire(&self, secrets: Secrets) -> Wire {
        match self {
            Self::Webhook(settings) => Wire::Webhook(settings.to_wire(secrets)),
        }
    }

    /// The provider as a metric label.
    pub(crate) fn provider(&self) -> &'static str {
        match self {
            Self::Webhook(_) => webhook::NAME,
        }
    }
}

/// The clients of all providers.
pub(crate) struct Providers {
    webhook: webhook::Client,
}

impl Providers {
    pub(crate) fn new(config: &Config) -> Result<Self, ClientError> {
        Ok(Self { webhook: webhook::Client::new(config).map_err(ClientError::Webhook)? })
    }

    /// One attempt, which takes at most `limit`.
    pub(crate) async fn send(&self, settings: &Settings, notice: Notice<'_>, limit: Duration) -> Report {
        match settings {
            Settings::Webhook(settings) => self.webhook.send(settings, notice, limit).await,
        }
    }
}
