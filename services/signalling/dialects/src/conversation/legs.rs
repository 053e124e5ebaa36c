//! Legs of members, and the recording of a conversation.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};
use sidetone_model::callback::{Callback, CallbackMethod, URL_BYTES_MAX};
use sidetone_model::command::{CallCommandKind, RecordingOptions};
use sidetone_model::conversation::{ConversationView, LegStatus, MemberView};
use sidetone_model::fold::{CallView, LegPhase};
use sidetone_model::ids::{ConversationId, LegId, RecordingId};
use sidetone_model::media::{FileFormat, Layout};

use super::answer::{Answer, Failure, Refused};
use super::auth::Asked;
use super::body;
use super::openapi::RecordRequest;
use super::request::{Page, id, number, text};
use crate::MediaRef;

/// Lists the legs of the members of all conversations.
#[utoipa::path(get, path = "/beta/legs", tag = "legs",
    params(("page_size" = Option<u32>, Query), ("cursor" = Option<String>, Query), ("order" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn list(asked: Asked) -> Answer<Json<Value>> {
    let page = Page::<LegId>::of(&asked.query)?;
    let body = asked.see(|fold| {
        let known = fold.conversations();
        let own = || known.of(&asked.tenant).filter(|view| view.application == asked.application);
        let cut = page.cut(own().flat_map(|of| of.members.iter().filter_map(|member| member.leg)));
        let mut shown: Vec<(LegId, Value)> = Vec::with_capacity(cut.keys.len());
        for (of, member) in own().flat_map(|of| of.members.iter().map(move |member| (of, member))) {
            if let Some(leg) = member.leg.filter(|leg| cut.keys.contains(leg)) {
                shown.push((leg, shown_as(of, member, leg)));
            }
        }
        let place = |leg: LegId| cut.keys.iter().position(|key| *key == leg);
        shown.sort_by_key(|(leg, _)| place(*leg));
        Ok(cut.answer(page.size, "legs", shown.into_iter().map(|(_, body)| body).collect()))
    })?;
    Ok(Json(body))
}

fn shown_as(of: &ConversationView, member: &MemberView, leg: LegId) -> Value {
    let status = member.statuses.last().map_or(LegStatus::Started, |(status, _)| *status);
    json!({
        "leg_id": leg.to_string(),
        "type": "phone",
        "direction": if member.knocked { "inbound" } else { "outbound" },
        "status": status.name(),
        "conversation_id": body::con(of.conversation),
        "member_id": body::mem(member.member),
        "from": body::endpoint(&member.from),
        "to": body::endpoint(&member.to),
        "start_time": body::time(member.invited_at),
        "end_time": member.left_at.map(body::time),
    })
}

/// Hangs up a leg: of a member, or of a caller who knocks at the application and is not let in.
#[utoipa::path(delete, path = "/beta/legs/{leg}", tag = "legs", params(("leg" = String, Path)),
    responses((status = 204), (status = "4XX", body = Refused)))]
pub(crate) async fn delete(Path(leg): Path<String>, asked: Asked) -> Result<StatusCode, Failure> {
    let leg: LegId = id(&leg, "", "leg")?;
    match asked.see(|fold| Ok(fold.conversations().of_leg(leg)))? {
        Some((conversation, _)) => asked.on(conversation, |_, _| Ok(()))?,
        None => knocks(&asked, leg)?,
    }
    asked.execute("", CallCommandKind::HangUpLeg { leg }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a caller waits at a number of the application.
fn knocks(asked: &Asked, leg: LegId) -> Result<(), Failure> {
    let of_tenant = asked.state.door.people().applications(&asked.tenant);
    let own = of_tenant.into_iter().find(|application| application.id == asked.application);
    let numbers = own.map(|application| application.numbers).unwrap_or_default();
    asked.see(|fold| {
        let waiting =
            fold.leg(leg).filter(|leg| leg.tenant == asked.tenant && leg.phase == LegPhase::Waiting);
        let call = waiting.and_then(|leg| fold.call(leg.call));
        let is_own = |call: &&CallView| numbers.is_empty() || numbers.contains(&call.dialled);
        call.filter(is_own).map(drop).ok_or_else(|| Failure::not_found("leg"))
    })
}

/// Leads to the sound of a complete recording, or to what was kept of a failed one; its id is in the event `audio:record:done`.
/// `track` is another of its files, from 1, when each leg has one of its own.
#[utoipa::path(get, path = "/beta/files/{recording}", tag = "conversations",
    params(("recording" = String, Path), ("track" = Option<u32>, Query)),
    responses((status = 302, description = "the Location plays for whoever has it, for a limited time"),
        (status = "4XX", body = Refused)))]
pub(crate) async fn file(Path(recording): Path<String>, asked: Asked) -> Result<Response, Failure> {
    let recording: RecordingId = id(&recording, "", "file")?;
    let track = number(&asked.query, "track")?.unwrap_or(0);
    let (conversation, audible) = asked.see(|fold| {
        let Some(view) = fold.recording(recording).filter(|view| view.tenant == asked.tenant) else {
            // Its call is forgotten, the conversation is not, and knows the first file.
            let kept = fold.conversations().recording(&asked.tenant, recording);
            return kept.map(|(of, _, _)| (of, track == 0)).ok_or_else(|| Failure::not_found("file"));
        };
        let conversation = fold.conversation_of(view.call).ok_or_else(|| Failure::not_found("file"))?;
        Ok((conversation, view.file(track).is_some()))
    })?;
    // Of a conversation of another application nothing is told.
    asked.on(conversation, |_, _| Ok(())).map_err(|_| Failure::not_found("file"))?;
    if !audible {
        return Err(Failure::not_found("file"));
    }
    let media = if track == 0 { MediaRef::Recording(recording) } else { MediaRef::Track(recording, track) };
    let url = asked.state.door.media_url(&asked.tenant, media);
    Ok((StatusCode::FOUND, [(http::header::LOCATION, url)]).into_response())
}

/// Starts or stops recording a conversation.
#[utoipa::path(put, path = "/beta/conversations/{conversation}/record", tag = "conversations",
    params(("conversation" = String, Path)), request_body = RecordRequest,
    responses((status = 204), (status = "4XX", body = Refused)))]
pub(crate) async fn record(Path(conversation): Path<String>, asked: Asked) -> Result<StatusCode, Failure> {
    let conversation: ConversationId = id(&conversation, "CON-", "conversation")?;
    let format = match text(&asked.body, "format")?.as_deref() {
        None | Some("wav") => FileFormat::Wav,
        Some("mp3") => FileFormat::Mp3,
        Some("ogg") => FileFormat::OggOpus,
        Some("flac") => FileFormat::Flac,
        Some(_) => return Err(Failure::invalid("format", "expected wav, mp3, ogg or flac")),
    };
    let layout = match text(&asked.body, "split")?.as_deref() {
        None => Layout::Mono,
        Some("conversation") => Layout::Stereo,
        Some(_) => return Err(Failure::invalid("split", "expected conversation")),
    };
    if asked.is_repeated().await {
        asked.on(conversation, |_, _| Ok(()))?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let (call, running) = asked.on_call(conversation, |fold, _, call| {
        let running: Option<RecordingId> = fold.running_recording(call.call).map(|view| view.recording);
        Ok((call.call, running))
    })?;
    let command = match text(&asked.body, "action")?.as_deref() {
        Some("start") => {
            let callback = callback(&asked)?.map(Box::new);
            let options = RecordingOptions { format, layout, callback, ..RecordingOptions::default() };
            CallCommandKind::StartRecording { call, options }
        }
        Some("stop") => {
            let recording =
                running.ok_or_else(|| Failure::state("the conversation is not being recorded"))?;
            CallCommandKind::StopRecording { recording }
        }
        _ => return Err(Failure::invalid("action", "expected start or stop")),
    };
    asked.execute("", command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `event_url` and `event_method`: who is to be told when the recording can be fetched.
fn callback(asked: &Asked) -> Result<Option<Callback>, Failure> {
    let method = match text(&asked.body, "event_method")?.as_deref() {
        None | Some("POST") => CallbackMethod::Post,
        Some("GET") => CallbackMethod::Get,
        Some(_) => return Err(Failure::invalid("event_method", "expected GET or POST")),
    };
    // The Voice API has a list of one.
    let url = match asked.body.get("event_url") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(url)) => url,
        Some(Value::Array(urls)) => match &urls[..] {
            [Value::String(url)] => url,
            _ => return Err(Failure::invalid("event_url", "expected one")),
        },
        Some(_) => return Err(Failure::invalid("event_url", "expected a text")),
    };
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| {
        let named = uri.authority().is_some_and(|whose| !whose.as_str().contains('@'));
        named && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    if parsed.is_none() || url.len() > URL_BYTES_MAX {
        return Err(Failure::invalid(
            "event_url",
            "expected http or https, without a user, at most 2048 bytes",
        ));
    }
    Ok(Some(Callback { application: asked.application.clone(), url: url.as_str().into(), method }))
}
