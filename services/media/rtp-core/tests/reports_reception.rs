//! RTCP: compound packets both ways, and the arithmetic of RFC 3550, appendix A.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sidetone_rtp_core::report::{ReceiverStats, ReportBlock, round_trip_ms};
use sidetone_rtp_core::rtcp::{Incoming, MAX_COMPOUND, NoRoom, Outgoing, SenderInfo, read};
use sidetone_rtp_core::{RtpTimestamp, SequenceNumber, Ssrc};

const BLOCK: ReportBlock = ReportBlock {
    ssrc: Ssrc(7),
    fraction_lost: 3,
    cumulative_lost: -5,
    extended_highest: 0x1_0002,
    jitter: 40,
    last_sr: 0x1234_5678,
    delay_since_last_sr: 65_536,
};
const INFO: SenderInfo =
    SenderInfo { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 9, packets: 10, octets: 1_600 };

fn statements(bytes: &[u8]) -> Vec<Incoming> {
    let mut found = Vec::new();
    read(bytes, |s| found.push(s)).unwrap();
    found
}

#[test]
fn every_shape_comes_back_as_written() {
    for length in 0..300 {
        let cname = "é".repeat(length / 2) + &"x".repeat(length % 2);
        for shape in 0..8 {
            let (sr, rr, bye) = (shape & 1 != 0, shape & 2 != 0, shape & 4 != 0);
            let packet = Outgoing {
                ssrc: Ssrc(1),
                sender: sr.then_some(INFO),
                report: rr.then_some(BLOCK),
                cname: &cname,
                bye,
            };
            let mut out = [0; MAX_COMPOUND];
            let n = packet.write(&mut out).unwrap();
            assert_eq!(n % 4, 0);
            let mut expected = Vec::new();
            if sr {
                expected.push(Incoming::SenderReport { ssrc: Ssrc(1), info: INFO });
            }
            if rr {
                expected.push(Incoming::Report(BLOCK));
            }
            if bye {
                expected.push(Incoming::Bye(Ssrc(1)));
            }
            assert_eq!(statements(&out[..n]), expected);
            assert_eq!(packet.write(&mut out[..n - 1]), Err(NoRoom));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 198u8..208) {
        if bytes.len() > 3 {
            (bytes[0], bytes[1]) = (0x80 | bytes[0] & 0x3F, kind);
            (bytes[2], bytes[3]) = (0, bytes[3] & 0x0F);
        }
        let _ = read(&bytes, |_| {});
    }
}

#[test]
fn jitter_is_that_of_appendix_a_8() {
    let mut stats = ReceiverStats::new(Ssrc(1), SequenceNumber(0));
    // The integer form of the RFC: jitter += d - ((jitter + 8) >> 4), reported >> 4.
    let (mut model, mut transit) = (0u32, None::<u32>);
    let mut arrival = 5_000u32;
    for n in 0..200u32 {
        let timestamp = (u32::MAX - 3_000).wrapping_add(n * 160);
        arrival = arrival.wrapping_add(160 + (n * 37 % 11) * 8);
        stats.on_packet(SequenceNumber(n as u16), RtpTimestamp(timestamp), arrival);
        let t = arrival.wrapping_sub(timestamp);
        if let Some(last) = transit {
            model = model + (t.wrapping_sub(last) as i32).unsigned_abs() - ((model + 8) >> 4);
        }
        transit = Some(t);
        assert_eq!(stats.jitter(), model >> 4, "packet {n}");
    }
    assert!(stats.jitter() > 10);
}

#[test]
fn a_steady_stream_has_no_jitter_and_no_loss() {
    let mut stats = ReceiverStats::new(Ssrc(1), SequenceNumber(65_500));
    for n in 0..100u32 {
        stats.on_packet(
            SequenceNumber(65_500u16.wrapping_add(n as u16)),
            RtpTimestamp(n * 160),
            900 + n * 160,
        );
    }
    let block = stats.report(0);
    assert_eq!((block.jitter, block.fraction_lost, block.cumulative_lost), (0, 0, 0));
    assert_eq!(block.extended_highest, 0x1_0000 + 63, "one wrap");
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
}

#[test]
fn loss_is_that_of_appendix_a_3() {
    let mut stats = ReceiverStats::new(Ssrc(1), SequenceNumber(10));
    // 25 of 100 lost: 25 * 256 / 100 = 64.
    for n in (0..100u16).filter(|n| n % 4 != 2) {
        stats.on_packet(SequenceNumber(10 + n), RtpTimestamp(0), 0);
    }
    let block = stats.report(0);
    assert_eq!((block.fraction_lost, block.cumulative_lost), (64, 25));
    // The next interval: 10 of 10 received, three of them twice.
    for n in (100..110u16).chain(100..103) {
        stats.on_packet(SequenceNumber(10 + n), RtpTimestamp(0), 0);
    }
    let block = stats.report(0);
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 22));
    let block = stats.report(0);
    assert_eq!(block.fraction_lost, 0, "an interval without packets");
}

#[test]
fn the_round_trip_is_that_of_section_6_4_1() {
    // The example of the section: A = 0xb710:8000, DLSR = 5.25 s, LSR = 0xb705:2000, result 6.125 s.
    let block = ReportBlock { last_sr: 0xB705_2000, delay_since_last_sr: 0x0005_4000, ..BLOCK };
    assert_eq!(round_trip_ms(&block, 0xB710_8000 << 16), Some(6_125));
    assert_eq!(round_trip_ms(&block, 0xB705_0000 << 16), None, "a clock that goes backward");
    assert_eq!(round_trip_ms(&ReportBlock { last_sr: 0, ..block }, 1 << 40), None);
    let mut stats = ReceiverStats::new(Ssrc(1), SequenceNumber(0));
    stats.on_sender_report(0xAAAA_B705_2000_BBBB, 1_000);
    let block = stats.report(6_250);
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0xB705_2000, 0x0005_4000));
}
