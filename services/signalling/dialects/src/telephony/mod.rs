//! Dialect 002: telephony events and operations, as clients of OpenTouch know them.
//!
//! Every user sees the own calls: the same `callRef` for all, with what that user may do now. A user authenticates with
//! a password, opens a session, subscribes, and reads events from a channel that does not end; operations on calls ask
//! for the capability that the events have shown.
//!
//! Parking, calling back, attached data and account codes are not among the capabilities of our calls: asking for them is
//! answered like any other operation without its capability (409).

mod answer;
mod basic;
mod calls;
mod channel;
mod limits;
mod muting;
mod openapi;
mod operations;
mod project;
mod repeat;
mod request;
mod rest;
mod session;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, delete, get, post};
use sidetone_model::fact::Fact;
use sidetone_model::fold::Fold;

use crate::{Dialect, Doorway, People, Projected};

/// The dialect's name: in metrics and keys.
pub const NAME: &str = "telephony";

/// Dialect 002.
#[derive(Debug, Clone, Copy, Default)]
pub struct Telephony;

/// What handlers have at hand.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) door: Arc<dyn Doorway>,
    pub(crate) sessions: Arc<session::Sessions>,
}

impl Dialect for Telephony {
    fn name(&self) -> &'static str {
        NAME
    }

    fn project<'a>(&'a self, before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
        project::project(before, fact, people)
    }

    fn routes(&self, door: Arc<dyn Doorway>) -> Router {
        let state = State { door, sessions: Arc::default() };
        let once = axum::middleware::from_fn_with_state(state.clone(), repeat::once);
        let telephony = calls().merge(on_calls()).merge(devices()).route_layer(once);
        Router::new()
            .route("/api/rest", get(rest::versions))
            .route("/api/rest/authenticate", get(rest::authenticate))
            .route("/api/rest/1.0/openapi.json", get(openapi::serve))
            .route("/api/rest/1.0/sessions", post(rest::open).delete(rest::close))
            .route("/api/rest/1.0/subscriptions", post(rest::subscribe))
            .route("/api/rest/1.0/subscriptions/{id}", delete(rest::unsubscribe))
            .route("/api/rest/1.0/subscriptions/{id}/events", get(rest::events))
            .nest("/api/rest/1.0/telephony", telephony)
            .route("/api/rest/{*unknown}", any(answer::not_found))
            .method_not_allowed_fallback(answer::method_not_allowed)
            .with_state(state)
    }
}

fn calls() -> Router<State> {
    Router::new()
        .route("/calls", post(calls::make).get(calls::list))
        .route("/calls/{callRef}", get(calls::get).delete(operations::terminate))
        .route("/calls/{callRef}/deviceLegs", get(calls::legs))
        .route("/calls/{callRef}/participants", get(calls::participants).post(operations::add))
        .route("/calls/{callRef}/participants/{participantId}", delete(operations::drop_participant))
        .route("/calls/{callRef}/participants/{participantId}/hold", post(operations::hold_participant))
        .route(
            "/calls/{callRef}/participants/{participantId}/retrieve",
            post(operations::retrieve_participant),
        )
        .route("/calls/{callRef}/participants/{participantId}/mute", post(muting::mute_participant))
        .route("/calls/{callRef}/participants/{participantId}/unMute", post(muting::unmute_participant))
        .route("/basicCall", post(basic::make))
        .route("/basicCall/answer", post(basic::answer))
        .route("/basicCall/dropme", post(basic::drop_me))
        .route("/state", get(calls::state))
}

fn on_calls() -> Router<State> {
    Router::new()
        .route("/calls/{callRef}/answer", post(operations::answer))
        .route("/calls/{callRef}/drop", post(operations::drop_leg))
        .route("/calls/{callRef}/hold", post(operations::hold))
        .route("/calls/{callRef}/retrieve", post(operations::retrieve))
        .route("/calls/{callRef}/reconnect", post(operations::reconnect))
        .route("/calls/{callRef}/enquiry", post(operations::enquire))
        .route("/calls/{callRef}/alternate", post(operations::alternate))
        .route("/calls/{callRef}/merge", post(operations::merge))
        .route("/calls/{callRef}/transfer", post(operations::transfer))
        .route("/calls/{callRef}/blindtransfer", post(operations::blind_transfer))
        .route("/calls/{callRef}/redirect", post(operations::redirect))
        .route("/calls/{callRef}/overflowToVoiceMail", post(operations::overflow))
        .route("/calls/{callRef}/dropme", post(operations::drop_me))
        .route("/calls/{callRef}/mute", post(muting::mute))
        .route("/calls/{callRef}/unMute", post(muting::unmute))
        .route("/calls/{callRef}/sendDtmf", post(operations::send_digits))
        .route("/calls/{callRef}/switchDevice", post(operations::switch_device))
        .route("/calls/{callRef}/addDevice", post(operations::add_device))
        .route("/calls/{callRef}/recording", post(operations::record))
        .route("/calls/{callRef}/park", post(basic::park))
        .route("/calls/{callRef}/callback", post(basic::call_back))
        .route("/calls/{callRef}/attachdata", post(basic::attach_data))
        .route("/calls/{callRef}/sendaccountinfo", post(basic::account_info))
}

fn devices() -> Router<State> {
    Router::new()
        .route("/devices", get(calls::devices))
        .route("/devices/{deviceId}", get(calls::device))
        .route("/devices/{deviceId}/pickUp", post(operations::pick_up))
        .route("/devices/{deviceId}/intrusion", post(operations::intrude))
        .route("/devices/{deviceId}/unpark", post(basic::unpark))
}

/// The dialect's OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::document()
}
