//! Who asks: the headers that a bot signs its requests with.
//!
//! `X-Signature` is the hexadecimal SHA-256 of bot id, secret, `X-Timestamp` (Unix seconds) and body, one behind the other.
//! The time must be within [`WINDOW_S`] of ours. Within that window a request can be repeated by whoever has seen it. Without
//! a key of the bot's own the signature, with the method, is the idempotency key of its commands: the repetition is answered as
//! the first time and changes nothing. That header is not signed, so that a repetition with another key would change something:
//! it is refused (`signatures.rs`). The method is not signed either; decision 68 says why that is left so.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request};
use http::HeaderMap;
use serde_json::{Map, Value};
use sidetone_model::ids::TenantId;
use sidetone_proto::directory::v1::{Application, ApplicationKind};

use super::answer::Failure;
use super::signatures::Taken;
use super::{NAME, State};
use crate::idempotency::{BadKey, own_key, scoped};

/// A request of a bot that has proved who it is.
pub(crate) struct Asked {
    pub(crate) state: State,
    pub(crate) tenant: TenantId,
    pub(crate) team: Application,
    /// The key of the request's commands.
    pub(crate) key: Box<str>,
    pub(crate) body: Map<String, Value>,
}

impl FromRequest<State> for Asked {
    type Rejection = Failure;

    async fn from_request(mut request: Request, state: &State) -> Result<Self, Failure> {
        use axum::RequestExt as _;
        let Path(team): Path<String> =
            request.extract_parts().await.map_err(|_| Failure::invalid("team", "it is missing"))?;
        let headers = request.headers().clone();
        // What follows the team, which may be written in many ways (RFC 3986, section 2.1); the application stands for it in the key.
        let path = request.uri().path().splitn(4, '/').nth(3).unwrap_or_default().to_owned();
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| Failure::body(&rejection))?;
        let (tenant, team) = authenticate(state, &team, &headers, &body).await?;
        let key = key_of(state, (&tenant, &team), &headers, &path)?;
        let body =
            serde_json::from_slice(&body).map_err(|_| Failure::invalid("body", "expected a JSON object"))?;
        Ok(Self { state: state.clone(), tenant, team, key, body })
    }
}

async fn authenticate(
    state: &State,
    team: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(TenantId, Application), Failure> {
    let refused = Failure::unauthenticated;
    let directory = state.door.directory();
    let found = directory.application(team).await.map_err(|error| Failure::of(&error))?;
    let secret = directory.application_secret(team).await.map_err(|error| Failure::of(&error))?;
    let found = found.filter(|found| found.kind() == ApplicationKind::Bot).ok_or_else(refused)?;
    let secret = secret.ok_or_else(refused)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(refused);
    let (bot, timestamp, signature) = (header("x-bot-id")?, header("x-timestamp")?, header("x-signature")?);
    let then: u64 = timestamp.parse().map_err(|_| refused())?;
    let now = state.door.now().as_millis() / 1000;
    if then.abs_diff(now) > WINDOW_S || bot != found.bot {
        return Err(refused());
    }
    let expected = signature_of(bot, secret.reveal(), timestamp, body);
    let given = signature.to_ascii_lowercase();
    verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).map_err(|_| refused())?;
    let tenant = TenantId::new(&found.tenant).map_err(|_| refused())?;
    Ok((tenant, found))
}

/// What a bot puts into `X-Signature`.
pub fn signature_of(bot: &str, secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    for part in [bot.as_bytes(), secret.as_bytes(), timestamp.as_bytes(), body] {
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The client's own idempotency key, or the signature, which differs for every body and second.
fn key_of(
    state: &State,
    (tenant, team): (&TenantId, &Application),
    headers: &HeaderMap,
    path: &str,
) -> Result<Box<str>, Failure> {
    let own = own_key(headers).map_err(|BadKey| Failure::invalid(BadKey::FIELD, BadKey::PROBLEM))?;
    let signature = headers.get("x-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = scoped(NAME, &[&team.application, path, &signature.to_ascii_lowercase()]);
    if path == READS {
        return Ok(own.map_or(signed, |own| scoped(NAME, &[&team.application, "own", own])));
    }
    let whose = (tenant.clone(), team.application.as_str().into());
    match state.signatures.take(whose, &signed, own, state.door.now()) {
        Taken::New | Taken::Repeated => {}
        Taken::Forged => return Err(Failure::unauthenticated()),
        Taken::Full => return Err(Failure::too_many()),
    }
    Ok(own.map_or(signed, |own| scoped(NAME, &[&team.application, "own", own])))
}

/// The method that changes nothing: who asks it again within a second gets another answer, and who repeats it for somebody else nothing
/// that was not told before.
const READS: &str = "call/get";
/// How far the bot's clock may be from ours, in seconds.
pub(super) const WINDOW_S: u64 = 300;
