//! The playout: any order, length and rhythm in, one steady stream out.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sidetone_dsp::Rate;
use sidetone_rtp_core::playout::Inserted;
use sidetone_rtp_core::{Header, Playout, PlayoutConfig, Pulled, RtpTimestamp, SequenceNumber, Ssrc};

const FRAME: usize = 160;
const TICK_US: u64 = 20_000;
const MS: u64 = 1_000;

/// The value of the stream's sample at a place: no two near ones are alike.
fn sample(place: i64) -> i16 {
    (place.rem_euclid(20_000) + 100) as i16
}

/// A packet whose samples tell their places. Both counters wrap soon after the start.
fn packet(number: u32, samples: usize, ssrc: u32) -> (Header, Vec<i16>) {
    let header = Header {
        sequence: SequenceNumber(65_530u16.wrapping_add(number as u16)),
        timestamp: RtpTimestamp(0xFFFF_FE00u32.wrapping_add(number * samples as u32)),
        ssrc: Ssrc(ssrc),
        ..Header::default()
    };
    let first = i64::from(number) * samples as i64;
    (header, (first..first + samples as i64).map(sample).collect())
}

/// A playout and its ticks, with all that was heard.
struct Listener {
    playout: Playout,
    due_us: u64,
    heard: Vec<i16>,
}

impl Listener {
    fn new() -> Self {
        Self::of(PlayoutConfig::NARROW)
    }

    fn of(config: PlayoutConfig) -> Self {
        Self { playout: Playout::new(config), due_us: TICK_US, heard: Vec::new() }
    }

    /// Ticks that are due until then.
    fn until(&mut self, now_us: u64) {
        while self.due_us <= now_us {
            self.tick();
        }
    }

    fn tick(&mut self) -> Pulled {
        let mut frame = [0; FRAME];
        let pulled = self.playout.pull(self.due_us, &mut frame);
        self.heard.extend_from_slice(&frame);
        self.due_us += TICK_US;
        pulled
    }

    fn give(&mut self, number: u32, now_us: u64) -> Inserted {
        self.until(now_us);
        let (header, samples) = packet(number, FRAME, 1);
        self.playout.insert(&header, &samples, now_us)
    }

    /// When the sample of that place was played, in samples since time 0 (at which the first tick is 20 ms away).
    fn played_at(&self, place: i64) -> Option<usize> {
        self.heard.iter().position(|heard| *heard == sample(place)).map(|at| at + FRAME)
    }

    /// The stretch that was heard of the places `places`, without a hole.
    fn assert_whole(&self, places: std::ops::Range<i64>) {
        let start = self.played_at(places.start).expect("the beginning was heard") - FRAME;
        for (n, place) in places.enumerate() {
            assert_eq!(self.heard[start + n], sample(place), "place {place}");
        }
    }
}

#[test]
fn every_phase_of_a_steady_stream_has_the_same_delay() {
    for phase in 0..20 {
        let mut listener = Listener::new();
        for n in 0..60u32 {
            let at = u64::from(n) * TICK_US + phase * MS;
            assert_eq!(listener.give(n, at), Inserted::Accepted, "phase {phase}");
        }
        listener.assert_whole(0..56 * 160);
        assert_eq!(listener.played_at(0).unwrap() as u64, phase * 8 + 23 * 8, "phase {phase}: 23 ms");
        let c = listener.playout.counters();
        assert_eq!((c.late, c.grown, c.shortened, c.lengthened, c.concealed), (0, 0, 0, 0, 0));
    }
}

#[test]
fn order_and_copies_do_not_matter() {
    let mut listener = Listener::new();
    for (at, n) in [0, 2, 1, 1, 2, 3].into_iter().enumerate() {
        listener.give(n, at as u64);
    }
    listener.until(200 * MS);
    listener.assert_whole(0..640);
    let c = listener.playout.counters();
    assert_eq!((c.reordered, c.duplicates), (1, 2));
}

#[test]
fn a_copy_of_a_played_packet_does_not_widen_the_delay() {
    let mut listener = Listener::new();
    for n in 0..10u32 {
        listener.give(n, u64::from(n) * TICK_US);
        if n >= 4 {
            assert_eq!(listener.give(n - 4, u64::from(n) * TICK_US + 10), Inserted::Duplicate);
        }
    }
    assert_eq!((listener.playout.counters().late, listener.playout.delay_us()), (0, 23_000));
}

#[test]
fn a_lost_packet_is_concealed_and_nothing_else_moves() {
    let mut listener = Listener::new();
    for n in [0, 1, 2, 4, 5, 6] {
        listener.give(n, u64::from(n) * TICK_US);
    }
    listener.until(200 * MS);
    assert_eq!(listener.playout.counters().concealed.min(161), 161, "one packet, and the end of the stream");
    assert_eq!(listener.played_at(5 * 160).unwrap() - listener.played_at(160).unwrap(), 4 * 160);
    let gap = listener.played_at(3 * 160 - 1).unwrap() - FRAME + 1;
    assert!(listener.heard[gap..gap + 80].iter().any(|s| *s != 0), "concealed, not silent");
}

#[test]
fn a_late_packet_widens_the_delay_and_the_next_like_it_is_in_time() {
    let mut listener = Listener::new();
    for n in 0..20u32 {
        let late = if n % 5 == 4 { 12 * MS } else { 0 };
        let got = listener.give(n, u64::from(n) * TICK_US + 16 * MS + late);
        let expected = if n == 4 { Inserted::Late } else { Inserted::Accepted };
        assert_eq!(got, expected, "packet {n}");
    }
    let c = *listener.playout.counters();
    assert_eq!((c.late, c.grown), (1, 1));
    assert!((32_000..=36_000).contains(&listener.playout.delay_us()), "{}", listener.playout.delay_us());
    listener.assert_whole(4 * 160 + 80..18 * 160);
}

#[test]
fn the_delay_stays_within_its_bounds_and_shrinks_again_without_a_step() {
    let mut listener = Listener::new();
    for n in 0..2_000u32 {
        // Once playout runs, five packets come together for 10 s; later each comes in its time again.
        let burst = (10..510).contains(&n);
        let now = u64::from(n) * TICK_US;
        if !burst {
            listener.give(n, now);
        } else if n % 5 == 4 {
            (n - 4..=n).for_each(|m| {
                listener.give(m, now);
            });
        }
        assert!(listener.playout.delay_us() <= 200_000, "{}", listener.playout.delay_us());
        if n == 509 {
            assert!(listener.playout.delay_us() >= 100_000, "{}", listener.playout.delay_us());
        }
    }
    let c = listener.playout.counters();
    assert!(c.shortened > 0 && c.grown > 0, "{c:?}");
    assert!(listener.playout.delay_us() <= 29_000, "{}", listener.playout.delay_us());
}

#[test]
fn clocks_that_differ_are_followed_without_a_gap() {
    for ppm in [-200i64, 200] {
        let mut listener = Listener::new();
        let step = TICK_US as i64 * 10 + TICK_US as i64 * ppm / 100_000;
        for n in 0..30_000u32 {
            let got = listener.give(n, (i64::from(n) * step / 10) as u64);
            assert_eq!(got, Inserted::Accepted, "{ppm} ppm, packet {n}");
            assert!(listener.playout.delay_us() <= 35_000, "{ppm} ppm: {}", listener.playout.delay_us());
        }
        let c = listener.playout.counters();
        assert_eq!((c.concealed, c.late), (0, 0), "{ppm} ppm: {c:?}");
        // 120 ms in ten minutes, a period of some ms at a time.
        let (more, less) = (c.lengthened, c.shortened);
        assert!(if ppm > 0 { more >= 9 && less <= more } else { less >= 9 && more == 0 }, "{ppm} ppm: {c:?}");
    }
}

#[test]
fn another_source_begins_anew() {
    let mut listener = Listener::new();
    listener.give(0, 0);
    listener.until(20 * MS);
    let (mut header, samples) = packet(9, FRAME, 2);
    header.timestamp = RtpTimestamp(77);
    assert_eq!(listener.playout.insert(&header, &samples, 25 * MS), Inserted::Accepted);
    listener.until(100 * MS);
    let played = listener.played_at(9 * 160 + 80).expect("the other source is heard");
    assert_eq!(played, 80 + 25 * 8 + 23 * 8);
    assert_eq!(listener.playout.counters().ssrc_changes, 1);
}

#[test]
fn a_jump_needs_two_packets_in_a_row() {
    for sequence_too in [false, true] {
        let mut listener = Listener::new();
        for n in 0..3 {
            listener.give(n, u64::from(n) * TICK_US);
        }
        let mut jumped = |n: u32| {
            let (mut header, samples) = packet(n, FRAME, 1);
            header.timestamp = header.timestamp.plus(10_000_000);
            header.sequence.0 = header.sequence.0.wrapping_add(if sequence_too { 5_000 } else { 0 });
            listener.until(u64::from(n) * TICK_US);
            listener.playout.insert(&header, &samples, u64::from(n) * TICK_US)
        };
        assert_eq!((jumped(3), jumped(4)), (Inserted::Stray, Inserted::Accepted));
        listener.until(200 * MS);
        let c = listener.playout.counters();
        assert_eq!((c.strays, c.resets), (1, 1));
        // Behind the cross-fade with what was concealed.
        listener.assert_whole(4 * 160 + 80..5 * 160);
    }
}

#[test]
fn a_single_stray_changes_nothing() {
    let mut listener = Listener::new();
    for n in 0..10 {
        if n == 5 {
            let (mut header, samples) = packet(99, FRAME, 1);
            header.timestamp = RtpTimestamp(1 << 30);
            header.sequence = SequenceNumber(30_000);
            assert_eq!(listener.playout.insert(&header, &samples, 90 * MS), Inserted::Stray);
        }
        listener.give(n, u64::from(n) * TICK_US);
    }
    listener.until(300 * MS);
    listener.assert_whole(0..1_600);
}

#[test]
fn a_talk_spurt_after_silence_is_played_whole_with_the_least_delay() {
    let mut listener = Listener::new();
    for n in 0..3 {
        listener.give(n, u64::from(n) * TICK_US);
    }
    listener.until(400 * MS);
    assert_eq!(listener.tick(), Pulled::Silence);
    let began = 613 * MS;
    for n in 3..6u32 {
        let now = began + u64::from(n - 3) * TICK_US;
        listener.until(now);
        let (mut header, samples) = packet(n, FRAME, 1);
        header.timestamp = header.timestamp.plus(30 * FRAME as u32);
        header.marker = n == 3;
        assert_eq!(listener.playout.insert(&header, &samples, now), Inserted::Accepted);
    }
    listener.until(800 * MS);
    listener.assert_whole(3 * 160..6 * 160);
    assert_eq!(listener.played_at(480).unwrap() as u64, (began / MS + 23) * 8);
}

#[test]
fn a_spurt_without_a_mark_loses_nothing_when_the_clock_has_gone_on() {
    // Some gateways mark nothing and tell of no silence: number after number, and the time goes on.
    for (silence_ms, is_plausible) in [(1_000u64, true), (30_000, true), (30_000, false)] {
        let mut listener = Listener::new();
        for n in 0..3 {
            listener.give(n, u64::from(n) * TICK_US);
        }
        let began = silence_ms * MS;
        listener.until(began);
        let leap = if is_plausible { silence_ms as u32 * 8 - 3 * FRAME as u32 } else { 1 << 29 };
        for n in 3..6u32 {
            let now = began + u64::from(n - 3) * TICK_US;
            listener.until(now);
            let (mut header, samples) = packet(n, FRAME, 1);
            header.timestamp = header.timestamp.plus(leap);
            let first = if is_plausible || n > 3 { Inserted::Accepted } else { Inserted::Stray };
            assert_eq!(listener.playout.insert(&header, &samples, now), first, "{silence_ms} {n}");
        }
        listener.until(began + 200 * MS);
        if is_plausible {
            listener.assert_whole(3 * 160..6 * 160);
        }
    }
}

#[test]
fn ticks_that_were_missed_are_left_out_and_the_delay_stays() {
    let mut listener = Listener::new();
    for n in 0..50u32 {
        if n == 20 {
            listener.due_us += 3 * TICK_US;
            continue;
        }
        listener.give(n, u64::from(n) * TICK_US + 5 * MS);
    }
    let after = listener.played_at(30 * 160).unwrap() as u64 + 3 * 160;
    assert_eq!(after, 30 * 160 + (5 + 23) * 8);
}

#[test]
fn any_packet_time_gives_the_same_samples() {
    for ms in [10, 20, 30, 40, 50, 60usize] {
        let samples = ms * 8;
        let mut listener = Listener::new();
        for n in 0..600 / ms as u32 {
            let (header, sound) = packet(n, samples, 1);
            let now = (u64::from(n) + 1) * ms as u64 * MS;
            listener.until(now);
            assert_eq!(listener.playout.insert(&header, &sound, now), Inserted::Accepted, "{ms} ms");
        }
        listener.until(700 * MS);
        listener.assert_whole(0..(600 / ms * samples) as i64);
    }
}

#[test]
fn a_clock_of_another_rate_is_mapped_onto_the_samples() {
    // G.722 (RFC 3551, section 4.5.2): a clock of 8 kHz for sound of 16 kHz; Opus: 48 kHz, here decoded at 16.
    for clock_hz in [8_000u32, 48_000] {
        let config = PlayoutConfig::of(Rate::Wide, clock_hz);
        let mut playout = Playout::new(config);
        let mut frame = [0; 320];
        let mut heard = Vec::new();
        for n in 0..20u32 {
            let header = Header {
                sequence: SequenceNumber(n as u16),
                timestamp: RtpTimestamp(0xFFFF_F000u32.wrapping_add(n * clock_hz / 50)),
                ..Header::default()
            };
            let sound: Vec<i16> = (0..320).map(|at| sample(i64::from(n) * 320 + at)).collect();
            assert_eq!(playout.insert(&header, &sound, u64::from(n) * TICK_US), Inserted::Accepted);
            playout.pull(u64::from(n + 1) * TICK_US, &mut frame);
            heard.extend_from_slice(&frame);
        }
        let start = heard.iter().position(|s| *s == sample(0)).unwrap();
        assert_eq!(start, 3 * 16);
        assert!(heard[start..].iter().enumerate().all(|(n, s)| *s == sample(n as i64)), "{clock_hz} Hz");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut listener = Listener::new();
    let results: Vec<_> = (0..13).map(|n| listener.give(n, 0)).collect();
    assert!(results[..9].iter().all(|r| *r == Inserted::Accepted), "{results:?}");
    assert_eq!(results[12], Inserted::Overflow);
    assert_eq!(listener.playout.insert(&Header::default(), &[], 0), Inserted::BadSize);
    assert_eq!(listener.playout.insert(&Header::default(), &[0; 961], 0), Inserted::BadSize);
    assert_eq!(listener.playout.counters().bad_size, 2);
}

proptest! {
    #[test]
    fn nothing_brings_it_down(steps in prop::collection::vec(
        (any::<u16>(), any::<u32>(), 0u32..2, 0usize..1_000, any::<bool>(), 0u64..60), 1..300,
    )) {
        let mut listener = Listener::new();
        let mut now = 0;
        for (at, (sequence, timestamp, ssrc, length, steady, later)) in steps.into_iter().enumerate() {
            let header = Header {
                sequence: SequenceNumber(if steady { at as u16 } else { sequence }),
                timestamp: RtpTimestamp(if steady { at as u32 * 160 } else { timestamp }),
                ssrc: Ssrc(ssrc),
                ..Header::default()
            };
            now += later * MS;
            listener.until(now);
            listener.playout.insert(&header, &vec![1; length], now);
        }
    }

    #[test]
    fn jitter_within_the_slack_costs_nothing(late in prop::collection::vec(0u64..3_000, 200..300), phase in 0u64..20_000) {
        let mut listener = Listener::new();
        for (n, late) in late.iter().enumerate() {
            // The first one is as late as any: what it teaches is the least that can be known.
            let late = if n == 0 { 0 } else { *late };
            let got = listener.give(n as u32, n as u64 * TICK_US + phase + late);
            prop_assert_eq!(got, Inserted::Accepted);
        }
        prop_assert_eq!(listener.playout.counters().concealed, 0);
    }
}
