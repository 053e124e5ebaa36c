//! G.711 per instruction set that this processor has, beside a copy of the same bytes; `Scalar` is the table look-up.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sidetone_dsp::{InstructionSet, Law, g711};
use std::hint::black_box;

fn kernels(c: &mut Criterion) {
    for size in [160usize, 16 << 10] {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 37) as u8).collect();
        let samples: Vec<i16> = (0..size).map(|n| (n * 7_919) as i16).collect();
        let (mut linear, mut coded) = (vec![0i16; size], bytes.clone());
        let mut group = c.benchmark_group(format!("g711/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function("baseline memcpy", |b| {
            b.iter(|| black_box(&mut coded).copy_from_slice(black_box(&bytes)))
        });
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            for law in [Law::Mu, Law::A] {
                let id = |what: &str| BenchmarkId::new(format!("{what} {law:?}"), format!("{set:?}"));
                group.bench_function(id("decode"), |b| {
                    b.iter(|| g711::decode_with(set, law, black_box(&bytes), black_box(&mut linear)));
                });
                group.bench_function(id("encode"), |b| {
                    b.iter(|| g711::encode_with(set, law, black_box(&samples), black_box(&mut coded)));
                });
                group.bench_function(id("translate"), |b| {
                    b.iter(|| g711::translate_in_place_with(set, law, black_box(&mut coded)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
