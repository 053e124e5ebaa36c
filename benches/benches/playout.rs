//! Playout: one packet in and one frame out, beside two copies of the sound.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidetone_rtp_core::{Header, Playout, PlayoutConfig, RtpTimestamp, SequenceNumber};
use std::hint::black_box;

const FRAME: usize = 160;

fn insert_and_pull(c: &mut Criterion) {
    let payload = [700i16; FRAME];
    let (mut slot, mut out) = ([0i16; FRAME], [0i16; FRAME]);
    let mut group = c.benchmark_group("playout");
    group.throughput(Throughput::Elements(FRAME as u64));
    group.bench_function("baseline two memcpy", |b| {
        b.iter(|| {
            black_box(&mut slot).copy_from_slice(black_box(&payload));
            black_box(&mut out).copy_from_slice(black_box(&slot));
        });
    });
    let mut playout = Playout::new(PlayoutConfig::NARROW);
    let mut number = 0u32;
    group.bench_function("insert and pull", |b| {
        b.iter(|| {
            let header = Header {
                sequence: SequenceNumber(number as u16),
                timestamp: RtpTimestamp(number.wrapping_mul(FRAME as u32)),
                ..Header::default()
            };
            let now_us = u64::from(number) * 20_000;
            playout.insert(&header, black_box(&payload), now_us);
            number += 1;
            black_box(playout.pull(now_us + 20_000, black_box(&mut out)))
        });
    });
    group.finish();
}

criterion_group!(benches, insert_and_pull);
criterion_main!(benches);
