//! A second of two voices mixed for a recording, and put into each container, beside a copy of its samples.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sidetone_dsp::Rate;
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_record_core::{Container, Encoder, Form, Mixdown};
use std::hint::black_box;

const SECOND: usize = 8_000;
const FRAME: usize = 160;
const FORM: Form = Form::new(1, Rate::Narrow);

fn seconds(c: &mut Criterion) {
    let mut sound = vec![0i16; SECOND];
    let tones = [Tone { freq_hz: 440.0, level_dbm0: -16.0 }, Tone { freq_hz: 1_330.0, level_dbm0: -20.0 }];
    ToneGenerator::new(8_000, &tones).fill(&mut sound);
    let mut copy = sound.clone();
    let mut group = c.benchmark_group("recording");
    group.bench_function("baseline memcpy", |b| {
        b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&sound)));
    });
    group.bench_function("mix of two", |b| {
        let (mut mixdown, mut at) = (Mixdown::new(FORM), 0u64);
        b.iter(|| {
            for frame in sound.chunks_exact(FRAME) {
                mixdown.add(at, 0, black_box(frame));
                mixdown.add(at, 0, black_box(frame));
                at += FRAME as u64;
                black_box(mixdown.take_until(at, FRAME));
            }
        });
    });
    for container in [Container::Wav, Container::Flac, Container::OggOpus, Container::Mp3] {
        // A build without an encoder for it has no row.
        let Ok((mut encoder, _)) = Encoder::new(container, FORM) else { continue };
        let mut file = Vec::new();
        group.bench_function(BenchmarkId::new("encode", format!("{container:?}")), |b| {
            b.iter(|| {
                file.clear();
                encoder.write(black_box(&sound), &mut file).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seconds);
criterion_main!(benches);
