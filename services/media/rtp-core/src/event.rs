//! Telephone events (RFC 4733): digits beside the audio.

use crate::packet::{RtpTimestamp, Ssrc};

/// The payload of one event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// Event code; 0 to 15 are DTMF.
    pub code: u8,
    /// The event is over.
    pub end: bool,
    /// Level below 0 dBm0 in dB, 0 to 63.
    pub volume: u8,
    /// Length so far, in clock units.
    pub duration: u16,
}

impl EventPayload {
    /// Reads a payload; the first event block counts. `None` if it is shorter than 4 bytes.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let b = payload.first_chunk::<4>()?;
        Some(Self {
            code: b[0],
            end: b[1] & 0x80 != 0,
            volume: b[1] & 0x3F,
            duration: u16::from_be_bytes([b[2], b[3]]),
        })
    }

    /// The four bytes on the wire.
    pub fn to_bytes(self) -> [u8; 4] {
        let d = self.duration.to_be_bytes();
        [self.code, self.volume & 0x3F | if self.end { 0x80 } else { 0 }, d[0], d[1]]
    }
}

/// The key of a DTMF event code: `0`-`9`, `*`, `#`, `A`-`D`.
pub fn digit_of_code(code: u8) -> Option<char> {
    DIGITS.get(usize::from(code)).map(|b| char::from(*b))
}

/// The event code of a key; letters in either case.
pub fn code_of_digit(digit: char) -> Option<u8> {
    DIGITS.iter().position(|b| char::from(*b) == digit.to_ascii_uppercase()).map(|at| at as u8)
}

/// A digit that was pressed, reported once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digit {
    /// The key.
    pub digit: char,
    /// How long it was held, in clock units, as far as known when reported.
    pub duration: u16,
}

/// Collects the packets of one incoming stream. A digit is reported at the first end packet, or, when all end packets were
/// lost, when the next event starts or [`EventReceiver::expire`] is called.
#[derive(Debug, Clone, Default)]
pub struct EventReceiver {
    current: Option<Current>,
}

/// The event at hand, or the last one: whoever goes on elsewhere must neither miss it nor report it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// Of its packets.
    pub ssrc: Ssrc,
    /// Of its packets.
    pub timestamp: RtpTimestamp,
    /// Its event code.
    pub code: u8,
    /// Length so far, in clock units.
    pub duration: u16,
    /// Whether it was reported.
    pub reported: bool,
}

impl EventReceiver {
    /// Goes on with an event of elsewhere.
    pub fn resume(current: Option<Current>) -> Self {
        Self { current: current.filter(|current| digit_of_code(current.code).is_some()) }
    }

    /// The event at hand, or the last one.
    pub fn current(&self) -> Option<Current> {
        self.current
    }

    /// Takes one packet; returns a digit when one became certain.
    pub fn receive(&mut self, ssrc: Ssrc, timestamp: RtpTimestamp, payload: &[u8]) -> Option<Digit> {
        let event = EventPayload::parse(payload)?;
        digit_of_code(event.code)?;
        let unfinished = match &mut self.current {
            Some(c) if c.ssrc == ssrc && c.timestamp == timestamp => {
                c.duration = c.duration.max(event.duration);
                return if event.end { c.report() } else { None };
            }
            // A packet of an earlier event that came late.
            Some(c)
                if c.ssrc == ssrc
                    && timestamp.distance(c.timestamp) < 0
                    && timestamp.distance(c.timestamp) > -LATE =>
            {
                return None;
            }
            Some(c) => c.report(),
            None => None,
        };
        let mut current =
            Current { ssrc, timestamp, code: event.code, duration: event.duration, reported: false };
        // Should both become certain at once, the older goes out now and the newer with its next packet.
        let now = if event.end && unfinished.is_none() { current.report() } else { None };
        self.current = Some(current);
        unfinished.or(now)
    }

    /// Reports a digit whose end never came; call it when no event packet was seen for 100 ms or so.
    pub fn expire(&mut self) -> Option<Digit> {
        self.current.as_mut().and_then(Current::report)
    }

    /// Whether a key is held down, as far as known.
    pub fn is_active(&self) -> bool {
        self.current.is_some_and(|c| !c.reported)
    }
}

impl Current {
    fn report(&mut self) -> Option<Digit> {
        if std::mem::replace(&mut self.reported, true) {
            return None;
        }
        Some(Digit { digit: digit_of_code(self.code)?, duration: self.duration })
    }
}

/// One digit being sent: a packet per tick while it lasts, then three end packets (RFC 4733, section 2.5.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSender {
    code: u8,
    volume: u8,
    /// Timestamp of all packets of this event.
    pub start: RtpTimestamp,
    length: u16,
    duration: u16,
    ends: u8,
    first: bool,
}

impl EventSender {
    /// A digit of `length` clock units (8 a ms at 8 kHz) starting at `start`, at -10 dBm0.
    pub fn new(digit: char, length: u16, start: RtpTimestamp) -> Option<Self> {
        let code = code_of_digit(digit)?;
        Some(Self { code, volume: 10, start, length: length.max(1), duration: 0, ends: 0, first: true })
    }

    /// The packet of the next tick of `tick` units: marker bit and payload. `None` when all is sent.
    pub fn next_packet(&mut self, tick: u16) -> Option<(bool, [u8; 4])> {
        if self.ends == END_PACKETS {
            return None;
        }
        self.duration = self.duration.saturating_add(tick).min(self.length);
        let end = self.duration == self.length;
        self.ends += u8::from(end);
        let marker = std::mem::replace(&mut self.first, false);
        let payload = EventPayload { code: self.code, end, volume: self.volume, duration: self.duration };
        Some((marker, payload.to_bytes()))
    }

    /// Whether the last end packet was given out.
    pub fn is_finished(&self) -> bool {
        self.ends == END_PACKETS
    }
}

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";
const END_PACKETS: u8 = 3;
/// Ten seconds at 8 kHz: an older timestamp than that is a new stream, not a late packet.
const LATE: i32 = 80_000;
