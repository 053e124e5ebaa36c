//! The ledger's entries as they stand in the store.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sidetone_model::ids::TenantId;
use sidetone_model::time::Timestamp;
use sidetone_model::wire::{WireError, id};
use sidetone_proto::push::v1 as pb;
use sidetone_push_core::{
    Attempt, CancelReason, DeadReason, Key, Kind, Next, Outcome, Report, Request, State, WakeUp,
};

/// An entry as it is stored. Fields are only ever added.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(message, optional, tag = "1")]
    request: Option<pb::WakeRequest>,
    #[prost(uint64, tag = "2")]
    accepted_unix_ms: u64,
    #[prost(uint64, tag = "3")]
    deadline_unix_ms: u64,
    #[prost(uint32, tag = "4")]
    state: u32,
    /// A [`DeadReason`] or [`CancelReason`].
    #[prost(uint32, tag = "5")]
    reason: u32,
    #[prost(bool, tag = "6")]
    maybe_sent: bool,
    #[prost(message, optional, tag = "7")]
    next: Option<StoredNext>,
    #[prost(message, repeated, tag = "8")]
    attempts: Vec<StoredAttempt>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct StoredNext {
    #[prost(bool, tag = "1")]
    cancel: bool,
    #[prost(uint64, tag = "2")]
    at_unix_ms: u64,
    #[prost(uint32, tag = "3")]
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct StoredAttempt {
    #[prost(bool, tag = "1")]
    cancel: bool,
    #[prost(uint64, tag = "2")]
    at_unix_ms: u64,
    #[prost(uint32, tag = "3")]
    outcome: u32,
    #[prost(uint32, tag = "4")]
    reason: u32,
    #[prost(uint32, tag = "5")]
    status: u32,
    #[prost(uint64, tag = "6")]
    took_ms: u64,
}

/// Where the ledger stands in the store.
pub(crate) const LEDGER: &str = "push/ledger/";

/// Where the ledger of one tenant stands.
pub(crate) fn prefix_of(tenant: &TenantId) -> String {
    format!("{LEDGER}{tenant}/")
}

/// Where one entry stands.
pub(crate) fn place_of(key: &Key) -> String {
    format!("{LEDGER}{}/{}", key.tenant, key.push)
}

pub(crate) fn encode(entry: &WakeUp) -> Bytes {
    let (state, reason) = match entry.state {
        State::Pending => (1, 0),
        State::Delivered => (2, 0),
        State::Dead(reason) => (3, dead_number(reason)),
        State::Cancelled(CancelReason::Cancelled) => (4, 1),
        State::Cancelled(CancelReason::AnsweredElsewhere) => (4, 2),
    };
    let stored = Stored {
        request: Some(request_to_wire(&entry.request)),
        accepted_unix_ms: entry.accepted_at.as_millis(),
        deadline_unix_ms: entry.deadline.as_millis(),
        state,
        reason,
        maybe_sent: entry.maybe_sent,
        next: entry.next.map(|next| StoredNext {
            cancel: next.kind == Kind::Cancel,
            at_unix_ms: next.at.as_millis(),
            failures: next.failures,
        }),
        attempts: entry.attempts.iter().map(encode_attempt).collect(),
    };
    stored.encode_to_vec().into()
}

fn encode_attempt(attempt: &Attempt) -> StoredAttempt {
    let (outcome, reason) = match attempt.report.outcome {
        Outcome::Delivered => (1, 0),
        Outcome::Retryable { .. } => (2, 0),
        Outcome::Permanent(reason) => (3, dead_number(reason)),
    };
    StoredAttempt {
        cancel: attempt.kind == Kind::Cancel,
        at_unix_ms: attempt.at.as_millis(),
        outcome,
        reason,
        status: attempt.report.status.into(),
        took_ms: attempt.report.took.as_millis() as u64,
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<WakeUp, WireError> {
    let stored = Stored::decode(bytes).map_err(|error| WireError::Malformed(error.to_string()))?;
    let request = stored.request.ok_or(WireError::Missing { field: "ledger.request" })?;
    let state = match stored.state {
        1 => State::Pending,
        2 => State::Delivered,
        3 => State::Dead(dead_reason(stored.reason)?),
        4 if stored.reason == 2 => State::Cancelled(CancelReason::AnsweredElsewhere),
        4 => State::Cancelled(CancelReason::Cancelled),
        other => return Err(unknown("ledger.state", other)),
    };
    Ok(WakeUp {
        request: request_from_wire(request)?,
        accepted_at: Timestamp::from_millis(stored.accepted_unix_ms),
        deadline: Timestamp::from_millis(stored.deadline_unix_ms),
        state,
        next: stored.next.map(|next| Next {
            kind: kind(next.cancel),
            at: Timestamp::from_millis(next.at_unix_ms),
            failures: next.failures,
        }),
        maybe_sent: stored.maybe_sent,
        attempts: stored.attempts.into_iter().map(decode_attempt).collect::<Result<_, _>>()?,
    })
}

fn decode_attempt(stored: StoredAttempt) -> Result<Attempt, WireError> {
    let outcome = match stored.outcome {
        1 => Outcome::Delivered,
        2 => Outcome::Retryable { retry_after: None },
        3 => Outcome::Permanent(dead_reason(stored.reason)?),
        other => return Err(unknown("ledger.outcome", other)),
    };
    Ok(Attempt {
        kind: kind(stored.cancel),
        at: Timestamp::from_millis(stored.at_unix_ms),
        report: Report {
            outcome,
            status: stored.status.try_into().unwrap_or(0),
            took: Duration::from_millis(stored.took_ms),
        },
    })
}

/// The request as its sender wrote it.
pub(crate) fn request_to_wire(request: &Request) -> pb::WakeRequest {
    pb::WakeRequest {
        push_id: request.key.push.to_string(),
        tenant: request.key.tenant.to_string(),
        user: request.user.to_string(),
        device: request.device.to_string(),
        call_id: request.call.to_string(),
        sip_call_id: request.sip_call_id.as_ref().into(),
        caller_name: request.caller_name.as_ref().into(),
        deadline_unix_ms: request.deadline.as_millis(),
    }
}

/// A request, checked.
pub(crate) fn request_from_wire(request: pb::WakeRequest) -> Result<Request, WireError> {
    Ok(Request {
        key: Key {
            tenant: id("WakeRequest.tenant", &request.tenant)?,
            push: id("WakeRequest.push_id", &request.push_id)?,
        },
        user: id("WakeRequest.user", &request.user)?,
        device: id("WakeRequest.device", &request.device)?,
        call: id("WakeRequest.call_id", &request.call_id)?,
        sip_call_id: short("WakeRequest.sip_call_id", request.sip_call_id)?,
        caller_name: short("WakeRequest.caller_name", request.caller_name)?,
        deadline: Timestamp::from_millis(request.deadline_unix_ms),
    })
}

/// The entry as readers see it.
pub(crate) fn to_wire(entry: &WakeUp) -> pb::WakeUp {
    use pb::wake_up::State as Wire;
    let (state, reason) = match entry.state {
        State::Pending => (Wire::Pending, ""),
        State::Delivered => (Wire::Delivered, ""),
        State::Dead(reason) => (Wire::Dead, reason.label()),
        State::Cancelled(CancelReason::Cancelled) => (Wire::Cancelled, "cancelled"),
        State::Cancelled(CancelReason::AnsweredElsewhere) => (Wire::Cancelled, "answered_elsewhere"),
    };
    let attempts = entry.attempts.iter().map(|attempt| pb::Attempt {
        at_unix_ms: attempt.at.as_millis(),
        result: attempt.report.outcome.label().into(),
        status: attempt.report.status.into(),
        took_ms: attempt.report.took.as_millis().try_into().unwrap_or(u32::MAX),
    });
    pb::WakeUp {
        request: Some(request_to_wire(&entry.request)),
        state: state.into(),
        attempts: attempts.collect(),
        reason: reason.into(),
    }
}

fn short(field: &'static str, text: String) -> Result<Box<str>, WireError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(WireError::Invalid { field, reason: "longer than 512 bytes" });
    }
    Ok(text.into())
}

fn kind(cancel: bool) -> Kind {
    if cancel { Kind::Cancel } else { Kind::Wake }
}

/// The numbers of the reasons in the ledger: their places in [`DeadReason::ALL`], from 1.
fn dead_number(reason: DeadReason) -> u32 {
    match reason {
        DeadReason::Deadline => 1,
        DeadReason::Attempts => 2,
        DeadReason::Refused => 3,
        DeadReason::TargetGone => 4,
        DeadReason::NoTarget => 5,
    }
}

fn dead_reason(number: u32) -> Result<DeadReason, WireError> {
    DeadReason::ALL
        .into_iter()
        .find(|reason| dead_number(*reason) == number)
        .ok_or(unknown("ledger.reason", number))
}

fn unknown(field: &'static str, value: u32) -> WireError {
    WireError::UnknownValue { field, value: value.try_into().unwrap_or(i32::MAX) }
}

/// How long a caller's name or a SIP Call-ID may be.
const TEXT_BYTES_MAX: usize = 512;
