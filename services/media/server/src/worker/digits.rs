//! Telephone events as digits, each told once (RFC 4733, section 2.5).

/// The digits of one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Digits {
    open: Option<Open>,
    /// Timestamp of the event that was told last: its end is sent three times.
    told: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    timestamp: u32,
    event: u8,
    duration: u16,
    at_ms: u64,
}

/// One digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digit {
    pub(crate) digit: u8,
    pub(crate) duration_ms: u32,
}

/// An event whose end was lost is over when nothing came of it for this long.
const LOST_END_MS: u64 = 150;
/// An event that began this much before the last one told is no late packet but another clock: 10 s at 8 kHz.
const LATE: u32 = 80_000;
const NAMES: &[u8; 16] = b"0123456789*#ABCD";

impl Digits {
    /// Takes an event packet; the digit that ended with it.
    pub(crate) fn handle(&mut self, timestamp: u32, payload: &[u8], now_ms: u64) -> Option<Digit> {
        let &[event, flags, high, low, ..] = payload else { return None };
        if self.told == Some(timestamp) || usize::from(event) >= NAMES.len() {
            return None;
        }
        if self.told.is_some_and(|told| (1..LATE).contains(&told.wrapping_sub(timestamp))) {
            return None;
        }
        let duration = u16::from_be_bytes([high, low]);
        // A new event ends the one before, whose end was lost.
        let before = self.open.filter(|open| open.timestamp != timestamp).and_then(|_| self.close());
        if flags & 0x80 != 0 {
            let open = Open { timestamp, event, duration, at_ms: now_ms };
            // Two ends at once can only be when every end of the first was lost; the second comes again.
            if before.is_some() {
                self.open = Some(open);
                return before;
            }
            self.open = Some(open);
            return self.close();
        }
        let longest = self.open.map_or(0, |open| open.duration).max(duration);
        self.open = Some(Open { timestamp, event, duration: longest, at_ms: now_ms });
        before
    }

    /// The digit whose end was lost.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Option<Digit> {
        let open = self.open?;
        if now_ms.saturating_sub(open.at_ms) < LOST_END_MS {
            return None;
        }
        self.close()
    }

    fn close(&mut self) -> Option<Digit> {
        let open = self.open.take()?;
        self.told = Some(open.timestamp);
        Some(Digit { digit: NAMES[usize::from(open.event)], duration_ms: u32::from(open.duration) / 8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(event: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, u8::from(end) << 7 | 10, high, low]
    }

    #[test]
    fn a_digit_is_told_once_however_often_its_end_comes() {
        let mut digits = Digits::default();
        assert_eq!(digits.handle(1000, &packet(11, false, 160), 0), None);
        let told = Digit { digit: b'#', duration_ms: 100 };
        assert_eq!(digits.handle(1000, &packet(11, true, 800), 100), Some(told));
        assert_eq!(digits.handle(1000, &packet(11, true, 800), 120), None);
        assert_eq!(digits.handle(1000, &packet(11, false, 640), 130), None, "out of order");
        assert_eq!(digits.poll(10_000), None);
        assert_eq!(digits.handle(1, &[3], 0), None, "cut");
        assert_eq!(digits.handle(5000, &packet(16, true, 10), 0), None, "not a digit");
    }

    #[test]
    fn a_clock_that_starts_anew_loses_no_digit() {
        let mut digits = Digits::default();
        assert!(digits.handle(4_000_000, &packet(1, true, 800), 0).is_some());
        assert_eq!(digits.handle(3_999_000, &packet(2, true, 800), 100), None, "late");
        assert_eq!(digits.handle(160, &packet(3, true, 800), 5000).unwrap().digit, b'3');
    }

    #[test]
    fn a_digit_whose_end_is_lost_is_told_by_time_or_by_the_next() {
        let mut digits = Digits::default();
        digits.handle(1000, &packet(1, false, 400), 0);
        assert_eq!(digits.poll(149), None);
        assert_eq!(digits.poll(150), Some(Digit { digit: b'1', duration_ms: 50 }));
        digits.handle(2000, &packet(2, false, 160), 200);
        assert_eq!(digits.handle(3000, &packet(3, true, 800), 210).unwrap().digit, b'2');
        assert_eq!(digits.handle(3000, &packet(3, true, 800), 220).unwrap().digit, b'3');
    }
}
