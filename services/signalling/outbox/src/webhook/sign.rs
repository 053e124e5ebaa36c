//! Signatures, so that a receiver knows us.
//!
//! A conversation application gets what Vonage's signed webhooks have: `Authorization: Bearer` with a JWT (HS256) whose
//! `payload_hash` is the SHA-256 of the body. A bot gets the same three headers with which it signs its own requests.

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use sidetone_dialects::bot::signature_of;
use sidetone_directory::Password;
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::Attempt;
use sidetone_proto::directory::v1::{Application, ApplicationKind};

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    iat: u64,
    exp: u64,
    jti: String,
    application_id: &'a str,
    payload_hash: String,
}

/// None without a secret. `body` is what goes out.
pub(super) fn headers(
    application: &Application,
    secret: Option<&Password>,
    (attempt, body): (&Attempt, &[u8]),
    now: Timestamp,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(secret) = secret else { return headers };
    let now_s = now.as_millis() / 1000;
    let mut put = |name: HeaderName, value: String| {
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    match application.kind() {
        ApplicationKind::Bot => {
            let timestamp = now_s.to_string();
            let signature = signature_of(&application.bot, secret.reveal(), &timestamp, body);
            put(HeaderName::from_static("x-bot-id"), application.bot.clone());
            put(HeaderName::from_static("x-timestamp"), timestamp);
            put(HeaderName::from_static("x-signature"), signature);
        }
        ApplicationKind::Conversation | ApplicationKind::Unspecified => {
            let hash = digest(&SHA256, body);
            let claims = Claims {
                iss: "sidetone",
                iat: now_s,
                exp: now_s + LIFETIME_S,
                jti: format!("{}-{}", attempt.parcel.id, attempt.number),
                application_id: &application.application,
                payload_hash: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            };
            let key = EncodingKey::from_secret(secret.reveal().as_bytes());
            if let Ok(token) = encode(&Header::new(Algorithm::HS256), &claims, &key) {
                put(AUTHORIZATION, format!("Bearer {token}"));
            }
        }
    }
    headers
}

/// Vonage's webhooks are good for five minutes.
const LIFETIME_S: u64 = 300;
