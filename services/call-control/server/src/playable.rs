//! Whether what is to be played can be had, asked of the media node before anything is written down: who asks to play what is
//! not there, is too large or is no sound is told so, and nothing has happened.

use std::time::Duration;

use sidetone_model::classify::{Class, Classify};
use sidetone_model::command::{Audience, CallCommand, CallCommandKind};
use sidetone_model::fold::{Capability, Fold};
use sidetone_model::ids::{NodeId, ShardId, TenantId};
use sidetone_proto::media::v1 as media;
use sidetone_runtime::grpc::status;
use tonic::Request;

use crate::CallControl;
use crate::nodes::play_source;

/// Past this the command is carried out all the same; that a sound does not come is told as the playback's end then.
const PREPARE_MAX: Duration = Duration::from_secs(12);

/// A sound that cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Unplayable {
    class: Class,
    text: String,
}

impl Classify for Unplayable {
    fn class(&self) -> Class {
        self.class
    }

    fn reason(&self) -> &'static str {
        match self.class {
            Class::NotFound => "no_such_prompt",
            Class::Exhausted => "too_many_sounds",
            _ => "unplayable",
        }
    }
}

impl CallControl {
    /// Has the node bring what a command wants to play. Whatever else is wrong with the command is told when it is carried out.
    pub(crate) async fn must_be_playable(&self, command: &CallCommand) -> Result<(), Unplayable> {
        let CallCommandKind::Play { to, sources, .. } = &command.kind else { return Ok(()) };
        let shard = usize::from(ShardId::of(&command.tenant, self.shared().shards).0);
        let (tenant, key, to) = (command.tenant.clone(), command.key.clone(), *to);
        let node = self.look(move |shards| {
            let shard = shards[shard];
            let repeated = shard.remembers(&tenant, &key);
            if repeated { None } else { hearing_node(shard.fold(), &tenant, to) }
        });
        let Some(service) = node.await.flatten().and_then(|node| self.node(&node).ok()) else {
            return Ok(());
        };
        let sources = sources.iter().cloned().map(play_source).collect();
        let request = Request::new(media::PreparePlayRequest { sources });
        match tokio::time::timeout(PREPARE_MAX, service.prepare_play(request)).await {
            Ok(Err(problem)) => refusal(status::class(&problem), problem.message()),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// The node of whoever is to hear it: all parties of a call are on one.
fn hearing_node(fold: &Fold, tenant: &TenantId, to: Audience) -> Option<NodeId> {
    let mut legs: Vec<_> = match to {
        Audience::Call(call) => fold.live_legs(call).collect(),
        Audience::Leg(leg) => fold.leg(leg).into_iter().collect(),
    };
    legs.retain(|leg| leg.tenant == *tenant && fold.capabilities(leg.leg).contains(Capability::Play));
    legs.first()?.node.as_ref().map(|(node, _)| node.clone())
}

/// What is the sound's own fault is the asker's to put right. A node that does not answer, or is older than this question, may
/// still play it.
fn refusal(class: Class, text: &str) -> Result<(), Unplayable> {
    let class = match class {
        Class::Invalid | Class::FailedPrecondition => Class::Invalid,
        Class::NotFound | Class::Exhausted => class,
        _ => return Ok(()),
    };
    Err(Unplayable { class, text: text.to_owned() })
}
