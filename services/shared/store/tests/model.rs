//! Random operations on the embedded store and on the simplest thing that could be right must agree.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sidetone_model::time::Timestamp;
use sidetone_store::embedded::{EmbeddedStore, Options};
use sidetone_store::{Append, Expect, ManualClock, Revision, Sequence, Store as _, StoreError};

#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, value: u8, expires_in: Option<u16>, expect: Wanted },
    Delete { key: u8, expect: Wanted },
    Append { stream: u8, behind: u8, key: u8, record: u8 },
    Trim { stream: u8, before: u8 },
    Advance(u16),
    Sweep,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Any,
    Absent,
    Present,
    Stale,
}

#[derive(Default)]
struct Model {
    keys: BTreeMap<String, (Bytes, Revision, Option<Timestamp>)>,
    streams: BTreeMap<String, (u64, Vec<(String, Bytes)>)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wanted =
        prop_oneof![Just(Wanted::Any), Just(Wanted::Absent), Just(Wanted::Present), Just(Wanted::Stale)];
    let step = prop_oneof![
        4 => (0..4u8, any::<u8>(), proptest::option::of(0..100u16), wanted.clone())
            .prop_map(|(key, value, expires_in, expect)| Step::Put { key, value, expires_in, expect }),
        2 => (0..4u8, wanted).prop_map(|(key, expect)| Step::Delete { key, expect }),
        4 => (0..2u8, 0..3u8, 0..4u8, 0..2u8)
            .prop_map(|(stream, behind, key, record)| Step::Append { stream, behind, key, record }),
        1 => (0..2u8, 0..12u8).prop_map(|(stream, before)| Step::Trim { stream, before }),
        1 => (0..60u16).prop_map(Step::Advance),
        1 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 1..60)
}

impl Model {
    fn live(&self, key: &str, now: Timestamp) -> Option<&(Bytes, Revision, Option<Timestamp>)> {
        self.keys.get(key).filter(|(_, _, expires)| expires.is_none_or(|t| t > now))
    }

    fn expect(&self, key: &str, wanted: Wanted, now: Timestamp) -> (Expect, bool) {
        let present = self.live(key, now).map(|(_, revision, _)| *revision);
        match wanted {
            Wanted::Any => (Expect::Any, true),
            Wanted::Absent => (Expect::Absent, present.is_none()),
            Wanted::Present => (Expect::Revision(present.unwrap_or(Revision(u64::MAX))), present.is_some()),
            Wanted::Stale => (Expect::Revision(Revision(u64::MAX)), false),
        }
    }

    async fn step(&mut self, store: &EmbeddedStore, clock: &ManualClock, step: &Step) {
        let now = clock.now();
        match step {
            Step::Put { key, value, expires_in, expect } => {
                let (key, value) = (format!("k/{key}"), Bytes::from(vec![*value]));
                let (expect, meets) = self.expect(&key, *expect, now);
                let expires = expires_in.map(|ms| Timestamp::from_millis(now.as_millis() + u64::from(ms)));
                let put = store.put(&key, value.clone(), expires, expect).await;
                assert_eq!(put.is_ok(), meets, "{step:?}: {put:?}");
                if let Ok(revision) = put {
                    self.keys.insert(key, (value, revision, expires));
                }
            }
            Step::Delete { key, expect } => {
                let key = format!("k/{key}");
                let (expect, meets) = self.expect(&key, *expect, now);
                let deleted = store.delete(&key, expect).await;
                assert_eq!(deleted.is_ok(), meets, "{step:?}: {deleted:?}");
                if meets {
                    self.keys.remove(&key);
                }
            }
            Step::Append { stream, behind, key, record } => {
                let name = format!("s{stream}");
                let (_, records) = self.streams.entry(name.clone()).or_insert((1, Vec::new()));
                let (last, key, record) =
                    (records.len() as u64, format!("i{key}"), Bytes::from(vec![*record]));
                let expected_last = Sequence(last.saturating_sub(u64::from(*behind)));
                let append = Append {
                    stream: name,
                    expected_last,
                    idempotency_key: key.clone(),
                    record: record.clone(),
                };
                let appended = store.append(append).await;
                match records.last() {
                    Some((k, r)) if *k == key && *r == record => {
                        assert_eq!(appended.unwrap(), Sequence(last))
                    }
                    Some((k, _)) if *k == key => assert!(matches!(appended, Err(StoreError::KeyReused))),
                    _ if expected_last != Sequence(last) => {
                        assert!(matches!(appended, Err(StoreError::SequenceMismatch { .. })), "{appended:?}");
                    }
                    _ => {
                        assert_eq!(appended.unwrap(), Sequence(last + 1));
                        records.push((key, record));
                    }
                }
            }
            Step::Trim { stream, before } => {
                let name = format!("s{stream}");
                store.trim(&name, Sequence(u64::from(*before))).await.unwrap();
                if let Some((first, records)) = self.streams.get_mut(&name) {
                    *first = (*first).max(u64::from(*before).min(records.len() as u64 + 1));
                }
            }
            Step::Advance(ms) => clock.advance(std::time::Duration::from_millis(u64::from(*ms))),
            Step::Sweep => store.sweep().await.unwrap(),
        }
    }

    async fn compare(&self, store: &EmbeddedStore, now: Timestamp) {
        let listed = store.list("k/").await.unwrap();
        let listed: Vec<_> =
            listed.into_iter().map(|e| (e.key, (e.value, e.revision, e.expires_at))).collect();
        let expected: Vec<_> = self
            .keys
            .iter()
            .filter(|(key, _)| self.live(key, now).is_some())
            .map(|(key, kept)| (key.clone(), kept.clone()))
            .collect();
        assert_eq!(listed, expected);
        for (name, (first, records)) in self.streams.iter().filter(|(_, (_, r))| !r.is_empty()) {
            let bounds = (Sequence(*first), Sequence(records.len() as u64));
            assert_eq!(store.bounds(name).await.unwrap(), bounds);
            let read = store.read(name, Sequence(*first), 1000).await.unwrap();
            let read: Vec<_> = read.into_iter().map(|r| r.record).collect();
            let kept: Vec<_> = records.iter().skip(*first as usize - 1).map(|(_, r)| r.clone()).collect();
            assert_eq!(read, kept);
        }
    }
}

#[test]
fn the_embedded_store_agrees_with_the_model() {
    let seed: u64 = std::env::var("SIDETONE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("SIDETONE_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    TestRunner::new_with_rng(config, rng)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let clock = ManualClock::new(Timestamp::from_millis(1_000));
                let options = Options { clock: clock.clock(), ..Options::default() };
                let store = EmbeddedStore::in_memory_with(options).unwrap();
                let mut model = Model::default();
                for step in &steps {
                    model.step(&store, &clock, step).await;
                    model.compare(&store, clock.now()).await;
                }
                store.close().await;
            });
            Ok(())
        })
        .unwrap();
}
