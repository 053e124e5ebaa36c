//! One packet in and one frame out, beside two copies of the payload.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidetone_rtp_core::{Header, JitterBuffer, JitterConfig, RtpTimestamp, SequenceNumber};
use std::hint::black_box;

const FRAME: usize = 160;

fn insert_and_pull(c: &mut Criterion) {
    let payload = [0x55u8; FRAME];
    let (mut slot, mut out) = ([0u8; FRAME], [0u8; FRAME]);
    let mut group = c.benchmark_group("jitter_buffer");
    group.throughput(Throughput::Bytes(FRAME as u64));
    group.bench_function("baseline two memcpy", |b| {
        b.iter(|| {
            black_box(&mut slot).copy_from_slice(black_box(&payload));
            black_box(&mut out).copy_from_slice(black_box(&slot));
        });
    });
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut number = 0u32;
    group.bench_function("insert and pull", |b| {
        b.iter(|| {
            let header = Header {
                sequence: SequenceNumber(number as u16),
                timestamp: RtpTimestamp(number.wrapping_mul(FRAME as u32)),
                ..Header::default()
            };
            buffer.insert(&header, black_box(&payload), u64::from(number) * 20);
            number = number.wrapping_add(1);
            black_box(buffer.pull(black_box(&mut out)))
        });
    });
    group.finish();
}

criterion_group!(benches, insert_and_pull);
criterion_main!(benches);
