//! Nothing that was acknowledged is lost by `kill -9`.
//!
//! The test starts itself again as the victim, which appends and puts as fast as it can and prints what has been
//! acknowledged; it is killed at a random moment, and the file is opened again.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sidetone_store::embedded::EmbeddedStore;
use sidetone_store::{Append, Expect, Sequence, Store as _};

const VICTIM: &str = "SIDETONE_STORE_VICTIM";
const ROUNDS: usize = 4;

/// Long enough for several checkpoints in a round.
fn record(number: u64) -> String {
    format!("record {number} {}", "x".repeat(6000))
}

/// Does nothing unless it is started by the other test.
#[tokio::test]
async fn victim() {
    use std::io::Write as _;
    let Ok(path) = std::env::var(VICTIM) else { return };
    let store = EmbeddedStore::open(path).unwrap();
    let (_, Sequence(mut last)) = store.bounds("log").await.unwrap();
    loop {
        let append = Append {
            stream: "log".into(),
            expected_last: Sequence(last),
            idempotency_key: format!("k{last}"),
            record: Bytes::from(record(last + 1)),
        };
        let (appended, put) = tokio::join!(
            store.append(append),
            store.put("count", Bytes::from((last + 1).to_string()), None, Expect::Any)
        );
        put.unwrap();
        last = appended.unwrap().0;
        println!("acknowledged {last}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let seed: u64 = std::env::var("SIDETONE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("SIDETONE_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut until = rng.random_range(1..200);
        for line in &mut lines {
            let line = line.unwrap();
            let Some((_, number)) = line.split_once("acknowledged ") else { continue };
            acknowledged = number.parse::<u64>().unwrap();
            until -= 1;
            if until == 0 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still managed to print before it died counts too.
        for line in lines.map_while(Result::ok) {
            let number = line.split_once("acknowledged ").and_then(|(_, n)| n.parse().ok());
            acknowledged = number.unwrap_or(acknowledged);
        }
        let store = EmbeddedStore::open(&path).unwrap();
        let (first, last) = store.bounds("log").await.unwrap();
        assert_eq!(first, Sequence(1));
        assert!(last.0 >= acknowledged, "round {round}: {last} is less than the acknowledged {acknowledged}");
        let records = store.read("log", Sequence(1), usize::MAX).await.unwrap();
        assert_eq!(records.len() as u64, last.0);
        for (n, record) in records.iter().enumerate() {
            assert_eq!(record.record, self::record(n as u64 + 1).as_bytes());
        }
        let count = store.get("count").await.unwrap().unwrap().value;
        let count: u64 = std::str::from_utf8(&count).unwrap().parse().unwrap();
        assert!(count >= acknowledged, "round {round}: the key is at {count}, not {acknowledged}");
        store.close().await;
    }
}
