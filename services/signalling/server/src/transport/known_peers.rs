//! From which UDP addresses somebody has proved who they are.
//!
//! An address in a datagram proves nothing: whoever forges it lets our answer go to a victim. So that nobody gains by
//! that, an address that has proved nothing gets no more bytes than it sent. A digest proves it, since its nonce has
//! come to the address before. It is also what a ban does not touch: a tag of ours, or a number that is open to all, shows where
//! somebody is and not who.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What an address has shown of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// That it gets what we send there.
    Place,
    /// Who is there, by a digest.
    Identity,
}

/// The addresses, until when each holds, shared by the agent and the sockets. Bounded: when it is full and nothing in it
/// is over, a new address stays unproved, which costs it an answer at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownPeers {
    known: Arc<Mutex<HashMap<SocketAddr, Known>>>,
}

/// Until when which of the two holds.
#[derive(Debug, Clone, Copy)]
struct Known {
    place: Instant,
    identity: Option<Instant>,
}

impl KnownPeers {
    /// An address has shown something of itself.
    pub(crate) fn note(&self, peer: SocketAddr, shown: Shown, lasts: Duration, now: Instant) {
        let mut known = self.locked();
        if known.len() >= PEERS_MAX && !known.contains_key(&peer) {
            known.retain(|_, known| known.place > now);
            if known.len() >= PEERS_MAX {
                return;
            }
        }
        let entry = known.entry(peer).or_insert(Known { place: now, identity: None });
        entry.place = (now + lasts).max(entry.place);
        if shown == Shown::Identity {
            entry.identity = Some(now + lasts).max(entry.identity);
        }
    }

    /// Whether an address gets what we send there.
    pub(crate) fn is_known(&self, peer: SocketAddr, now: Instant) -> bool {
        self.locked().get(&peer).is_some_and(|known| known.place > now)
    }

    /// Whether somebody there has proved who they are.
    pub(crate) fn is_proved(&self, peer: SocketAddr, now: Instant) -> bool {
        self.locked().get(&peer).and_then(|known| known.identity).is_some_and(|until| until > now)
    }

    /// Whoever is there is a stranger again.
    pub(crate) fn forget(&self, peer: SocketAddr) {
        self.locked().remove(&peer);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SocketAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PEERS_MAX: usize = 131_072;
