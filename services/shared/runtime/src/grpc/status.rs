//! How an error becomes a gRPC status: the only way there is.

use sidetone_model::classify::{Class, Classify, Retry};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The status of an error, with `retry-after` seconds in its metadata where asking again can help.
///
/// An internal error's words stay in our log; the caller is told that it is ours.
pub fn status<E: Classify + std::fmt::Display>(error: &E) -> Status {
    let message = if error.class() == Class::Internal {
        tracing::error!(%error, reason = error.reason(), "internal error");
        "internal error; it is in the server's log".to_owned()
    } else {
        error.to_string()
    };
    let mut status = Status::new(Code::from(error.class().grpc_code()), message);
    if let Retry::AfterSeconds(seconds) = error.retry() {
        status.metadata_mut().insert("retry-after", MetadataValue::from(seconds));
    }
    status
}

/// The class behind a status that another service answered.
pub fn class(status: &Status) -> Class {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Class::Invalid,
        Code::DeadlineExceeded => Class::DeadlineExceeded,
        Code::NotFound => Class::NotFound,
        Code::AlreadyExists | Code::Aborted => Class::Conflict,
        Code::PermissionDenied => Class::Forbidden,
        Code::ResourceExhausted => Class::Exhausted,
        Code::FailedPrecondition => Class::FailedPrecondition,
        Code::Unauthenticated => Class::Unauthenticated,
        Code::Unavailable | Code::Cancelled => Class::Unavailable,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Class::Internal,
    }
}
