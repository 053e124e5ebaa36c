//! What is wrong with a webhook's settings.

/// What is wrong with a webhook's settings. Neither address nor secret is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("Webhook.url is not an absolute URL")]
    Url,
    #[error("Webhook.url must be https, or http on loopback")]
    Scheme,
    #[error("Webhook.url must not carry a user or password; requests are signed instead")]
    Credentials,
    #[error("Webhook.url is longer than 2048 bytes")]
    Length,
    #[error("Webhook.secret must have 16 to 1024 bytes")]
    Secret,
}
