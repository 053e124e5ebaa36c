//! From which UDP addresses somebody has proved who they are.
//!
//! An address in a datagram proves nothing: whoever forges it lets our answer go to a victim. So that nobody gains by
//! that, an address that has proved nothing gets no more bytes than it sent. A digest proves it, since its nonce has
//! come to the address before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The addresses, until when each holds, shared by the agent and the sockets. Bounded: when it is full and nothing in it
/// is over, a new address stays unproved, which costs it an answer at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownPeers {
    until: Arc<Mutex<HashMap<SocketAddr, Instant>>>,
}

impl KnownPeers {
    /// An address has proved itself.
    pub(crate) fn note(&self, peer: SocketAddr, lasts: Duration, now: Instant) {
        let mut known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PEERS_MAX && !known.contains_key(&peer) {
            known.retain(|_, until| *until > now);
            if known.len() >= PEERS_MAX {
                return;
            }
        }
        let until = known.entry(peer).or_insert(now);
        *until = (now + lasts).max(*until);
    }

    /// Whether an address has proved itself.
    pub(crate) fn is_known(&self, peer: SocketAddr, now: Instant) -> bool {
        let known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&peer).is_some_and(|until| *until > now)
    }
}

const PEERS_MAX: usize = 131_072;
