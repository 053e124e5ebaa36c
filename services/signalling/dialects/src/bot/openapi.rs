//! The dialect's OpenAPI document, made from its handlers.

use axum::Json;
use axum::extract::State as Extracted;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::State;

/// A thread. In every request `streamId` may stand in the place of `threadId`: a call that belongs to a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(
    dead_code,
    reason = "describes what the handlers read by hand, because they forgive more than it says"
)]
pub(crate) struct ThreadRequest {
    /// The thread whose call is meant.
    #[schema(min_length = 1, max_length = 256, example = "5b0525134c0319001573485e")]
    thread_id: String,
}

/// Somebody in a thread's call; `userId` is another word for `contactId`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct ContactRequest {
    /// The thread whose call is meant.
    #[schema(min_length = 1, max_length = 256, example = "5b0525134c0319001573485e")]
    thread_id: String,
    /// A user, or the number of somebody who is none.
    contact_id: Option<String>,
    /// A number, as text or as a number.
    phone: Option<Value>,
}

/// Somebody to be asked in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct Invited {
    /// A user.
    contact_id: String,
    /// The number to call; the user's first one when not given.
    phone: Option<Value>,
}

/// An invitation: exactly one of `contactId` and `userIds`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct InviteRequest {
    /// The thread whose call is meant, or is to begin.
    #[schema(min_length = 1, max_length = 256)]
    thread_id: String,
    /// A user.
    contact_id: Option<String>,
    /// The number to call; the user's first one when not given.
    phone: Option<Value>,
    /// Several at once, at most 64.
    user_ids: Option<Vec<Invited>>,
}

/// Something to be played.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct PlayRequest {
    /// The thread whose call is meant.
    #[schema(min_length = 1, max_length = 256)]
    thread_id: String,
    /// An mp3 or wav file of at most 10 MB.
    #[schema(max_length = 2048, example = "https://url.to.your/audiofile.mp3")]
    url: String,
    /// Again and again.
    is_loop: Option<bool>,
    /// `instead` of everything else when not given, `over` what is said, which is turned down meanwhile, or `under` it, giving way
    /// to who speaks.
    #[schema(example = "over")]
    manner: Option<String>,
    /// The only one who hears it; everybody when not given.
    contact_id: Option<String>,
}

/// A live stream to be begun.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct StreamRequest {
    /// The thread whose call is meant.
    #[schema(min_length = 1, max_length = 256)]
    thread_id: String,
    /// `mp3` when not given, `wav`, `ogg`, `flac`; or `l16` (16 bit, little-endian) and `pcmu`, both of 8 kHz and to be spoken into as well.
    #[schema(example = "l16")]
    format: Option<String>,
}

/// Something to be stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct StopRequest {
    /// The thread whose call is meant.
    #[schema(min_length = 1, max_length = 256)]
    thread_id: String,
    /// What; everything when not given.
    #[schema(max_length = 2048)]
    url: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Sidetone: calls of a team", description = "Dialect 003: a bot steers the calls of its team."),
    paths(
        super::calls::get,
        super::calls::invite,
        super::calls::kick,
        super::calls::hold,
        super::calls::unhold,
        super::media::play,
        super::media::stop,
        super::media::record,
        super::media::stop_recording,
        super::media::stream,
        super::media::stop_stream
    ),
    modifiers(&Signed),
    security(("bot" = [], "timestamp" = [], "signature" = []))
)]
struct Document;

/// The three headers of a signed request.
struct Signed;

impl Modify for Signed {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, header) in
            [("bot", "X-Bot-Id"), ("timestamp", "X-Timestamp"), ("signature", "X-Signature")]
        {
            let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
            components.add_security_scheme(name, scheme);
        }
        let aliases = [
            ("/bot/{team}/call.user/invite", "/bot/{team}/call/invite"),
            ("/bot/{team}/call.user/unhold", "/bot/{team}/call/unpause"),
        ];
        for (path, alias) in aliases {
            if let Some(mut item) = document.paths.paths.get(path).cloned() {
                if let Some(post) = &mut item.post {
                    post.operation_id = post.operation_id.take().map(|id| format!("{id}_alias"));
                }
                document.paths.paths.insert(alias.to_owned(), item);
            }
        }
    }
}

pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(crate) async fn serve(Extracted(_): Extracted<State>) -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
