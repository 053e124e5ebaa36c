//! What is owed to applications, handed to whoever delivers it.

use sidetone_dialects::OrderKey;
use sidetone_model::callback::Callback;
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;

/// One message to one application. Its place (`entry.place.index`) is the same however often the log is projected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The entry of the shard's log.
    pub entry: u64,
    /// The fact in its entry, from 0.
    pub place: u32,
    /// The message among those of its fact to the same application, from 0.
    pub index: u32,
    /// Whose.
    pub tenant: TenantId,
    /// The application.
    pub application: Box<str>,
    /// The dialect that it speaks.
    pub dialect: &'static str,
    /// Within what the order is kept.
    pub order: OrderKey,
    /// When what it tells happened.
    pub at: Timestamp,
    /// The event.
    pub body: serde_json::Value,
    /// Where to, instead of by the webhook in the application's directory record.
    pub to: Option<Callback>,
}

/// Something to be told once, soon, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Whose.
    pub tenant: TenantId,
    /// The application.
    pub application: Box<str>,
    /// When it was so.
    pub at: Timestamp,
    /// The event.
    pub body: serde_json::Value,
}

/// What is owed could not be handed over.
pub type OutletError = anyhow::Error;

/// Who delivers messages to applications.
#[async_trait::async_trait]
pub trait Outlet: Send + Sync + 'static {
    /// The entry from after which the log is to be projected: everything up to it is delivered or kept. None for a shard
    /// from which nothing has been handed over yet.
    async fn cursor(&self, shard: ShardId) -> Result<Option<u64>, OutletError>;

    /// Takes the messages of one entry. May wait when too much is owed already.
    async fn post(&self, shard: ShardId, entry: u64, posted: Vec<Posted>) -> Result<(), OutletError>;

    /// Tells something of which nothing is kept: without waiting, and it may be lost.
    fn mention(&self, mention: Mention);
}
