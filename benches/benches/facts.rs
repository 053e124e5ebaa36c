//! Facts of calls read out of the log, folded, and told in three dialects: how many a second one thread can take.
//!
//! `cargo bench -p sidetone-benches --bench facts`. The facts are those of two-party calls from INVITE to BYE, both users listening
//! by dialect 002 and a team by 003; conversations of 000 look at each fact and have nothing to tell of these. The baseline row only
//! reads the log's form. Beside it: what 10,000 live calls take in a fold, which is what a process has of them that only follows.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench tells, and stops where something is wrong"
)]

mod office;

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use office::{Office, number_of, resident, user_of};
use sidetone_dialects::{Application, ApplicationKind, Dialect as _, People, Person};
use sidetone_dialects::{bot::Bot, conversation::Conversation, telephony::Telephony};
use sidetone_model::fact::{Fact, FactRecord};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::wire::{decode_batch, encode_batch};

/// Calls that overlap in the log that is measured.
const CALLS: usize = 200;
const LIVE: usize = 10_000;
/// Calls that one user has at once: somebody who serves a queue, or a gateway that registers as a user.
const OF_ONE: [usize; 2] = [50, 500];

/// Two users for each call, a team, and an application.
struct Staff;

impl People for Staff {
    fn person(&self, _: &TenantId, user: &UserId) -> Option<Person> {
        let devices = vec!["desk".parse().unwrap()];
        Some(Person {
            display_name: user.as_str().into(),
            numbers: vec![number_of(user).into()],
            devices,
            may_pick_up: false,
            may_intrude: false,
        })
    }

    fn user_of_number(&self, _: &TenantId, number: &str) -> Option<UserId> {
        Some(user_of(number))
    }

    fn domain(&self, _: &TenantId) -> Option<Box<str>> {
        Some("example.org".into())
    }

    fn applications(&self, _: &TenantId) -> Vec<Application> {
        let of = |id: &str, kind| Application { id: id.into(), kind, numbers: Vec::new() };
        vec![of("app", ApplicationKind::Conversation), of("team", ApplicationKind::Bot)]
    }
}

/// The facts of calls that all begin before the first ends.
fn log() -> Vec<Fact> {
    let mut office = Office::new();
    office.facts = Some(Vec::new());
    let calls: Vec<_> = (0..CALLS).map(|_| office.call()).collect();
    calls.into_iter().for_each(|call| office.hang_up(call));
    office.facts.unwrap()
}

/// How many events three dialects tell of a fact, which is folded.
fn told(fold: &mut Fold, fact: &Fact) -> usize {
    let projections = [
        Telephony.project(fold, fact, &Staff),
        Bot.project(fold, fact, &Staff),
        Conversation.project(fold, fact, &Staff),
    ];
    fold.apply(fact);
    projections.into_iter().map(|projection| projection(fold).len()).sum()
}

fn facts(criterion: &mut Criterion) {
    let log = log();
    let batches: Vec<_> = log
        .iter()
        .map(|fact| encode_batch(&[FactRecord { facts: vec![fact.clone()], ..FactRecord::default() }]))
        .collect();
    let mut fold = Fold::default();
    let events: usize = log.iter().map(|fact| told(&mut fold, fact)).sum();
    assert!(events > CALLS, "something is told");
    println!("{CALLS} calls are {} facts, of which {events} events are told", log.len());
    let mut group = criterion.benchmark_group("facts of overlapping calls");
    group.throughput(Throughput::Elements(log.len() as u64));
    group.bench_function("read (baseline)", |bench| {
        bench.iter(|| batches.iter().map(|batch| decode_batch(batch).unwrap().len()).sum::<usize>());
    });
    group.bench_function("folded", |bench| {
        bench.iter_batched_ref(
            Fold::default,
            |fold| log.iter().for_each(|fact| fold.apply(black_box(fact))),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("folded and told in three dialects", |bench| {
        bench.iter_batched_ref(
            Fold::default,
            |fold| log.iter().map(|fact| told(fold, black_box(fact))).sum::<usize>(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
    of_one_user();
    live();
}

/// What a fact of one of many calls of a user costs in 002, where users see all that they have. It is to grow with nothing.
fn of_one_user() {
    for calls in OF_ONE {
        let mut office = Office::new();
        office.facts = Some(Vec::new());
        let all: Vec<_> = (0..calls).map(|_| office.call_of("1")).collect();
        all.into_iter().for_each(|call| office.hang_up(call));
        let log = office.facts.unwrap();
        let (mut fold, began) = (Fold::default(), Instant::now());
        let mut told = 0;
        for fact in &log {
            let projection = Telephony.project(&fold, fact, &Staff);
            fold.apply(fact);
            told += projection(&fold).len();
        }
        let each = began.elapsed().as_micros() / log.len() as u128;
        println!("{calls} calls of one user: {} facts, {told} events of 002, {each} us a fact", log.len());
    }
}

/// What live calls take in a fold, by the growth of the resident set.
fn live() {
    let mut office = Office::new();
    office.facts = Some(Vec::new());
    for _ in 0..LIVE {
        office.call();
    }
    let facts = office.facts.take().unwrap();
    let before = resident();
    let mut fold = Fold::default();
    facts.iter().for_each(|fact| fold.apply(fact));
    let each = resident().saturating_sub(before) / LIVE;
    println!("{LIVE} live calls in a fold that only follows: {each} bytes a call");
    black_box(fold);
}

criterion_group!(benches, facts);
criterion_main!(benches);
