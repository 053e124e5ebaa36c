//! SIGKILL: of call control in the middle of a conference, and of whoever records, at any moment.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and prints its seed")]

use crate::support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sidetone_testkit::phone::{Call, EndedBy};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;
use support::sound::loudest_dbov;

/// Waits until some more seconds of sound have come at each of these calls, without a loss, and says how long the longest pause
/// was: how long a pause may be depends on the machine, and is measured by the load tests.
async fn media_goes_on(installation: &Installation, calls: &[&Call]) {
    for (phone, call) in calls.iter().enumerate() {
        let so_far = call.ear().received().packets;
        eventually(installation, &format!("phone {phone} hears more"), || {
            call.ear().received().packets >= so_far + 100
        })
        .await;
        let received = call.ear().received();
        assert_eq!(received.lost, 0, "phone {phone} lost packets");
        eprintln!("phone {phone}: the longest pause was {} ms", received.max_gap_ms);
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
    installation.call_control.as_mut().unwrap().kill();
    // A hang-up is answered although nobody is there to be told.
    c.hang_up().await.unwrap();
    media_goes_on(&installation, &watched).await;
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
    media_goes_on(&installation, &watched).await;
    for (listener, tone) in [(&a, 550.0), (&b, 400.0), (&pair, 1000.0)] {
        hears(&installation, listener, tone).await;
    }

    // Afterwards everything works as before: from the phone, from the far end, from the API.
    a.hang_up().await.unwrap();
    eventually(&installation, "the caller's hang-up counts", || installation.calls().len() == 2).await;
    let far_end = phones[4].calls().into_iter().next().unwrap();
    far_end.hang_up().await.unwrap();
    assert!(matches!(pair.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    let last = installation.calls().remove(0);
    installation.command(&["calls", "hang-up", &last]).unwrap();
    assert!(matches!(b.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    let d = call(&installation, &phones[2], "9196").await;
    hears(&installation, &d, 700.0).await;
}

/// Kills in all, unless the environment says more (`KILLS`), and how many installations are under way at once.
const KILLS: usize = 40;
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_records_is_killed_at_any_moment() {
    let seed =
        std::env::var("SIDETONE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121u64);
    eprintln!("SIDETONE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let moments: Vec<Duration> =
        (0..kills).map(|_| Duration::from_millis(random.random_range(300..4000))).collect();
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

/// How much was said by the clock tells nothing of what was written on a machine that stalls: what could be played before the
/// kill is what must be there after it.
async fn kill_while_recording(after: Duration) {
    let mut installation = tokio::task::spawn_blocking(Installation::one_process).await.unwrap();
    let phone = registered(&installation, "1001", 440.0).await;
    let call = call(&installation, &phone, "3001").await;
    let folder = installation.folder.path().join("recordings");
    // The file is there as soon as the first sound was written; then more and more is.
    let written = || Playable::read(&folder).map_or(0, |file| file.samples.len());
    eventually(&installation, "the first sound is on disk", || written() > 0).await;
    let first = written();
    eventually(&installation, "more of it is on disk", || written() > first).await;
    tokio::time::sleep(after).await;
    let before = written();
    installation.serve.as_mut().unwrap().kill();
    drop(call);

    let file = Playable::read(&folder).expect("it can be opened after the kill");
    assert_eq!(file.samples.len(), file.promised, "the header says what there is");
    assert!(file.samples.len() >= before, "{before} before the kill, {} after it", file.samples.len());
    if file.samples.len() as u64 > 2 * u64::from(file.rate) {
        let level = loudest_dbov(&file.samples, file.rate, 440.0);
        assert!(level > -40.0, "the caller is not on the recording: {level} dBov");
    }
}

/// What a player makes of the recording.
struct Playable {
    rate: u32,
    /// How many samples its header promises.
    promised: usize,
    samples: Vec<i16>,
}

impl Playable {
    fn read(folder: &Path) -> Option<Self> {
        let mut reader = hound::WavReader::open(wav_files(folder).first()?).ok()?;
        let (rate, promised) = (reader.spec().sample_rate, reader.len() as usize);
        let samples = reader.samples::<i16>().map_while(Result::ok).collect();
        Some(Self { rate, promised, samples })
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
