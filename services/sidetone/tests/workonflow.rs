//! Dialect 003 as a bot has it: signed requests to the door, telephones that ring, sounds that are heard, files that play,
//! and the team's webhook.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sidetone_testkit::phone::{Call, EndedBy, Phone};
use support::clients::{BOT, Bot, LOOPBACK, SECRET, TEAM, applications};
use support::phones::{eventually, hears, registered};
use support::process::Installation;
use support::receiver::Receiver;
use support::sound::{decoded, has_tone, wav};

const THREAD: &str = "a thread of the team";
/// What media nodes may fetch.
const FETCH: &str = "[media.fetch]\nallow = [\"127.0.0.1\"]\n";

struct Scene {
    installation: Installation,
    bot: Bot,
    team: Receiver,
    ada: Phone,
    ben: Phone,
}

impl Scene {
    async fn new() -> Self {
        let team = Receiver::start().await;
        let elsewhere = "http://127.0.0.1:9/nobody";
        let seed = applications(elsewhere, &team.events_url());
        let installation = Installation::one_process_with(FETCH, &seed, LOOPBACK);
        let ada = registered(&installation, "1001", 440.0).await;
        let ben = registered(&installation, "1002", 700.0).await;
        let bot = Bot::new(&installation);
        Self { installation, bot, team, ada, ben }
    }

    async fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        eventually(&self.installation, what, holds).await;
    }

    /// The bot begins a call by asking both in.
    async fn talking(&self) -> (Call, Call) {
        // A phone is a text or a number.
        let both = json!([{ "contactId": "user1001" }, { "contactId": "user1002", "phone": 1002 }]);
        self.bot.done("call.user/invite", json!({ "threadId": THREAD, "userIds": both })).await;
        self.until("both answer", || !self.ada.calls().is_empty() && !self.ben.calls().is_empty()).await;
        let (at_ada, at_ben) = (self.ada.calls().remove(0), self.ben.calls().remove(0));
        hears(&self.installation, &at_ada, 700.0).await;
        hears(&self.installation, &at_ben, 440.0).await;
        (at_ada, at_ben)
    }

    async fn silent(&self, call: &Call, tone_hz: f32) {
        self.until(&format!("no tone of {tone_hz} Hz"), || !call.ear().hears(tone_hz)).await;
    }

    /// Does something with the thread's call.
    async fn does(&self, method: &str, more: Value) -> Value {
        let mut body = more;
        body["threadId"] = THREAD.into();
        self.bot.done(method, body).await
    }

    /// The call's contacts, which are JSON in a string.
    async fn contacts(&self) -> Vec<Value> {
        let call = self.does("call/get", json!({})).await;
        serde_json::from_str(call["destinationContacts"].as_str().unwrap()).unwrap()
    }

    async fn events(&self, count: usize) -> Vec<Value> {
        self.until(&format!("{count} events"), || self.team.bodies().len() >= count).await;
        self.team.bodies()
    }
}

/// Type and user of an event.
fn short(event: &Value) -> (String, String) {
    let text = |field: &str| event[field].as_str().unwrap_or("").trim_start_matches("user").to_owned();
    (text("eventType").trim_start_matches("Call.").to_owned(), text("userId"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_begins_steers_and_ends_a_call_and_its_team_is_told_in_order() {
    let scene = Scene::new().await;
    let (at_ada, at_ben) = scene.talking().await;

    let call = scene.does("call/get", json!({})).await;
    assert_eq!(call["typeDestination"], "thread-outgoing");
    serde_json::from_str::<Value>(call["originateUserId"].as_str().unwrap()).unwrap();
    let contacts = scene.contacts().await;
    assert_eq!(contacts.len(), 2, "{contacts:#?}");
    for contact in &contacts {
        assert_eq!((&contact["answered"], &contact["isHold"]), (&json!(true), &json!(false)));
        contact["createdAt"].as_str().unwrap().parse::<u64>().unwrap();
    }

    scene.does("call.user/hold", json!({ "contactId": "user1001" })).await;
    scene.silent(&at_ada, 700.0).await;
    scene.silent(&at_ben, 440.0).await;
    let held: Vec<Value> =
        scene.contacts().await.into_iter().filter(|contact| contact["isHold"] == true).collect();
    assert_eq!((held.len(), &held[0]["contactId"]), (1, &json!("user1001")));
    let (status, refused) =
        scene.bot.ask("call.user/hold", json!({ "threadId": THREAD, "contactId": "user1001" })).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!(409)), "{refused}");
    // Its two addresses, and the alias of contactId.
    scene.does("call/unpause", json!({ "userId": "user1001" })).await;
    hears(&scene.installation, &at_ada, 700.0).await;
    scene.does("call.user/hold", json!({ "phone": 1002 })).await;
    scene.silent(&at_ben, 440.0).await;
    scene.does("call.user/unhold", json!({ "contactId": "user1002", "phone": "1002" })).await;
    hears(&scene.installation, &at_ben, 440.0).await;

    assert!(at_ben.media().dial("7"));
    scene
        .until("the digit is told", || scene.team.column("eventType").contains(&"Call.Member.dtmf".into()))
        .await;
    scene.does("call/kick", json!({ "contactId": "user1002" })).await;
    assert!(matches!(at_ben.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    if at_ada.ended().is_none() {
        let (status, answer) = scene.bot.ask("call/kick", json!({ "threadId": THREAD })).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    assert!(matches!(at_ada.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    let events = scene.events(13).await;
    let (status, _) = scene.bot.ask("call/get", json!({ "threadId": THREAD })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let told: Vec<_> = events.iter().map(short).collect();
    let of = |user: &str| -> Vec<&str> {
        told.iter().filter(|(_, of)| of == user).map(|(r#type, _)| &**r#type).collect()
    };
    let (held, joined) = (["Member.held", "Member.unheld"], ["Member.invited", "Member.Invite.ended"]);
    assert_eq!(of("1001"), [&joined[..], &held[..], &["Member.leaved"]].concat(), "{told:?}");
    let digit = ["Member.dtmf", "Member.leaved"];
    assert_eq!(of("1002"), [&joined[..], &held[..], &digit[..]].concat(), "{told:?}");
    assert_eq!(of(""), ["created", "ended"], "{told:?}");
    assert_eq!((&*told[0].0, &*told[told.len() - 1].0), ("created", "ended"), "{told:?}");
    for event in &events {
        assert_eq!((&event["teamId"], &event["threadId"]), (&json!(TEAM), &json!(THREAD)), "{event}");
    }
    let with = |field: &str| events.iter().find(|event| !event[field].is_null()).unwrap()[field].clone();
    assert_eq!((with("dtmfNumber"), with("answered")), (json!("7"), json!(true)));
    for webhook in scene.team.webhooks() {
        let timestamp = webhook.header("x-timestamp");
        let signature = sidetone_dialects::bot::signature_of(BOT, SECRET, timestamp, &webhook.raw);
        assert_eq!((webhook.header("x-bot-id"), webhook.header("x-signature")), (BOT, &*signature));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_streamed_live_is_played_and_so_is_a_wav_until_it_is_stopped() {
    let scene = Scene::new().await;
    let (at_ada, at_ben) = scene.talking().await;

    // Whoever has the URL hears the call live, in a form that any player takes.
    let url = scene.does("call.stream/start", json!({})).await["streamUrl"].as_str().unwrap().to_owned();
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    let (mut live, mut bytes) = (Vec::new(), response.bytes_stream());
    // At 4 kB a second.
    while live.len() < 12_000 {
        let chunk = tokio::time::timeout(Duration::from_secs(20), bytes.next()).await.expect("it is live");
        live.extend_from_slice(&chunk.unwrap().unwrap());
    }
    let heard = decoded(live.clone(), "mp3");
    assert!(has_tone(&heard, 440.0) && has_tone(&heard, 700.0), "both are in it");
    assert!(!has_tone(&heard, 1500.0));
    scene.does("call.stream/stop", json!({})).await;
    let over = async { while bytes.next().await.is_some_and(|chunk| chunk.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(20), over).await.expect("the stream ends");
    assert_eq!(reqwest::get(&url).await.unwrap().status(), StatusCode::NOT_FOUND);
    let (status, _) = scene.bot.ask("call.stream/stop", json!({ "threadId": THREAD })).await;
    assert_eq!(status, StatusCode::CONFLICT);

    // What ben hears at 700 Hz is himself, as the MP3 has it.
    scene.team.serve("live.mp3", "audio/mpeg", live);
    scene.team.serve("tone.wav", "audio/wav", wav(1500.0, 1.0));
    let (mp3, tone) = (scene.team.sound_url("live.mp3"), scene.team.sound_url("tone.wav"));
    assert!(!at_ben.ear().hears(700.0));
    scene.does("call.audio/play", json!({ "url": mp3, "isLoop": true })).await;
    hears(&scene.installation, &at_ben, 700.0).await;
    scene.does("call.audio/stop", json!({ "url": mp3 })).await;
    scene.silent(&at_ben, 700.0).await;
    // Over what is said both are heard, by ada alone.
    let over = json!({ "url": tone, "isLoop": true, "manner": "over", "phone": "1001" });
    scene.does("call.audio/play", over).await;
    hears(&scene.installation, &at_ada, 1500.0).await;
    hears(&scene.installation, &at_ada, 700.0).await;
    assert!(!at_ben.ear().hears(1500.0), "it is for ada alone");
    scene.does("call.audio/stop", json!({})).await;
    scene.silent(&at_ada, 1500.0).await;
    // To one each: stopping one by its URL leaves the other.
    scene.does("call.audio/play", json!({ "url": mp3, "isLoop": true, "contactId": "user1002" })).await;
    scene.does("call.audio/play", json!({ "url": tone, "isLoop": true, "phone": "1001" })).await;
    hears(&scene.installation, &at_ben, 700.0).await;
    hears(&scene.installation, &at_ada, 1500.0).await;
    assert!(!at_ben.ear().hears(1500.0), "it is for ada alone");
    scene.does("call.audio/stop", json!({ "url": mp3 })).await;
    scene.silent(&at_ben, 700.0).await;
    // Only the one was stopped.
    at_ada.ear().forget();
    hears(&scene.installation, &at_ada, 1500.0).await;
    scene.does("call.audio/stop", json!({})).await;
    scene.silent(&at_ada, 1500.0).await;
    let (status, _) = scene.bot.ask("call.audio/stop", json!({ "threadId": THREAD, "url": mp3 })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_that_cannot_be_had_is_refused_and_another_for_one_leaves_the_others_theirs() {
    let scene = Scene::new().await;
    let (at_ada, at_ben) = scene.talking().await;
    scene.team.serve("page.wav", "text/html", b"<html>".to_vec());
    scene.team.serve("noise.wav", "audio/wav", vec![7; 4000]);
    scene.team.serve("large.wav", "audio/wav", vec![0; (10 << 20) + 1]);
    for (sound, said) in [
        (scene.team.sound_url("none.wav"), "url: the server does not give it"),
        (scene.team.sound_url("page.wav"), "url: it is no sound"),
        (scene.team.sound_url("large.wav"), "url: it is too large"),
        (scene.team.sound_url("noise.wav"), "prompt: "),
        (
            "http://10.0.0.1/inside.wav".to_owned(),
            "url: leads to an address that this node must not speak to",
        ),
    ] {
        let (status, refused) =
            scene.bot.ask("call.audio/play", json!({ "threadId": THREAD, "url": sound })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{sound}: {refused}");
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(said), "{sound}: {refused}");
    }
    let (status, _) = scene
        .bot
        .ask("call.audio/stop", json!({ "threadId": THREAD, "url": "http://10.0.0.1/inside.wav" }))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "nothing plays");

    scene.team.serve("all.wav", "audio/wav", wav(1500.0, 1.0));
    scene.team.serve("one.wav", "audio/wav", wav(2100.0, 1.0));
    let (all, one) = (scene.team.sound_url("all.wav"), scene.team.sound_url("one.wav"));
    scene.does("call.audio/play", json!({ "url": all, "isLoop": true })).await;
    hears(&scene.installation, &at_ada, 1500.0).await;
    hears(&scene.installation, &at_ben, 1500.0).await;
    scene.does("call.audio/play", json!({ "url": one, "isLoop": true, "contactId": "user1001" })).await;
    hears(&scene.installation, &at_ada, 2100.0).await;
    scene.silent(&at_ada, 1500.0).await;
    hears(&scene.installation, &at_ben, 1500.0).await;
    // It still is a playback that can be stopped.
    scene.does("call.audio/stop", json!({ "url": all })).await;
    scene.silent(&at_ben, 1500.0).await;
    hears(&scene.installation, &at_ada, 2100.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_stopped_plays_at_its_url() {
    let scene = Scene::new().await;
    let _calls = scene.talking().await;
    // What the document lists among the parameters is taken and left alone.
    scene.does("call.recording/start", json!({ "fileUrl": "x", "streamUrl": "y" })).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let url = scene.does("call.recording/stop", json!({})).await["fileUrl"].as_str().unwrap().to_owned();
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.bytes().await.unwrap();
    let mut file = hound::WavReader::new(&bytes[..]).unwrap();
    let (rate, channels) = (file.spec().sample_rate, usize::from(file.spec().channels));
    let samples: Vec<i16> = file.samples::<i16>().map(Result::unwrap).step_by(channels).collect();
    let heard = (samples, rate);
    assert!(has_tone(&heard, 440.0) && has_tone(&heard, 700.0), "{} samples", heard.0.len());
    // Who missed the answer asks again.
    let again = scene.does("call.recording/stop", json!({})).await["fileUrl"].as_str().unwrap().to_owned();
    assert_eq!(reqwest::get(&again).await.unwrap().bytes().await.unwrap(), bytes);
    let forged = reqwest::get(format!("{url}x")).await.unwrap();
    assert_eq!(forged.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_the_dialects_own_answer_and_ring_nobody() {
    let scene = Scene::new().await;
    let invite = json!({ "threadId": THREAD, "contactId": "user1001" });
    for proof in [("another secret", 0), (SECRET, 3600)] {
        let (status, refused) = scene.bot.ask_as(proof, "call.user/invite", &invite).await;
        assert_eq!((status, &refused["code"]), (StatusCode::UNAUTHORIZED, &json!(401)), "{refused}");
    }
    let url = |url: &str| json!({ "threadId": THREAD, "url": url });
    for (method, body, expected) in [
        ("call.user/invite", json!({ "threadId": THREAD }), StatusCode::BAD_REQUEST),
        ("call.user/invite", json!({ "contactId": "user1001" }), StatusCode::BAD_REQUEST),
        ("call.user/invite", json!({ "threadId": THREAD, "contactId": "nobody" }), StatusCode::NOT_FOUND),
        ("call.user/invite", json!({ "threadId": THREAD, "userIds": "user1001" }), StatusCode::BAD_REQUEST),
        ("call/get", json!({ "threadId": "no such thread" }), StatusCode::NOT_FOUND),
        ("call/get", json!([]), StatusCode::BAD_REQUEST),
        ("call/kick", json!({ "threadId": "no such thread" }), StatusCode::NOT_FOUND),
        ("call.audio/play", url("ftp://127.0.0.1/a.mp3"), StatusCode::BAD_REQUEST),
        ("call.audio/play", url("https://example.com/a.exe"), StatusCode::BAD_REQUEST),
    ] {
        let (status, refused) = scene.bot.ask(method, body.clone()).await;
        assert_eq!(status, expected, "{method} {body}: {refused}");
        assert_eq!(refused["code"], expected.as_u16(), "{refused}");
        assert!(refused["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert!(scene.installation.calls().is_empty());
    assert!(scene.ada.calls().is_empty() && scene.team.bodies().is_empty());
}
