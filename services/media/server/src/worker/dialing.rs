//! Digits that a leg is sent: as telephone events (RFC 4733), or as tones (ITU-T Q.23) where the far side takes no events.
//!
//! While a digit sounds nothing else is sent to the leg; in the gap between two digits it hears what it is connected to.

use sidetone_dsp::Rate;
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_rtp_core::RtpTimestamp;
use sidetone_rtp_core::event::{EventSender, code_of_digit};

use crate::worker::FRAME;
use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};
use crate::worker::sending::{Carrier, EventPacket};

/// Digits that may wait for one leg. The control plane refuses what does not fit.
pub(crate) const DIGITS_MAX: usize = 64;
/// Level of each of the two frequencies of a digit: the lower and the higher one (ITU-T Q.24, annex A: up to 2 dB apart).
const LOW_DBM0: f32 = -8.0;
const HIGH_DBM0: f32 = -6.0;
const TICK_MS: u32 = 20;
/// How long a digit that is passed on sounds, and how long it is silent behind it, in ms.
const HEARD_MS_MIN: u32 = 80;
const HEARD_MS_MAX: u32 = 5_000;
const HEARD_GAP_MS: u16 = 80;

/// Digits to be sent one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DigitRun {
    pub(crate) digits: [u8; DIGITS_MAX],
    pub(crate) length: usize,
    pub(crate) duration_ms: u16,
    pub(crate) gap_ms: u16,
}

impl DigitRun {
    /// One digit as somebody pressed it, no shorter than who hears it can tell it (ITU-T Q.24).
    pub(crate) fn of_one(digit: u8, duration_ms: u32) -> Self {
        let mut digits = [0; DIGITS_MAX];
        digits[0] = digit;
        let duration_ms = duration_ms.clamp(HEARD_MS_MIN, HEARD_MS_MAX) as u16;
        Self { digits, length: 1, duration_ms, gap_ms: HEARD_GAP_MS }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    digit: u8,
    duration_ms: u16,
    gap_ms: u16,
}

/// What is being sent, and what waits.
#[derive(Debug)]
pub(crate) struct Dialing {
    waiting: [Waiting; DIGITS_MAX],
    first: usize,
    length: usize,
    now: Sounding,
}

#[derive(Debug, Default)]
enum Sounding {
    #[default]
    Nothing,
    Event {
        sender: EventSender,
        /// Ticks of the event's clock in a ms.
        per_ms: u8,
        began_ms: u64,
        gap_ms: u16,
    },
    Tone {
        generator: ToneGenerator,
        ticks: u32,
        gap_ms: u16,
    },
    Gap {
        ticks: u32,
    },
}

impl Default for Dialing {
    fn default() -> Self {
        Self { waiting: [Waiting::default(); DIGITS_MAX], first: 0, length: 0, now: Sounding::Nothing }
    }
}

impl Dialing {
    /// Puts digits behind those that wait. What does not fit is left out; the control plane has made sure of the room.
    pub(crate) fn append(&mut self, run: &DigitRun) {
        for digit in &run.digits[..run.length.min(DIGITS_MAX)] {
            if self.length == DIGITS_MAX {
                return;
            }
            let place = (self.first + self.length) % DIGITS_MAX;
            self.waiting[place] = Waiting { digit: *digit, duration_ms: run.duration_ms, gap_ms: run.gap_ms };
            self.length += 1;
        }
    }

    /// Whether a digit is being sent at the moment.
    pub(crate) fn sounds(&self) -> bool {
        matches!(self.now, Sounding::Event { .. } | Sounding::Tone { .. })
    }

    fn next(&mut self) -> Option<Waiting> {
        let next = (self.length > 0).then(|| self.waiting[self.first])?;
        self.first = (self.first + 1) % DIGITS_MAX;
        self.length -= 1;
        Some(next)
    }

    /// Begins the next digit, if one waits.
    fn begin(&mut self, carrier: Carrier, start: RtpTimestamp, now: Now) {
        let Some(next) = self.next() else { return };
        let duration = u32::from(next.duration_ms);
        self.now = match carrier {
            Carrier::Event(per_ms) => {
                let length = (duration * u32::from(per_ms)).min(u32::from(u16::MAX)) as u16;
                match EventSender::new(char::from(next.digit), length, start) {
                    Some(sender) => Sounding::Event { sender, per_ms, began_ms: now.ms, gap_ms: next.gap_ms },
                    None => Sounding::Nothing,
                }
            }
            Carrier::Tone => Sounding::Tone {
                generator: tone(next.digit),
                ticks: duration.div_ceil(TICK_MS),
                gap_ms: next.gap_ms,
            },
        };
    }
}

impl Leg {
    /// Sends this tick's part of what is dialled.
    pub(crate) fn tick_dialing(&mut self, now: Now, counters: &Counters) {
        if self.dialing.length == 0 && matches!(self.dialing.now, Sounding::Nothing) {
            return;
        }
        let Some(carrier) = self.digit_carrier() else {
            // Held, or not answered yet: digits that come minutes later would do harm.
            self.dialing = Dialing::default();
            return;
        };
        if matches!(self.dialing.now, Sounding::Nothing) {
            let start = self.state.outgoing.timestamp;
            self.dialing.begin(carrier, start, now);
        }
        let mut sounding = std::mem::take(&mut self.dialing.now);
        match &mut sounding {
            Sounding::Event { sender, per_ms, began_ms, .. } => {
                if let Some((marker, payload)) = sender.next_packet((TICK_MS * u32::from(*per_ms)) as u16) {
                    let elapsed_ms = now.ms.saturating_sub(*began_ms) as u32;
                    let event = EventPacket { marker, payload, start: sender.start, elapsed_ms };
                    self.emit_event(&event, now, counters);
                }
            }
            Sounding::Tone { generator, ticks, .. } => {
                let mut linear = [0; FRAME];
                generator.fill(&mut linear);
                self.emit_linear(Rate::Narrow, &linear, now, counters);
                *ticks = ticks.saturating_sub(1);
            }
            Sounding::Gap { ticks } => *ticks = ticks.saturating_sub(1),
            Sounding::Nothing => {}
        }
        self.dialing.now = sounding.follow();
    }
}

impl Sounding {
    // ## Event => (Event | Gap), Tone => (Tone | Gap), Gap => (Gap | Nothing)
    fn follow(self) -> Self {
        let gap = |gap_ms: u16| Self::Gap { ticks: u32::from(gap_ms).div_ceil(TICK_MS) };
        match self {
            Self::Event { ref sender, gap_ms, .. } if sender.is_finished() => gap(gap_ms),
            Self::Tone { ticks: 0, gap_ms, .. } => gap(gap_ms),
            Self::Gap { ticks: 0 } => Self::Nothing,
            other => other,
        }
    }
}

/// The two frequencies of a digit (ITU-T Q.23).
fn tone(digit: u8) -> ToneGenerator {
    let code = usize::from(code_of_digit(char::from(digit)).unwrap_or(0));
    let (row, column) = PLACES[code];
    let low = Tone { freq_hz: [697.0, 770.0, 852.0, 941.0][row], level_dbm0: LOW_DBM0 };
    let high = Tone { freq_hz: [1209.0, 1336.0, 1477.0, 1633.0][column], level_dbm0: HIGH_DBM0 };
    ToneGenerator::new(8000, &[low, high])
}

/// Row and column of 0 to 9, *, # and A to D on the keypad.
const PLACES: [(usize, usize); 16] = [
    (3, 1),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (3, 3),
];
