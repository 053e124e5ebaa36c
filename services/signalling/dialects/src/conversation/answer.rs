//! How the dialect says no.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use sidetone_model::classify::{Class, Classify};
use utoipa::ToSchema;

use crate::{Behind, CommandRefusal};

/// Why not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refused {
    /// A stable word, `http:error:` and what kind.
    #[schema(example = "http:error:validation-fail")]
    code: String,
    /// In words; names the field that is wrong.
    #[schema(example = "channel.to: it is missing")]
    description: String,
}

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    class: Class,
    description: String,
}

impl Failure {
    pub(crate) fn invalid(field: &str, problem: &str) -> Self {
        Self { class: Class::Invalid, description: format!("{field}: {problem}") }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self { class: Class::NotFound, description: format!("there is no such {what}") }
    }

    pub(crate) fn state(problem: &str) -> Self {
        Self { class: Class::FailedPrecondition, description: problem.to_owned() }
    }

    /// What has happened lately is not known here yet.
    pub(crate) fn behind() -> Self {
        Self::of(&Behind)
    }

    pub(crate) fn forbidden(problem: &str) -> Self {
        Self { class: Class::Forbidden, description: problem.to_owned() }
    }

    /// The body of the request cannot be had.
    pub(crate) fn body(rejection: &BytesRejection) -> Self {
        let (class, problem) = crate::body_fault(rejection);
        Self { class, description: format!("body: {problem}") }
    }

    pub(crate) fn unauthenticated() -> Self {
        Self { class: Class::Unauthenticated, description: "the token does not prove who asks".to_owned() }
    }

    pub(crate) fn of(error: &(impl Classify + std::fmt::Display)) -> Self {
        Self { class: error.class(), description: error.to_string() }
    }
}

impl From<CommandRefusal> for Failure {
    fn from(refusal: CommandRefusal) -> Self {
        Self::of(&refusal)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let word = match self.class {
            Class::Invalid | Class::TooLarge => "validation-fail",
            Class::Unauthenticated => "unauthorized",
            Class::Forbidden => "forbidden",
            Class::NotFound => "not-found",
            Class::Conflict | Class::Stale | Class::FailedPrecondition => "conflict",
            Class::Exhausted => "too-many-requests",
            Class::Unavailable | Class::DeadlineExceeded | Class::Internal => "unavailable",
        };
        let refused = Refused { code: format!("http:error:{word}"), description: self.description };
        crate::with_retry_after(self.class, (status, Json(refused)).into_response())
    }
}

pub(crate) type Answer<T> = Result<T, Failure>;

pub(crate) async fn method_not_allowed() -> Response {
    let refused = Refused {
        code: "http:error:method-not-allowed".to_owned(),
        description: "this cannot be done there".to_owned(),
    };
    (StatusCode::METHOD_NOT_ALLOWED, Json(refused)).into_response()
}

/// There is nothing at this path.
pub(crate) async fn not_found() -> Failure {
    Failure::not_found("resource")
}
