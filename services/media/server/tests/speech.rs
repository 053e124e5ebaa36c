//! What an application says into a raw stream: heard by everybody in it, dropped when it is cleared, bounded, and over in time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use pb::connect_leg_request::To;
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, g711};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::{Code, Request, Status};

async fn stream(node: &TestNode, legs: &[&Phone], mix: &str, format: pb::AudioFormat) -> &'static str {
    let wanted = pb::StartStreamRequest {
        stream_id: "s".into(),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|phone| phone.leg.clone()).collect(),
        mix_id: mix.into(),
        format: format.into(),
    };
    node.media.start_stream(Request::new(wanted)).await.unwrap();
    "s"
}

async fn say(node: &TestNode, sound: Vec<u8>, clear: bool) -> Result<u32, Status> {
    let request = pb::SpeakRequest { stream_id: "s".into(), sound, clear };
    Ok(node.media.speak(Request::new(request)).await?.into_inner().waiting_ms)
}

fn tone(hz: f32, ms: usize) -> Vec<i16> {
    let mut samples = vec![0; ms * 8];
    ToneGenerator::new(8_000, &[Tone { freq_hz: hz, level_dbm0: -10.0 }]).fill(&mut samples);
    samples
}

fn l16(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// What is said in the stream, from now on.
async fn listen(node: &TestNode) -> BoxStream<'static, Result<pb::StreamBytes, Status>> {
    let request = Request::new(pb::ListenRequest { stream_id: "s".into() });
    let mut heard = node.media.listen(request).await.unwrap().into_inner();
    assert_eq!(heard.next().await.unwrap().unwrap().content_type, "audio/L16;rate=8000");
    heard
}

/// What a phone hears until it hears this tone, or does no more.
async fn until_heard(phone: &Phone, law: Law, hz: f32, is_heard: bool) {
    until("a tone to come or go", async || {
        phone.forget();
        let heard = linear(law, &phone.hear(20).await);
        (has_tone(&heard, hz) == is_heard).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_hears_a_phone_and_answers() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::A, 500.0, 20).await;
    node.connect(&a.leg, To::Echo(pb::connect_leg_request::Echo {})).await;
    stream(&node, &[&a], "", pb::AudioFormat::L16).await;
    let (mut heard, mut samples) = (listen(&node).await, Vec::new());
    let hears = async {
        while !samples.last_chunk::<4_000>().is_some_and(|end| has_tone(end, 500.0)) {
            let Some(Ok(piece)) = heard.next().await else {
                // Who is more than a second behind, as on a machine that stalls, is cut off.
                (heard, samples) = (listen(&node).await, Vec::new());
                continue;
            };
            assert_eq!(piece.data.len(), 320);
            samples.extend(piece.data.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)));
        }
    };
    tokio::time::timeout(PATIENCE, hears).await.expect("the phone is heard");
    // In odd pieces, as a network cuts them, and ahead of time.
    let sound = l16(&tone(1_300.0, 3_000));
    for piece in sound.chunks(777) {
        say(&node, piece.to_vec(), false).await.unwrap();
    }
    until_heard(&a, Law::A, 1_300.0, true).await;
    until_heard(&a, Law::A, 1_300.0, false).await;
    until_heard(&a, Law::A, 500.0, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_hears_it_beside_each_other_and_what_is_cleared_is_not_heard() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 20).await;
    for phone in [&a, &b] {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    stream(&node, &[], "room", pb::AudioFormat::Pcmu).await;
    let mut coded = vec![0; 28_000 * 8];
    g711::encode(Law::Mu, &tone(1_300.0, 28_000), &mut coded);
    for piece in coded.chunks(60_000) {
        say(&node, piece.to_vec(), false).await.unwrap();
    }
    until_heard(&a, Law::Mu, 1_300.0, true).await;
    until_heard(&b, Law::A, 1_300.0, true).await;
    a.until_hears("the other beside it", |heard| has_tone(heard, 900.0) && has_tone(heard, 1_300.0)).await;
    assert!(say(&node, Vec::new(), false).await.unwrap() > 1_000, "the rest of it waits");
    assert_eq!(say(&node, Vec::new(), true).await.unwrap(), 0);
    until_heard(&a, Law::Mu, 1_300.0, false).await;
    say(&node, coded[..16_000].to_vec(), false).await.unwrap();
    until_heard(&b, Law::A, 1_300.0, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_ahead_and_what_makes_no_sense_is_refused() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let nobody = say(&node, vec![0; 320], false).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    stream(&node, &[&a], "", pb::AudioFormat::Pcmu).await;
    let large = say(&node, vec![0; 70_000], false).await.unwrap_err();
    assert_eq!(large.code(), Code::InvalidArgument);
    let (mut taken, began) = (0, Instant::now());
    let full = loop {
        match say(&node, vec![0xff; 40_000], false).await {
            Ok(_) => taken += 5,
            Err(status) => break status,
        }
    };
    assert_eq!(full.code(), Code::ResourceExhausted);
    let said = began.elapsed().as_secs();
    assert!((30..=30 + said).contains(&taken), "thirty seconds may wait: {taken}, {said} s of it are said");
    node.release(&a.leg).await;
    until("the stream to end with its leg", async || {
        (say(&node, vec![0xff; 160], false).await.err()?.code() == Code::NotFound).then_some(())
    })
    .await;
    let b = Phone::call(&node, 2, Law::Mu, 500.0, 20).await;
    let file = pb::StartStreamRequest {
        stream_id: "file".into(),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: vec![b.leg.clone()],
        format: pb::AudioFormat::Wav.into(),
        ..Default::default()
    };
    node.media.start_stream(Request::new(file)).await.unwrap();
    let request = pb::SpeakRequest { stream_id: "file".into(), sound: vec![0; 320], clear: false };
    assert_eq!(node.media.speak(Request::new(request)).await.unwrap_err().code(), Code::InvalidArgument);
    tokio::time::timeout(PATIENCE, node.release(&b.leg)).await.unwrap();
}
