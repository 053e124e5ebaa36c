//! FLAC from a real node: sample for sample what WAV has, played after a kill, streamed from the middle.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use futures_util::{FutureExt as _, StreamExt as _};
use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::decode;
use support::*;
use tonic::Request;

async fn start_recording(
    node: &TestNode,
    n: u32,
    legs: &[&Phone],
    format: pb::AudioFormat,
    layout: pb::RecordingLayout,
) {
    let wanted = pb::StartRecordingRequest {
        recording_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        format: format.into(),
        layout: layout.into(),
        ..Default::default()
    };
    node.media.start_recording(Request::new(wanted)).await.unwrap();
}

async fn stop(node: &TestNode, n: u32) -> pb::FinishedRecording {
    let stop = pb::StopRecordingRequest { recording_id: uuid(n) };
    node.media.stop_recording(Request::new(stop)).await.unwrap().into_inner().recording.unwrap()
}

/// What a client is given: the type, and the bytes.
async fn read(node: &TestNode, n: u32, track: u32) -> (String, Vec<u8>) {
    let wanted = pb::ReadRecordingRequest { recording_id: uuid(n), track, ..Default::default() };
    let mut parts = node.media.read_recording(Request::new(wanted)).await.unwrap().into_inner();
    let first = parts.next().await.unwrap().unwrap();
    let mut bytes = first.data;
    while let Some(part) = parts.next().await {
        bytes.extend(part.unwrap().data);
    }
    (first.content_type, bytes)
}

async fn bridged(node: &TestNode) -> (Phone, Phone) {
    let a = Phone::call(node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hear(5).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wav_has_is_in_it_sample_for_sample_over_a_mask_and_a_pause() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    // A machine that stops for half a second makes either of them lose something.
    sooner_or_later("the same sound", async |attempt| {
        let (compressed, plain) = (600 + attempt, 700 + attempt);
        let stereo = pb::RecordingLayout::Stereo;
        start_recording(&node, compressed, &[&a, &b], pb::AudioFormat::Flac, stereo).await;
        start_recording(&node, plain, &[&a, &b], pb::AudioFormat::Wav, stereo).await;
        a.hear(60).await;
        let wav = stop(&node, plain).await;
        for mask in [true, false] {
            let pause = pb::PauseRecordingRequest { recording_id: uuid(compressed), mask };
            node.media.pause_recording(Request::new(pause)).await.unwrap();
            a.hear(30).await;
        }
        let resume = pb::ResumeRecordingRequest { recording_id: uuid(compressed) };
        node.media.resume_recording(Request::new(resume)).await.unwrap();
        a.hear(40).await;
        let flac = stop(&node, compressed).await;
        assert!(flac.file.ends_with(".flac") && flac.failure.is_none(), "{flac:?}");
        let (content_type, bytes) = read(&node, compressed, 0).await;
        assert_eq!((content_type.as_str(), bytes.len() as u64), ("audio/flac", flac.size_bytes));
        let lossless = decode(&bytes, "flac");
        assert_eq!((lossless.rate_hz, lossless.channels.len()), (8_000, 2));
        assert_eq!(lossless.channels[0].len() as u64 / 8, flac.duration_ms);
        let plain = decode(&read(&node, plain, 0).await.1, "wav");
        agree(&lossless.channels, &plain.channels).map_err(|problem| format!("{problem}; {flac:?}, {wav:?}"))
    })
    .await;
}

/// Whether the sides of a recording hold those of one that began a little later and ended before.
fn agree(lossless: &[Vec<i16>], plain: &[Vec<i16>]) -> Result<(), String> {
    let length = plain[0].len();
    expect(length > 8_000 && lossless[0].len() > length, || "too short".into())?;
    // What they heard last may have come too late to one of them.
    let inner: Vec<&[i16]> = plain.iter().map(|side| &side[1_600..length - 4_000]).collect();
    let same = |at: usize| inner.iter().zip(lossless).all(|(inner, side)| side[at..].starts_with(inner));
    expect((0..lossless[0].len() - inner[0].len()).any(same), || "it is not the same".into())?;
    expect((0..2).all(|n| has_tone(&inner[n][..1_600], [500.0, 900.0][n])), || "no tones".into())?;
    let end = &lossless[1][lossless[1].len() - 4_000..][..2_400];
    expect(has_tone(end, 900.0), || "nothing after the pause".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_for_each_leg_outlives_the_process() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    start_recording(&node, 42, &[&a, &b], pb::AudioFormat::Flac, pb::RecordingLayout::TrackPerLeg).await;
    let recordings = node.folder.path().join("recordings");
    let sheet_name = format!("{}.json", uuid(42));
    let written = async || {
        let sheet = std::fs::read_to_string(recordings.join(".spool/media-1").join(&sheet_name)).ok()?;
        let names = sheet.split('"').filter(|part| part.ends_with(".flac"));
        let files: Vec<String> = names.map(str::to_owned).collect();
        let sound = |name: &String| std::fs::read(recordings.join(name)).ok().filter(|it| it.len() > 6_000);
        let bytes: Option<Vec<Vec<u8>>> = files.iter().map(sound).collect();
        (files.len() == 2).then_some((sheet, files, bytes?))
    };
    let (sheet, files, bytes) = until("a second on disk", written).await;
    // As a kill leaves it, with the beginning of a frame behind the last whole one.
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("recordings/.spool/media-1");
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::write(spool.join(sheet_name), sheet).unwrap();
    for (name, mut bytes) in files.iter().zip(bytes) {
        let copy = folder.path().join("recordings").join(name);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        bytes.truncate(bytes.len() - 3);
        std::fs::write(copy, bytes).unwrap();
    }
    let next = start(folder, |_| {}).await;
    let mut events = next.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let first = events.next().await.unwrap().unwrap();
    let Some(pb::media_event::Kind::Attached(attached)) = first.kind else { panic!("{first:?}") };
    let adopted = &attached.unacknowledged[0];
    assert!(adopted.failure.is_none() && adopted.duration_ms >= 400, "{adopted:?}");
    for (track, tone) in [500.0, 900.0].into_iter().enumerate() {
        let sound = decode(&read(&next, 42, track as u32).await.1, "flac").channels.remove(0);
        assert!(sound.len() >= 3_200 && sound.len().is_multiple_of(1_600), "whole frames: {}", sound.len());
        assert!(sound.len() as u64 / 8 <= adopted.duration_ms);
        // Where the machine stalls it is silent for a while.
        let last = &sound[sound.len().saturating_sub(8_000)..];
        assert!(last.rchunks_exact(1_600).any(|part| has_tone(part, tone)), "track {track}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_later_hears_it_from_then_on() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    let wanted = pb::StartStreamRequest {
        stream_id: "s".into(),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: vec![a.leg.clone(), b.leg.clone()],
        format: pb::AudioFormat::Flac.into(),
        ..Default::default()
    };
    node.media.start_stream(Request::new(wanted)).await.unwrap();
    a.hear(60).await;
    let listen = pb::ListenRequest { stream_id: "s".into() };
    let mut parts = node.media.listen(Request::new(listen)).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    let mut sound = Vec::new();
    while sound.len() < 8_000 || !tones(&sound[sound.len() - 4_800..]) {
        let part = tokio::time::timeout(std::time::Duration::from_secs(20), parts.next()).await;
        bytes.extend(part.expect("it goes on").unwrap().unwrap().data);
        // To judge it may take longer than it takes to come: what waits besides is taken at once.
        while let Some(Some(part)) = parts.next().now_or_never() {
            bytes.extend(part.unwrap().data);
        }
        if bytes.len() > 1_000 {
            sound = decode(&bytes, "flac").channels.remove(0);
        }
    }
}

fn tones(sound: &[i16]) -> bool {
    has_tone(sound, 500.0) && has_tone(sound, 900.0)
}
