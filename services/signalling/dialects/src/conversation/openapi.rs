//! The dialect's OpenAPI document, made from its handlers.

use axum::Json;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// A name; one is made when none is given.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(
    dead_code,
    reason = "describes what the handlers read by hand, because they forgive more than it says"
)]
pub(crate) struct NameRequest {
    /// Unique.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// What people see.
    #[schema(max_length = 256)]
    display_name: Option<String>,
}

/// One end of a channel.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct Endpoint {
    /// `phone`.
    r#type: String,
    /// The number.
    number: String,
}

/// A way to a member.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct Channel {
    /// `phone`.
    r#type: String,
    /// As whom it is called.
    from: Endpoint,
    /// Who is called.
    to: Endpoint,
}

/// An invitation.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct MemberRequest {
    /// Who.
    user_id: String,
    /// `invite` or `join`.
    action: String,
    /// How.
    channel: Channel,
    /// The caller who knocks and is to be let in, instead of calling `channel.to`.
    knocking_id: Option<String>,
}

/// A change of a member.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct MemberUpdate {
    /// `left` sends the member away.
    state: Option<String>,
    /// `audio_settings` with `muted` and `earmuffed`.
    media: Option<Value>,
}

/// An event of a client.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct EventRequest {
    /// `custom:` and a name; or what is to be heard: `audio:play`, `audio:play:stop`, `audio:ringing:start`,
    /// `audio:ringing:stop`, `audio:mute:on`, `audio:mute:off`, `audio:earmuff:on`, `audio:earmuff:off`.
    r#type: String,
    /// The member who says it.
    from: Option<String>,
    /// The member who is to hear it, or is meant; everybody when it is not there.
    to: Option<String>,
    /// At most 4096 bytes. Of `audio:play`: `stream_url`, one or a list, `loop`, 0 for ever,
    /// `manner`, which is `instead` of everything else, `over` what is said or `under` it, and `level`, -1 to 1. Of
    /// `audio:play:stop`: `play_id`.
    body: Option<Value>,
}

/// Recording.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct RecordRequest {
    /// `start` or `stop`.
    action: String,
    /// `wav` (default), `mp3`, `ogg` (Opus) or `flac` (lossless).
    format: Option<String>,
    /// `conversation` for two channels.
    split: Option<String>,
    /// Told when the recording can be fetched, beside the event `audio:record:done`; or a list of one.
    event_url: Option<String>,
    /// `POST` (default) of JSON, or `GET` with the same fields as a query.
    event_method: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Sidetone: conversations", description = "Dialect 000: conversations, users, members, events and legs. The same routes are served under /v1."),
    paths(
        super::conversations::create,
        super::conversations::list,
        super::conversations::get,
        super::conversations::update,
        super::conversations::delete,
        super::users::create,
        super::users::list,
        super::users::get,
        super::users::update,
        super::users::delete,
        super::members::create,
        super::members::list,
        super::members::get,
        super::members::update,
        super::members::delete,
        super::events::create,
        super::events::list,
        super::events::get,
        super::events::delete,
        super::legs::list,
        super::legs::delete,
        super::legs::record,
        super::legs::file
    ),
    modifiers(&Bearer),
    security(("jwt" = []))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let jwt = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        document.components.get_or_insert_default().add_security_scheme("jwt", SecurityScheme::Http(jwt));
    }
}

pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(crate) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
