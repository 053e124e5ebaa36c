//! What the owner's task is told.

use std::sync::Arc;

use sidetone_call_core::{
    CommandError, FinishedRecording, HeldMedia, HeldSounds, MediaFailure, MediaReply, MediaRequest, Routing,
    Shard,
};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::CallCommand;
use sidetone_model::fact::CommandSubject;
use sidetone_model::ids::{
    BootId, DeviceId, LegId, NodeId, PlaybackId, ReplicaId, StreamId, TenantId, UserId,
};
use sidetone_model::party::Binding;
use sidetone_model::signal::{Hello, LegSignal, MessagesWaiting, OwnerMessage};
use sidetone_model::watch::Watch;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many inputs may wait before whoever brings more has to wait too.
pub(crate) const INPUTS_MAX: usize = 4096;

/// One stream of a replica, as the owner writes to it.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaStream {
    /// Tells one stream of a replica from the next.
    pub(crate) id: u64,
    pub(crate) to_replica: mpsc::Sender<OwnerMessage>,
    /// Cancelled when the owner is done with it: nothing more is read from it.
    pub(crate) over: CancellationToken,
}

/// A look at the shards between two steps.
pub(crate) type Look = Box<dyn FnOnce(&[&Shard]) + Send>;

/// Something for the owner.
pub(crate) enum Input {
    /// A replica has attached.
    Hello { hello: Hello, stream: ReplicaStream },
    /// Something happened on a leg.
    Signal { replica: ReplicaId, signal: LegSignal, routing: Option<Routing> },
    /// A replica has acted on a command.
    Applied { leg: LegId, n: u64 },
    /// A replica takes no new legs.
    ReplicaDraining { replica: ReplicaId },
    /// A stream has ended.
    ReplicaGone { replica: ReplicaId, stream: u64 },
    /// An application asks.
    Command {
        command: Box<CallCommand>,
        fingerprint: [u8; 32],
        from: Routing,
        to: Routing,
        /// Nobody waits for the outcome any longer than that.
        until: Instant,
        reply: oneshot::Sender<Result<CommandSubject, CommandError>>,
    },
    /// A node has answered.
    Media { shard: usize, node: NodeId, request: MediaRequest, answer: Result<MediaReply, MediaFailure> },
    /// A node tells what it holds; what it plays is none for one that does not tell.
    NodeLegs { node: NodeId, boot: BootId, held: Arc<Vec<HeldMedia>>, sounds: Option<Arc<HeldSounds>> },
    /// The process stops, and nobody goes on with its calls.
    EndCalls,
    /// A node is gone.
    NodeLost { node: NodeId, boot: BootId },
    /// A leg's idle time is over.
    LegTimedOut { leg: LegId, on: Life },
    /// Nothing comes from the far side of a leg any more.
    LegLifeless { leg: LegId, on: Life },
    /// A leg has failed on its media node.
    LegFailed { leg: LegId, on: Life, reason: Box<str> },
    /// A digit came as RFC 4733 events.
    Digit { leg: LegId, digit: char, duration_ms: u32 },
    /// A prompt is over.
    PlaybackFinished { playback: PlaybackId, end: PlaybackEnd },
    /// Where a device can be reached, as far as the directory knows: a contact, and further flows of the same instance.
    Device { tenant: TenantId, user: UserId, device: DeviceId, contacts: Vec<Binding> },
    /// A stream is over.
    StreamEnded { node: NodeId, stream: StreamId },
    /// A recording is over.
    RecordingFinished { node: NodeId, finished: FinishedRecording },
    /// A phone is to show how many messages wait.
    Waiting { replica: ReplicaId, waiting: Box<MessagesWaiting> },
    /// A phone has subscribed to something of a user; or the last one that had has not any more.
    Watch { replica: ReplicaId, watch: Watch },
    /// Somebody wants to look.
    Look(Look),
}

/// The media node that tells something of a leg, and its present life.
pub(crate) type Life = (NodeId, BootId);
