//! One tick of a conference in which all speak, beside plain sums in 32 bits.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidetone_mix_core::{MemberId, Mixer, Notes, Submix};
use std::hint::black_box;
use std::time::{Duration, Instant};

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

/// A member of a large room that one thread mixes, and what it costs each of several threads, sums of the others included.
fn spread(c: &mut Criterion) {
    const MEMBERS: usize = 800;
    let voice: Vec<i16> = (0..FRAME).map(|n| (n * 31 % 600) as i16 - 300).collect();
    let mut group = c.benchmark_group(format!("mix_minus/{MEMBERS} in one room"));
    for threads in [1usize, 2, 8] {
        let mut ends = Submix::family(threads, FRAME);
        let mut parts: Vec<(Mixer, Vec<MemberId>)> = (0..threads)
            .map(|_| {
                let mut mixer = Mixer::new(FRAME, MEMBERS / threads);
                let ids = (0..MEMBERS / threads).filter_map(|_| mixer.join().ok()).collect();
                (mixer, ids)
            })
            .collect();
        let mut tick = 0;
        let mut one_tick = |n: usize, tick: u64| {
            let (mixer, ids) = &mut parts[n];
            for id in ids.iter() {
                if let Some(slot) = mixer.speak(*id) {
                    slot.copy_from_slice(black_box(&voice));
                }
            }
            mixer.sum_up();
            black_box(ends[n].exchange(tick, &Notes::default(), mixer));
            mixer.finish();
            for id in ids.iter() {
                black_box(mixer.heard(*id));
            }
        };
        group.bench_function(format!("the busiest of {threads} threads"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    (1..threads).for_each(|n| one_tick(n, tick));
                    let began = Instant::now();
                    one_tick(0, tick);
                    spent += began.elapsed();
                    tick += 1;
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tick, spread);
criterion_main!(benches);
