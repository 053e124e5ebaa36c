//! Following what happens in a shard, and having commands carried out, in the process that decides it.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use sidetone_model::classify::{Class, Classify};
use sidetone_model::command::CallCommand;
use sidetone_model::fact::{CommandSubject, Fact};
use sidetone_model::ids::{LegId, ShardId, TenantId};
use sidetone_model::time::Timestamp;
use tokio::sync::broadcast;

use super::LinkError;

/// One entry of a shard's log, or a part of the history before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The entry; for history the last one that it holds.
    pub entry: u64,
    /// It happened before the cursor: to be folded, not to be told.
    pub history: bool,
    /// What happened, in its order.
    pub facts: Arc<[Fact]>,
}

/// Where facts come from.
#[async_trait::async_trait]
pub trait FactFeed: Send + Sync + 'static {
    /// Into how many shards the tenants are divided.
    fn shards(&self) -> u16;

    /// The last entry of a shard's log.
    async fn position(&self, shard: ShardId) -> Result<u64, LinkError>;

    /// First the history that folds to the state after the entry `after` (the present when it is none), then, without a
    /// gap, each entry that follows. After an error follow again from the last entry that was dealt with.
    async fn follow(
        &self,
        shard: ShardId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<Followed, LinkError>>, LinkError>;

    /// Who speaks, from now on, in every shard. A reader that falls behind loses the oldest.
    fn speakers(&self) -> broadcast::Receiver<Speaker>;
}

/// Who speaks where several talk: a sample. Media tells it at most twice a second of a mix; it is kept nowhere and may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// The mix.
    pub mix: Box<str>,
    /// The leg that speaks; none when nobody does any more.
    pub leg: Option<LegId>,
    /// When it was heard of.
    pub at: Timestamp,
}

/// Who carries out commands on calls.
#[async_trait::async_trait]
pub trait CommandPort: Send + Sync + 'static {
    /// Carries out a command once: a repeated key with the same command gives the same answer.
    async fn execute(&self, command: CallCommand) -> Result<CommandSubject, CommandRefused>;

    /// What the command of this key has made or acted upon; none when none was carried out with it lately. For whoever would
    /// otherwise look for the state before the command, which a repetition does not find any more.
    async fn done_before(&self, tenant: &TenantId, key: &str) -> Option<CommandSubject>;
}

/// A command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CommandRefused {
    /// Whose fault it was.
    pub class: Class,
    /// A stable short word.
    pub reason: &'static str,
    /// In words, for whoever asked.
    pub text: String,
}

impl CommandRefused {
    /// What an error says.
    pub fn of(error: &(impl Classify + std::fmt::Display)) -> Self {
        Self { class: error.class(), reason: error.reason(), text: error.to_string() }
    }
}

impl Classify for CommandRefused {
    fn class(&self) -> Class {
        self.class
    }
    fn reason(&self) -> &'static str {
        self.reason
    }
}
