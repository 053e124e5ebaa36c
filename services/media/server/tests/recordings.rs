//! Recordings play, by side and mixed, and outlive the process.

#![allow(clippy::unwrap_used)]

use crate::support;

use std::os::unix::fs::PermissionsExt as _;

use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::{Code, Request};

fn recording(n: u32, legs: &[&Phone], stereo: bool) -> pb::StartRecordingRequest {
    pb::StartRecordingRequest {
        recording_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        stereo,
        ..Default::default()
    }
}

fn samples(node: &TestNode, finished: &pb::FinishedRecording) -> (u16, Vec<i16>) {
    let path = node.folder.path().join("recordings").join(&finished.file);
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!((file.len(), file.permissions().mode() & 0o777), (finished.size_bytes, 0o600));
    let mut reader = hound::WavReader::open(path).unwrap();
    (reader.spec().channels, reader.samples::<i16>().map(Result::unwrap).collect())
}

async fn stop(node: &TestNode, n: u32) -> pb::FinishedRecording {
    let stop = pb::StopRecordingRequest { recording_id: uuid(n) };
    node.media.stop_recording(Request::new(stop)).await.unwrap().into_inner().recording.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_holds_both_sides_mixed_or_apart() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 30).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hear(5).await;
    sooner_or_later("both sides mixed", async |n| {
        let n = 50 + n;
        node.media.start_recording(Request::new(recording(n, &[&a], false))).await.unwrap();
        node.media.start_recording(Request::new(recording(n, &[&b], false))).await.unwrap();
        a.hear(60).await;
        let finished = stop(&node, n).await;
        assert_eq!(finished.failure, None);
        let (channels, mixed) = samples(&node, &finished);
        assert_eq!((channels, stop(&node, n).await), (1, finished));
        let middle = mixed.get(2400..6400).unwrap_or_default();
        expect(has_tone(middle, 500.0) && has_tone(middle, 900.0), || "one side is missing".into())
    })
    .await;
    sooner_or_later("both sides apart", async |n| {
        let n = 150 + n;
        node.media.start_recording(Request::new(recording(n, &[&a, &b], true))).await.unwrap();
        a.hear(60).await;
        let (channels, both) = samples(&node, &stop(&node, n).await);
        assert_eq!(channels, 2);
        let side = |n: usize| both.chunks(2).map(|frame| frame[n]).skip(2400).take(4000).collect::<Vec<_>>();
        let tones = [side(0), side(1)].map(|side| [500.0, 900.0].map(|hz| has_tone(&side, hz)));
        expect(tones == [[true, false], [false, true]], || format!("{tones:?}"))
    })
    .await;
    let ack = pb::AckRecordingRequest { recording_id: uuid(50) };
    node.media.ack_recording(Request::new(ack)).await.unwrap();
    let unknown = pb::StopRecordingRequest { recording_id: uuid(50) };
    assert_eq!(node.media.stop_recording(Request::new(unknown)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_open_is_adopted() {
    use futures_util::StreamExt as _;
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    a.hush();
    let leg = Phone::call(&node, 2, Law::Mu, 500.0, 20).await;
    node.media.start_recording(Request::new(recording(60, &[&leg], false))).await.unwrap();
    let recordings = node.folder.path().join("recordings");
    let written = async || {
        let sheet =
            std::fs::read_to_string(recordings.join(".spool/media-1").join(format!("{}.json", uuid(60))))
                .ok()?;
        let file = sheet.split('"').find(|part| part.ends_with(".wav"))?.to_owned();
        let length = std::fs::metadata(recordings.join(&file)).ok()?.len();
        (length > 16_000).then_some((sheet.clone(), file))
    };
    let (sheet, file) = until("a second on disk", written).await;
    // As a kill leaves it: the sheet is open, and there is more in the file than the header says.
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("recordings/.spool/media-1");
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::write(spool.join(format!("{}.json", uuid(60))), sheet).unwrap();
    let copy = folder.path().join("recordings").join(&file);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let mut bytes = std::fs::read(recordings.join(&file)).unwrap();
    bytes.extend([0; 1601]);
    std::fs::write(&copy, bytes).unwrap();

    let next = start(folder, |_| {}).await;
    let mut events = next.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let first = events.next().await.unwrap().unwrap();
    let Some(pb::media_event::Kind::Attached(attached)) = first.kind else { panic!("{first:?}") };
    let adopted = &attached.unacknowledged[0];
    assert_eq!(adopted.recording_id, uuid(60));
    assert!(adopted.failure.is_none() && adopted.duration_ms >= 1000);
    let length = hound::WavReader::open(copy).unwrap().duration();
    assert_eq!(u64::from(length) / 8, adopted.duration_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_muted_is_not_recorded() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    let mute = pb::SetLegAudioRequest { leg_id: a.leg.clone(), muted: true, ..Default::default() };
    node.media.set_leg_audio(Request::new(mute)).await.unwrap();
    b.until_tones("the mute", &[500.0], &[false]).await;
    sooner_or_later("only who is heard", async |n| {
        let n = 250 + n;
        node.media.start_recording(Request::new(recording(n, &[&a, &b], true))).await.unwrap();
        a.hear(60).await;
        let finished = stop(&node, n).await;
        let (_, both) = samples(&node, &finished);
        let side = |side| both.iter().skip(side).step_by(2).copied().collect::<Vec<i16>>();
        let (of_a, of_b) = (side(0), side(1));
        assert!(of_a.iter().all(|sample| sample.unsigned_abs() < 16), "the muted one is in the recording");
        expect(has_tone(of_b.get(2400..6400).unwrap_or_default(), 900.0), || "the other is missing".into())
    })
    .await;
}
