//! What can go wrong with the store.

use sidetone_model::classify::{Class, Classify};

use crate::contract::{Revision, Sequence};

/// Why the store did not do it. Nothing has been changed, except where [`StoreError::Unavailable`] leaves it open.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The key has another revision than expected.
    #[error("the key has changed meanwhile")]
    RevisionMismatch {
        /// What it has now; none when it is absent.
        current: Option<Revision>,
    },
    /// The stream ends with another record than expected: somebody else has written.
    #[error("the stream ends at {current}, not where the writer thinks")]
    SequenceMismatch {
        /// Where it ends.
        current: Sequence,
    },
    /// The same idempotency key came with another record.
    #[error("the idempotency key was used with another record")]
    KeyReused,
    /// The key is empty, too long, or has a character other than `a-z A-Z 0-9 . _ + - / = @ :`.
    #[error("unusable key: {reason}")]
    BadKey {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The value or record is too large.
    #[error("a value of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest allowed.
        max: usize,
    },
    /// Records before this one have been forgotten.
    #[error("the stream begins at {first} only")]
    Trimmed {
        /// The first that is left.
        first: Sequence,
    },
    /// The store cannot be reached. Whether a change was made is not known: ask again with the same idempotency key.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store's own files or answers are broken.
    #[error("the store is broken: {0}")]
    Corrupt(String),
}

impl Classify for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::RevisionMismatch { .. } | Self::SequenceMismatch { .. } => Class::Stale,
            Self::KeyReused => Class::Conflict,
            Self::BadKey { .. } | Self::TooLarge { .. } => Class::Invalid,
            Self::Trimmed { .. } => Class::NotFound,
            Self::Unavailable(_) => Class::Unavailable,
            Self::Corrupt(_) => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::RevisionMismatch { .. } => "revision_mismatch",
            Self::SequenceMismatch { .. } => "sequence_mismatch",
            Self::KeyReused => "key_reused",
            Self::BadKey { .. } => "bad_key",
            Self::TooLarge { .. } => "too_large",
            Self::Trimmed { .. } => "trimmed",
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) => "corrupt",
        }
    }
}
