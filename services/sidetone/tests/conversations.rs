//! Dialect 000 as an application has it: requests with its token, telephones that are called or let in, the webhook, and the
//! event log.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sidetone_testkit::phone::{Call, EndedBy, Phone, PhoneConfig, PhoneError};
use support::clients::{APPLICATION, Conversations, LOOPBACK, SECRET, applications, invitation};
use support::phones::{self, call_again, eventually, hears, registered, unregistered};
use support::process::Installation;
use support::receiver::Receiver;
use support::sound::{decoded, has_tone};

struct Scene {
    installation: Installation,
    application: Conversations,
    told: Receiver,
}

/// A number where callers knock.
const KNOCK: &str = "9198";
/// What media nodes may fetch.
const FETCH: &str = "[media.fetch]\nallow = [\"127.0.0.1\"]\n";

impl Scene {
    async fn new() -> Self {
        let told = Receiver::start().await;
        let seed = applications(&told.events_url(), "http://127.0.0.1:9/nobody");
        let installation = Installation::one_process_with(FETCH, &seed, LOOPBACK);
        let application = Conversations::new(&installation);
        Self { installation, application, told }
    }

    async fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        eventually(&self.installation, what, holds).await;
    }

    /// The first webhook of a type, waited for.
    async fn event(&self, r#type: &str) -> Value {
        self.until(r#type, || self.told.column("type").iter().any(|there| there == r#type)).await;
        self.told.bodies().into_iter().find(|body| body["type"] == r#type).unwrap()
    }

    async fn phone(&self, number: &str, tone_hz: f32) -> Phone {
        registered(&self.installation, number, tone_hz).await
    }

    /// The one call of a phone.
    async fn taken(&self, phone: &Phone) -> Call {
        self.until("the phone is in a call", || !phone.calls().is_empty()).await;
        phone.calls().remove(0)
    }

    /// Asks a phone into a conversation; gives the member.
    async fn invite(&self, conversation: &str, user: &str, number: &str) -> Value {
        let members = format!("/conversations/{conversation}/members");
        self.application.post(&members, invitation(user, "5000", number)).await
    }

    /// A page of the event log.
    async fn log(&self, conversation: &str, query: &str) -> (Vec<Value>, Value) {
        let page = self.application.get(&format!("/conversations/{conversation}/events?{query}")).await;
        let events = page["_embedded"]["events"].as_array().unwrap().clone();
        (events, page["_links"]["next"]["cursor"].clone())
    }
}

fn ids(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["id"].as_u64().unwrap()).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_asked_in_and_the_webhook_and_the_log_tell_the_same_in_order() {
    let scene = Scene::new().await;
    let config =
        PhoneConfig::new(scene.installation.sip, "127.0.0.1", "1001", "secret-1001").with_tone(440.0);
    let ada = Phone::start(config).await.unwrap();
    ada.register().await.unwrap();
    let ben = scene.phone("1002", 700.0).await;
    let (conversation, user) = scene.application.begin().await;
    assert!(conversation.starts_with("CON-") && user.starts_with("USR-"));
    let member = scene.invite(&conversation, &user, "1001").await;
    let ringing = phones::incoming(&ada).await;
    assert_eq!(ringing.caller(), "sip:5000@127.0.0.1", "{}", ringing.caller());
    scene.event("sip:ringing").await;
    // The document's own order, by the events' numbers.
    let (log, _) = scene.log(&conversation, "page_size=100").await;
    assert_eq!(types(&log), ["member:invited", "leg:status:update", "sip:ringing"]);
    let at_ada = ringing.answer().unwrap();
    let joined = scene.event("member:joined").await;
    assert_eq!(joined["from"], member["id"]);

    scene.invite(&conversation, &user, "1002").await;
    let at_ben = scene.taken(&ben).await;
    hears(&scene.installation, &at_ada, 700.0).await;
    hears(&scene.installation, &at_ben, 440.0).await;
    assert!(at_ada.media().dial("5"));
    let digit = scene.event("audio:dtmf").await;
    assert_eq!((&digit["body"]["digit"], &digit["from"]), (&json!("5"), &member["id"]));

    let path = format!("/conversations/{conversation}/members/{}", member["id"].as_str().unwrap());
    let mute = |muted: bool| json!({ "media": { "audio_settings": { "muted": muted } } });
    scene.application.done(Method::PUT, &path, mute(true)).await;
    scene.until("ada is muted", || !at_ben.ear().hears(440.0)).await;
    scene.application.done(Method::PUT, &path, mute(false)).await;
    hears(&scene.installation, &at_ben, 440.0).await;
    scene.event("audio:mute:off").await;

    scene.application.done(Method::PUT, &path, json!({ "state": "left" })).await;
    assert!(matches!(at_ada.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    let shown = scene.application.get(&path).await;
    assert_eq!(shown["state"], "left");
    at_ben.hang_up().await.unwrap();
    scene
        .until("both have left", || {
            scene.told.column("type").iter().filter(|there| *there == "member:left").count() == 2
        })
        .await;
    let (log, _) = scene.log(&conversation, "page_size=100").await;
    assert_eq!(ids(&log), (1..=log.len() as u64).collect::<Vec<_>>());
    scene.until("everything is told", || scene.told.bodies().len() > log.len()).await;
    let told = scene.told.bodies();
    assert_eq!(
        (&told[0]["type"], &told[0]["body"]["id"]),
        (&json!("conversation:created"), &json!(conversation))
    );
    for (told, logged) in told[1..].iter().zip(&log) {
        assert_eq!(told, logged, "the webhook and the log tell the same");
    }
    for webhook in scene.told.webhooks() {
        let token = webhook.header("authorization").strip_prefix("Bearer ").unwrap();
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let claims = decode::<Value>(token, &key, &Validation::new(Algorithm::HS256)).unwrap().claims;
        let hash = digest(&SHA256, &webhook.raw)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        assert_eq!((&claims["payload_hash"], &claims["application_id"]), (&json!(hash), &json!(APPLICATION)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_knocks_and_is_let_in() {
    let scene = Scene::new().await;
    let cid = unregistered(&scene.installation, "1003", 1100.0).await;
    let calling = tokio::spawn(async move { (call_again(&cid, KNOCK).await, cid) });
    let knock = scene.event("app:knocking").await;
    let ringing = scene.event("sip:ringing").await;
    let knocker = knock["from"].as_str().unwrap();
    assert!(knocker.starts_with("knocker:"));
    assert_eq!(ringing["from"], knocker);
    for event in [&knock, &ringing] {
        assert!(event["id"].is_null() && event["conversation_id"].is_null(), "{event}");
        let channel = &event["body"]["channel"];
        assert_eq!((&channel["from"]["number"], &channel["to"]["number"]), (&json!("1003"), &json!(KNOCK)));
        let id = channel["id"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    }
    let ben = scene.phone("1002", 700.0).await;
    let (conversation, user) = scene.application.begin().await;
    let mut invite = invitation(&user, "1003", KNOCK);
    invite["knocking_id"] = knocker.into();
    let member = scene.application.post(&format!("/conversations/{conversation}/members"), invite).await;
    let (answered, _cid) = calling.await.unwrap();
    let at_cid = answered.unwrap_or_else(|error| panic!("{error}\n{}", scene.installation.logs()));
    scene.invite(&conversation, &user, "1002").await;
    let at_ben = scene.taken(&ben).await;
    hears(&scene.installation, &at_cid, 700.0).await;
    hears(&scene.installation, &at_ben, 1100.0).await;
    let legs = scene.application.get("/legs").await["_embedded"]["legs"].as_array().unwrap().clone();
    let own = legs.iter().find(|leg| leg["member_id"] == member["id"]).unwrap();
    assert_eq!((&own["direction"], &own["status"]), (&json!("inbound"), &json!("answered")));
    let path = format!("/legs/{}", own["leg_id"].as_str().unwrap());
    scene.application.done(Method::DELETE, &path, Value::Null).await;
    assert!(matches!(at_cid.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    scene.application.done(Method::DELETE, &format!("/conversations/{conversation}"), Value::Null).await;
    assert!(matches!(at_ben.wait_ended(Duration::from_secs(30)).await, Some(EndedBy::FarEnd { .. })));
    scene.event("conversation:deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_knocks_no_more() {
    let scene = Scene::new().await;
    let cid = unregistered(&scene.installation, "1003", 1100.0).await;
    let calling = tokio::spawn(async move { cid.call_within(KNOCK, Duration::from_secs(2)).await });
    let knock = scene.event("app:knocking").await;
    let cancelled = scene.event("app:knocking:cancel").await;
    assert_eq!(cancelled["from"], knock["from"]);
    assert!(matches!(calling.await.unwrap(), Err(PhoneError::Refused { status: 487, .. })));
    let (conversation, user) = scene.application.begin().await;
    let mut invite = invitation(&user, "1003", KNOCK);
    invite["knocking_id"] = knock["from"].clone();
    let members = format!("/conversations/{conversation}/members");
    let (status, refused) = scene.application.ask(Method::POST, &members, invite).await;
    assert!(status == StatusCode::NOT_FOUND || status == StatusCode::CONFLICT, "{status} {refused}");
    // Calling the number where callers knock would make the call come back.
    let (status, refused) =
        scene.application.ask(Method::POST, &members, invitation(&user, "1003", KNOCK)).await;
    assert!(status.is_client_error(), "{status} {refused}");
    assert!(scene.installation.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_a_recording_is_told_where_it_is_and_it_plays() {
    let scene = Scene::new().await;
    let (ada, ben) = (scene.phone("1001", 440.0).await, scene.phone("1002", 700.0).await);
    let (conversation, user) = scene.application.begin().await;
    for (number, phone) in [("1001", &ada), ("1002", &ben)] {
        scene.invite(&conversation, &user, number).await;
        scene.taken(phone).await;
    }
    let (at_ada, at_ben) = (scene.taken(&ada).await, scene.taken(&ben).await);
    hears(&scene.installation, &at_ada, 700.0).await;
    hears(&scene.installation, &at_ben, 440.0).await;
    let path = format!("/conversations/{conversation}/record");
    for method in ["POST", "GET"] {
        let so_far = scene.told.at_own_url().len();
        let start = json!({ "action": "start", "event_url": scene.told.own_url(), "event_method": method });
        scene.application.done(Method::PUT, &path, start).await;
        // Long enough for the sound to be found in a whole second of the file.
        tokio::time::sleep(Duration::from_secs(4)).await;
        scene.application.done(Method::PUT, &path, json!({ "action": "stop" })).await;
        scene.until("it is told", || scene.told.at_own_url().len() > so_far).await;
        let told = scene.told.at_own_url().pop().unwrap();
        assert_eq!(told.body["conversation_uuid"], conversation);
        assert!(told.header("authorization").starts_with("Bearer "));
        let url = told.body["recording_url"].as_str().unwrap().to_owned();
        let fetched = reqwest::Client::new().get(&url).bearer_auth(Conversations::token(SECRET)).send().await;
        let fetched = fetched.unwrap();
        assert_eq!(fetched.status(), StatusCode::OK, "{url}");
        let bytes = fetched.bytes().await.unwrap().to_vec();
        let size = told.body["size"].to_string();
        assert_eq!(size.trim_matches('"'), bytes.len().to_string());
        let heard = decoded(bytes, "wav");
        assert!(has_tone(&heard, 440.0) && has_tone(&heard, 700.0), "{} samples", heard.0.len());
        assert_eq!(reqwest::get(&url).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let records = |r#type: &str| scene.told.column("type").iter().filter(|it| **it == r#type).count();
    scene.until("the webhook tells of both", || records("audio:record:done") == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_among_three_is_told_and_is_not_in_the_log() {
    let scene = Scene::new().await;
    let (conversation, user) = scene.application.begin().await;
    let mut phones = Vec::new();
    // Two listen, and one is heard.
    for (number, tone_hz) in [("1001", None), ("1002", None), ("1003", Some(440.0))] {
        let password = format!("secret-{number}");
        let config = PhoneConfig::new(scene.installation.sip, "127.0.0.1", number, &password);
        let config = PhoneConfig { auto_answer: true, ..config };
        let config = tone_hz.into_iter().fold(config, PhoneConfig::with_tone);
        let phone = Phone::start(config).await.unwrap();
        phone.register().await.unwrap();
        let member = scene.invite(&conversation, &user, number).await;
        phones.push((scene.taken(&phone).await, phone, member));
    }
    let (_, _, cid) = &phones[2];
    let on = scene.event("audio:speaking:on").await;
    assert_eq!((&on["from"], &on["conversation_id"]), (&cid["id"], &json!(conversation)));
    let path = format!("/conversations/{conversation}/members/{}", cid["id"].as_str().unwrap());
    let mute = json!({ "media": { "audio_settings": { "muted": true } } });
    scene.application.done(Method::PUT, &path, mute).await;
    let off = scene.event("audio:speaking:off").await;
    assert_eq!((&off["from"], &off["id"]), (&cid["id"], &Value::Null));
    let (log, _) = scene.log(&conversation, "page_size=100").await;
    assert!(types(&log).iter().all(|r#type| !r#type.starts_with("audio:speaking")), "{:?}", types(&log));
    assert_eq!(ids(&log), (1..=log.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_log_is_read_by_number_type_order_and_page() {
    let scene = Scene::new().await;
    let (conversation, _) = scene.application.begin().await;
    let path = format!("/conversations/{conversation}/events");
    for n in 1..=7 {
        let r#type = if n % 2 == 0 { "custom:even" } else { "custom:odd" };
        scene.application.post(&path, json!({ "type": r#type, "body": { "n": n } })).await;
    }
    let log = async |query: &str| ids(&scene.log(&conversation, query).await.0);
    assert_eq!(log("").await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(log("start_id=3&end_id=5").await, [3, 4, 5]);
    assert_eq!(log("event_type=custom:even").await, [2, 4, 6]);
    assert_eq!(log("order=desc&start_id=2&end_id=4").await, [4, 3, 2]);
    let (mut cursor, mut pages) = (String::new(), Vec::new());
    loop {
        let query = format!("page_size=3&order=desc{cursor}");
        let (events, next) = scene.log(&conversation, &query).await;
        pages.push(ids(&events));
        let Some(next) = next.as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    scene.application.done(Method::DELETE, &format!("{path}/4"), Value::Null).await;
    assert_eq!(log("start_id=3&end_id=5").await, [3, 5]);
    let (status, _) = scene.application.ask(Method::GET, &format!("{path}/4"), Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for wrong in ["start_id=x", "order=up", "page_size=0", "page_size=101", "end_id=-1"] {
        let (status, refused) =
            scene.application.ask(Method::GET, &format!("{path}?{wrong}"), Value::Null).await;
        assert_eq!(
            (status, &refused["code"]),
            (StatusCode::BAD_REQUEST, &json!("http:error:validation-fail"))
        );
    }
    let (status, refused) = scene.application.ask_as("another secret", Method::GET, &path, Value::Null).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNAUTHORIZED, &json!("http:error:unauthorized")));
}
