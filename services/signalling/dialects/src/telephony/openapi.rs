//! The dialect's OpenAPI document, made from its handlers.

use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{basic, calls, muting, operations, rest, words};

#[derive(OpenApi)]
#[openapi(
    info(title = "Sidetone: telephony", description = "Dialect 002: users follow and steer their own calls."),
    paths(
        rest::versions, rest::authenticate, rest::open, rest::close, rest::subscribe, rest::events, rest::unsubscribe,
        calls::make, calls::list, calls::get, calls::legs, calls::participants, calls::state, calls::devices,
        calls::device, operations::terminate, operations::answer, operations::drop_leg, operations::hold,
        operations::retrieve, operations::reconnect, operations::enquire, operations::alternate, operations::merge,
        operations::transfer, operations::blind_transfer, operations::redirect, operations::overflow,
        operations::drop_me, operations::add, operations::drop_participant, operations::hold_participant,
        operations::retrieve_participant, operations::send_digits, muting::mute, muting::unmute,
        muting::mute_participant, muting::unmute_participant, operations::switch_device,
        operations::add_device, operations::pick_up, operations::intrude, operations::record,
        basic::make, basic::answer, basic::drop_me, basic::park, basic::call_back, basic::attach_data,
        basic::account_info, basic::unpark
    ),
    components(schemas(words::Cause, words::CallState, words::DeviceState, words::UserState, words::RecordState)),
    modifiers(&Schemes),
    security(("cookie" = []))
)]
struct Document;

/// A password once, a cookie from then on.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("AlcUserId")));
        components.add_security_scheme("cookie", cookie);
        let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic).build();
        components.add_security_scheme("basic", SecurityScheme::Http(basic));
    }
}

pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(crate) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
