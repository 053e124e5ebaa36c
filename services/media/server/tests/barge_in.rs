//! Playbacks that end when whoever hears them presses a key or speaks, and those that are steered while they run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use pb::connect_leg_request::{Nothing, To};
use pb::media_event::Kind;
use pb::steer_play_request::Change;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::{Law, g711};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1::BargeIn;
use sidetone_rtp_core::event::EventPayload;
use support::coded_phone::{CodedPhone, perfect};
use support::*;
use tonic::{Code, Request, Status};

/// The prompt `tone`, of some -15 dBov.
const PROMPT_HZ: f32 = 440.0;
const EVENT_TYPE: u8 = 96;

struct Told(BoxStream<'static, Result<pb::MediaEvent, Status>>);

impl Told {
    async fn by(node: &TestNode) -> Self {
        Self(node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner())
    }

    /// The next end of a playback, and the digits that were told of before.
    async fn ended(&mut self) -> (pb::PlaybackFinished, Vec<String>) {
        let mut digits = Vec::new();
        loop {
            let told = until("the end of a playback", async || self.0.next().await?.unwrap().kind).await;
            match told {
                Kind::PlaybackFinished(finished) => return (finished, digits),
                Kind::Digit(digit) => digits.push(digit.digit),
                _ => {}
            }
        }
    }

    async fn digit(&mut self) -> String {
        until("a digit", async || match self.0.next().await?.unwrap().kind {
            Some(Kind::Digit(digit)) => Some(digit.digit),
            Some(Kind::PlaybackFinished(finished)) => panic!("{finished:?}"),
            _ => None,
        })
        .await
    }
}

fn request(leg: &str, id: &str, barge_in: BargeIn) -> pb::PlayRequest {
    pb::PlayRequest {
        playback_id: id.into(),
        target: Some(pb::play_request::Target::LegId(leg.into())),
        prompt: "tone".into(),
        barge_in: barge_in.into(),
        ..Default::default()
    }
}

async fn quiet(node: &TestNode, n: u32) -> Phone {
    let formats = [(8, "PCMA"), (EVENT_TYPE.into(), "telephone-event")];
    let formats = description("127.0.0.1:2".parse().unwrap(), &formats, 20).formats;
    let phone = Phone::quiet(node, n, Law::A, formats, 20).await;
    phone.send(8, n, 0, &[0xd5; 160]).await;
    node.connect(&phone.leg, To::Nothing(Nothing {})).await;
    phone
}

/// One packet of a key that began at that time.
async fn key(phone: &Phone, start: u32, end: bool, duration: u16) {
    let event = EventPayload { code: 5, end, volume: 10, duration };
    phone.send(EVENT_TYPE, 1, start, &event.to_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_it_when_it_goes_down_and_its_digit_is_told_once() {
    let node = node().await;
    let mut told = Told::by(&node).await;
    let phone = quiet(&node, 1).await;
    for (n, id, barge_in) in [(0, "key", BargeIn::Key), (1, "any", BargeIn::Any)] {
        let start = 10_000 * (n + 1);
        // A key that is down already when it begins.
        key(&phone, start, false, 160).await;
        received_when_read(&node, &phone.leg).await;
        node.play(request(&phone.leg, id, barge_in)).await;
        phone.until_hears("the prompt", |heard| has_tone(heard, PROMPT_HZ)).await;
        for _ in 0..3 {
            key(&phone, start, true, 640).await;
        }
        assert_eq!(told.digit().await, "5", "the prompt goes on");
        key(&phone, start + 4_000, false, 160).await;
        let (ended, digits) = told.ended().await;
        assert_eq!((ended.playback_id.as_str(), ended.stopped, ended.ended_by()), (id, true, BargeIn::Key));
        assert_eq!(digits, [""; 0], "the key is still down");
        key(&phone, start + 4_000, true, 640).await;
        assert_eq!(told.digit().await, "5");
        phone.until_hears("silence", |heard| !has_tone(heard, PROMPT_HZ)).await;
    }
    let counted = ["key", "voice"].map(|by| node.telemetry.audio.barge_ins.with_label_values(&[by]).get());
    assert_eq!(counted, [2, 0]);
    node.play(request(&phone.leg, "voice", BargeIn::Voice)).await;
    key(&phone, 50_000, true, 640).await;
    assert_eq!(told.digit().await, "5");
    phone.until_hears("the prompt all the same", |heard| has_tone(heard, PROMPT_HZ)).await;
    let to_mix = pb::PlayRequest {
        target: Some(pb::play_request::Target::MixId("room".into())),
        ..request(&phone.leg, "mix", BargeIn::Key)
    };
    assert_eq!(node.media.play(Request::new(to_mix)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_in_every_codec_ends_it_alone_and_in_a_bridge_and_in_a_room() {
    let node = node().await;
    let mut told = Told::by(&node).await;
    let other = CodedPhone::call(&node, 40, Codec::Opus, 700.0, 20, perfect).await;
    for (n, codec) in (1..).zip([Codec::G711(Law::Mu), Codec::G722, Codec::Gsm, Codec::Opus]) {
        // Speaks all the time, louder than an echo.
        let phone = CodedPhone::call(&node, n, codec, 300.0, 20, perfect).await;
        let nothing = To::Nothing(Nothing {});
        for to in [nothing, To::PeerLegId(other.leg.clone()), To::MixId("room".into())] {
            node.connect(&phone.leg, to.clone()).await;
            // As long as speech is not to end it, it does not.
            node.play(pb::PlayRequest { repeat: 1, ..request(&phone.leg, "whole", BargeIn::Key) }).await;
            let (ended, _) = told.ended().await;
            assert_eq!((ended.stopped, ended.ended_by()), (false, BargeIn::None), "{codec:?} {to:?}");
            for (id, manner) in [("in", pb::PlayManner::Instead), ("over", pb::PlayManner::Over)] {
                let manner = manner.into();
                node.play(pb::PlayRequest { manner, ..request(&phone.leg, id, BargeIn::Voice) }).await;
                let (ended, _) = told.ended().await;
                assert_eq!(ended.ended_by(), BargeIn::Voice, "{codec:?} {to:?} {id}");
            }
        }
        node.release(&phone.leg).await;
    }
}

/// Sends back what it hears, 15 dB quieter; and a word of its own when it is told to.
async fn echoes(phone: Phone, mut speaks: tokio::sync::watch::Receiver<bool>) {
    let mut timestamp = 160u32;
    let mut at = phone.count();
    loop {
        let heard: Vec<Heard> = phone.heard.lock().unwrap()[at..].to_vec();
        at += heard.len();
        for packet in &heard {
            let mut sound = vec![0; packet.payload.len()];
            g711::decode(Law::A, &packet.payload, &mut sound);
            let own = sine(300.0, 20);
            let speaks = *speaks.borrow_and_update();
            for (sample, own) in sound.iter_mut().zip(own) {
                *sample = (f32::from(*sample) * 0.178) as i16 + if speaks { own } else { 0 };
            }
            let mut bytes = vec![0; sound.len()];
            g711::encode(Law::A, &sound, &mut bytes);
            phone.send(8, 1, timestamp, &bytes).await;
            timestamp = timestamp.wrapping_add(sound.len() as u32);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_echo_does_not_end_it_and_a_word_over_the_echo_does() {
    let node = node().await;
    let mut told = Told::by(&node).await;
    let phone = quiet(&node, 1).await;
    let (speak, speaks) = tokio::sync::watch::channel(false);
    let echoing = tokio::spawn(echoes(phone.clone(), speaks));
    let twice = pb::PlayRequest { repeat: 2, ..request(&phone.leg, "echo", BargeIn::Any) };
    node.play(twice).await;
    let (ended, _) = told.ended().await;
    assert_eq!((ended.stopped, ended.ended_by()), (false, BargeIn::None), "two seconds of echo");
    node.play(request(&phone.leg, "word", BargeIn::Any)).await;
    phone.until_hears("the prompt", |heard| has_tone(heard, PROMPT_HZ)).await;
    speak.send(true).unwrap();
    assert_eq!(told.ended().await.0.ended_by(), BargeIn::Voice);
    assert_eq!(node.telemetry.audio.barge_ins.with_label_values(&["voice"]).get(), 1);
    echoing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playback_is_paused_goes_on_and_goes_to_another_place() {
    let node = node().await;
    let mut told = Told::by(&node).await;
    let phone = quiet(&node, 1).await;
    let (low, high) = (600.0, 1200.0);
    let source = |hz| pb::PlaySource { source: Some(pb::play_source::Source::Data(wav(hz, 20_000))) };
    let list = pb::PlayRequest {
        prompt: String::new(),
        sources: vec![source(low), source(high)],
        repeat: 1,
        ..request(&phone.leg, "list", BargeIn::None)
    };
    node.play(list).await;
    let tones = [low, high];
    phone.until_tones("the first", &tones, &[true, false]).await;
    node.steer("list", Change::Paused(true)).await;
    phone.until_tones("silence", &tones, &[false, false]).await;
    node.steer("list", Change::PositionMs(25_000)).await;
    phone.until_tones("silence still", &tones, &[false, false]).await;
    node.steer("list", Change::Paused(false)).await;
    phone.until_tones("the second", &tones, &[false, true]).await;
    node.steer("list", Change::PositionMs(0)).await;
    phone.until_tones("the first again", &tones, &[true, false]).await;
    node.steer("list", Change::PositionMs(40_000)).await;
    let (ended, _) = told.ended().await;
    assert_eq!((ended.playback_id.as_str(), ended.stopped), ("list", false), "it was heard to its end");
    node.steer("list", Change::Paused(true)).await;
    let nothing = pb::SteerPlayRequest { playback_id: "list".into(), change: None };
    assert_eq!(node.media.steer_play(Request::new(nothing)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_laid_over_a_call_is_paused_and_the_other_is_at_full_level_then() {
    let node = node().await;
    let phone = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    let peer = Phone::call(&node, 2, Law::A, 700.0, 20).await;
    node.connect(&phone.leg, To::PeerLegId(peer.leg.clone())).await;
    phone.until_hears("the other", |heard| tone_dbov(heard, 700.0) > -18.0).await;
    let over = pb::PlayManner::Over.into();
    node.play(pb::PlayRequest { manner: over, ..request(&phone.leg, "over", BargeIn::None) }).await;
    let down = |heard: &[i16]| has_tone(heard, PROMPT_HZ) && tone_dbov(heard, 700.0) < -25.0;
    phone.until_hears("the prompt, and the other turned down", down).await;
    node.steer("over", Change::Paused(true)).await;
    let full = |heard: &[i16]| tone_dbov(heard, PROMPT_HZ) < -45.0 && tone_dbov(heard, 700.0) > -18.0;
    phone.until_hears("the other alone", full).await;
    node.steer("over", Change::Paused(false)).await;
    phone.until_hears("both again", down).await;
    node.stop("over").await;
    phone.until_hears("the other alone", full).await;
}
