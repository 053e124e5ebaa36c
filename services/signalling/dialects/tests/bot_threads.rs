//! Which calls a team's bot means by its threads, whom it can reach, and what becomes of a request that comes twice.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use kit::{Crowd, Door, NOW, SECRET, ask, call_created, leg_created, named, party, person};
use serde_json::{Value, json};
use sidetone_dialects::bot::{Bot, signature_of};
use sidetone_dialects::{Dialect as _, Recipient};
use sidetone_model::call::HeldBy;
use sidetone_model::command::{CallCommandKind, CallName};
use sidetone_model::fact::{FactKind, RecordedSound};
use sidetone_model::ids::{CallId, LegId, NodeId, RecordingId};
use sidetone_model::media::{FileFormat, Layout};
use sidetone_model::party::Party;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;

struct Scene {
    door: Arc<Door>,
    routes: Router,
}

/// Two teams, each with a number of its own.
async fn scene() -> Scene {
    let team = |name: &str, number: &str| pb::Application {
        tenant: "demo".into(),
        application: name.into(),
        kind: pb::ApplicationKind::Bot.into(),
        bot: "the-bot".into(),
        numbers: vec![number.into()],
        ..pb::Application::default()
    };
    let crowd = Crowd { persons: [person("ann", "1001")].into(), ..Crowd::default() };
    let door = Door::new(&[team("sales", "500"), team("care", "600")], crowd).await;
    let routes = Bot.routes(door.clone());
    Scene { door, routes }
}

/// A request, and what is put beside its signature.
struct Sent<'a> {
    team: &'a str,
    method: &'a str,
    body: Value,
    key: Option<&'a str>,
}

impl Scene {
    async fn send(&self, sent: &Sent<'_>) -> (StatusCode, Value) {
        let body = serde_json::to_vec(&sent.body).unwrap();
        let timestamp = (NOW.as_millis() / 1000).to_string();
        let mut request = Request::post(format!("/bot/{}/{}", sent.team, sent.method))
            .header("X-Bot-Id", "the-bot")
            .header("X-Timestamp", &timestamp)
            .header("X-Signature", signature_of("the-bot", SECRET, &timestamp, &body));
        if let Some(key) = sent.key {
            request = request.header("Idempotency-Key", key);
        }
        ask(&self.routes, request.body(Body::from(body)).unwrap()).await
    }

    async fn post(&self, team: &str, method: &str, body: Value) -> (StatusCode, Value) {
        self.send(&Sent { team, method, body, key: None }).await
    }

    fn happens(&self, facts: impl IntoIterator<Item = FactKind>) {
        for fact in facts {
            self.door.happens(&Bot, fact);
        }
    }

    /// Somebody has called a team.
    fn call(&self, dialled: &str) -> (CallId, LegId) {
        let (call, leg): (CallId, LegId) = (self.door.id(), self.door.id());
        let from = party(None, "49301");
        self.happens([call_created(call, from.clone(), dialled, None), leg_created(leg, call, from, true)]);
        (call, leg)
    }

    fn recorded(&self, call: CallId) -> RecordingId {
        let recording = self.door.id();
        let (node, name) = (NodeId::new("m1").unwrap(), "".into());
        let (format, layout, legs) = (FileFormat::Wav, Layout::Mono, Vec::new());
        let stereo = false;
        let started = FactKind::RecordingStarted {
            recording,
            call,
            node,
            stereo,
            format,
            layout,
            name,
            legs,
            callback: None,
            beep: false,
        };
        self.happens([started]);
        recording
    }

    fn finished(&self, recording: RecordingId) {
        let (file, duration_ms, size_bytes) = ("f.wav".into(), 1, 2);
        self.happens([FactKind::RecordingFinished {
            recording,
            file,
            duration_ms,
            size_bytes,
            tracks: Vec::new(),
        }]);
    }

    fn ended(&self, call: CallId, leg: LegId) {
        let termination = Termination::new(Cause::Normal);
        let left = FactKind::LegEnded { leg, termination: termination.clone() };
        self.happens([left, FactKind::CallEnded { call, termination }]);
    }
}

fn joins(commands: &[CallCommandKind]) -> Vec<(&CallName, &str)> {
    let join = |command: &CallCommandKind| matches!(command, CallCommandKind::Join { .. });
    assert!(commands.iter().all(join), "{commands:?}");
    let each = commands.iter().filter_map(|command| match command {
        CallCommandKind::Join { call, to_number, .. } => Some((call, &**to_number)),
        _ => None,
    });
    each.collect()
}

#[tokio::test]
async fn a_bot_invites_numbers_outside_and_no_unknown_names() {
    let scene = scene().await;
    let invite = |more: Value| {
        let mut body = json!({"threadId": "t"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let outside = [json!({"contactId": "+4930123"}), json!({"contactId": "x", "phone": "4930123"})];
    for contact in &outside {
        let (status, refused) = scene.post("sales", "call/invite", invite(contact.clone())).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "there is no carrier: {refused}");
    }
    kit::with_trunk(&scene.door).await;
    for (contact, number) in outside.iter().zip(["+4930123", "4930123"]) {
        let (status, refused) = scene.post("sales", "call/invite", invite(contact.clone())).await;
        assert_eq!(status, StatusCode::OK, "{refused}");
        assert_eq!(joins(&scene.door.taken())[0].1, number);
    }
    for nobody in [json!({"contactId": "nobody"}), json!({"contactId": "x", "phone": "4930@evil.example"})] {
        let (status, refused) = scene.post("sales", "call/invite", invite(nobody.clone())).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{nobody}: {refused}");
    }
    assert!(scene.door.taken().is_empty());
}

#[tokio::test]
async fn a_call_with_another_dialects_name_is_joined_and_not_begun_again() {
    let scene = scene().await;
    let (call, _) = scene.call("500");
    scene.happens([named(call, "conversation", "CON-1")]);
    let thread = call.as_uuid().simple().to_string();
    let (status, refused) =
        scene.post("sales", "call/invite", json!({"threadId": thread, "contactId": "ann"})).await;
    assert_eq!(status, StatusCode::OK, "{refused}");
    assert_eq!(joins(&scene.door.taken()), [(&CallName::Id(call), "1001")]);
}

#[tokio::test]
async fn the_threads_of_two_teams_are_two_whatever_they_are_called() {
    let scene = scene().await;
    let invite = json!({"threadId": "lunch", "contactId": "ann"});
    let mut names = Vec::new();
    for team in ["sales", "care"] {
        scene.post(team, "call/invite", invite.clone()).await;
        names.push(joins(&scene.door.taken())[0].0.clone());
    }
    assert_ne!(names[0], names[1]);
    // The call of sales is there now, under its name.
    let CallName::External(own) = names.remove(0) else { panic!("{names:?}") };
    let (call, leg) = scene.call("500");
    scene.happens([named(call, &own.dialect, &own.key)]);
    let kick = json!({"threadId": "lunch"});
    assert_eq!(scene.post("care", "call/kick", kick.clone()).await.0, StatusCode::NOT_FOUND);
    assert!(scene.door.taken().is_empty());
    assert_eq!(scene.post("sales", "call/kick", kick).await.0, StatusCode::OK);
    assert_eq!(scene.door.taken(), [CallCommandKind::HangUpCall { call }]);
    let told =
        scene.door.happens(&Bot, FactKind::LegEnded { leg, termination: Termination::new(Cause::Normal) });
    assert_eq!(told[0].body["threadId"], "lunch");
    // What an operator has named for bots is a thread of the teams whose numbers are in the call.
    let (other, _) = scene.call("600");
    scene.happens([named(other, "bot", "desk")]);
    let kick = json!({"threadId": "desk"});
    assert_eq!(scene.post("sales", "call/kick", kick.clone()).await.0, StatusCode::NOT_FOUND);
    scene.post("care", "call/kick", kick).await;
    assert_eq!(scene.door.taken(), [CallCommandKind::HangUpCall { call: other }]);
}

#[tokio::test]
async fn a_recording_whose_call_ended_first_is_still_told_of() {
    let scene = scene().await;
    let stop = json!({"threadId": "t"});
    let (call, leg) = scene.call("500");
    scene.happens([named(call, "bot", "t")]);
    let recording = scene.recorded(call);
    scene.ended(call, leg);
    scene.finished(recording);
    let (status, answer) = scene.post("sales", "call.recording/stop", stop.clone()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer["data"]["fileUrl"].as_str().unwrap().ends_with(&recording.to_string()), "{answer}");
    let (status, _) = scene.post("care", "call.recording/stop", stop.clone()).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the call was no call of this team");
    // Nor is anything asked of call control: there is nothing to be ended.
    assert!(scene.door.taken().is_empty());
    // The next call of the thread counts, as soon as something is recorded of it.
    let (next, _) = scene.call("500");
    scene.happens([named(next, "bot", "t")]);
    let (_, answer) = scene.post("sales", "call.recording/stop", stop.clone()).await;
    assert!(answer["data"]["fileUrl"].as_str().unwrap().ends_with(&recording.to_string()), "{answer}");
    let second = scene.recorded(next);
    scene.finished(second);
    let (_, answer) = scene.post("sales", "call.recording/stop", stop.clone()).await;
    assert!(answer["data"]["fileUrl"].as_str().unwrap().ends_with(&second.to_string()), "{answer}");
    // What failed counts if something of it was kept.
    for kept in [true, false] {
        let third = scene.recorded(next);
        let sound = RecordedSound { tracks: ["f.1.wav".into()].into(), ..Default::default() };
        let (termination, kept) = (Termination::new(Cause::Internal), kept.then(|| Box::new(sound)));
        scene.happens([FactKind::RecordingFailed { recording: third, termination, kept: kept.clone() }]);
        let (_, answer) = scene.post("sales", "call.recording/stop", stop.clone()).await;
        let url = answer["data"]["fileUrl"].as_str().unwrap();
        assert_eq!(url.ends_with(&third.to_string()), kept.is_some(), "{answer}");
        let track = answer["data"]["trackUrls"][0].as_str().unwrap();
        assert!(track.starts_with(url) && track.ends_with("/1"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_sent_again_with_its_key_is_answered_as_the_first_time() {
    let scene = scene().await;
    let (call, leg) = scene.call("500");
    scene.happens([named(call, "bot", "t")]);
    let recording = scene.recorded(call);
    let sent = Sent {
        team: "sales",
        method: "call.recording/stop",
        body: json!({"threadId": "t"}),
        key: Some("K1"),
    };
    let mut answers = Vec::new();
    for _ in 0..2 {
        scene.finished(recording);
        answers.push(scene.send(&sent).await);
    }
    assert_eq!(answers[0].0, StatusCode::OK, "{answers:?}");
    assert_eq!(answers[0], answers[1], "an answer that was lost is had by asking again");
    // The same word of another team, and in other letters, is another key.
    let kick = |team, key| Sent { team, method: "call/kick", body: json!({"threadId": "t"}), key: Some(key) };
    assert_eq!(scene.send(&kick("sales", "K2")).await.0, StatusCode::OK);
    scene.door.taken();
    scene.ended(call, leg);
    assert_eq!(
        scene.send(&kick("sales", "K2")).await.0,
        StatusCode::OK,
        "the call is over, as was asked for"
    );
    assert_eq!(scene.send(&kick("care", "K2")).await.0, StatusCode::NOT_FOUND);
    assert!(scene.door.taken().is_empty());
    for wrong in ["", "a b", &"x".repeat(97)] {
        let (status, refused) = scene.send(&kick("sales", wrong)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(refused["message"].as_str().unwrap().contains("Idempotency-Key"), "{refused}");
    }
}

#[tokio::test]
async fn a_captured_request_has_no_effect_with_a_fresh_key() {
    let scene = scene().await;
    let (call, _) = scene.call("500");
    scene.happens([named(call, "bot", "t")]);
    let send = |method, key| Sent { team: "sales", method, body: json!({"threadId": "t"}), key };
    for (method, first) in [("call/kick", None), ("call.recording/start", Some("mine"))] {
        assert_eq!(scene.send(&send(method, first)).await.0, StatusCode::OK);
        scene.door.taken();
        let forged = scene.send(&send(method, Some("fresh"))).await.0;
        assert_eq!((forged, scene.door.taken().len()), (StatusCode::UNAUTHORIZED, 0), "{method}");
    }
    // Two methods within one second, of one body: two requests of the bot's own, each with its own outcome.
    assert_eq!(scene.send(&send("call.stream/start", None)).await.0, StatusCode::OK);
    assert_eq!(scene.door.taken().len(), 1);
}

#[tokio::test]
async fn whom_a_bot_names_beside_a_number_is_known_by_that_name() {
    let scene = scene().await;
    let (call, leg) = scene.call("500");
    let thread = call.as_uuid().simple().to_string();
    let invitation = json!({"threadId": thread, "contactId": "57", "phone": "1001"});
    assert_eq!(scene.post("sales", "call.user/invite", invitation).await.0, StatusCode::OK);
    let command = scene.door.commands.lock().unwrap().pop().unwrap();
    let CallCommandKind::Join { contact, to_number, .. } = command.kind else {
        panic!("{:?}", command.kind);
    };
    assert_eq!((&*contact, &*to_number), ("57", "1001"));

    // The telephone is Ann's; who is meant is whom the bot has named.
    let asked: LegId = scene.door.id();
    let whom = Party { contact, ..party(Some("ann"), "1001") };
    let mut told = Vec::new();
    for fact in [
        leg_created(asked, call, whom, false),
        FactKind::LegAnswered { leg: asked },
        FactKind::LegAnswered { leg },
        FactKind::LegsBridged { call, a: leg, b: asked },
        FactKind::LegHeld { leg, by: HeldBy::Application },
    ] {
        told.extend(scene.door.happens(&Bot, fact));
    }
    let events = told.iter().filter(|told| told.recipient == Recipient::Application("sales".into()));
    let whom = events.map(|told| (told.body["eventType"].clone(), told.body["userId"].clone()));
    let expected = ["Call.Member.invited", "Call.Member.Invite.ended", "Call.Member.held"];
    let expected: Vec<_> = expected.iter().map(|event| (json!(event), json!("57"))).collect();
    assert_eq!(whom.collect::<Vec<_>>(), expected);
    let (_, got) = scene.post("sales", "call/get", json!({"threadId": thread})).await;
    assert!(got["data"]["destinationContacts"].as_str().unwrap().contains(r#""contactId":"57""#), "{got}");

    for (contact, found) in [(json!("57"), true), (json!("58"), false)] {
        for method in ["call.user/unhold", "call/kick"] {
            let request = json!({"threadId": thread, "contactId": contact});
            let status = scene.post("sales", method, request).await.0;
            assert_eq!(status == StatusCode::OK, found, "{method} {contact}: {status}");
        }
    }
    let kinds: Vec<_> = scene.door.commands.lock().unwrap().drain(..).map(|command| command.kind).collect();
    let expected = [CallCommandKind::Retrieve { leg }, CallCommandKind::HangUpLeg { leg: asked }];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_call_that_belongs_to_a_stream_is_begun_and_found_by_it() {
    let scene = scene().await;
    let of_stream = |more: Value| {
        let mut body = json!({"streamId": "5bbc67c5522e2400149af76c"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (status, refused) = scene.post("sales", "call/get", of_stream(json!({}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("streamId"), "{refused}");
    let (status, _) = scene.post("sales", "call.user/invite", of_stream(json!({"contactId": "ann"}))).await;
    assert_eq!(status, StatusCode::OK);
    let command = scene.door.commands.lock().unwrap().pop().unwrap();
    let CallCommandKind::Join { call: CallName::External(name), .. } = command.kind else {
        panic!("{:?}", command.kind);
    };
    assert_eq!((&*name.dialect, &*name.key), ("bot-stream/sales", "5bbc67c5522e2400149af76c"));

    let (call, _) = scene.call("500");
    scene.happens([FactKind::ExternalRefAdded { call, external: name }]);
    let (_, got) = scene.post("sales", "call/get", of_stream(json!({}))).await;
    assert_eq!(got["data"]["streamId"], "5bbc67c5522e2400149af76c");
    assert_eq!(scene.post("care", "call/get", of_stream(json!({}))).await.0, StatusCode::NOT_FOUND);
    assert_eq!(scene.post("sales", "call/kick", of_stream(json!({}))).await.0, StatusCode::OK);
    let command = scene.door.commands.lock().unwrap().pop().unwrap();
    assert_eq!(command.kind, CallCommandKind::HangUpCall { call });
}

#[tokio::test]
async fn a_team_that_is_written_in_another_way_is_the_same_one() {
    let scene = scene().await;
    let (call, _) = scene.call("500");
    scene.happens([named(call, "bot", "t")]);
    let kick = |team, key| Sent { team, method: "call/kick", body: json!({"threadId": "t"}), key };
    assert_eq!(scene.send(&kick("sales", None)).await.0, StatusCode::OK);
    assert_eq!(scene.door.taken().len(), 1);
    // RFC 3986, section 2.4: what is percent-encoded means the same.
    for team in ["%73ales", "s%61les", "%73%61%6C%65%73"] {
        let repeated = scene.send(&kick(team, None)).await.0;
        assert_eq!((repeated, scene.door.taken().len()), (StatusCode::OK, 0), "{team}");
        let forged = scene.send(&kick(team, Some("fresh"))).await.0;
        assert_eq!((forged, scene.door.taken().len()), (StatusCode::UNAUTHORIZED, 0), "{team}");
    }
}
