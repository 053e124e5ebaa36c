//! Recordings go to a bucket: segments as they close, the whole at the end, again after failures and after a restart; and what a lost
//! node had put there is made whole by another.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::decode;
use support::s3::{S3, storage};
use support::*;
use tonic::{Code, Request};

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

/// Whether a phone's tone is in most of what was recorded, half second by half second: where the machine stalls it is silent.
fn sounds(recorded: &[i16]) -> bool {
    let parts = recorded.chunks_exact(4_000);
    let (all, heard) = (parts.len(), parts.filter(|part| has_tone(part, 500.0)).count());
    eprintln!("{heard} of {all} half seconds sound");
    heard * 5 >= all * 3
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_as_they_close_and_the_whole_at_the_end() {
    let s3 = S3::default();
    s3.failures.store(3, Ordering::SeqCst);
    let endpoint = s3.endpoint();
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
    assert!(sounds(&alone));
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
    let endpoint = s3.endpoint();
    let node = node_with(|config| storage(config, &endpoint)).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    record(&node, &phone, 72, pb::AudioFormat::Flac).await;
    for end in ["/0-000000-000000000000.flac", "/0-000001-000000080000.flac"] {
        let named = until("a segment", async || s3.names().into_iter().find(|name| name.ends_with(end)));
        let segment = named.await;
        let alone = decode(&s3.objects.lock().unwrap()[&segment], "flac").channels.remove(0);
        assert_eq!(alone.len(), 80_000, "ten seconds that play alone");
        assert!(sounds(&alone));
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
    let endpoint = s3.endpoint();
    let next = start(folder, |config| storage(config, &endpoint)).await;
    let stored = until("the file to be stored", async || s3.names().into_iter().next()).await;
    assert_eq!(stored, format!("rec/{}", finished.file));
    let kept = next.folder.path().join("recordings").join(&finished.file);
    until("the spool to be empty", async || (!kept.exists()).then_some(())).await;
}

async fn finish(node: &TestNode, n: u32, format: pb::AudioFormat) -> Result<(), tonic::Status> {
    let finish =
        pb::FinishRecordingRequest { recording_id: uuid(n), tenant: "demo".into(), format: format.into() };
    node.media.finish_recording(Request::new(finish)).await.map(drop)
}

/// The end of a recording, as whoever watches is told.
async fn told<S: futures_util::Stream<Item = Result<pb::MediaEvent, tonic::Status>> + Unpin>(
    events: &mut S,
    n: u32,
) -> pb::FinishedRecording {
    until("the recording's end", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::RecordingFinished(finished)) if finished.recording_id == uuid(n) => {
            Some(finished)
        }
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_makes_whole_what_a_lost_one_had_put() {
    // Segments take their time, so both wait for theirs together.
    tokio::join!(
        is_made_whole_by_another(73, pb::AudioFormat::Wav, "wav"),
        is_made_whole_by_another(74, pb::AudioFormat::Flac, "flac")
    );
}

async fn is_made_whole_by_another(n: u32, format: pb::AudioFormat, ending: &str) {
    let s3 = S3::default();
    let lost = node_with(|config| storage(config, &s3.endpoint())).await;
    let phone = Phone::call(&lost, 1, Law::Mu, 500.0, 20).await;
    record(&lost, &phone, n, format).await;
    until("a segment", async || (!s3.names().is_empty()).then_some(())).await;
    until("two segments", async || (s3.names().len() == 2).then_some(())).await;
    // From here on the node is cut off from everything, as one that has lost its power is.
    s3.cut_off_the_first();
    let before = s3.names();
    let other = node_with(|config| storage(config, &s3.endpoint())).await;
    let mut events = other.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    // The bucket does not answer at first.
    s3.failures.store(2, Ordering::SeqCst);
    finish(&other, n, format).await.unwrap();
    finish(&other, n, format).await.unwrap();
    let finished = told(&mut events, n).await;
    assert_eq!((&finished.failure, finished.duration_ms), (&None, 20_000), "all but the open segment");
    assert_eq!(s3.names(), [format!("rec/{}", finished.file)], "instead of {before:?}");
    let bytes = s3.objects.lock().unwrap()[&format!("rec/{}", finished.file)].clone();
    assert_eq!(bytes.len() as u64, finished.size_bytes);
    let sound = decode(&bytes, ending).channels.remove(0);
    assert_eq!(sound.len(), 160_000);
    for segment in sound.chunks(80_000) {
        assert!(sounds(segment));
    }
    // Who asks again, and even of a third node, is told the same and nothing is changed.
    finish(&other, n, format).await.unwrap();
    assert_eq!(told(&mut events, n).await, finished);
    let third = node_with(|config| storage(config, &s3.endpoint())).await;
    let mut events = third.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    finish(&third, n, format).await.unwrap();
    assert_eq!(told(&mut events, n).await, finished);
    let ack = pb::AckRecordingRequest { recording_id: uuid(n) };
    for node in [&other, &third] {
        node.media.ack_recording(Request::new(ack.clone())).await.unwrap();
        let left = node.folder.path().join("recordings/.spool/media-1");
        assert_eq!(std::fs::read_dir(left).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_bucket_refuses_keeps_no_other_from_it() {
    let s3 = S3::default();
    // The first in their order.
    *s3.refused.lock().unwrap() = Some(uuid(80));
    let node = node_with(|config| storage(config, &s3.endpoint())).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let mut files = Vec::new();
    for n in [80, 81, 82] {
        record(&node, &phone, n, pb::AudioFormat::Wav).await;
        files.push(format!("rec/{}", stop(&node, n).await.file));
    }
    until("the others", async || (s3.names() == files[1..]).then_some(())).await;
    until("word of who waits", async || {
        (node.telemetry.audio.upload_oldest_seconds.get() > 0
            && node.telemetry.audio.uploads_waiting.get() == 1)
            .then_some(())
    })
    .await;
    *s3.refused.lock().unwrap() = None;
    until("all of them", async || (s3.names() == files).then_some(())).await;
    until("nobody waits", async || (node.telemetry.audio.uploads_waiting.get() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_go_to_the_bucket_at_once() {
    let s3 = S3::default();
    *s3.refused.lock().unwrap() = Some("rec".into());
    let node = node_with(|config| storage(config, &s3.endpoint())).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let mut files = Vec::new();
    for n in 83..87 {
        record(&node, &phone, n, pb::AudioFormat::Wav).await;
        files.push(format!("rec/{}", stop(&node, n).await.file));
    }
    // From here on four have to be on their way at a time for any of them to come through.
    *s3.together.lock().unwrap() = Some(std::sync::Arc::new(tokio::sync::Barrier::new(4)));
    *s3.refused.lock().unwrap() = None;
    until("all of them", async || (s3.names() == files).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_that_are_whole_are_found_when_no_segment_tells_of_them() {
    let s3 = S3::default();
    let node = node_with(|config| storage(config, &s3.endpoint())).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    record(&node, &phone, 78, pb::AudioFormat::Wav).await;
    phone.hear(0).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let file = stop(&node, 78).await.file;
    until("the whole", async || (s3.names() == [format!("rec/{file}")]).then_some(())).await;
    // As a node that was lost when it had put all files and taken away all segments, but told nobody.
    let whole = s3.objects.lock().unwrap()[&format!("rec/{file}")].clone();
    let tracks: Vec<String> = (1..3).map(|n| file.replace(".wav", &format!(".{n}.wav"))).collect();
    for track in &tracks {
        s3.objects.lock().unwrap().insert(format!("rec/{track}"), whole.clone());
    }
    let other = node_with(|config| storage(config, &s3.endpoint())).await;
    let mut events = other.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    finish(&other, 78, pb::AudioFormat::Wav).await.unwrap();
    let finished = told(&mut events, 78).await;
    assert_eq!((finished.file, finished.tracks, finished.failure), (file, tracks, None));
    assert_eq!(finished.size_bytes, 3 * whole.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nowhere_cannot_be_finished() {
    let s3 = S3::default();
    let node = node_with(|config| storage(config, &s3.endpoint())).await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    finish(&node, 75, pb::AudioFormat::Wav).await.unwrap();
    let failure = told(&mut events, 75).await.failure.unwrap();
    assert_eq!(failure.text, "nothing of it was stored");
    let without = support::node().await;
    let refused = finish(&without, 75, pb::AudioFormat::Wav).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "and there is no bucket");
    // A recording that runs here ends, whoever thinks that the node was lost.
    let phone = Phone::call(&without, 1, Law::Mu, 500.0, 20).await;
    let mut events = without.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    record(&without, &phone, 76, pb::AudioFormat::Wav).await;
    finish(&without, 76, pb::AudioFormat::Wav).await.unwrap();
    assert_eq!(told(&mut events, 76).await.failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_a_process_before_go_when_the_whole_is_there() {
    let s3 = S3::default();
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder, |config| storage(config, &s3.endpoint())).await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    record(&node, &phone, 77, pb::AudioFormat::Wav).await;
    let spool = node.folder.path().join("recordings");
    until("a segment", async || (!s3.names().is_empty()).then_some(())).await;
    // As a kill leaves the disk.
    s3.cut_off_the_first();
    let folder = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(&spool).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let next = start(folder, |config| storage(config, &s3.endpoint())).await;
    until("the whole, and no segment", async || {
        (s3.names().len() == 1 && s3.names()[0].ends_with(&format!("{}.wav", uuid(77)))).then_some(())
    })
    .await;
    drop(next);
}
