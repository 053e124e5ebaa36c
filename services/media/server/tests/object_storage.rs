//! Recordings go to a bucket: segments as they close, the whole at the end, again after failures and after a restart.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use sidetone_dsp::Law;
use sidetone_media::Config;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::decode;
use support::*;
use tonic::Request;

/// As much of S3 as is used, in memory; it refuses the first so many objects.
#[derive(Clone, Default)]
struct S3 {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// All that was ever put.
    seen: Arc<Mutex<Vec<String>>>,
    failures: Arc<AtomicU32>,
}

impl S3 {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let answer = server.answer(&method, &uri, &headers, body);
            async move { answer }
        };
        let app = Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        format!("http://{address}")
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
        let name = uri.path().trim_start_matches("/calls/").to_owned();
        let mut objects = self.objects.lock().unwrap();
        match method.as_str() {
            "PUT" => {
                let failing =
                    self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                if failing.is_ok() {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                assert!(headers.contains_key("x-amz-checksum-sha256"), "without a checksum");
                assert!(headers.contains_key("authorization"), "unsigned");
                self.seen.lock().unwrap().push(name.clone());
                objects.insert(name, body);
                ([("etag", "\"1\"")], "").into_response()
            }
            "DELETE" => {
                objects.remove(&name);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => {
                let Some(object) = objects.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
                let described = [("etag", "\"1\""), ("last-modified", "Sat, 21 Nov 2026 09:00:00 GMT")];
                (described, object.clone()).into_response()
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

fn storage(config: &mut Config, endpoint: &str) {
    config.storage.bucket = "calls".into();
    config.storage.endpoint = endpoint.into();
    config.storage.access_key = "key".into();
    config.storage.secret_key = "secret".into();
    config.storage.prefix = "rec".into();
}

async fn record(node: &TestNode, phone: &Phone, n: u32, format: pb::AudioFormat) {
    let start = pb::StartRecordingRequest {
        recording_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: vec![phone.leg.clone()],
        format: format.into(),
        ..Default::default()
    };
    node.media.start_recording(Request::new(start)).await.unwrap();
}

async fn stop(node: &TestNode, n: u32) -> pb::FinishedRecording {
    let stop = pb::StopRecordingRequest { recording_id: uuid(n) };
    node.media.stop_recording(Request::new(stop)).await.unwrap().into_inner().recording.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_as_they_close_and_the_whole_at_the_end() {
    let s3 = S3::default();
    s3.failures.store(3, Ordering::SeqCst);
    let endpoint = s3.start().await;
    let node = node_with(|config| storage(config, &endpoint)).await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    record(&node, &phone, 70, pb::AudioFormat::Wav).await;
    let segment = until("a segment", async || {
        s3.names().into_iter().find(|name| name.ends_with("/0-000000-000000000000.wav"))
    });
    let segment = segment.await;
    let alone = decode(&s3.objects.lock().unwrap()[&segment], "wav").channels.remove(0);
    assert_eq!(alone.len(), 80_000, "ten seconds that play alone");
    assert!(has_tone(&alone[40_000..44_000], 500.0));
    let finished = stop(&node, 70).await;
    let ack = pb::AckRecordingRequest { recording_id: uuid(70) };
    node.media.ack_recording(Request::new(ack)).await.unwrap();
    let stored = until("the recording to be stored", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::RecordingStored(stored)) => Some(stored),
        _ => None,
    });
    let stored = stored.await;
    assert_eq!((stored.recording_id, stored.objects, stored.size_bytes), (uuid(70), 1, finished.size_bytes));
    assert_eq!(s3.names(), [format!("rec/{}", finished.file)], "segments are no longer needed");
    assert!(!node.folder.path().join("recordings").join(&finished.file).exists());
    assert_eq!(std::fs::read_dir(node.folder.path().join("recordings/.spool/media-1")).unwrap().count(), 0);
    let read = pb::ReadRecordingRequest {
        recording_id: uuid(70),
        file: finished.file.clone(),
        ..Default::default()
    };
    let mut parts = node.media.read_recording(Request::new(read)).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.next().await {
        bytes.extend(part.unwrap().data);
    }
    assert_eq!(bytes.len() as u64, finished.size_bytes, "it is read from the bucket");
    let delete = pb::DeleteRecordingRequest { recording_id: uuid(70), files: vec![finished.file] };
    node.media.delete_recording(Request::new(delete)).await.unwrap();
    assert_eq!(s3.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_flac_are_as_long_although_frames_are_not() {
    let s3 = S3::default();
    let endpoint = s3.start().await;
    let node = node_with(|config| storage(config, &endpoint)).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    record(&node, &phone, 72, pb::AudioFormat::Flac).await;
    for end in ["/0-000000-000000000000.flac", "/0-000001-000000080000.flac"] {
        let named = until("a segment", async || s3.names().into_iter().find(|name| name.ends_with(end)));
        let segment = named.await;
        let alone = decode(&s3.objects.lock().unwrap()[&segment], "flac").channels.remove(0);
        assert_eq!(alone.len(), 80_000, "ten seconds that play alone");
        assert!(has_tone(&alone[40_000..44_000], 500.0));
    }
    let finished = stop(&node, 72).await;
    let whole = format!("rec/{}", finished.file);
    until("the whole", async || (s3.names() == [whole.clone()]).then_some(())).await;
    let sound = decode(&s3.objects.lock().unwrap()[&whole], "flac").channels.remove(0);
    assert_eq!(sound.len() as u64 / 8, finished.duration_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_reached_keeps_the_file_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = start(folder, |config| storage(config, &format!("http://{closed}"))).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    record(&node, &phone, 71, pb::AudioFormat::Wav).await;
    phone.hear(0).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let finished = stop(&node, 71).await;
    assert_eq!(finished.failure, None, "it is ready all the same");
    let ack = pb::AckRecordingRequest { recording_id: uuid(71) };
    node.media.ack_recording(Request::new(ack)).await.unwrap();
    node.lifecycle.stop();
    let TestNode { node, folder, .. } = node;
    node.finished().await;
    assert!(folder.path().join("recordings").join(&finished.file).exists());
    let s3 = S3::default();
    let endpoint = s3.start().await;
    let next = start(folder, |config| storage(config, &endpoint)).await;
    let stored = until("the file to be stored", async || s3.names().into_iter().next()).await;
    assert_eq!(stored, format!("rec/{}", finished.file));
    let kept = next.folder.path().join("recordings").join(&finished.file);
    until("the spool to be empty", async || (!kept.exists()).then_some(())).await;
}
