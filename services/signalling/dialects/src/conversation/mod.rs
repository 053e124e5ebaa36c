//! Dialect 000: conversations, users and members, in the words of the Conversation API.
//!
//! The model holds conversations and numbers their events ([`sidetone_model::conversation`]); here they are only put into
//! words. An event's number is its place in the conversation, so that the log can be asked for what happened since. A
//! caller who waits for an application *knocks*: it has no conversation and its events no number.
//!
//! Ids are those of the model behind a prefix: `CON-`, `USR-`, `MEM-`; a knocker is `knocker:` and its leg's id.

mod acl;
mod answer;
mod auth;
mod body;
mod conversations;
mod events;
mod legs;
mod members;
mod openapi;
mod project;
mod request;
mod sound;
mod speaking;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, delete, get, post, put};
use sidetone_model::fact::Fact;
use sidetone_model::fold::Fold;
use sidetone_model::ids::LegId;
use sidetone_model::time::Timestamp;

use crate::{Dialect, Doorway, Emission, People, Projected};

/// The dialect's name.
pub const NAME: &str = "conversation";

/// Dialect 000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conversation;

/// What handlers have at hand.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) door: Arc<dyn Doorway>,
}

impl Dialect for Conversation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn project<'a>(&'a self, before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
        project::project(before, fact, people)
    }

    fn speaking(&self, fold: &Fold, leg: LegId, speaks: bool, at: Timestamp) -> Option<Emission> {
        speaking::speaking(fold, leg, speaks, at)
    }

    fn routes(&self, door: Arc<dyn Doorway>) -> Router {
        let api = Router::new()
            .route("/conversations", post(conversations::create).get(conversations::list))
            .route(
                "/conversations/{conversation}",
                get(conversations::get).put(conversations::update).delete(conversations::delete),
            )
            .route("/conversations/{conversation}/members", post(members::create).get(members::list))
            .route(
                "/conversations/{conversation}/members/{member}",
                get(members::get).put(members::update).delete(members::delete),
            )
            .route("/conversations/{conversation}/events", post(events::create).get(events::list))
            .route("/conversations/{conversation}/events/{event}", get(events::get).delete(events::delete))
            .route("/conversations/{conversation}/record", put(legs::record))
            .route("/files/{recording}", get(legs::file))
            .route("/users", post(users::create).get(users::list))
            .route("/users/{user}", get(users::get).put(users::update).delete(users::delete))
            .route("/legs", get(legs::list))
            .route("/legs/{leg}", delete(legs::delete))
            .route("/openapi.json", get(openapi::serve))
            .route("/{*unknown}", any(answer::not_found))
            .method_not_allowed_fallback(answer::method_not_allowed)
            .with_state(State { door });
        // The address of the seed, and that of the later release.
        Router::new().nest("/beta", api.clone()).nest("/v1", api)
    }
}

/// The dialect's OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::document()
}
