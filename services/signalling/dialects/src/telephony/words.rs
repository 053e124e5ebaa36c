//! The enumerations of the product, whole as its clients know them, and of which values clients here are told.

use serde::Serialize;
use utoipa::ToSchema;

/// Why something happened to a call: `cause` of `OnCallCreated`, `OnCallModified` and `OnCallRemoved`; absent when it went the usual
/// way. Told are ABANDONED, BUSY, CONFERENCED, DESTINATION_NOT_OBTAINABLE, INVALID_NUMBER, NOT_ANSWERED, OVERFLOWN, PICKED_UP, REDIRECTED,
/// RESOURCES_NOT_AVAILABLE, SUPERVISOR_INTRUSION and TRANSFERRED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "an enumeration of the product, some of whose values nothing here brings about")]
pub(crate) enum Cause {
    /// The caller gave up.
    Abandoned,
    AllTrunkBusy,
    /// The other side was busy.
    Busy,
    Cleared,
    ParticipantLeft,
    /// Somebody was asked into the conversation, or two conversations became one.
    Conferenced,
    /// Nobody has the number.
    InvalidNumber,
    /// Whoever has the number cannot be reached.
    DestinationNotObtainable,
    DoNotDisturb,
    Forwarded,
    /// Nobody answered in time.
    NotAnswered,
    /// Somebody else took the call.
    PickedUp,
    Parked,
    /// The call was sent on before it was answered.
    Redirected,
    /// The call went to a voicemail.
    Overflown,
    /// The call was passed on while it was talked in.
    Transferred,
    CampOn,
    Unknown,
    PickedUpTandem,
    CallBack,
    Recall,
    Distributed,
    AcdEnterDistribution,
    /// No line, port or node was free.
    ResourcesNotAvailable,
    SupervisorListening,
    /// Somebody broke into the conversation.
    SupervisorIntrusion,
    SupervisorRestrictIntrusion,
    NoAvailableAgent,
    Lockout,
}

/// How far a call, a leg or a participant is: their `state`. Told are ACTIVE, DIALING, HELD, RINGING_INCOMING and RINGING_OUTGOING.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "as above")]
pub(crate) enum CallState {
    Unknown,
    OffHook,
    Idle,
    Releasing,
    /// It calls; nobody rings yet.
    Dialing,
    /// It holds, or is held.
    Held,
    /// It rings.
    RingingIncoming,
    /// It calls, and somebody rings.
    RingingOutgoing,
    /// It talks.
    Active,
}

/// Whether a device can be reached: `state` in `deviceStates`. UNKNOWN is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "as above")]
pub(crate) enum DeviceState {
    /// It is registered.
    InService,
    /// It is not.
    OutOfService,
    Unknown,
}

/// Whether a user is in a call: `state` of `OnUserStateModified`. UNKNOWN is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "as above")]
pub(crate) enum UserState {
    /// In none, whatever rings.
    Free,
    /// In one at least.
    Busy,
    Unknown,
}

impl UserState {
    pub(crate) fn of(busy: bool) -> Self {
        if busy { Self::Busy } else { Self::Free }
    }
}

/// Whether a call is being recorded: `recordState` of its `callData`, absent when it is not. UNKNOWN is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "as above")]
pub(crate) enum RecordState {
    /// What is said now is left out.
    Paused,
    /// What is said is kept.
    Recording,
    Unknown,
}
