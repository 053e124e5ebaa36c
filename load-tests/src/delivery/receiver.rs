//! An application's HTTP server that can be in a bad way.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// How a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers at once.
    Well,
    /// It takes what comes, and answers too late.
    Slow {
        /// How late.
        after: Duration,
    },
    /// It answers 500 and takes nothing.
    Fails,
    /// It is killed: no port, no connection.
    Dead,
}

/// One request that was taken.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) key: String,
    pub(super) body: Value,
    /// Milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
}

#[derive(Default)]
struct Kept {
    got: Mutex<Vec<Got>>,
    mood: Mutex<Option<Mood>>,
}

/// The server. Every life of it is a runtime of its own, so that killing it ends what is under way, too.
pub(super) struct Receiver {
    address: SocketAddr,
    kept: Arc<Kept>,
    life: Mutex<Option<Runtime>>,
}

impl Receiver {
    /// Listens, and is well.
    pub(super) fn start(address: SocketAddr) -> std::io::Result<Self> {
        let receiver = Self { address, kept: Arc::default(), life: Mutex::default() };
        let life = receiver.live()?;
        *receiver.life() = Some(life);
        Ok(receiver)
    }

    /// From now on it is like that.
    pub(super) async fn set(&self, mood: Mood) {
        *self.kept.mood.lock().unwrap_or_else(PoisonError::into_inner) = Some(mood);
        if mood == Mood::Dead {
            if let Some(killed) = self.life().take() {
                killed.shutdown_background();
            }
            return;
        }
        let begin = Instant::now();
        // The port is free a moment after its last user is gone.
        while !self.revive() && begin.elapsed() < REBIND_MAX {
            tokio::time::sleep(REBIND_EVERY).await;
        }
    }

    /// Begins another life when the last one is over; whether it lives.
    fn revive(&self) -> bool {
        let mut life = self.life();
        if life.is_none() {
            *life = self.live().ok();
        }
        life.is_some()
    }

    /// Everything that was taken, in its order.
    pub(super) fn got(&self) -> Vec<Got> {
        self.kept.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn life(&self) -> MutexGuard<'_, Option<Runtime>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> std::io::Result<Runtime> {
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let router = Router::new().route("/events", post(take)).with_state(Arc::clone(&self.kept));
        runtime.spawn(async move {
            // Inside of a runtime there is a reactor for it.
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                drop(axum::serve(listener, router).await);
            }
        });
        Ok(runtime)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(life) = self.life().take() {
            life.shutdown_background();
        }
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mood = *kept.mood.lock().unwrap_or_else(PoisonError::into_inner);
    if mood == Some(Mood::Fails) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    kept.got.lock().unwrap_or_else(PoisonError::into_inner).push(Got { key: key.to_owned(), body, at_ms });
    if let Some(Mood::Slow { after }) = mood {
        tokio::time::sleep(after).await;
    }
    StatusCode::NO_CONTENT
}

const REBIND_MAX: Duration = Duration::from_secs(5);
const REBIND_EVERY: Duration = Duration::from_millis(20);
