//! Conversations themselves.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::Value;
use sidetone_model::conversation::ConversationCommand;
use sidetone_model::ids::ConversationId;

use super::answer::{Answer, Failure, Refused};
use super::auth::Asked;
use super::body;
use super::openapi::NameRequest;
use super::request::{Page, id, text};

/// Begins a conversation. Without a name it gets one.
#[utoipa::path(post, path = "/beta/conversations", tag = "conversations", request_body = NameRequest,
    responses((status = 201, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn create(asked: Asked) -> Answer<(StatusCode, Json<Value>)> {
    let uuid = asked.new_id("conversation");
    let conversation = ConversationId::from(uuid);
    let name = text(&asked.body, "name")?.unwrap_or_else(|| format!("NAM-{}", asked.new_id("name")).into());
    let display_name = text(&asked.body, "display_name")?.unwrap_or_default();
    let application = asked.application.clone();
    asked.converse(ConversationCommand::Put { conversation, application, name, display_name }).await?;
    let body = asked.on(conversation, |_, view| Ok(body::conversation(view)))?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// Lists conversations.
#[utoipa::path(get, path = "/beta/conversations", tag = "conversations",
    params(("page_size" = Option<u32>, Query), ("cursor" = Option<String>, Query), ("order" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn list(asked: Asked) -> Answer<Json<Value>> {
    let page = Page::<ConversationId>::of(&asked.query)?;
    let body = asked.see(|fold| {
        let known = fold.conversations();
        let own = known.of(&asked.tenant).filter(|view| view.application == asked.application);
        let cut = page.cut(own.map(|view| view.conversation));
        let shown = cut.keys.iter().filter_map(|id| known.get(&asked.tenant, *id));
        Ok(cut.answer(page.size, "conversations", shown.map(body::conversation).collect()))
    })?;
    Ok(Json(body))
}

/// Tells about a conversation.
#[utoipa::path(get, path = "/beta/conversations/{conversation}", tag = "conversations",
    params(("conversation" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn get(Path(conversation): Path<String>, asked: Asked) -> Answer<Json<Value>> {
    let conversation = id(&conversation, "CON-", "conversation")?;
    Ok(Json(asked.on(conversation, |_, view| Ok(body::conversation(view)))?))
}

/// Renames a conversation.
#[utoipa::path(put, path = "/beta/conversations/{conversation}", tag = "conversations",
    params(("conversation" = String, Path)), request_body = NameRequest,
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn update(Path(conversation): Path<String>, asked: Asked) -> Answer<Json<Value>> {
    let conversation: ConversationId = id(&conversation, "CON-", "conversation")?;
    let (name, display_name) = (text(&asked.body, "name")?, text(&asked.body, "display_name")?);
    let present = asked.on(conversation, |_, view| Ok((view.name.clone(), view.display_name.clone())))?;
    let (name, display_name) = (name.unwrap_or(present.0), display_name.unwrap_or(present.1));
    let application = asked.application.clone();
    asked.converse(ConversationCommand::Put { conversation, application, name, display_name }).await?;
    Ok(Json(asked.on(conversation, |_, view| Ok(body::conversation(view)))?))
}

/// Ends a conversation with its call.
#[utoipa::path(delete, path = "/beta/conversations/{conversation}", tag = "conversations",
    params(("conversation" = String, Path)),
    responses((status = 204), (status = "4XX", body = Refused)))]
pub(crate) async fn delete(Path(conversation): Path<String>, asked: Asked) -> Result<StatusCode, Failure> {
    let conversation = id(&conversation, "CON-", "conversation")?;
    asked.on(conversation, |_, _| Ok(()))?;
    asked.converse(ConversationCommand::Delete { conversation }).await?;
    Ok(StatusCode::NO_CONTENT)
}
