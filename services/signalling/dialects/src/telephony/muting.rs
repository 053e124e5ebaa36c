//! Who is not heard: a leg of the user's own, or another participant of a conference.

use axum::extract::Path;
use http::StatusCode;
use sidetone_model::command::CallCommandKind;
use sidetone_model::fold::LegView;

use super::answer::{Failure, RestError};
use super::request::{Given, OnDevice};
use super::session::Asker;

type Done = Result<StatusCode, Failure>;

/// What the leg hears stays as it is.
async fn let_be_heard(asker: &Asker, leg: &LegView, heard: bool) -> Done {
    let (leg, deafened) = (leg.leg, leg.deafened);
    asker.execute(CallCommandKind::SetAudio { leg, muted: !heard, deafened, voice: None }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The others do not hear the user any more.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/mute", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn mute(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("mute")?;
    let_be_heard(&asker, &mine.leg, false).await
}

/// The others hear the user again.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/unMute", tag = "operations", params(("callRef" = String, Path)), request_body = OnDevice,
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn unmute(asker: Asker, Path(id): Path<String>, Given(request): Given<OnDevice>) -> Done {
    let mine = asker.mine(&id, request.device_id.as_deref())?;
    mine.may("unMute")?;
    let_be_heard(&asker, &mine.leg, true).await
}

/// Nobody hears a participant any more.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/participants/{participantId}/mute", tag = "operations", params(("callRef" = String, Path), ("participantId" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn mute_participant(asker: Asker, Path(who): Path<(String, String)>) -> Done {
    of_participant(&asker, &who, false).await
}

/// A participant is heard again.
#[utoipa::path(post, path = "/api/rest/1.0/telephony/calls/{callRef}/participants/{participantId}/unMute", tag = "operations", params(("callRef" = String, Path), ("participantId" = String, Path)),
    responses((status = 204), (status = "4XX", body = RestError)))]
pub(crate) async fn unmute_participant(asker: Asker, Path(who): Path<(String, String)>) -> Done {
    of_participant(&asker, &who, true).await
}

async fn of_participant(asker: &Asker, (call, participant): &(String, String), heard: bool) -> Done {
    let mine = asker.mine(call, None)?;
    mine.may("muteParticipant")?;
    let leg = asker.participant(mine.call, participant)?;
    if leg.muted != heard {
        return Err(Failure::not_now(if heard { "unMute" } else { "mute" }));
    }
    let_be_heard(asker, &leg, heard).await
}
