//! Event packages of which this server is the notifier (RFC 6665): who may have subscribed is decided elsewhere, before; here is what
//! a SUBSCRIBE must look like, and what becomes of a subscription over time.

pub(crate) mod dialog_info;
mod message_summary;
mod persist;
mod subscription;

use sidetone_model::classify::{Class, Classify};

pub use message_summary::message_summary;
pub use persist::StoredSubscription;
pub use subscription::{EndReason, Granted, NotifyFailure, Subscription, SubscriptionSetup};

use crate::message::{Request, Response, ResponseBuilder, Status};

/// An event package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package {
    /// Whether messages wait in a mailbox (RFC 3842).
    MessageSummary,
    /// What a user's phones are doing (RFC 4235).
    Dialog,
}

impl Package {
    /// Every one there is.
    pub const ALL: [Self; 2] = [Self::MessageSummary, Self::Dialog];

    /// The token in Event and Allow-Events.
    pub fn token(self) -> &'static str {
        match self {
            Self::MessageSummary => "message-summary",
            Self::Dialog => "dialog",
        }
    }

    /// The media type of its documents.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::MessageSummary => "application/simple-message-summary",
            Self::Dialog => "application/dialog-info+xml",
        }
    }

    /// Which one a SUBSCRIBE asks for.
    ///
    /// # Errors
    /// When there is no such package here, or its sender takes none of its documents.
    pub fn of(subscribe: &Request) -> Result<Self, SubscribeError> {
        let package = Self::named_in(subscribe).ok_or(SubscribeError::BadEvent)?;
        if subscribe.header("Accept").is_some() {
            let ranges = subscribe.tokens("Accept");
            let taken = ranges.iter().any(|range| {
                let range = range.split(';').next().unwrap_or_default().trim();
                ["*/*", "application/*", package.content_type()]
                    .iter()
                    .any(|it| range.eq_ignore_ascii_case(it))
            });
            if !taken {
                return Err(SubscribeError::NotAcceptable);
            }
        }
        Ok(package)
    }

    fn named_in(subscribe: &Request) -> Option<Self> {
        let event = subscribe.header("Event")?;
        let token = event.split(';').next()?.trim();
        // To be compared byte by byte (RFC 6665, section 7.2.1); phones that write it in another case mean the same.
        Self::ALL.into_iter().find(|package| package.token().eq_ignore_ascii_case(token))
    }
}

/// For how long subscriptions hold.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionPolicy {
    /// Shortest time that is granted, in seconds; less is refused with 423, but for 0.
    pub expires_min_s: u32,
    /// Longest time that is granted, in seconds; more is cut to it. Also what is granted when the phone does not say.
    pub expires_max_s: u32,
}

impl SubscriptionPolicy {
    /// The seconds granted; 0 for none but to be told once (RFC 6665, sections 3.1.1 and 4.2.1.1).
    pub(crate) fn granted_s(&self, subscribe: &Request) -> Result<u32, SubscribeError> {
        match subscribe.expires_s() {
            None => Ok(self.expires_max_s),
            Some(0) => Ok(0),
            Some(asked) if asked < self.expires_min_s => {
                Err(SubscribeError::TooBrief { min_expires_s: self.expires_min_s })
            }
            Some(asked) => Ok(asked.min(self.expires_max_s)),
        }
    }
}

/// Why a SUBSCRIBE is refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No such event package (RFC 6665, section 7.2.4), or another one than the subscription's.
    #[error("no such event package")]
    BadEvent,
    /// The sender takes none of the package's documents (RFC 3261, section 21.4.7).
    #[error("none of the package's documents is accepted")]
    NotAcceptable,
    /// The time asked for is below the least (RFC 6665, section 4.2.1.1).
    #[error("the time asked for is too short")]
    TooBrief {
        /// What would be granted at least, in seconds.
        min_expires_s: u32,
    },
    /// Not the one Contact that a dialog needs (RFC 3261, section 12.1.1), or a malformed Record-Route.
    #[error("a malformed Contact or Record-Route")]
    BadContact,
    /// An older SUBSCRIBE came after a newer one of the same dialog (RFC 3261, section 12.2.2).
    #[error("an older SUBSCRIBE came after a newer one")]
    OutOfOrder,
    /// The subscription is over (RFC 6665, section 4.1.2.2).
    #[error("the subscription is over")]
    Over,
    /// Not to be watched by the sender.
    #[error("not to be watched by the sender")]
    Forbidden,
    /// Nobody is there to be watched.
    #[error("nobody is there to be watched")]
    NotFound,
    /// As many subscriptions as there may be.
    #[error("too many subscriptions")]
    TooMany,
}

impl Classify for SubscribeError {
    fn class(&self) -> Class {
        match self {
            Self::BadEvent | Self::NotAcceptable | Self::TooBrief { .. } | Self::BadContact => Class::Invalid,
            Self::OutOfOrder => Class::Conflict,
            Self::Over | Self::NotFound => Class::NotFound,
            Self::Forbidden => Class::Forbidden,
            Self::TooMany => Class::Exhausted,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::BadEvent => "bad_event",
            Self::NotAcceptable => "not_acceptable",
            Self::TooBrief { .. } => "too_brief",
            Self::BadContact => "bad_contact",
            Self::OutOfOrder => "out_of_order",
            Self::Over => "over",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::TooMany => "full",
        }
    }
}

impl SubscribeError {
    /// The refusal of `subscribe`.
    pub fn response(&self, subscribe: &Request, to_tag: &str) -> Response {
        let builder = |status| ResponseBuilder::new(subscribe, status, to_tag);
        match self {
            Self::BadEvent => builder(Status::BAD_EVENT).header("Allow-Events", ALLOW_EVENTS).build(),
            Self::NotAcceptable => {
                let accepted = Package::named_in(subscribe).map(Package::content_type);
                builder(Status::NOT_ACCEPTABLE).header_opt("Accept", accepted).build()
            }
            Self::TooBrief { min_expires_s } => {
                builder(Status::INTERVAL_TOO_BRIEF).header("Min-Expires", min_expires_s.to_string()).build()
            }
            Self::OutOfOrder => builder(Status::SERVER_INTERNAL_ERROR).build(),
            Self::Over => builder(Status::NO_SUCH_TRANSACTION).build(),
            other => {
                let cause = other.class().cause();
                let status = Status::new(cause.sip_status()).unwrap_or(Status::SERVER_INTERNAL_ERROR);
                let retry = cause.retry_after_s().map(|seconds| seconds.to_string());
                builder(status).header_opt("Retry-After", retry).build()
            }
        }
    }
}

/// The packages to which phones may subscribe: the value of Allow-Events.
pub const ALLOW_EVENTS: &str = "message-summary, dialog";
