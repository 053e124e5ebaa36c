//! Sends a webhook and understands its answer.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sidetone_model::time::Timestamp;
use sidetone_push_core::{DeadReason, Kind, Outcome, Report};
use sidetone_runtime::egress::{self, Egress, is_refused, literal};

use super::settings::Settings;
use crate::config::Config;
use crate::providers::Notice;

/// The HTTP client of all webhooks.
pub(crate) struct Client {
    http: reqwest::Client,
    egress: Egress,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    push_id: String,
    tenant: &'a str,
    user: &'a str,
    device: &'a str,
    call_id: String,
    sip_call_id: &'a str,
    caller_name: &'a str,
    /// Milliseconds since the Unix epoch.
    deadline: u64,
    kind: &'static str,
}

impl Client {
    pub(crate) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        let egress = match config.allow_private_targets {
            true => Egress::everything(),
            false => Egress::new([]),
        };
        let http =
            egress::client(&egress, Duration::from_millis(config.connect_timeout_ms), IDLE_PER_HOST_MAX)?;
        Ok(Self { http, egress })
    }

    pub(crate) async fn send(&self, settings: &Settings, notice: Notice<'_>, limit: Duration) -> Report {
        let begin = Instant::now();
        let (outcome, status) = match tokio::time::timeout(limit, self.post(settings, notice)).await {
            Ok(ended) => ended,
            Err(_) => (Outcome::Retryable { retry_after: None }, 0),
        };
        Report { outcome, status, took: begin.elapsed() }
    }

    async fn post(&self, settings: &Settings, notice: Notice<'_>) -> (Outcome, u16) {
        let refused = (Outcome::Permanent(DeadReason::Refused), 0);
        if literal(&settings.url).is_some_and(|ip| self.egress.check(ip).is_err()) {
            return refused;
        }
        let Ok(body) = serde_json::to_string(&Body::of(notice)) else { return refused };
        let kind = kind_name(notice.kind);
        let push = notice.request.key.push;
        let request = self
            .http
            .post(settings.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("sidetone-signature", signature(settings, notice.now_unix_s, &body))
            .header("sidetone-push-id", push.to_string())
            .header("idempotency-key", format!("{push}-{kind}"))
            .body(body);
        match request.send().await {
            Ok(response) => {
                let ended = (outcome(&response, notice.now_unix_s), response.status().as_u16());
                egress::drain_in_background(response);
                ended
            }
            Err(error) if is_refused(&error) => refused,
            Err(_) => (Outcome::Retryable { retry_after: None }, 0),
        }
    }
}

impl<'a> Body<'a> {
    fn of(notice: Notice<'a>) -> Self {
        let request = notice.request;
        Self {
            push_id: request.key.push.to_string(),
            tenant: request.key.tenant.as_str(),
            user: request.user.as_str(),
            device: request.device.as_str(),
            call_id: request.call.to_string(),
            sip_call_id: &request.sip_call_id,
            caller_name: &request.caller_name,
            deadline: notice.deadline_unix_ms,
            kind: kind_name(notice.kind),
        }
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Wake => "wake",
        Kind::Cancel => "cancel",
    }
}

/// `t=<unix seconds>,v1=<hex of HMAC-SHA256 over "t.body">`. The time lets a receiver refuse what is repeated later.
fn signature(settings: &Settings, now_unix_s: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, settings.secret.expose_secret().as_bytes());
    let tag = hmac::sign(&key, format!("{now_unix_s}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={now_unix_s},v1={hex}")
}

fn outcome(response: &Response, now_unix_s: u64) -> Outcome {
    let retry = || {
        let now = Timestamp::from_millis(now_unix_s * 1000);
        Outcome::Retryable { retry_after: egress::retry_after(response.headers(), now) }
    };
    match response.status() {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::NOT_FOUND | StatusCode::GONE => Outcome::Permanent(DeadReason::TargetGone),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => retry(),
        status if status.is_server_error() => retry(),
        _ => Outcome::Permanent(DeadReason::Refused),
    }
}

const IDLE_PER_HOST_MAX: usize = 8;
