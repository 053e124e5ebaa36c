//! The event log of a conversation.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};
use sidetone_model::command::CallCommandKind;
use sidetone_model::conversation::{ConversationCommand, ConversationEvent, ConversationView};
use sidetone_model::fact::CommandSubject;
use sidetone_model::ids::ConversationId;

use super::answer::{Answer, Failure, Refused};
use super::auth::Asked;
use super::body;
use super::openapi::EventRequest;
use super::project;
use super::request::{Page, id, number, text};
use super::sound;

/// Says something to a conversation, with a type that begins with `custom:`; or changes what is heard in it.
#[utoipa::path(post, path = "/beta/conversations/{conversation}/events", tag = "events",
    params(("conversation" = String, Path)), request_body = EventRequest,
    responses((status = 201, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn create(
    Path(conversation): Path<String>,
    asked: Asked,
) -> Answer<(StatusCode, Json<Value>)> {
    let conversation: ConversationId = id(&conversation, "CON-", "conversation")?;
    asked.on(conversation, |_, _| Ok(()))?;
    let r#type = text(&asked.body, "type")?.ok_or_else(|| Failure::invalid("type", "it is missing"))?;
    if r#type.starts_with("audio:") {
        sound::carry_out(&asked, conversation, &r#type).await?;
        return last_of_type(&asked, conversation, &r#type);
    }
    if !(r#type.starts_with("custom:") && r#type.len() > "custom:".len()) {
        return Err(Failure::invalid("type", "expected custom: and a name, or a type of audio"));
    }
    let member = text(&asked.body, "from")?.map(|from| id(&from, "MEM-", "member")).transpose()?;
    let said = asked.body.get("body").cloned().unwrap_or_else(|| json!({}));
    let said: Box<str> = said.to_string().into();
    if said.len() > BODY_BYTES_MAX {
        return Err(Failure::invalid("body", "it is longer than 4096 bytes"));
    }
    let post = ConversationCommand::Post { conversation, member, r#type, body: said };
    let posted = asked.carry_out("", CallCommandKind::Conversation(Box::new(post))).await?;
    // Others may have said something since; and a request that is repeated is told of its own event.
    let CommandSubject::ConversationEvent(_, id) = posted else { return Err(Failure::behind()) };
    let at = asked.on(conversation, |_, view| Ok(event(view, id).map(|event| event.at)))?;
    let posted = json!({"id": id, "timestamp": at.map(body::time)});
    Ok((StatusCode::CREATED, Json(posted)))
}

/// What a change of what is heard is told as. One that was there already was told before.
fn last_of_type(
    asked: &Asked,
    conversation: ConversationId,
    r#type: &str,
) -> Answer<(StatusCode, Json<Value>)> {
    let told = asked.on(conversation, |fold, view| {
        let last = view.events.iter().rev().find(|event| project::type_of(event) == r#type);
        let told = last.map(|event| project::render(fold, &asked.tenant, view, event));
        let told = told.unwrap_or_default();
        Ok(json!({"id": told["id"], "timestamp": told["timestamp"], "body": told["body"]}))
    })?;
    Ok((StatusCode::CREATED, Json(told)))
}

/// Lists events: from `start_id` to `end_id`, of one `event_type`, ascending or descending, page by page.
#[utoipa::path(get, path = "/beta/conversations/{conversation}/events", tag = "events",
    params(("conversation" = String, Path), ("start_id" = Option<u32>, Query), ("end_id" = Option<u32>, Query),
        ("event_type" = Option<String>, Query), ("page_size" = Option<u32>, Query), ("cursor" = Option<String>, Query),
        ("order" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn list(Path(conversation): Path<String>, asked: Asked) -> Answer<Json<Value>> {
    let conversation = id(&conversation, "CON-", "conversation")?;
    let page = Page::<u32>::of(&asked.query)?;
    let first = number(&asked.query, "start_id")?.unwrap_or(0);
    let last = number(&asked.query, "end_id")?.unwrap_or(u32::MAX);
    let wanted = text(&asked.query, "event_type")?;
    let body = asked.on(conversation, |fold, view| {
        let within = view.events.iter().filter(|event| (first..=last).contains(&event.id));
        let of_type = |event: &&ConversationEvent| {
            wanted.as_deref().is_none_or(|wanted| project::type_of(event) == wanted)
        };
        let cut = page.cut(within.filter(of_type).map(|event| event.id));
        let shown = cut.keys.iter().filter_map(|id| event(view, *id));
        let shown = shown.map(|event| project::render(fold, &asked.tenant, view, event));
        Ok(cut.answer(page.size, "events", shown.collect()))
    })?;
    Ok(Json(body))
}

/// An event by its number; the log is in their order.
fn event(view: &ConversationView, id: u32) -> Option<&ConversationEvent> {
    let place = view.events.binary_search_by_key(&id, |event| event.id).ok()?;
    view.events.get(place)
}

/// Tells about one event.
#[utoipa::path(get, path = "/beta/conversations/{conversation}/events/{event}", tag = "events",
    params(("conversation" = String, Path), ("event" = u32, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn get(Path(path): Path<(String, String)>, asked: Asked) -> Answer<Json<Value>> {
    let (conversation, number) = ids(&path)?;
    let body = asked.on(conversation, |fold, view| {
        let found = event(view, number).ok_or_else(|| Failure::not_found("event"))?;
        Ok(project::render(fold, &asked.tenant, view, found))
    })?;
    Ok(Json(body))
}

/// Shows an event no more.
#[utoipa::path(delete, path = "/beta/conversations/{conversation}/events/{event}", tag = "events",
    params(("conversation" = String, Path), ("event" = u32, Path)),
    responses((status = 204), (status = "4XX", body = Refused)))]
pub(crate) async fn delete(Path(path): Path<(String, String)>, asked: Asked) -> Result<StatusCode, Failure> {
    let (conversation, event) = ids(&path)?;
    asked.on(conversation, |_, _| Ok(()))?;
    asked.converse(ConversationCommand::DeleteEvent { conversation, event }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn ids((conversation, event): &(String, String)) -> Result<(ConversationId, u32), Failure> {
    let event = event.parse().map_err(|_| Failure::not_found("event"))?;
    Ok((id(conversation, "CON-", "conversation")?, event))
}

const BODY_BYTES_MAX: usize = 4096;
