//! Telephone events (RFC 4733): each digit once, whatever the network does, and one continuous stream around them.
#![allow(clippy::unwrap_used, reason = "tests")]

use sidetone_rtp_core::event::{EventPayload, EventReceiver, EventSender, code_of_digit, digit_of_code};
use sidetone_rtp_core::{Header, RtpTimestamp, SenderState, SequenceNumber, Ssrc};

const KEYS: &str = "0123456789*#ABCD";

fn sent(digit: char, start: u32) -> Vec<[u8; 4]> {
    let mut sender = EventSender::new(digit, 800, RtpTimestamp(start)).unwrap();
    std::iter::from_fn(|| sender.next_packet(160).map(|(_, payload)| payload)).collect()
}

fn heard(packets: impl IntoIterator<Item = (u32, [u8; 4])>) -> String {
    let mut receiver = EventReceiver::default();
    let mut digits = String::new();
    for (start, payload) in packets {
        digits.extend(receiver.receive(Ssrc(1), RtpTimestamp(start), &payload).map(|d| d.digit));
    }
    digits.extend(receiver.expire().map(|d| d.digit));
    assert!(receiver.expire().is_none());
    digits
}

#[test]
fn all_keys_with_repeated_ends() {
    let all =
        KEYS.chars().zip(0..).flat_map(|(d, n)| sent(d, n * 4_000).into_iter().map(move |p| (n * 4_000, p)));
    assert_eq!(heard(all), KEYS);
}

#[test]
fn the_same_key_twice_is_two_digits() {
    let both = [0, 4_000].into_iter().flat_map(|s| sent('7', s).into_iter().map(move |p| (s, p)));
    assert_eq!(heard(both), "77");
}

#[test]
fn any_loss_that_leaves_a_packet_leaves_the_digit() {
    let packets: Vec<_> = [('1', 0), ('2', 4_000)]
        .into_iter()
        .flat_map(|(d, s)| sent(d, s).into_iter().map(move |p| (s, p)))
        .collect();
    assert_eq!(packets.len(), 14);
    for kept in 0u32..1 << 14 {
        if kept & 0x7F == 0 || kept >> 7 == 0 {
            continue;
        }
        let left = packets.iter().enumerate().filter(|(n, _)| kept >> n & 1 == 1).map(|(_, p)| *p);
        assert_eq!(heard(left), "12", "{kept:#b}");
    }
}

#[test]
fn reordered_and_late_packets_add_nothing() {
    let (one, two) = (sent('1', 0), sent('2', 4_000));
    let mut packets: Vec<_> = one.iter().rev().map(|p| (0, *p)).collect();
    packets.extend(two.iter().map(|p| (4_000, *p)));
    packets.extend(one.iter().map(|p| (0, *p)));
    assert_eq!(heard(packets), "12");
}

#[test]
fn nonsense_and_tones_that_are_no_digits_are_passed_over() {
    let mut receiver = EventReceiver::default();
    for payload in [&[][..], &[1, 2, 3], &[16, 0x80, 0, 1], &[255; 9]] {
        assert_eq!(receiver.receive(Ssrc(1), RtpTimestamp(0), payload), None);
    }
    assert!(!receiver.is_active());
    assert_eq!(digit_of_code(16), None);
    assert_eq!((code_of_digit('d'), code_of_digit('x')), (Some(15), None));
    let event = EventPayload { code: 11, end: true, volume: 63, duration: 65_535 };
    assert_eq!(EventPayload::parse(&event.to_bytes()), Some(event));
}

#[test]
fn an_event_lasts_its_length_and_ends_three_times() {
    let packets: Vec<_> = sent('5', 0).iter().map(|p| EventPayload::parse(p).unwrap()).collect();
    let durations: Vec<_> = packets.iter().map(|p| p.duration).collect();
    assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
    assert_eq!(packets.iter().filter(|p| p.end).count(), 3);
    assert!(packets[4..].iter().all(|p| p.end));
}

#[test]
fn the_stream_goes_on_around_a_digit() {
    let mut state = SenderState::new(Ssrc(9), SequenceNumber(65_534), RtpTimestamp(u32::MAX - 200));
    let mut log = Vec::new();
    let mut note = |h: Header| {
        log.push((h.sequence.0, h.timestamp.0.wrapping_add(201), h.marker, h.payload_type));
    };
    note(state.next(0, 160, 20));
    let start = state.timestamp;
    let mut event = EventSender::new('1', 320, start).unwrap();
    let mut now_ms = 20;
    while let Some((marker, _)) = event.next_packet(160) {
        now_ms += 20;
        note(state.event(101, marker, start, (now_ms as u32 - 20) * 8, now_ms));
    }
    // Moved to another node in between: the state is all there is.
    let mut moved = state;
    note(moved.next(0, 160, now_ms + 20));
    let expected = [
        (65_534, 0, true, 0),
        (65_535, 160, true, 101),
        (0, 160, false, 101),
        (1, 160, false, 101),
        (2, 160, false, 101),
        (3, 800, false, 0),
    ];
    assert_eq!(log, expected);
}
