//! Playlists, loops, seeks, files by URL and in requests, and what fails of them, judged by ear.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use pb::connect_leg_request::{Nothing, To};
use pb::play_source::Source;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::{Code, Request, Status};

fn to_leg(phone: &Phone, id: &str, sources: Vec<Source>) -> pb::PlayRequest {
    pb::PlayRequest {
        playback_id: id.into(),
        target: Some(pb::play_request::Target::LegId(phone.leg.clone())),
        sources: sources.into_iter().map(|source| pb::PlaySource { source: Some(source) }).collect(),
        repeat: 1,
        ..Default::default()
    }
}

type Events = BoxStream<'static, Result<pb::MediaEvent, Status>>;

async fn watch(node: &TestNode) -> Events {
    node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner()
}

async fn ended(events: &mut Events) -> pb::PlaybackFinished {
    until("the end of a playback", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::PlaybackFinished(finished)) => Some(finished),
        _ => None,
    })
    .await
}

async fn quiet_phone(node: &TestNode) -> Phone {
    let phone = Phone::call(node, 1, Law::A, 300.0, 20).await;
    node.connect(&phone.leg, To::Nothing(Nothing {})).await;
    phone.hear(5).await;
    phone
}

/// The order in which tones are heard until the playback ends, from what a phone kept.
fn order(phone: &Phone, tones: &[f32]) -> Vec<u32> {
    let samples = linear(phone.law, &phone.heard.lock().unwrap());
    let mut heard = Vec::new();
    for part in samples.chunks_exact(800) {
        let loudest = tones.iter().find(|hz| has_tone(part, **hz)).map(|hz| *hz as u32);
        if let Some(hz) = loudest
            && heard.last() != Some(&hz)
        {
            heard.push(hz);
        }
    }
    heard
}

/// Waits for that order: the end is told on another way than sound comes, and may be there before.
async fn until_order(phone: &Phone, tones: &[f32], expected: &[u32]) {
    let what = format!("{expected:?} to be heard");
    until(&what, async || (order(phone, tones) == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_with_pauses_loops_and_seeks() {
    let node = node().await;
    let mut events = watch(&node).await;
    let phone = quiet_phone(&node).await;
    let prompts = node.folder.path().join("prompts");
    std::fs::create_dir_all(&prompts).unwrap();
    std::fs::write(prompts.join("low.wav"), wav(600.0, 600)).unwrap();
    let list = vec![Source::Prompt("low".into()), Source::Data(wav(1200.0, 600))];
    phone.forget();
    let twice = pb::PlayRequest { repeat: 2, pause_between_ms: 200, ..to_leg(&phone, "list", list.clone()) };
    let played = node.media.play(Request::new(twice)).await.unwrap().into_inner();
    assert_eq!(played.duration_ms, 1400);
    assert_eq!(
        ended(&mut events).await,
        pb::PlaybackFinished { playback_id: "list".into(), ..Default::default() }
    );
    until_order(&phone, &[600.0, 1200.0], &[600, 1200, 600, 1200]).await;
    phone.forget();
    let late = pb::PlayRequest { start_offset_ms: 700, ..to_leg(&phone, "late", list) };
    node.media.play(Request::new(late)).await.unwrap();
    ended(&mut events).await;
    // It began behind the first.
    until_order(&phone, &[600.0, 1200.0], &[1200]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_of_a_country_for_ever_until_all_is_stopped() {
    let node = node().await;
    let mut events = watch(&node).await;
    let phone = quiet_phone(&node).await;
    let tone =
        pb::PlayRequest { repeat: 0, ..to_leg(&phone, "t", vec![Source::Prompt("tone:busy/us".into())]) };
    node.media.play(Request::new(tone)).await.unwrap();
    let heard = linear(phone.law, &phone.hear(75).await);
    // These are sent at -24 dBm0 each.
    let has = |part: &[i16], hz| sidetone_dsp::goertzel::tone_level_dbov(part, 8000, hz) > -36.0;
    assert!(heard.chunks_exact(800).any(|part| has(part, 480.0) && has(part, 620.0)));
    let both =
        pb::StopPlayRequest { playback_id: "t".into(), leg_id: phone.leg.clone(), ..Default::default() };
    assert_eq!(node.media.stop_play(Request::new(both)).await.unwrap_err().code(), Code::InvalidArgument);
    let stop = pb::StopPlayRequest { leg_id: phone.leg.clone(), ..Default::default() };
    node.media.stop_play(Request::new(stop)).await.unwrap();
    let end = ended(&mut events).await;
    assert!(end.stopped && end.failure.is_none() && end.playback_id == "t");
    let missing = to_leg(&phone, "m", vec![Source::Prompt("tone:busy/nowhere".into())]);
    assert_eq!(node.media.play(Request::new(missing)).await.unwrap_err().code(), Code::NotFound);
    let plain = to_leg(&phone, "o", vec![Source::Prompt("tone".into())]);
    let over = pb::PlayManner::Over.into();
    for wrong in [
        pb::PlayRequest { duck_mdb: Some(-6_000), ..plain.clone() },
        pb::PlayRequest { gain_mdb: 1_000, ..plain.clone() },
        pb::PlayRequest { manner: over, duck_mdb: Some(1), ..plain.clone() },
        pb::PlayRequest { manner: over, gain_mdb: 18_001, ..plain },
    ] {
        assert_eq!(node.media.play(Request::new(wrong)).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

/// Serves files, redirects and what is no sound.
async fn server() -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |uri: Uri| async move {
        match uri.path() {
            "/tone.wav" => ([(CONTENT_TYPE, "audio/wav")], wav(700.0, 800)).into_response(),
            "/page" => ([(CONTENT_TYPE, "text/html")], "no").into_response(),
            "/broken.wav" => ([(CONTENT_TYPE, "audio/wav")], "no").into_response(),
            "/large" => ([(CONTENT_TYPE, "audio/basic")], vec![0u8; 70 * 1024]).into_response(),
            "/inside" => (StatusCode::FOUND, [(LOCATION, "http://169.254.169.254/x.wav")]).into_response(),
            "/again" => (StatusCode::FOUND, [(LOCATION, "/again")]).into_response(),
            "/moved" => (StatusCode::FOUND, [(LOCATION, "/tone.wav")]).into_response(),
            "/slow" => {
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
                StatusCode::OK.into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let serving = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
    });
    (format!("http://{address}"), serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_heard_and_a_bad_one_fails_that_playback() {
    let (base, serving) = server().await;
    let node = node_with(|config| {
        config.fetch.allow = vec!["127.0.0.1".into()];
        config.fetch.size_max_kb = 64;
        config.fetch.timeout_s = 6;
    })
    .await;
    let mut events = watch(&node).await;
    let phone = quiet_phone(&node).await;
    for path in ["tone.wav", "moved"] {
        phone.forget();
        let url = Source::Url(format!("{base}/{path}"));
        let request = to_leg(&phone, path, vec![url]);
        assert_eq!(node.media.play(Request::new(request)).await.unwrap().into_inner().duration_ms, 0);
        assert_eq!(ended(&mut events).await.failure, None, "{path}");
        until_order(&phone, &[700.0], &[700]).await;
    }
    for path in ["none", "page", "broken.wav", "large", "inside", "again", "slow"] {
        let request = to_leg(&phone, path, vec![Source::Url(format!("{base}/{path}"))]);
        node.media.play(Request::new(request)).await.unwrap();
        let end = ended(&mut events).await;
        assert_eq!((end.playback_id.as_str(), end.stopped), (path, false));
        assert!(end.failure.is_some(), "{path}");
    }
    let slow = to_leg(&phone, "stopped", vec![Source::Url(format!("{base}/slow"))]);
    node.media.play(Request::new(slow)).await.unwrap();
    let stop = pb::StopPlayRequest { playback_id: "stopped".into(), ..Default::default() };
    node.media.stop_play(Request::new(stop)).await.unwrap();
    assert!(ended(&mut events).await.stopped, "it is stopped while it is fetched");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_exception_this_machine_is_not_spoken_to() {
    let (base, serving) = server().await;
    let node = node().await;
    let mut events = watch(&node).await;
    let phone = quiet_phone(&node).await;
    let request = to_leg(&phone, "p", vec![Source::Url(format!("{base}/tone.wav"))]);
    node.media.play(Request::new(request)).await.unwrap();
    let failure = ended(&mut events).await.failure.unwrap();
    assert!(format!("{failure:?}").contains("must not speak to"), "{failure:?}");
    serving.abort();
}
