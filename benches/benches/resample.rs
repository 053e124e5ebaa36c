//! 20 ms between the rates of telephony, by each instruction set, beside `rubato` at the same ratio.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use audioadapter_buffers::direct::InterleavedSlice;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rubato::Resampler as _;
use sidetone_dsp::{InstructionSet, Rate, Resampler};
use std::hint::black_box;

const RATIOS: [(Rate, Rate); 4] = [
    (Rate::Narrow, Rate::Wide),
    (Rate::Wide, Rate::Narrow),
    (Rate::Narrow, Rate::Full),
    (Rate::Full, Rate::Narrow),
];

fn frames(c: &mut Criterion) {
    for (from, to) in RATIOS {
        let mut group = c.benchmark_group(format!("resample/{}-{}", from.hz(), to.hz()));
        let samples = from.hz() as usize / 50;
        let input: Vec<i16> = (0..samples).map(|n| ((n * 331) % 20_000) as i16 - 10_000).collect();
        let mut output = vec![0i16; 1_000];
        let (window, fixed) = (rubato::WindowFunction::BlackmanHarris2, rubato::FixedSync::Input);
        let make = rubato::Fft::<f32>::new_custom(
            from.hz() as usize,
            to.hz() as usize,
            samples,
            1,
            1,
            window,
            fixed,
        );
        let mut baseline = make.unwrap();
        let floats: Vec<f32> = input.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        group.bench_function("baseline rubato", |b| {
            b.iter(|| {
                let chunk = &floats[..baseline.input_frames_next().min(floats.len())];
                let input = InterleavedSlice::new(black_box(chunk), 1, chunk.len()).unwrap();
                baseline.process(&input, None).unwrap()
            });
        });
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            let mut resampler = Resampler::with(set, from, to);
            group.bench_function(BenchmarkId::new("process", format!("{set:?}")), |b| {
                b.iter(|| resampler.process(black_box(&input), black_box(&mut output)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
