//! What is sent, and what became of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use sidetone_model::ids::TenantId;
use sidetone_model::time::Timestamp;

/// The place of a parcel: which fact it tells, and which of that fact's parcels it is. Ordered as the log is; the same for
/// every projection of the same log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ParcelId {
    /// The entry of the shard's log, from 1.
    pub entry: u64,
    /// The fact in its entry, from 0.
    pub place: u32,
    /// The parcel among those of its fact, from 0.
    pub index: u32,
}

impl fmt::Display for ParcelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.entry, self.place, self.index)
    }
}

/// A text that is no [`ParcelId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form entry.place.index")]
pub struct ParcelIdError;

impl FromStr for ParcelId {
    type Err = ParcelIdError;
    fn from_str(text: &str) -> Result<Self, ParcelIdError> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(ParcelIdError);
        let (entry, place, index) = (next()?, next()?, next()?);
        let id = Self {
            entry: entry.parse().map_err(|_| ParcelIdError)?,
            place: place.parse().map_err(|_| ParcelIdError)?,
            index: index.parse().map_err(|_| ParcelIdError)?,
        };
        if parts.next().is_some() { Err(ParcelIdError) } else { Ok(id) }
    }
}

/// One receiver of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// Whose.
    pub tenant: TenantId,
    /// The receiver's name in the directory: an application. Safe in a key of the store.
    pub receiver: Box<str>,
}

/// One message to one receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Its place.
    pub id: ParcelId,
    /// When what it tells happened.
    pub at: Timestamp,
    /// Parcels of the same order go out one after the other.
    pub order: Box<str>,
    /// The body, as it goes out.
    pub body: Bytes,
    /// Where to, instead of where the receiver is told of everything.
    pub to: Option<Address>,
}

/// An address of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// http or https.
    pub url: Box<str>,
    /// The fields of the body as a query, and no body.
    pub get: bool,
}

impl fmt::Debug for Parcel {
    /// Bodies hold numbers and names, which belong in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({} of {}, {} bytes)", self.id, self.order, self.body.len())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver answered that it could not take it now (5xx, 408, 425, 429).
    Failed {
        /// What it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// No answer: not reached, or not in time.
    Unreachable,
    /// It never will be taken.
    Refused(DeadReason),
}

/// Why a parcel is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The receiver said that it does not want it (4xx, or a redirect, which is not followed).
    Refused,
    /// The receiver's address is not allowed.
    Forbidden,
    /// There is no receiver of that name (any more), or it has no address.
    NoReceiver,
    /// Tried as often as allowed.
    Attempts,
    /// Tried for as long as allowed.
    Age,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Refused, Self::Forbidden, Self::NoReceiver, Self::Attempts, Self::Age];

    /// A stable short word: the metric label, and how it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::NoReceiver => "no_receiver",
            Self::Attempts => "attempts",
            Self::Age => "age",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// A parcel that could not be delivered, kept for a person to look at and perhaps to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose.
    pub lane: LaneKey,
    /// What.
    pub parcel: Parcel,
    /// Why.
    pub reason: DeadReason,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let id = ParcelId { entry: 17, place: 2, index: 0 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.-1"] {
            assert_eq!(bad.parse::<ParcelId>(), Err(ParcelIdError), "{bad}");
        }
    }
}
