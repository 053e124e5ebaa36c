//! The event log of a conversation.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};
use sidetone_model::conversation::ConversationCommand;
use sidetone_model::ids::ConversationId;

use super::answer::{Answer, Failure, Refused};
use super::auth::Asked;
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
    let body = asked.body.get("body").cloned().unwrap_or_else(|| json!({}));
    let body: Box<str> = body.to_string().into();
    if body.len() > BODY_BYTES_MAX {
        return Err(Failure::invalid("body", "it is longer than 4096 bytes"));
    }
    asked.converse(ConversationCommand::Post { conversation, member, r#type, body }).await?;
    let posted = asked.on(conversation, |fold, view| {
        let last = view.events.back().ok_or_else(|| Failure::not_found("event"))?;
        Ok(json!({"id": last.id, "timestamp": project::render(fold, &asked.tenant, view, last)["timestamp"]}))
    })?;
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
    let page = Page::of(&asked.query)?;
    let first = number(&asked.query, "start_id")?.unwrap_or(0);
    let last = number(&asked.query, "end_id")?.unwrap_or(u32::MAX);
    let wanted = text(&asked.query, "event_type")?;
    let all = asked.on(conversation, |fold, view| {
        let within = view.events.iter().filter(|event| (first..=last).contains(&event.id));
        let shown =
            within.map(|event| (event.id.to_string(), project::render(fold, &asked.tenant, view, event)));
        let of_type = |body: &Value| wanted.as_deref().is_none_or(|wanted| body["type"] == wanted);
        Ok(shown.filter(|(_, body)| of_type(body)).collect())
    })?;
    let (events, next) = page.cut(all);
    Ok(Json(json!({
        "page_size": page.size,
        "_embedded": {"events": events},
        "_links": {"next": next.map(|cursor| json!({"cursor": cursor}))},
    })))
}

/// Tells about one event.
#[utoipa::path(get, path = "/beta/conversations/{conversation}/events/{event}", tag = "events",
    params(("conversation" = String, Path), ("event" = u32, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn get(Path(path): Path<(String, String)>, asked: Asked) -> Answer<Json<Value>> {
    let (conversation, event) = ids(&path)?;
    let body = asked.on(conversation, |fold, view| {
        let found = view.events.iter().find(|kept| kept.id == event);
        let found = found.ok_or_else(|| Failure::not_found("event"))?;
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
