//! Whose fault an error is, and what each protocol says about it.
//!
//! Typed errors of every crate answer three questions through [`Classify`]; the tables below turn a [`Class`] or
//! a [`Cause`] into a status of each protocol. No other module holds a status number.

use crate::termination::{Cause, Termination};

/// Whose fault it is, and what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request cannot be understood or is not allowed by the protocol.
    Invalid,
    /// Who asks is not known.
    Unauthenticated,
    /// Who asks is known and may not.
    Forbidden,
    /// What is asked for does not exist.
    NotFound,
    /// It exists already, or the same key was used with another body.
    Conflict,
    /// What the request was based on has changed meanwhile: read again, then ask again.
    Stale,
    /// Not possible in the present state.
    FailedPrecondition,
    /// A limit is reached; later may work.
    Exhausted,
    /// A part of the system that is needed is away; later may work.
    Unavailable,
    /// It took longer than allowed.
    DeadlineExceeded,
    /// Our own fault.
    Internal,
    /// The request is larger than we take.
    TooLarge,
}

/// Whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// The same request may work after that many seconds.
    AfterSeconds(u32),
}

/// What an error tells to whoever must answer for it.
pub trait Classify {
    /// Whose fault it is.
    fn class(&self) -> Class;
    /// A stable short word: the metric label.
    fn reason(&self) -> &'static str;
    /// Whether asking again can help.
    fn retry(&self) -> Retry {
        match self.class() {
            Class::Exhausted | Class::Unavailable => Retry::AfterSeconds(RETRY_AFTER_S),
            _ => Retry::Never,
        }
    }
}

/// What is wrong with the proof of a caller's number (RFC 8224, section 6.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityFault {
    /// A proof is needed and there is none.
    Missing,
    /// It was signed too long ago.
    Stale,
    /// The certificate cannot be had.
    BadInfo,
    /// The certificate is not one that we accept.
    UnsupportedCredential,
    /// It is malformed, of another call, or the signature is wrong.
    Invalid,
}

impl IdentityFault {
    /// The final response with which the INVITE is refused.
    pub fn sip_status(self) -> u16 {
        match self {
            Self::Missing => 428,
            Self::Stale => 403,
            Self::BadInfo => 436,
            Self::UnsupportedCredential => 437,
            Self::Invalid => 438,
        }
    }

    /// The words that RFC 8224 has for it, also for a Reason header (RFC 9410).
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Missing => "Use Identity Header",
            Self::Stale => "Stale Date",
            Self::BadInfo => "Bad Identity Info",
            Self::UnsupportedCredential => "Unsupported Credential",
            Self::Invalid => "Invalid Identity Header",
        }
    }
}

/// What a full or draining process asks its clients to wait, in seconds.
pub const RETRY_AFTER_S: u32 = 2;

impl Class {
    /// The HTTP status (RFC 9110, section 15).
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::Stale | Self::FailedPrecondition => 409,
            Self::Exhausted => 429,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
            Self::Internal => 500,
            Self::TooLarge => 413,
        }
    }

    /// The gRPC status code by number (the numbers of `google.rpc.Code`).
    pub fn grpc_code(self) -> i32 {
        match self {
            Self::Invalid | Self::TooLarge => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Forbidden => 7,
            Self::Exhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Stale => 10,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }

    /// The cause with which a call ends when this stops it.
    pub fn cause(self) -> Cause {
        match self {
            Self::Invalid | Self::TooLarge => Cause::ProtocolError,
            Self::Unauthenticated | Self::Forbidden => Cause::Forbidden,
            Self::NotFound => Cause::NotFound,
            Self::Exhausted | Self::Unavailable => Cause::NoCapacity,
            Self::DeadlineExceeded => Cause::Timeout,
            Self::Conflict | Self::Stale | Self::FailedPrecondition | Self::Internal => Cause::Internal,
        }
    }
}

impl Cause {
    /// The final response with which an unanswered INVITE is refused (RFC 3261, section 21).
    pub fn sip_status(self) -> u16 {
        match self {
            Self::Normal | Self::Application | Self::NoAnswer | Self::Unavailable => 480,
            Self::AnsweredElsewhere | Self::Cancelled | Self::Diverted => 487,
            Self::Busy => 486,
            Self::Rejected => 603,
            Self::NotFound => 404,
            Self::Forbidden => 403,
            Self::NoCommonCodec => 488,
            Self::ProtocolError => 400,
            Self::Timeout => 408,
            Self::NoCapacity | Self::Shutdown | Self::SignallingLost | Self::MediaNodeLost => 503,
            Self::TransportFailure | Self::MediaTimeout => 504,
            Self::Internal | Self::PromptMissing => 500,
        }
    }

    /// The Q.850 cause for a Reason header (RFC 3326; the pairing of RFC 3398, section 8.2.6.1).
    pub fn q850(self) -> u8 {
        match self {
            Self::Normal | Self::Application | Self::Cancelled => 16,
            Self::AnsweredElsewhere => 26,
            // Call transferred, diverted: "normal, unspecified".
            Self::Diverted => 31,
            Self::Busy => 17,
            Self::NoAnswer => 19,
            Self::Unavailable => 20,
            Self::Rejected | Self::Forbidden => 21,
            Self::NotFound => 1,
            Self::NoCommonCodec => 88,
            Self::ProtocolError => 111,
            Self::Timeout => 102,
            Self::TransportFailure => 38,
            Self::MediaTimeout
            | Self::MediaNodeLost
            | Self::SignallingLost
            | Self::Internal
            | Self::PromptMissing => 41,
            Self::NoCapacity => 42,
            Self::Shutdown => 27,
        }
    }

    /// The cause behind a final response that a called phone or carrier sent.
    pub fn from_sip_status(status: u16) -> Self {
        match status {
            // The 4xx of RFC 8224: the carrier does not believe who we say is calling.
            401 | 403 | 407 | 428 | 436..=438 => Self::Forbidden,
            404 | 410 | 484 | 604 => Self::NotFound,
            408 => Self::NoAnswer,
            480 => Self::Unavailable,
            // The user is elsewhere, and nobody can be led there.
            300..=399 => Self::Unavailable,
            486 | 600 => Self::Busy,
            487 => Self::Cancelled,
            488 | 606 | 415 => Self::NoCommonCodec,
            503 => Self::NoCapacity,
            500..=599 => Self::TransportFailure,
            // Flow failed (RFC 5626, section 11.5).
            430 => Self::TransportFailure,
            // Unwanted (RFC 8197) and rejected by analytics (RFC 8688).
            603 | 607 | 608 => Self::Rejected,
            _ => Self::ProtocolError,
        }
    }

    /// Seconds for a Retry-After header (RFC 3261, section 20.33), where waiting makes sense.
    pub fn retry_after_s(self) -> Option<u32> {
        matches!(self, Self::NoCapacity | Self::Shutdown).then_some(RETRY_AFTER_S)
    }
}

impl Termination {
    /// The final response with which a caller is refused. That a call has gone in circles is told as it was heard (482, 483): other
    /// ways lead nowhere else, and those before us are to know.
    pub fn refusal_status(&self) -> u16 {
        self.sip_status.filter(|status| matches!(status, 482 | 483)).unwrap_or(self.cause.sip_status())
    }

    /// Whether a leg to a phone that was not answered ended because of its flow, so that the phone may be asked over another
    /// (RFC 5626, section 5.3: 430, 408, or a failure of our own). A phone that `rang` and did not answer in time has answered for
    /// itself.
    pub fn is_of_flow(&self, rang: bool) -> bool {
        match (self.cause, self.sip_status) {
            (_, Some(430)) => true,
            (Cause::TransportFailure | Cause::SignallingLost, None) => true,
            (Cause::Timeout, None) | (_, Some(408)) => !rang,
            _ => false,
        }
    }
}

impl<E: Classify + std::fmt::Display> From<&E> for Termination {
    fn from(error: &E) -> Self {
        Self::new(error.class().cause()).with_text(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_fails_by_430_and_by_itself_and_what_a_phone_says_is_final() {
        let told = |status| Termination::new(Cause::from_sip_status(status)).with_sip_status(status);
        assert!(told(430).is_of_flow(true) && told(408).is_of_flow(false) && !told(408).is_of_flow(true));
        for status in [302, 400, 404, 480, 486, 487, 500, 503, 504, 600, 603] {
            assert!(!told(status).is_of_flow(false), "{status}");
        }
        assert!(Termination::new(Cause::TransportFailure).is_of_flow(true));
        assert!(Termination::new(Cause::Timeout).is_of_flow(false));
        assert!(!Termination::new(Cause::Timeout).is_of_flow(true));
        assert!(!Termination::new(Cause::Cancelled).is_of_flow(false));
    }

    #[test]
    fn every_cause_has_a_failure_status_and_only_waits_are_offered_a_retry() {
        for cause in Cause::ALL {
            assert!((400..700).contains(&cause.sip_status()), "{cause:?}");
            if cause.retry_after_s().is_some() {
                assert_eq!(cause.sip_status(), 503, "{cause:?}");
            }
        }
    }
}
