//! Answers that are held back for a while, so that who guesses passwords waits.

use std::collections::BTreeMap;
use std::time::Instant;

use sidetone_sip_core::message::Response;
use sidetone_sip_core::transaction::ServerTx;

/// The answers by when they are due. Bounded; when it is full, nothing is answered: who guesses notices that last.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    waiting: BTreeMap<(Instant, ServerTx), Response>,
}

impl Delayed {
    /// Holds an answer back; false when there is no room.
    pub(super) fn hold(&mut self, until: Instant, tx: ServerTx, response: Response) -> bool {
        let room = self.waiting.len() < WAITING_MAX;
        if room {
            self.waiting.insert((until, tx), response);
        }
        room
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(ServerTx, Response)> {
        if self.next()? > now {
            return None;
        }
        self.waiting.pop_first().map(|((_, tx), response)| (tx, response))
    }
}

const WAITING_MAX: usize = 4096;
