//! Live streams: heard by several, paced by the sound, over hold, until the call ends; who stalls is cut off.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use pb::connect_leg_request::{Nothing, To};
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::decode;
use support::*;
use tonic::{Code, Request, Status};

fn request(id: &str, legs: &[&Phone], format: pb::AudioFormat) -> pb::StartStreamRequest {
    pb::StartStreamRequest {
        stream_id: id.into(),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        format: format.into(),
        ..Default::default()
    }
}

type Bytes = BoxStream<'static, Result<pb::StreamBytes, Status>>;

async fn listen(node: &TestNode, id: &str) -> (String, Bytes) {
    let listen = pb::ListenRequest { stream_id: id.into() };
    let mut bytes = node.media.listen(Request::new(listen)).await.unwrap().into_inner();
    let first = bytes.next().await.unwrap().unwrap();
    (first.content_type, bytes)
}

/// What comes in a time, or until the end.
async fn take(stream: &mut Bytes, length: Duration) -> (Vec<u8>, bool) {
    let deadline = tokio::time::Instant::now() + length;
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout_at(deadline, stream.next()).await {
            Ok(Some(part)) => all.extend(part.unwrap().data),
            Ok(None) => return (all, true),
            Err(_) => return (all, false),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_listen_over_a_hold_until_the_call_ends() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hear(5).await;
    let wanted = request("s", &[&a, &b], pb::AudioFormat::Mp3);
    let begun = node.media.start_stream(Request::new(wanted.clone())).await.unwrap().into_inner();
    assert_eq!(begun.content_type, "audio/mpeg");
    node.media.start_stream(Request::new(wanted)).await.unwrap();
    let began = Instant::now();
    let (content_type, mut one) = listen(&node, "s").await;
    let (_, mut two) = listen(&node, "s").await;
    assert_eq!(content_type, "audio/mpeg");
    let (first, _) = take(&mut one, Duration::from_secs(2)).await;
    let (second, _) = take(&mut two, Duration::from_millis(200)).await;
    for bytes in [&first, &second] {
        let sound = decode(bytes, "mp3").channels.remove(0);
        let end = &sound[sound.len() - 6400..];
        assert!(has_tone(end, 500.0) && has_tone(end, 900.0));
        let most = began.elapsed().as_millis() as usize * 8 + 1600;
        assert!(sound.len() <= most && sound.len() * 2 > most / 2, "paced: {} of {most}", sound.len());
    }
    node.connect(&a.leg, To::Nothing(Nothing {})).await;
    let (held, ended) = take(&mut one, Duration::from_secs(1)).await;
    assert!(held.len() > 1000 && !ended, "it goes on over a hold");
    node.release(&a.leg).await;
    let (left, ended) = take(&mut one, Duration::from_secs(1)).await;
    assert!(left.len() > 1000 && !ended, "there is one more leg");
    let sound = decode(&left, "mp3").channels.remove(0);
    assert!(has_tone(&sound[4000..], 900.0) && !has_tone(&sound[4000..], 500.0));
    node.release(&b.leg).await;
    assert!(take(&mut one, PATIENCE).await.1, "the stream ends with its last leg");
    assert!(take(&mut two, PATIENCE).await.1);
    let gone = pb::ListenRequest { stream_id: "s".into() };
    assert_eq!(node.media.listen(Request::new(gone)).await.err().unwrap().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stalls_is_cut_off_and_the_others_go_on() {
    let node = node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.media.start_stream(Request::new(request("s", &[&a], pb::AudioFormat::Wav))).await.unwrap();
    let (_, mut stalled) = listen(&node, "s").await;
    let (content_type, mut quick) = listen(&node, "s").await;
    assert_eq!(content_type, "audio/wav");
    let (bytes, _) = take(&mut quick, Duration::from_secs(8)).await;
    let sound = decode(&bytes, "wav").channels.remove(0);
    assert!(has_tone(&sound[sound.len() - 4800..], 500.0));
    let mut pieces = 0;
    let end = loop {
        match stalled.next().await.unwrap() {
            Ok(_) => pieces += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::ResourceExhausted);
    assert!(pieces <= 65, "{pieces} pieces waited");
    let stop = pb::StopStreamRequest { stream_id: "s".into() };
    for _ in 0..2 {
        node.media.stop_stream(Request::new(stop.clone())).await.unwrap();
    }
    assert!(take(&mut quick, PATIENCE).await.1);
    let told = until("the end to be told", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::StreamEnded(ended)) => Some(ended.stream_id),
        _ => None,
    });
    assert_eq!(told.await, "s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_is_heard_with_whoever_joins_later() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::MixId("room".into())).await;
    let wanted = pb::StartStreamRequest { mix_id: "room".into(), ..request("s", &[], pb::AudioFormat::Wav) };
    node.media.start_stream(Request::new(wanted)).await.unwrap();
    node.connect(&b.leg, To::MixId("room".into())).await;
    let (_, mut stream) = listen(&node, "s").await;
    let (bytes, _) = take(&mut stream, Duration::from_secs(2)).await;
    let sound = decode(&bytes, "wav").channels.remove(0);
    let end = sound.len() - 4800;
    assert!(has_tone(&sound[end..], 500.0) && has_tone(&sound[end..], 900.0));
    node.connect(&b.leg, To::Nothing(Nothing {})).await;
    take(&mut stream, Duration::from_secs(1)).await;
    let (bytes, _) = take(&mut stream, Duration::from_secs(1)).await;
    let pcm: Vec<i16> = bytes.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
    assert!(has_tone(&pcm, 500.0) && !has_tone(&pcm, 900.0), "who left is not heard");
    node.connect(&a.leg, To::Nothing(Nothing {})).await;
    assert!(take(&mut stream, PATIENCE).await.1, "it ends with the mix");
}
