//! Records as they are stored: the messages of `directory.v1` without their revision, and credentials.

use bytes::Bytes;
use prost::Message;
use sidetone_model::ids::{DeviceId, UserId};
use sidetone_proto::directory::v1 as pb;
use sidetone_store::{Entry, Expect, Revision};

use crate::error::DirectoryError;
use crate::secret::{Algorithm, Credential};

/// A message that is kept under a key of its own.
pub(crate) trait Record: Message + Default + PartialEq + Clone {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// Sets the revision it shows to others; 0 in the store.
    fn set_revision(&mut self, revision: u64);

    /// The stored form.
    fn to_value(&self) -> Bytes {
        let mut stored = self.clone();
        stored.set_revision(0);
        Bytes::from(stored.encode_to_vec())
    }

    /// The record of an entry, with its revision.
    fn from_entry(entry: &Entry) -> Result<Self, DirectoryError> {
        let mut record =
            Self::decode(entry.value.clone()).map_err(|_| DirectoryError::Unreadable { what: Self::WHAT })?;
        record.set_revision(entry.revision.0);
        Ok(record)
    }
}

macro_rules! records {
    ($($message:ident $what:literal),*) => {$(
        impl Record for pb::$message {
            const WHAT: &'static str = $what;
            fn set_revision(&mut self, revision: u64) {
                self.revision = revision;
            }
        }
    )*};
}
records!(Tenant "tenant", User "user", Device "device", Number "number", Room "room", Application "application",
    Trunk "trunk");

macro_rules! plain_records {
    ($($message:ty, $what:literal);*) => {$(
        impl Record for $message {
            const WHAT: &'static str = $what;
            fn set_revision(&mut self, _: u64) {}
        }
    )*};
}
plain_records!(pb::Token, "token"; pb::Registration, "registration"; StoredCredential, "credential"; StoredPin, "PIN");

/// What a put replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// Whatever there is.
    Anything,
    /// Nothing: it must be new.
    Nothing,
    /// The record with this revision.
    Revision(u64),
}

impl Replaces {
    /// As the contract has it: 0 is anything.
    pub(crate) fn of(revision: u64) -> Self {
        if revision == 0 { Self::Anything } else { Self::Revision(revision) }
    }

    pub(crate) fn expect(self) -> Expect {
        match self {
            Self::Anything => Expect::Any,
            Self::Nothing => Expect::Absent,
            Self::Revision(revision) => Expect::Revision(Revision(revision)),
        }
    }

    /// Whether the present state allows it at all.
    pub(crate) fn allows(self, current: Option<&Entry>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => current.is_none(),
            Self::Revision(revision) => current.is_some_and(|e| e.revision.0 == revision),
        }
    }
}

/// A credential as it is stored.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct StoredCredential {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) device: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) hashes: Vec<StoredHash>,
}

/// One hash of a credential.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct StoredHash {
    #[prost(string, tag = "1")]
    pub(crate) algorithm: String,
    #[prost(string, tag = "2")]
    pub(crate) ha1: String,
}

impl std::fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredCredential({}/{})", self.user, self.device)
    }
}

impl std::fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredHash({})", self.algorithm)
    }
}

/// The PIN of a voicemail as it is stored: PBKDF2-HMAC-SHA-256 (RFC 8018, section 5.2).
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct StoredPin {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) hash: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub(crate) iterations: u32,
    /// When it was set, in Unix milliseconds; 0 in records of before that was kept.
    #[prost(uint64, tag = "4")]
    pub(crate) set_unix_ms: u64,
}

impl std::fmt::Debug for StoredPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredPin(..)")
    }
}

impl StoredCredential {
    pub(crate) fn belongs_to(&self, user: &UserId, device: &DeviceId) -> bool {
        self.user == user.as_str() && self.device == device.as_str()
    }

    pub(crate) fn into_credential(self) -> Result<Credential, DirectoryError> {
        let unreadable = |_| DirectoryError::Unreadable { what: Self::WHAT };
        Ok(Credential {
            user: UserId::new(&self.user).map_err(unreadable)?,
            device: DeviceId::new(&self.device).map_err(unreadable)?,
            ha1: self
                .hashes
                .into_iter()
                .filter_map(|hash| Some((Algorithm::from_token(&hash.algorithm)?, hash.ha1)))
                .collect(),
        })
    }
}
