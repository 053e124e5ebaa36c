//! A disk that does not answer: recordings wait for it, and nothing else does.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use sidetone_dsp::Rate;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_record_core::{Container, Form};
use sidetone_runtime::Lifecycle;
use sidetone_store::embedded::EmbeddedStore;
use sidetone_telemetry::Telemetry;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use crate::recorder::NewRecording;
use crate::recorder::recording::Recording;
use crate::recorder::spool::Spool;
use crate::recorder::writer::{Shared, Writers};
use crate::{Config, Deps, MediaNode, MediaServer, Realm};

/// What stands between the writing threads and the disk; open unless a test closes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

static GATES: LazyLock<Mutex<HashMap<String, Gate>>> = LazyLock::new(Mutex::default);

/// That of one node.
pub(crate) fn gate_of(node_id: &str) -> Gate {
    GATES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(node_id.into()).or_default().clone()
}

impl Gate {
    pub(crate) fn pass(&self) {
        let (closed, opened) = &*self.0;
        let closed = closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(opened.wait_while(closed, |closed| *closed));
    }

    fn set_closed(&self, is_closed: bool) {
        let (closed, opened) = &*self.0;
        *closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = is_closed;
        opened.notify_all();
    }
}

const RECORDED: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(30);

fn uuid(n: u32) -> String {
    uuid::Uuid::from_u128(u128::from(n)).to_string()
}

/// What does not wait for the disk is answered while it does not answer.
async fn soon<T>(what: &str, answer: impl Future<Output = Result<Response<T>, Status>>) -> T {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.unwrap_or_else(|_| panic!("{what} waits for the disk")).unwrap().into_inner()
}

async fn create(media: &MediaServer, n: u32) {
    let request = pb::CreateLegRequest {
        leg_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1000 + n),
        policy: Some(pb::ReceivePolicy {
            mode: pb::receive_policy::Mode::Nat.into(),
            signalling_ip: String::new(),
        }),
        ..Default::default()
    };
    soon("a leg", media.create_leg(Request::new(request))).await;
}

async fn release(media: &MediaServer, n: u32) {
    let request = pb::ReleaseLegRequest { leg_id: uuid(n) };
    soon("the end of a leg", media.release_leg(Request::new(request))).await;
}

fn record(media: &MediaServer, n: u32) -> JoinHandle<Result<(), Status>> {
    let request = pb::StartRecordingRequest {
        recording_id: uuid(2000 + n),
        tenant: "demo".into(),
        leg_ids: vec![uuid(n)],
        ..Default::default()
    };
    let media = media.clone();
    tokio::spawn(async move { media.start_recording(Request::new(request)).await.map(drop) })
}

fn stop(media: &MediaServer, n: u32) -> JoinHandle<Result<pb::FinishedRecording, Status>> {
    let request = pb::StopRecordingRequest { recording_id: uuid(2000 + n) };
    let media = media.clone();
    tokio::spawn(async move {
        let stopped = media.stop_recording(Request::new(request)).await?.into_inner();
        Ok(stopped.recording.unwrap_or_default())
    })
}

async fn node(folder: &tempfile::TempDir, lifecycle: &Lifecycle) -> MediaNode {
    let config = Config {
        node_id: "media-stalled".into(),
        workers: 1,
        pin_workers: false,
        load_max_permille: 0,
        realms: vec![Realm { port_min: 0, ..Realm::default() }],
        recordings_dir: folder.path().join("recordings"),
        ..Config::default()
    };
    let deps = Deps {
        store: EmbeddedStore::in_memory().unwrap(),
        telemetry: Telemetry::new().unwrap(),
        lifecycle: lifecycle.clone(),
        grpc_address: "127.0.0.1:1".into(),
    };
    MediaNode::start(config, deps).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_and_go_while_the_disk_does_not_answer_and_recordings_are_whole() {
    let (folder, lifecycle) = (tempfile::tempdir().unwrap(), Lifecycle::new());
    let node = node(&folder, &lifecycle).await;
    let (media, gate) = (node.service(), gate_of("media-stalled"));
    for n in 1..=RECORDED {
        create(&media, n).await;
        record(&media, n).await.unwrap().unwrap();
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    gate.set_closed(true);
    let stalled = Instant::now();
    // One is stopped and one is begun; both wait, and nobody waits for them.
    let stopped = stop(&media, 1);
    create(&media, 101).await;
    let begun = record(&media, 101);
    while stalled.elapsed() < Duration::from_secs(2) {
        create(&media, 102).await;
        let refresh = pb::RefreshRequest { leg_ids: vec![uuid(102)] };
        soon("a refresh", media.refresh(Request::new(refresh))).await;
        release(&media, 102).await;
    }
    assert!(!stopped.is_finished() && !begun.is_finished(), "the disk is asked all the same");
    let stalled_ms = stalled.elapsed().as_millis() as u64;
    gate.set_closed(false);
    begun.await.unwrap().unwrap();
    let first = stopped.await.unwrap().unwrap();
    assert_eq!(first.failure, None);
    for n in (2..=RECORDED).chain([101]) {
        let finished = stop(&media, n).await.unwrap().unwrap();
        assert_eq!(finished.failure, None, "{n}");
        let least_ms = if n == 101 { 0 } else { stalled_ms };
        assert!(finished.duration_ms >= least_ms, "{n}: {} of {stalled_ms} ms", finished.duration_ms);
        let wav = hound::WavReader::open(folder.path().join("recordings").join(&finished.file)).unwrap();
        assert_eq!(u64::from(wav.duration()) / 8, finished.duration_ms);
    }
    lifecycle.stop();
    node.finished().await;
}

#[test]
fn what_waits_for_a_disk_is_bounded_and_the_rest_is_silence_in_its_place() {
    let (folder, telemetry) = (tempfile::tempdir().unwrap(), Telemetry::new().unwrap());
    let (failures, _failed) = tokio::sync::mpsc::channel(1);
    let shared = Shared {
        spool: Spool::new(folder.path().to_owned(), "media-gap", false),
        finished: Arc::default(),
        failures,
        telemetry: Arc::clone(&telemetry),
        gate: Gate::default(),
    };
    let (gate, finished) = (shared.gate.clone(), Arc::clone(&shared.finished));
    let writers = Writers::start(&shared).unwrap();
    let new = NewRecording {
        number: 1,
        id: "r1".into(),
        tenant: "demo".into(),
        container: Container::Wav,
        form: Form::new(1, Rate::Narrow),
        began_ms: 0,
    };
    let mut recording = Recording::begin(&new);
    gate.set_closed(true);
    writers.begin(new, tokio::sync::oneshot::channel().0);
    // 40 s are said while the disk stands still: 30 may wait.
    for n in 0..400_u64 {
        recording.add(n * 800, 0, 0, &[1000; 800]);
        recording.flush_until(n * 100, &writers);
    }
    let left_out = telemetry.media.recording_gap_samples.get();
    assert!((70_000..=80_000).contains(&left_out), "{left_out}");
    gate.set_closed(false);
    recording.finish(40_000, &writers);
    writers.end(1, None, None);
    writers.stop();
    let finished = finished.lock().unwrap().remove(0);
    assert_eq!((finished.duration_ms, finished.failure), (40_000, None));
    let file = folder.path().join(&finished.file);
    let samples: Vec<i16> = hound::WavReader::open(file).unwrap().samples().map(Result::unwrap).collect();
    assert!(samples[..230_000].iter().all(|sample| *sample == 1000));
    let silent = samples.iter().filter(|sample| **sample == 0).count() as u64;
    assert_eq!(silent, telemetry.media.recording_gap_samples.get());
}
