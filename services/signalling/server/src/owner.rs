//! Keeps a stream to the owner of the shards: attaches, and attaches again when it broke.

use std::sync::Arc;
use std::time::Duration;

use sidetone_model::signal::{OwnerMessage, ReplicaMessage};
use sidetone_runtime::link::{OwnerConnector, ReplicaLink};
use sidetone_sip_core::tokens::Tokens;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What the agent is told of the stream.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A new stream; the agent must say Hello on it first.
    Up(mpsc::Sender<ReplicaMessage>),
    /// The owner spoke; Welcome is first.
    Message(OwnerMessage),
    /// The stream is over.
    Down,
}

/// Messages of the owner that may wait for the agent; then the owner waits.
pub(crate) const LINK_EVENTS_MAX: usize = 1024;

/// Runs until the agent is gone.
pub(crate) async fn keep_attached(
    connector: Arc<dyn OwnerConnector>,
    to_agent: mpsc::Sender<LinkEvent>,
    mut tokens: Tokens,
    stopping: CancellationToken,
) {
    let mut failures = 0;
    while !to_agent.is_closed() {
        let link = timeout(ATTACH_TIMEOUT, connector.attach()).await;
        match link {
            Ok(Ok(link)) => {
                let welcomed = converse(link, &to_agent).await;
                if to_agent.send(LinkEvent::Down).await.is_err() {
                    return;
                }
                failures = if welcomed { 0 } else { failures + 1 };
                // Said once, and not at every attempt of a long absence; nor when all stops together.
                if failures <= 1 && !stopping.is_cancelled() {
                    tracing::warn!(welcomed, "the stream to call control is over; attaching again");
                }
            }
            failed => {
                failures += 1;
                if failures == 1 {
                    let error = failed.ok().and_then(Result::err);
                    let error =
                        error.map_or_else(|| "no answer in time".to_owned(), |error| error.to_string());
                    tracing::warn!(%error, "cannot attach to call control; trying on");
                }
            }
        }
        tokio::select! {
            () = sleep(pause(failures, &mut tokens)) => {}
            () = to_agent.closed() => return,
        }
    }
}

/// Passes on what the owner says until the stream is over; says whether there was a Welcome.
async fn converse(link: ReplicaLink, to_agent: &mpsc::Sender<LinkEvent>) -> bool {
    let ReplicaLink { to_owner, mut from_owner } = link;
    if to_agent.send(LinkEvent::Up(to_owner.clone())).await.is_err() {
        return false;
    }
    let Ok(Some(welcome @ OwnerMessage::Welcome { .. })) = timeout(ATTACH_TIMEOUT, from_owner.recv()).await
    else {
        return false;
    };
    let mut next = Some(welcome);
    while let Some(message) = next {
        if to_agent.send(LinkEvent::Message(message)).await.is_err() {
            break;
        }
        next = tokio::select! {
            // What the owner said before it went away still counts.
            biased;
            message = from_owner.recv() => message,
            () = to_owner.closed() => None,
            () = to_agent.closed() => None,
        };
    }
    true
}

/// Doubles from 50 ms to 2 s, then half of it is left to chance, so that replicas do not all come back at once.
fn pause(failures: u32, tokens: &mut Tokens) -> Duration {
    let longest = (PAUSE_MIN_MS << failures.min(6)).min(PAUSE_MAX_MS);
    Duration::from_millis(u64::from(longest / 2 + tokens.below(longest / 2 + 1)))
}

const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE_MIN_MS: u32 = 50;
const PAUSE_MAX_MS: u32 = 2_000;
