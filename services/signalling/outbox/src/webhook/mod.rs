//! One webhook: where it goes, how it is signed, what its answer means.

mod sign;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url};
use sidetone_directory::{Directory, Password};
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::{Attempt, DeadReason, Outcome};
use sidetone_proto::directory::v1::Application;
use sidetone_runtime::egress::{self, Egress, is_refused, literal};

use crate::config::Config;
use crate::trouble::why_unreachable;

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// Why it was not taken, where more is known than the outcome says.
    pub(crate) why: Option<Box<str>>,
}

impl Sent {
    fn not(outcome: Outcome, why: impl Into<Box<str>>) -> Self {
        Self { outcome, why: Some(why.into()) }
    }
}

impl From<Outcome> for Sent {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, why: None }
    }
}

/// The HTTP client of all webhooks.
pub(crate) struct Webhooks {
    http: reqwest::Client,
    directory: Directory,
    egress: Egress,
    allow_http: bool,
    attempt_max: Duration,
}

impl Webhooks {
    pub(crate) fn new(config: &Config, directory: Directory) -> Result<Self, reqwest::Error> {
        let egress = Egress::new(config.networks());
        let http =
            egress::client(&egress, Duration::from_millis(config.connect_timeout_ms), IDLE_PER_HOST_MAX)?;
        let attempt_max = Duration::from_millis(config.attempt_timeout_ms);
        Ok(Self { http, directory, egress, allow_http: config.allow_http, attempt_max })
    }

    /// Sends it; and says why it was not taken.
    pub(crate) async fn send(&self, attempt: &Attempt, now: Timestamp) -> Sent {
        let receiver = &attempt.lane.receiver;
        let found = match self.directory.application(receiver).await {
            Ok(found) => found.filter(|found| found.tenant == attempt.lane.tenant.as_str()),
            Err(_) => return Sent::not(Outcome::Unreachable, AWAY),
        };
        let Some(application) = found else { return Outcome::Refused(DeadReason::NoReceiver).into() };
        let Ok(secret) = self.directory.application_secret(receiver).await else {
            return Sent::not(Outcome::Unreachable, AWAY);
        };
        let to = attempt.parcel.to.as_ref();
        let url = to.map_or_else(|| url_of(&application, attempt), |to| &*to.url);
        let sent = self.post(url, &application, &secret, attempt, now).await;
        // Who gave an address for one thing wants it there and nowhere else.
        if sent.outcome == Outcome::Delivered || application.fallback_url.is_empty() || to.is_some() {
            return sent;
        }
        // The fallback is tried at once; if it fails too, the first answer counts.
        let second = self.post(&application.fallback_url, &application, &secret, attempt, now).await;
        if second.outcome == Outcome::Delivered { second } else { sent }
    }

    async fn post(
        &self,
        url: &str,
        application: &Application,
        secret: &Option<Password>,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Sent {
        if url.is_empty() {
            return Outcome::Refused(DeadReason::NoReceiver).into();
        }
        let Ok(url) = url.parse::<Url>() else { return Outcome::Refused(DeadReason::NoReceiver).into() };
        if !self.may(&url) {
            return Outcome::Refused(DeadReason::Forbidden).into();
        }
        let is_get = attempt.parcel.to.as_ref().is_some_and(|to| to.get);
        let body = if is_get { Bytes::new() } else { attempt.parcel.body.clone() };
        let request = match is_get {
            true => self.http.get(with_query(url, &attempt.parcel.body)),
            false => self.http.post(url).header(CONTENT_TYPE, "application/json"),
        };
        let request = request
            .header("idempotency-key", format!("{}-{}", attempt.lane.receiver, attempt.parcel.id))
            .headers(sign::headers(application, secret.as_ref(), (attempt, &body), now))
            .body(body);
        match tokio::time::timeout(self.attempt_max, request.send()).await {
            Err(_) => {
                let text = format!("no answer within {} ms", self.attempt_max.as_millis());
                Sent::not(Outcome::Unreachable, text)
            }
            Ok(Err(error)) if is_refused(&error) => Outcome::Refused(DeadReason::Forbidden).into(),
            Ok(Err(error)) => Sent::not(Outcome::Unreachable, why_unreachable(&error)),
            Ok(Ok(response)) => {
                let (outcome, status) = (outcome(&response, now), response.status().as_u16());
                egress::drain_in_background(response);
                let why = (outcome != Outcome::Delivered).then(|| format!("status {status}").into());
                Sent { outcome, why }
            }
        }
    }

    fn may(&self, url: &Url) -> bool {
        forbidden_by(&self.egress, self.allow_http, url).is_none()
    }
}

/// Which key of the configuration keeps webhooks from a URL, as far as that can be told without resolving its name: by the scheme,
/// and by an address that stands in place of a name.
fn forbidden_by(egress: &Egress, allow_http: bool, url: &Url) -> Option<&'static str> {
    let literal = literal(url);
    let allowed = literal.is_some_and(|ip| egress.is_allowed(ip));
    if literal.is_some_and(|ip| egress.check(ip).is_err()) {
        return Some("outbox.allowed_networks");
    }
    (url.scheme() != "https" && !allow_http && !allowed).then_some("outbox.allow_http")
}

impl Config {
    /// Why nothing would be posted to a URL: none when it would, or when only its name's addresses will tell.
    pub fn webhook_problem(&self, url: &str) -> Option<String> {
        let Ok(url) = url.parse::<Url>() else { return Some("it is no URL".to_owned()) };
        let key = forbidden_by(&Egress::new(self.networks()), self.allow_http, &url)?;
        Some(format!("{key} forbids it"))
    }
}

/// The fields of a body behind a URL, beside what it has there.
fn with_query(mut url: Url, body: &[u8]) -> Url {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).unwrap_or_default();
    let mut query = url.query_pairs_mut();
    for (name, value) in &fields {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        query.append_pair(name, &text);
    }
    drop(query);
    url
}

/// Calls that come in may have an address of their own.
fn url_of<'a>(application: &'a Application, attempt: &Attempt) -> &'a str {
    let knocks = || {
        let body: Result<serde_json::Value, _> = serde_json::from_slice(&attempt.parcel.body);
        body.is_ok_and(|body| body["type"] == KNOCKING)
    };
    if !application.answer_url.is_empty() && knocks() {
        &application.answer_url
    } else {
        &application.event_url
    }
}

fn outcome(response: &Response, now: Timestamp) -> Outcome {
    let failed = || Outcome::Failed { retry_after: egress::retry_after(response.headers(), now) };
    match response.status() {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => failed(),
        status if status.is_server_error() => failed(),
        _ => Outcome::Refused(DeadReason::Refused),
    }
}

const AWAY: &str = "the directory cannot be read";
pub(crate) const KNOCKING: &str = "app:knocking";
const IDLE_PER_HOST_MAX: usize = 16;
