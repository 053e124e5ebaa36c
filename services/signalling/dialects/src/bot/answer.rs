//! How the dialect says yes and no.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use sidetone_model::classify::{Class, Classify};
use utoipa::ToSchema;

use crate::CommandRefusal;

/// Success without more to say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// 200.
    #[schema(example = 200)]
    code: u16,
    /// OK.
    #[schema(example = "OK")]
    message: &'static str,
}

/// Success with something to tell.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Told<T> {
    /// 200.
    #[schema(example = 200)]
    code: u16,
    /// OK.
    #[schema(example = "OK")]
    message: &'static str,
    /// What was asked for.
    data: T,
}

/// Why not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refused {
    /// The HTTP status again.
    #[schema(example = 400)]
    code: u16,
    /// In words; names the field that is wrong.
    #[schema(example = "threadId: it is missing")]
    message: String,
}

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    class: Class,
    message: String,
}

impl Failure {
    pub(crate) fn invalid(field: &str, problem: &str) -> Self {
        Self { class: Class::Invalid, message: format!("{field}: {problem}") }
    }

    pub(crate) fn not_found(field: &str, problem: &str) -> Self {
        Self { class: Class::NotFound, message: format!("{field}: {problem}") }
    }

    pub(crate) fn state(problem: &str) -> Self {
        Self { class: Class::FailedPrecondition, message: problem.to_owned() }
    }

    /// The body of the request cannot be had.
    pub(crate) fn body(rejection: &BytesRejection) -> Self {
        let (class, problem) = crate::body_fault(rejection);
        Self { class, message: format!("body: {problem}") }
    }

    pub(crate) fn unauthenticated() -> Self {
        Self {
            class: Class::Unauthenticated,
            message: "the signature headers do not prove who asks".to_owned(),
        }
    }

    pub(crate) fn too_many() -> Self {
        Self { class: Class::Exhausted, message: "too many requests within ten minutes".to_owned() }
    }

    pub(crate) fn of(error: &(impl Classify + std::fmt::Display)) -> Self {
        Self { class: error.class(), message: error.to_string() }
    }
}

impl From<CommandRefusal> for Failure {
    fn from(refusal: CommandRefusal) -> Self {
        Self::of(&refusal)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.class.http_status();
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let refused = (status, Json(Refused { code, message: self.message })).into_response();
        crate::with_retry_after(self.class, refused)
    }
}

pub(crate) type Answer<T> = Result<Json<T>, Failure>;

pub(crate) fn done() -> Answer<Done> {
    Ok(Json(Done { code: OK, message: "OK" }))
}

pub(crate) fn told<T>(data: T) -> Answer<Told<T>> {
    Ok(Json(Told { code: OK, message: "OK", data }))
}

/// Every method is POST.
pub(crate) async fn method_not_allowed() -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let message = "every method is asked for by POST".to_owned();
    (status, [(http::header::ALLOW, "POST")], Json(Refused { code: status.as_u16(), message }))
        .into_response()
}

/// There is nothing at this path.
pub(crate) async fn unknown() -> Failure {
    Failure::not_found("path", "there is no such method")
}

const OK: u16 = StatusCode::OK.as_u16();
