//! Live streams: heard by several, paced by the sound, over hold, until the call ends; who stalls is cut off.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Instant;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
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

/// What comes until it is as wanted.
async fn take_until(stream: &mut Bytes, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut all = Vec::new();
    while !wanted(&all) {
        let part = tokio::time::timeout(PATIENCE, stream.next()).await.expect(what).expect(what);
        all.extend(part.unwrap().data);
        // To judge it may take longer than it takes to come: what waits besides is taken at once.
        while let Some(Some(part)) = stream.next().now_or_never() {
            all.extend(part.unwrap().data);
        }
        assert!(all.len() < 512 << 10, "waited in vain for {what}");
    }
    all
}

async fn until_end(stream: &mut Bytes) {
    while tokio::time::timeout(PATIENCE, stream.next()).await.expect("the end").is_some() {}
}

/// Whether the last 0.6 s of an MP3 hold exactly these of the tones.
fn ends_with(bytes: &[u8], tones: [bool; 2]) -> bool {
    if bytes.len() < 4_000 {
        return false;
    }
    let sound = decode(bytes, "mp3").channels.remove(0);
    let end = sound.len().checked_sub(4_800).map(|from| &sound[from..]);
    end.is_some_and(|end| [500.0, 900.0].map(|hz| has_tone(end, hz)) == tones)
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
    let both_voices = async |stream: &mut Bytes| {
        let bytes = take_until(stream, "both voices", |bytes| ends_with(bytes, [true; 2])).await;
        let most = began.elapsed().as_millis() as usize * 8 + 1600;
        let sound = decode(&bytes, "mp3").channels.remove(0).len();
        assert!(sound <= most, "faster than it is spoken: {sound} of {most}");
    };
    // At the same time: whom nobody takes anything of for some seconds is cut off.
    tokio::join!(both_voices(&mut one), both_voices(&mut two));
    node.connect(&a.leg, To::Nothing(Nothing {})).await;
    take_until(&mut one, "a hold, over which it goes on", |bytes| bytes.len() > 4_000).await;
    node.release(&a.leg).await;
    take_until(&mut one, "the one who is left", |bytes| ends_with(bytes, [false, true])).await;
    node.release(&b.leg).await;
    until_end(&mut one).await;
    until_end(&mut two).await;
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
    // Seven seconds of sound in eighty pieces or more: more than may wait for the other, who takes nothing.
    let (mut given, mut bytes) = (0, Vec::new());
    while given < 80 || bytes.len() <= 7 * 16_000 {
        let part = tokio::time::timeout(PATIENCE, quick.next()).await.expect("it goes on").unwrap();
        bytes.extend(part.unwrap().data);
        given += 1;
    }
    let sound = decode(&bytes, "wav").channels.remove(0);
    // Where the machine stalls it is silent for a while.
    assert!(sound.chunks_exact(4_800).filter(|part| has_tone(part, 500.0)).count() >= 5);
    let mut pieces = 0;
    let end = loop {
        match tokio::time::timeout(PATIENCE, stalled.next()).await.expect("the end").unwrap() {
            Ok(_) => pieces += 1,
            Err(status) => break status,
        }
        assert!(pieces <= 65, "{pieces} pieces waited");
    };
    assert_eq!(end.code(), Code::ResourceExhausted);
    let stop = pb::StopStreamRequest { stream_id: "s".into() };
    for _ in 0..2 {
        node.media.stop_stream(Request::new(stop.clone())).await.unwrap();
    }
    until_end(&mut quick).await;
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
    // Behind the header of the first piece everything is samples.
    let ends_with = |bytes: &[u8], tones: [bool; 2]| {
        let pcm: Vec<i16> = bytes.rchunks_exact(2).rev().map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
        let end = pcm.len().checked_sub(4_800).map(|from| &pcm[from..]);
        end.is_some_and(|end| [500.0, 900.0].map(|hz| has_tone(end, hz)) == tones)
    };
    take_until(&mut stream, "both", |bytes| ends_with(bytes, [true; 2])).await;
    node.connect(&b.leg, To::Nothing(Nothing {})).await;
    take_until(&mut stream, "who is left", |bytes| ends_with(bytes, [true, false])).await;
    node.connect(&a.leg, To::Nothing(Nothing {})).await;
    until_end(&mut stream).await;
}
