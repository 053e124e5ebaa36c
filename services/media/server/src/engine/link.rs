//! The control plane's end of one worker's rings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rtrb::Producer;
use sidetone_net::Wake;
use tokio::sync::oneshot;

use crate::error::MediaError;
use crate::state::LegState;
use crate::worker::counters::Counters;
use crate::worker::leg::Leg;
use crate::worker::rings::{Command, Slot};

/// One worker, as the control plane sees it.
#[derive(Debug)]
pub(crate) struct WorkerLink {
    commands: Producer<Command>,
    wake: Wake,
    pub(crate) counters: Arc<Counters>,
    free_legs: Vec<Slot>,
    free_mixes: Vec<Slot>,
}

/// What a worker answered to a command with a token.
#[derive(Debug)]
pub(crate) enum Reply {
    Leg(Option<Box<Leg>>),
    States(Vec<LegState>),
    Done,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
pub(crate) struct Replies(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_token: HashMap<u64, oneshot::Sender<Reply>>,
}

/// How long a command may wait for room, in steps of a millisecond.
const PUSH_WAIT: u32 = 1000;

impl WorkerLink {
    pub(crate) fn new(
        commands: Producer<Command>,
        wake: Wake,
        counters: Arc<Counters>,
        slots: usize,
    ) -> Self {
        let free: Vec<Slot> = (0..slots as Slot).rev().collect();
        Self { commands, wake, counters, free_legs: free.clone(), free_mixes: free }
    }

    /// Gives a command to the worker. Waits while the ring is full, at most a second.
    pub(crate) async fn push(&mut self, command: Command) -> Result<(), MediaError> {
        let mut command = command;
        for _ in 0..PUSH_WAIT {
            match self.commands.push(command) {
                Ok(()) => {
                    self.wake.ring();
                    return Ok(());
                }
                Err(rtrb::PushError::Full(back)) => command = back,
            }
            if self.commands.is_abandoned() {
                return Err(MediaError::Stopping);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(MediaError::Overloaded)
    }

    /// Hands a leg to the worker; the slot that it has there.
    pub(crate) async fn insert(&mut self, leg: Box<Leg>) -> Result<Slot, MediaError> {
        let slot = self.take_leg_slot()?;
        match self.push(Command::Insert { slot, leg }).await {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.free_leg_slot(slot);
                Err(error)
            }
        }
    }

    pub(crate) fn take_leg_slot(&mut self) -> Result<Slot, MediaError> {
        let slot = self.free_legs.pop().ok_or(MediaError::TooMany("legs"))?;
        Ok(slot)
    }

    /// A slot is free as soon as its command of removal is in the ring: commands are carried out in order.
    pub(crate) fn free_leg_slot(&mut self, slot: Slot) {
        self.free_legs.push(slot);
    }

    pub(crate) fn take_mix_slot(&mut self) -> Result<Slot, MediaError> {
        self.free_mixes.pop().ok_or(MediaError::TooMany("mixes"))
    }

    pub(crate) fn free_mix_slot(&mut self, slot: Slot) {
        self.free_mixes.push(slot);
    }
}

impl Replies {
    /// A token, and where its answer will come.
    pub(crate) fn open(&self) -> (u64, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.next += 1;
        let token = waiting.next;
        waiting.by_token.insert(token, sender);
        (token, receiver)
    }

    /// No answer comes any more: whoever waits is told so.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_token.clear();
    }

    pub(crate) fn complete(&self, token: u64, reply: Reply) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).by_token.remove(&token);
        if let Some(sender) = sender {
            // Who asked may be gone; what came back is then freed here.
            let _ = sender.send(reply);
        }
    }
}
