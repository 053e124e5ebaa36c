//! A prompt of an hour: decoded as it plays, bounded in memory, and with every place a moment away.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use futures_util::StreamExt as _;
use pb::connect_leg_request::{Nothing, To};
use pb::steer_play_request::Change;
use sidetone_dsp::{Law, g711};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::Request;

const TONES: [f32; 2] = [600.0, 1200.0];
const HOUR_MS: u64 = 3_600_000;

/// An hour: a tone for half of it, and then another.
fn hour() -> Vec<u8> {
    let mut file = Vec::with_capacity(HOUR_MS as usize * 8);
    for hz in TONES {
        let second = sine(hz, 1000);
        let mut coded = vec![0; second.len()];
        g711::encode(Law::Mu, &second, &mut coded);
        (0..1800).for_each(|_| file.extend(&coded));
    }
    file
}

fn request(leg: &str, repeat: u32) -> pb::PlayRequest {
    let named = |name: &str| pb::PlaySource { source: Some(pb::play_source::Source::Prompt(name.into())) };
    pb::PlayRequest {
        playback_id: "hour".into(),
        target: Some(pb::play_request::Target::LegId(leg.into())),
        sources: vec![named("hour"), named("tone")],
        repeat,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_is_played_from_any_place_and_little_of_it_is_in_memory() {
    let node = node().await;
    let prompts = node.folder.path().join("prompts");
    std::fs::create_dir_all(&prompts).unwrap();
    std::fs::write(prompts.join("hour.ulaw"), hour()).unwrap();
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let phone = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    node.connect(&phone.leg, To::Nothing(Nothing {})).await;

    let played = node.media.play(Request::new(request(&phone.leg, 2))).await.unwrap().into_inner();
    assert_eq!(played.duration_ms, HOUR_MS + 1000, "with a second of another prompt");
    phone.until_tones("the first half", &TONES, &[true, false]).await;
    let audio = &node.telemetry.audio;
    assert!(audio.prompt_cache_bytes.get() < 100_000, "{}", audio.prompt_cache_bytes.get());
    assert_eq!(audio.long_prompts.get(), 1);

    let seek = async |position_ms| {
        let change = Some(Change::PositionMs(position_ms));
        let request = pb::SteerPlayRequest { playback_id: "hour".into(), change };
        node.media.steer_play(Request::new(request)).await.unwrap();
    };
    seek(HOUR_MS / 2 + 60_000).await;
    phone.until_tones("the second half", &TONES, &[false, true]).await;
    seek(1000).await;
    phone.until_tones("the first half again", &TONES, &[true, false]).await;
    // Past the end of the first round the second begins, and past its end it is over.
    seek(HOUR_MS + 900).await;
    phone
        .until_hears("the other prompt", |heard| heard.chunks_exact(400).any(|part| has_tone(part, 440.0)))
        .await;
    phone.until_tones("the second round", &TONES, &[true, false]).await;
    seek(HOUR_MS + 5000).await;
    let ended = until("the end", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::PlaybackFinished(finished)) => Some(finished),
        _ => None,
    })
    .await;
    assert_eq!((ended.playback_id.as_str(), ended.stopped, ended.failure), ("hour", false, None));
    until("nothing is decoded any more", async || (audio.long_prompts.get() == 0).then_some(())).await;
    assert_continuous(&phone.heard.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_where_it_is_to_and_stops_and_is_heard_in_a_room() {
    let node = node().await;
    let prompts = node.folder.path().join("prompts");
    std::fs::create_dir_all(&prompts).unwrap();
    std::fs::write(prompts.join("hour.ulaw"), hour()).unwrap();
    let phone = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    node.connect(&phone.leg, To::MixId("room".into())).await;
    let start_offset_ms = HOUR_MS as u32 / 2 + 1000;
    for target in
        [pb::play_request::Target::LegId(phone.leg.clone()), pb::play_request::Target::MixId("room".into())]
    {
        for manner in [pb::PlayManner::Instead, pb::PlayManner::Over] {
            let play = pb::PlayRequest {
                target: Some(target.clone()),
                start_offset_ms,
                manner: manner.into(),
                ..request(&phone.leg, 1)
            };
            node.media.play(Request::new(play)).await.unwrap();
            phone.until_tones("the second half", &TONES, &[false, true]).await;
            let stop = pb::StopPlayRequest { playback_id: "hour".into(), ..Default::default() };
            node.media.stop_play(Request::new(stop)).await.unwrap();
            phone.until_tones("silence", &TONES, &[false, false]).await;
            let none = async || (node.telemetry.audio.long_prompts.get() == 0).then_some(());
            until("nothing is decoded any more", none).await;
        }
    }
}
