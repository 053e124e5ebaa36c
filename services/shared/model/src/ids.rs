//! Identifiers.
//!
//! What Sidetone makes itself is a UUIDv7 (RFC 9562, section 5.7): opaque, and sortable by the time it was made.
//! What people choose (tenants, users, rooms) is a short name that is safe in a key, a path and a label.

use std::fmt;
use std::str::FromStr;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use crate::time::Timestamp;

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {reason}")]
pub struct IdError {
    /// Which identifier was asked for.
    pub kind: &'static str,
    /// What is wrong with it, in words for the person who wrote it.
    pub reason: &'static str,
}

/// Makes identifiers from a seeded random source and the caller's clock, so that tests can repeat them.
#[derive(Debug)]
pub struct IdSource {
    rng: StdRng,
}

impl IdSource {
    /// A source that repeats itself for the same seed.
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self { rng: StdRng::from_seed(seed) }
    }

    /// A new identifier made at `now`.
    pub fn make<T: From<Uuid>>(&mut self, now: Timestamp) -> T {
        let mut random = [0u8; 10];
        self.rng.fill(&mut random);
        T::from(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid())
    }
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The identifier as a number, for compact maps.
            pub fn as_u128(self) -> u128 {
                self.0.as_u128()
            }

            /// The identifier as a UUID, for one that goes with another of a different kind.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }
        impl From<Uuid> for $name {
            fn from(value: Uuid) -> Self {
                Self(value)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| IdError { kind: stringify!($name), reason: "expected a UUID" })
            }
        }
    )*};
}

uuid_ids! {
    /// One call: the legs that belong together, from the first INVITE or API command to the last goodbye.
    CallId,
    /// One dialog with one phone, trunk or service, and the media that goes with it.
    LegId,
    /// One meeting in a room: made by the first who enters, ended by the last who leaves.
    ConferenceId,
    /// One recording, from start to its one "finished" or "failed" fact.
    RecordingId,
    /// One prompt or playlist, from its start to its one end.
    PlaybackId,
    /// One live stream of a call to listeners outside.
    StreamId,
    /// One wake-up of one device.
    PushId,
    /// One conversation of an application.
    ConversationId,
    /// One member of one conversation.
    MemberId,
    /// Somebody who can be a member of conversations.
    PersonId,
    /// One life of one process. A new one is made at every start, so that a restart can be told from a stall.
    BootId,
}

impl LegId {
    /// The Call-ID (RFC 3261, section 8.1.1.4) of the dialog that we begin for a leg, at each carrier that is tried: the leg itself, which
    /// names no host. So the record of a call has it although another service sends the INVITE.
    pub fn sip_call_id(self) -> String {
        self.0.simple().to_string()
    }
}

macro_rules! name_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// 1 to 63 characters out of `a-z A-Z 0-9 . _ + -`, not starting with a dot.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and takes a name.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check_name(stringify!($name), text.as_ref()).map(Self)
            }
            /// A name of our own, which is valid.
            #[allow(dead_code, reason = "not every kind has one")]
            pub(crate) fn reserved(text: &'static str) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    )*};
}

name_ids! {
    /// One customer. It is in every key, command, fact, limit and file name.
    TenantId,
    /// One person or service of a tenant.
    UserId,
    /// One telephone or application of a user.
    DeviceId,
    /// One conference room of a tenant, as a place that people dial.
    RoomId,
    /// One media node, by the name its operator or Kubernetes gave it.
    NodeId,
    /// One signalling replica, by the name its operator or Kubernetes gave it.
    ReplicaId,
}

fn check_name(kind: &'static str, text: &str) -> Result<Box<str>, IdError> {
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > 63 {
        "it is longer than 63 characters"
    } else if text.starts_with('.') {
        "it starts with a dot"
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)) {
        "only letters, digits, '.', '_', '+' and '-' are allowed"
    } else {
        return Ok(text.into());
    };
    Err(IdError { kind, reason })
}

/// One of the fixed number of logs into which the tenants are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard of a tenant, out of `shards` (at least 1). The same on every machine and in every release
    /// (FNV-1a), because the answer is baked into stored logs.
    pub fn of(tenant: &TenantId, shards: u16) -> Self {
        let hash = tenant
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self((hash % u64::from(shards.max(1))) as u16)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let mut source = IdSource::seeded([7; 32]);
        let early: CallId = source.make(Timestamp::from_millis(1_000));
        let late: CallId = source.make(Timestamp::from_millis(2_000));
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
    }

    #[test]
    fn names_refuse_what_would_break_a_key_or_a_path() {
        for bad in ["", "a/b", ".hidden", "a b", "ä", &"x".repeat(64)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(UserId::new("icm1001").is_ok());
    }

    #[test]
    fn a_tenant_keeps_its_shard_for_ever() {
        let tenant = TenantId::new("demo").unwrap();
        assert_eq!(ShardId::of(&tenant, 16), ShardId(6));
        assert_eq!(ShardId::of(&tenant, 1), ShardId(0));
    }
}
