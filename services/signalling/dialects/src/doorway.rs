//! What the door does for a dialect.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use futures_util::stream::BoxStream;
use sidetone_directory::Directory;
use sidetone_model::classify::{Class, Classify, RETRY_AFTER_S};
use sidetone_model::command::CallCommand;
use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::Fold;
use sidetone_model::ids::{RecordingId, TenantId, UserId};
use sidetone_model::time::Timestamp;

use crate::People;

/// The way from a dialect's handlers to the rest of Sidetone.
#[async_trait::async_trait]
pub trait Doorway: Send + Sync + 'static {
    /// Carries out a command. A repeated key with the same command gives the same answer.
    async fn execute(&self, command: CallCommand) -> Result<CommandSubject, CommandRefusal>;

    /// What the command of a key has made or acted upon, when it was carried out lately. Whoever derives a command from the
    /// state of a call asks this first: after the command that state is another one.
    async fn done_before(&self, tenant: &TenantId, key: &str) -> Option<CommandSubject>;

    /// Shows the fold of a tenant's shard; [`look`] is the comfortable form. It may be some milliseconds behind, but
    /// never behind a command that this door has carried out. Nothing is shown while the door does not know yet what
    /// happened before it began.
    fn with_fold(&self, tenant: &TenantId, look: &mut dyn FnMut(&Fold));

    /// What is emitted for a user from now on, or from after a cursor on.
    fn subscribe(
        &self,
        dialect: &'static str,
        tenant: &TenantId,
        user: &UserId,
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError>;

    /// The URL at which a recording or a stream can be fetched for a limited time, by whoever has the URL.
    fn media_url(&self, tenant: &TenantId, media: MediaRef) -> String;

    /// The directory, where an answer may be waited for.
    fn directory(&self) -> &Directory;

    /// The directory, as a projection sees it.
    fn people(&self) -> &dyn People;

    /// The time.
    fn now(&self) -> Timestamp;

    /// After how long without use a session of a client is over.
    fn session_idle(&self) -> Duration {
        Duration::from_secs(3600)
    }

    /// Takes note of how many sessions clients have open at this replica.
    fn sessions(&self, open: usize) {
        let _ = open;
    }

    /// A bound has kept a client from something: which, out of a closed set.
    fn limited(&self, bound: &'static str) {
        let _ = bound;
    }

    /// A key for a command whose client gives none.
    fn fresh_key(&self) -> Box<str>;
}

/// Looks at the fold of a tenant's shard.
pub fn look<T>(door: &dyn Doorway, tenant: &TenantId, look: impl FnOnce(&Fold) -> T) -> Option<T> {
    let mut look = Some(look);
    let mut seen = None;
    door.with_fold(tenant, &mut |fold| seen = look.take().map(|look| look(fold)));
    seen
}

/// The door does not know yet what has happened lately: it has just begun, or is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what has happened lately is not known here yet; ask again in a moment")]
pub struct Behind;

impl Classify for Behind {
    fn class(&self) -> Class {
        Class::Unavailable
    }
    fn reason(&self) -> &'static str {
        "behind"
    }
}

/// A refusal that says when asking again can help (RFC 9110, section 10.2.3).
pub(crate) fn with_retry_after(class: Class, mut refusal: Response) -> Response {
    if matches!(class, Class::Exhausted | Class::Unavailable) {
        refusal.headers_mut().insert(http::header::RETRY_AFTER, RETRY_AFTER_S.into());
    }
    refusal
}

/// Why the body of a request cannot be had, in words.
pub(crate) fn body_fault(rejection: &BytesRejection) -> (Class, &'static str) {
    if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        (Class::TooLarge, "it is too large")
    } else {
        (Class::Invalid, "it cannot be read")
    }
}

/// Events with their cursors, in their order. It ends when the reader falls too far behind; subscribe again from the
/// last cursor then.
pub type Subscription = BoxStream<'static, (u64, serde_json::Value)>;

/// The address that a request came from: an extension of the request, set by the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(pub std::net::IpAddr);

/// What a URL leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRef {
    /// A recording.
    Recording(RecordingId),
    /// Another file of a recording in which each leg has one of its own, from 1.
    Track(RecordingId, u32),
    /// A live stream, by its id.
    Stream(Box<str>),
}

/// A command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CommandRefusal {
    /// Whose fault it was.
    pub class: Class,
    /// A stable short word.
    pub reason: &'static str,
    /// In words, for the person at the other end.
    pub text: String,
}

impl Classify for CommandRefusal {
    fn class(&self) -> Class {
        self.class
    }
    fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Why events cannot be had from a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// What followed the cursor is kept no more.
    #[error("the events after cursor {0} are kept no more; subscribe anew and read the present state")]
    TooOld(u64),
    /// Too many subscriptions.
    #[error("there are as many subscriptions as this replica takes; ask again later")]
    TooMany,
    /// Too many subscriptions of one user.
    #[error("the user has as many subscriptions as one may have; end another one first")]
    TooManyOfUser,
}

impl Classify for SubscribeError {
    fn class(&self) -> Class {
        match self {
            Self::TooOld(_) => Class::Stale,
            Self::TooMany | Self::TooManyOfUser => Class::Exhausted,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::TooOld(_) => "cursor_too_old",
            Self::TooMany | Self::TooManyOfUser => "too_many_subscriptions",
        }
    }
}
