//! Live calls in one shard: what one costs in memory, and that placing another does not walk them.
//!
//! `cargo bench -p sidetone-benches --bench live_calls` prints the memory of a two-party call by the growth of the resident set, then measures one more call among 10 and among
//! 10,000 live ones: the baseline row is the small one, and both should cost the same.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench tells, and stops where something is wrong"
)]

mod office;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use office::{Office, resident};
use sidetone_model::time::Timestamp;

const CALLS: usize = 10_000;

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one call from INVITE to BYE");
    // The many first: memory that others have left would be taken for nothing.
    for live in [CALLS, 10] {
        let mut office = Office::new();
        let before = resident();
        let kept: Vec<_> = (0..live).map(|_| office.call()).collect();
        let each = resident().saturating_sub(before) / live;
        if live == CALLS {
            println!("{live} live calls: {each} bytes a call");
        }
        group.bench_function(format!("among {live} live calls"), |bench| {
            bench.iter(|| {
                let call = office.call();
                office.hang_up(black_box(call));
                // What is over is forgotten, so that only the live ones are many.
                office.now = Timestamp::from_millis(office.now.as_millis() + 1);
            });
        });
        group.bench_function(format!("a look at the clock among {live} live calls"), |bench| {
            bench.iter(|| black_box(office.shard.poll_timeout()));
        });
        drop(kept);
    }
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
