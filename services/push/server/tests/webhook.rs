//! From the gRPC trait to a receiving web server and back, with the ledger in a store.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sidetone_proto::push::v1 as pb;
use sidetone_proto::push::v1::push_server::Push as _;
use sidetone_proto::push::v1::wake_up::State;
use sidetone_push::{Config, Deps, Push};
use sidetone_runtime::Lifecycle;
use sidetone_store::Store;
use sidetone_store::embedded::EmbeddedStore;
use sidetone_telemetry::Telemetry;
use tonic::{Code, Request};
use wiremock::matchers::{body_partial_json, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const SECRET: &str = "a-secret-of-this-test";
const CALL: &str = "0190a5a0-0000-7000-8000-0000000000ca";

struct Service {
    push: Push,
    lifecycle: Lifecycle,
}

impl Service {
    async fn start(store: &Arc<EmbeddedStore>, config: Config) -> Self {
        let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
        let lifecycle = Lifecycle::new();
        let deps = Deps { store, telemetry: Telemetry::new().unwrap(), lifecycle: lifecycle.clone() };
        Self { push: Push::start(config, deps).await.unwrap(), lifecycle }
    }

    async fn stop(self) {
        self.lifecycle.stop();
        self.push.finished().await;
    }

    async fn target(&self, tenant: &str, url: String) {
        let provider = Some(pb::target::Provider::Webhook(pb::Webhook { url, secret: SECRET.into() }));
        let target =
            pb::Target { tenant: tenant.into(), user: "anna".into(), device: "phone".into(), provider };
        let put = self.push.put_target(Request::new(pb::PutTargetRequest { target: Some(target) })).await;
        let put = put.unwrap().into_inner();
        assert!(!format!("{put:?}").contains(SECRET), "the secret came back");
    }

    async fn wake(&self, request: pb::WakeRequest) -> Result<(), Code> {
        self.push.wake(Request::new(request)).await.map(|_| ()).map_err(|status| status.code())
    }

    async fn read(&self, tenant: &str, push_id: &str) -> pb::WakeUp {
        let request = pb::GetWakeUpRequest { tenant: tenant.into(), push_id: push_id.into() };
        self.push.get_wake_up(Request::new(request)).await.unwrap().into_inner()
    }

    async fn until(&self, tenant: &str, push_id: &str, what: impl Fn(&pb::WakeUp) -> bool) -> pb::WakeUp {
        for _ in 0..1_000 {
            let wake_up = self.read(tenant, push_id).await;
            if what(&wake_up) {
                return wake_up;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still {:?} after 10 s", self.read(tenant, push_id).await);
    }
}

fn config() -> Config {
    Config { allow_private_targets: true, backoff_first_ms: 10, backoff_max_ms: 50, ..Config::default() }
}

fn push_id(n: u32) -> String {
    format!("0190a5a0-0000-7000-8000-{n:012}")
}

fn request(tenant: &str, n: u32, lasts: Duration) -> pb::WakeRequest {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + lasts;
    pb::WakeRequest {
        push_id: push_id(n),
        tenant: tenant.into(),
        user: "anna".into(),
        device: "phone".into(),
        call_id: CALL.into(),
        sip_call_id: "abc@host".into(),
        caller_name: "Bert".into(),
        deadline_unix_ms: deadline.as_millis() as u64,
    }
}

async fn answers(server: &MockServer, template: ResponseTemplate, times: u64) {
    let mock = Mock::given(method("POST")).and(path("/wake")).respond_with(template);
    mock.up_to_n_times(times).mount(server).await;
}

fn url(server: &MockServer) -> String {
    format!("{}/wake", server.uri())
}

#[tokio::test]
async fn a_wake_up_is_delivered_once_signed_and_answered_alike_again() {
    let (store, server) = (EmbeddedStore::in_memory().unwrap(), MockServer::start().await);
    answers(&server, ResponseTemplate::new(204), 9).await;
    let service = Service::start(&store, config()).await;
    service.target("demo", url(&server)).await;
    let wake = request("demo", 1, Duration::from_secs(30));
    service.wake(wake.clone()).await.unwrap();
    let done = service.until("demo", &push_id(1), |it| it.state() == State::Delivered).await;
    assert_eq!(done.attempts[0].status, 204);
    service.wake(wake.clone()).await.unwrap();
    let other = pb::WakeRequest { caller_name: "Carl".into(), ..wake };
    assert_eq!(service.wake(other).await, Err(Code::AlreadyExists));

    let received = server.received_requests().await.unwrap();
    assert_eq!(received.len(), 1);
    let header = |name: &str| received[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("sidetone-push-id"), push_id(1));
    assert_eq!(header("idempotency-key"), format!("{}-wake", push_id(1)));
    let signature = header("sidetone-signature");
    let (time, mac) = signature.split_once(",v1=").unwrap();
    let signed = [time.strip_prefix("t=").unwrap().as_bytes(), b".", &received[0].body].concat();
    let mac: Vec<u8> =
        (0..mac.len()).step_by(2).map(|i| u8::from_str_radix(&mac[i..i + 2], 16).unwrap()).collect();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    aws_lc_rs::hmac::verify(&key, &signed, &mac).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(
        (&body["callId"], &body["kind"], &body["callerName"]),
        (&CALL.into(), &"wake".into(), &"Bert".into())
    );
    service.stop().await;
}

#[tokio::test]
async fn failures_are_tried_again_and_retry_after_is_honoured() {
    let (store, server) = (EmbeddedStore::in_memory().unwrap(), MockServer::start().await);
    answers(&server, ResponseTemplate::new(500), 1).await;
    answers(&server, ResponseTemplate::new(429).insert_header("retry-after", "1"), 1).await;
    answers(&server, ResponseTemplate::new(200), 9).await;
    let service = Service::start(&store, config()).await;
    service.target("demo", url(&server)).await;
    service.wake(request("demo", 1, Duration::from_secs(30))).await.unwrap();
    let done = service.until("demo", &push_id(1), |it| it.state() == State::Delivered).await;
    let statuses: Vec<u32> = done.attempts.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [500, 429, 200]);
    assert!(done.attempts[2].at_unix_ms >= done.attempts[1].at_unix_ms + 900);
    service.stop().await;
}

#[tokio::test]
async fn a_target_that_is_gone_is_dead_and_stays_refused_until_it_is_registered_again() {
    let (store, server) = (EmbeddedStore::in_memory().unwrap(), MockServer::start().await);
    answers(&server, ResponseTemplate::new(410), 1).await;
    answers(&server, ResponseTemplate::new(200), 9).await;
    let service = Service::start(&store, config()).await;
    assert_eq!(service.wake(request("demo", 1, Duration::from_secs(9))).await, Err(Code::NotFound));
    service.target("demo", url(&server)).await;
    service.wake(request("demo", 1, Duration::from_secs(9))).await.unwrap();
    let dead = service.until("demo", &push_id(1), |it| it.state() == State::Dead).await;
    assert_eq!(dead.reason, "target_gone");
    assert_eq!(service.wake(request("demo", 2, Duration::from_secs(9))).await, Err(Code::NotFound));

    service.target("demo", url(&server)).await;
    let list = pb::ListDeadLettersRequest { tenant: "demo".into(), limit: 0 };
    let dead = service.push.list_dead_letters(Request::new(list)).await.unwrap().into_inner().wake_ups;
    assert_eq!(dead.len(), 1);
    let deadline_unix_ms = request("demo", 1, Duration::from_secs(20)).deadline_unix_ms;
    let replay = pb::ReplayRequest { tenant: "demo".into(), push_id: push_id(1), deadline_unix_ms };
    service.push.replay(Request::new(replay)).await.unwrap();
    service.until("demo", &push_id(1), |it| it.state() == State::Delivered).await;
    service.stop().await;
}

#[tokio::test]
async fn a_restart_in_mid_retry_loses_nothing() {
    let (store, server) = (EmbeddedStore::in_memory().unwrap(), MockServer::start().await);
    answers(&server, ResponseTemplate::new(503).insert_header("retry-after", "2"), 1).await;
    let service = Service::start(&store, config()).await;
    service.target("demo", url(&server)).await;
    service.wake(request("demo", 1, Duration::from_secs(30))).await.unwrap();
    service.until("demo", &push_id(1), |it| it.attempts.len() == 1).await;
    service.stop().await;

    answers(&server, ResponseTemplate::new(200), 9).await;
    let service = Service::start(&store, config()).await;
    let done = service.until("demo", &push_id(1), |it| it.state() == State::Delivered).await;
    assert_eq!(done.attempts.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn the_deadline_ends_it_and_a_slow_receiver_holds_up_nobody_else() {
    let (store, slow, quick) =
        (EmbeddedStore::in_memory().unwrap(), MockServer::start().await, MockServer::start().await);
    answers(&slow, ResponseTemplate::new(200).set_delay(Duration::from_secs(30)), 99).await;
    answers(&quick, ResponseTemplate::new(200), 9).await;
    let service = Service::start(&store, Config { in_flight_per_tenant_max: 1, ..config() }).await;
    service.target("slow", url(&slow)).await;
    service.target("quick", url(&quick)).await;
    for n in 1..=3 {
        service.wake(request("slow", n, Duration::from_secs(2))).await.unwrap();
    }
    service.wake(request("quick", 4, Duration::from_secs(30))).await.unwrap();
    service.until("quick", &push_id(4), |it| it.state() == State::Delivered).await;
    for n in 1..=3 {
        let dead = service.until("slow", &push_id(n), |it| it.state() == State::Dead).await;
        assert_eq!(dead.reason, "deadline");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_device_that_was_woken_is_told_when_the_call_is_over() {
    let (store, server) = (EmbeddedStore::in_memory().unwrap(), MockServer::start().await);
    let told = Mock::given(body_partial_json(serde_json::json!({ "kind": "cancel" })));
    told.respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    answers(&server, ResponseTemplate::new(200), 1).await;
    let service = Service::start(&store, config()).await;
    service.target("demo", url(&server)).await;
    service.wake(request("demo", 1, Duration::from_secs(30))).await.unwrap();
    service.until("demo", &push_id(1), |it| it.state() == State::Delivered).await;
    let cancel = pb::CancelRequest { tenant: "demo".into(), push_id: push_id(1), reason: 2 };
    service.push.cancel(Request::new(cancel.clone())).await.unwrap();
    let over = service.until("demo", &push_id(1), |it| it.attempts.len() == 2).await;
    assert_eq!((over.state(), over.reason.as_str()), (State::Cancelled, "answered_elsewhere"));
    service.push.cancel(Request::new(cancel)).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let (store, server) = (EmbeddedStore::in_memory().unwrap(), MockServer::start().await);
    answers(&server, ResponseTemplate::new(200), 9).await;
    let service = Service::start(&store, Config { allow_private_targets: false, ..config() }).await;
    for (n, url) in [url(&server), "https://localhost:1/".into()].into_iter().enumerate() {
        service.target("demo", url).await;
        service.wake(request("demo", n as u32, Duration::from_secs(9))).await.unwrap();
        let dead = service.until("demo", &push_id(n as u32), |it| it.state() == State::Dead).await;
        assert_eq!(dead.reason, "refused");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
    service.stop().await;
}
