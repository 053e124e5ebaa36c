//! What is to be said to the owner, in order, and how far the stream has taken it.

use std::collections::VecDeque;

use sidetone_model::ids::LegId;
use sidetone_model::signal::ReplicaMessage;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// One message by reference: a signal's text stands in its leg's outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Signal {
        leg: LegId,
        n: u64,
    },
    Applied {
        leg: LegId,
        n: u64,
    },
    Draining,
    /// The next of what is to be said of who is watched, which waits beside this.
    Watch,
}

/// The way to the owner.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    to_owner: Option<mpsc::Sender<ReplicaMessage>>,
    waiting: VecDeque<Said>,
    /// Welcome has come on this stream.
    attached: bool,
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// The stream is full; it says when it is not.
    Later,
    /// The stream is over.
    Broken,
}

impl Upstream {
    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    pub(super) fn set_attached(&mut self) {
        self.attached = self.to_owner.is_some();
    }

    /// A new stream: what waited for the old one is built anew from what is kept.
    pub(super) fn open(&mut self, to_owner: mpsc::Sender<ReplicaMessage>) {
        self.to_owner = Some(to_owner);
        self.waiting.clear();
        self.attached = false;
    }

    /// The stream is over.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// Adds a message to the end; without a stream it is not needed, since a new one begins with all that is kept.
    pub(super) fn say(&mut self, said: Said) {
        if self.is_open() {
            self.waiting.push_back(said);
        }
    }

    /// Whether there is a stream.
    pub(super) fn is_open(&self) -> bool {
        self.to_owner.is_some()
    }

    pub(super) fn front(&self) -> Option<Said> {
        self.waiting.front().copied()
    }

    pub(super) fn pop(&mut self) {
        self.waiting.pop_front();
    }

    pub(super) fn send(&self, message: ReplicaMessage) -> Sent {
        let Some(to_owner) = &self.to_owner else { return Sent::Broken };
        match to_owner.try_send(message) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(_)) => Sent::Later,
            Err(TrySendError::Closed(_)) => Sent::Broken,
        }
    }

    /// The stream that something waits for.
    pub(super) fn congested(&self) -> Option<mpsc::Sender<ReplicaMessage>> {
        self.to_owner.clone().filter(|_| !self.waiting.is_empty())
    }

    /// Whether so much waits that the owner should not be listened to before it listens to us.
    pub(super) fn is_overfull(&self) -> bool {
        self.waiting.len() > WAITING_MAX
    }
}

/// Every signal that may be kept, and as many answers to commands.
const WAITING_MAX: usize = 2 * super::outbox::SIGNALS_MAX;
