//! Commands that wait until the legs they need are on one media node.

use std::collections::HashMap;

use sidetone_call_core::{CommandError, GatheringId, Routing};
use sidetone_model::command::CallCommand;
use sidetone_model::fact::CommandSubject;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many may wait for one and the same command. More are told at once that nobody answers them;
/// who has gone counts no more.
const ASKERS_MAX: usize = 8;

/// A command, and who wants to know what became of it.
pub(super) struct Asked {
    pub(super) command: Box<CallCommand>,
    pub(super) fingerprint: [u8; 32],
    pub(super) from: Routing,
    pub(super) to: Routing,
    /// Nobody waits for the outcome any longer than that.
    pub(super) until: Instant,
    pub(super) replies: Vec<oneshot::Sender<Result<CommandSubject, CommandError>>>,
}

/// One for each gathering under way, of which the core ends every one within its time.
#[derive(Default)]
pub(super) struct Waiting(HashMap<(usize, GatheringId), Asked>);

impl Waiting {
    /// A command that is asked again while it waits has the same answer; another one is given back.
    pub(super) fn join(&mut self, shard: usize, asked: Asked) -> Option<Asked> {
        let same = |(of, _): &(usize, GatheringId), waiting: &Asked| {
            *of == shard
                && waiting.command.tenant == asked.command.tenant
                && waiting.command.key == asked.command.key
                && waiting.fingerprint == asked.fingerprint
        };
        let Some((_, waiting)) = self.0.iter_mut().find(|(key, waiting)| same(key, waiting)) else {
            return Some(asked);
        };
        waiting.replies.retain(|reply| !reply.is_closed());
        if waiting.replies.len() < ASKERS_MAX {
            waiting.replies.extend(asked.replies);
            waiting.until = waiting.until.max(asked.until);
        }
        None
    }

    pub(super) fn keep(&mut self, shard: usize, gathering: GatheringId, asked: Asked) {
        self.0.insert((shard, gathering), asked);
    }

    pub(super) fn take(&mut self, shard: usize, gathering: GatheringId) -> Option<Asked> {
        self.0.remove(&(shard, gathering))
    }
}
