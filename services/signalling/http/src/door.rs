//! What dialects' handlers are given.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use sidetone_dialects::{Behind, CommandRefusal, Doorway, MediaRef, People, SubscribeError, Subscription};
use sidetone_directory::Directory;
use sidetone_model::classify::{Class, Classify as _};
use sidetone_model::command::CallCommand;
use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::Fold;
use sidetone_model::ids::{RecordingId, ShardId, TenantId, UserId};
use sidetone_model::time::Timestamp;
use sidetone_runtime::link::{CommandPort, FactFeed};
use sidetone_telemetry::Telemetry;

use crate::book::Book;
use crate::follower::Shard;
use crate::media::{KeptAt, Tickets};

/// The door as dialects see it.
pub(crate) struct Door {
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) feed: Arc<dyn FactFeed>,
    pub(crate) commands: Arc<dyn CommandPort>,
    pub(crate) directory: Directory,
    pub(crate) book: Arc<Book>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) subscriptions_max: usize,
    pub(crate) session_idle: Duration,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// How long an answer waits for the fold to hold what the command has brought about.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Event channels of one user at a time.
const SUBSCRIPTIONS_OF_USER_MAX: usize = 32;

impl Door {
    fn shard(&self, tenant: &TenantId) -> (ShardId, &Arc<Shard>) {
        let id = ShardId::of(tenant, self.shards.len() as u16);
        (id, &self.shards[usize::from(id.0)])
    }

    /// Where a file of a recording is, when it has ended and there is such a file.
    fn kept_at(&self, tenant: &TenantId, recording: RecordingId, track: u32) -> Option<KeptAt> {
        let (_, shard) = self.shard(tenant);
        let fold = shard.fold();
        let Some(view) = fold.recording(recording).filter(|view| view.tenant == *tenant) else {
            let (_, node, file) = fold.conversations().recording(tenant, recording).filter(|_| track == 0)?;
            return Some(KeptAt { node, file });
        };
        Some(KeptAt { node: view.node.clone(), file: view.file(track)?.into() })
    }

    /// Waits until the fold is no older than the log is now.
    async fn catch_up(&self, tenant: &TenantId) -> Result<(), Behind> {
        let (id, shard) = self.shard(tenant);
        let position = self.feed.position(id).await.map_err(|error| {
            tracing::warn!(shard = %id, %error, "how far call control is cannot be told");
            Behind
        })?;
        tokio::time::timeout(CATCH_UP, shard.reach(position)).await.map_err(|_| {
            tracing::warn!(shard = %id, "the door is behind call control");
            Behind
        })
    }
}

/// Gives a subscription's place back when it ends.
struct Place(Arc<Telemetry>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.http.channels.dec();
    }
}

#[async_trait::async_trait]
impl Doorway for Door {
    async fn execute(&self, command: CallCommand) -> Result<CommandSubject, CommandRefusal> {
        let tenant = command.tenant.clone();
        let outcome = self.commands.execute(command).await;
        let caught_up = self.catch_up(&tenant).await;
        let subject = outcome.map_err(|refused| CommandRefusal {
            class: refused.class,
            reason: refused.reason,
            // What went wrong inside is in the log; it is of no use outside.
            text: if refused.class == Class::Internal {
                "an internal error".to_owned()
            } else {
                refused.text
            },
        })?;
        // It is done; but whoever looked for it here now would not find it. Asked again with the same key, the answer is the same.
        caught_up.map_err(|behind| CommandRefusal {
            class: behind.class(),
            reason: behind.reason(),
            text: behind.to_string(),
        })?;
        Ok(subject)
    }

    async fn done_before(&self, tenant: &TenantId, key: &str) -> Option<CommandSubject> {
        self.commands.done_before(tenant, key).await
    }

    fn with_fold(&self, tenant: &TenantId, look: &mut dyn FnMut(&Fold)) {
        let (_, shard) = self.shard(tenant);
        look(&shard.fold());
    }

    fn subscribe(
        &self,
        dialect: &'static str,
        tenant: &TenantId,
        user: &UserId,
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        self.telemetry.http.channels.inc();
        let place = Place(Arc::clone(&self.telemetry));
        if self.telemetry.http.channels.get() > self.subscriptions_max as i64 {
            self.limited("subscriptions");
            return Err(SubscribeError::TooMany);
        }
        let (_, shard) = self.shard(tenant);
        if shard.ring.readers_of(tenant, user) >= SUBSCRIPTIONS_OF_USER_MAX {
            self.limited("subscriptions_of_user");
            return Err(SubscribeError::TooManyOfUser);
        }
        let events = shard.ring.subscribe(dialect, (tenant.clone(), user.clone()), after)?;
        Ok(events.map(move |event| (event, &place).0).boxed())
    }

    fn media_url(&self, tenant: &TenantId, media: MediaRef) -> String {
        let kept = match &media {
            MediaRef::Recording(recording) => self.kept_at(tenant, *recording, 0),
            MediaRef::Track(recording, track) => self.kept_at(tenant, *recording, *track),
            MediaRef::Stream(_) => None,
        };
        self.tickets.url(tenant, &media, kept.as_ref(), self.now())
    }

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn people(&self) -> &dyn People {
        &*self.book
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn session_idle(&self) -> Duration {
        self.session_idle
    }

    fn sessions(&self, open: usize) {
        self.telemetry.http.sessions.set(open as i64);
    }

    fn limited(&self, bound: &'static str) {
        self.telemetry.http.limited.with_label_values(&[bound]).inc();
    }

    fn fresh_key(&self) -> Box<str> {
        uuid::Uuid::now_v7().to_string().into()
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as u64)
}
