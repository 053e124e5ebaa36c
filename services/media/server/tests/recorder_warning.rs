//! The tone by which people hear that they are recorded: at the beginning and every 15 s, beside whatever else they hear, and in the
//! recording.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use futures_util::StreamExt as _;
use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::decode;
use support::coded_phone::{CodedPhone, perfect};
use support::*;
use tonic::Request;

const WARNING_HZ: f32 = 1400.0;

fn request(n: u32, legs: &[&str]) -> pb::StartRecordingRequest {
    pb::StartRecordingRequest {
        recording_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|leg| (*leg).into()).collect(),
        beep: true,
        ..Default::default()
    }
}

impl TestNode {
    async fn record_with_tone(&self, n: u32, legs: &[&str]) {
        self.media.start_recording(Request::new(request(n, legs))).await.unwrap();
    }

    async fn recorded(&self, n: u32) -> Vec<i16> {
        let stop = pb::StopRecordingRequest { recording_id: uuid(n) };
        self.media.stop_recording(Request::new(stop)).await.unwrap();
        let read = pb::ReadRecordingRequest { recording_id: uuid(n), ..Default::default() };
        let mut parts = self.media.read_recording(Request::new(read)).await.unwrap().into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = parts.next().await {
            bytes.extend(part.unwrap().data);
        }
        decode(&bytes, "wav").channels.remove(0)
    }
}

/// Where the tone begins in what is heard, and how long it is, in parts of 20 ms.
fn warnings(heard: &[i16]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (n, part) in heard.chunks_exact(160).enumerate() {
        if !has_tone(part, WARNING_HZ) {
            continue;
        }
        match found.last_mut() {
            Some((at, length)) if *at + *length + 2 >= n => *length = n + 1 - *at,
            _ => found.push((n, 1)),
        }
    }
    found
}

async fn until_warned(phone: &Phone, times: usize) -> Vec<(usize, usize)> {
    until("the tone", async || {
        let found = warnings(&linear(phone.law, &phone.heard.lock().unwrap()));
        // The last one has ended.
        let ended = found.last().is_some_and(|(_, length)| *length >= 24);
        (found.len() >= times && ended).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_hear_it_at_the_beginning_and_every_15_s_over_each_other() {
    let node = node().await;
    let (a, b) =
        (Phone::call(&node, 1, Law::Mu, 500.0, 20).await, Phone::call(&node, 2, Law::A, 900.0, 20).await);
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hear(5).await;
    for phone in [&a, &b] {
        phone.forget();
    }
    node.record_with_tone(50, &[&a.leg, &b.leg]).await;
    for phone in [&a, &b] {
        let other = if phone.law == Law::Mu { 900.0 } else { 500.0 };
        let found = until_warned(phone, 2).await;
        let [(first, length), (second, _)] = found[..] else { panic!("{found:?}") };
        assert!((24..=27).contains(&length), "half a second: {found:?}");
        // The sound that is heard, not the clock: a pause in it is given up when the tone is over.
        assert!((735..=765).contains(&(second - first)), "15 s: {found:?}");
        let heard = linear(phone.law, &phone.heard.lock().unwrap());
        let during = &heard[(first + 5) * 160..(first + 20) * 160];
        assert!(has_tone(during, other), "the other is heard besides");
        assert!((tone_dbov(during, WARNING_HZ) + 22.0).abs() < 4.0, "{}", tone_dbov(during, WARNING_HZ));
    }
    let heard = a.heard.lock().unwrap().clone();
    assert_continuous(&heard);
    let recorded = node.recorded(50).await;
    assert!(has_tone(&recorded, 500.0) && has_tone(&recorded, 900.0));
    let found = warnings(&recorded);
    let [(first, length), (second, _)] = found[..] else { panic!("{found:?}") };
    assert!((24..=27).contains(&length) && (749..=751).contains(&(second - first)), "{found:?}");
    let level = tone_dbov(&recorded[(first + 5) * 160..(first + 20) * 160], WARNING_HZ);
    assert!((level + 22.0).abs() < 4.0, "once, although two hear it: {level}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_heard_once_for_two_recordings_and_stops_with_a_pause_and_begins_anew() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::A, 500.0, 20).await;
    node.connect(&a.leg, To::Nothing(pb::connect_leg_request::Nothing {})).await;
    a.hear(5).await;
    a.forget();
    node.record_with_tone(60, &[&a.leg]).await;
    node.record_with_tone(61, &[&a.leg]).await;
    let found = until_warned(&a, 1).await;
    let heard = linear(a.law, &a.heard.lock().unwrap());
    let (at, _) = found[0];
    let level = tone_dbov(&heard[(at + 5) * 160..(at + 20) * 160], WARNING_HZ);
    assert!((level + 22.0).abs() < 3.0, "once: {level}");
    let hold = |n| pb::PauseRecordingRequest { recording_id: uuid(n), mask: false };
    for n in [60, 61] {
        node.media.pause_recording(Request::new(hold(n))).await.unwrap();
    }
    a.forget();
    let resume = pb::ResumeRecordingRequest { recording_id: uuid(61) };
    node.media.resume_recording(Request::new(resume)).await.unwrap();
    // At once, and not when the 15 s are over.
    let (at, _) = until_warned(&a, 1).await[0];
    assert!(at < 400, "{at}");
    // Whatever it hears instead of others goes on meanwhile.
    let play = pb::PlayRequest {
        playback_id: "music".into(),
        target: Some(pb::play_request::Target::LegId(a.leg.clone())),
        prompt: "tone".into(),
        ..Default::default()
    };
    node.media.play(Request::new(play)).await.unwrap();
    a.until_hears("the music", |heard| has_tone(heard, 440.0)).await;
    node.media
        .resume_recording(Request::new(pb::ResumeRecordingRequest { recording_id: uuid(60) }))
        .await
        .unwrap();
    node.recorded(60).await;
    a.until_hears("both", |heard| {
        heard.chunks_exact(800).any(|part| has_tone(part, 440.0) && has_tone(part, WARNING_HZ))
    })
    .await;
    node.recorded(61).await;
    let later = a.hear(30).await;
    assert!(has_tone(&linear(a.law, &later), 440.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_in_a_room_of_many_codecs_hears_it_and_who_comes_later_too() {
    let node = node().await;
    let mut phones = Vec::new();
    for (n, codec) in (1..).zip([Codec::Opus, Codec::G722, Codec::G711(Law::A)]) {
        let phone = CodedPhone::call(&node, n, codec, 300.0 + 100.0 * n as f32, 20, perfect).await;
        node.connect(&phone.leg, To::MixId("room".into())).await;
        phones.push(phone);
    }
    let legs: Vec<String> = phones.iter().map(|phone| phone.leg.clone()).collect();
    let late = CodedPhone::call(&node, 9, Codec::Opus, 1000.0, 20, perfect).await;
    node.connect(&late.leg, To::MixId("room".into())).await;
    late.hear(500).await;
    for (n, count) in [(0, 2), (1, 3)] {
        let wanted: Vec<&str> = legs[..count].iter().map(String::as_str).collect();
        // The last is taken in later, by the same request with one more leg.
        let hear = phones[if n == 0 { 0 } else { 2 }].hear(2_000);
        let ((), heard) = tokio::join!(node.record_with_tone(70, &wanted), hear);
        assert!(heard.chunks_exact(800).any(|part| has_tone(part, WARNING_HZ)), "{wanted:?}");
    }
}
