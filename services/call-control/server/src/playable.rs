//! Whether what is to be played can be had, asked of the media node before anything is written down: who asks to play what is
//! not there, is too large or is no sound is told so, and nothing has happened.

use std::collections::BTreeMap;
use std::time::Duration;

use sidetone_directory::Prompts;
use sidetone_model::classify::{Class, Classify};
use sidetone_model::command::{Audience, CallCommand, CallCommandKind};
use sidetone_model::fold::{Capability, Fold};
use sidetone_model::ids::{NodeId, ShardId, TenantId};
use sidetone_model::media::Source;
use sidetone_proto::media::v1 as media;
use sidetone_proto::types::v1::destination::Kind;
use sidetone_runtime::grpc::status;
use tonic::Request;

use crate::CallControl;
use crate::nodes::play_source;

/// Past this the command is carried out all the same; that a sound does not come is told as the playback's end then.
const PREPARE_MAX: Duration = Duration::from_secs(12);

/// Nodes that are asked for one prompt: those of an installation have the same.
const NODES_ASKED_MAX: usize = 8;
/// Prompts of announcements that are looked at when call control starts.
const ANNOUNCED_MAX: usize = 1000;

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

#[async_trait::async_trait]
impl Prompts for CallControl {
    /// One node that has the prompt is enough, and so is one that cannot tell.
    async fn problem(&self, prompt: &str) -> Option<String> {
        let mut problem = None;
        for service in self.shared().router.nodes.services().into_iter().take(NODES_ASKED_MAX) {
            let sources = vec![play_source(Source::Prompt(prompt.into()))];
            let asked = service.prepare_play(Request::new(media::PreparePlayRequest { sources }));
            match tokio::time::timeout(PREPARE_MAX, asked).await {
                Ok(Err(told)) => match refusal(status::class(&told), told.message()) {
                    Err(Unplayable { class: Class::NotFound | Class::Invalid, text }) => problem = Some(text),
                    _ => return None,
                },
                Ok(Ok(_)) | Err(_) => return None,
            }
        }
        problem
    }
}

/// Tells which prompts nobody will hear: of the configuration by their keys, and of announcements by their tenants. Those that
/// were put while no node was there, or whose files have gone.
pub(crate) async fn tell_missing(control: &CallControl, configured: Vec<(&'static str, String)>) {
    for (key, prompt) in configured.iter().filter(|(_, prompt)| !prompt.is_empty()) {
        if let Some(why) = control.problem(prompt).await {
            tracing::warn!(%prompt, %why, "call_control.{key} names a prompt that cannot be played");
        }
    }
    let directory = &control.shared().router.directory;
    let mut announced = BTreeMap::new();
    for tenant in directory.list_tenants().await.unwrap_or_default() {
        let Ok(tenant) = TenantId::new(&tenant.tenant) else { continue };
        for number in directory.list_numbers(&tenant).await.unwrap_or_default() {
            if let Some(Kind::Announcement(it)) = number.destination.and_then(|destination| destination.kind)
                && announced.len() < ANNOUNCED_MAX
            {
                announced.entry(it.prompt).or_insert_with(|| tenant.clone());
            }
        }
    }
    for (prompt, tenant) in announced {
        if let Some(why) = control.problem(&prompt).await {
            tracing::warn!(%prompt, %tenant, %why, "an announcement has a prompt that cannot be played");
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
