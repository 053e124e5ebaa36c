//! An INVITE of a desk phone, 1.3 KB: read, answered, written; beside finding the ends of its lines.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidetone_sip_core::message::{Limits, Message, ResponseBuilder, Status, parse_datagram};
use sidetone_sip_core::sdp;
use std::hint::black_box;

const INVITE: &[u8] =
    include_bytes!("../../services/signalling/sip-core/testdata/corpus/sip/invite-desk-phone.sip");

fn message(c: &mut Criterion) {
    let bytes = Bytes::from_static(INVITE);
    let limits = Limits::default();
    let Ok(Message::Request(invite)) = parse_datagram(bytes.clone(), &limits) else { return };
    let mut group = c.benchmark_group("sip_message");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    group.bench_function("baseline count lines", |b| {
        b.iter(|| black_box(&bytes).iter().filter(|byte| **byte == b'\n').count());
    });
    group.bench_function("parse", |b| b.iter(|| parse_datagram(black_box(bytes.clone()), &limits).is_ok()));
    group.bench_function("print", |b| b.iter(|| black_box(&invite).to_bytes()));
    group.bench_function("answer 180", |b| {
        b.iter(|| ResponseBuilder::new(black_box(&invite), Status::RINGING, "tag").build().to_bytes());
    });
    group.bench_function("parse sdp", |b| b.iter(|| sdp::parse(black_box(invite.body())).is_ok()));
    group.finish();
}

criterion_group!(benches, message);
criterion_main!(benches);
