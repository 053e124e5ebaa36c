//! What can go wrong with a request, and at the start.

use sidetone_model::classify::{Class, Classify};
use sidetone_model::wire::WireError;
use sidetone_push_core::Refusal;
use sidetone_store::StoreError;

use crate::providers::{ClientError, SettingsError};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// A field of the request.
    #[error(transparent)]
    Request(#[from] WireError),
    /// The state machine refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger or registry could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The settings of a target.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The device cannot be woken.
    #[error("the device has no working push target")]
    NoTarget,
    /// No new work is taken any more.
    #[error("this process is draining")]
    Draining,
}

impl Classify for PushError {
    fn class(&self) -> Class {
        match self {
            Self::Request(error) => error.class(),
            Self::Refused(refusal) => refusal.class(),
            // Two writers of one entry, or an append whose outcome was lost: asking again reads what is there.
            Self::Store(StoreError::RevisionMismatch { .. }) => Class::Unavailable,
            Self::Store(error) => error.class(),
            Self::Settings(_) => Class::Invalid,
            Self::NoTarget => Class::NotFound,
            Self::Draining => Class::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Request(error) => error.reason(),
            Self::Refused(refusal) => refusal.reason(),
            Self::Store(error) => error.reason(),
            Self::Settings(_) => "bad_target",
            Self::NoTarget => "no_target",
            Self::Draining => "draining",
        }
    }
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger could not be read.
    #[error("reading the push ledger")]
    Ledger(#[source] StoreError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A provider's client could not be set up.
    #[error("setting up the push providers")]
    Providers(#[source] ClientError),
}
