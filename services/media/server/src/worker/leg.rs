//! A live leg on its worker: what comes in is judged and counted, what goes out stays one unbroken stream.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use sidetone_dsp::{Law, g711};
use sidetone_net::Datagram;
use sidetone_rtp_core::event::{Digit, EventReceiver};
use sidetone_rtp_core::packet::HEADER_LEN;
use sidetone_rtp_core::playout::Inserted;
use sidetone_rtp_core::{
    Header, PacketError, Playout, PlayoutConfig, Reporter, RtpPacketRef, RtpTimestamp, write_header,
};

use crate::negotiate::Payload;
use crate::policy::{Mode, Verdict};
use crate::state::LegState;
use crate::worker::FRAME;
use crate::worker::counters::Counters;
use crate::worker::dialing::Dialing;
use crate::worker::playing::Playing;
use crate::worker::rings::{Described, Route};
use crate::worker::voice::Voice;

/// A time on the node's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) ms: u64,
    pub(crate) us: u64,
}

/// A leg with its sockets.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) state: LegState,
    pub(crate) rtp: Datagram,
    pub(crate) rtcp: Datagram,
    pub(crate) route: Route,
    pub(crate) playout: Playout,
    /// Digits that come in, and when the last packet of one came, in ms.
    pub(crate) digits: EventReceiver,
    pub(crate) event_at_ms: u64,
    /// Digits that go out.
    pub(crate) dialing: Dialing,
    /// How loud it is towards whom it is bridged to.
    pub(crate) voice: Voice,
    pub(crate) reporter: Reporter,
    pub(crate) playing: Option<Box<Playing>>,
    /// The control plane was told that it is idle.
    pub(crate) idle_told: bool,
    outbox: Outbox,
}

/// Sound that waits for a full packet, where packets are not of 20 ms.
#[derive(Debug)]
struct Outbox {
    bytes: [u8; OUTBOX],
    length: usize,
    law: Law,
}

/// An accepted packet.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) header: Header,
    pub(crate) payload: Range<usize>,
    pub(crate) carries: Payload,
}

/// The longest packet that is heard: 120 ms.
const PAYLOAD_MAX: usize = 960;
/// A packet of 60 ms and one more frame.
const OUTBOX: usize = 480 + FRAME;
/// After how long without a packet the kernel is to let others through again, so that a move can be seen, in ms.
const DISCONNECT_MS: u64 = 1000;
/// An event whose end was lost is over when nothing came of it for this long.
const LOST_EVENT_END_MS: u64 = 150;

/// One packet of an event that we send.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventPacket {
    pub(super) marker: bool,
    pub(super) payload: [u8; 4],
    /// Timestamp of the whole event.
    pub(super) start: RtpTimestamp,
    /// Samples since then.
    pub(super) elapsed: u32,
}

/// How a digit goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// As a telephone event.
    Event,
    /// As a tone in the sound.
    Tone(Law),
}

impl Leg {
    pub(crate) fn new(state: LegState, (rtp, rtcp): (Datagram, Datagram), reporter: Reporter) -> Self {
        Self {
            state,
            rtp,
            rtcp,
            route: Route::Fresh,
            playout: Playout::new(PlayoutConfig::NARROW),
            digits: EventReceiver::default(),
            event_at_ms: 0,
            dialing: Dialing::default(),
            voice: Voice::default(),
            reporter,
            playing: None,
            idle_told: false,
            outbox: Outbox { bytes: [0; OUTBOX], length: 0, law: Law::Mu },
        }
    }

    /// Judges a packet and counts it.
    pub(crate) fn accept(
        &mut self,
        packet: &[u8],
        from: SocketAddr,
        now: Now,
        counters: &Counters,
    ) -> Option<Accepted> {
        let (header, payload) = match RtpPacketRef::parse(packet) {
            Ok(parsed) => (parsed.header, parsed.payload_range()),
            // Where the port is not shared a report has no business here either.
            Err(
                PacketError::TooShort
                | PacketError::Version
                | PacketError::Padding
                | PacketError::Rtcp
                | PacketError::NoRoom,
            ) => {
                counters.malformed.add(1);
                return None;
            }
        };
        let Some(carries) = self.state.agreement.and_then(|a| a.receive.get(header.payload_type)) else {
            counters.unknown_payload.add(1);
            return None;
        };
        match self.state.policy.judge(from, header.ssrc.0, header.sequence.0, now.ms) {
            Verdict::Refused => {
                self.state.incoming.refused += 1;
                counters.refused_source.add(1);
                return None;
            }
            Verdict::Locked | Verdict::Accepted => self.follow(from),
        }
        // In units of the RTP clock of 8 kHz, reduced to 32 bits only after the product, so that it wraps as timestamps do.
        self.state.incoming.stats.on_packet(&header, (now.us.wrapping_mul(8) / 1000) as u32);
        self.state.incoming.payload_type = header.payload_type;
        self.state.heard_ms = Some(now.ms);
        counters.received.add(1);
        let receives = self.state.agreement.is_some_and(|a| a.direction.receives());
        receives.then_some(Accepted { header, payload, carries })
    }

    /// Keeps what was said for the ticks to come; false when it came too late for its turn.
    pub(crate) fn listen(&mut self, law: Law, header: &Header, payload: &[u8], now: Now) -> bool {
        let mut sound = [0; PAYLOAD_MAX];
        let Some(sound) = sound.get_mut(..payload.len()) else { return false };
        g711::decode(law, payload, sound);
        self.playout.insert(header, sound, now.us) != Inserted::Late
    }

    /// Lets the kernel drop what others send, as long as the source speaks.
    fn follow(&mut self, from: SocketAddr) {
        if self.rtp.peer() != Some(from) {
            // A connection that fails only costs the check by ourselves, which is made in any case.
            let _ = self.rtp.disconnect().and_then(|()| self.rtp.connect(from));
        }
    }

    /// Lets others through again once the source is silent: it may have moved.
    pub(crate) fn watch_silence(&mut self, now: Now) {
        if self.rtp.peer().is_some()
            && matches!(self.state.policy.mode, Mode::Nat { .. })
            && self.state.policy.lock.is_none_or(|lock| now.ms.saturating_sub(lock.at_ms) > DISCONNECT_MS)
        {
            let _ = self.rtp.disconnect();
        }
    }

    /// Takes over what was agreed anew.
    pub(crate) fn describe(&mut self, described: &Described) {
        self.state.policy.describe(described.rtp);
        if self.state.policy.lock.is_none() {
            let _ = self.rtp.disconnect();
        }
        self.state.agreement = Some(described.agreement);
        self.state.rtcp = described.rtcp;
        self.state.rtcp_mux = described.rtcp_mux;
        self.outbox.length = 0;
    }

    /// Whether the leg is kept by refreshes alone: what it is agreed to do brings no RTP.
    pub(crate) fn needs_no_rtp(&self) -> bool {
        self.state.agreement.is_some_and(|a| a.refused || !a.direction.receives())
            || self.state.policy.described.is_none() && self.state.agreement.is_some()
    }

    fn sending(&self) -> Option<(SocketAddr, crate::negotiate::Agreement)> {
        let agreement = self.state.agreement.filter(|a| a.direction.sends())?;
        Some((self.state.policy.target()?, agreement))
    }

    /// Sends a packet of another leg (or its own) on, in place: only the header is written anew, and the other law
    /// exchanged byte for byte.
    pub(crate) fn forward(&mut self, accepted: &Accepted, packet: &mut [u8], now: Now, counters: &Counters) {
        let Some((target, agreement)) = self.sending() else { return };
        if self.playing.is_some() || self.dialing.sounds() {
            return;
        }
        let body = accepted.payload.clone();
        let (payload_type, samples) = match accepted.carries {
            Payload::Audio(law) => {
                let payload_type = match agreement.send.of(Payload::Audio(law)) {
                    Some(same) => same,
                    None => {
                        let Some((other, _)) = agreement.send.audio() else { return };
                        g711::translate_in_place(law, &mut packet[body.clone()]);
                        other
                    }
                };
                (payload_type, body.len() as u32)
            }
            Payload::Event => {
                let Some(payload_type) = agreement.send.of(Payload::Event) else {
                    counters.no_event_format.add(1);
                    return;
                };
                let duration = packet
                    .get(body.start + 2..body.start + 4)
                    .map_or(0, |d| u16::from_be_bytes([d[0], d[1]]));
                (payload_type, u32::from(duration))
            }
        };
        self.outbox.length = 0;
        let header = self.state.outgoing.forward(&accepted.header, payload_type, samples, now.ms);
        let start = body.start - HEADER_LEN;
        if write_header(&mut packet[start..], &header).is_ok() {
            self.send(&packet[start..body.end], target, counters);
        }
    }

    /// The law in which it is sent to; none when nothing is to be sent.
    pub(crate) fn law(&self) -> Option<Law> {
        self.sending()?.1.send.audio().map(|(_, law)| law)
    }

    /// Sends 20 ms of sound made here, in [`Self::law`].
    pub(crate) fn emit(&mut self, sound: &[u8; FRAME], now: Now, counters: &Counters) {
        let Some((target, agreement)) = self.sending() else { return };
        let Some((payload_type, law)) = agreement.send.audio() else { return };
        let size = usize::from(agreement.ptime_ms) * 8;
        if self.outbox.law != law {
            self.outbox.length = 0;
            self.outbox.law = law;
        }
        let mut waiting = self.outbox.length;
        self.outbox.bytes[waiting..waiting + FRAME].copy_from_slice(sound);
        waiting += FRAME;
        let mut sent = 0;
        while waiting - sent >= size {
            let header = self.state.outgoing.next(payload_type, size as u32, now.ms);
            let mut packet = [0; HEADER_LEN + 480];
            packet[HEADER_LEN..HEADER_LEN + size].copy_from_slice(&self.outbox.bytes[sent..sent + size]);
            if write_header(&mut packet, &header).is_ok() {
                self.send(&packet[..HEADER_LEN + size], target, counters);
            }
            sent += size;
        }
        self.outbox.bytes.copy_within(sent..waiting, 0);
        self.outbox.length = waiting - sent;
    }

    /// Sends one packet of a telephone event (RFC 4733, section 2.5.1). Its timestamp is that of the event's start, and the
    /// stream's own time has moved on by `elapsed` samples since then.
    pub(super) fn emit_event(&mut self, event: &EventPacket, now: Now, counters: &Counters) {
        let Some((target, agreement)) = self.sending() else { return };
        let Some(payload_type) = agreement.send.of(Payload::Event) else { return };
        let EventPacket { marker, start, elapsed, .. } = *event;
        let header = self.state.outgoing.event(payload_type, marker, start, elapsed, now.ms);
        let mut packet = [0; HEADER_LEN + 4];
        packet[HEADER_LEN..].copy_from_slice(&event.payload);
        self.outbox.length = 0;
        if write_header(&mut packet, &header).is_ok() {
            self.send(&packet, target, counters);
        }
    }

    /// How digits reach the far side; none while nothing may be sent to it.
    pub(super) fn digit_carrier(&self) -> Option<Carrier> {
        let (_, agreement) = self.sending()?;
        let law = agreement.send.audio().map(|(_, law)| law)?;
        Some(if agreement.send.of(Payload::Event).is_some() { Carrier::Event } else { Carrier::Tone(law) })
    }

    /// Takes an event packet in; the digit that has become certain.
    pub(crate) fn take_event(&mut self, header: &Header, payload: &[u8], now: Now) -> Option<Digit> {
        self.event_at_ms = now.ms;
        self.digits.receive(header.ssrc, header.timestamp, payload)
    }

    /// The digit whose end was lost, once nothing came of it for a while.
    pub(crate) fn overdue_digit(&mut self, now: Now) -> Option<Digit> {
        let overdue = self.digits.is_active() && now.ms.saturating_sub(self.event_at_ms) >= LOST_EVENT_END_MS;
        if overdue { self.digits.expire() } else { None }
    }

    fn send(&mut self, packet: &[u8], target: SocketAddr, counters: &Counters) {
        let mut result = self.rtp.send(packet, target);
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // That was the answer to an earlier packet; this one has not been sent yet.
            result = self.rtp.send(packet, target);
        }
        match result {
            Ok(()) => {
                self.state.outgoing.note_sent(packet.len() - HEADER_LEN);
                counters.sent.add(1);
            }
            Err(_) => counters.send_failed.add(1),
        }
    }
}
