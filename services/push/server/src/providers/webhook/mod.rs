//! An HTTP POST to the tenant's own server, signed so that it knows us.

mod client;
mod error;
mod settings;

pub(crate) use client::Client;
pub(crate) use error::SettingsError;
pub(crate) use settings::Settings;

/// The provider as a metric label.
pub(crate) const NAME: &str = "webhook";
