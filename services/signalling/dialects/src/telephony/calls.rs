//! Making calls, and reading what there is.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sidetone_model::command::{CallCommandKind, PlaceOptions};
use sidetone_model::fact::CommandSubject;
use sidetone_model::ids::DeviceId;
use sidetone_model::party::Destination;
use utoipa::ToSchema;

use super::answer::{Failure, RestError};
use super::project::{
    Seen, Speaker, call_data, call_ref, device_state_body, leg_body, participant_body, said,
};
use super::request::{Given, Mine};
use super::session::Asker;
use super::words::UserState;

/// A call to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MakeCall {
    /// The device to call from; when not given, all of the user's ring and the first that answers calls.
    #[schema(max_length = 128, example = "ICTouch_1001")]
    device_id: Option<String>,
    /// The number to call.
    #[schema(min_length = 1, max_length = 64, example = "1002")]
    callee: String,
    /// The device is asked to take the call by itself.
    #[serde(default)]
    auto_answer: bool,
    /// The other side is not told who calls.
    #[serde(default)]
    anonymous: bool,
    /// The number that is shown to the other side; one of the user's own.
    #[schema(max_length = 64, example = "1001")]
    calling_number: Option<String>,
    /// The tone that the caller hears while it rings is the telephone's own: taken note of and without effect.
    #[serde(default)]
    #[allow(dead_code, reason = "a field of the product that changes nothing here")]
    inhibit_progress_tone: bool,
    /// Refused (409) when it is given: no call of ours keeps an application's data.
    associated_data: Option<Value>,
    /// Refused (409) when it is given: calls are not charged here.
    #[schema(max_length = 64)]
    pin: Option<String>,
    /// Refused (409) when it is given: calls are not charged here.
    #[schema(max_length = 64)]
    secret_code: Option<String>,
    /// Refused (409) when it is given: calls are not charged here.
    #[schema(max_length = 64)]
    business_code: Option<String>,
}

impl MakeCall {
    /// Refuses what would otherwise be left out without a word.
    fn offered(&self) -> Result<(), Failure> {
        if self.associated_data.as_ref().is_some_and(|data| !data.is_null()) {
            return Err(Failure::not_now("attachData (associatedData)"));
        }
        let codes =
            [("pin", &self.pin), ("secretCode", &self.secret_code), ("businessCode", &self.business_code)];
        let given = codes.iter().find(|(_, code)| code.as_ref().is_some_and(|code| !code.is_empty()));
        given.map_or(Ok(()), |(field, _)| Err(Failure::not_now(&format!("sendAccountInfo ({field})"))))
    }
}

/// The number under which the asker calls: the own one, or that of the own ones which is asked for.
fn calling_number(asker: &Asker, wanted: Option<&str>) -> Result<Box<str>, Failure> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(asker.own_number()) };
    let person = asker.state.door.people().person(&asker.tenant, &asker.user).unwrap_or_default();
    let own = person.numbers.into_iter().find(|own| **own == *wanted);
    own.ok_or_else(|| Failure::no_right("callingNumber, which is none of the user's numbers"))
}

/// Makes a call: the user's device rings first.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls", tag = "calls", request_body = MakeCall,
    responses((status = 201, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn make(
    asker: Asker,
    Given(call): Given<MakeCall>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    call.offered()?;
    let from_number = calling_number(&asker, call.calling_number.as_deref())?;
    let (to, to_number) = asker.number("callee", &call.callee).await?;
    let device = call.device_id.as_deref().map(|device| device_id(&asker, device)).transpose()?;
    let kind = CallCommandKind::Place {
        from: Destination::User(asker.user.clone()),
        from_number,
        to,
        to_number,
        options: PlaceOptions {
            device,
            anonymous: call.anonymous,
            auto_answer: call.auto_answer,
            ..PlaceOptions::default()
        },
    };
    let CommandSubject::Call(made) = asker.execute(kind).await? else {
        return Err(Failure::not_now("makeCall"));
    };
    Ok((StatusCode::CREATED, Json(json!({ "callRef": call_ref(made) }))))
}

/// A device of the asker.
pub(crate) fn device_id(asker: &Asker, device: &str) -> Result<DeviceId, Failure> {
    let device =
        DeviceId::new(device).map_err(|_| Failure::invalid("deviceId", "no such name of a device"))?;
    let person = asker.state.door.people().person(&asker.tenant, &asker.user).unwrap_or_default();
    if person.devices.contains(&device) { Ok(device) } else { Err(Failure::not_found("device (deviceId)")) }
}

fn call(asker: &Asker, seen: &Seen) -> Value {
    let speaker = Speaker { people: asker.state.door.people(), tenant: &asker.tenant };
    json!({
        "callRef": call_ref(seen.call),
        "callData": call_data(seen, true),
        "legs": seen.legs.iter().map(leg_body).collect::<Vec<_>>(),
        "participants": seen.participants.iter().map(|one| participant_body(&speaker, one)).collect::<Vec<_>>(),
    })
}

/// What the asker sees of its calls.
pub(crate) fn all(asker: &Asker) -> Result<Vec<Seen>, Failure> {
    asker.look(|fold| Ok(Seen::all(fold, &asker.tenant, &asker.user)))
}

/// The asker's calls.
#[utoipa::path(get, path = "/api/rest/1.0/telephony/calls", tag = "calls",
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn list(asker: Asker) -> Result<Json<Value>, Failure> {
    let calls = all(&asker)?;
    Ok(Json(json!({ "calls": calls.iter().map(|seen| call(&asker, seen)).collect::<Vec<_>>() })))
}

/// One of them.
#[utoipa::path(get, path = "/api/rest/1.0/telephony/calls/{callRef}", tag = "calls", params(("callRef" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn get(asker: Asker, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    Ok(Json(call(&asker, &asker.mine(&id, None)?.seen)))
}

/// The asker's devices in a call, with all that may be done: also what events do not tell, because the product's guide has none
/// that do (`mute`, `sendDtmf`; `muteParticipant` of the call).
#[utoipa::path(get, path = "/api/rest/1.0/telephony/calls/{callRef}/deviceLegs", tag = "calls", params(("callRef" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn legs(asker: Asker, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let Mine { mut seen, beside, .. } = asker.mine(&id, None)?;
    for leg in &mut seen.legs {
        let more = beside.legs.iter().filter(|(of, _)| *of == leg.leg);
        leg.capabilities.extend(more.flat_map(|(_, capabilities)| capabilities));
    }
    seen.capabilities.extend(&beside.call);
    let legs: Vec<Value> = seen.legs.iter().map(leg_body).collect();
    Ok(Json(json!({ "legs": legs, "callCapabilities": said(&seen.capabilities) })))
}

/// Whoever else is in a call.
#[utoipa::path(get, path = "/api/rest/1.0/telephony/calls/{callRef}/participants", tag = "calls", params(("callRef" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn participants(asker: Asker, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let call = call(&asker, &asker.mine(&id, None)?.seen);
    Ok(Json(json!({ "participants": call["participants"] })))
}

/// Everything that a client needs at its start.
#[utoipa::path(get, path = "/api/rest/1.0/telephony/state", tag = "calls",
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn state(asker: Asker) -> Result<Json<Value>, Failure> {
    let calls = all(&asker)?;
    let busy = calls.iter().any(Seen::is_busy);
    let states = device_states(&asker)?;
    let free: &[Value] = if calls.is_empty() { &states } else { &[] };
    let capabilities: Vec<Value> =
        free.iter().map(|state| json!({ "deviceId": state["deviceId"], "makeCall": true })).collect();
    Ok(Json(json!({
        "loginName": asker.user.as_str(),
        "userState": UserState::of(busy),
        "calls": calls.iter().map(|seen| call(&asker, seen)).collect::<Vec<_>>(),
        "deviceStates": states,
        "deviceCapabilities": capabilities,
    })))
}

/// The asker's devices.
#[utoipa::path(get, path = "/api/rest/1.0/telephony/devices", tag = "devices",
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn devices(asker: Asker) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({ "deviceStates": device_states(&asker)? })))
}

/// One of them.
#[utoipa::path(get, path = "/api/rest/1.0/telephony/devices/{deviceId}", tag = "devices", params(("deviceId" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RestError)))]
pub(crate) async fn device(asker: Asker, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let found = device_states(&asker)?.into_iter().find(|state| state["deviceId"] == *id);
    found.map(Json).ok_or_else(|| Failure::not_found("device"))
}

/// A device of which it was never told that it can be reached cannot.
fn device_states(asker: &Asker) -> Result<Vec<Value>, Failure> {
    let person = asker.state.door.people().person(&asker.tenant, &asker.user).unwrap_or_default();
    asker.look(|fold| {
        let state = |device: &DeviceId| {
            let here = fold.is_in_service(&asker.tenant, &asker.user, device).unwrap_or(false);
            device_state_body(device.as_str(), here)
        };
        Ok(person.devices.iter().map(state).collect())
    })
}
