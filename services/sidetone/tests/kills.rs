//! SIGKILL: of call control in the middle of a conference, and of whoever records, at any moment.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and prints its seed")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sidetone_testkit::phone::{Call, EndedBy};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;

/// The longest gap that a listener takes for a healthy stream of 20 ms packets, in ms.
const GAP_MAX_MS: f64 = 40.0;

/// How late this machine wakes a thread, at the worst, in ms: what it withholds from us it withholds from everybody.
struct Stalls(Arc<AtomicU64>);

impl Stalls {
    fn watch() -> Self {
        let worst = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&worst);
        std::thread::spawn(move || {
            while let Some(worst) = watched.upgrade() {
                let before = Instant::now();
                std::thread::sleep(STALL_STEP);
                let late = before.elapsed().saturating_sub(STALL_STEP);
                worst.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Self(worst)
    }

    fn worst_ms(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1000.0
    }
}

const STALL_STEP: Duration = Duration::from_millis(5);

fn all_contiguous(calls: &[&Call], before: f64, stalls: &Stalls) {
    // On a machine that is busy with something else, what it did before the kill is what it may do after it.
    let allowed = GAP_MAX_MS.max(before * 1.25) + stalls.worst_ms();
    for (phone, call) in calls.iter().enumerate() {
        let received = call.ear().received();
        assert_eq!(received.lost, 0, "phone {phone} lost packets");
        assert!(
            received.max_gap_ms <= allowed,
            "phone {phone}: a gap of {} ms, allowed {allowed}",
            received.max_gap_ms
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_control_is_killed_in_the_middle_of_a_conference() {
    let mut installation = Installation::four_processes();
    let phones = [
        registered(&installation, "1001", 400.0).await,
        registered(&installation, "1002", 550.0).await,
        registered(&installation, "1003", 700.0).await,
        registered(&installation, "1004", 850.0).await,
        registered(&installation, "1005", 1000.0).await,
    ];
    let a = call(&installation, &phones[0], "3000").await;
    let b = call(&installation, &phones[1], "3000").await;
    let c = call(&installation, &phones[2], "3000").await;
    let pair = call(&installation, &phones[3], "1005").await;
    hears(&installation, &a, 700.0).await;
    hears(&installation, &c, 400.0).await;
    hears(&installation, &pair, 1000.0).await;
    let calls = installation.calls();
    assert_eq!(calls.len(), 4);

    let watched = [&a, &b, &pair];
    watched.iter().for_each(|call| call.ear().forget());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = watched.iter().map(|call| call.ear().received().max_gap_ms).fold(0.0, f64::max);
    watched.iter().for_each(|call| call.ear().forget());
    let stalls = Stalls::watch();

    installation.call_control.as_mut().unwrap().kill();
    // A hang-up is answered although nobody is there to be told.
    c.hang_up().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    all_contiguous(&watched, before, &stalls);
    installation.call_control.as_mut().unwrap().restart();
    installation.call_control.as_ref().unwrap().wait_until_ready();
    eventually(&installation, "the call that was hung up meanwhile is over", || {
        installation.calls().len() == 3
    })
    .await;
    assert!(
        installation.calls().iter().all(|call| calls.contains(call)),
        "other calls than before are listed"
    );
    all_contiguous(&watched, before, &stalls);
    for (listener, tone) in [(&a, 550.0), (&b, 400.0), (&pair, 1000.0)] {
        hears(&installation, listener, tone).await;
    }

    // Afterwards everything works as before: from the phone, from the far end, from the API.
    a.hang_up().await.unwrap();
    eventually(&installation, "the caller's hang-up counts", || installation.calls().len() == 2).await;
    let far_end = phones[4].calls().into_iter().next().unwrap();
    far_end.hang_up().await.unwrap();
    assert!(matches!(pair.wait_ended(Duration::from_secs(5)).await, Some(EndedBy::FarEnd { .. })));
    let last = installation.calls().remove(0);
    installation.command(&["calls", "hang-up", &last]).unwrap();
    assert!(matches!(b.wait_ended(Duration::from_secs(5)).await, Some(EndedBy::FarEnd { .. })));
    let d = call(&installation, &phones[2], "9196").await;
    hears(&installation, &d, 700.0).await;
}

/// Kills in all, and how many installations are under way at once.
const KILLS: usize = 200;
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_records_is_killed_at_any_moment() {
    let seed =
        std::env::var("SIDETONE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121u64);
    eprintln!("SIDETONE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let moments: Vec<Duration> =
        (0..KILLS).map(|_| Duration::from_millis(random.random_range(300..4000))).collect();
    let lanes: Vec<_> = (0..AT_ONCE)
        .map(|lane| {
            let moments: Vec<Duration> = moments.iter().copied().skip(lane).step_by(AT_ONCE).collect();
            tokio::spawn(async move {
                for moment in moments {
                    kill_while_recording(moment).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
}

async fn kill_while_recording(after: Duration) {
    let mut installation = tokio::task::spawn_blocking(Installation::one_process).await.unwrap();
    let phone = registered(&installation, "1001", 440.0).await;
    let call = call(&installation, &phone, "3001").await;
    let began = Instant::now();
    tokio::time::sleep(after).await;
    let recorded = began.elapsed();
    installation.serve.as_mut().unwrap().kill();
    drop(call);

    let folder = installation.folder.path().join("recordings");
    let files = wav_files(&folder);
    // The file is there as soon as the first sound was written; in the first moments there may be none.
    let Some(file) = files.first() else {
        assert!(
            recorded < Duration::from_secs(2),
            "nothing was recorded in {recorded:?}\n{}",
            installation.logs()
        );
        return;
    };
    let mut reader = match hound::WavReader::open(file) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(recorded < Duration::from_secs(2), "killed after {recorded:?}: {error}");
            return;
        }
    };
    let rate = reader.spec().sample_rate;
    let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(rate));
    assert!(
        length + Duration::from_secs(2) >= recorded,
        "killed after {recorded:?}, {length:?} can be played"
    );
    if length > Duration::from_millis(1500) {
        let level = sidetone_dsp::goertzel::tone_level_dbov(&samples[samples.len() - 8000..], rate, 440.0);
        assert!(level > -40.0, "the caller is not on the recording: {level} dBov");
    }
}

fn wav_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.is_dir() {
            true => wav_files(&path),
            false if path.extension().is_some_and(|ending| ending == "wav") => vec![path],
            false => Vec::new(),
        })
        .collect()
}
