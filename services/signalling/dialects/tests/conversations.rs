//! The conversation document's events (fixtures/conversation.json, by fixtures/extract_conversation.py), out of real
//! requests and the facts that they bring about.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::{Crowd, Door, NOW, SECRET, ask, call_created, leg_created, party, tenant};
use serde_json::{Value, json};
use sidetone_dialects::conversation::Conversation;
use sidetone_dialects::{Dialect as _, OrderKey, Recipient};
use sidetone_model::call::{ExternalRef, PlaybackEnd};
use sidetone_model::callback::CallbackMethod;
use sidetone_model::command::{Audience, CallCommand, CallCommandKind};
use sidetone_model::conversation::{ConversationCommand, ConversationFact};
use sidetone_model::fact::{CommandSubject, Fact, FactKind, RecordedSound};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{CallId, IdSource, LegId, NodeId, RecordingId};
use sidetone_model::media::{BargeIn, Beside, FileFormat, Layout, Manner, PlayOptions, Source};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;

const APPLICATION: &str = "9df502d9-784e-4f3f-8b23-e8faf438eb8f";

struct Scene {
    door: Arc<Door>,
    routes: Router,
    facts: Arc<Mutex<Vec<Fact>>>,
}

/// What call control makes of a command about conversations, as far as these tests go.
fn carried_out(command: &CallCommand, ids: &mut IdSource) -> Vec<FactKind> {
    let command = match &command.kind {
        CallCommandKind::Conversation(command) => command,
        heard => return heard_of(heard, ids),
    };
    let mut before = Vec::new();
    let fact = match (**command).clone() {
        ConversationCommand::PutPerson { person, application, name, display_name } => {
            ConversationFact::PersonPut { person, application, name, display_name }
        }
        ConversationCommand::Put { conversation, application, name, display_name } => {
            ConversationFact::Put { conversation, application, name, display_name }
        }
        ConversationCommand::Invite { conversation, member, person, from, to, .. } => {
            let (call, leg): (CallId, LegId) = (ids.make(NOW), ids.make(NOW));
            let key = conversation.to_string().into();
            let external = ExternalRef { dialect: "conversation".into(), key };
            before.push(call_created(call, party(None, &from), &to, None));
            before.push(FactKind::ExternalRefAdded { call, external });
            before.push(leg_created(leg, call, party(None, &to), false));
            let (legs, knocked) = (vec![leg], false);
            ConversationFact::MemberInvited { conversation, member, person, from, to, legs, knocked }
        }
        ConversationCommand::Leave { conversation, member } => {
            ConversationFact::MemberLeft { conversation, member }
        }
        ConversationCommand::Delete { conversation } => ConversationFact::Deleted { conversation },
        ConversationCommand::DeletePerson { person } => ConversationFact::PersonDeleted { person },
        ConversationCommand::Post { conversation, member, r#type, body } => {
            ConversationFact::EventPosted { conversation, member, r#type, body }
        }
        ConversationCommand::DeleteEvent { conversation, event } => {
            ConversationFact::EventDeleted { conversation, event }
        }
    };
    before.push(FactKind::Conversation { fact: Box::new(fact) });
    before
}

/// What it makes of commands about what is heard in the call that was begun first.
fn heard_of(command: &CallCommandKind, ids: &mut IdSource) -> Vec<FactKind> {
    match command {
        CallCommandKind::Play { to, sources, .. } => {
            let (call, leg) = match to {
                Audience::Call(call) => (*call, None),
                Audience::Leg(_) => return Vec::new(),
            };
            let (playback, source) = (ids.make(NOW), sources[0].clone());
            vec![FactKind::PlaybackStarted { playback, call, leg, source, barge_in: BargeIn::None }]
        }
        CallCommandKind::StopPlay { playback: Some(playback), .. } => {
            vec![FactKind::PlaybackFinished { playback: *playback, end: PlaybackEnd::Stopped }]
        }
        CallCommandKind::SetAudio { leg, muted, deafened, voice } => {
            let voice = voice.unwrap_or_default();
            vec![FactKind::LegAudioChanged { leg: *leg, muted: *muted, deafened: *deafened, voice }]
        }
        _ => Vec::new(),
    }
}

async fn scene() -> Scene {
    let application = pb::Application {
        tenant: "demo".into(),
        application: APPLICATION.into(),
        kind: pb::ApplicationKind::Conversation.into(),
        ..pb::Application::default()
    };
    let door = Door::new(&[application], Crowd::default()).await;
    let facts: Arc<Mutex<Vec<Fact>>> = Arc::default();
    let kept = Arc::clone(&facts);
    let mut ids = IdSource::seeded([8; 32]);
    door.answer_by(move |command, fold| {
        for kind in carried_out(command, &mut ids) {
            let fact = Fact { tenant: tenant(), at: NOW, kind };
            fold.apply(&fact);
            kept.lock().unwrap().push(fact);
        }
        Ok(subject_of(command, fold))
    });
    let routes = Conversation.routes(door.clone());
    Scene { door, routes, facts }
}

fn subject_of(command: &CallCommand, fold: &Fold) -> CommandSubject {
    let CallCommandKind::Conversation(command) = &command.kind else {
        return CommandSubject::Conversation(uuid::Uuid::nil().into());
    };
    match &**command {
        ConversationCommand::Post { conversation, .. } => {
            let view = fold.conversations().get(&tenant(), *conversation).unwrap();
            CommandSubject::ConversationEvent(*conversation, view.last_event)
        }
        _ => CommandSubject::Conversation(uuid::Uuid::nil().into()),
    }
}

fn token(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

fn claims() -> Value {
    json!({"application_id": APPLICATION, "iat": NOW.as_millis() / 1000, "jti": "1"})
}

impl Scene {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        // Each request has a key of its own, as the door would give it one.
        let key = format!("key-{}", self.door.id::<CallId>());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", token(&claims())))
            .header("idempotency-key", key);
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        ask(&self.routes, request.body(body).unwrap()).await
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let (status, made) = self.ask(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{path}: {made}");
        made
    }

    fn happens(&self, kind: FactKind) {
        let fact = Fact { tenant: tenant(), at: NOW, kind };
        self.door.fold.lock().unwrap().apply(&fact);
        self.facts.lock().unwrap().push(fact);
    }

    /// Everything that has happened, projected from the beginning.
    fn told(&self) -> Vec<Value> {
        let mut fold = Fold::default();
        let facts = self.facts.lock().unwrap();
        let project = |fact: &Fact| {
            let projection = Conversation.project(&fold, fact, &self.door.people);
            fold.apply(fact);
            projection(&fold)
        };
        facts.iter().flat_map(project).map(|emission| emission.body).collect()
    }

    fn leg_of(&self, member: &Value) -> LegId {
        member["channel"]["id"].as_str().unwrap().parse().unwrap()
    }
}

fn channel() -> Value {
    json!({"type": "phone", "from": {"type": "phone", "number": "447479199288"}, "to": {"type": "phone", "number": "447418397039"}})
}

/// Ids and times by their form.
fn normalised(value: &Value) -> Value {
    match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), normalised(value))).collect(),
        Value::Array(array) => array.iter().map(normalised).collect(),
        Value::String(text) => {
            let (prefix, rest) = ["CON-", "USR-", "MEM-", "NAM-", "knocker:"]
                .iter()
                .find_map(|prefix| Some((*prefix, text.strip_prefix(prefix)?)))
                .unwrap_or(("", text));
            let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
            match rest.len() {
                36 if rest != APPLICATION && uuid::Uuid::try_parse(rest).is_ok() => {
                    json!(format!("{prefix}<uuid>"))
                }
                32 if uuid::Uuid::try_parse(rest).is_ok() => json!("<32 hex>"),
                _ if is_time => json!("<time>"),
                _ => value.clone(),
            }
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn the_documents_events_come_out_field_by_field() {
    let scene = scene().await;
    let (call, caller): (CallId, LegId) = (scene.door.id(), scene.door.id());
    scene.happens(call_created(call, party(None, "447479199288"), "447418397039", None));
    scene.happens(leg_created(caller, call, party(None, "447479199288"), true));
    scene.happens(FactKind::LegWaiting { leg: caller });
    let conversation = scene.made("/beta/conversations", json!({})).await;
    let user = scene.made("/beta/users", json!({})).await;
    let path = format!("/beta/conversations/{}/members", conversation["id"].as_str().unwrap());
    let invite = json!({"user_id": user["id"], "action": "invite", "channel": channel()});
    let member = scene.made(&path, invite).await;
    scene.happens(FactKind::LegRinging { leg: scene.leg_of(&member) });

    let mut expected: Vec<Value> =
        serde_json::from_str(include_str!("../fixtures/conversation.json")).unwrap();
    assert_eq!(expected.len(), 6);
    // The document prints event 3 before event 2: consumers order by the number.
    expected[4..].sort_by_key(|event| event["id"].as_u64());
    let told = scene.told();
    assert_eq!(told.len(), 6);
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(normalised(told), normalised(expected), "{}", expected["type"]);
    }
    let channel = &told[3]["body"]["channel"];
    assert_eq!((&channel["id"], &channel["id"]), (&channel["leg_ids"][0], &channel["legs"][0]["leg_id"]));
}

#[tokio::test]
async fn the_event_log_is_asked_by_number_type_order_and_page() {
    let scene = scene().await;
    let conversation = scene.made("/v1/conversations", json!({"name": "meeting"})).await;
    let user = scene.made("/v1/users", json!({"name": "bob"})).await;
    let base = format!("/v1/conversations/{}", conversation["id"].as_str().unwrap());
    let invite = json!({"user_id": user["id"], "action": "invite", "channel": channel()});
    let member = scene.made(&format!("{base}/members"), invite).await;
    let leg = scene.leg_of(&member);
    scene.happens(FactKind::LegRinging { leg });
    scene.happens(FactKind::LegAnswered { leg });
    let voice = Default::default();
    scene.happens(FactKind::LegAudioChanged { leg, muted: true, deafened: false, voice });
    let (status, posted) = scene
        .ask(Method::POST, &format!("{base}/events"), Some(json!({"type": "custom:hello", "body": {"a": 1}})))
        .await;
    assert_eq!((status, posted["id"].as_u64()), (StatusCode::CREATED, Some(10)));

    let ids = async |query: &str| {
        let (status, page) = scene.ask(Method::GET, &format!("{base}/events?{query}"), None).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let events = page["_embedded"]["events"].as_array().unwrap().clone();
        let ids: Vec<u64> = events.iter().map(|event| event["id"].as_u64().unwrap()).collect();
        (ids, page["_links"]["next"]["cursor"].as_str().map(ToOwned::to_owned))
    };
    assert_eq!(ids("page_size=100").await, ((1..=10).collect(), None));
    assert_eq!(ids("start_id=4&end_id=6").await.0, [4, 5, 6]);
    assert_eq!(ids("event_type=leg:status:update").await.0, [2, 4]);
    let (first, cursor) = ids("page_size=4&order=desc").await;
    assert_eq!((first, cursor.as_deref()), (vec![10, 9, 8, 7], Some("7")));
    assert_eq!(ids("page_size=4&order=desc&cursor=7").await.0, [6, 5, 4, 3]);
    // The event that a page ended with is shown no more: the next page goes on behind its place all the same.
    let (status, _) = scene.ask(Method::DELETE, &format!("{base}/events/7"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(ids("page_size=4&order=desc&cursor=7").await.0, [6, 5, 4, 3]);
    let (status, refused) = scene.ask(Method::GET, &format!("{base}/events?cursor=nonsense"), None).await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("http:error:validation-fail")));
    let (status, unknown) = scene.ask(Method::GET, "/v1/nothing", None).await;
    assert_eq!((status, &unknown["code"]), (StatusCode::NOT_FOUND, &json!("http:error:not-found")));
    let types: Vec<Value> = scene.told().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(
        types[1..],
        [
            "member:invited",
            "leg:status:update",
            "sip:ringing",
            "leg:status:update",
            "sip:answered",
            "member:joined",
            "member:media",
            "audio:mute:on",
            "member:media",
            "custom:hello",
        ]
        .map(Value::from)
    );
    let (status, _) = scene.ask(Method::DELETE, &format!("{base}/events/10"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(scene.ask(Method::GET, &format!("{base}/events/10"), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(scene.ask(Method::DELETE, &base, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.ask(Method::GET, &base, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(scene.told().last().unwrap()["type"], "conversation:deleted");
}

#[tokio::test]
async fn a_member_is_muted_by_its_leg_and_sent_away() {
    let scene = scene().await;
    let conversation = scene.made("/beta/conversations", json!({})).await;
    let user = scene.made("/beta/users", json!({})).await;
    let members = format!("/beta/conversations/{}/members", conversation["id"].as_str().unwrap());
    let invite = json!({"user_id": user["id"], "action": "join", "channel": channel()});
    let member = scene.made(&members, invite).await;
    let one = format!("{members}/{}", member["id"].as_str().unwrap());
    scene.door.taken();
    let mute = json!({"media": {"audio_settings": {"muted": true}}});
    assert_eq!(scene.ask(Method::PUT, &one, Some(mute)).await.0, StatusCode::OK);
    let leg = scene.leg_of(&member);
    let muted = CallCommandKind::SetAudio { leg, muted: true, deafened: false, voice: None };
    assert_eq!(scene.door.taken(), [muted]);
    let (status, left) = scene.ask(Method::PUT, &one, Some(json!({"state": "left"}))).await;
    assert_eq!((status, &left["state"]), (StatusCode::OK, &json!("left")));
}

/// A conversation with one member: its path, the member, and the call.
async fn with_member(scene: &Scene) -> (String, Value, CallId) {
    let conversation = scene.made("/beta/conversations", json!({})).await;
    let user = scene.made("/beta/users", json!({})).await;
    let path = format!("/beta/conversations/{}", conversation["id"].as_str().unwrap());
    let invite = json!({"user_id": user["id"], "action": "join", "channel": channel()});
    let member = scene.made(&format!("{path}/members"), invite).await;
    let call = scene.door.fold.lock().unwrap().leg(scene.leg_of(&member)).unwrap().call;
    scene.door.taken();
    (path, member, call)
}

#[tokio::test]
async fn what_is_heard_is_changed_by_events_and_told_by_events() {
    let scene = scene().await;
    let (path, member, call) = with_member(&scene).await;
    let events = format!("{path}/events");
    let all = Audience::Call(call);
    let url = |url: &str| Source::Url(url.into());

    let body = json!({"stream_url": ["https://a/1.mp3", "https://a/2.mp3"], "loop": 0});
    let played = scene.made(&events, json!({"type": "audio:play", "body": body})).await;
    let sources = vec![url("https://a/1.mp3"), url("https://a/2.mp3")];
    assert_eq!(
        scene.door.taken(),
        [CallCommandKind::Play {
            to: all,
            sources,
            repeat: 0,
            manner: Manner::Instead,
            options: PlayOptions::default()
        }]
    );
    let rings = scene.made(&events, json!({"type": "audio:ringing:start"})).await;
    let tone = vec![Source::Prompt("tone:ringback/itu".into())];
    assert_eq!(
        scene.door.taken(),
        [CallCommandKind::Play {
            to: all,
            sources: tone,
            repeat: 0,
            manner: Manner::Instead,
            options: PlayOptions::default()
        }]
    );
    assert!(played["id"].as_u64() < rings["id"].as_u64(), "{played} {rings}");

    let play_id = &played["body"]["play_id"];
    scene.made(&events, json!({"type": "audio:play:stop", "body": {"play_id": play_id}})).await;
    scene.made(&events, json!({"type": "audio:ringing:stop"})).await;
    let stopped = scene.door.taken();
    assert!(matches!(&stopped[..], [CallCommandKind::StopPlay { .. }, CallCommandKind::StopPlay { .. }]));
    let to = &member["id"];
    for r#type in ["audio:mute:on", "audio:earmuff:on", "audio:mute:off", "audio:earmuff:off"] {
        scene.made(&events, json!({"type": r#type, "to": to})).await;
    }
    let leg = scene.leg_of(&member);
    let set = |muted, deafened| CallCommandKind::SetAudio { leg, muted, deafened, voice: None };
    assert_eq!(scene.door.taken(), [set(true, false), set(true, true), set(false, true), set(false, false)]);
    let url_alone = json!({"type": "audio:play", "to": to, "body": {"stream_url": "https://a/1.mp3"}});
    scene.ask(Method::POST, &events, Some(url_alone)).await;
    let to_member = to;
    let (to, sources) = (Audience::Leg(leg), vec![url("https://a/1.mp3")]);
    assert_eq!(
        scene.door.taken(),
        [CallCommandKind::Play {
            to,
            sources,
            repeat: 1,
            manner: Manner::Instead,
            options: PlayOptions::default()
        }]
    );
    let over = |duck, gain| Manner::Over(Beside::new(duck, gain).unwrap());
    for (more, expected) in [
        (json!({"manner": "over"}), over(None, 0)),
        (json!({"manner": "under", "level": 0}), Manner::Under(Beside::default())),
        (json!({"manner": "over", "level": 0.5}), over(None, 9_000)),
        (json!({"level": -1}), over(Some(-72_000), -18_000)),
        (json!({"manner": "instead", "level": 0}), Manner::Instead),
    ] {
        let mut body = json!({"stream_url": "https://a/1.mp3"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene
            .ask(Method::POST, &events, Some(json!({"type": "audio:play", "to": to_member, "body": body})))
            .await;
        let taken = scene.door.taken();
        assert!(
            matches!(&taken[..], [CallCommandKind::Play { manner, .. }] if *manner == expected),
            "{taken:?}"
        );
    }

    let told: Vec<Value> = scene.told().iter().map(|event| event["type"].clone()).collect();
    let audio: Vec<&str> = told.iter().filter_map(|r#type| r#type.as_str()?.strip_prefix("audio:")).collect();
    let heard = ["play", "ringing:start", "play:stop", "ringing:stop"];
    assert_eq!(audio, [&heard[..], &["mute:on", "earmuff:on", "mute:off", "earmuff:off"]].concat());
}

#[tokio::test]
async fn what_cannot_be_heard_is_refused_by_its_field() {
    let scene = scene().await;
    let (path, _, _) = with_member(&scene).await;
    for (body, status, named) in [
        (json!({"type": "audio:play"}), 400, "body.stream_url"),
        (json!({"type": "audio:play", "body": {"stream_url": "ftp://a/b.mp3"}}), 400, "body.stream_url"),
        (json!({"type": "audio:play", "body": {"stream_url": []}}), 400, "body.stream_url"),
        (json!({"type": "audio:play", "body": {"stream_url": [7]}}), 400, "body.stream_url"),
        (json!({"type": "audio:play", "body": {"stream_url": "http://a/b", "loop": -1}}), 400, "body.loop"),
        (
            json!({"type": "audio:play", "body": {"stream_url": "http://a/b", "level": 1.5}}),
            400,
            "body.level",
        ),
        (
            json!({"type": "audio:play", "body": {"stream_url": "http://a/b", "level": "1"}}),
            400,
            "body.level",
        ),
        (
            json!({"type": "audio:play", "body": {"stream_url": "http://a/b", "manner": "beside"}}),
            400,
            "body.manner",
        ),
        (json!({"type": "audio:play:stop", "body": {}}), 400, "body.play_id"),
        (json!({"type": "audio:play:stop", "body": {"play_id": "x"}}), 404, "play"),
        (json!({"type": "audio:ringing:stop"}), 404, "play"),
        (json!({"type": "audio:mute:on"}), 400, "to"),
        (json!({"type": "audio:mute:on", "to": "MEM-x"}), 404, "member"),
        // Nothing here speaks or understands speech, and members are telephones.
        (json!({"type": "audio:say", "body": {"text": "hello"}}), 400, "type"),
        (json!({"type": "audio:say:stop"}), 400, "type"),
        (json!({"type": "audio:asr:record", "body": {}}), 400, "type"),
        (json!({"type": "rtc:answer", "body": {}}), 400, "type"),
    ] {
        let (got, answer) = scene.ask(Method::POST, &format!("{path}/events"), Some(body.clone())).await;
        assert_eq!(got.as_u16(), status, "{body}: {answer}");
        assert!(answer["description"].as_str().unwrap().contains(named), "{body}: {answer}");
    }
    assert_eq!(scene.door.taken(), []);
}

#[tokio::test]
async fn a_complete_recording_is_found_under_files() {
    let scene = scene().await;
    let (_, _, call) = with_member(&scene).await;
    let recording: RecordingId = scene.door.id();
    let path = format!("/v1/files/{recording}");
    assert_eq!(scene.ask(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    scene.happens(FactKind::RecordingStarted {
        recording,
        call,
        node: NodeId::new("m1").unwrap(),
        stereo: false,
        format: Default::default(),
        layout: Default::default(),
        name: "".into(),
        legs: Vec::new(),
        callback: None,
        beep: false,
    });
    assert_eq!(scene.ask(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND, "it is not complete");
    let file = "f.wav".into();
    // It failed, but something was kept: for whoever listens that is the same.
    let sound = RecordedSound { file, tracks: ["f.1.wav".into()].into(), duration_ms: 1, size_bytes: 2 };
    let termination = Termination::new(Cause::Internal);
    scene.happens(FactKind::RecordingFailed { recording, termination, kept: Some(Box::new(sound)) });
    assert_eq!(scene.ask(Method::GET, &path, None).await.0, StatusCode::FOUND);
    for (track, status) in [
        ("0", StatusCode::FOUND),
        ("1", StatusCode::FOUND),
        ("2", StatusCode::NOT_FOUND),
        ("x", StatusCode::BAD_REQUEST),
    ] {
        let path = format!("{path}?track={track}");
        assert_eq!(scene.ask(Method::GET, &path, None).await.0, status, "{track}");
    }
    assert_eq!(scene.ask(Method::GET, "/v1/files/x", None).await.0, StatusCode::NOT_FOUND);
    // Also when its call is forgotten: the conversation knows of it, and where it is.
    scene.happens(FactKind::CallEnded { call, termination: Termination::new(Cause::Normal) });
    let tomorrow = Timestamp::from_millis(NOW.as_millis() + 24 * 3_600_000);
    let kept = {
        let mut fold = scene.door.fold.lock().unwrap();
        fold.forget_ended(tomorrow);
        assert!(fold.recording(recording).is_none() && fold.call(call).is_none());
        let (_, node, file) = fold.conversations().recording(&tenant(), recording).unwrap();
        (node.to_string(), file.to_string())
    };
    assert_eq!(kept, ("m1".to_owned(), "f.wav".to_owned()));
    assert_eq!(scene.ask(Method::GET, &path, None).await.0, StatusCode::FOUND);
    let other: RecordingId = scene.door.id();
    assert_eq!(scene.ask(Method::GET, &format!("/v1/files/{other}"), None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_asked_for_a_recording_is_told_when_it_can_be_fetched() {
    let scene = scene().await;
    let (path, _, call) = with_member(&scene).await;
    let record = format!("{path}/record");
    let long = format!("https://a/{}", "b".repeat(2048));
    for (field, value) in [
        ("event_url", json!("ftp://a/b")),
        ("event_url", json!("/b")),
        ("event_url", json!("https://user@a/b")),
        ("event_url", json!(["https://a/b", "https://a/c"])),
        ("event_url", json!(7)),
        ("event_url", json!(long)),
        ("event_method", json!("PUT")),
        ("split", json!("legs")),
        ("format", json!("aiff")),
    ] {
        let mut body = json!({"action": "start"});
        body[field] = value;
        let (status, refused) = scene.ask(Method::PUT, &record, Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(refused["description"].as_str().unwrap().starts_with(field), "{refused}");
    }
    assert_eq!(scene.door.taken(), []);
    let body = json!({
        "action": "start", "format": "mp3", "split": "conversation",
        "event_url": ["https://app.example/recorded"], "event_method": "GET",
    });
    assert_eq!(scene.ask(Method::PUT, &record, Some(body)).await.0, StatusCode::NO_CONTENT);
    let taken = scene.door.taken();
    let [CallCommandKind::StartRecording { options, .. }] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!((options.format, options.layout), (FileFormat::Mp3, Layout::Stereo));
    let callback = options.callback.clone().unwrap();
    assert_eq!((&*callback.application, callback.method), (APPLICATION, CallbackMethod::Get));

    let recording: RecordingId = scene.door.id();
    let recorded = |callback| FactKind::RecordingStarted {
        recording,
        call,
        node: NodeId::new("m1").unwrap(),
        stereo: true,
        format: FileFormat::Mp3,
        layout: Layout::Stereo,
        name: "".into(),
        legs: Vec::new(),
        callback,
        beep: false,
    };
    let mut fold = scene.door.fold.lock().unwrap().clone();
    fold.apply(&Fact { tenant: tenant(), at: NOW, kind: recorded(Some(callback.clone())) });
    let file = "f.mp3".into();
    let kind = FactKind::RecordingFinished {
        recording,
        file,
        duration_ms: 1500,
        size_bytes: 6000,
        tracks: Vec::new(),
    };
    let finished = Fact { tenant: tenant(), at: NOW, kind };
    let projection = Conversation.project(&fold, &finished, &scene.door.people);
    fold.apply(&finished);
    let told = projection(&fold);
    assert_eq!(told[0].body["type"], "audio:record:stop");
    assert_eq!(told[1].body["type"], "audio:record:done");
    assert_eq!(told[0].body["body"], told[1].body["body"], "where it lies is nobody's business");
    let own = &told[2];
    assert_eq!(
        (&own.recipient, &own.order),
        (&Recipient::Callback(*callback), &OrderKey::Recording(recording))
    );
    assert_eq!(own.body["recording_url"], format!("/v1/files/{recording}"));
    assert_eq!(
        (&own.body["size"], &own.body["recording_uuid"]),
        (&json!(6000), &json!(recording.to_string()))
    );
    assert_eq!(own.body["conversation_uuid"], path.trim_start_matches("/beta/conversations/"));
    assert_eq!(told.len(), 3);
}

#[tokio::test]
async fn who_speaks_is_told_of_members_and_without_a_number() {
    let scene = scene().await;
    let (path, member, _) = with_member(&scene).await;
    let leg = scene.leg_of(&member);
    let fold = scene.door.fold.lock().unwrap().clone();
    for (speaks, r#type) in [(true, "audio:speaking:on"), (false, "audio:speaking:off")] {
        let told = Conversation.speaking(&fold, leg, speaks, NOW).unwrap();
        assert_eq!(told.recipient, Recipient::Application(APPLICATION.into()));
        let conversation = path.trim_start_matches("/beta/conversations/");
        assert_eq!(
            (&told.body["type"], &told.body["conversation_id"]),
            (&json!(r#type), &json!(conversation))
        );
        assert_eq!(
            (&told.body["from"], &told.body["body"]["user"]["member_id"]),
            (&member["id"], &member["id"])
        );
        assert!(told.body["id"].is_null(), "it is in no log");
    }
    assert_eq!(Conversation.speaking(&fold, scene.door.id(), true, NOW), None, "somebody else's leg");
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let scene = scene().await;
    let conversation = scene.made("/beta/conversations", json!({})).await;
    let user = scene.made("/beta/users", json!({})).await;
    scene.door.taken();
    let members = format!("/beta/conversations/{}/members", conversation["id"].as_str().unwrap());
    let with = |more: Value| {
        let mut body = json!({"user_id": user["id"], "action": "invite", "channel": channel()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let none = "CON-2b49b74a-9520-4503-aed6-0b3167915c83";
    let cases = [
        (members.clone(), with(json!({"action": "kick"})), 400, "action"),
        (members.clone(), with(json!({"user_id": 7})), 400, "user_id"),
        (members.clone(), with(json!({"user_id": "USR-nobody"})), 404, "user"),
        (members.clone(), with(json!({"channel": {"type": "sip"}})), 400, "channel.type"),
        (
            members.clone(),
            with(json!({"channel": {"type": "phone", "from": {}, "to": {}}})),
            400,
            "channel.from",
        ),
        (members.clone(), with(json!({"knocking_id": "me"})), 400, "knocking_id"),
        (format!("/beta/conversations/{none}/members"), with(json!({})), 404, "conversation"),
        ("/beta/conversations".into(), json!({"name": 5}), 400, "name"),
        (
            format!("/beta/conversations/{}/events", conversation["id"].as_str().unwrap()),
            json!({"type": "text"}),
            400,
            "type",
        ),
    ];
    for (path, body, status, named) in cases {
        let (got, answer) = scene.ask(Method::POST, &path, Some(body.clone())).await;
        assert_eq!(got.as_u16(), status, "{path} {body}: {answer}");
        assert!(answer["description"].as_str().unwrap().contains(named), "{path} {body}: {answer}");
    }
    for query in ["page_size=0", "page_size=x", "order=up", "start_id=-1"] {
        let path = format!("/beta/conversations/{}/events?{query}", conversation["id"].as_str().unwrap());
        assert_eq!(scene.ask(Method::GET, &path, None).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(scene.ask(Method::PATCH, "/beta/users", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(scene.door.taken(), []);
}

#[tokio::test]
async fn a_caller_who_knocks_is_refused_by_hanging_up_the_leg() {
    let scene = scene().await;
    let (call, leg): (CallId, LegId) = (scene.door.id(), scene.door.id());
    scene.happens(call_created(call, party(None, "100"), "200", None));
    scene.happens(leg_created(leg, call, party(None, "100"), true));
    let refuse = || scene.ask(Method::DELETE, "/v1/legs/", None);
    assert_eq!(refuse().await.0, StatusCode::NOT_FOUND);
    let path = format!("/v1/legs/{leg}");
    assert_eq!(scene.ask(Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND, "it does not wait");
    scene.happens(FactKind::LegWaiting { leg });
    assert_eq!(scene.door.taken(), []);
    assert_eq!(scene.ask(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.door.taken(), [CallCommandKind::HangUpLeg { leg }]);
}

#[tokio::test]
async fn only_a_token_of_the_application_is_heard() {
    let scene = scene().await;
    let now = NOW.as_millis() / 1000;
    let wrong_key = EncodingKey::from_secret(b"another secret of some length");
    let unsigned = format!("{}.", token(&claims()).rsplit_once('.').unwrap().0);
    let tokens = [
        (token(&claims()), StatusCode::OK),
        (token(&json!({"application_id": APPLICATION, "exp": now + 60})), StatusCode::OK),
        (token(&json!({"application_id": APPLICATION, "iat": now - 2000})), StatusCode::UNAUTHORIZED),
        (token(&json!({"application_id": APPLICATION, "exp": now - 60})), StatusCode::UNAUTHORIZED),
        (token(&json!({"application_id": APPLICATION})), StatusCode::UNAUTHORIZED),
        (token(&json!({"application_id": APPLICATION, "iat": now + 600})), StatusCode::UNAUTHORIZED),
        (token(&json!({"application_id": APPLICATION, "iat": now, "sub": "alice"})), StatusCode::FORBIDDEN),
        (
            token(&json!({"application_id": APPLICATION, "iat": now, "acl": {"paths": {"/*/users/**": {}}}})),
            StatusCode::OK,
        ),
        (
            token(&json!({"application_id": APPLICATION, "iat": now, "acl": {"paths": {"/*/legs/**": {}}}})),
            StatusCode::FORBIDDEN,
        ),
        (token(&json!({"application_id": APPLICATION, "iat": now, "acl": "all"})), StatusCode::UNAUTHORIZED),
        (token(&json!({"application_id": "another", "iat": now})), StatusCode::UNAUTHORIZED),
        (encode(&Header::new(Algorithm::HS256), &claims(), &wrong_key).unwrap(), StatusCode::UNAUTHORIZED),
        (encode(&Header::new(Algorithm::HS512), &claims(), &wrong_key).unwrap(), StatusCode::UNAUTHORIZED),
        (unsigned, StatusCode::UNAUTHORIZED),
        ("nonsense".to_owned(), StatusCode::UNAUTHORIZED),
    ];
    for (token, expected) in tokens {
        let request = Request::get("/beta/users").header("authorization", format!("Bearer {token}"));
        let (status, answer) = ask(&scene.routes, request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, expected, "{token}: {answer}");
    }
    let request = Request::get("/beta/users").body(Body::empty()).unwrap();
    assert_eq!(ask(&scene.routes, request).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_made_is_read_listed_changed_and_removed() {
    let scene = scene().await;
    for (what, prefix) in [("conversations", "CON-"), ("users", "USR-")] {
        let all = format!("/beta/{what}");
        let made = scene.made(&all, json!({})).await;
        let id = made["id"].as_str().unwrap();
        assert!(id.starts_with(prefix) && made["name"].as_str().unwrap().starts_with("NAM-"), "{made}");
        let one = format!("{all}/{id}");
        let (status, read) = scene.ask(Method::GET, &one, None).await;
        assert_eq!((status, &read["name"]), (StatusCode::OK, &made["name"]), "{what}");
        let change = json!({"name": "renamed", "display_name": "Front desk"});
        assert_eq!(scene.ask(Method::PUT, &one, Some(change)).await.0, StatusCode::OK, "{what}");
        let (_, read) = scene.ask(Method::GET, &one, None).await;
        assert_eq!((&read["name"], &read["display_name"]), (&json!("renamed"), &json!("Front desk")));
        let (status, page) = scene.ask(Method::GET, &all, None).await;
        assert_eq!((status, &page["_embedded"][what][0]["id"]), (StatusCode::OK, &json!(id)), "{page}");
        assert_eq!(scene.ask(Method::DELETE, &one, None).await.0, StatusCode::NO_CONTENT);
        assert_eq!(scene.ask(Method::GET, &one, None).await.0, StatusCode::NOT_FOUND);
    }
    let (path, member, _) = with_member(&scene).await;
    let id = member["id"].as_str().unwrap();
    assert_eq!(member["state"], "invited");
    let (_, page) = scene.ask(Method::GET, &format!("{path}/members"), None).await;
    assert_eq!(page["_embedded"]["members"][0]["id"], id, "{page}");
    let (_, read) = scene.ask(Method::GET, &format!("{path}/members/{id}"), None).await;
    assert_eq!(read["channel"]["id"], member["channel"]["leg_ids"][0]);
    let (_, page) = scene.ask(Method::GET, "/beta/legs", None).await;
    assert_eq!(page["_embedded"]["legs"][0]["leg_id"], member["channel"]["id"], "{page}");
    let leg = format!("/beta/legs/{}", member["channel"]["id"].as_str().unwrap());
    assert_eq!(scene.ask(Method::DELETE, &leg, None).await.0, StatusCode::NO_CONTENT);
    let (status, _) = scene.ask(Method::DELETE, &format!("{path}/members/{id}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, read) = scene.ask(Method::GET, &format!("{path}/members/{id}"), None).await;
    assert_eq!(read["state"], "left");
}
