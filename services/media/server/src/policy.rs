//! From where RTP is accepted (design rule 12). What is decided here is also the only place packets are sent to.

use std::net::{IpAddr, SocketAddr};

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
/// By how much a sequence number may have gone on meanwhile: a minute of packets of 20 ms.
const REBIND_SEQUENCE_MAX: u16 = 3000;

impl Policy {
    /// A leg that has heard nothing yet.
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, proved: false, described: None, lock: None }
    }

    /// A new description has come. One that leads elsewhere opens the lock.
    pub(crate) fn describe(&mut self, rtp: SocketAddr) {
        let described = (rtp.port() != 0 && !rtp.ip().is_unspecified()).then_some(rtp);
        if described != self.described {
            self.described = described;
            self.lock = None;
        }
    }

    /// Where to send; none where nothing is allowed.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.described?;
        self.lock.map(|lock| lock.address).or(self.described)
    }

    /// Whether RTCP may come from there: the peer's IP alone.
    pub(crate) fn allows_rtcp(&self, from: IpAddr) -> bool {
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
            Mode::Secured => self.proved,
            Mode::Nat { .. } if self.proved => true,
            Mode::Strict => self.described == Some(from),
            Mode::Nat { signalling_ip } => self
                .described
                .is_some_and(|described| described.ip() == from.ip() || signalling_ip == Some(from.ip())),
        }
    }

    fn moves_freely(&self) -> bool {
        self.proved && self.may_move()
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
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nat() -> Policy {
        let mut policy = Policy::new(Mode::Nat { signalling_ip: Some(at("127.0.0.5:1").ip()) });
        policy.describe(at("10.0.0.1:4000"));
        policy
    }

    #[test]
    fn strict_takes_the_described_address_and_no_other() {
        let mut policy = Policy::new(Mode::Strict);
        assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 1, 0), Verdict::Refused);
        policy.describe(at("10.0.0.1:4000"));
        assert_eq!(policy.judge(at("10.0.0.1:4002"), 1, 1, 0), Verdict::Refused);
        assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 1, 0), Verdict::Locked);
        assert_eq!(policy.judge(at("10.0.0.1:4002"), 1, 2, 9000), Verdict::Refused);
    }

    #[test]
    fn who_is_proved_may_be_anywhere_and_moves_at_once() {
        let mut policy = Policy { proved: true, ..nat() };
        assert_eq!(policy.judge(at("172.16.0.1:9"), 1, 100, 0), Verdict::Locked);
        assert_eq!(policy.judge(at("172.16.9.9:10"), 1, 101, 20), Verdict::Locked);
        assert_eq!(policy.judge(at("172.16.0.1:9"), 1, 99, 21), Verdict::Accepted, "late, from where it was");
        assert_eq!(policy.target(), Some(at("172.16.9.9:10")));
        let mut policy = Policy::new(Mode::Secured);
        policy.describe(at("10.0.0.1:4000"));
        assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 1, 0), Verdict::Refused, "without a key nobody is");
        let mut strict = Policy { proved: true, ..Policy::new(Mode::Strict) };
        strict.describe(at("10.0.0.1:4000"));
        assert_eq!(strict.judge(at("10.0.0.2:4000"), 1, 1, 0), Verdict::Refused);
    }

    #[test]
    fn before_the_lock_only_two_ips_may_make_it() {
        let mut policy = nat();
        assert_eq!(policy.judge(at("127.0.0.2:9"), 1, 1, 0), Verdict::Refused);
        assert_eq!(policy.target(), Some(at("10.0.0.1:4000")));
        assert_eq!(policy.judge(at("127.0.0.5:777"), 1, 1, 0), Verdict::Locked);
        assert_eq!(policy.target(), Some(at("127.0.0.5:777")));
        assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 2, 5000), Verdict::Refused);
    }

    #[test]
    fn a_phone_moves_to_another_port_only_after_silence_and_with_its_own_stream() {
        let mut policy = nat();
        policy.judge(at("127.0.0.5:777"), 1, 65_530, 0);
        assert_eq!(policy.judge(at("127.0.0.5:778"), 1, 65_531, 1999), Verdict::Refused);
        assert_eq!(policy.judge(at("127.0.0.5:778"), 2, 65_531, 2000), Verdict::Refused, "another stream");
        assert_eq!(policy.judge(at("127.0.0.5:778"), 1, 60_000, 2000), Verdict::Refused, "not continuing");
        assert_eq!(policy.judge(at("127.0.0.6:778"), 1, 65_531, 2000), Verdict::Refused, "another IP");
        assert_eq!(policy.judge(at("127.0.0.5:778"), 1, 90, 2000), Verdict::Locked);
        assert_eq!(policy.judge(at("127.0.0.5:777"), 1, 91, 2000), Verdict::Refused);
    }

    #[test]
    fn a_new_description_opens_the_lock_and_hold_stops_the_sending() {
        let mut policy = nat();
        policy.judge(at("127.0.0.5:777"), 1, 1, 0);
        policy.describe(at("10.0.0.1:4000"));
        assert!(policy.lock.is_some(), "the same description changes nothing");
        policy.describe(at("0.0.0.0:4000"));
        assert_eq!(policy.target(), None);
        policy.describe(at("10.0.0.1:5000"));
        assert_eq!(policy.judge(at("10.0.0.1:6000"), 9, 9, 1), Verdict::Locked);
        assert!(policy.allows_rtcp(at("10.0.0.1:1").ip()) && !policy.allows_rtcp(at("127.0.0.5:1").ip()));
    }
}
