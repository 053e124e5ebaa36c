//! One packet of 20 ms through each codec at its own rate, beside a copy of its samples.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sidetone_dsp::codec::{Codec, Decoder, Encoder, OpusSettings};
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, Rate};
use std::hint::black_box;

const CODECS: [(Codec, Rate); 7] = [
    (Codec::G711(Law::Mu), Rate::Narrow),
    (Codec::L16(Rate::Narrow), Rate::Narrow),
    (Codec::Gsm, Rate::Narrow),
    (Codec::G722, Rate::Wide),
    (Codec::L16(Rate::Wide), Rate::Wide),
    (Codec::Opus, Rate::Wide),
    (Codec::Opus, Rate::Full),
];

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("codecs");
    let mut copy = [0i16; 960];
    for rate in Rate::ALL {
        let samples = rate.hz() as usize / 50;
        let sound = [700i16; 960];
        group.bench_function(BenchmarkId::new("baseline memcpy", format!("{rate:?}")), |b| {
            b.iter(|| black_box(&mut copy[..samples]).copy_from_slice(black_box(&sound[..samples])));
        });
    }
    for (codec, rate) in CODECS {
        let samples = rate.hz() as usize / 50;
        let mut sound = vec![0i16; samples * 50];
        let tones =
            [Tone { freq_hz: 440.0, level_dbm0: -16.0 }, Tone { freq_hz: 1_330.0, level_dbm0: -20.0 }];
        ToneGenerator::new(rate.hz(), &tones).fill(&mut sound);
        let mut encoder = Encoder::new(codec, rate, &OpusSettings::default()).unwrap();
        let mut payload = [0u8; 2_000];
        let mut frames = sound.chunks_exact(samples).cycle();
        let id = |what: &str| BenchmarkId::new(what, format!("{codec:?} {rate:?}"));
        group.bench_function(id("encode"), |b| {
            b.iter(|| encoder.encode(black_box(frames.next().unwrap()), &mut payload).unwrap());
        });
        let mut coded = |frame: &[i16]| {
            let length = encoder.encode(frame, &mut payload).unwrap();
            payload[..length].to_vec()
        };
        let packets: Vec<Vec<u8>> = sound.chunks_exact(samples).map(&mut coded).collect();
        let mut decoder = Decoder::new(codec, rate).unwrap();
        let mut packets = packets.iter().cycle();
        group.bench_function(id("decode"), |b| {
            b.iter(|| decoder.decode(black_box(packets.next().unwrap()), &mut copy).unwrap());
        });
        group.bench_function(id("conceal"), |b| {
            b.iter(|| decoder.conceal(None, black_box(&mut copy[..samples])).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
