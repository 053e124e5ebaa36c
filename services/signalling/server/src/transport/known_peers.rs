//! From which UDP addresses somebody has proved who they are.
//!
//! An address in a datagram proves nothing: whoever forges it lets our answer go to a victim. So that nobody gains by
//! that, an address that has proved nothing gets no more bytes than it sent. A digest proves it, since its nonce has
//! come to the address before. It is also what a ban does not touch: a tag of ours, or a number that is open to all, shows where
//! somebody is and not who.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
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
    /// Until when networks are banned. Bounded by who remembers their failures, and swept when it has grown.
    banned: Arc<Mutex<HashMap<IpAddr, Instant>>>,
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

    /// A network hears nothing for a while.
    pub(crate) fn ban(&self, network: IpAddr, until: Instant, now: Instant) {
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
        if banned.len() >= BANNED_MAX {
            banned.retain(|_, until| *until > now);
        }
        if banned.len() < BANNED_MAX {
            banned.insert(network, until);
        }
    }

    /// A network is heard again.
    pub(crate) fn end_ban(&self, network: IpAddr) {
        self.banned.lock().unwrap_or_else(PoisonError::into_inner).remove(&network);
    }

    /// Whether an address hears nothing: neither answers to what is no message, nor to keep-alives, nor a connection. Who has shown
    /// something of itself is not meant.
    pub(crate) fn is_shut_out(&self, peer: SocketAddr, now: Instant) -> bool {
        let shut_out = {
            let banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
            !banned.is_empty() && banned.get(&network(peer.ip())).is_some_and(|until| *until > now)
        };
        shut_out && !self.is_known(peer, now)
    }

    /// Whoever is there is a stranger again.
    pub(crate) fn forget(&self, peer: SocketAddr) {
        self.locked().remove(&peer);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SocketAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An IPv4 address as it is; of an IPv6 address its /64, out of which one host may choose freely (RFC 7421).
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 => v4,
    }
}

const PEERS_MAX: usize = 131_072;
const BANNED_MAX: usize = 65_536;
