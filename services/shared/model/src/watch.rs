//! What of a user phones may watch: how many messages wait (RFC 3842), and what the user's own phones are doing (RFC 4235).
//!
//! A replica of signalling says whom its phones watch; the owner of the log tells it at once how things stand, and again whenever
//! they have changed. Nothing of it is acknowledged: on a new stream the replica says everything again.

use crate::ids::{LegId, TenantId, UserId};

/// What of a user is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchedKind {
    /// How many voicemail messages wait.
    Messages,
    /// The calls at the user's phones.
    Dialogs,
}

/// One user, and what of it is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watched {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// What of it.
    pub what: WatchedKind,
}

/// A replica begins to watch, or ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Whom.
    pub watched: Watched,
    /// From now on; otherwise no longer.
    pub on: bool,
}

/// How things stand with somebody who is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedState {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// How things stand.
    pub state: UserState,
}

impl WatchedState {
    /// Which watch it answers.
    pub fn watched(&self) -> Watched {
        let what = match self.state {
            UserState::Messages { .. } => WatchedKind::Messages,
            UserState::Dialogs(_) => WatchedKind::Dialogs,
        };
        Watched { tenant: self.tenant.clone(), user: self.user.clone(), what }
    }
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// Voicemail messages.
    Messages {
        /// Not heard yet.
        new: u32,
        /// Heard.
        old: u32,
    },
    /// The live calls at the user's phones, in the order of their legs, [`DIALOGS_MAX`] at most.
    Dialogs(Vec<UserDialog>),
}

/// One call at one of a user's phones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDialog {
    /// The phone's leg.
    pub leg: LegId,
    /// The user calls.
    pub initiator: bool,
    /// How far it is.
    pub phase: DialogPhase,
    /// With whom; none when that is not to be named.
    pub remote: Option<RemoteParty>,
}

/// How far a call at a phone is (RFC 4235, section 3.7.1, as far as others need to know).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogPhase {
    /// The user calls, and nobody rings yet.
    Trying,
    /// It rings: at the user's phone, or at whom the user calls.
    Early,
    /// They talk.
    Confirmed,
}

/// Who is at the other end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteParty {
    /// The number or SIP user part.
    pub number: Box<str>,
    /// The display name; empty when there is none.
    pub display_name: Box<str>,
}

/// Calls of one user that are told at most: the oldest.
pub const DIALOGS_MAX: usize = 64;
