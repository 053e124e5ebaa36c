//! What looks at each 20 ms of a leg: voice activity, keys in the sound, level, noise; beside a copy of it.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_dsp::agc::AgcConfig;
use sidetone_dsp::comfort::{Noise, NoiseGenerator};
use sidetone_dsp::dtmf::DtmfDetector;
use sidetone_dsp::plc::Plc;
use sidetone_dsp::vad::{Vad, VadConfig};
use sidetone_dsp::{Agc, Denoiser, Rate};
use std::hint::black_box;

const FRAME: usize = 160;

fn frames(c: &mut Criterion) {
    // Noise by a linear congruence: no silence that a kernel could pass over.
    let noise =
        |n: usize| ((n as u32).wrapping_mul(1_664_525).wrapping_add(1_013_904_223) >> 20) as i16 - 2_048;
    let sound: [i16; FRAME] = std::array::from_fn(noise);
    let mut frame = sound;
    let mut group = c.benchmark_group("listening");
    group.bench_function("baseline memcpy", |b| {
        b.iter(|| black_box(&mut frame).copy_from_slice(black_box(&sound)));
    });
    let mut vad = Vad::new(VadConfig::default());
    group.bench_function("voice activity", |b| b.iter(|| vad.process(black_box(&sound))));
    let mut dtmf = DtmfDetector::new();
    group.bench_function("keys in the sound", |b| {
        b.iter(|| {
            dtmf.push(black_box(&sound), |digit| {
                black_box(digit);
            });
        });
    });
    let mut agc = Agc::new(AgcConfig::default());
    group.bench_function("automatic gain", |b| {
        b.iter(|| {
            frame = sound;
            agc.process(Rate::Narrow, black_box(&mut frame));
        });
    });
    Denoiser::prepare_thread();
    let mut denoiser = Denoiser::new(Rate::Narrow);
    group.bench_function("noise suppression", |b| {
        b.iter(|| {
            frame = sound;
            denoiser.process(black_box(&mut frame));
        });
    });
    let mut generator = NoiseGenerator::new(Rate::Narrow, Rate::Narrow);
    generator.begin(&Noise::white(-60.0));
    group.bench_function("comfort noise", |b| b.iter(|| generator.fill(black_box(&mut frame))));
    let mut plc = Plc::new(Rate::Narrow);
    group.bench_function("loss concealment, good frame", |b| {
        b.iter(|| {
            frame = sound;
            plc.good_frame(black_box(&mut frame));
        });
    });
    group.bench_function("loss concealment, one of two frames lost", |b| {
        b.iter(|| {
            frame = sound;
            plc.good_frame(black_box(&mut frame));
            plc.conceal(black_box(&mut frame));
        });
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
