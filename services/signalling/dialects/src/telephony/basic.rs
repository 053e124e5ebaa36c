//! Operations for clients that know of one call only, and those that no call of ours allows.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::Value;
use sidetone_model::command::CallCommandKind;

use super::answer::{Failure, RestError};
use super::calls::{self, MakeCall, device_id};
use super::project::call_ref;
use super::request::{Given, Mine, OnDevice};
use super::session::Asker;

/// Makes a call, as `POST calls` does.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/basicCall", tag = "basic", request_body = MakeCall,
    responses((status = 201, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn make(asker: Asker, given: Given<MakeCall>) -> Result<(StatusCode, Json<Value>), Failure> {
    calls::make(asker, given).await
}

/// Makes the phone that rings take the call.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/basicCall/answer", tag = "basic", request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn answer(asker: Asker, Given(on): Given<OnDevice>) -> Result<StatusCode, Failure> {
    let mine = the_one_that_may(&asker, "answer", on.device_id.as_deref())?;
    asker.execute(CallCommandKind::AnswerRinging { leg: mine.leg.leg }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the user's own part of the call.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/basicCall/dropme", tag = "basic", request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn drop_me(asker: Asker, Given(on): Given<OnDevice>) -> Result<StatusCode, Failure> {
    let mine = the_one_that_may(&asker, "drop", on.device_id.as_deref())?;
    asker.execute(CallCommandKind::HangUpLeg { leg: mine.leg.leg }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The first of the asker's calls that may what is asked for.
fn the_one_that_may(asker: &Asker, capability: &'static str, device: Option<&str>) -> Result<Mine, Failure> {
    let calls = calls::all(asker)?;
    let mine = calls.iter().filter_map(|seen| asker.mine(&call_ref(seen.call), device).ok());
    let mut able = mine.filter(|mine| mine.may(capability).is_ok());
    able.next().ok_or_else(|| Failure::not_now(capability))
}

/// Parks a call. No call of ours has this capability.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/park", tag = "not offered", params(("callRef" = String, Path)),
    responses((status = "4XX", body = RestError)))]
pub(crate) async fn park(asker: Asker, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    not_offered(&asker, &id, "park")
}

/// Asks to be called back. No call of ours has this capability.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/callback", tag = "not offered", params(("callRef" = String, Path)),
    responses((status = "4XX", body = RestError)))]
pub(crate) async fn call_back(asker: Asker, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    not_offered(&asker, &id, "callBack")
}

/// Keeps an application's data with a call. No call of ours has this capability.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/attachdata", tag = "not offered", params(("callRef" = String, Path)),
    responses((status = "4XX", body = RestError)))]
pub(crate) async fn attach_data(asker: Asker, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    not_offered(&asker, &id, "attachData")
}

/// Names the account that a call is for. No call of ours has this capability.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/sendaccountinfo", tag = "not offered", params(("callRef" = String, Path)),
    responses((status = "4XX", body = RestError)))]
pub(crate) async fn account_info(asker: Asker, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    not_offered(&asker, &id, "sendAccountInfo")
}

/// Takes a parked call. There is none.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/devices/{deviceId}/unpark", tag = "not offered", params(("deviceId" = String, Path)),
    responses((status = "4XX", body = RestError)))]
pub(crate) async fn unpark(asker: Asker, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    device_id(&asker, &id)?;
    Err(Failure::not_now("unpark"))
}

/// As any operation without its capability: whether the call is the asker's is told first.
fn not_offered(asker: &Asker, call: &str, capability: &str) -> Result<StatusCode, Failure> {
    asker.mine(call, None)?;
    Err(Failure::not_now(capability))
}
