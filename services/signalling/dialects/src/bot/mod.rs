//! Dialect 003: the calls of a team, steered by its bot.
//!
//! A call is a conference, empty at first, in a *thread*. The thread's id is the key under which the bot began the call, or,
//! for a call that somebody else began, the call's own id in 32 hexadecimal digits. A *contact* is a user of the
//! tenant, and for somebody who is none the number.
//!
//! Quirks that clients rely on and that are therefore kept: `originateUserId` and `destinationContacts` are JSON inside of
//! strings; `userId` is the same as `contactId`; a phone is text or a number; unholding has two addresses, and so has
//! inviting.

mod answer;
mod auth;
mod calls;
mod event;
mod media;
mod openapi;
mod project;
mod request;
mod signatures;
mod view;

use std::sync::Arc;

pub use auth::signature_of;
use axum::Router;
use axum::routing::{any, get, post};
use sidetone_model::fact::Fact;
use sidetone_model::fold::Fold;

use crate::{Dialect, Doorway, People, Projected};

/// The dialect's name: in metrics, in keys, and in the external names that bots give to calls.
pub const NAME: &str = "bot";

/// Dialect 003.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bot;

/// What handlers have at hand.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) door: Arc<dyn Doorway>,
    pub(crate) signatures: Arc<signatures::Signatures>,
}

impl Dialect for Bot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn project<'a>(&'a self, before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
        project::project(before, fact, people)
    }

    fn routes(&self, door: Arc<dyn Doorway>) -> Router {
        Router::new()
            .route("/bot/{team}/call/get", post(calls::get))
            .route("/bot/{team}/call/invite", post(calls::invite))
            .route("/bot/{team}/call.user/invite", post(calls::invite))
            .route("/bot/{team}/call/kick", post(calls::kick))
            .route("/bot/{team}/call.user/hold", post(calls::hold))
            .route("/bot/{team}/call.user/unhold", post(calls::unhold))
            .route("/bot/{team}/call/unpause", post(calls::unhold))
            .route("/bot/{team}/call.audio/play", post(media::play))
            .route("/bot/{team}/call.audio/stop", post(media::stop))
            .route("/bot/{team}/call.recording/start", post(media::record))
            .route("/bot/{team}/call.recording/stop", post(media::stop_recording))
            .route("/bot/{team}/call.stream/start", post(media::stream))
            .route("/bot/{team}/call.stream/stop", post(media::stop_stream))
            .route("/bot/openapi.json", get(openapi::serve))
            .route("/bot/{team}/{*unknown}", any(answer::unknown))
            .method_not_allowed_fallback(answer::method_not_allowed)
            .with_state(State { door, signatures: Arc::default() })
    }
}

/// The dialect's OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::document()
}
