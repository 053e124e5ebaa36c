//! Recordings in every container and layout: paused, masked, read and deleted, judged by ear.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::ops::Range;
use std::time::Duration;

use futures_util::StreamExt as _;
use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::decode;
use support::*;
use tonic::{Code, Request};

fn request(n: u32, legs: &[&Phone], format: pb::AudioFormat) -> pb::StartRecordingRequest {
    pb::StartRecordingRequest {
        recording_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        format: format.into(),
        ..Default::default()
    }
}

async fn stop(node: &TestNode, n: u32) -> pb::FinishedRecording {
    let stop = pb::StopRecordingRequest { recording_id: uuid(n) };
    node.media.stop_recording(Request::new(stop)).await.unwrap().into_inner().recording.unwrap()
}

/// A file of an ended recording, as the door would give it to a client.
async fn read(node: &TestNode, request: pb::ReadRecordingRequest) -> Result<(String, Vec<u8>), Code> {
    let offset = request.offset;
    let answer = node.media.read_recording(Request::new(request)).await.map_err(|status| status.code())?;
    let mut parts = answer.into_inner();
    let first = parts.next().await.unwrap().unwrap();
    let mut bytes = first.data;
    while let Some(part) = parts.next().await {
        bytes.extend(part.unwrap().data);
    }
    assert_eq!(first.size_bytes, offset + bytes.len() as u64);
    Ok((first.content_type, bytes))
}

fn track(n: u32, track: u32) -> pb::ReadRecordingRequest {
    pb::ReadRecordingRequest { recording_id: uuid(n), track, ..Default::default() }
}

async fn bridged(node: &TestNode) -> (Phone, Phone) {
    let a = Phone::call(node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hear(5).await;
    (a, b)
}

/// Lets so many packets of 20 ms come, and as much time go by: after a stall they come all at once.
async fn pass(phone: &Phone, packets: usize) {
    let time = tokio::time::sleep(Duration::from_millis(20 * packets as u64));
    tokio::join!(phone.hear(packets), time);
}

/// Which of both voices are in a sound.
fn voices(sound: Option<&[i16]>) -> [bool; 2] {
    [500.0, 900.0].map(|hz| has_tone(sound.unwrap_or_default(), hz))
}

/// What lies so many samples before the end.
fn before_end(sound: &[i16], range: Range<usize>) -> Option<&[i16]> {
    sound.get(sound.len().checked_sub(range.end)?..sound.len() - range.start)
}

#[tokio::test(flavor = "multi_thread")]
async fn mp3_holds_each_side_and_is_read_and_deleted() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    sooner_or_later("each side", async |attempt| {
        let n = 300 + attempt;
        let wanted = pb::StartRecordingRequest {
            layout: pb::RecordingLayout::Stereo.into(),
            ..request(n, &[&a, &b], pb::AudioFormat::Mp3)
        };
        node.media.start_recording(Request::new(wanted)).await.unwrap();
        let running = pb::DeleteRecordingRequest { recording_id: uuid(n), files: Vec::new() };
        let refused = node.media.delete_recording(Request::new(running.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "it is still recording");
        pass(&a, 100).await;
        let finished = stop(&node, n).await;
        assert!(finished.file.ends_with(".mp3") && finished.failure.is_none(), "{finished:?}");
        let (content_type, bytes) = read(&node, track(n, 0)).await.unwrap();
        assert_eq!((content_type.as_str(), bytes.len() as u64), ("audio/mpeg", finished.size_bytes));
        let sides = decode(&bytes, "mp3");
        assert_eq!(sides.rate_hz, 8000);
        let from = pb::ReadRecordingRequest { offset: 1000, ..track(n, 0) };
        assert_eq!(read(&node, from).await.unwrap().1, bytes[1000..]);
        let other = pb::ReadRecordingRequest { file: "../../etc/passwd".into(), ..track(n, 0) };
        assert_eq!(read(&node, other).await.unwrap_err(), Code::NotFound);
        node.media.delete_recording(Request::new(running)).await.unwrap();
        assert!(!node.folder.path().join("recordings").join(&finished.file).exists());
        assert_eq!(read(&node, track(n, 0)).await.unwrap_err(), Code::NotFound);
        let heard: Vec<[bool; 2]> =
            sides.channels.iter().map(|side| voices(side.get(4800..12_000))).collect();
        expect(heard == [[true, false], [false, true]], || format!("{heard:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_for_each_leg_has_its_voice_alone_and_one_length() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    let layout = pb::RecordingLayout::TrackPerLeg.into();
    sooner_or_later("each voice alone", async |attempt| {
        let n = 400 + attempt;
        let first = pb::StartRecordingRequest { layout, ..request(n, &[&a], pb::AudioFormat::Wav) };
        let second = pb::StartRecordingRequest { layout, ..request(n, &[&b], pb::AudioFormat::Wav) };
        node.media.start_recording(Request::new(first)).await.unwrap();
        pass(&a, 50).await;
        node.media.start_recording(Request::new(second)).await.unwrap();
        pass(&a, 50).await;
        let finished = stop(&node, n).await;
        assert_eq!(finished.tracks.len(), 1, "{finished:?}");
        let mine = decode(&read(&node, track(n, 0)).await.unwrap().1, "wav").channels.remove(0);
        let theirs = decode(&read(&node, track(n, 1)).await.unwrap().1, "wav").channels.remove(0);
        assert_eq!(mine.len(), theirs.len());
        let told = pb::ReadRecordingRequest { file: finished.tracks[0].clone(), ..track(n, 0) };
        assert_eq!(read(&node, told).await.unwrap().1.len(), theirs.len() * 2 + 58);
        assert_eq!(read(&node, track(n, 2)).await.unwrap_err(), Code::NotFound);
        let heard = [voices(mine.get(1600..6400)), voices(before_end(&theirs, 1600..6400))];
        expect(heard == [[true, false], [false, true]], || format!("{heard:?}"))?;
        expect(voices(theirs.get(..4800)) == [false; 2], || "it joined a second later".into())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_leaves_a_gap_out_and_a_mask_is_silence() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    for (first, mask) in [(500, false), (600, true)] {
        sooner_or_later("a pause", async |attempt| {
            let n = first + attempt;
            let asked = std::time::Instant::now();
            let wanted = request(n, &[&a, &b], pb::AudioFormat::Wav);
            node.media.start_recording(Request::new(wanted)).await.unwrap();
            let begun = std::time::Instant::now();
            pass(&a, 50).await;
            for _ in 0..2 {
                let pause = pb::PauseRecordingRequest { recording_id: uuid(n), mask };
                node.media.pause_recording(Request::new(pause)).await.unwrap();
            }
            let paused = std::time::Instant::now();
            pass(&a, 75).await;
            let gap_ms = paused.elapsed().as_millis() as u64;
            let resume = pb::ResumeRecordingRequest { recording_id: uuid(n) };
            node.media.resume_recording(Request::new(resume)).await.unwrap();
            pass(&a, 50).await;
            let least_ms = begun.elapsed().as_millis() as u64;
            let finished = stop(&node, n).await;
            let most_ms = asked.elapsed().as_millis() as u64;
            let sound = decode(&read(&node, track(n, 0)).await.unwrap().1, "wav").channels.remove(0);
            let quiet = sound.chunks(160).skip(10).filter(|frame| frame.iter().all(|s| s.abs() < 50)).count();
            let told =
                format!("{finished:?}, {quiet} frames silent, {least_ms} to {most_ms} ms, gap {gap_ms}");
            if mask {
                expect(finished.duration_ms + 400 > least_ms, || format!("the time counts: {told}"))?;
                expect(quiet as u64 * 20 + 300 > gap_ms, || format!("it is masked: {told}"))?;
            } else {
                expect(finished.duration_ms < most_ms - gap_ms + 400, || format!("left out: {told}"))?;
                expect(quiet < 40, || format!("no silence: {told}"))?;
            }
            let end = sound.len().checked_sub(6400).map_or(&[][..], |from| &sound[from..from + 4800]);
            expect(has_tone(end, 500.0) && has_tone(end, 900.0), || format!("it goes on: {told}"))
        })
        .await;
    }
    let unknown = pb::PauseRecordingRequest { recording_id: uuid(99), mask: false };
    assert_eq!(node.media.pause_recording(Request::new(unknown)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recordings_of_one_leg_and_a_beep() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    sooner_or_later("one alone and both", async |attempt| {
        let (one, two) = (700 + attempt, 800 + attempt);
        node.media.start_recording(Request::new(request(one, &[&a], pb::AudioFormat::Wav))).await.unwrap();
        a.forget();
        let beeping =
            pb::StartRecordingRequest { beep: true, ..request(two, &[&a, &b], pb::AudioFormat::Mp3) };
        node.media.start_recording(Request::new(beeping)).await.unwrap();
        until("the beep", async || {
            let heard = linear(a.law, &a.heard.lock().unwrap());
            heard.windows(800).step_by(160).any(|part| has_tone(part, 1400.0)).then_some(())
        })
        .await;
        pass(&a, 75).await;
        let ended = stop(&node, one).await;
        pass(&a, 75).await;
        let whole = stop(&node, two).await;
        let alone = decode(&read(&node, track(one, 0)).await.unwrap().1, "wav").channels.remove(0);
        let both = decode(&read(&node, track(two, 0)).await.unwrap().1, "mp3").channels.remove(0);
        expect(whole.duration_ms > ended.duration_ms / 2, || format!("{whole:?} beside {ended:?}"))?;
        expect(voices(alone.get(3200..8000)) == [true, false], || "one alone".into())?;
        let end = voices(before_end(&both, 3200..8000));
        expect(end == [true; 2], || format!("the end of one does not end the other: {end:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_in_ogg_is_made_of_whole_pages_and_ends() {
    let node = node().await;
    let (a, b) = bridged(&node).await;
    let wanted = pb::StartRecordingRequest {
        layout: pb::RecordingLayout::Stereo.into(),
        ..request(57, &[&a, &b], pb::AudioFormat::OggOpus)
    };
    node.media.start_recording(Request::new(wanted)).await.unwrap();
    let raw = request(58, &[&a], pb::AudioFormat::L16);
    let refused = node.media.start_recording(Request::new(raw)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "raw sound is for streams");
    pass(&a, 60).await;
    let finished = stop(&node, 57).await;
    assert!(finished.file.ends_with(".ogg") && finished.failure.is_none(), "{finished:?}");
    let (content_type, bytes) = read(&node, track(57, 0)).await.unwrap();
    assert_eq!((content_type.as_str(), bytes.len() as u64), ("audio/ogg", finished.size_bytes));
    let pages: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"OggS\0")).collect();
    let (head, last) = (pages[0], pages[pages.len() - 1]);
    assert_eq!((bytes[head + 5], bytes[last + 5]), (2, 4), "it has a first and a last page");
    let granule = u64::from_le_bytes(bytes[last + 6..last + 14].try_into().unwrap());
    assert_eq!((granule - 312) / 48, finished.duration_ms);
}
