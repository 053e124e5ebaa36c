//! What may be done with calls: each asks for its capability, and is refused without it.

use axum::extract::{Path, Query};
use http::StatusCode;
use serde::Deserialize;
use sidetone_model::call::{DeviceOf, Elsewhere};
use sidetone_model::command::{CallCommandKind, RecordingOptions};
use sidetone_model::fold::LegView;
use sidetone_model::ids::{LegId, RecordingId, UserId};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Failure, RestError};
use super::calls::device_id;
use super::request::{Given, Mine, OnDevice};
use super::session::Asker;

type Done = Result<StatusCode, Failure>;

async fn done(asker: &Asker, kind: CallCommandKind) -> Done {
    asker.execute(kind).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An enquiry to be ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reconnect {
    /// The enquiry.
    #[schema(max_length = 64)]
    enquiry_call_ref: String,
    /// On which of the user's devices.
    device_id: Option<String>,
}

/// Somebody to be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Callee {
    /// The number.
    #[schema(min_length = 1, max_length = 64, example = "1003")]
    callee: String,
    /// It is not told who calls.
    #[serde(default)]
    anonymous: bool,
    /// On which of the user's devices.
    device_id: Option<String>,
}

/// The other call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldCall {
    /// The call that is held.
    #[schema(max_length = 64)]
    held_call_ref: String,
    /// On which of the user's devices.
    device_id: Option<String>,
}

/// Where a call is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlindTransfer {
    /// The number.
    #[schema(min_length = 1, max_length = 64, example = "1003")]
    transfer_to: String,
    /// It is not told who calls.
    #[serde(default)]
    anonymous: bool,
    /// On which of the user's devices.
    device_id: Option<String>,
}

/// Where a call is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Redirect {
    /// A number, `VOICEMAIL` or `DVA`.
    #[schema(min_length = 1, max_length = 64, example = "1003")]
    redirect_to: String,
    /// It is not told who calls.
    #[serde(default)]
    anonymous: bool,
}

/// Digits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Digits {
    /// 1 to 64 of 0-9 * # A-D.
    #[schema(min_length = 1, max_length = 64, pattern = "^[0-9*#A-D]+$")]
    number: String,
    /// On which of the user's devices.
    device_id: Option<String>,
}

/// A call that rings elsewhere: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PickUp {
    /// The call.
    #[schema(max_length = 64)]
    other_call_ref: Option<String>,
    /// The number at which it rings.
    #[schema(max_length = 64)]
    other_phone_number: Option<String>,
}

/// A conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Intrusion {
    /// The call.
    #[schema(max_length = 64)]
    call_ref: String,
}

/// The leg that holds the call of this name, if it is the device's.
fn held_in(asker: &Asker, mine: &Mine, call: &str) -> Result<LegId, Failure> {
    let other = asker.any_call(call, |_, call| Ok(call.call))?;
    let held = mine.held.as_ref().filter(|held| held.call == other);
    held.map(|held| held.leg).ok_or_else(|| Failure::not_now("heldCallRef is not held by this device"))
}

fn is_ringing(leg: &LegView) -> bool {
    leg.is_alerting() && !leg.incoming
}

/// Ends a call for everybody. One that only rings here is refused.
#[utoipa::path(delete, path = "/api/rest/1.0/telephony/calls/{callRef}", tag = "operations", params(("callRef" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn terminate(asker: Asker, Path(id): Path<String>) -> Done {
    let mine = asker.mine(&id, None)?;
    if mine.may("reject").is_ok() {
        return done(&asker, CallCommandKind::Reject { leg: mine.leg.leg }).await;
    }
    mine.may("terminate")?;
    done(&asker, CallCommandKind::HangUpCall { call: mine.call }).await
}

/// Makes a phone that rings take the call.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/answer", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn answer(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("answer")?;
    done(&asker, CallCommandKind::AnswerRinging { leg: mine.leg.leg }).await
}

/// Ends the user's own part of a call.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/drop", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn drop_leg(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("drop")?;
    done(&asker, CallCommandKind::HangUpLeg { leg: mine.leg.leg }).await
}

/// Puts a call on hold.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/hold", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn hold(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("hold")?;
    done(&asker, CallCommandKind::Hold { leg: mine.leg.leg }).await
}

/// Talks again.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/retrieve", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn retrieve(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("retrieve")?;
    done(&asker, CallCommandKind::Retrieve { leg: mine.leg.leg }).await
}

/// Ends an enquiry and talks again in the call that is held.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/reconnect", tag = "operations", params(("callRef" = String, Path)), request_body = Reconnect,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn reconnect(
    asker: Asker,
    Path(id): Path<String>,
    Given(request): Given<Reconnect>,
) -> Done {
    let held = asker.mine(&id, request.device_id.as_deref())?;
    let enquiry = asker.mine(&request.enquiry_call_ref, request.device_id.as_deref())?;
    if enquiry.held.as_ref().map(|held| held.leg) != Some(held.leg.leg) {
        return Err(Failure::not_now("reconnect"));
    }
    done(&asker, CallCommandKind::Reconnect { active: enquiry.leg.leg, held: held.leg.leg }).await
}

/// Holds the call, and calls somebody else from the same device.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/enquiry", tag = "operations", params(("callRef" = String, Path)), request_body = Callee,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn enquire(asker: Asker, Path(id): Path<String>, Given(request): Given<Callee>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    let (_, to_number) = asker.number("callee", &request.callee).await?;
    let anonymous = request.anonymous;
    done(&asker, CallCommandKind::Enquire { leg: mine.leg.leg, to_number, anonymous }).await
}

/// Holds this call, and talks in the one that is held.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/alternate", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn alternate(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    let held = mine.held.as_ref().ok_or_else(|| Failure::not_now("alternate"))?.leg;
    done(&asker, CallCommandKind::Alternate { active: mine.leg.leg, held }).await
}

/// Makes one conversation of this call and the one that is held.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/merge", tag = "operations", params(("callRef" = String, Path)), request_body = HeldCall,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn merge(asker: Asker, Path(id): Path<String>, Given(request): Given<HeldCall>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("merge")?;
    let held = held_in(&asker, &mine, &request.held_call_ref)?;
    done(&asker, CallCommandKind::Merge { active: mine.leg.leg, held }).await
}

/// Connects the others of this call and of the one that is held.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/transfer", tag = "operations", params(("callRef" = String, Path)), request_body = HeldCall,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn transfer(asker: Asker, Path(id): Path<String>, Given(request): Given<HeldCall>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("transfer")?;
    let held = held_in(&asker, &mine, &request.held_call_ref)?;
    done(&asker, CallCommandKind::TransferAttended { active: mine.leg.leg, held }).await
}

/// Passes a call on without asking.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/blindtransfer", tag = "operations", params(("callRef" = String, Path)), request_body = BlindTransfer,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn blind_transfer(
    asker: Asker,
    Path(id): Path<String>,
    Given(request): Given<BlindTransfer>,
) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("blindTransfer")?;
    let (_, to_number) = asker.number("transferTo", &request.transfer_to).await?;
    let anonymous = request.anonymous;
    done(&asker, CallCommandKind::TransferBlind { leg: mine.leg.leg, to_number, anonymous }).await
}

/// Sends a call that rings on: to a number, to `VOICEMAIL` or to `DVA`.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/redirect", tag = "operations", params(("callRef" = String, Path)), request_body = Redirect,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn redirect(asker: Asker, Path(id): Path<String>, Given(request): Given<Redirect>) -> Done {
    let mine = asker.mine(&id, None)?;
    let (capability, to) = match request.redirect_to.as_str() {
        "VOICEMAIL" => ("redirectToVoiceMail", Elsewhere::Voicemail),
        "DVA" => ("redirectToDVA", Elsewhere::Assistant),
        number => ("redirect", Elsewhere::Number(asker.number("redirectTo", number).await?.1)),
    };
    mine.may(capability)?;
    done(&asker, CallCommandKind::Redirect { leg: mine.leg.leg, to, anonymous: request.anonymous }).await
}

/// Chooses the voicemail of whoever does not answer.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/overflowToVoiceMail", tag = "operations", params(("callRef" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn overflow(asker: Asker, Path(id): Path<String>) -> Done {
    let mine = asker.mine(&id, None)?;
    mine.may("overflowToVoiceMail")?;
    done(&asker, CallCommandKind::Overflow { leg: mine.leg.leg }).await
}

/// Leaves a conference; the others go on.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/dropme", tag = "operations", params(("callRef" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn drop_me(asker: Asker, Path(id): Path<String>) -> Done {
    let mine = asker.mine(&id, None)?;
    mine.may("dropMe")?;
    done(&asker, CallCommandKind::DropMe { leg: mine.leg.leg }).await
}

/// Asks somebody into a conversation.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/participants", tag = "operations", params(("callRef" = String, Path)), request_body = Callee,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn add(asker: Asker, Path(id): Path<String>, Given(request): Given<Callee>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("addParticipant")?;
    let (_, to_number) = asker.number("callee", &request.callee).await?;
    let anonymous = request.anonymous;
    done(&asker, CallCommandKind::AddParticipant { leg: mine.leg.leg, to_number, anonymous }).await
}

/// Sends a participant away.
#[utoipa::path(delete, path = "/api/rest/1.0/telephony/calls/{callRef}/participants/{participantId}", tag = "operations", params(("callRef" = String, Path), ("participantId" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn drop_participant(asker: Asker, Path((id, other)): Path<(String, String)>) -> Done {
    let mine = asker.mine(&id, None)?;
    mine.may("dropParticipant")?;
    let leg = asker.participant(mine.call, &other)?.leg;
    done(&asker, CallCommandKind::DropParticipant { leg, by: Some(mine.leg.leg) }).await
}

/// Puts a participant aside.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/participants/{participantId}/hold", tag = "operations", params(("callRef" = String, Path), ("participantId" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn hold_participant(asker: Asker, Path((id, other)): Path<(String, String)>) -> Done {
    let mine = asker.mine(&id, None)?;
    mine.may("holdParticipant")?;
    let leg = asker.participant(mine.call, &other)?.leg;
    done(&asker, CallCommandKind::HoldParticipant { leg, by: Some(mine.leg.leg) }).await
}

/// Lets a participant in again.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/participants/{participantId}/retrieve", tag = "operations", params(("callRef" = String, Path), ("participantId" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn retrieve_participant(asker: Asker, Path((id, other)): Path<(String, String)>) -> Done {
    let mine = asker.mine(&id, None)?;
    // Not who may put aside: that is nobody where all others are. But one who is there, and was not put aside as well.
    if !mine.leg.is_answered() || mine.leg.put_aside {
        return Err(Failure::not_now("retrieveParticipant"));
    }
    let leg = asker.participant(mine.call, &other)?.leg;
    done(&asker, CallCommandKind::RetrieveParticipant { leg }).await
}

/// Sends digits to the far end.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/sendDtmf", tag = "operations", params(("callRef" = String, Path)), request_body = Digits,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn send_digits(asker: Asker, Path(id): Path<String>, Given(request): Given<Digits>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    let digits = request.number.as_str();
    if !(1..=64).contains(&digits.len()) || !digits.chars().all(|digit| "0123456789*#ABCD".contains(digit)) {
        return Err(Failure::invalid("number", "expected 1 to 64 of 0-9 * # A-D"));
    }
    mine.may("sendDtmf")?;
    done(&asker, CallCommandKind::SendDigits { leg: mine.leg.leg, digits: digits.into() }).await
}

/// Goes on with another device of the user: it rings, and when it answers, takes over.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/switchDevice", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn switch_device(
    asker: Asker,
    Path(id): Path<String>,
    Given(request): Given<OnDevice>,
) -> Done {
    let mine = asker.mine(&id, None)?;
    mine.may("switchDevice")?;
    let device = request.device_id.ok_or_else(|| Failure::invalid("deviceId", "it is missing"))?;
    let device = device_id(&asker, &device)?;
    done(&asker, CallCommandKind::SwitchDevice { leg: mine.leg.leg, device }).await
}

/// Another device of the user joins.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/addDevice", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn add_device(
    asker: Asker,
    Path(id): Path<String>,
    Given(request): Given<OnDevice>,
) -> Done {
    let mine = asker.mine(&id, None)?;
    mine.may("addDevice")?;
    let device = request.device_id.ok_or_else(|| Failure::invalid("deviceId", "it is missing"))?;
    let device = device_id(&asker, &device)?;
    done(&asker, CallCommandKind::AddDevice { leg: mine.leg.leg, device }).await
}

/// Takes a call that rings at somebody else, by its callRef or by the number at which it rings.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/devices/{deviceId}/pickUp", tag = "operations", params(("deviceId" = String, Path)), request_body = PickUp,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn pick_up(asker: Asker, Path(id): Path<String>, Given(request): Given<PickUp>) -> Done {
    let device = device_id(&asker, &id)?;
    let (leg, at) = match (&request.other_call_ref, &request.other_phone_number) {
        (None, None) => {
            return Err(Failure::invalid("otherCallRef", "otherCallRef or otherPhoneNumber is needed"));
        }
        (Some(call), _) => asker.any_call(call, |fold, call| {
            let leg = fold.live_legs(call.call).find(|leg| is_ringing(leg));
            leg.map(|leg| (leg.leg, leg.party.user.clone())).ok_or_else(|| Failure::not_now("pickUp"))
        })?,
        (None, Some(number)) => asker.look(|fold| {
            let at = |leg: &&LegView| {
                is_ringing(leg) && *leg.party.number == **number && leg.tenant == asker.tenant
            };
            let leg = fold.legs().find(at).map(|leg| (leg.leg, leg.party.user.clone()));
            leg.ok_or_else(|| Failure::not_found("call that rings there"))
        })?,
    };
    if !may_take_from(&asker, at.as_ref()) {
        return Err(Failure::no_right("pickUp, without a group for it with whom it rings at"));
    }
    let by = DeviceOf { user: asker.user.clone(), device: Some(device) };
    done(&asker, CallCommandKind::PickUp { leg, by }).await
}

/// Whether the asker may take what rings at somebody: who has the right, who is in one group, and whoever it is.
fn may_take_from(asker: &Asker, user: Option<&UserId>) -> bool {
    let people = asker.state.door.people();
    let may = people.person(&asker.tenant, &asker.user).is_some_and(|person| person.may_pick_up);
    let near =
        |user: &UserId| *user == asker.user || people.share_pick_up_group(&asker.tenant, &asker.user, user);
    may || user.is_some_and(near)
}

/// Breaks into a conversation.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/devices/{deviceId}/intrusion", tag = "operations", params(("deviceId" = String, Path)), request_body = Intrusion,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn intrude(asker: Asker, Path(id): Path<String>, Given(request): Given<Intrusion>) -> Done {
    let device = device_id(&asker, &id)?;
    let person = asker.state.door.people().person(&asker.tenant, &asker.user);
    if !person.is_some_and(|person| person.may_intrude) {
        return Err(Failure::no_right("intrusion"));
    }
    let call = asker.any_call(&request.call_ref, |_, call| Ok(call.call))?;
    let by = DeviceOf { user: asker.user.clone(), device: Some(device) };
    done(&asker, CallCommandKind::Intrude { call, by }).await
}

/// What becomes of the recording.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Recording {
    /// `start`, `stop`, `pause` or `resume`.
    #[param(example = "start")]
    action: String,
}

/// Starts, ends, pauses or resumes the recording of a call.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/recording", tag = "operations",
    params(("callRef" = String, Path), Recording), responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn record(
    asker: Asker,
    Path(id): Path<String>,
    action: Result<Query<Recording>, axum::extract::rejection::QueryRejection>,
) -> Done {
    let wrong = || Failure::invalid("action", "expected start, stop, pause or resume");
    let Query(Recording { action }) = action.map_err(|_| wrong())?;
    let mine = asker.mine(&id, None)?;
    let capability = match action.as_str() {
        "start" => "startRecord",
        "stop" => "stopRecord",
        "pause" => "pauseRecord",
        "resume" => "resumeRecord",
        _ => return Err(wrong()),
    };
    mine.may(capability)?;
    let running = || -> Result<RecordingId, Failure> {
        asker.look(|fold| {
            let running = fold.running_recording(mine.call);
            running.map(|view| view.recording).ok_or_else(|| Failure::not_now(capability))
        })
    };
    let kind = match capability {
        "startRecord" => {
            CallCommandKind::StartRecording { call: mine.call, options: RecordingOptions::default() }
        }
        "stopRecord" => CallCommandKind::StopRecording { recording: running()? },
        "pauseRecord" => CallCommandKind::PauseRecording { recording: running()?, mask: false },
        _ => CallCommandKind::ResumeRecording { recording: running()? },
    };
    done(&asker, kind).await
}
