//! The telephony dialect by HTTP: logging in, the channel of events, operations, and what wrong requests get.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode};
use kit::{Crowd, Door, call_created, leg_created, person};
use serde_json::{Value, json};
use sidetone_dialects::Dialect;
use sidetone_dialects::telephony::Telephony;
use sidetone_directory::Password;
use sidetone_model::call::HeldBy;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, LegId, UserId};
use sidetone_model::party::{Destination, Party};
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;
use tower::ServiceExt as _;

const BASE: &str = "/api/rest/1.0";
/// `icm1001:the password of 1001` and so on.
const PASSWORD: &str = "the password of ";

struct Scene {
    door: Arc<Door>,
    routes: Router,
}

async fn scene() -> Scene {
    let mut crowd = Crowd::default();
    for number in ["1001", "1002", "1003"] {
        let (user, mut who) = person(&format!("icm{number}"), number);
        who.devices = vec![format!("ICTouch_{number}").parse().unwrap()];
        crowd.persons.insert(user, who);
    }
    let door = Door::new(&[], crowd).await;
    for number in ["1001", "1002", "1003"] {
        let device = pb::Device {
            tenant: "demo".into(),
            user: format!("icm{number}"),
            device: format!("ICTouch_{number}"),
            auth_username: format!("phone-{number}"),
            algorithms: vec!["SHA-256".into()],
            ..pb::Device::default()
        };
        let password = Password::new(format!("{PASSWORD}{number}"));
        door.directory.put_device(device, Some(&password)).await.unwrap();
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

fn request(method: Method, path: &str, cookie: &str, body: &Value) -> Request<Body> {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    Request::builder().method(method).uri(path).header("cookie", cookie).body(body).unwrap()
}

impl Scene {
    async fn ask(&self, method: Method, path: &str, cookie: &str, body: Value) -> (StatusCode, Value) {
        kit::ask(&self.routes, request(method, &format!("{BASE}{path}"), cookie, &body)).await
    }

    async fn log_in(&self, login: &str, password: &str) -> Result<String, StatusCode> {
        use base64::Engine as _;
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("{login}:{password}"));
        let request =
            Request::get("/api/rest/authenticate").header("authorization", format!("Basic {basic}"));
        let response = self.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        Ok(cookie.split(';').next().unwrap().to_owned())
    }

    /// Logged in, with a session.
    async fn session(&self, number: &str) -> String {
        let cookie = self.log_in(&format!("icm{number}"), &format!("{PASSWORD}{number}")).await.unwrap();
        let (status, _) =
            self.ask(Method::POST, "/sessions", &cookie, json!({ "applicationName": "t" })).await;
        assert_eq!(status, StatusCode::OK);
        cookie
    }

    fn happens(&self, fact: FactKind) {
        self.door.happens(&Telephony, fact);
    }

    /// 1001 calls 1002, who answers or rings.
    fn call(&self, answered: bool) -> (CallId, LegId, LegId) {
        let (call, caller, callee): (CallId, LegId, LegId) = (self.door.id(), self.door.id(), self.door.id());
        let to = Destination::User(UserId::new("icm1002").unwrap());
        self.happens(call_created(call, party("1001"), "1002", Some(to)));
        self.happens(leg_created(caller, call, party("1001"), true));
        self.happens(leg_created(callee, call, party("1002"), false));
        self.happens(FactKind::LegRinging { leg: callee });
        if answered {
            self.happens(FactKind::LegAnswered { leg: callee });
            self.happens(FactKind::LegAnswered { leg: caller });
            self.happens(FactKind::LegsBridged { call, a: caller, b: callee });
        }
        (call, caller, callee)
    }
}

#[tokio::test]
async fn without_a_cookie_nothing_is_told_and_with_a_wrong_password_there_is_none() {
    let scene = scene().await;
    for path in ["/telephony/calls", "/telephony/state", "/telephony/devices"] {
        let (status, error) = scene.ask(Method::GET, path, "AlcUserId=nobody", Value::Null).await;
        assert_eq!((status, &error["httpStatus"]), (StatusCode::FORBIDDEN, &json!("FORBIDDEN")), "{path}");
    }
    assert_eq!(scene.log_in("icm1001", "wrong").await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(scene.log_in("nobody", "wrong").await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(scene.log_in("icm1001@elsewhere.example", "wrong").await, Err(StatusCode::UNAUTHORIZED));
    scene.log_in("icm1001", &format!("{PASSWORD}1001")).await.unwrap();
    scene.log_in("phone-1001", &format!("{PASSWORD}1001")).await.unwrap();
}

#[tokio::test]
async fn who_guesses_passwords_has_to_wait() {
    let scene = scene().await;
    for _ in 0..10 {
        assert_eq!(scene.log_in("icm1001", "wrong").await, Err(StatusCode::UNAUTHORIZED));
    }
    let right = format!("{PASSWORD}1001");
    assert_eq!(scene.log_in("icm1001", &right).await, Err(StatusCode::TOO_MANY_REQUESTS));
    let now = scene.door.now.lock().unwrap().as_millis();
    *scene.door.now.lock().unwrap() = sidetone_model::time::Timestamp::from_millis(now + 60_001);
    scene.log_in("icm1001", &right).await.unwrap();
}

#[tokio::test]
async fn who_guesses_many_passwords_at_once_has_no_more_tries() {
    let scene = scene().await;
    let at_once = (0..30).map(|_| scene.log_in("icm1001", "wrong"));
    let answers = futures_util::future::join_all(at_once).await;
    let tried = answers.iter().filter(|answer| **answer == Err(StatusCode::UNAUTHORIZED)).count();
    assert_eq!(tried, 10);
    assert!(answers.iter().all(Result::is_err));
}

#[tokio::test]
async fn one_address_cannot_keep_others_from_logging_in() {
    let scene = scene().await;
    let from = async |source: [u8; 4], login: &str, password: &str| {
        use base64::Engine as _;
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("{login}:{password}"));
        let request = Request::get("/api/rest/authenticate")
            .header("authorization", format!("Basic {basic}"))
            .extension(sidetone_dialects::Source(source.into()));
        scene.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    let (bad, good, right) = ([192, 0, 2, 1], [192, 0, 2, 2], format!("{PASSWORD}1001"));
    for _ in 0..10 {
        assert_eq!(from(bad, "icm1001", "wrong").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(from(bad, "icm1001", &right).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(from(good, "icm1001", &right).await, StatusCode::OK, "whoever else has the login");
    for n in 0..90 {
        assert_eq!(from(bad, &format!("guess-{n}"), "wrong").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(from(bad, "icm1002", "wrong").await, StatusCode::TOO_MANY_REQUESTS, "the address is out");
    assert_eq!(from(good, "icm1001", &right).await, StatusCode::OK);
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_the_one_used_least_goes() {
    let scene = scene().await;
    let (other, first) = (scene.session("1002").await, scene.session("1001").await);
    let then = |after_ms: u64| {
        let now = scene.door.now.lock().unwrap().as_millis();
        *scene.door.now.lock().unwrap() = sidetone_model::time::Timestamp::from_millis(now + after_ms);
    };
    then(1);
    let second = scene.session("1001").await;
    then(1);
    for _ in 2..16 {
        scene.session("1001").await;
    }
    then(1);
    let is_in = async |cookie: &str| {
        scene.ask(Method::GET, "/telephony/calls", cookie, Value::Null).await.0 == StatusCode::OK
    };
    assert!(is_in(&first).await, "all sixteen are there, and this one is used now");
    scene.session("1001").await;
    assert!(!is_in(&second).await);
    assert!(is_in(&first).await && is_in(&other).await);
}

#[tokio::test]
async fn a_user_of_the_same_name_of_another_tenant_sees_nothing() {
    let scene = scene().await;
    let cookie = scene.session("1002").await;
    let (call, caller, callee): (CallId, LegId, LegId) = (scene.door.id(), scene.door.id(), scene.door.id());
    let to = Destination::User(UserId::new("icm1002").unwrap());
    for kind in [
        call_created(call, party("1001"), "1002", Some(to)),
        leg_created(caller, call, party("1001"), true),
        leg_created(callee, call, party("1002"), false),
        FactKind::LegRinging { leg: callee },
    ] {
        // Of another tenant in the same shard.
        let tenant = "other".parse().unwrap();
        let fact = sidetone_model::fact::Fact { tenant, at: kit::NOW, kind };
        scene.door.fold.lock().unwrap().apply(&fact);
    }
    let path = format!("/telephony/calls/{call}");
    let (status, body) = scene.ask(Method::GET, &path, &cookie, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    for operation in ["answer", "drop", "hold"] {
        let (status, _) = scene.ask(Method::POST, &format!("{path}/{operation}"), &cookie, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{operation}");
    }
    assert_eq!(scene.door.taken(), []);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_words_of_the_dialect() {
    let scene = scene().await;
    let cookie = scene.session("1001").await;
    for path in ["/nothing", "/telephony/nothing", "/telephony/calls/1/2/3/4"] {
        let (status, error) = scene.ask(Method::GET, path, &cookie, Value::Null).await;
        assert_eq!((status, &error["type"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{path}");
    }
    let long = json!({ "applicationName": "x".repeat(3 << 20) });
    let (status, error) = scene.ask(Method::POST, "/sessions", &cookie, long).await;
    assert_eq!((status, &error["type"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")));
}

#[tokio::test]
async fn a_session_that_is_logged_out_or_not_used_is_over() {
    let scene = scene().await;
    let (one, other) = (scene.session("1001").await, scene.session("1001").await);
    assert_eq!(scene.ask(Method::DELETE, "/sessions", &one, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(scene.ask(Method::GET, "/telephony/state", &one, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(scene.ask(Method::GET, "/telephony/state", &other, Value::Null).await.0, StatusCode::OK);
    let now = scene.door.now.lock().unwrap().as_millis();
    *scene.door.now.lock().unwrap() = sidetone_model::time::Timestamp::from_millis(now + 3_600_001);
    assert_eq!(
        scene.ask(Method::GET, "/telephony/state", &other, Value::Null).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn the_versions_are_listed_and_other_methods_refused() {
    let scene = scene().await;
    let (status, versions) =
        kit::ask(&scene.routes, request(Method::GET, "/api/rest", "", &Value::Null)).await;
    assert_eq!((status, &versions["versions"][0]["id"]), (StatusCode::OK, &json!("1.0")));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let (status, error) = kit::ask(&scene.routes, request(method, "/api/rest", "", &Value::Null)).await;
        assert_eq!((status, &error["code"]), (StatusCode::METHOD_NOT_ALLOWED, &json!(405)));
    }
}

/// Reads so many events from a channel; what tells of the channel itself is left out.
async fn read(body: &mut axum::body::BodyDataStream, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < count {
        let chunk =
            tokio::time::timeout(Duration::from_secs(20), body.next()).await.unwrap().unwrap().unwrap();
        for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).unwrap();
            if event["eventName"] != "OnChannelInformation" {
                events.push(event);
            }
        }
    }
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["eventName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_channel_that_breaks_is_taken_up_without_loss_or_repetition() {
    let scene = scene().await;
    let cookie = scene.session("1001").await;
    let filter = json!({ "filter": { "selectors": [{ "ids": ["icm1001"], "names": ["telephony"] }] }, "version": "1.0" });
    let (status, subscribed) = scene.ask(Method::POST, "/subscriptions", &cookie, filter).await;
    assert_eq!((status, &subscribed["mode"]), (StatusCode::OK, &json!("CHUNK")));
    // What happens before the channel is opened is not lost.
    let (_, _, callee) = scene.call(true);
    let url = subscribed["publicPollingUrl"].as_str().unwrap().to_owned();
    let connect = async |after: &str| {
        let request = request(Method::GET, &format!("{url}{after}"), &cookie, &Value::Null);
        scene.routes.clone().oneshot(request).await.unwrap()
    };
    let mut first = connect("").await.into_body().into_data_stream();
    let told = read(&mut first, 4).await;
    assert_eq!(names(&told), ["OnCallCreated", "OnUserStateModified", "OnCallModified", "OnCallModified"]);
    drop(first);
    scene.happens(FactKind::LegHeld { leg: callee, by: HeldBy::Application });
    let mut second = connect("").await.into_body().into_data_stream();
    let held = read(&mut second, 1).await;
    assert_eq!(held[0]["callData"]["state"], "HELD");
    // A client that knows better what it has received says so.
    let mut third = connect("?after=2").await.into_body().into_data_stream();
    let again = read(&mut third, 3).await;
    assert_eq!(again, [told[2].clone(), told[3].clone(), held[0].clone()]);
    // The latest connection is the one that is served.
    assert!(second.next().await.is_none());
    let mut third = connect("?after=5").await.into_body().into_data_stream();
    // Who asks for what there is not does not cut it off.
    assert_eq!(connect("?after=99").await.status(), StatusCode::CONFLICT);
    scene.happens(FactKind::LegRetrieved { leg: callee });
    assert_eq!(read(&mut third, 1).await[0]["callData"]["state"], "ACTIVE");
    let path = format!("/subscriptions/{}", subscribed["subscriptionId"].as_str().unwrap());
    assert_eq!(scene.ask(Method::DELETE, &path, &cookie, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(connect("").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_subscription_is_for_ones_own_events_and_for_those_that_there_are() {
    let scene = scene().await;
    let cookie = scene.session("1001").await;
    let of =
        |ids: Value, names: Value| json!({ "filter": { "selectors": [{ "ids": ids, "names": names }] } });
    for (body, status) in [
        (of(json!(["icm1002"]), json!(["telephony"])), StatusCode::FORBIDDEN),
        (of(json!([]), json!(["weather"])), StatusCode::BAD_REQUEST),
        (json!({ "filter": { "selectors": [] } }), StatusCode::BAD_REQUEST),
        (json!({ "filter": 1 }), StatusCode::BAD_REQUEST),
        (json!([]), StatusCode::BAD_REQUEST),
        (Value::Null, StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(
            scene.ask(Method::POST, "/subscriptions", &cookie, body.clone()).await.0,
            status,
            "{body}"
        );
    }
    let own = of(json!(["icm1001"]), json!(["OnUserStateModified"]));
    let (_, subscribed) = scene.ask(Method::POST, "/subscriptions", &cookie, own).await;
    scene.call(true);
    let url = subscribed["publicPollingUrl"].as_str().unwrap();
    let answer =
        scene.routes.clone().oneshot(request(Method::GET, url, &cookie, &Value::Null)).await.unwrap();
    let told = read(&mut answer.into_body().into_data_stream(), 1).await;
    assert_eq!(
        told,
        [json!({ "eventName": "OnUserStateModified", "loginName": "icm1001", "state": "BUSY" })]
    );
}

#[tokio::test]
async fn operations_become_commands() {
    let scene = scene().await;
    let (caller_cookie, callee_cookie) = (scene.session("1001").await, scene.session("1002").await);
    let (call, caller, callee) = scene.call(false);
    let path = |operation: &str| format!("/telephony/calls/{call}/{operation}");
    let post = async |cookie: &str, operation: &str, body: Value| {
        let (status, error) = scene.ask(Method::POST, &path(operation), cookie, body).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{operation}: {error}");
        scene.door.taken()
    };
    let answer = post(&callee_cookie, "answer", json!({ "deviceId": "ICTouch_1002" })).await;
    assert_eq!(answer, [CallCommandKind::AnswerRinging { leg: callee }]);
    let redirect = post(&callee_cookie, "redirect", json!({ "redirectTo": "VOICEMAIL" })).await;
    assert!(matches!(&redirect[..], [CallCommandKind::Redirect { leg, .. }] if *leg == callee));
    let overflow = post(&caller_cookie, "overflowToVoiceMail", Value::Null).await;
    assert_eq!(overflow, [CallCommandKind::Overflow { leg: caller }]);
    scene.happens(FactKind::LegAnswered { leg: callee });
    scene.happens(FactKind::LegAnswered { leg: caller });
    scene.happens(FactKind::LegsBridged { call, a: caller, b: callee });
    assert_eq!(post(&caller_cookie, "hold", Value::Null).await, [CallCommandKind::Hold { leg: caller }]);
    let transfer = post(&callee_cookie, "blindtransfer", json!({ "transferTo": "1003" })).await;
    let expected = CallCommandKind::TransferBlind { leg: callee, to_number: "1003".into(), anonymous: false };
    assert_eq!(transfer, [expected]);
    let add = post(&caller_cookie, "participants", json!({ "callee": "1003" })).await;
    assert_eq!(
        add,
        [CallCommandKind::AddParticipant { leg: caller, to_number: "1003".into(), anonymous: false }]
    );
    let digits = post(&caller_cookie, "sendDtmf", json!({ "number": "12#" })).await;
    assert_eq!(digits, [CallCommandKind::SendDigits { leg: caller, digits: "12#".into() }]);
    let record = post(&caller_cookie, "recording?action=start", Value::Null).await;
    assert!(matches!(record[..], [CallCommandKind::StartRecording { .. }]));
    let (status, made) = scene
        .ask(
            Method::POST,
            "/telephony/calls",
            &caller_cookie,
            json!({ "callee": "1003", "deviceId": "ICTouch_1001" }),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert!(
        matches!(&scene.door.taken()[..], [CallCommandKind::Place { from_number, .. }] if **from_number == *"1001")
    );
}

#[tokio::test]
async fn what_the_state_of_the_call_does_not_allow_is_refused_and_changes_nothing() {
    let scene = scene().await;
    let (cookie, stranger) = (scene.session("1001").await, scene.session("1003").await);
    let (call, ..) = scene.call(true);
    let ask = async |cookie: &str, operation: &str, body: Value| {
        scene.ask(Method::POST, &format!("/telephony/calls/{call}/{operation}"), cookie, body).await
    };
    for operation in
        ["answer", "retrieve", "alternate", "dropme", "overflowToVoiceMail", "recording?action=stop"]
    {
        let (status, error) = ask(&cookie, operation, Value::Null).await;
        assert_eq!(
            (status, &error["type"]),
            (StatusCode::CONFLICT, &json!("capability_missing")),
            "{operation}"
        );
    }
    for (operation, body) in [
        ("hold", json!({ "deviceId": 7 })),
        ("hold", json!("x")),
        ("blindtransfer", json!({})),
        ("blindtransfer", json!({ "transferTo": "" })),
        ("sendDtmf", json!({ "number": "x" })),
        ("sendDtmf", json!({ "number": "1".repeat(65) })),
        ("recording?action=burn", Value::Null),
        ("recording", Value::Null),
    ] {
        let (status, error) = ask(&cookie, operation, body).await;
        assert_eq!((status, &error["code"]), (StatusCode::BAD_REQUEST, &json!(400)), "{operation}");
    }
    assert_eq!(ask(&cookie, "blindtransfer", json!({ "transferTo": "9" })).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&cookie, "hold", json!({ "deviceId": "other" })).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&stranger, "hold", Value::Null).await.0, StatusCode::NOT_FOUND, "not one's own");
    let (status, _) = scene.ask(Method::GET, "/telephony/calls/no-id", &cookie, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(scene.door.taken().is_empty());
}

#[tokio::test]
async fn the_state_tells_what_the_events_told() {
    let scene = scene().await;
    let cookie = scene.session("1002").await;
    let (_, free) = scene.ask(Method::GET, "/telephony/state", &cookie, Value::Null).await;
    assert_eq!(
        (&free["userState"], &free["deviceCapabilities"][0]["makeCall"]),
        (&json!("FREE"), &json!(true))
    );
    let (call, ..) = scene.call(true);
    let (_, state) = scene.ask(Method::GET, "/telephony/state", &cookie, Value::Null).await;
    assert_eq!((&state["userState"], &state["deviceCapabilities"]), (&json!("BUSY"), &json!([])));
    let (_, one) = scene.ask(Method::GET, &format!("/telephony/calls/{call}"), &cookie, Value::Null).await;
    assert_eq!(state["calls"], json!([one]));
    assert_eq!(one["participants"][0]["participantId"], "1001");
    assert_eq!(one["legs"][0]["capabilities"], json!({ "drop": true, "hold": true, "switchDevice": true }));
}

#[tokio::test]
async fn every_operation_of_the_document_is_served_and_asks_for_a_cookie() {
    let scene = scene().await;
    let document = serde_json::to_value(sidetone_dialects::telephony::openapi()).unwrap();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let uri =
                path.replace("{callRef}", "x").replace("{participantId}", "x").replace("{deviceId}", "x");
            let uri = uri.replace("{id}", "x");
            let (status, _) = kit::ask(&scene.routes, request(method.clone(), &uri, "", &Value::Null)).await;
            let expected = match &*uri {
                "/api/rest" => StatusCode::OK,
                "/api/rest/authenticate" => StatusCode::UNAUTHORIZED,
                _ => StatusCode::FORBIDDEN,
            };
            assert_eq!(status, expected, "{method} {path}");
            assert!(operation["responses"].is_object());
            operations += 1;
        }
        kit::serves_no_other_methods(&scene.routes, path, item).await;
    }
    assert_eq!(operations, 51);
}

#[tokio::test]
async fn a_client_that_knows_of_one_call_only_answers_and_leaves_it() {
    let scene = scene().await;
    let callee = scene.session("1002").await;
    let basic = |operation: &str| format!("/telephony/basicCall/{operation}");
    let (status, error) = scene.ask(Method::POST, &basic("answer"), &callee, Value::Null).await;
    assert_eq!((status, &error["type"]), (StatusCode::CONFLICT, &json!("capability_missing")));
    let (_, _, leg) = scene.call(false);
    let on = json!({ "deviceId": "ICTouch_1002" });
    let (status, _) = scene.ask(Method::POST, &basic("answer"), &callee, on).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(scene.door.taken(), [CallCommandKind::AnswerRinging { leg }]);
    let caller = scene.session("1001").await;
    let (status, _) = scene.ask(Method::POST, &basic("dropme"), &caller, Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(matches!(scene.door.taken()[..], [CallCommandKind::HangUpLeg { .. }]));
}

#[tokio::test]
async fn what_no_call_of_ours_offers_is_a_capability_that_is_not_there() {
    let scene = scene().await;
    let cookie = scene.session("1001").await;
    let (call, _, _) = scene.call(true);
    for operation in ["park", "callback", "attachdata", "sendaccountinfo"] {
        let path = |call: &str| format!("/telephony/calls/{call}/{operation}");
        let (status, error) = scene.ask(Method::POST, &path(&call.to_string()), &cookie, json!({})).await;
        assert_eq!(
            (status, &error["type"]),
            (StatusCode::CONFLICT, &json!("capability_missing")),
            "{operation}"
        );
        let (status, _) = scene.ask(Method::POST, &path("nobody"), &cookie, json!({})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{operation}");
    }
    let unpark = "/telephony/devices/ICTouch_1001/unpark";
    assert_eq!(scene.ask(Method::POST, unpark, &cookie, json!({})).await.0, StatusCode::CONFLICT);
    assert!(scene.door.taken().is_empty());
}

/// The enumerations as the product's public sources have them.
const ENUMERATIONS: [(&str, &str); 5] = [
    (
        "Cause",
        "ABANDONED ALL_TRUNK_BUSY BUSY CLEARED PARTICIPANT_LEFT CONFERENCED INVALID_NUMBER DESTINATION_NOT_OBTAINABLE DO_NOT_DISTURB \
         FORWARDED NOT_ANSWERED PICKED_UP PARKED REDIRECTED OVERFLOWN TRANSFERRED CAMP_ON UNKNOWN PICKED_UP_TANDEM CALL_BACK RECALL \
         DISTRIBUTED ACD_ENTER_DISTRIBUTION RESOURCES_NOT_AVAILABLE SUPERVISOR_LISTENING SUPERVISOR_INTRUSION \
         SUPERVISOR_RESTRICT_INTRUSION NO_AVAILABLE_AGENT LOCKOUT",
    ),
    ("CallState", "UNKNOWN OFF_HOOK IDLE RELEASING DIALING HELD RINGING_INCOMING RINGING_OUTGOING ACTIVE"),
    ("DeviceState", "IN_SERVICE OUT_OF_SERVICE UNKNOWN"),
    ("UserState", "FREE BUSY UNKNOWN"),
    ("RecordState", "PAUSED RECORDING UNKNOWN"),
];

#[test]
fn the_document_has_the_products_enumerations() {
    let document = serde_json::to_value(sidetone_dialects::telephony::openapi()).unwrap();
    for (name, words) in ENUMERATIONS {
        let expected: Vec<&str> = words.split(' ').collect();
        assert_eq!(document["components"]["schemas"][name]["enum"], json!(expected), "{name}");
    }
}

#[tokio::test]
async fn whether_a_call_is_recorded_is_told_in_the_products_words() {
    let scene = scene().await;
    let cookie = scene.session("1001").await;
    let (call, caller, _) = scene.call(true);
    let recording = scene.door.id();
    let node = sidetone_model::ids::NodeId::new("m1").unwrap();
    let started = FactKind::RecordingStarted {
        recording,
        call,
        node,
        stereo: false,
        format: Default::default(),
        layout: Default::default(),
        name: "".into(),
        legs: Vec::new(),
        callback: None,
        beep: false,
    };
    let held = FactKind::LegHeld { leg: caller, by: HeldBy::Application };
    let termination = Termination::new(Cause::Internal);
    for (fact, told, record) in [
        (started, 2, json!("RECORDING")),
        // Whose capabilities stay as they are is told all the same.
        (held, 2, json!("RECORDING")),
        (FactKind::RecordingPaused { recording, mask: true }, 2, json!("PAUSED")),
        (FactKind::RecordingResumed { recording }, 2, json!("RECORDING")),
        (FactKind::RecordingFailed { recording, termination, kept: None }, 2, Value::Null),
    ] {
        let events = scene.door.happens(&Telephony, fact);
        assert_eq!(events.len(), told, "{events:#?}");
        for event in &events {
            assert_eq!(event.body["eventName"], "OnCallModified");
            assert_eq!(event.body["callData"]["recordState"], record, "{}", event.body);
        }
        let (_, seen) =
            scene.ask(Method::GET, &format!("/telephony/calls/{call}"), &cookie, Value::Null).await;
        assert_eq!(seen["callData"]["recordState"], record);
    }
}
