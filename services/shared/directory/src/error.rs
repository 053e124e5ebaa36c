//! What can go wrong with the directory.

use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::IdError;
use sidetone_model::wire::WireError;
use sidetone_store::StoreError;

/// Why the directory did not do it. No variant holds a secret or a number.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// A field has a value that cannot be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of the contract, for example `device.auth_username`.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is none.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// Somebody else has it.
    #[error("the {what} is taken")]
    Taken {
        /// What is taken.
        what: &'static str,
    },
    /// The record has another revision than the one it was to replace.
    #[error("the {what} has changed meanwhile")]
    Changed {
        /// Which kind of record.
        what: &'static str,
    },
    /// Others point to what was to be deleted.
    #[error("the {what} still has {by}")]
    InUse {
        /// What was to be deleted.
        what: &'static str,
        /// What points to it.
        by: &'static str,
    },
    /// The store did not do it.
    #[error("the store failed the directory")]
    Store(#[source] StoreError),
    /// A stored record cannot be understood.
    #[error("a stored {what} cannot be read")]
    Unreadable {
        /// Which kind of record.
        what: &'static str,
    },
}

impl DirectoryError {
    pub(crate) fn id(field: &'static str) -> impl FnOnce(IdError) -> Self {
        move |error| Self::Invalid { field, reason: error.reason }
    }

    pub(crate) fn wire(field: &'static str) -> impl FnOnce(WireError) -> Self {
        move |error| match error {
            WireError::Invalid { field, reason } => Self::Invalid { field, reason },
            _ => Self::Invalid { field, reason: "it is absent, incomplete or of an unknown kind" },
        }
    }
}

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Classify for DirectoryError {
    fn class(&self) -> Class {
        match self {
            Self::Invalid { .. } => Class::Invalid,
            Self::NotFound { .. } => Class::NotFound,
            Self::Taken { .. } => Class::Conflict,
            Self::Changed { .. } => Class::Stale,
            Self::InUse { .. } => Class::FailedPrecondition,
            Self::Store(error) => error.class(),
            Self::Unreadable { .. } => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_field",
            Self::NotFound { .. } => "not_found",
            Self::Taken { .. } => "taken",
            Self::Changed { .. } => "changed",
            Self::InUse { .. } => "in_use",
            Self::Store(error) => error.reason(),
            Self::Unreadable { .. } => "unreadable",
        }
    }
}
