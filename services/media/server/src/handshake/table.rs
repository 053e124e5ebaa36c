//! Every leg that proves itself, on whatever clock it is given: packets and times in, packets and news out.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_ice_core::stun::{is_dtls, is_stun};
use sidetone_ice_core::{Lite, Outcome, Pairs};

use super::association::{Association, Flight};
use super::{Agreed, Failure, Identity, Role, Wanted, WantedIce};
use crate::keys::Rekeying;

/// What is to be done, or to be told.
#[derive(Debug)]
pub(super) enum News {
    /// A packet is to be sent.
    Send { leg: u128, to: SocketAddr, bytes: Vec<u8> },
    /// ICE has proved these addresses, or has proved them again.
    Proved { leg: u128, pairs: Pairs },
    /// There are keys.
    Keyed { leg: u128, rekeying: Box<Rekeying> },
    /// There will be none.
    Failed { leg: u128, failure: Failure },
    /// A message of ICE was dealt with.
    Heard(Outcome),
}

/// Every leg that proves itself. The control plane bounds it: a leg is in it as long as it is on the node.
#[derive(Debug)]
pub(super) struct Table {
    identity: Identity,
    epoch: Instant,
    peers: HashMap<u128, Peer>,
    timers: BTreeSet<(Instant, u128)>,
    news: Vec<News>,
}

#[derive(Debug)]
struct Peer {
    wanted: Wanted,
    ice: Option<Lite>,
    dtls: Stage,
    /// Whence the last packet of the handshake came.
    from: Option<SocketAddr>,
    /// What the worker knows, and since when.
    told: Pairs,
    told_at: Option<Instant>,
    timer: Option<Instant>,
}

/// How far the handshake is.
#[derive(Debug)]
enum Stage {
    /// Nothing was heard or said, after so many attempts that came to nothing.
    Idle { attempts: u8 },
    /// Going on, or over and kept to repeat what got lost.
    Begun { association: Box<Association>, attempts: u8 },
    /// Given up.
    Failed,
}

/// Attempts of the far side after which it is given up: junk in its name must not end a leg.
const ATTEMPTS_MAX: u8 = 3;
/// How often the worker is told of what has not changed, so that consent does not run out.
const RENEWAL: Duration = Duration::from_secs(5);
/// The shortest wait.
const WAIT_MIN: Duration = Duration::from_millis(1);

impl Table {
    pub(super) fn new(identity: Identity, epoch: Instant) -> Self {
        Self { identity, epoch, peers: HashMap::new(), timers: BTreeSet::new(), news: Vec::new() }
    }

    /// What has come about since the last time.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// When [`Self::handle_timeouts`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// What a leg needs from now on. Saying the same again changes nothing.
    pub(super) fn set(&mut self, leg: u128, wanted: Wanted, now: Instant) {
        let peer = self.peers.entry(leg).or_insert_with(|| Peer {
            wanted: Wanted { ice: None, dtls: None, remote: None },
            ice: None,
            dtls: Stage::Idle { attempts: 0 },
            from: None,
            told: Pairs::default(),
            told_at: None,
            timer: None,
        });
        if peer.wanted.ice != wanted.ice {
            peer.set_ice(wanted.ice.as_ref());
        }
        if peer.wanted.dtls != wanted.dtls {
            peer.dtls = Stage::Idle { attempts: 0 };
        }
        peer.wanted = wanted;
        self.begin(leg, now);
    }

    /// The leg is gone.
    pub(super) fn forget(&mut self, leg: u128) {
        if let Some(Peer { timer: Some(timer), .. }) = self.peers.remove(&leg) {
            self.timers.remove(&(timer, leg));
        }
    }

    /// A packet of ICE or DTLS.
    pub(super) fn handle_packet(&mut self, leg: u128, from: SocketAddr, bytes: &[u8], now: Instant) {
        match bytes.first() {
            Some(first) if is_stun(*first) => self.handle_check(leg, from, bytes, now),
            Some(first) if is_dtls(*first) => self.handle_dtls(leg, from, bytes, now),
            _ => {}
        }
    }

    fn handle_check(&mut self, leg: u128, from: SocketAddr, bytes: &[u8], now: Instant) {
        let now_ms = now.saturating_duration_since(self.epoch).as_millis() as u64;
        let Some(peer) = self.peers.get_mut(&leg) else { return };
        let Some(lite) = &mut peer.ice else { return };
        let handled = lite.handle(bytes, from, now_ms);
        self.news.push(News::Heard(handled.outcome));
        let pairs = lite.pairs();
        // Only what is in use needs to be said again.
        let renews = matches!(handled.outcome, Outcome::Answered | Outcome::Nominated)
            && pairs.selected == Some(from)
            && peer.told_at.is_none_or(|told| now.saturating_duration_since(told) >= RENEWAL);
        if pairs != peer.told || renews {
            (peer.told, peer.told_at) = (pairs, Some(now));
            self.news.push(News::Proved { leg, pairs });
        }
        // After the worker knows the address: what the far side says next comes from there.
        if let Some(bytes) = handled.answer {
            self.news.push(News::Send { leg, to: from, bytes });
        }
        self.begin(leg, now);
    }

    fn handle_dtls(&mut self, leg: u128, from: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(peer) = self.peers.get_mut(&leg) else { return };
        let Some(agreed) = &peer.wanted.dtls else { return };
        if peer.ice.as_ref().is_some_and(|ice| !ice.pairs().holds(from)) {
            return;
        }
        if let Stage::Idle { attempts } = peer.dtls {
            if agreed.role == Role::Client || !is_client_hello(bytes) {
                return;
            }
            let association = peer.association(&self.identity, agreed, now);
            peer.dtls = Stage::Begun { association, attempts };
        }
        let Stage::Begun { association, .. } = &mut peer.dtls else { return };
        peer.from = Some(from);
        let mut flight = Flight::new();
        let progress = association.handle_packet(bytes, now, &mut flight);
        self.go_on(leg, flight, progress, now);
    }

    /// Repeats what is due, and gives up what has waited for too long.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        while let Some((due, leg)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.pop_first();
            let Some(peer) = self.peers.get_mut(&leg) else { continue };
            peer.timer = None;
            let Stage::Begun { association, .. } = &mut peer.dtls else { continue };
            let mut flight = Flight::new();
            let progress = association.handle_timeout(now, &mut flight);
            self.go_on(leg, flight, progress, now);
        }
    }

    /// Begins the handshake where that is our part and it is known with whom.
    fn begin(&mut self, leg: u128, now: Instant) {
        let Some(peer) = self.peers.get_mut(&leg) else { return };
        let (Some(agreed), Stage::Idle { attempts }) = (&peer.wanted.dtls, &peer.dtls) else { return };
        if agreed.role == Role::Server {
            return;
        }
        let to = match &peer.ice {
            Some(ice) => ice.pairs().selected,
            None => peer.wanted.remote,
        };
        let (Some(to), attempts) = (to, *attempts) else { return };
        let mut association = peer.association(&self.identity, agreed, now);
        let mut flight = Flight::new();
        let progress = association.handle_timeout(now, &mut flight);
        peer.dtls = Stage::Begun { association, attempts };
        peer.from = Some(to);
        self.go_on(leg, flight, progress, now);
    }

    fn go_on(
        &mut self,
        leg: u128,
        flight: Flight,
        progress: Result<Option<Rekeying>, Failure>,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(&leg) else { return };
        if let Some(to) = peer.handshake_goes_to() {
            self.news.extend(flight.into_iter().map(|bytes| News::Send { leg, to, bytes }));
        }
        match progress {
            Ok(Some(rekeying)) => self.news.push(News::Keyed { leg, rekeying: rekeying.into() }),
            Ok(None) => {}
            Err(failure) => {
                if peer.fails(failure) {
                    self.news.push(News::Failed { leg, failure });
                }
            }
        }
        self.set_timer(leg, now);
    }

    fn set_timer(&mut self, leg: u128, now: Instant) {
        let Some(peer) = self.peers.get_mut(&leg) else { return };
        if let Some(timer) = peer.timer.take() {
            self.timers.remove(&(timer, leg));
        }
        if let Stage::Begun { association, .. } = &peer.dtls
            && let Some(due) = association.due()
        {
            // Whoever wants to be called at once again must not keep the rest waiting.
            let due = due.max(now + WAIT_MIN);
            peer.timer = Some(due);
            self.timers.insert((due, leg));
        }
    }
}

impl Peer {
    fn set_ice(&mut self, wanted: Option<&WantedIce>) {
        let Some(wanted) = wanted else {
            self.ice = None;
            return;
        };
        let same_name = self.wanted.ice.as_ref().is_some_and(|before| before.local == wanted.local);
        let lite = self.ice.get_or_insert_with(|| Lite::new(wanted.local.clone()));
        match &wanted.remote_ufrag {
            Some(remote) if same_name => lite.meet(remote),
            Some(remote) => lite.restart(wanted.local.clone(), remote),
            None => {}
        }
    }

    fn association(&self, identity: &Identity, agreed: &Agreed, now: Instant) -> Box<Association> {
        Box::new(Association::new(identity, agreed, self.ice.is_some(), now))
    }

    /// With ICE to the pair that is in use; otherwise to where it came from.
    fn handshake_goes_to(&self) -> Option<SocketAddr> {
        let selected = self.ice.as_ref().and_then(|ice| ice.pairs().selected);
        selected.or(self.from)
    }

    /// Whether a failure is the end. After there were keys none is; before, an attempt of the far side may be somebody
    /// else's, unless it came as far as to show a certificate.
    fn fails(&mut self, failure: Failure) -> bool {
        let Stage::Begun { association, attempts } = &self.dtls else { return false };
        let attempts = attempts + 1;
        let is_client = self.wanted.dtls.as_ref().is_some_and(|agreed| agreed.role == Role::Client);
        if association.is_done() {
            self.dtls = Stage::Failed;
            return false;
        }
        let last = is_client || failure != Failure::Protocol || attempts >= ATTEMPTS_MAX;
        self.dtls = if last { Stage::Failed } else { Stage::Idle { attempts } };
        last
    }
}

/// Whether a packet begins a handshake: a record of type 22 with a message of type 1 (RFC 6347, section 4.2.2).
fn is_client_hello(bytes: &[u8]) -> bool {
    bytes.first() == Some(&22) && bytes.get(13) == Some(&1)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
