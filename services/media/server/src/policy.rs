//! From where RTP is accepted (design rule 12). What is decided here is also the only place packets are sent to.

use std::net::{IpAddr, SocketAddr};

use sidetone_ice_core::Pairs;

/// How a leg's sender is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only the address of the description.
    Strict,
    /// The first packet from an expected IP locks the address.
    Nat {
        /// Where the phone's signalling comes from.
        signalling_ip: Option<IpAddr>,
    },
    /// Only who has the key.
    Secured,
}

/// The one source that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Its address.
    pub address: SocketAddr,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// The sequence number of its last accepted packet.
    pub sequence: u16,
    /// When that came, in ms on the node's monotonic clock.
    pub at_ms: u64,
}

/// The receive policy of one leg and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How the sender is known.
    pub mode: Mode,
    /// Packets are judged only when SRTP has proved them: unless the mode is strict, their sender may be anywhere.
    pub proved: bool,
    /// The description's address; none while there is none to which RTP may go (no description, port 0, hold).
    pub described: Option<SocketAddr>,
    /// The source that is accepted.
    pub lock: Option<Lock>,
    /// What ICE has proved: nobody else is heard, and nobody else is sent to. None on a leg without ICE.
    pub checked: Option<Checked>,
    /// Keys come by DTLS.
    pub dtls: bool,
}

/// The addresses that ICE has proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// They.
    pub pairs: Pairs,
    /// When the far side last proved that it wants to be sent to, in ms (RFC 7675).
    pub consent_ms: u64,
}

/// What is to be done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// From the source that was expected.
    Accepted,
    /// From a source that is the expected one from now on.
    Locked,
    /// From anybody else.
    Refused,
}

/// After how long without a packet a phone may have another port, in ms.
pub(crate) const REBIND_SILENCE_MS: u64 = 2000;
/// For how long a proof is good (RFC 7675, section 5.1), in ms.
const CONSENT_MS: u64 = 30_000;
/// By how much a sequence number may have gone on meanwhile: a minute of packets of 20 ms.
const REBIND_SEQUENCE_MAX: u16 = 3000;

impl Policy {
    /// A leg that has heard nothing yet.
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, proved: false, described: None, lock: None, checked: None, dtls: false }
    }

    /// How the far side is to prove itself, besides keys in its description.
    pub(crate) fn expect(&mut self, ice: bool, dtls: bool) {
        self.dtls = dtls;
        self.checked = ice.then(|| self.checked.unwrap_or_default());
    }

    /// ICE has proved these addresses.
    pub(crate) fn prove(&mut self, pairs: Pairs, now_ms: u64) {
        if let Some(checked) = &mut self.checked {
            *checked = Checked { pairs, consent_ms: now_ms };
        }
    }

    /// Nobody is sent to who has not proved for long that he wants it; true when that has just come about.
    pub(crate) fn consent_has_ended(&mut self, now_ms: u64) -> bool {
        let Some(checked) = &mut self.checked else { return false };
        let ended =
            checked.pairs.selected.is_some() && now_ms.saturating_sub(checked.consent_ms) > CONSENT_MS;
        if ended {
            checked.pairs = Pairs::default();
        }
        ended
    }

    /// Whether packets of ICE or DTLS are looked at.
    pub(crate) fn expects_proofs(&self) -> bool {
        self.dtls || self.checked.is_some()
    }

    /// Whether a packet of a handshake by DTLS may come from there. With ICE that is judged where the checks are.
    pub(crate) fn allows_handshake(&self, from: SocketAddr) -> bool {
        let begins = match self.mode {
            Mode::Secured => true,
            Mode::Strict | Mode::Nat { .. } => Self { proved: false, ..*self }.may_lock(from),
        };
        self.dtls && (self.checked.is_some() || begins || self.lock.is_some_and(|lock| lock.address == from))
    }

    /// Whether an address is one that is known to be the far side's.
    pub(crate) fn knows(&self, from: SocketAddr) -> bool {
        let checked = self.checked.is_some_and(|checked| checked.pairs.holds(from));
        checked || self.lock.is_some_and(|lock| lock.address == from)
    }

    /// A new description has come. One that leads elsewhere opens the lock.
    pub(crate) fn describe(&mut self, rtp: SocketAddr) {
        // With ICE the address may be one that is not known yet (RFC 8839, section 4.2.1.1).
        let leads_somewhere = rtp.port() != 0 && (self.checked.is_some() || !rtp.ip().is_unspecified());
        let described = leads_somewhere.then_some(rtp);
        if described != self.described {
            self.described = described;
            self.lock = None;
        }
    }

    /// Where to send; none where nothing is allowed.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.described?;
        if let Some(checked) = &self.checked {
            return checked.pairs.selected;
        }
        self.lock.map(|lock| lock.address).or(self.described)
    }

    /// Whether RTCP may come from there: the peer's IP alone.
    pub(crate) fn allows_rtcp(&self, from: IpAddr) -> bool {
        if let Some(checked) = &self.checked {
            return checked.pairs.iter().any(|address| address.ip() == from);
        }
        match self.lock {
            Some(lock) => lock.address.ip() == from,
            None => self.described.is_some_and(|described| described.ip() == from),
        }
    }

    /// Whether the far side may come from another address than it did.
    pub(crate) fn may_move(&self) -> bool {
        self.mode != Mode::Strict
    }

    /// Judges a packet of a negotiated payload type; where SRTP is spoken, one that was proved.
    pub(crate) fn judge(&mut self, from: SocketAddr, ssrc: u32, sequence: u16, now_ms: u64) -> Verdict {
        let packet = Lock { address: from, ssrc, sequence, at_ms: now_ms };
        if let Some(checked) = &mut self.checked {
            if !checked.pairs.holds(from) {
                return Verdict::Refused;
            }
            // Who has the key speaks from there, and so wants to be answered there.
            if self.proved {
                checked.consent_ms = now_ms;
            }
        }
        let verdict = match &self.lock {
            Some(lock) if lock.address == from => Verdict::Accepted,
            Some(lock) if self.moves_freely() => {
                // What was on its way from where it was is heard, and moves nothing back.
                if (packet.sequence.wrapping_sub(lock.sequence) as i16) < 0 {
                    return Verdict::Accepted;
                }
                Verdict::Locked
            }
            Some(lock) if self.may_rebind(lock, &packet) => Verdict::Locked,
            Some(_) => Verdict::Refused,
            None if self.may_lock(from) => Verdict::Locked,
            None => Verdict::Refused,
        };
        if verdict != Verdict::Refused {
            self.lock = Some(packet);
        }
        verdict
    }

    fn may_lock(&self, from: SocketAddr) -> bool {
        match self.mode {
            _ if self.checked.is_some_and(|checked| checked.pairs.holds(from)) => true,
            Mode::Secured => self.proved,
            Mode::Nat { .. } if self.proved => true,
            Mode::Strict => self.described == Some(from),
            Mode::Nat { signalling_ip } => self
                .described
                .is_some_and(|described| described.ip() == from.ip() || signalling_ip == Some(from.ip())),
        }
    }

    fn moves_freely(&self) -> bool {
        self.checked.is_some() || self.proved && self.may_move()
    }

    fn may_rebind(&self, lock: &Lock, packet: &Lock) -> bool {
        let ahead = packet.sequence.wrapping_sub(lock.sequence);
        matches!(self.mode, Mode::Nat { .. })
            && lock.address.ip() == packet.address.ip()
            && lock.ssrc == packet.ssrc
            && (1..=REBIND_SEQUENCE_MAX).contains(&ahead)
            && packet.at_ms.saturating_sub(lock.at_ms) >= REBIND_SILENCE_MS
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
