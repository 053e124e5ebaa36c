//! How the dialect says no.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use sidetone_model::classify::{Class, Classify};
use utoipa::ToSchema;

use crate::{CommandRefusal, SubscribeError};

/// Why a request is not carried out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RestError {
    /// The HTTP status by name.
    #[schema(example = "BAD_REQUEST")]
    http_status: String,
    /// The HTTP status by number.
    #[schema(example = 400)]
    code: u16,
    /// A stable short word.
    #[schema(example = "invalid")]
    r#type: &'static str,
    /// In words; names the field that is wrong.
    help_message: String,
    /// Whether the same request may work later.
    can_retry: bool,
}

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    class: Class,
    reason: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(class: Class, reason: &'static str, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into() }
    }

    pub(crate) fn invalid(field: &str, problem: &str) -> Self {
        Self::new(Class::Invalid, "invalid", format!("{field}: {problem}"))
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Class::NotFound, "not_found", format!("there is no such {what}"))
    }

    /// The body of the request cannot be had.
    pub(crate) fn body(rejection: &BytesRejection) -> Self {
        let (class, problem) = crate::body_fault(rejection);
        let reason = if class == Class::TooLarge { "too_large" } else { "invalid" };
        Self::new(class, reason, format!("body: {problem}"))
    }

    /// The state of the call does not allow it.
    pub(crate) fn not_now(capability: &str) -> Self {
        Self::new(Class::FailedPrecondition, "capability_missing", format!("not possible now: {capability}"))
    }

    /// The user may not, whatever the state of the call.
    pub(crate) fn no_right(what: &str) -> Self {
        Self::new(Class::Forbidden, "no_right", format!("not allowed to this user: {what}"))
    }

    pub(crate) fn of(error: &(impl Classify + std::fmt::Display)) -> Self {
        let message = match error.class() {
            // What went wrong inside is of no use outside.
            Class::Internal => "an internal error".to_owned(),
            _ => error.to_string(),
        };
        Self::new(error.class(), error.reason(), message)
    }
}

impl From<CommandRefusal> for Failure {
    fn from(refusal: CommandRefusal) -> Self {
        Self::of(&refusal)
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        Self::of(&error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let can_retry = matches!(self.class, Class::Exhausted | Class::Unavailable | Class::DeadlineExceeded);
        let mut response = refused(status, self.reason, self.message, can_retry);
        response = crate::with_retry_after(self.class, response);
        if status == StatusCode::UNAUTHORIZED {
            let basic = http::HeaderValue::from_static("Basic realm=\"sidetone\"");
            response.headers_mut().insert(http::header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}

fn refused(status: StatusCode, reason: &'static str, help_message: String, can_retry: bool) -> Response {
    let name = status.canonical_reason().unwrap_or_default().to_ascii_uppercase().replace(' ', "_");
    let body =
        RestError { http_status: name, code: status.as_u16(), r#type: reason, help_message, can_retry };
    (status, Json(body)).into_response()
}

/// The path is there, the method is not.
pub(crate) async fn method_not_allowed() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not by this method".to_owned(), false)
}

/// There is nothing at this path.
pub(crate) async fn not_found() -> Failure {
    Failure::not_found("resource")
}
