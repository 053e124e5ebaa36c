//! What the door does for a dialect.

use std::time::Duration;

use futures_util::stream::BoxStream;
use sidetone_directory::Directory;
use sidetone_model::classify::{Class, Classify};
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
    /// never behind a command that this door has carried out.
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

/// Events with their cursors, in their order. It ends when the reader falls too far behind; subscribe again from the
/// last cursor then.
pub type Subscription = BoxStream<'static, (u64, serde_json::Value)>;

/// What a URL leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRef {
    /// A recording.
    Recording(RecordingId),
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
}

impl Classify for SubscribeError {
    fn class(&self) -> Class {
        match self {
            Self::TooOld(_) => Class::Stale,
            Self::TooMany => Class::Exhausted,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::TooOld(_) => "cursor_too_old",
            Self::TooMany => "too_many_subscriptions",
        }
    }
}
