//! Webhooks to real HTTP servers: order, retries, signatures, dead letters, restarts, and where they may not go.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use sidetone_dialects::OrderKey;
use sidetone_dialects::bot::signature_of;
use sidetone_directory::{Directory, Password};
use sidetone_http::{Outlet as _, Posted};
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_outbox::{Config, Deps, Outbox};
use sidetone_outbox_core::{Address, LaneKey, Parcel, ParcelId};
use sidetone_proto::directory::v1 as directory;
use sidetone_proto::outbox::v1 as pb;
use sidetone_proto::outbox::v1::outbox_server::Outbox as _;
use sidetone_runtime::{Caller, Lifecycle};
use sidetone_store::embedded::EmbeddedStore;
use sidetone_telemetry::Telemetry;
use tonic::{Code, Request};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

const SECRET: &str = "a secret of some length";
const SHARD: ShardId = ShardId(3);

struct Bench {
    outbox: Outbox,
    directory: Directory,
    lifecycle: Lifecycle,
}

fn config() -> Config {
    Config {
        backoff_first_ms: 10,
        backoff_max_ms: 50,
        attempt_timeout_ms: 15_000,
        allowed_networks: vec!["127.0.0.0/8".into()],
        ..Config::default()
    }
}

async fn bench(path: &Path, config: Config) -> Bench {
    // The file is free a moment after its last user is gone.
    let deadline = Instant::now() + Duration::from_secs(20);
    let store = loop {
        match EmbeddedStore::open(path) {
            Ok(store) => break store,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let directory = Directory::new(store.clone());
    let lifecycle = Lifecycle::new();
    let deps = Deps {
        store,
        directory: directory.clone(),
        telemetry: Telemetry::new().unwrap(),
        lifecycle: lifecycle.clone(),
    };
    directory
        .put_tenant(directory::Tenant { tenant: "demo".into(), ..directory::Tenant::default() })
        .await
        .unwrap();
    Bench { outbox: Outbox::start(config, deps).await.unwrap(), directory, lifecycle }
}

impl Bench {
    async fn application(&self, name: &str, change: impl FnOnce(&mut directory::Application)) {
        let mut record = directory::Application {
            tenant: "demo".into(),
            application: name.into(),
            kind: directory::ApplicationKind::Conversation.into(),
            bot: "the-bot".into(),
            ..directory::Application::default()
        };
        change(&mut record);
        self.directory.put_application(record, Some(&Password::new(SECRET))).await.unwrap();
    }

    async fn owe(&self, receiver: &str, entry: u64, order: &str, body: &str) {
        self.owe_to(receiver, entry, (order, body), None).await;
    }

    async fn owe_to(&self, receiver: &str, entry: u64, (order, body): (&str, &str), to: Option<Address>) {
        let id = ParcelId { entry, place: 0, index: 0 };
        let body = bytes::Bytes::copy_from_slice(body.as_bytes());
        let at = Timestamp::from_millis(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
        let parcel = Parcel { id, at, order: order.into(), body, to };
        self.outbox.accept(SHARD, lane(receiver), parcel).await;
        self.outbox.followed(SHARD, entry);
    }

    async fn dead(&self) -> Vec<pb::DeadLetter> {
        let request = pb::DeadLettersRequest { tenant: "demo".into(), limit: 1000, ..Default::default() };
        self.outbox.list_dead_letters(asked(request)).await.unwrap().into_inner().dead_letters
    }

    async fn owed(&self) -> Vec<pb::Owed> {
        let request = asked(pb::ListOwedRequest { tenant: "demo".into() });
        self.outbox.list_owed(request).await.unwrap().into_inner().owed
    }
}

fn lane(receiver: &str) -> LaneKey {
    LaneKey { tenant: TenantId::new("demo").unwrap(), receiver: receiver.into() }
}

fn asked<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.extensions_mut().insert(Caller::Operator);
    request
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn bodies(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn what_fails_is_repeated_under_its_key_and_the_rest_of_its_call_waits() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).up_to_n_times(2).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    bench.application("app", |app| app.event_url = server.uri()).await;
    for entry in 1..=3 {
        bench.owe("app", entry, "call", &format!("{{\"n\":{entry}}}")).await;
    }
    eventually("all delivered", async || bodies(&server).await.len() == 5).await;
    assert_eq!(bodies(&server).await, ["{\"n\":1}", "{\"n\":1}", "{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    let requests = server.received_requests().await.unwrap();
    let keys: Vec<_> = requests.iter().map(|r| r.headers["idempotency-key"].to_str().unwrap()).collect();
    assert_eq!(keys, ["app-1.0.0", "app-1.0.0", "app-1.0.0", "app-2.0.0", "app-3.0.0"]);
    eventually("nothing is owed", async || bench.owed().await.is_empty()).await;
}

#[tokio::test]
async fn a_conversation_gets_a_jwt_over_its_body_and_a_bot_its_headers() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    bench.application("app", |app| app.event_url = server.uri()).await;
    let bot = directory::ApplicationKind::Bot.into();
    bench.application("team", |app| (app.event_url, app.kind) = (server.uri(), bot)).await;
    bench.owe("app", 1, "call", "{\"to\":\"app\"}").await;
    bench.owe("team", 2, "call", "{\"to\":\"team\"}").await;
    eventually("both delivered", async || bodies(&server).await.len() == 2).await;
    for request in server.received_requests().await.unwrap() {
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        if request.body == b"{\"to\":\"team\"}" {
            let timestamp = header("x-timestamp");
            let expected = signature_of("the-bot", SECRET, &timestamp, &request.body);
            assert_eq!((header("x-bot-id").as_str(), header("x-signature")), ("the-bot", expected));
            continue;
        }
        let token = header("authorization");
        let token = token.strip_prefix("Bearer ").unwrap();
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let claims: serde_json::Value =
            decode(token, &key, &Validation::new(Algorithm::HS256)).unwrap().claims;
        let hash = digest(&SHA256, &request.body);
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (claims["payload_hash"].as_str(), claims["application_id"].as_str()),
            (Some(&*hash), Some("app"))
        );
    }
}

#[tokio::test]
async fn what_is_refused_is_listed_and_can_be_replayed_or_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(400)).up_to_n_times(2).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    bench.application("app", |app| app.event_url = server.uri()).await;
    bench.owe("app", 1, "call", "1").await;
    bench.owe("app", 2, "call", "2").await;
    bench.owe("app", 3, "call", "3").await;
    eventually("two are dead and one has arrived", async || bodies(&server).await.len() == 3).await;
    eventually("two are listed", async || bench.dead().await.len() == 2).await;
    let dead = bench.dead().await;
    let seen: Vec<_> = dead.iter().map(|d| (d.id.as_str(), d.reason.as_str(), d.body.as_str())).collect();
    assert_eq!(seen, [("1.0.0", "refused", "1"), ("2.0.0", "refused", "2")]);

    let one = |id: &str| pb::DeadLettersRequest {
        tenant: "demo".into(),
        receiver: "app".into(),
        id: id.into(),
        ..Default::default()
    };
    assert_eq!(bench.outbox.replay(asked(one("1.0.0"))).await.unwrap().into_inner().count, 1);
    eventually("it has arrived and is gone", async || bench.dead().await.len() == 1).await;
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.last().unwrap().headers["idempotency-key"], "app-1.0.0");
    assert_eq!(bench.outbox.discard(asked(one("2.0.0"))).await.unwrap().into_inner().count, 1);
    assert!(bench.dead().await.is_empty());
    let gone = bench.outbox.replay(asked(one("2.0.0"))).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let wrong = bench.outbox.discard(asked(one("two"))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn many_dead_letters_are_listed_by_the_page_and_tried_again_past_those_that_fail_again() {
    const MANY: u64 = 1100;
    let folder = tempfile::tempdir().unwrap();
    // Nothing of it is reached: an attempt costs nothing.
    let bench = bench(&folder.path().join("store"), config()).await;
    bench.application("app", |app| app.event_url = "http://10.0.0.1/hook".into()).await;
    for entry in 1..=MANY {
        bench.owe("app", entry, &format!("call-{entry}"), "{}").await;
    }
    let list = async |after: String, limit| {
        let tenant = "demo".to_owned();
        let request = pb::DeadLettersRequest { tenant, after, limit, ..Default::default() };
        bench.outbox.list_dead_letters(asked(request)).await.map(tonic::Response::into_inner)
    };
    let all = async || {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let page = list(after, 300).await.unwrap();
            assert!(page.dead_letters.len() <= 300);
            ids.extend(page.dead_letters.into_iter().map(|dead| dead.id));
            after = page.next;
            if after.is_empty() {
                return ids;
            }
        }
    };
    eventually("all are dead", async || all().await.len() as u64 == MANY).await;
    let expected: Vec<String> = (1..=MANY).map(|entry| format!("{entry}.0.0")).collect();
    assert_eq!(all().await, expected, "each once, in their order");
    assert_eq!(list(String::new(), 0).await.unwrap().dead_letters.len(), 100);
    for (after, limit) in [("nonsense", 0), ("", 1001)] {
        assert_eq!(list(after.into(), limit).await.unwrap_err().code(), Code::InvalidArgument);
    }

    // The first thousand will not arrive this time either; the others are tried all the same.
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(410)).mount(&server).await;
    bench.application("app", |app| app.event_url = server.uri()).await;
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let request = pb::DeadLettersRequest { tenant: "demo".into(), after, ..Default::default() };
        let some = bench.outbox.replay(asked(request)).await.unwrap().into_inner();
        count += some.count;
        after = some.next;
        if after.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count, MANY);
    let tried = async || {
        let requests = server.received_requests().await.unwrap();
        let keys = requests.iter().map(|it| it.headers["idempotency-key"].to_str().unwrap().to_owned());
        keys.collect::<std::collections::BTreeSet<_>>().len() as u64
    };
    eventually("each was tried", async || tried().await == MANY).await;
}

#[tokio::test]
async fn a_receiver_of_which_no_more_can_be_tried_holds_up_no_other() {
    const MANY: u64 = 1005;
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    for app in ["first", "second"] {
        bench.application(app, |app| app.event_url = "http://10.0.0.1/hook".into()).await;
    }
    for entry in 1..=MANY {
        bench.owe("first", entry, &format!("call-{entry}"), "{}").await;
    }
    bench.owe("second", MANY + 1, "call", "for the second").await;
    let of = async |receiver: &str| {
        let request = pb::DeadLettersRequest {
            tenant: "demo".into(),
            receiver: receiver.into(),
            limit: 1000,
            ..Default::default()
        };
        bench.outbox.list_dead_letters(asked(request)).await.unwrap().into_inner()
    };
    eventually("all are dead", async || {
        !of("first").await.next.is_empty() && of("second").await.dead_letters.len() == 1
    })
    .await;
    // The first does not say a word; the second takes what it is given.
    let (silent, server) = (MockServer::start().await, MockServer::start().await);
    let never = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(any()).respond_with(never).mount(&silent).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    bench.application("first", |app| app.event_url = silent.uri()).await;
    bench.application("second", |app| app.event_url = server.uri()).await;
    // One that is in the store already may still be on its way out of memory, and is not tried before it is out of it.
    let mut count = 0;
    let trying = async {
        loop {
            let request = pb::DeadLettersRequest { tenant: "demo".into(), ..Default::default() };
            let some = bench.outbox.replay(asked(request)).await.unwrap().into_inner();
            count += some.count;
            if some.next.starts_with("first/1000.0.0;") {
                return some;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let some = tokio::time::timeout(Duration::from_secs(60), trying).await.expect("as many as may are tried");
    // The second's may be tried once more while it is being crossed off.
    assert!((1001..=1010).contains(&count), "{count}: {}", some.next);
    eventually("the second has its letter", async || {
        bodies(&server).await.first().is_some_and(|body| body == "for the second")
    })
    .await;
    let request =
        pb::DeadLettersRequest { tenant: "demo".into(), after: some.next.clone(), ..Default::default() };
    let again = bench.outbox.replay(asked(request)).await.unwrap().into_inner();
    assert_eq!((again.count, again.next), (0, some.next), "the first is gone on with where it waits");
}

#[tokio::test]
async fn our_own_network_and_redirects_are_not_reached() {
    let folder = tempfile::tempdir().unwrap();
    let strict = Config { allowed_networks: vec!["127.0.0.2/32".into()], ..config() };
    let bench = bench(&folder.path().join("store"), strict).await;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    bench.application("inside", |app| app.event_url = server.uri()).await;
    let by_name = server.uri().replace("127.0.0.1", "localhost").replace("http", "https");
    bench.application("named", |app| app.event_url = by_name).await;
    bench.application("nowhere", |_| {}).await;
    bench.owe("inside", 1, "call", "1").await;
    bench.owe("named", 2, "call", "2").await;
    assert!(!bench.outbox.wants(&lane("nowhere"), false, true).await.unwrap());
    assert!(
        bench.outbox.wants(&lane("nowhere"), true, false).await.unwrap(),
        "what has an address of its own"
    );
    assert!(!bench.outbox.wants(&lane("nobody"), true, true).await.unwrap());
    eventually("both are dead", async || bench.dead().await.len() == 2).await;
    assert!(bench.dead().await.iter().all(|dead| dead.reason == "forbidden"), "{:?}", bench.dead().await);
    assert!(bodies(&server).await.is_empty());
}

#[tokio::test]
async fn the_fallback_is_asked_when_the_receiver_fails_and_a_knock_has_its_own_address() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let (events, answers, fallback) =
        (MockServer::start().await, MockServer::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&events).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&answers).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&fallback).await;
    bench
        .application("app", |app| {
            (app.event_url, app.answer_url, app.fallback_url) = (events.uri(), answers.uri(), fallback.uri());
        })
        .await;
    bench.owe("app", 1, "knock", "{\"type\":\"app:knocking\"}").await;
    bench.owe("app", 2, "call", "{\"type\":\"member:joined\"}").await;
    eventually("both delivered", async || bench.owed().await.is_empty()).await;
    assert_eq!(bodies(&answers).await, ["{\"type\":\"app:knocking\"}"]);
    assert_eq!(bodies(&events).await, ["{\"type\":\"member:joined\"}"]);
    assert_eq!(bodies(&fallback).await, ["{\"type\":\"member:joined\"}"]);
}

#[tokio::test]
async fn an_application_that_only_takes_calls_is_told_of_them_and_of_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let answers = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&answers).await;
    bench.application("app", |app| (app.event_url, app.answer_url) = (String::new(), answers.uri())).await;
    let posted = |entry, r#type: &str| Posted {
        entry,
        place: 0,
        index: 0,
        tenant: lane("app").tenant,
        application: "app".into(),
        dialect: "conversation",
        order: OrderKey::User("u".parse().unwrap()),
        at: Timestamp::from_millis(1),
        body: serde_json::json!({"type": r#type}),
        to: None,
    };
    let messages = vec![posted(1, "member:joined"), posted(1, "app:knocking")];
    bench.outbox.post(ShardId(0), 1, messages).await.unwrap();
    eventually("the knock is delivered", async || bench.owed().await.is_empty()).await;
    assert_eq!(bodies(&answers).await, [r#"{"type":"app:knocking"}"#]);
    assert!(bench.dead().await.is_empty());
}

#[tokio::test]
async fn what_has_an_address_of_its_own_goes_there_alone_as_a_body_or_a_query_and_nowhere_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let (events, own) = (MockServer::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&events).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).up_to_n_times(1).mount(&own).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&own).await;
    bench.application("app", |app| (app.event_url, app.fallback_url) = (events.uri(), events.uri())).await;
    let to = |url: String, get| Some(Address { url: url.into(), get });
    let body = r#"{"size":7,"url":"http://a/b?c=d&e"}"#;
    bench.owe_to("app", 1, ("one", body), to(format!("{}/done", own.uri()), false)).await;
    eventually("posted at the second attempt", async || bodies(&own).await.len() == 2).await;
    bench.owe_to("app", 2, ("two", body), to(format!("{}/done?mine=1", own.uri()), true)).await;
    bench.owe_to("app", 3, ("three", body), to("http://10.0.0.1/inside".into(), false)).await;
    eventually("asked for, too", async || bodies(&own).await.len() == 3).await;
    eventually("one is dead", async || bench.dead().await.len() == 1).await;
    let requests = own.received_requests().await.unwrap();
    assert_eq!(requests[1].body, body.as_bytes());
    assert_eq!(requests[2].method.as_str(), "GET");
    let query: Vec<_> = requests[2].url.query_pairs().collect();
    let expected = [("mine", "1"), ("size", "7"), ("url", "http://a/b?c=d&e")];
    assert_eq!(query.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), expected);
    assert_eq!(requests[2].headers["idempotency-key"], "app-2.0.0");
    let token = requests[2].headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let claims = decode::<serde_json::Value>(token, &key, &Validation::new(Algorithm::HS256)).unwrap().claims;
    let nothing: String = digest(&SHA256, b"").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(claims["payload_hash"], nothing);
    let dead = bench.dead().await;
    assert_eq!((dead[0].id.as_str(), dead[0].reason.as_str()), ("3.0.0", "forbidden"));
    assert!(bodies(&events).await.is_empty(), "neither the webhook nor the fallback is told");
}

#[tokio::test]
async fn what_is_only_mentioned_is_told_once_in_order_and_what_fails_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).up_to_n_times(1).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    bench.application("app", |app| app.event_url = server.uri()).await;
    let now = Timestamp::from_millis(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
    // Old, as far as anybody cares for who spoke.
    bench.outbox.mention(lane("app"), Timestamp::from_millis(now.as_millis() - 60_000), "0".into());
    for n in 1..=3 {
        bench.outbox.mention(lane("app"), now, n.to_string().into());
    }
    eventually("each is told once", async || bodies(&server).await.len() == 3).await;
    assert_eq!(bodies(&server).await, ["1", "2", "3"], "the first is refused and not told again");
    let requests = server.received_requests().await.unwrap();
    let keys: Vec<_> = requests.iter().map(|it| it.headers["idempotency-key"].to_str().unwrap()).collect();
    assert!(keys.iter().all(|key| key.starts_with("app-0.")), "no key of the log's: {keys:?}");
    assert!(keys[0] != keys[1] && keys[1] != keys[2], "{keys:?}");
    assert!(bench.owed().await.is_empty() && bench.dead().await.is_empty(), "nothing of it is kept");
}

#[tokio::test]
async fn a_backlog_survives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let small = Config { held_per_receiver_max: 16, ..config() };
    let server = MockServer::start().await;
    {
        let bench = bench(&path, small.clone()).await;
        // Nobody listens there.
        bench.application("app", |app| app.event_url = "http://127.0.0.1:9/hook".into()).await;
        for entry in 1..=100 {
            bench.owe("app", entry, &format!("call-{}", entry % 7), &entry.to_string()).await;
        }
        eventually("the store has it", async || {
            bench.outbox.stored_cursor(SHARD).await.unwrap() == Some(100)
        })
        .await;
        bench.lifecycle.stop();
        bench.outbox.finished().await;
    }
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let bench = bench(&path, small).await;
    bench.application("app", |app| app.event_url = server.uri()).await;
    eventually("everything has arrived", async || bench.owed().await.is_empty()).await;
    let mut got: Vec<u64> = bodies(&server).await.iter().map(|body| body.parse().unwrap()).collect();
    for call in 0..7 {
        let of_call: Vec<u64> = got.iter().copied().filter(|n| n % 7 == call).collect();
        assert!(of_call.is_sorted(), "{of_call:?}");
    }
    got.sort_unstable();
    got.dedup();
    assert_eq!(got, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn why_a_receiver_takes_nothing_is_shown_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder.path().join("store"), config()).await;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(503)).up_to_n_times(6).mount(&server).await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(204).set_delay(Duration::from_millis(500)))
        .mount(&server)
        .await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.application("busy", |app| app.event_url = format!("{}/?token=secret", server.uri())).await;
    bench.application("away", |app| app.event_url = format!("http://{nobody}/?token=secret")).await;
    bench.owe("busy", 1, "call", "{}").await;
    bench.owe("away", 1, "call", "{}").await;
    let why = async |receiver: &str| {
        bench.owed().await.into_iter().find(|owed| owed.receiver == receiver).map(|owed| owed.why)
    };
    let mut seen = false;
    eventually("it is taken at last, after it was not", async || {
        let told = why("busy").await;
        seen |= told.as_deref() == Some("status 503");
        seen && told.is_none()
    })
    .await;
    eventually("that nobody is there", async || why("away").await.as_deref() == Some("connection refused"))
        .await;
}
