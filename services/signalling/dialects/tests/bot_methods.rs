//! The bot document's own samples (fixtures/bot.json, by fixtures/extract_bot.py), asked of the real routes.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use kit::{Crowd, Door, NOW, SECRET, ask, call_created, leg_created, named, party, person};
use serde_json::{Value, json};
use sidetone_dialects::Dialect as _;
use sidetone_dialects::bot::{Bot, signature_of};
use sidetone_model::call::HeldBy;
use sidetone_model::command::{Audience, CallCommandKind, CallName};
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, LegId, NodeId};
use sidetone_model::media::{BargeIn, Beside, FileFormat, Layout, Manner, PlayOptions, Source};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;

const TEAM: &str = "333ccc134c0319001573485e";
const THREAD: &str = "5b0525134c0319001573485e";

struct Scene {
    door: Arc<Door>,
    routes: Router,
    call: CallId,
    caller: LegId,
    callee: LegId,
}

fn samples() -> Vec<Value> {
    serde_json::from_str(include_str!("../fixtures/bot.json")).unwrap()
}

/// Two who talk in the samples' thread, with the contacts that the samples name.
async fn scene() -> Scene {
    let team = pb::Application {
        tenant: "demo".into(),
        application: TEAM.into(),
        kind: pb::ApplicationKind::Bot.into(),
        bot: "the-bot".into(),
        ..pb::Application::default()
    };
    let crowd = Crowd {
        persons: [
            person("5b4458eb1b2b33001bf213bf", "1001"),
            person("5b0525134c031900157348xd", "1002"),
            person("5b72aaab444507001b8sw553", "89999999999"),
        ]
        .into(),
        ..Crowd::default()
    };
    let door = Door::new(&[team], crowd).await;
    let (call, caller, callee): (CallId, LegId, LegId) = (door.id(), door.id(), door.id());
    let from = party(Some("5b4458eb1b2b33001bf213bf"), "1001");
    let to = party(Some("5b0525134c031900157348xd"), "1002");
    for fact in [
        call_created(call, from.clone(), "1002", None),
        named(call, "bot", THREAD),
        leg_created(caller, call, from, true),
        leg_created(callee, call, to, false),
        FactKind::LegAnswered { leg: callee },
        FactKind::LegAnswered { leg: caller },
        FactKind::LegsBridged { call, a: caller, b: callee },
    ] {
        door.happens(&Bot, fact);
    }
    let routes = Bot.routes(door.clone());
    Scene { door, routes, call, caller, callee }
}

fn signed_at(unix_s: u64, method: &str, body: &[u8]) -> Request<Body> {
    let timestamp = unix_s.to_string();
    Request::post(format!("/bot/{TEAM}/{method}"))
        .header("content-type", "application/json")
        .header("X-Bot-Id", "the-bot")
        .header("X-Timestamp", &timestamp)
        .header("X-Signature", signature_of("the-bot", SECRET, &timestamp, body))
        .body(Body::from(body.to_vec()))
        .unwrap()
}

impl Scene {
    async fn post(&self, method: &str, body: &Value) -> (StatusCode, Value) {
        let body = serde_json::to_vec(body).unwrap();
        ask(&self.routes, signed_at(NOW.as_millis() / 1000, method, &body)).await
    }

    fn happens(&self, fact: FactKind) {
        self.door.happens(&Bot, fact);
    }

    /// What must be so for a sample's request to make sense.
    fn prepare(&self, heading: &str) {
        let (call, node) = (self.call, NodeId::new("m1").unwrap());
        match heading {
            "call.user/unhold" => {
                self.happens(FactKind::LegHeld { leg: self.caller, by: HeldBy::Application });
            }
            "call.audio/stop" => self.happens(FactKind::PlaybackStarted {
                playback: self.door.id(),
                call,
                leg: None,
                source: Source::Url("https://url.to.your/audiofile.mp3".into()),
                barge_in: BargeIn::None,
            }),
            "call.recording/stop" => {
                self.happens(FactKind::RecordingStarted {
                    recording: self.door.id(),
                    call,
                    node,
                    stereo: false,
                    format: FileFormat::Wav,
                    layout: Layout::Mono,
                    name: "".into(),
                    legs: Vec::new(),
                    callback: None,
                    beep: false,
                });
            }
            "call.stream/stop" => {
                let stream = self.door.id();
                self.happens(FactKind::StreamStarted { stream, call, format: FileFormat::Wav, node });
            }
            _ => {}
        }
    }
}

/// A URL of ours for one of the sample's: the one thing in an answer that cannot be equal.
fn normalised(mut answer: Value) -> Value {
    if let Some(data) = answer.get_mut("data").and_then(Value::as_object_mut) {
        for field in ["fileUrl", "streamUrl"] {
            if let Some(url) = data.get_mut(field) {
                assert!(url.as_str().is_some_and(|url| url.starts_with("https://")), "{url}");
                *url = json!("https://url");
            }
        }
    }
    answer
}

#[tokio::test]
async fn every_sample_is_answered_as_the_document_shows() {
    let samples = samples();
    assert_eq!(samples.len(), 11);
    for sample in samples.iter().filter(|sample| sample["heading"] != "call/get") {
        let heading = sample["heading"].as_str().unwrap();
        // The heading, the table's address and the curl's: all of them are methods.
        for method in ["heading", "listed", "method"].map(|name| sample[name].as_str().unwrap()) {
            for body in ["request", "body"].map(|name| &sample[name]) {
                let scene = scene().await;
                scene.prepare(heading);
                if heading == "call.recording/stop" {
                    scene.door.answer_by(|command, fold| {
                        let CallCommandKind::StopRecording { recording } = command.kind else {
                            unreachable!()
                        };
                        let (file, duration_ms, size_bytes) = ("f.wav".into(), 1, 2);
                        let kind = FactKind::RecordingFinished {
                            recording,
                            file,
                            duration_ms,
                            size_bytes,
                            tracks: Vec::new(),
                        };
                        let tenant = command.tenant.clone();
                        fold.apply(&sidetone_model::fact::Fact { tenant, at: NOW, kind });
                        Ok(sidetone_model::fact::CommandSubject::Recording(recording))
                    });
                }
                let (status, answer) = scene.post(method, body).await;
                assert_eq!(status, StatusCode::OK, "{method} {body}: {answer}");
                assert_eq!(normalised(answer), normalised(sample["response"].clone()), "{method} {body}");
                assert_eq!(scene.door.taken().len(), 1, "{method} {body}");
            }
        }
    }
}

/// The sample of `call/get`, rebuilt out of facts. The document gives the originator, who is in it once as `originateUserId` and once
/// in the list, two contact ids and two trunks that differ by a letter: the ids are taken over, of the trunks the first.
#[tokio::test]
async fn a_call_is_shown_field_by_field_as_in_the_document() {
    let sample = samples().remove(0);
    let scene = scene().await;
    let (door, call) = (&scene.door, scene.door.id::<CallId>());
    let channel = LegId::from("558d25da-d6e4-11e8-bd3d-4799aea902e9".parse::<uuid::Uuid>().unwrap());
    let called = Destination::User(sidetone_model::ids::UserId::new("5bcda4d25ad71w0015771257").unwrap());
    let from = party(Some("5bcda4d2e74419001f6fe4b1"), "07112749");
    scene.happens(FactKind::CallEnded {
        call: scene.call,
        termination: sidetone_model::termination::Termination::new(
            sidetone_model::termination::Cause::Normal,
        ),
    });
    for fact in [
        call_created(call, from, "100", Some(called)),
        named(call, "bot", THREAD),
        named(call, "bot-stream", "5bbc67c5522e2400149af76c"),
        leg_created(door.id(), call, party(Some("5b72aaab444507001c8be443"), ""), false),
        leg_created(channel, call, party(Some("2bcda4d2e74419001f6fe4f0"), "07112749"), true),
        FactKind::LegRouted { leg: channel, trunk: "bambYXY3o".into() },
        FactKind::LegAnswered { leg: channel },
    ] {
        scene.happens(fact);
    }
    let (status, answer) = scene.post("call/get", &sample["request"]).await;
    assert_eq!(status, StatusCode::OK);
    let expected = sample["response"].to_string().replace("bambYVY3o", "bambYXY3o");
    assert_eq!(answer, serde_json::from_str::<Value>(&expected).unwrap());
}

#[tokio::test]
async fn methods_become_the_commands_that_they_mean() {
    let scene = scene().await;
    let thread = |more: Value| {
        let mut body = more;
        body["threadId"] = json!(THREAD);
        body
    };
    let (call, caller, callee) = (scene.call, scene.caller, scene.callee);
    // Of two who talk, the other one holds.
    scene.post("call.user/hold", &thread(json!({"contactId": "5b0525134c031900157348xd"}))).await;
    assert_eq!(scene.door.taken(), [CallCommandKind::Hold { leg: caller }]);
    scene.post("call.user/hold", &thread(json!({"phone": 1001}))).await;
    assert_eq!(scene.door.taken(), [CallCommandKind::Hold { leg: callee }], "a phone may be a number");
    scene.post("call/kick", &thread(json!({"userId": "5b4458eb1b2b33001bf213bf"}))).await;
    assert_eq!(scene.door.taken(), [CallCommandKind::HangUpLeg { leg: caller }]);
    scene.post("call/kick", &thread(json!({}))).await;
    assert_eq!(scene.door.taken(), [CallCommandKind::HangUpCall { call }]);
    let url = "https://a.example/x.WAV?version=2";
    scene.post("call.audio/play", &thread(json!({"url": url, "isLoop": true, "phone": "1002"}))).await;
    let (to, sources) = (Audience::Leg(callee), vec![Source::Url(url.into())]);
    assert_eq!(
        scene.door.taken(),
        [CallCommandKind::Play {
            to,
            sources,
            repeat: 0,
            manner: Manner::Instead,
            options: PlayOptions::default()
        }]
    );
    scene.post("call.audio/play", &thread(json!({"url": url, "manner": "over"}))).await;
    let (to, sources) = (Audience::Call(call), vec![Source::Url(url.into())]);
    let manner = Manner::Over(Beside::default());
    assert_eq!(
        scene.door.taken(),
        [CallCommandKind::Play { to, sources, repeat: 1, manner, options: PlayOptions::default() }]
    );
    let (status, refused) = scene.post("call.audio/play", &thread(json!({"url": url, "manner": 7}))).await;
    assert_eq!((status, scene.door.taken().len()), (StatusCode::BAD_REQUEST, 0), "{refused}");
}

#[tokio::test]
async fn an_invitation_into_an_empty_thread_begins_its_call() {
    let scene = scene().await;
    let body = json!({"threadId": "new", "userIds": [
        {"contactId": "5b4458eb1b2b33001bf213bf"},
        {"userId": "5b72aaab444507001b8sw553", "phone": 89999999999_u64},
    ]});
    let (status, answer) = scene.post("call/invite", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let commands = std::mem::take(&mut *scene.door.commands.lock().unwrap());
    assert_eq!(commands.len(), 2);
    assert_ne!(commands[0].key, commands[1].key);
    for (command, number) in commands.iter().zip(["1001", "89999999999"]) {
        let CallCommandKind::Join { call: CallName::External(external), to_number, .. } = &command.kind
        else {
            panic!("{command:?}")
        };
        let dialect = format!("bot/{TEAM}");
        assert_eq!((&*external.dialect, &*external.key, &**to_number), (&*dialect, "new", number));
    }
}

#[tokio::test]
async fn a_call_that_nobody_named_is_a_thread_by_its_own_id() {
    let scene = scene().await;
    let (call, leg): (CallId, LegId) = (scene.door.id(), scene.door.id());
    scene.happens(call_created(call, party(None, "49301"), "1001", None));
    scene.happens(leg_created(leg, call, party(None, "49301"), true));
    let thread = call.as_uuid().simple().to_string();
    scene.post("call/kick", &json!({"threadId": thread, "contactId": "49301"})).await;
    assert_eq!(scene.door.taken(), [CallCommandKind::HangUpLeg { leg }]);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let scene = scene().await;
    let cases = [
        ("call/get", json!({}), 400, "threadId"),
        ("call/get", json!({"threadId": 7}), 400, "threadId"),
        ("call/get", json!({"threadId": "none"}), 404, "threadId"),
        ("call/get", json!([]), 400, "body"),
        ("call/invite", json!({"threadId": THREAD}), 400, "contactId"),
        (
            "call/invite",
            json!({"threadId": THREAD, "contactId": "a", "userIds": [{"contactId": "b"}]}),
            400,
            "userIds",
        ),
        ("call/invite", json!({"threadId": THREAD, "userIds": [{}]}), 400, "userIds"),
        ("call/invite", json!({"threadId": THREAD, "contactId": "nobody"}), 404, "contactId"),
        ("call.user/hold", json!({"threadId": THREAD}), 400, "contactId"),
        ("call.user/hold", json!({"threadId": THREAD, "contactId": "nobody"}), 404, "contactId"),
        ("call.user/unhold", json!({"threadId": THREAD, "phone": "1001"}), 409, "hold"),
        ("call.audio/play", json!({"threadId": THREAD}), 400, "url"),
        ("call.audio/play", json!({"threadId": THREAD, "url": "https://a/b.ogg"}), 400, "url"),
        ("call.audio/play", json!({"threadId": THREAD, "url": "file:///etc/a.wav"}), 400, "url"),
        (
            "call.audio/play",
            json!({"threadId": THREAD, "url": "https://a/b.wav", "isLoop": "yes"}),
            400,
            "isLoop",
        ),
        ("call.audio/stop", json!({"threadId": THREAD, "url": "https://a/b.wav"}), 404, "url"),
        ("call.recording/stop", json!({"threadId": THREAD}), 409, "recorded"),
        ("call.stream/stop", json!({"threadId": THREAD}), 409, "streamed"),
    ];
    for (method, body, status, named) in cases {
        let (got, answer) = scene.post(method, &body).await;
        assert_eq!(got.as_u16(), status, "{method} {body}: {answer}");
        assert_eq!(answer["code"], status, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(named), "{method} {body}: {answer}");
    }
    assert_eq!(scene.door.taken(), []);
    let request = Request::get(format!("/bot/{TEAM}/call/get")).body(Body::empty()).unwrap();
    assert_eq!(ask(&scene.routes, request).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn only_a_signed_request_of_the_teams_bot_is_heard() {
    let scene = scene().await;
    let body = format!("{{\"threadId\": \"{THREAD}\"}}").into_bytes();
    let now = NOW.as_millis() / 1000;
    assert_eq!(ask(&scene.routes, signed_at(now - 299, "call/get", &body)).await.0, StatusCode::OK);
    let spoiled: [fn(&mut Request<Body>); 6] = [
        |request| drop(request.headers_mut().remove("x-signature")),
        |request| drop(request.headers_mut().insert("x-bot-id", "another".parse().unwrap())),
        |request| drop(request.headers_mut().insert("x-timestamp", "soon".parse().unwrap())),
        |request| drop(request.headers_mut().insert("x-timestamp", "1540203731".parse().unwrap())),
        |request| *request.body_mut() = Body::from("{}"),
        |request| *request.uri_mut() = "/bot/another-team/call/get".parse().unwrap(),
    ];
    for (n, spoil) in spoiled.into_iter().enumerate() {
        let mut request = signed_at(now, "call/get", &body);
        spoil(&mut request);
        let (status, answer) = ask(&scene.routes, request).await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNAUTHORIZED, &json!(401)), "case {n}");
    }
    let old = ask(&scene.routes, signed_at(now - 301, "call/get", &body)).await.0;
    assert_eq!(old, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_repeated_request_is_not_carried_out_again_and_another_one_is() {
    let scene = scene().await;
    let body = format!("{{\"threadId\": \"{THREAD}\"}}").into_bytes();
    let now = NOW.as_millis() / 1000;
    for (request, commands) in [
        (signed_at(now, "call/kick", &body), 1),
        (signed_at(now, "call/kick", &body), 1),
        (signed_at(now + 1, "call/kick", &body), 2),
    ] {
        assert_eq!(ask(&scene.routes, request).await.0, StatusCode::OK);
        assert_eq!(scene.door.commands.lock().unwrap().len(), commands);
    }
    let keys: Vec<_> =
        scene.door.commands.lock().unwrap().iter().map(|command| command.key.clone()).collect();
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn every_route_is_in_the_openapi_document_and_that_has_no_other() {
    let document = serde_json::to_value(sidetone_dialects::bot::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for sample in samples() {
        for method in ["heading", "listed", "method"].map(|name| sample[name].as_str().unwrap()) {
            let path = &paths[&format!("/bot/{{team}}/{method}")];
            assert!(path["post"]["responses"]["200"].is_object(), "{method}");
            assert!(path["post"]["requestBody"].is_object(), "{method}");
        }
    }
    let scene = scene().await;
    assert_eq!(paths.len(), 13);
    for (path, item) in paths {
        let request = Request::post(path.replace("{team}", TEAM)).body(Body::empty()).unwrap();
        assert_eq!(ask(&scene.routes, request).await.0, StatusCode::UNAUTHORIZED, "{path} asks who it is");
        kit::serves_no_other_methods(&scene.routes, path, item).await;
    }
}
