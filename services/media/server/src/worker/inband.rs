//! Digits in the sound that a leg sends, where it does not send them as telephone events.

use sidetone_dsp::dtmf::{Detected, DtmfDetector};
use sidetone_dsp::{Law, Resampler, g711};
use sidetone_rtp_core::RtpTimestamp;
use sidetone_rtp_core::event::Digit;

use crate::config::InbandDigits;
use crate::negotiate::Agreement;
use crate::worker::PACKET_MAX;

/// What one leg's sound is searched with.
#[derive(Debug, Default)]
pub(crate) struct Inband {
    mode: InbandDigits,
    detector: DtmfDetector,
    /// When sound last came, in ms, and the timestamp of what would follow it.
    at_ms: u64,
    expected: Option<RtpTimestamp>,
    /// The far side has sent an event: it does so with every digit.
    sends_events: bool,
    /// Digits that were found and are not told of yet, the first one first.
    found: [Option<Detected>; FOUND_MAX],
    /// The digit that sounds still was told of, because nothing came any more.
    told_early: bool,
    /// The last one that was told of, and when.
    told: Option<(char, u64)>,
}

/// Where sound belongs in its stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) timestamp: RtpTimestamp,
    /// Ticks of the clock in a ms, and in the sound.
    pub(crate) per_ms: u8,
    pub(crate) ticks: u32,
    pub(crate) now_ms: u64,
}

/// A digit that sounds still is told of when no packet came for so long: the far side stopped sending with it, in ms.
const SILENT_MS: u64 = 200;
/// What is missing of a stream is a pause from that length on, and not a loss, in ms.
const PAUSE_MS: i32 = 60;
/// How long after a digit was found an event of the same digit may begin to be the same one: gateways that find digits
/// themselves send the event late, in ms.
const TWIN_MS: u64 = 250;
/// What is that far behind is another run of timestamps, in ms.
const BEHIND_MS: i32 = 1_000;
/// Digits that wait to be told of. Between two ticks that are in time it is one at most; after a stall everything that came
/// meanwhile is read at once. What is found beyond these is left out.
const FOUND_MAX: usize = 8;
/// 120 ms at 8 kHz.
const LOWERED_MAX: usize = 960;

impl Inband {
    /// Looks for digits as configured.
    pub(crate) fn new(mode: InbandDigits) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Whether the sound of a leg with this agreement is searched.
    pub(crate) fn listens(&self, agreement: Option<&Agreement>) -> bool {
        !self.sends_events
            && match self.mode {
                InbandDigits::Off => false,
                InbandDigits::Auto => agreement.is_some_and(|agreed| agreed.receive.event().is_none()),
                InbandDigits::Always => agreement.is_some(),
            }
    }

    /// Whether also that is decoded which could be passed on as it came.
    pub(crate) fn insists(&self) -> bool {
        self.mode == InbandDigits::Always
    }

    /// Takes a packet of G.711.
    pub(crate) fn hear_coded(&mut self, law: Law, payload: &[u8], place: Place) {
        if !self.follows(place) {
            return;
        }
        let mut sound = [0; PACKET_MAX];
        let Some(sound) = sound.get_mut(..payload.len()) else { return };
        g711::decode(law, payload, sound);
        self.hear(sound);
    }

    /// Takes sound that was decoded, at 8 kHz or at a rate that `lower` brings there.
    pub(crate) fn hear_decoded(&mut self, lower: Option<&mut Resampler>, sound: &[i16], place: Place) {
        if !self.follows(place) {
            return;
        }
        let Some(lower) = lower else { return self.hear(sound) };
        let mut lowered = [0; LOWERED_MAX];
        let length = lower.process(sound, &mut lowered);
        self.hear(&lowered[..length]);
    }

    /// Whether sound is new; what comes twice or behind its turn is not. A pause before it ends a digit.
    fn follows(&mut self, place: Place) -> bool {
        let missing = self.expected.map_or(0, |expected| place.timestamp.distance(expected));
        let missing_ms = missing / i32::from(place.per_ms.max(1));
        if (-BEHIND_MS..0).contains(&missing_ms) || missing < 0 && missing_ms == 0 {
            return false;
        }
        self.at_ms = place.now_ms;
        self.expected = Some(place.timestamp.plus(place.ticks));
        if missing_ms.abs() >= PAUSE_MS
            && let Some(over) = self.detector.finish()
        {
            self.over(over);
        }
        true
    }

    fn hear(&mut self, sound: &[i16]) {
        let mut found = None;
        self.detector.push(sound, |digit| found = Some(digit));
        if let Some(digit) = found {
            self.over(digit);
        }
    }

    fn over(&mut self, digit: Detected) {
        if !std::mem::take(&mut self.told_early)
            && let Some(free) = self.found.iter_mut().find(|found| found.is_none())
        {
            *free = Some(digit);
        }
    }

    /// Whether a digit sounds now.
    pub(crate) fn sounds(&self) -> bool {
        self.detector.current().is_some()
    }

    /// An event came: what the sound holds of digits is the same, or its rest.
    pub(crate) fn note_event(&mut self) {
        self.sends_events = true;
        self.found = [None; FOUND_MAX];
        let _ = self.detector.finish();
    }

    /// Whether a digit that an event told of was found in the sound before.
    pub(crate) fn has_told(&mut self, digit: char, duration_ms: u64, now_ms: u64) -> bool {
        let told = self.told.take_if(|(told, at_ms)| {
            *told == digit && now_ms.saturating_sub(*at_ms) <= duration_ms + TWIN_MS
        });
        told.is_some()
    }

    /// The next digit that was found, to be told of; its duration is in ms.
    pub(crate) fn take(&mut self, now_ms: u64) -> Option<Digit> {
        let found = match self.found[0].take() {
            Some(found) => {
                self.found.rotate_left(1);
                found
            }
            None => {
                let is_silent = now_ms.saturating_sub(self.at_ms) > SILENT_MS;
                let early = self.detector.current().filter(|_| is_silent && !self.told_early)?;
                self.told_early = true;
                early
            }
        };
        self.told = Some((found.digit, now_ms));
        let duration = found.duration_ms.min(u32::from(u16::MAX)) as u16;
        Some(Digit { digit: found.digit, duration })
    }

    /// What was agreed has changed: it may be another phone.
    pub(crate) fn restart(&mut self) {
        *self = Self { told: self.told, ..Self::new(self.mode) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_dsp::tone::{Tone, ToneGenerator};

    /// Packets of 20 ms: a 5 for so long, then silence.
    fn packets(ms: usize, silent_ms: usize) -> Vec<Vec<u8>> {
        let tones = [770.0, 1336.0].map(|freq_hz| Tone { freq_hz, level_dbm0: -9.0 });
        let mut sound = vec![0; (ms + silent_ms) * 8];
        ToneGenerator::new(8000, &tones).fill(&mut sound[..ms * 8]);
        let encoded = |part: &[i16]| {
            let mut bytes = vec![0; part.len()];
            g711::encode(Law::A, part, &mut bytes);
            bytes
        };
        sound.chunks(160).map(encoded).collect()
    }

    /// Packets that come in their time, each twice; the first is the one of that number.
    fn told(inband: &mut Inband, first: u32, packets: &[Vec<u8>]) -> String {
        let mut told = String::new();
        for (n, packet) in (first..).zip(packets) {
            let now_ms = u64::from(n) * 20;
            let place = Place { timestamp: RtpTimestamp(n * 160), per_ms: 8, ticks: 160, now_ms };
            inband.hear_coded(Law::A, packet, place);
            inband.hear_coded(Law::A, packet, place);
            told.extend(inband.take(now_ms).map(|digit| digit.digit));
        }
        told
    }

    #[test]
    fn a_digit_is_told_once_though_its_packets_come_twice() {
        let mut inband = Inband::new(InbandDigits::Always);
        assert_eq!(told(&mut inband, 0, &packets(80, 100)), "5");
    }

    #[test]
    fn a_phone_that_falls_silent_with_the_digit_has_ended_it_and_may_press_it_again() {
        let mut inband = Inband::new(InbandDigits::Always);
        assert_eq!(told(&mut inband, 0, &packets(100, 0)), "");
        assert_eq!(inband.take(280), None);
        assert_eq!(inband.take(281).map(|digit| digit.digit), Some('5'));
        assert_eq!(inband.take(500), None);
        assert_eq!(told(&mut inband, 100, &packets(100, 100)), "5", "seconds later");
    }

    #[test]
    fn a_network_that_stalls_in_the_middle_of_a_digit_does_not_make_it_two() {
        let mut inband = Inband::new(InbandDigits::Always);
        let packets = packets(200, 100);
        assert_eq!(told(&mut inband, 0, &packets[..5]), "");
        assert_eq!(inband.take(1_000).map(|digit| digit.digit), Some('5'));
        assert_eq!(told(&mut inband, 5, &packets[5..]), "");
        assert_eq!(inband.take(2_000), None);
    }

    #[test]
    fn digits_that_are_read_at_once_after_a_stall_are_all_told_in_order() {
        let mut inband = Inband::new(InbandDigits::Always);
        // Two keys that are over, and one with which the phone falls silent.
        let packets = [packets(80, 100), packets(100, 100), packets(120, 0)].concat();
        for (n, packet) in (0u32..).zip(&packets) {
            let place = Place { timestamp: RtpTimestamp(n * 160), per_ms: 8, ticks: 160, now_ms: 3_000 };
            inband.hear_coded(Law::A, packet, place);
        }
        let told: Vec<Digit> = std::iter::from_fn(|| inband.take(3_300)).collect();
        assert!(told.len() == 3 && told.iter().all(|digit| digit.digit == '5'), "{told:?}");
        assert!(told.is_sorted_by_key(|digit| digit.duration), "{told:?}");
        assert_eq!(inband.take(4_000), None);
    }

    #[test]
    fn an_event_takes_the_place_of_what_the_sound_holds() {
        let mut inband = Inband::new(InbandDigits::Always);
        let packets = packets(80, 100);
        assert_eq!(told(&mut inband, 0, &packets[..3]), "");
        inband.note_event();
        assert_eq!(told(&mut inband, 3, &packets[3..]), "", "the event tells of it");
        assert!(!inband.has_told('5', 100, 160));
    }

    #[test]
    fn an_event_that_comes_after_its_digit_was_found_is_the_same_once() {
        let mut inband = Inband::new(InbandDigits::Always);
        assert_eq!(told(&mut inband, 0, &packets(80, 100)), "5");
        assert!(!inband.has_told('6', 100, 250));
        assert!(inband.has_told('5', 100, 250));
        assert!(!inband.has_told('5', 100, 260), "the next one is another");
    }
}
