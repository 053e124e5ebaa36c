//! One wake-up: an entry of the ledger.

use std::time::Duration;

use sidetone_model::ids::{CallId, DeviceId, PushId, TenantId, UserId};
use sidetone_model::time::Timestamp;

/// What names a wake-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose.
    pub tenant: TenantId,
    /// Chosen by whoever asked; unique in the tenant.
    pub push: PushId,
}

/// What was asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub key: Key,
    /// The user to be reached.
    pub user: UserId,
    /// The device to be woken.
    pub device: DeviceId,
    /// The call it is woken for.
    pub call: CallId,
    /// The SIP Call-ID of the INVITE that waits; may be empty.
    pub sip_call_id: Box<str>,
    /// Shown to the person; may be empty. Personal: never logged.
    pub caller_name: Box<str>,
    /// Useless from then on.
    pub deadline: Timestamp,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // User, device and caller are personal; ids are enough to find them in the ledger.
        f.debug_struct("Request")
            .field("key", &self.key)
            .field("call", &self.call)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What is told to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call waits.
    Wake,
    /// The call does not wait any longer.
    Cancel,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUp {
    /// What was asked, as it was asked.
    pub request: Request,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The deadline that counts: that of the request, or of the last replay.
    pub deadline: Timestamp,
    /// Where it stands.
    pub state: State,
    /// What is left to be sent.
    pub next: Option<Next>,
    /// The device may have been told of the call: an attempt was begun and not refused.
    pub maybe_sent: bool,
    /// What was tried, oldest first; of many, the last `ATTEMPTS_KEPT`.
    pub attempts: Vec<Attempt>,
}

/// Where a wake-up stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its first or next attempt.
    Pending,
    /// The provider took it.
    Delivered,
    /// Given up. Can be replayed.
    Dead(DeadReason),
    /// Not wanted any more.
    Cancelled(CancelReason),
}

/// Why a wake-up was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// Its deadline passed, or would have passed before the next attempt.
    Deadline,
    /// Every attempt that it had failed.
    Attempts,
    /// The provider refused it for good.
    Refused,
    /// The provider says that the target does not exist any more.
    TargetGone,
    /// The device has no target.
    NoTarget,
}

/// Why a wake-up is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller gave up, or the call ended in another way.
    Cancelled,
    /// Another device answered.
    AnsweredElsewhere,
}

/// What is sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// What.
    pub kind: Kind,
    /// Not before that.
    pub at: Timestamp,
    /// How often sending it has failed already.
    pub failures: u32,
}

/// One attempt that came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// What was sent.
    pub kind: Kind,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub report: Report,
}

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What the provider answered, for example an HTTP status; 0 when it did not.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Delivered,
    /// It may work later. Whether the device was told is not known.
    Retryable {
        /// What the provider asks us to wait at least.
        retry_after: Option<Duration>,
    },
    /// It will never work. The device was not told.
    Permanent(DeadReason),
}

impl WakeUp {
    /// Whether nothing is left to be done, so that only the ledger need keep it.
    pub fn is_settled(&self) -> bool {
        self.next.is_none()
    }
}

impl State {
    /// The state as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead(reason) => reason.label(),
            Self::Cancelled(_) => "cancelled",
        }
    }
}

impl DeadReason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 5] =
        [Self::Deadline, Self::Attempts, Self::Refused, Self::TargetGone, Self::NoTarget];

    /// The reason as a metric label and as it stands in the ledger.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Attempts => "attempts",
            Self::Refused => "refused",
            Self::TargetGone => "target_gone",
            Self::NoTarget => "no_target",
        }
    }
}

impl Outcome {
    /// The outcome as a metric label and as it stands in the ledger.
    pub fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retryable { .. } => "retryable",
            Self::Permanent(_) => "permanent",
        }
    }
}

/// How many attempts of a wake-up the ledger keeps.
pub(crate) const ATTEMPTS_KEPT: usize = 32;
