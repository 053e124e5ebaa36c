//! Who asks: a JWT of an application (RFC 7519), by its public key (RS256, ES256) or its secret (HS256).
//!
//! `application_id` names the application. `exp` is needed unless `iat` is there, which then is good for a quarter of an hour,
//! as in the product. Which algorithm may be used is decided by what the directory holds, never by the token.
//!
//! A token of one user (`sub`), as applications hand to browsers, may do nothing here: what is asked for here is asked by the
//! application. A token that names the paths it may be used for (`acl.paths`) is good for those only.

use axum::body::Bytes;
use axum::extract::{FromRequest, OriginalUri, Query, Request};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use sidetone_directory::Password;
use sidetone_model::ids::TenantId;
use sidetone_proto::directory::v1::{Application, ApplicationKind};

use super::State;
use super::acl::Acl;
use super::answer::Failure;
use crate::idempotency::{BadKey, own_key, scoped};

/// A request of an application that has proved who it is.
pub(crate) struct Asked {
    pub(crate) state: State,
    pub(crate) tenant: TenantId,
    pub(crate) application: Box<str>,
    /// The key of the request's commands.
    pub(crate) key: Box<str>,
    pub(crate) body: Map<String, Value>,
    pub(crate) query: Map<String, Value>,
}

#[derive(Deserialize)]
struct Claims {
    application_id: String,
    iat: Option<u64>,
    exp: Option<u64>,
    nbf: Option<u64>,
    sub: Option<Value>,
    acl: Option<Acl>,
}

impl FromRequest<State> for Asked {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &State) -> Result<Self, Failure> {
        let headers = request.headers().clone();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(Failure::unauthenticated)?;
        let (tenant, application, claims) = authenticate(state, token).await?;
        // Routes are nested; what the client has asked for is the whole path.
        let path = request.extensions().get::<OriginalUri>().map_or(request.uri(), |uri| &uri.0).path();
        if claims.sub.is_some() {
            return Err(Failure::forbidden("a token of one user (sub) may not do this"));
        }
        if claims.acl.is_some_and(|acl| !acl.covers(request.method().as_str(), path)) {
            return Err(Failure::forbidden("the paths of the token (acl) do not cover this"));
        }
        let own = own_key(&headers).map_err(|BadKey| Failure::invalid(BadKey::FIELD, BadKey::PROBLEM))?;
        let key = own.map_or_else(|| state.door.fresh_key(), |own| scoped("con", &[&application, own]));
        let query = Query::<Map<String, Value>>::try_from_uri(request.uri())
            .map_err(|_| Failure::invalid("query", "it cannot be read"))?;
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| Failure::body(&rejection))?;
        let body = match body.is_empty() {
            true => Map::new(),
            false => serde_json::from_slice(&body)
                .map_err(|_| Failure::invalid("body", "expected a JSON object"))?,
        };
        Ok(Self { state: state.clone(), tenant, application, key, body, query: query.0 })
    }
}

async fn authenticate(state: &State, token: &str) -> Result<(TenantId, Box<str>, Claims), Failure> {
    let refused = Failure::unauthenticated;
    let header = decode_header(token).map_err(|_| refused())?;
    let unproved = unproved(token).ok_or_else(refused)?;
    let directory = state.door.directory();
    let found = directory.application(&unproved).await.map_err(|error| Failure::of(&error))?;
    let found = found.filter(|found| found.kind() == ApplicationKind::Conversation).ok_or_else(refused)?;
    let secret = directory.application_secret(&unproved).await.map_err(|error| Failure::of(&error))?;
    let (key, algorithms) = key_of(&found, secret).ok_or_else(refused)?;
    if !algorithms.contains(&header.alg) {
        return Err(refused());
    }
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    // Times are judged below, by the door's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let claims: Claims = decode(token, &key, &validation).map_err(|_| refused())?.claims;
    let now = state.door.now().as_millis() / 1000;
    let expires =
        claims.exp.or_else(|| claims.iat.map(|iat| iat.saturating_add(LIFETIME_S))).ok_or_else(refused)?;
    let begins = claims.nbf.or(claims.iat).unwrap_or_default();
    if now > expires.saturating_add(LEEWAY_S)
        || now + LEEWAY_S < begins
        || *claims.application_id != *unproved
    {
        return Err(refused());
    }
    Ok((TenantId::new(&found.tenant).map_err(|_| refused())?, unproved, claims))
}

/// The application that a token names, before anything about it is proved: only to find the key.
fn unproved(token: &str) -> Option<Box<str>> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1)?;
    let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get("application_id")?.as_str()?.into())
}

fn key_of(
    application: &Application,
    secret: Option<Password>,
) -> Option<(DecodingKey, &'static [Algorithm])> {
    let pem = application.public_key.as_bytes();
    if pem.is_empty() {
        return Some((DecodingKey::from_secret(secret?.reveal().as_bytes()), &[Algorithm::HS256]));
    }
    let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (key, &[Algorithm::RS256][..]));
    rsa.or_else(|_| DecodingKey::from_ec_pem(pem).map(|key| (key, &[Algorithm::ES256][..]))).ok()
}

/// Of a token that says only when it was made.
const LIFETIME_S: u64 = 900;
const LEEWAY_S: u64 = 30;
