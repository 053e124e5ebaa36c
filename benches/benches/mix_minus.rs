//! One tick of a conference in which all speak, beside plain sums in 32 bits.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidetone_mix_core::{MemberId, Mixer};
use std::hint::black_box;

const FRAME: usize = 160;

fn tick(c: &mut Criterion) {
    for members in [3usize, 16, 100] {
        let voices: Vec<Vec<i16>> = (0..members)
            .map(|m| (0..FRAME).map(|n| ((n * 31 + m * 17) % 600) as i16 - 300).collect())
            .collect();
        let mut group = c.benchmark_group(format!("mix_minus/{members}"));
        group.throughput(Throughput::Elements(members as u64));
        let (mut sum, mut out) = ([0i32; FRAME], [0i16; FRAME]);
        group.bench_function("baseline plain loop", |b| {
            b.iter(|| {
                sum.fill(0);
                for voice in black_box(&voices) {
                    for (total, sample) in sum.iter_mut().zip(voice) {
                        *total += i32::from(*sample);
                    }
                }
                for voice in black_box(&voices) {
                    for ((heard, total), own) in out.iter_mut().zip(&sum).zip(voice) {
                        *heard = (total - i32::from(*own)).clamp(-32_768, 32_767) as i16;
                    }
                    black_box(&out);
                }
            });
        });
        let mut mixer = Mixer::new(FRAME, members);
        let ids: Vec<MemberId> = (0..members).filter_map(|_| mixer.join().ok()).collect();
        assert_eq!(ids.len(), members, "every member has a place");
        group.bench_function("Mixer", |b| {
            b.iter(|| {
                for (id, voice) in ids.iter().zip(black_box(&voices)) {
                    if let Some(slot) = mixer.speak(*id) {
                        slot.copy_from_slice(voice);
                    }
                }
                mixer.mix();
                for id in &ids {
                    black_box(mixer.heard(*id));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, tick);
criterion_main!(benches);
