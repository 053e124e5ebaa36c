//! The admin port: metrics, liveness, readiness and drain over HTTP. It is for the operator's own network only.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use sidetone_telemetry::Telemetry;

use crate::config::ConfigError;
use crate::lifecycle::Lifecycle;

/// Where the admin port listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address and port. Default `127.0.0.1:9090`; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Let `POST /drain` begin a drain from beyond loopback, too. Default false.
    pub remote_drain: bool,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 9090)), remote_drain: false }
    }
}

impl AdminConfig {
    /// Looks for mistakes that types cannot show.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        if self.remote_drain && self.bind.ip().is_loopback() {
            errors.push(ConfigError::new("admin.remote_drain", "has no effect while admin.bind is loopback"));
        }
    }
}

#[derive(Clone)]
struct Shared {
    telemetry: Arc<Telemetry>,
    lifecycle: Lifecycle,
    drain_allowed: bool,
}

/// Binds the port and serves it until the process stops. Returns the real address.
pub async fn serve(
    config: &AdminConfig,
    telemetry: Arc<Telemetry>,
    lifecycle: Lifecycle,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(config.bind).await?;
    let address = listener.local_addr()?;
    let drain_allowed = config.bind.ip().is_loopback() || config.remote_drain;
    let stopping = lifecycle.stopping();
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/drain", post(drain))
        .with_state(Shared { telemetry, lifecycle, drain_allowed });
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin port failed");
        }
    });
    Ok(address)
}

async fn ready(State(shared): State<Shared>) -> Response {
    if shared.lifecycle.is_ready() {
        return "ready\n".into_response();
    }
    let text = if shared.lifecycle.draining().is_cancelled() {
        "draining\n".to_owned()
    } else {
        format!("waiting for: {}\n", shared.lifecycle.not_ready().join(", "))
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.telemetry.render() {
        Ok(text) => ([(header::CONTENT_TYPE, Telemetry::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn drain(State(shared): State<Shared>) -> Response {
    if !shared.drain_allowed {
        let text = "drain is not allowed here; set admin.remote_drain, or send SIGTERM\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    shared.lifecycle.drain();
    "draining\n".into_response()
}
