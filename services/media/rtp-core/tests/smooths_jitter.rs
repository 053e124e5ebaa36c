//! The jitter buffer: any order and rhythm in, one steady stream out.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sidetone_rtp_core::jitter::Inserted;
use sidetone_rtp_core::{Header, JitterBuffer, JitterConfig, Playout, RtpTimestamp, SequenceNumber, Ssrc};

const FRAME: usize = 160;

/// A packet whose bytes tell its number. Both counters wrap soon after the start.
fn packet(number: u32, samples: usize, ssrc: u32) -> (Header, Vec<u8>) {
    let header = Header {
        sequence: SequenceNumber(65_530u16.wrapping_add(number as u16)),
        timestamp: RtpTimestamp(0xFFFF_FE00u32.wrapping_add(number * samples as u32)),
        ssrc: Ssrc(ssrc),
        ..Header::default()
    };
    (header, vec![(number as u8).wrapping_add(1); samples])
}

fn give(buffer: &mut JitterBuffer, number: u32, at_ms: u64) -> Inserted {
    let (header, payload) = packet(number, FRAME, 1);
    buffer.insert(&header, &payload, at_ms)
}

/// The number of the packet that was played, if it was a whole one.
fn take(buffer: &mut JitterBuffer) -> Option<u32> {
    let mut out = [0; FRAME];
    match buffer.pull(&mut out) {
        Playout::Audio { missing: 0, .. } => {
            assert!(out.iter().all(|b| *b == out[0]), "one packet, one frame");
            Some(u32::from(out[0].wrapping_sub(1)))
        }
        _ => None,
    }
}

fn buffer() -> JitterBuffer {
    JitterBuffer::new(JitterConfig::default())
}

#[test]
fn in_order_every_packet_is_played_once_across_the_wrap() {
    let mut b = buffer();
    let mut heard = Vec::new();
    for n in 0..60 {
        assert_eq!(give(&mut b, n, u64::from(n) * 20), Inserted::Accepted);
        heard.extend(take(&mut b));
    }
    assert_eq!(heard, (0..59).collect::<Vec<_>>(), "20 ms of delay hold the last one back");
    let c = b.counters();
    assert_eq!((c.accepted, c.lost, c.late, c.grown, c.shrunk, c.resets), (60, 0, 0, 0, 0, 0));
}

#[test]
fn reordered_and_doubled_packets_are_played_in_order_once() {
    let mut b = buffer();
    for n in [0, 2, 1, 1, 2, 3] {
        give(&mut b, n, 0);
    }
    let heard: Vec<_> = (0..6).filter_map(|_| take(&mut b)).collect();
    assert_eq!(heard, [0, 1, 2, 3]);
    assert_eq!((b.counters().reordered, b.counters().duplicates), (1, 2));
}

#[test]
fn a_copy_of_a_played_packet_does_not_widen_the_delay() {
    let mut b = buffer();
    for n in 0..10 {
        give(&mut b, n, u64::from(n) * 20);
        take(&mut b);
        if n >= 4 {
            assert_eq!(give(&mut b, n - 4, u64::from(n) * 20 + 1), Inserted::Duplicate);
        }
    }
    assert_eq!((b.counters().late, b.counters().grown, b.delay_ms()), (0, 0, 20));
}

#[test]
fn a_lost_packet_is_a_gap_of_one_frame() {
    let mut b = buffer();
    for n in [0, 1, 3, 4] {
        give(&mut b, n, 0);
    }
    let heard: Vec<_> = (0..6).map(|_| take(&mut b)).collect();
    assert_eq!(heard, [None, Some(0), Some(1), None, Some(3), Some(4)]);
    assert_eq!(b.counters().lost, 1);
}

#[test]
fn a_late_packet_widens_the_delay_and_the_held_frames_are_counted() {
    let mut b = buffer();
    give(&mut b, 0, 0);
    let before = b.delay_ms();
    for _ in 0..4 {
        take(&mut b);
    }
    assert_eq!(give(&mut b, 1, 80), Inserted::Late);
    assert!(b.delay_ms() > before);
    let held = u64::from((b.delay_ms() - before) / 20);
    for n in 2..12 {
        give(&mut b, n, 81);
    }
    let heard: Vec<_> = (0..14).filter_map(|_| take(&mut b)).collect();
    assert_eq!(b.counters().held, held);
    assert!(heard.windows(2).all(|w| w[1] == w[0] + 1), "{heard:?}");
    assert_eq!(heard.last(), Some(&11));
}

#[test]
fn the_delay_stays_within_its_bounds_and_shrinks_again() {
    let mut b = buffer();
    let mut now = 0;
    for n in 0..2_000u32 {
        // Once playout runs, five packets come together for 10 s; later each comes in its time again.
        let burst = (10..510).contains(&n);
        if !burst {
            give(&mut b, n, now);
        } else if n % 5 == 4 {
            (n - 4..=n).for_each(|m| {
                give(&mut b, m, now);
            });
        }
        take_any(&mut b);
        now += 20;
        assert!((20..=200).contains(&b.delay_ms()), "{}", b.delay_ms());
        if n == 509 {
            assert!(b.counters().grown > 0 && b.delay_ms() >= 80, "{:?}", b.counters());
        }
    }
    assert!(b.counters().shrunk > 0);
    assert!(b.delay_ms() <= 40, "{}", b.delay_ms());
}

fn take_any(b: &mut JitterBuffer) -> Playout {
    b.pull(&mut [0; FRAME])
}

#[test]
fn another_source_begins_anew() {
    let mut b = buffer();
    give(&mut b, 0, 0);
    take(&mut b);
    let (mut header, payload) = packet(9, FRAME, 2);
    header.timestamp = RtpTimestamp(77);
    assert_eq!(b.insert(&header, &payload, 20), Inserted::Accepted);
    assert_eq!(take(&mut b), None);
    assert_eq!(take(&mut b), Some(9));
    assert_eq!(b.counters().ssrc_changes, 1);
}

#[test]
fn a_jump_needs_two_packets_in_a_row() {
    for sequence_too in [false, true] {
        let mut b = buffer();
        for n in 0..3 {
            give(&mut b, n, u64::from(n) * 20);
            take(&mut b);
        }
        let jumped = |n: u32| {
            let (mut header, payload) = packet(n, FRAME, 1);
            header.timestamp = header.timestamp.plus(10_000_000);
            header.sequence.0 = header.sequence.0.wrapping_add(if sequence_too { 5_000 } else { 0 });
            (header, payload)
        };
        let (header, payload) = jumped(3);
        assert_eq!(b.insert(&header, &payload, 60), Inserted::Stray);
        let (header, payload) = jumped(4);
        assert_eq!(b.insert(&header, &payload, 80), Inserted::Accepted);
        assert_eq!((b.counters().strays, b.counters().resets), (1, 1));
        take(&mut b);
        assert_eq!(take(&mut b), Some(4));
    }
}

#[test]
fn a_single_stray_changes_nothing() {
    let mut b = buffer();
    let mut heard = Vec::new();
    for n in 0..10 {
        if n == 5 {
            let (mut header, payload) = packet(99, FRAME, 1);
            header.timestamp = RtpTimestamp(1 << 30);
            header.sequence = SequenceNumber(30_000);
            assert_eq!(b.insert(&header, &payload, 100), Inserted::Stray);
        }
        give(&mut b, n, u64::from(n) * 20);
        heard.extend(take(&mut b));
    }
    assert_eq!(heard, (0..9).collect::<Vec<_>>());
}

#[test]
fn a_talk_spurt_after_silence_is_played_whole() {
    let mut b = buffer();
    for n in 0..3 {
        give(&mut b, n, u64::from(n) * 20);
        take(&mut b);
    }
    let last = (0..20).map(|_| take_any(&mut b)).last().unwrap();
    assert_eq!(last, Playout::Silence);
    let mut heard = Vec::new();
    for n in 3..6u32 {
        let (mut header, payload) = packet(n, FRAME, 1);
        header.timestamp = header.timestamp.plus(30 * FRAME as u32);
        header.marker = n == 3;
        b.insert(&header, &payload, 600 + u64::from(n) * 20);
        heard.extend(take(&mut b));
    }
    heard.extend(take(&mut b));
    assert_eq!(heard, [3, 4, 5]);
}

#[test]
fn any_packet_time_gives_the_same_samples() {
    for ms in [10, 20, 30, 40, 50, 60usize] {
        let samples = ms * 8;
        let mut b = buffer();
        let mut bytes = Vec::new();
        for n in 0..600 / ms as u32 {
            let (header, mut payload) = packet(n, samples, 1);
            for (at, byte) in payload.iter_mut().enumerate() {
                *byte = ((n as usize * samples + at) % 251) as u8;
            }
            assert_eq!(b.insert(&header, &payload, 0), Inserted::Accepted, "{ms} ms");
            while bytes.len() + FRAME <= n as usize * samples {
                let mut out = [0; FRAME];
                if let Playout::Audio { missing, .. } = b.pull(&mut out) {
                    assert_eq!(missing, 0, "{ms} ms");
                    bytes.extend_from_slice(&out);
                }
            }
        }
        assert!(bytes.len() > 3_000);
        assert!(bytes.iter().enumerate().all(|(at, b)| usize::from(*b) == at % 251), "{ms} ms");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut b = JitterBuffer::new(JitterConfig { slots: 4, ..JitterConfig::default() });
    let results: Vec<_> = (0..5).map(|n| give(&mut b, n, 0)).collect();
    assert_eq!(results[4], Inserted::Overflow);
    assert_eq!(b.insert(&Header::default(), &[], 0), Inserted::BadSize);
    assert_eq!(b.insert(&Header::default(), &[0; 1_501], 0), Inserted::BadSize);
    assert_eq!((b.counters().overflow, b.counters().bad_size), (1, 2));
}

proptest! {
    #[test]
    fn nothing_brings_it_down(steps in prop::collection::vec(
        (any::<u16>(), any::<u32>(), 0u32..2, 0usize..500, any::<bool>()), 1..300,
    )) {
        let mut b = buffer();
        for (at, (sequence, timestamp, ssrc, length, pulls)) in steps.into_iter().enumerate() {
            let header = Header {
                sequence: SequenceNumber(if pulls { at as u16 } else { sequence }),
                timestamp: RtpTimestamp(timestamp),
                ssrc: Ssrc(ssrc),
                ..Header::default()
            };
            b.insert(&header, &vec![1; length], at as u64 * 20);
            if let Playout::Audio { missing, .. } = take_any(&mut b) {
                prop_assert!(missing < FRAME);
            }
            prop_assert!((20..=200).contains(&b.delay_ms()));
        }
    }
}
