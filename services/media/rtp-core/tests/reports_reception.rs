//! RTCP: compound packets both ways, and the arithmetic of RFC 3550, appendix A.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sidetone_rtp_core::report::{ReceiverStats, ReportBlock, round_trip_us};
use sidetone_rtp_core::rtcp::{Incoming, MAX_COMPOUND, NoRoom, Outgoing, SenderInfo, read};
use sidetone_rtp_core::{Header, Reporter, RtpTimestamp, SenderState, SequenceNumber, Ssrc, VoipMetrics};

const BLOCK: ReportBlock = ReportBlock {
    ssrc: Ssrc(7),
    fraction_lost: 3,
    cumulative_lost: -5,
    extended_highest: 0x1_0002,
    jitter: 40,
    last_sr: 0x1234_5678,
    delay_since_last_sr: 65_536,
};
const METRICS: VoipMetrics = VoipMetrics {
    ssrc: Ssrc(7),
    loss_rate: 25,
    discard_rate: 1,
    burst_density: 128,
    gap_density: 2,
    burst_ms: 180,
    gap_ms: 2_000,
    round_trip_ms: 60,
    end_system_ms: 43,
    rating: 80,
    opinion_listening: 41,
    opinion_conversation: 40,
    playout_ms: 23,
    playout_max_ms: 200,
};
const INFO: SenderInfo =
    SenderInfo { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 9, packets: 10, octets: 1_600 };

fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
    Header {
        ssrc: Ssrc(ssrc),
        sequence: SequenceNumber(sequence),
        timestamp: RtpTimestamp(timestamp),
        ..Header::default()
    }
}

fn statements(bytes: &[u8]) -> Vec<Incoming> {
    let mut found = Vec::new();
    read(bytes, |s| found.push(s)).unwrap();
    found
}

#[test]
fn every_shape_comes_back_as_written() {
    for length in 0..300 {
        let cname = "é".repeat(length / 2) + &"x".repeat(length % 2);
        for shape in 0..16 {
            let (sr, rr, bye, xr) = (shape & 1 != 0, shape & 2 != 0, shape & 4 != 0, shape & 8 != 0);
            let packet = Outgoing {
                ssrc: Ssrc(1),
                sender: sr.then_some(INFO),
                report: rr.then_some(BLOCK),
                metrics: xr.then_some(METRICS),
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
            if xr {
                expected.push(Incoming::Metrics(METRICS));
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
    let mut stats = ReceiverStats::default();
    // The integer form of the RFC: jitter += d - ((jitter + 8) >> 4), reported >> 4.
    let (mut model, mut transit) = (0u32, None::<u32>);
    let mut arrival = 5_000u32;
    for n in 0..200u32 {
        let timestamp = (u32::MAX - 3_000).wrapping_add(n * 160);
        arrival = arrival.wrapping_add(160 + (n * 37 % 11) * 8);
        stats.on_packet(&header(1, n as u16, timestamp), arrival);
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
    let mut stats = ReceiverStats::default();
    for n in 0..100u32 {
        stats.on_packet(&header(1, 65_500u16.wrapping_add(n as u16), n * 160), 900 + n * 160);
    }
    let block = stats.report(0).unwrap();
    assert_eq!((block.jitter, block.fraction_lost, block.cumulative_lost), (0, 0, 0));
    assert_eq!(block.extended_highest, 0x1_0000 + 63, "one wrap");
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
}

#[test]
fn loss_is_that_of_appendix_a_3() {
    let mut stats = ReceiverStats::default();
    // 25 of 100 lost: 25 * 256 / 100 = 64.
    for n in (0..100u16).filter(|n| n % 4 != 2) {
        stats.on_packet(&header(1, 10 + n, 0), 0);
    }
    let block = stats.report(0).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (64, 25));
    // The next interval: 10 of 10 received, three of them twice.
    for n in (100..110u16).chain(100..103) {
        stats.on_packet(&header(1, 10 + n, 0), 0);
    }
    let block = stats.report(0).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 22));
    let block = stats.report(0).unwrap();
    assert_eq!(block.fraction_lost, 0, "an interval without packets");
}

#[test]
fn the_round_trip_is_that_of_section_6_4_1() {
    // The example of the section: A = 0xb710:8000, DLSR = 5.25 s, LSR = 0xb705:2000, result 6.125 s.
    let block = ReportBlock { last_sr: 0xB705_2000, delay_since_last_sr: 0x0005_4000, ..BLOCK };
    assert_eq!(round_trip_us(&block, 0xB710_8000 << 16), Some(6_125_000));
    assert_eq!(round_trip_us(&block, 0xB705_0000 << 16), None, "a clock that goes backward");
    assert_eq!(round_trip_us(&ReportBlock { last_sr: 0, ..block }, 1 << 40), None);
    let mut stats = ReceiverStats::default();
    stats.on_packet(&header(1, 0, 0), 0);
    stats.on_sender_report(Ssrc(1), 0xAAAA_B705_2000_BBBB, 1_000);
    stats.on_sender_report(Ssrc(2), 1 << 40, 1_100);
    let block = stats.report(6_250).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0xB705_2000, 0x0005_4000));
}

#[test]
fn losses_are_counted_by_sequence_over_a_wrap_and_a_change_of_source() {
    let mut stats = ReceiverStats::default();
    for (n, sequence) in [65_534u16, 65_535, 1, 2].into_iter().enumerate() {
        stats.on_packet(&header(7, sequence, n as u32 * 160), n as u32 * 160);
    }
    assert_eq!(stats.lost(), 1);
    stats.on_packet(&header(8, 500, 0), 0);
    assert_eq!((stats.lost(), stats.packets_before, stats.received()), (1, 4, 5));
}

#[test]
fn a_stray_number_is_no_loss_and_a_restart_begins_anew() {
    let mut stats = ReceiverStats::default();
    for (n, sequence) in [10u16, 11, 40_000, 12, 13, 30_000, 30_001, 30_002].into_iter().enumerate() {
        stats.on_packet(&header(7, sequence, n as u32 * 160), n as u32 * 160);
    }
    assert_eq!((stats.lost(), stats.packets, stats.packets_before), (0, 2, 4));
    stats.on_packet(&header(7, 29_950, 0), 0);
    let block = stats.report(0).unwrap();
    assert_eq!((stats.lost(), block.extended_highest), (0, 30_002), "late, not a leap");
}

/// About the stream of each end.
const METRICS_OF: [VoipMetrics; 2] =
    [VoipMetrics { ssrc: Ssrc(100), ..METRICS }, VoipMetrics { ssrc: Ssrc(101), loss_rate: 9, ..METRICS }];

#[test]
fn two_reporters_tell_each_other_loss_and_round_trip() {
    let unix_us = 1_700_000_000_000_000;
    let mut ends = [0u32, 1].map(|n| {
        let sender = SenderState::new(Ssrc(100 + n), SequenceNumber(0), RtpTimestamp(0));
        (sender, ReceiverStats::default(), Reporter::new(unix_us, u128::from(n) << 90 | 0x1234_5678, 0))
    });
    for n in 0..100u64 {
        for from in [0, 1] {
            let header = ends[from].0.next(0, 160, n * 20 + 1);
            ends[from].0.note_sent(160);
            if n % 10 != 5 {
                ends[1 - from].1.on_packet(&header, n as u32 * 160);
            }
        }
    }
    let mut out = [0; MAX_COMPOUND];
    // Each report is 30 ms on its way: a round trip of 60.
    let mut now_ms = 2_000;
    let mut round_trips = Vec::new();
    for from in [0, 1, 0] {
        let (sender, received, reporter) = &mut ends[from];
        let n = reporter.write(sender, received, Some(METRICS_OF[1 - from]), now_ms, false, &mut out);
        assert!(!reporter.is_due(now_ms) && reporter.is_due(now_ms + 7_500));
        now_ms += 30;
        let (sender, received, reporter) = &mut ends[1 - from];
        round_trips.push(reporter.read(&out[..n], sender.ssrc, received, now_ms * 1_000));
        let lost: Vec<_> = statements(&out[..n])
            .into_iter()
            .filter_map(|s| if let Incoming::Report(block) = s { Some(block.cumulative_lost) } else { None })
            .collect();
        assert_eq!(lost, [10]);
    }
    assert_eq!(round_trips[0].round_trip_us, None, "nothing of its own was known yet");
    for told in &round_trips[1..] {
        assert!((59_900..=60_100).contains(&told.round_trip_us.unwrap()), "{round_trips:?}");
    }
    for (n, told) in round_trips.iter().enumerate() {
        assert_eq!(told.metrics, Some(METRICS_OF[(n + 1) % 2]), "about its own stream");
    }
}
