//! One packet of 20 ms of G.711 sealed and opened under each suite, and a report written and read, beside a copy of the packet.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use sidetone_rtp_core::srtp::{MasterKey, Receiver, Sender, Suite};
use sidetone_rtp_core::{Header, RtpTimestamp, SequenceNumber, Ssrc, write_header};
use std::hint::black_box;

const PACKET: usize = 172;

/// A packet with room for a tag behind it.
fn packet(number: u32) -> [u8; 200] {
    let mut bytes = [0x55; 200];
    let header = Header {
        sequence: SequenceNumber(number as u16),
        timestamp: RtpTimestamp(number.wrapping_mul(160)),
        ssrc: Ssrc(7),
        ..Header::default()
    };
    write_header(&mut bytes, &header).unwrap();
    bytes
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp");
    let (from, mut to) = (packet(0), packet(0));
    group.bench_function("baseline memcpy", |b| {
        b.iter(|| black_box(&mut to[..PACKET]).copy_from_slice(black_box(&from[..PACKET])));
    });
    for suite in Suite::ALL {
        let key: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| n as u8).collect();
        let master = MasterKey::new(suite, &key).unwrap();
        let mut sender = Sender::new(&master).unwrap();
        let mut number = 0u32;
        let mut sealed = || {
            number = number.wrapping_add(1);
            let mut bytes = packet(number);
            let length = sender.protect_rtp(&mut bytes, PACKET).unwrap();
            (bytes, length)
        };
        group.bench_function(BenchmarkId::new("protect", suite.name()), |b| b.iter(&mut sealed));
        let mut receiver = Receiver::new(&master).unwrap();
        group.bench_function(BenchmarkId::new("open", suite.name()), |b| {
            b.iter_batched(
                &mut sealed,
                |(mut bytes, length)| receiver.open_rtp(black_box(&mut bytes[..length])).unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
