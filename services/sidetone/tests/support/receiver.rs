//! An application's own HTTP server: keeps the webhooks that come, and serves sounds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::task::JoinHandle;

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub headers: HeaderMap,
    pub raw: Bytes,
    pub body: Value,
}

impl Webhook {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// A sound by its name, with its media type.
type Sound = (String, &'static str, Vec<u8>);

#[derive(Default)]
struct Kept {
    webhooks: Mutex<Vec<Webhook>>,
    callbacks: Mutex<Vec<Webhook>>,
    sounds: Mutex<Vec<Sound>>,
}

/// The server. It stops when dropped.
pub struct Receiver {
    pub address: SocketAddr,
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens on a free port of loopback.
    pub async fn start() -> Self {
        let kept = Arc::<Kept>::default();
        let router = Router::new()
            .route("/events", post(take))
            .route("/own", post(take_own).get(take_query))
            .route("/sounds/{name}", get(sound))
            .with_state(Arc::clone(&kept));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, kept, task }
    }

    /// Where webhooks are to go.
    pub fn events_url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// An address of its own for one thing.
    pub fn own_url(&self) -> String {
        format!("http://{}/own", self.address)
    }

    /// What came there.
    pub fn at_own_url(&self) -> Vec<Webhook> {
        self.kept.callbacks.lock().unwrap().clone()
    }

    /// Serves a sound.
    pub fn serve(&self, name: &str, content_type: &'static str, bytes: Vec<u8>) {
        self.kept.sounds.lock().unwrap().push((name.to_owned(), content_type, bytes));
    }

    /// Where a sound is.
    pub fn sound_url(&self, name: &str) -> String {
        format!("http://{}/sounds/{name}", self.address)
    }

    /// Everything that came, in its order. What came again with the same idempotency key is there once.
    pub fn webhooks(&self) -> Vec<Webhook> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.kept.webhooks.lock().unwrap().clone();
        all.into_iter().filter(|webhook| seen.insert(webhook.header("idempotency-key").to_owned())).collect()
    }

    /// The bodies of the same.
    pub fn bodies(&self) -> Vec<Value> {
        self.webhooks().into_iter().map(|webhook| webhook.body).collect()
    }

    /// One field of each body, in order: `null` where it is not there.
    pub fn column(&self, field: &str) -> Vec<String> {
        self.bodies().iter().map(|body| body[field].as_str().unwrap_or("null").to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, raw: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&raw) else { return StatusCode::BAD_REQUEST };
    kept.webhooks.lock().unwrap().push(Webhook { headers, raw, body });
    StatusCode::NO_CONTENT
}

async fn take_own(State(kept): State<Arc<Kept>>, headers: HeaderMap, raw: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&raw) else { return StatusCode::BAD_REQUEST };
    kept.callbacks.lock().unwrap().push(Webhook { headers, raw, body });
    StatusCode::NO_CONTENT
}

async fn take_query(
    State(kept): State<Arc<Kept>>,
    Query(fields): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> StatusCode {
    let body = serde_json::to_value(fields).unwrap_or_default();
    kept.callbacks.lock().unwrap().push(Webhook { headers, raw: Bytes::new(), body });
    StatusCode::NO_CONTENT
}

async fn sound(
    State(kept): State<Arc<Kept>>,
    Path(name): Path<String>,
) -> Result<([(header::HeaderName, &'static str); 1], Vec<u8>), StatusCode> {
    let sounds = kept.sounds.lock().unwrap();
    let found = sounds.iter().find(|(there, _, _)| *there == name).ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, found.1)], found.2.clone()))
}
