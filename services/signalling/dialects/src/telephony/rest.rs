//! Logging in, sessions, subscriptions and the channel of events.

use std::sync::Arc;

use axum::extract::{Path, Query, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Failure, RestError};
use super::channel::Channel;
use super::request::Given;
use super::session::{Asker, authenticate as take_password, secret};
use super::{NAME, State};
use crate::Source;

/// The versions that are spoken.
#[utoipa::path(get, path = "/api/rest", tag = "session", security(()), responses((status = 200, body = Value)))]
pub(crate) async fn versions(Extracted(state): Extracted<State>) -> Json<Value> {
    let url = format!("{}/api/rest/1.0", state.door.people().base_url());
    Json(json!({
        "serverInfo": { "productName": "Sidetone", "productVersion": env!("CARGO_PKG_VERSION") },
        "versions": [{ "id": "1.0", "status": "CURRENT", "publicUrl": url, "internalUrl": url }],
    }))
}

/// Takes a login and its password (RFC 7617) and gives the cookie `AlcUserId`.
#[utoipa::path(get, path = "/api/rest/authenticate", tag = "session", security(("basic" = [])),
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn authenticate(
    Extracted(state): Extracted<State>,
    source: Option<Extension<Source>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (token, user) = take_password(&state, &headers, source.map(|Extension(source)| source)).await?;
    let base = state.door.people().base_url();
    // Clients that reach the door by TLS alone must not send it otherwise (RFC 6265, section 4.1.2.5).
    let secure = if base.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("AlcUserId={token}; Path=/api/rest; HttpOnly; SameSite=Strict{secure}");
    let url = format!("{base}/api/rest/1.0");
    let body = json!({
        "credential": &*token,
        "loginName": user.as_str(),
        "publicUrl": url,
        "internalUrl": url,
    });
    Ok((
        [(http::header::SET_COOKIE, cookie), (http::header::CACHE_CONTROL, "no-store".to_owned())],
        Json(body),
    )
        .into_response())
}

/// A session to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionRequest {
    /// For the operator's eye; not interpreted.
    #[serde(rename = "applicationName")]
    #[schema(max_length = 256)]
    _application_name: Option<String>,
}

/// Opens the session.
#[utoipa::path(post, path = "/api/rest/1.0/sessions", tag = "session", request_body = SessionRequest,
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn open(asker: Asker, _: Given<SessionRequest>) -> Json<Value> {
    asker.open();
    let url = format!("{}/api/rest/1.0", asker.state.door.people().base_url());
    let service =
        |name: &str, path: &str| json!({ "serviceName": name, "serviceVersion": "1.0", "relativeUrl": path });
    Json(json!({
        "admin": false,
        "timeToLive": asker.state.door.session_idle().as_secs(),
        "publicBaseUrl": url,
        "privateBaseUrl": url,
        "services": [service("Telephony", "/telephony"), service("Subscriptions", "/subscriptions")],
    }))
}

/// Logs out.
#[utoipa::path(delete, path = "/api/rest/1.0/sessions", tag = "session",
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn close(asker: Asker) -> StatusCode {
    asker.log_out();
    StatusCode::NO_CONTENT
}

/// A subscription.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SubscriptionRequest {
    /// What is wanted.
    filter: Filter,
    /// `1.0`.
    #[serde(rename = "version")]
    #[schema(example = "1.0")]
    _version: Option<String>,
}

/// What is wanted.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Filter {
    /// One at least.
    #[schema(min_items = 1, max_items = 16)]
    selectors: Vec<Selector>,
}

/// Whose events, and which.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Selector {
    /// Logins: one's own only. None is one's own.
    #[serde(default)]
    ids: Vec<String>,
    /// `telephony` for all, or names of events.
    #[serde(default)]
    #[schema(example = json!(["telephony"]))]
    names: Vec<String>,
}

/// The events that there are.
const EVENTS: [&str; 5] =
    ["OnCallCreated", "OnCallModified", "OnCallRemoved", "OnUserStateModified", "OnDeviceStateModified"];

impl Filter {
    /// The names of the events that are wanted; none for all.
    fn names(&self, asker: &Asker) -> Result<Vec<Box<str>>, Failure> {
        if self.selectors.is_empty() || self.selectors.len() > 16 {
            return Err(Failure::invalid("filter.selectors", "expected 1 to 16"));
        }
        let (mut names, mut all) = (Vec::new(), false);
        for selector in &self.selectors {
            if selector.ids.iter().any(|id| id != asker.user.as_str()) {
                let others = "filter.selectors.ids: only one's own events can be had";
                return Err(Failure::new(sidetone_model::classify::Class::Forbidden, "forbidden", others));
            }
            for name in &selector.names {
                match EVENTS.iter().find(|known| *known == name) {
                    Some(known) => names.push((*known).into()),
                    None if name == "telephony" => all = true,
                    None => return Err(Failure::invalid("filter.selectors.names", "no such events")),
                }
            }
            all |= selector.names.is_empty();
        }
        if all {
            names.clear();
        }
        Ok(names)
    }
}

/// Subscribes: everything from now on is kept for the channel.
#[utoipa::path(post, path = "/api/rest/1.0/subscriptions", tag = "events", request_body = SubscriptionRequest,
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn subscribe(
    asker: Asker,
    Given(request): Given<SubscriptionRequest>,
) -> Result<Json<Value>, Failure> {
    let names = request.filter.names(&asker)?;
    let events = asker.state.door.subscribe(NAME, &asker.tenant, &asker.user, None)?;
    let id = secret()?;
    let url = format!("{}/api/rest/1.0/subscriptions/{id}/events", asker.state.door.people().base_url());
    asker.add_channel(id.clone(), Arc::new(Channel::new(events, names)))?;
    Ok(Json(json!({
        "subscriptionId": &*id,
        "status": "ACCEPTED",
        "mode": "CHUNK",
        "format": "JSON",
        "publicPollingUrl": url,
        "privatePollingUrl": url,
    })))
}

/// Where a client goes on.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct After {
    /// How many events the client has; when not given, what was written is taken for received.
    after: Option<u64>,
}

/// The events, one JSON object a line, without end. One connection at a time: the latest.
#[utoipa::path(get, path = "/api/rest/1.0/subscriptions/{id}/events", tag = "events", params(("id" = String, Path), After),
    responses((status = 200, body = String, content_type = "application/json"), (status = "4XX", body = RestError)))]
pub(crate) async fn events(
    asker: Asker,
    Path(id): Path<String>,
    after: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let Query(After { after }) = after.map_err(|_| Failure::invalid("after", "expected a number"))?;
    let body = asker.channel(&id)?.connect(asker, after)?;
    Ok(([(http::header::CONTENT_TYPE, "application/json"), (http::header::CACHE_CONTROL, "no-store")], body)
        .into_response())
}

/// Ends a subscription.
#[utoipa::path(delete, path = "/api/rest/1.0/subscriptions/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn unsubscribe(asker: Asker, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    asker.remove_channel(&id)?;
    Ok(StatusCode::NO_CONTENT)
}
