//! Packets of ICE and DTLS, on their way from the worker to the task that deals with them: nothing of that is done on the
//! tick.
//!
//! Bounds: so many packets a second of each leg, one measure for who is known and one for everybody else, so that strangers
//! cannot keep a leg from proving itself; and one ring, from which what finds no room is dropped. Both are counted.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;

use rtrb::Producer;
use sidetone_ice_core::stun::{is_dtls, is_stun};

use crate::worker::leg::Now;
use crate::worker::{PACKET_MAX, Worker};

/// A packet as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof {
    pub(crate) leg: u128,
    pub(crate) from: SocketAddr,
    length: u16,
    bytes: [u8; PACKET_MAX],
}

/// Where such packets leave the worker.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) packets: Producer<Proof>,
    /// A non-blocking pipe, written to after each.
    pub(crate) told: File,
}

/// What one leg may have yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowance {
    known: Measure,
    strange: Measure,
}

/// A bucket that fills with time.
#[derive(Debug, Clone, Copy)]
struct Measure {
    left: u16,
    filled_ms: u64,
}

/// Packets that may wait.
pub(crate) const PROOFS_MAX: usize = 512;
/// What comes at once: a browser checks every pair of addresses, and a flight of DTLS has some six packets.
const BURST: u16 = 60;
/// Then one in so many ms.
const EVERY_MS: u64 = 25;

impl Proof {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Default for Measure {
    fn default() -> Self {
        Self { left: BURST, filled_ms: 0 }
    }
}

impl Measure {
    fn take(&mut self, now_ms: u64) -> bool {
        let more = now_ms.saturating_sub(self.filled_ms) / EVERY_MS;
        if more > 0 {
            self.left = self.left.saturating_add(more.min(BURST.into()) as u16).min(BURST);
            self.filled_ms = now_ms;
        }
        let has = self.left > 0;
        self.left -= u16::from(has);
        has
    }
}

/// Whether a packet is one of ICE or DTLS (RFC 7983, section 7).
pub(super) fn is_proof(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| is_stun(*first) || is_dtls(*first))
}

impl Worker {
    /// Hands on the packet in the first `length` bytes of the buffer.
    pub(super) fn hand_over(&mut self, slot: usize, length: usize, from: SocketAddr, now: Now) {
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let policy = &leg.state.policy;
        let is_check = is_stun(self.buffer[0]);
        let wanted = if is_check { policy.checked.is_some() } else { policy.allows_handshake(from) };
        if !wanted {
            leg.state.incoming.refused += 1;
            self.counters.refused_source.add(1);
            return;
        }
        let allowance = &mut leg.allowance;
        let measure = if policy.knows(from) { &mut allowance.known } else { &mut allowance.strange };
        if !measure.take(now.ms) {
            self.counters.proofs_limited.add(1);
            return;
        }
        let proof = Proof { leg: leg.state.leg, from, length: length as u16, bytes: *self.buffer };
        if self.door.packets.push(proof).is_err() {
            self.counters.proofs_full.add(1);
            return;
        }
        // A full pipe is readable, which is all that is wanted.
        let _ = self.door.told.write(&[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_lets_a_burst_through_and_then_so_many_a_second() {
        let mut measure = Measure::default();
        let taken = (0..1000).filter(|_| measure.take(0)).count();
        assert_eq!(taken, usize::from(BURST));
        let taken = (1..=1000).filter(|ms| measure.take(*ms)).count();
        assert_eq!(taken, 40);
        assert!(
            (0..usize::from(BURST)).all(|_| measure.take(1_000_000)),
            "it fills again, and no more than that"
        );
        assert!(!measure.take(1_000_000));
    }
}
