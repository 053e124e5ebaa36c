//! What clients of the telephony dialect can reach, what is done once although it is asked twice, and who may what.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use kit::{Crowd, Door, call_created, leg_created, person};
use serde_json::{Value, json};
use sidetone_dialects::Dialect;
use sidetone_dialects::telephony::Telephony;
use sidetone_directory::Password;
use sidetone_model::call::Elsewhere;
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, LegId, UserId};
use sidetone_model::party::{Destination, Party};
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;
use tower::ServiceExt as _;

struct Scene {
    door: Arc<Door>,
    routes: Router,
}

/// Two users with a telephone each.
async fn scene() -> Scene {
    scene_of((true, true), Vec::new()).await
}

/// Two users, who may take calls and break into them or not, and a group whose members take each other's calls.
async fn scene_of((may_pick_up, may_intrude): (bool, bool), group: Vec<UserId>) -> Scene {
    let mut crowd = Crowd { pick_up_group: group, ..Crowd::default() };
    for number in ["1001", "1002"] {
        let (user, mut who) = person(&format!("icm{number}"), number);
        (who.may_pick_up, who.may_intrude) = (may_pick_up, may_intrude);
        who.devices = vec![format!("ICTouch_{number}").parse().unwrap()];
        crowd.persons.insert(user, who);
    }
    let door = Door::new(&[], crowd).await;
    for number in ["1001", "1002"] {
        let device = pb::Device {
            tenant: "demo".into(),
            user: format!("icm{number}"),
            device: format!("ICTouch_{number}"),
            auth_username: format!("phone-{number}"),
            algorithms: vec!["SHA-256".into()],
            ..pb::Device::default()
        };
        door.directory.put_device(device, Some(&Password::new("a password"))).await.unwrap();
    }
    let routes = Telephony.routes(door.clone());
    Scene { door, routes }
}

fn party(number: &str) -> Party {
    Party {
        user: Some(UserId::new(format!("icm{number}")).unwrap()),
        device: Some(format!("ICTouch_{number}").parse().unwrap()),
        number: number.into(),
        ..Party::default()
    }
}

/// Nobody of ours.
fn outsider(number: &str) -> Party {
    Party { number: number.into(), ..Party::default() }
}

impl Scene {
    async fn cookie(&self, number: &str) -> String {
        use base64::Engine as _;
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("icm{number}:a password"));
        let request =
            Request::get("/api/rest/authenticate").header("authorization", format!("Basic {basic}"));
        let response = self.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn post(&self, path: &str, cookie: &str, key: Option<&str>, body: Value) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/rest/1.0/telephony{path}"))
            .header("cookie", cookie);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        kit::ask(&self.routes, request.body(body).unwrap()).await
    }

    fn happens(&self, facts: impl IntoIterator<Item = FactKind>) {
        for fact in facts {
            self.door.happens(&Telephony, fact);
        }
    }

    /// 1001 calls 1002, whose telephone rings.
    fn call(&self) -> (CallId, LegId, LegId) {
        let (call, caller, callee): (CallId, LegId, LegId) = (self.door.id(), self.door.id(), self.door.id());
        let to = Destination::User(UserId::new("icm1002").unwrap());
        self.happens([
            call_created(call, party("1001"), "1002", Some(to)),
            leg_created(caller, call, party("1001"), true),
            leg_created(callee, call, party("1002"), false),
            FactKind::LegRinging { leg: callee },
        ]);
        (call, caller, callee)
    }

    fn answered(&self, (call, caller, callee): (CallId, LegId, LegId)) {
        self.happens([
            FactKind::LegAnswered { leg: callee },
            FactKind::LegAnswered { leg: caller },
            FactKind::LegsBridged { call, a: caller, b: callee },
        ]);
    }

    fn commands(&self) -> Vec<CallCommand> {
        std::mem::take(&mut *self.door.commands.lock().unwrap())
    }
}

#[tokio::test]
async fn numbers_outside_are_called_where_a_carrier_takes_them() {
    let scene = scene().await;
    let cookie = scene.cookie("1001").await;
    let other = scene.cookie("1002").await;
    let ids = scene.call();
    let on = |operation: &str| format!("/calls/{}/{operation}", ids.0);
    let redirect = (on("redirect"), json!({"redirectTo": "+4930123", "anonymous": true}));
    let (status, _) = scene.post(&redirect.0, &other, None, redirect.1.clone()).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "there is no carrier");
    kit::with_trunk(&scene.door).await;
    assert_eq!(scene.post(&redirect.0, &other, None, redirect.1).await.0, StatusCode::NO_CONTENT);
    let (leg, to) = (ids.2, Elsewhere::Number("+4930123".into()));
    assert_eq!(scene.door.taken(), [CallCommandKind::Redirect { leg, to, anonymous: true }]);
    scene.answered(ids);
    let asked = [
        ("/calls".to_owned(), json!({"callee": "+4930123"})),
        (on("enquiry"), json!({"callee": "+4930123"})),
        (on("blindtransfer"), json!({"transferTo": "+4930123"})),
        (on("participants"), json!({"callee": "+4930123", "anonymous": true})),
    ];
    for (path, body) in asked {
        let (status, refused) = scene.post(&path, &cookie, None, body).await;
        assert!(status.is_success(), "{path}: {refused}");
        let taken = scene.door.taken();
        let (to_number, anonymous) = match &taken[0] {
            CallCommandKind::Place { to_number, options, .. } => (to_number, options.anonymous),
            CallCommandKind::Enquire { to_number, anonymous, .. }
            | CallCommandKind::TransferBlind { to_number, anonymous, .. }
            | CallCommandKind::AddParticipant { to_number, anonymous, .. } => (to_number, *anonymous),
            other => panic!("{other:?}"),
        };
        assert_eq!((&**to_number, anonymous), ("+4930123", path.ends_with("participants")), "{path}");
    }
    // What a carrier could take for something else than a number goes nowhere.
    let (status, _) = scene.post("/calls", &cookie, None, json!({"callee": "1@evil.example"})).await;
    assert_eq!((status, scene.door.taken().len()), (StatusCode::NOT_FOUND, 0));
}

#[tokio::test]
async fn whoever_is_outside_has_a_number_and_no_name_to_log_in() {
    let scene = scene().await;
    let cookie = scene.cookie("1001").await;
    let (call, caller): (CallId, LegId) = (scene.door.id(), scene.door.id());
    let callees: [LegId; 2] = [scene.door.id(), scene.door.id()];
    scene.happens([
        call_created(call, party("1001"), "4930123", None),
        leg_created(caller, call, party("1001"), true),
        leg_created(callees[0], call, outsider("4930123"), false),
        FactKind::LegAnswered { leg: callees[0] },
        FactKind::LegAnswered { leg: caller },
        leg_created(callees[1], call, outsider("4930124"), false),
        FactKind::LegRinging { leg: callees[1] },
    ]);
    let request = Request::get(format!("/api/rest/1.0/telephony/calls/{call}")).header("cookie", &cookie);
    let (_, seen) = kit::ask(&scene.routes, request.body(Body::empty()).unwrap()).await;
    let participants = seen["participants"].as_array().unwrap();
    let told: Vec<_> = participants.iter().map(|one| &one["identity"]).collect();
    assert_eq!(told.len(), 2, "{seen}");
    for (identity, number) in told.iter().zip(["4930123", "4930124"]) {
        assert_eq!(identity["id"], json!({"phoneNumber": number}));
        assert_eq!(identity["type"]["main"], "EXTERNAL");
    }
}

#[tokio::test]
async fn a_request_sent_again_with_its_key_is_done_once() {
    let scene = scene().await;
    let (cookie, other) = (scene.cookie("1001").await, scene.cookie("1002").await);
    let make = json!({"callee": "1002"});
    let first = scene.post("/calls", &cookie, Some("K"), make.clone()).await;
    assert_eq!(first.0, StatusCode::CREATED);
    assert_eq!(scene.post("/calls", &cookie, Some("K"), make.clone()).await, first);
    let of_other = scene.post("/calls", &other, Some("K"), json!({"callee": "1001"})).await;
    assert_eq!(of_other.0, StatusCode::CREATED);
    let commands = scene.commands();
    assert_eq!(commands.len(), 2, "another user's key is another key");
    assert_ne!(commands[0].key, commands[1].key);
    // The state of the call is another one when the repetition comes.
    let ids = scene.call();
    scene.answered(ids);
    let hold = format!("/calls/{}/hold", ids.0);
    assert_eq!(scene.post(&hold, &cookie, Some("H"), Value::Null).await.0, StatusCode::NO_CONTENT);
    scene.happens([FactKind::LegHeld { leg: ids.1, by: sidetone_model::call::HeldBy::Application }]);
    assert_eq!(scene.post(&hold, &cookie, Some("H"), Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.post(&hold, &cookie, None, Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(scene.commands().len(), 1);
    let (status, refused) = scene.post("/calls", &cookie, Some("a b"), make.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["helpMessage"].as_str().unwrap().contains("Idempotency-Key"), "{refused}");
    assert_eq!(scene.post("/calls", "AlcUserId=no", Some("K"), make).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn that_a_telephone_will_not_answer_by_itself_is_told() {
    let scene = scene().await;
    let (_, _, callee) = scene.call();
    let why = Termination::new(Cause::Rejected);
    let told = scene.door.happens(&Telephony, FactKind::LegTalkRefused { leg: callee, why });
    assert_eq!(told.len(), 1, "{told:?}");
    let body = &told[0].body;
    assert_eq!((&body["eventName"], &body["loginName"]), (&json!("OnCallModified"), &json!("icm1002")));
    assert_eq!(body["modifiedLegs"][0]["capabilities"], json!({}), "it could be answered before");
}

#[tokio::test]
async fn a_pick_up_names_what_is_taken_and_who_is_not_there_lets_nobody_in() {
    let scene = scene().await;
    let cookie = scene.cookie("1001").await;
    let (status, refused) = scene.post("/devices/ICTouch_1001/pickUp", &cookie, None, json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["helpMessage"].as_str().unwrap().contains("otherCallRef"), "{refused}");
    // 1001 and 1002 talk with somebody outside, whom 1001 has put aside; then 1001 is put aside as well.
    let ids @ (call, caller, _) = scene.call();
    scene.answered(ids);
    let third: LegId = scene.door.id();
    let mut joined = leg_created(third, call, outsider("4930123"), false);
    if let FactKind::LegCreated { cause, .. } = &mut joined {
        *cause = sidetone_model::call::LegCause::Conferenced;
    }
    let aside = |leg, by| FactKind::ParticipantHeld { leg, by };
    scene.happens([joined, FactKind::LegAnswered { leg: third }, aside(third, Some(caller))]);
    let back = format!("/calls/{call}/participants/4930123/retrieve");
    assert_eq!(scene.post(&back, &cookie, None, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.door.taken(), [CallCommandKind::RetrieveParticipant { leg: third }]);
    scene.happens([aside(caller, None)]);
    assert_eq!(scene.post(&back, &cookie, None, Value::Null).await.0, StatusCode::CONFLICT);
    assert!(scene.door.taken().is_empty());
}

#[tokio::test]
async fn who_is_muted_is_told_and_heard_again() {
    let scene = scene().await;
    let cookie = scene.cookie("1001").await;
    let ids @ (call, caller, callee) = scene.call();
    let legs = async |cookie: &str| {
        let path = format!("/api/rest/1.0/telephony/calls/{call}/deviceLegs");
        let request = Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap();
        kit::ask(&scene.routes, request).await.1
    };
    let on = |operation: &str| format!("/calls/{call}/{operation}");
    let refused = scene.post(&on("mute"), &cookie, None, Value::Null).await;
    assert_eq!((refused.0, &refused.1["type"]), (StatusCode::CONFLICT, &json!("capability_missing")));
    scene.answered(ids);
    let shown = legs(&cookie).await;
    let may = &shown["legs"][0]["capabilities"];
    assert_eq!((&may["mute"], &may["sendDtmf"], &may["unMute"]), (&json!(true), &json!(true), &Value::Null));
    assert_eq!(shown["callCapabilities"]["muteParticipant"], Value::Null, "there are two only");
    assert_eq!(scene.post(&on("unMute"), &cookie, None, Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(scene.post(&on("mute"), &cookie, None, Value::Null).await.0, StatusCode::NO_CONTENT);
    let audio = |leg, muted| CallCommandKind::SetAudio { leg, muted, deafened: false, voice: None };
    assert_eq!(scene.door.taken(), [audio(caller, true)]);

    let changed =
        |leg, muted| FactKind::LegAudioChanged { leg, muted, deafened: false, voice: Default::default() };
    let told = scene.door.happens(&Telephony, changed(caller, true));
    assert_eq!(told.len(), 1, "the user's own leg, to the user: {told:?}");
    assert_eq!(told[0].body["modifiedLegs"][0]["capabilities"]["unMute"], json!(true));
    assert_eq!(legs(&cookie).await["legs"][0]["capabilities"]["mute"], Value::Null);
    assert_eq!(scene.post(&on("mute"), &cookie, None, Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(scene.post(&on("unMute"), &cookie, None, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.door.taken(), [audio(caller, false)]);

    // In a conference also the others.
    let other = on("participants/1002/mute");
    assert_eq!(scene.post(&other, &cookie, None, Value::Null).await.0, StatusCode::CONFLICT);
    let third: LegId = scene.door.id();
    let mut joined = leg_created(third, call, outsider("4930123"), false);
    if let FactKind::LegCreated { cause, .. } = &mut joined {
        *cause = sidetone_model::call::LegCause::Conferenced;
    }
    scene.happens([joined, FactKind::LegAnswered { leg: third }]);
    assert_eq!(legs(&cookie).await["callCapabilities"]["muteParticipant"], json!(true));
    assert_eq!(scene.post(&other, &cookie, None, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.door.taken(), [audio(callee, true)]);
    scene.happens([changed(callee, true)]);
    assert_eq!(scene.post(&other, &cookie, None, Value::Null).await.0, StatusCode::CONFLICT);
    let again = on("participants/1002/unMute");
    assert_eq!(scene.post(&again, &cookie, None, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.door.taken(), [audio(callee, false)]);
}

#[tokio::test]
async fn what_a_call_to_be_made_asks_for_is_done_or_refused() {
    let scene = scene().await;
    let cookie = scene.cookie("1001").await;
    let make = async |more: Value| {
        let mut body = json!({"callee": "1002"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, answer) = scene.post("/calls", &cookie, None, body).await;
        (status, answer["type"].clone(), scene.door.taken())
    };
    for own in
        [json!({"callingNumber": "1001"}), json!({"inhibitProgressTone": true, "associatedData": null})]
    {
        let (status, _, taken) = make(own).await;
        assert_eq!(status, StatusCode::CREATED);
        assert!(
            matches!(&taken[..], [CallCommandKind::Place { from_number, .. }] if **from_number == *"1001")
        );
    }
    let not_offered = (StatusCode::CONFLICT, json!("capability_missing"), Vec::new());
    for more in [
        json!({"associatedData": "case 7"}),
        json!({"associatedData": {"case": 7}}),
        json!({"pin": "1234"}),
        json!({"secretCode": "1234"}),
        json!({"businessCode": "77"}),
    ] {
        assert_eq!(make(more.clone()).await, not_offered, "{more}");
    }
    let of_another = make(json!({"callingNumber": "1002"})).await;
    assert_eq!(of_another, (StatusCode::FORBIDDEN, json!("no_right"), Vec::new()));
}

#[tokio::test]
async fn taking_a_call_and_breaking_into_one_need_a_right_or_a_group() {
    for (rights, groups, expected) in [
        ((false, false), vec![], [StatusCode::FORBIDDEN; 2]),
        ((false, false), vec!["icm1002", "icm1003"], [StatusCode::FORBIDDEN; 2]),
        ((false, false), vec!["icm1001", "icm1002"], [StatusCode::NO_CONTENT, StatusCode::FORBIDDEN]),
        ((true, false), vec![], [StatusCode::NO_CONTENT, StatusCode::FORBIDDEN]),
        ((false, true), vec![], [StatusCode::FORBIDDEN, StatusCode::NO_CONTENT]),
    ] {
        let group: Vec<UserId> = groups.iter().map(|user| UserId::new(*user).unwrap()).collect();
        let scene = scene_of(rights, group).await;
        let cookie = scene.cookie("1001").await;
        // Somebody outside calls 1002, who answers a second caller.
        let ring = |caller: &str| {
            let (call, from, to): (CallId, LegId, LegId) =
                (scene.door.id(), scene.door.id(), scene.door.id());
            scene.happens([
                call_created(call, outsider(caller), "1002", None),
                leg_created(from, call, outsider(caller), true),
                leg_created(to, call, party("1002"), false),
                FactKind::LegRinging { leg: to },
            ]);
            (call, from, to)
        };
        let (ringing, talking) = (ring("49301"), ring("49302"));
        scene.answered(talking);
        let asked = [
            ("pickUp", json!({"otherCallRef": ringing.0.to_string()})),
            ("pickUp", json!({"otherPhoneNumber": "1002"})),
            ("intrusion", json!({"callRef": talking.0.to_string()})),
        ];
        for (operation, body) in asked {
            let expected = expected[usize::from(operation == "intrusion")];
            let path = format!("/devices/ICTouch_1001/{operation}");
            let (status, refused) = scene.post(&path, &cookie, None, body).await;
            assert_eq!(status, expected, "{rights:?} {groups:?} {operation}: {refused}");
            let taken = scene.door.taken();
            match (&taken[..], operation) {
                ([], _) => assert_eq!(refused["type"], "no_right"),
                ([CallCommandKind::PickUp { leg, .. }], "pickUp") => assert_eq!(*leg, ringing.2),
                ([CallCommandKind::Intrude { call, .. }], "intrusion") => assert_eq!(*call, talking.0),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_call_in_the_place_of_another_says_of_which() {
    let scene = scene().await;
    // 1001 holds 1002 and talks with somebody outside; then 1002 is connected with them.
    let (first, _, callee) = scene.call();
    let (second, enquiry, outside): (CallId, LegId, LegId) =
        (scene.door.id(), scene.door.id(), scene.door.id());
    scene.happens([
        FactKind::LegAnswered { leg: callee },
        call_created(second, party("1001"), "4930123", None),
        leg_created(enquiry, second, party("1001"), true),
        leg_created(outside, second, outsider("4930123"), false),
        FactKind::LegAnswered { leg: outside },
        FactKind::LegAnswered { leg: enquiry },
    ]);
    let cause = sidetone_model::call::MoveCause::Transferred;
    let moved = FactKind::LegMoved { leg: callee, from: first, to: second, cause };
    let told = scene.door.happens(&Telephony, moved);
    let of_callee: Vec<&Value> =
        told.iter().map(|told| &told.body).filter(|body| body["loginName"] == "icm1002").collect();
    let removed = of_callee.iter().find(|body| body["eventName"] == "OnCallRemoved").unwrap();
    let created = of_callee.iter().find(|body| body["eventName"] == "OnCallCreated").unwrap();
    assert_eq!(removed["replacedByCallRef"], second.to_string());
    assert_eq!(created["previousCallRef"], first.to_string());
    let others = told.iter().filter(|told| told.body["loginName"] != "icm1002");
    for other in others {
        assert_eq!(other.body["previousCallRef"], Value::Null, "nothing of theirs was replaced: {other:?}");
    }
}
