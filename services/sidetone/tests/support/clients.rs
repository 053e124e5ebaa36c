//! Clients of the three dialects, as their users would write them: over HTTP, with nothing of the server's code but the
//! signature of bots.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::process::Installation;

/// The secret of the application and of the bot.
pub const SECRET: &str = "a secret of some length";
/// The application that speaks dialect 000.
pub const APPLICATION: &str = "9df502d9-784e-4f3f-8b23-e8faf438eb8f";
/// The team of dialect 003, and its bot.
pub const TEAM: &str = "the-team";
pub const BOT: &str = "the-bot";

/// An application and a team in the tests' tenant, both told of everything at the same address.
pub fn applications(events: &str, teams_events: &str) -> String {
    format!(
        "[[seed.tenants.applications]]\napplication = \"{APPLICATION}\"\nkind = \"conversation\"\n\
         event_url = \"{events}\"\nsecret = \"{SECRET}\"\n\
         [[seed.tenants.applications]]\napplication = \"{TEAM}\"\nkind = \"bot\"\nbot = \"{BOT}\"\n\
         event_url = \"{teams_events}\"\nsecret = \"{SECRET}\"\n"
    )
}

/// What lets an installation speak to servers of the test.
pub const LOOPBACK: &str = "[outbox]\nallowed_networks = [\"127.0.0.0/8\"]\nbackoff_first_ms = 50\n";

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(text.into()) };
    (status, body)
}

/// Seconds since the epoch.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A user's client of dialect 002.
pub struct Telephony {
    http: Client,
    base: String,
    cookie: String,
    channel_url: String,
    events: Arc<Mutex<Vec<Value>>>,
    channel: JoinHandle<()>,
    /// How it began to listen: each request, its body, and the answer.
    pub opened: Vec<(String, Value, Value)>,
    /// The first line of the channel.
    pub started: Value,
}

impl Telephony {
    /// Logs in, opens a session, subscribes to everything, and listens.
    pub async fn start(installation: &Installation, login: &str, password: &str) -> Self {
        let (http, base) = (Client::new(), format!("http://{}", installation.http));
        let asked = http.get(format!("{base}/api/rest/authenticate")).basic_auth(login, Some(password));
        let response = asked.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{}", installation.logs());
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut client = Self {
            http,
            base,
            cookie,
            channel_url: String::new(),
            events: Arc::default(),
            channel: tokio::spawn(async {}),
            opened: Vec::new(),
            started: Value::Null,
        };
        client.open("/sessions", json!({ "applicationName": "test" })).await;
        let wanted =
            json!({ "filter": { "selectors": [{ "ids": [], "names": ["telephony"] }] }, "version": "1.0" });
        let subscription = client.open("/subscriptions", wanted).await;
        client.channel_url = subscription["publicPollingUrl"].as_str().unwrap().to_owned();
        client.listen().await;
        client
    }

    async fn open(&mut self, path: &str, body: Value) -> Value {
        let answer = self.done(Method::POST, path, body.clone()).await;
        // Where the door is differs from run to run.
        let shown = answer.to_string().replace(&self.base, "http://calls.example.com");
        self.opened.push((format!("POST /api/rest/1.0{path}"), body, shown.parse().unwrap()));
        answer
    }

    /// Loses the connection, and listens again from behind the last event that came.
    pub async fn reconnect(&mut self) {
        self.channel.abort();
        self.listen().await;
    }

    async fn listen(&mut self) {
        let request = self.http.get(&self.channel_url);
        let response = request.header("cookie", &self.cookie).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let events = Arc::clone(&self.events);
        let (started, mut is_started) = tokio::sync::mpsc::channel(1);
        self.channel = tokio::spawn(async move {
            let (mut chunks, mut rest) = (response.bytes_stream(), Vec::new());
            while let Some(Ok(chunk)) = chunks.next().await {
                rest.extend_from_slice(&chunk);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    let event: Value = serde_json::from_slice(&line).unwrap();
                    if event["eventName"] == "OnChannelInformation" {
                        let _ = started.send(event).await;
                    } else {
                        events.lock().unwrap().push(event);
                    }
                }
            }
        });
        self.started = is_started.recv().await.expect("the channel says that it is started");
    }

    /// What proves who asks: the header field Cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// What the channel has brought so far, in its order.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// Forgets what the channel has brought.
    pub fn forget(&self) {
        self.events.lock().unwrap().clear();
    }

    /// Of those, what the last one said of a call's state.
    pub fn call_state(&self) -> String {
        let events = self.events();
        let state = events.iter().rev().find_map(|event| event["callData"]["state"].as_str());
        state.unwrap_or("none").to_owned()
    }

    /// The reference of the only call, or of the last that was told.
    pub fn call_ref(&self) -> String {
        let events = self.events();
        let call = events.iter().rev().find_map(|event| event["callRef"].as_str());
        call.expect("a call").to_owned()
    }

    /// References of the calls, in the order in which they were told.
    pub fn call_refs(&self) -> Vec<String> {
        let mut calls: Vec<String> = Vec::new();
        for call in self.events().iter().filter_map(|event| event["callRef"].as_str()) {
            if !calls.iter().any(|there| there == call) {
                calls.push(call.to_owned());
            }
        }
        calls
    }

    /// Asks under `/api/rest/1.0`.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.http.request(method, format!("{}/api/rest/1.0{path}", self.base));
        let request = request.header("cookie", &self.cookie);
        answer(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// The same; must work.
    pub async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// An operation on a call.
    pub async fn operate(&self, call: &str, operation: &str, body: Value) {
        self.done(Method::POST, &format!("/telephony/calls/{call}/{operation}"), body).await;
    }
}

impl Drop for Telephony {
    fn drop(&mut self) {
        self.channel.abort();
    }
}

/// A team's bot: dialect 003.
pub struct Bot {
    http: Client,
    address: SocketAddr,
    /// The time stamp of its last request, in seconds: one signature is good for one request that changes something.
    last_s: AtomicU64,
}

impl Bot {
    pub fn new(installation: &Installation) -> Self {
        Self { http: Client::new(), address: installation.http, last_s: AtomicU64::new(0) }
    }

    /// Asks with a signature made with a secret, `seconds` in the past.
    pub async fn ask_as(
        &self,
        (secret, seconds): (&str, u64),
        method: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        // Its clock may go ahead by five minutes.
        let now = now_s();
        let last = self.last_s.fetch_update(SeqCst, SeqCst, |last| Some(now.max(last + 1)));
        let stamp = now.max(last.unwrap_or_default() + 1);
        let (timestamp, body) = ((stamp - seconds).to_string(), body.to_string());
        let signature = sidetone_dialects::bot::signature_of(BOT, secret, &timestamp, body.as_bytes());
        let request = self
            .http
            .post(format!("http://{}/bot/{TEAM}/{method}", self.address))
            .header("content-type", "application/json")
            .header("x-bot-id", BOT)
            .header("x-timestamp", timestamp)
            .header("x-signature", signature)
            // The same request may be meant anew within one second.
            .header("idempotency-key", format!("test-{}", next()));
        answer(request.body(body)).await
    }

    pub async fn ask(&self, method: &str, body: Value) -> (StatusCode, Value) {
        self.ask_as((SECRET, 0), method, &body).await
    }

    /// Must work; gives the data.
    pub async fn done(&self, method: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::OK, &json!(200)), "{method}: {answer}");
        assert_eq!(answer["message"], "OK");
        answer["data"].clone()
    }
}

/// An application: dialect 000.
pub struct Conversations {
    http: Client,
    address: SocketAddr,
}

impl Conversations {
    pub fn new(installation: &Installation) -> Self {
        Self { http: Client::new(), address: installation.http }
    }

    /// A token of a secret.
    pub fn token(secret: &str) -> String {
        let claims = json!({ "application_id": APPLICATION, "iat": now_s(), "jti": next() });
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
    }

    /// Asks under `/beta` with a token of a secret.
    pub async fn ask_as(&self, secret: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.http.request(method, format!("http://{}/beta{path}", self.address));
        let request = request.bearer_auth(Self::token(secret));
        answer(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask_as(SECRET, method, path, body).await
    }

    /// Must work.
    pub async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.done(Method::POST, path, body).await
    }

    /// A new conversation and a user: their ids.
    pub async fn begin(&self) -> (String, String) {
        let conversation = self.post("/conversations", json!({})).await;
        let user = self.post("/users", json!({})).await;
        (conversation["id"].as_str().unwrap().to_owned(), user["id"].as_str().unwrap().to_owned())
    }
}

/// An invitation of a phone.
pub fn invitation(user: &str, from: &str, to: &str) -> Value {
    let end = |number: &str| json!({ "type": "phone", "number": number });
    json!({
        "user_id": user, "action": "invite",
        "channel": { "type": "phone", "from": end(from), "to": end(to) },
    })
}

/// A number that no request has had.
fn next() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
