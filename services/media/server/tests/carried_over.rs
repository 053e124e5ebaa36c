//! The call of a recording and a stream comes into another: both go on; and what a node plays is told in its list.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::{Code, Request};

fn recording(call: u32, legs: &[&Phone]) -> pb::StartRecordingRequest {
    pb::StartRecordingRequest {
        recording_id: uuid(70),
        tenant: "demo".into(),
        call_id: uuid(call),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        ..Default::default()
    }
}

fn stream(call: u32, legs: &[&Phone]) -> pb::StartStreamRequest {
    pb::StartStreamRequest {
        stream_id: uuid(80),
        tenant: "demo".into(),
        call_id: uuid(call),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        format: pb::AudioFormat::L16.into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_and_a_stream_go_on_in_another_call_and_are_told() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hear(5).await;
    for (call, legs) in [(1, vec![&a]), (2, vec![&a, &b]), (2, vec![&a, &b])] {
        node.media.start_recording(Request::new(recording(call, &legs))).await.unwrap();
        node.media.start_stream(Request::new(stream(call, &legs))).await.unwrap();
    }
    let another = pb::StartRecordingRequest { tenant: "other".into(), ..recording(2, &[&a]) };
    let refused = node.media.start_recording(Request::new(another)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");

    let play = pb::PlayRequest {
        playback_id: uuid(90),
        target: Some(pb::play_request::Target::LegId(b.leg.clone())),
        prompt: "welcome".into(),
        ..Default::default()
    };
    node.media.play(Request::new(play)).await.unwrap();
    let told = node.media.list_legs(Request::new(pb::ListLegsRequest::default())).await.unwrap().into_inner();
    assert!(told.tells_sounds);
    let played = |phone: &Phone| {
        let leg = told.legs.iter().find(|leg| leg.leg_id == phone.leg).unwrap();
        leg.playback_ids.clone()
    };
    assert_eq!((played(&a), played(&b)), (Vec::new(), vec![uuid(90)]));

    // Both are heard in the one file.
    a.hear(100).await;
    let stop = pb::StopRecordingRequest { recording_id: uuid(70) };
    let finished =
        node.media.stop_recording(Request::new(stop)).await.unwrap().into_inner().recording.unwrap();
    let path = node.folder.path().join("recordings").join(&finished.file);
    let mut reader = hound::WavReader::open(path).unwrap();
    let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    let both = |part: &[i16]| has_tone(part, 500.0) && has_tone(part, 900.0);
    assert!(samples.chunks_exact(4_800).any(both), "{} samples", samples.len());
}
