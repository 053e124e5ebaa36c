//! Requests that are sent again with their `Idempotency-Key`: answered as the first time, whatever has become of the call. The
//! product knows no such header; a client that sends none is served as ever.

use axum::Json;
use axum::extract::{FromRequestParts as _, Request, State as Extracted};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use serde_json::json;
use sidetone_model::fact::CommandSubject;

use super::answer::Failure;
use super::project::call_ref;
use super::session::Asker;
use super::{NAME, State};
use crate::idempotency::{BadKey, own_key, scoped};

/// The key of the request's command.
#[derive(Debug, Clone)]
pub(crate) struct Key(pub(crate) Box<str>);

/// Looks whether a request that changes something has been carried out; otherwise its command will have its key.
pub(crate) async fn once(Extracted(state): Extracted<State>, request: Request, next: Next) -> Response {
    match key_of(&state, request).await {
        Err(failure) => failure.into_response(),
        Ok((request, None)) => next.run(request).await,
        Ok((mut request, Some((asker, key)))) => {
            if let Some(done) = state.door.done_before(&asker.tenant, &key).await {
                return answer(request.uri().path(), done);
            }
            request.extensions_mut().insert(Key(key));
            next.run(request).await
        }
    }
}

type Keyed = (Request, Option<(Asker, Box<str>)>);

async fn key_of(state: &State, request: Request) -> Result<Keyed, Failure> {
    if request.method() == Method::GET {
        return Ok((request, None));
    }
    let (mut parts, body) = request.into_parts();
    let own = own_key(&parts.headers).map_err(|BadKey| Failure::invalid(BadKey::FIELD, BadKey::PROBLEM))?;
    let keyed = match own.map(str::to_owned) {
        Some(own) => {
            let asker = Asker::from_request_parts(&mut parts, state).await?;
            let key = scoped(NAME, &[asker.user.as_str(), &own]);
            Some((asker, key))
        }
        None => None,
    };
    Ok((Request::from_parts(parts, body), keyed))
}

/// A call that was made is named; of everything else there is nothing to say.
fn answer(path: &str, done: CommandSubject) -> Response {
    let makes = path.ends_with("/calls") || path.ends_with("/basicCall");
    match done {
        CommandSubject::Call(call) if makes => {
            (StatusCode::CREATED, Json(json!({ "callRef": call_ref(call) }))).into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
