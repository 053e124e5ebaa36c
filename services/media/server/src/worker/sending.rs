//! What goes out of a leg: one unbroken stream, whether it is passed on as it came or made here.

use std::io;
use std::net::SocketAddr;

use sidetone_dsp::codec::Codec;
use sidetone_dsp::comfort::NOISE_BYTES_MAX;
use sidetone_dsp::{Law, Rate, g711};
use sidetone_rtp_core::packet::HEADER_LEN;
use sidetone_rtp_core::srtp::OVERHEAD_MAX;
use sidetone_rtp_core::{Header, RtpTimestamp, write_header};

use crate::negotiate::{Agreement, Payload, clock_per_ms};
use crate::worker::FRAME;
use crate::worker::coding::CODED_MAX;
use crate::worker::counters::Counters;
use crate::worker::leg::{Accepted, Leg, Now};
use crate::worker::playing::Playing;
use crate::worker::suppression::{Suppression, Turn};

/// G.711 that waits for a full packet, where packets are not of 20 ms.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: [u8; OUTBOX],
    pub(super) length: usize,
    law: Law,
}

/// An event of another leg, while it is passed on among sound that is made here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassedEvent {
    /// Its timestamp there and here.
    theirs: RtpTimestamp,
    ours: RtpTimestamp,
    /// When its last packet went, in ms.
    at_ms: u64,
}

/// One packet of an event that we send.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventPacket {
    pub(super) marker: bool,
    pub(super) payload: [u8; 4],
    /// Timestamp of the whole event.
    pub(super) start: RtpTimestamp,
    /// Time since then, in ms.
    pub(super) elapsed_ms: u32,
}

/// How a digit goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// As a telephone event, with so many ticks of its clock a ms.
    Event(u8),
    /// As a tone in the sound.
    Tone,
}

/// A packet of 60 ms and one more frame.
const OUTBOX: usize = 480 + FRAME;
/// For so long after a packet of an event that is passed on no sound goes out, in ms.
const EVENT_HOLD_MS: u64 = 60;

impl Default for Outbox {
    fn default() -> Self {
        Self { bytes: [0; OUTBOX], length: 0, law: Law::Mu }
    }
}

impl Leg {
    pub(super) fn sending(&self) -> Option<(SocketAddr, Agreement)> {
        let agreement = self.state.agreement.filter(|a| a.direction.sends())?;
        Some((self.state.policy.target()?, agreement))
    }

    /// What is sent to it; none when nothing is to be sent.
    pub(crate) fn codec(&self) -> Option<Codec> {
        self.sending()?.1.send.audio().map(|(_, codec)| codec)
    }

    /// The law in which it is sent to, where frames of G.711 at 8 kHz can go out as they are.
    pub(crate) fn law(&self) -> Option<Law> {
        match self.codec()? {
            Codec::G711(law) if self.coding.is_none() => Some(law),
            _ => None,
        }
    }

    /// Whether what is said in `codec` can be sent on to it without decoding.
    pub(crate) fn takes(&self, codec: Codec) -> bool {
        let Some(agreement) = self.state.agreement else { return true };
        let swaps =
            |send: Option<(u8, Codec)>| matches!((codec, send), (Codec::G711(_), Some((_, Codec::G711(_)))));
        agreement.send.of(Payload::Audio(codec)).is_some() || swaps(agreement.send.audio())
    }

    /// Whether comfort noise can be sent on to it.
    pub(crate) fn takes_noise(&self, per_ms: u8) -> bool {
        self.state.agreement.is_none_or(|agreement| agreement.send.of(Payload::Noise(per_ms)).is_some())
    }

    /// Sends a packet of another leg (or its own) on, in place: only the header is written anew, and the other law
    /// exchanged byte for byte. What would have to be decoded for it is left out.
    pub(crate) fn forward(&mut self, accepted: &Accepted, packet: &mut [u8], now: Now, counters: &Counters) {
        let Some((target, agreement)) = self.sending() else {
            self.recut.clear();
            self.state.outgoing.withhold();
            return;
        };
        if self.playing.is_some() || self.dialing.sounds() {
            return;
        }
        let body = accepted.payload.clone();
        let (payload_type, codec) = match accepted.carries {
            Payload::Audio(codec) => match (agreement.send.of(Payload::Audio(codec)), agreement.send.audio())
            {
                (Some(same), _) => (same, codec),
                (None, Some((other, Codec::G711(_)))) => {
                    let Codec::G711(law) = codec else { return };
                    g711::translate_in_place(law, &mut packet[body.clone()]);
                    (other, codec)
                }
                _ => {
                    self.state.outgoing.withhold();
                    return;
                }
            },
            Payload::Event(_) | Payload::Noise(_) if !self.recut.is_empty() => {
                self.flush_recut(now, counters);
                return self.forward(accepted, packet, now, counters);
            }
            Payload::Event(per_ms) if !self.passes_unchanged(&accepted.header, per_ms) => {
                self.forward_event(&accepted.header, per_ms, &packet[body], now, counters);
                return;
            }
            Payload::Event(per_ms) => {
                match (agreement.send.of(Payload::Event(per_ms)), agreement.send.audio()) {
                    (Some(same), Some((_, codec))) => (same, codec),
                    _ => return,
                }
            }
            Payload::Noise(per_ms) => {
                match (agreement.send.of(Payload::Noise(per_ms)), agreement.send.audio()) {
                    (Some(same), Some((_, codec))) if clock_per_ms(codec) == per_ms => (same, codec),
                    _ => return,
                }
            }
        };
        let payload = &packet[body.clone()];
        self.outbox.length = 0;
        self.suppression = Suppression::default();
        self.event = None;
        self.state.outgoing.units_per_ms = clock_per_ms(codec).into();
        if matches!(accepted.carries, Payload::Audio(_)) && self.is_to_be_recut(codec, payload.len()) {
            self.forward_recut(&accepted.header, payload_type, payload, now, counters);
            return;
        }
        let ticks = match accepted.carries {
            Payload::Audio(_) => codec.duration(payload).unwrap_or(0),
            Payload::Event(per_ms) => duration_ms(payload, per_ms) * u32::from(clock_per_ms(codec)),
            Payload::Noise(_) => 0,
        };
        let out = &mut self.state.outgoing;
        let Some(header) = out.forward(&accepted.header, payload_type, ticks, now.ms) else {
            counters.strays.add(1);
            return;
        };
        let start = body.start - HEADER_LEN;
        if write_header(&mut packet[start..], &header).is_ok() {
            self.send(&mut packet[start..], body.end - start, target, counters);
        }
    }

    /// Whether an event keeps its place among the packets around it: their source is passed on as well, and both sides
    /// have the event at one clock.
    fn passes_unchanged(&self, source: &Header, per_ms: u8) -> bool {
        let same_source = self.state.outgoing.mapping.is_some_and(|mapping| mapping.ssrc == source.ssrc);
        let ours = self.state.agreement.and_then(|agreement| agreement.send.event());
        same_source && ours.is_some_and(|(_, ours)| ours == per_ms)
    }

    /// Sends a packet of another leg's event on, at the place that the event has in this stream.
    fn forward_event(&mut self, source: &Header, per_ms: u8, payload: &[u8], now: Now, counters: &Counters) {
        let Some((_, agreement)) = self.sending() else { return };
        let (Some((_, ours_per_ms)), Some(mut payload)) =
            (agreement.send.event(), payload.first_chunk::<4>().copied())
        else {
            counters.no_event_format.add(1);
            return;
        };
        let elapsed_ms = duration_ms(&payload, per_ms);
        let scaled = (elapsed_ms * u32::from(ours_per_ms)).min(u32::from(u16::MAX)) as u16;
        [payload[2], payload[3]] = scaled.to_be_bytes();
        let start = match self.event {
            Some(event) if event.theirs == source.timestamp => event.ours,
            _ => self.state.outgoing.timestamp,
        };
        self.event = Some(PassedEvent { theirs: source.timestamp, ours: start, at_ms: now.ms });
        let packet = EventPacket { marker: source.marker, payload, start, elapsed_ms };
        self.emit_event(&packet, now, counters);
    }

    /// Whether an event of another leg is being passed on, so that no sound is to go out.
    fn passes_event(&self, now: Now) -> bool {
        self.event.is_some_and(|event| now.ms.saturating_sub(event.at_ms) < EVENT_HOLD_MS)
    }

    /// Sends 20 ms of G.711 made here, in [`Self::law`].
    pub(crate) fn emit(&mut self, sound: &[u8; FRAME], now: Now, counters: &Counters) {
        let Some((target, agreement)) = self.sending() else { return };
        let Some((payload_type, Codec::G711(law))) = agreement.send.audio() else { return };
        if self.suppresses() {
            let mut linear = [0; FRAME];
            g711::decode(law, sound, &mut linear);
            if self.hush(Rate::Narrow, &linear, now, counters) != Turn::Sound {
                return;
            }
        }
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
            let mut payload = [0; OUTBOX];
            payload[..size].copy_from_slice(&self.outbox.bytes[sent..sent + size]);
            self.emit_payload((payload_type, Codec::G711(law)), &payload[..size], target, now, counters);
            sent += size;
        }
        self.outbox.bytes.copy_within(sent..waiting, 0);
        self.outbox.length = waiting - sent;
    }

    /// Sends 20 ms of sound at `rate`: its own one, or 8 kHz.
    pub(crate) fn emit_linear(&mut self, rate: Rate, sound: &[i16], now: Now, counters: &Counters) {
        if self.passes_event(now) {
            return;
        }
        if let Some(law) = self.law() {
            let mut coded = [0; FRAME];
            if rate == Rate::Narrow && g711::encode(law, sound, &mut coded) == FRAME {
                self.emit(&coded, now, counters);
            }
            return;
        }
        let Some((target, agreement)) = self.sending() else { return };
        let is_brief = match self.hush(rate, sound, now, counters) {
            Turn::Sound => false,
            Turn::Update => true,
            Turn::Begin | Turn::Nothing => return,
        };
        self.state.outgoing.starts &= !is_brief;
        // Taken out for as long as its packets are sent.
        let (Some(format), Some(mut coding)) = (agreement.send.audio(), self.coding.take()) else { return };
        if let Some(mouth) = coding.mouth.as_mut().filter(|mouth| mouth.codec() == format.1) {
            mouth.hear(rate, sound);
            while let Some(payload) = mouth.packet(agreement.ptime_ms) {
                self.emit_payload(format, payload, target, now, counters);
            }
        }
        self.coding = Some(coding);
        self.state.outgoing.starts |= is_brief;
    }

    /// Encodes 20 ms at its own rate for itself and others: the payload, when packets of 20 ms are what it is sent.
    pub(crate) fn encode_for_all(&mut self, sound: &[i16], out: &mut [u8; CODED_MAX]) -> Option<usize> {
        let coding = self.coding.as_deref_mut()?;
        let mouth = coding.mouth.as_mut()?;
        mouth.hear(coding.rate, sound);
        let payload = mouth.packet(20)?;
        out[..payload.len()].copy_from_slice(payload);
        Some(payload.len())
    }

    /// The codec in which it can be sent a packet of 20 ms that was encoded for many.
    pub(crate) fn shares(&self) -> Option<Codec> {
        // What something is laid over is heard by this one alone.
        let (_, agreement) = self.sending().filter(|_| !self.backdrop.is_kept())?;
        let mouth = self.coding.as_deref()?.mouth.as_ref()?;
        let codec = agreement.send.audio().map(|(_, codec)| codec)?;
        (agreement.ptime_ms == 20 && mouth.is_empty() && mouth.codec() == codec).then_some(codec)
    }

    /// Sends the present 20 ms of what is played to it alone: as they were encoded for all who hear them, where they are.
    pub(crate) fn emit_played(&mut self, playing: &mut Playing, now: Now, counters: &Counters) {
        let mouth = |leg: &Self| leg.coding.as_deref()?.mouth.as_ref()?.form();
        let form = self.shares().filter(|_| !self.passes_event(now)).and_then(|_| mouth(self));
        playing.settle(form);
        match playing.packet() {
            Some(packet) => self.emit_shared(packet, (Rate::Narrow, playing.linear()), now, counters),
            None => self.emit_linear(Rate::Narrow, playing.linear(), now, counters),
        }
    }

    /// Sends 20 ms that were encoded for many out of `sound`, in the codec that [`Self::shares`] gave.
    pub(crate) fn emit_shared(
        &mut self,
        payload: &[u8],
        (rate, sound): (Rate, &[i16]),
        now: Now,
        counters: &Counters,
    ) {
        let Some((target, agreement)) = self.sending() else { return };
        let Some(format) = agreement.send.audio() else { return };
        if let Some(mouth) = self.coding.as_deref_mut().and_then(|coding| coding.mouth.as_mut()) {
            mouth.note_toc(payload.first().copied());
        }
        let is_brief = match self.hush(rate, sound, now, counters) {
            Turn::Sound => false,
            Turn::Update => true,
            Turn::Begin | Turn::Nothing => return,
        };
        self.state.outgoing.starts &= !is_brief;
        self.emit_payload(format, payload, target, now, counters);
        self.state.outgoing.starts |= is_brief;
    }

    /// Sends a packet that stands for silence.
    pub(super) fn emit_soundless(&mut self, payload_type: u8, payload: &[u8], now: Now, counters: &Counters) {
        let Some((target, _)) = self.sending() else { return };
        let header = self.state.outgoing.noise(payload_type, now.ms);
        let mut packet = [0; HEADER_LEN + NOISE_BYTES_MAX + OVERHEAD_MAX];
        let end = HEADER_LEN + payload.len().min(NOISE_BYTES_MAX);
        packet[HEADER_LEN..end].copy_from_slice(&payload[..end - HEADER_LEN]);
        if write_header(&mut packet, &header).is_ok() {
            self.send(&mut packet, end, target, counters);
        }
    }

    /// Sends a payload made here.
    fn emit_payload(
        &mut self,
        (payload_type, codec): (u8, Codec),
        payload: &[u8],
        target: SocketAddr,
        now: Now,
        counters: &Counters,
    ) {
        let out = &mut self.state.outgoing;
        out.units_per_ms = clock_per_ms(codec).into();
        let header = out.next(payload_type, codec.duration(payload).unwrap_or(0), now.ms);
        let mut packet = [0; HEADER_LEN + CODED_MAX + OVERHEAD_MAX];
        let end = HEADER_LEN + payload.len().min(CODED_MAX);
        packet[HEADER_LEN..end].copy_from_slice(&payload[..end - HEADER_LEN]);
        if write_header(&mut packet, &header).is_ok() {
            self.send(&mut packet, end, target, counters);
        }
    }

    /// Sends one packet of a telephone event (RFC 4733, section 2.5.1). Its timestamp is that of the event's start, and the
    /// stream's own time has moved on since then.
    pub(super) fn emit_event(&mut self, event: &EventPacket, now: Now, counters: &Counters) {
        let Some((target, agreement)) = self.sending() else { return };
        let Some((payload_type, _)) = agreement.send.event() else { return };
        let out = &mut self.state.outgoing;
        let elapsed = event.elapsed_ms * out.units_per_ms;
        let header = out.event(payload_type, event.marker, event.start, elapsed, now.ms);
        let mut packet = [0; HEADER_LEN + 4 + OVERHEAD_MAX];
        packet[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&event.payload);
        self.outbox.length = 0;
        if write_header(&mut packet, &header).is_ok() {
            self.send(&mut packet, HEADER_LEN + 4, target, counters);
        }
    }

    /// How digits reach the far side; none while nothing may be sent to it.
    pub(super) fn digit_carrier(&self) -> Option<Carrier> {
        let (_, agreement) = self.sending()?;
        agreement.send.audio()?;
        Some(agreement.send.event().map_or(Carrier::Tone, |(_, per_ms)| Carrier::Event(per_ms)))
    }

    /// Sends the packet in the first `length` bytes; behind them there is room for what protection adds.
    pub(super) fn send(&mut self, buffer: &mut [u8], length: usize, target: SocketAddr, counters: &Counters) {
        let payload = length - HEADER_LEN;
        let Some(packet) = self.protect(buffer, length, counters) else { return };
        let mut result = self.rtp.send(packet, target);
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // That was the answer to an earlier packet; this one has not been sent yet.
            result = self.rtp.send(packet, target);
        }
        match result {
            Ok(()) => {
                self.state.outgoing.note_sent(payload);
                counters.sent.add(1);
            }
            Err(_) => counters.send_failed.add(1),
        }
    }
}

/// How long an event lasts so far (RFC 4733, section 2.3.5), in ms.
fn duration_ms(payload: &[u8], per_ms: u8) -> u32 {
    let ticks = payload.get(2..4).map_or(0, |ticks| u16::from_be_bytes([ticks[0], ticks[1]]));
    u32::from(ticks) / u32::from(per_ms.max(1))
}
