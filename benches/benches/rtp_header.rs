//! Parsing a packet of 20 ms, beside reading its first 12 bytes.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidetone_rtp_core::{Header, RtpPacketRef, write_header};
use std::hint::black_box;

fn parse(c: &mut Criterion) {
    let mut packet = [0x55u8; 172];
    assert!(write_header(&mut packet, &Header::default()).is_ok());
    let mut group = c.benchmark_group("rtp_header");
    group.throughput(Throughput::Elements(1));
    group.bench_function("baseline read 12 bytes", |b| {
        b.iter(|| black_box(black_box(&packet[..]).first_chunk::<12>().copied()));
    });
    group.bench_function("parse", |b| b.iter(|| black_box(RtpPacketRef::parse(black_box(&packet[..])))));
    group.bench_function("write", |b| {
        b.iter(|| write_header(black_box(&mut packet), black_box(&Header::default())))
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
