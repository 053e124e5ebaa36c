//! A compound report with an extended one, written and read, beside a copy of its bytes.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_rtp_core::rtcp::{self, Outgoing, SenderInfo};
use sidetone_rtp_core::{Header, ReceiverStats, RtpTimestamp, SequenceNumber, Ssrc};
use std::hint::black_box;

fn reports(c: &mut Criterion) {
    let mut group = c.benchmark_group("rtcp");
    let mut received = ReceiverStats::default();
    for number in 0..100u16 {
        let header = Header {
            sequence: SequenceNumber(number),
            timestamp: RtpTimestamp(u32::from(number) * 160),
            ssrc: Ssrc(9),
            ..Header::default()
        };
        received.on_packet(&header, u32::from(number) * 160);
    }
    let sender = SenderInfo { ntp: 1 << 40, rtp_timestamp: 16_000, packets: 100, octets: 16_000 };
    let outgoing = Outgoing {
        ssrc: Ssrc(7),
        sender: Some(sender),
        report: received.report(2_000),
        metrics: None,
        cname: "0123456789abcdef",
        bye: false,
    };
    let (mut out, mut copy) = ([0u8; 512], [0u8; 512]);
    let length = outgoing.write(&mut out).unwrap();
    let compound = out;
    group.bench_function("baseline memcpy", |b| {
        b.iter(|| black_box(&mut copy[..length]).copy_from_slice(black_box(&compound[..length])));
    });
    group.bench_function("write", |b| b.iter(|| black_box(&outgoing).write(&mut out).unwrap()));
    group.bench_function("read", |b| {
        b.iter(|| {
            let mut found = 0;
            rtcp::read(black_box(&compound[..length]), |_| found += 1).unwrap();
            found
        });
    });
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
