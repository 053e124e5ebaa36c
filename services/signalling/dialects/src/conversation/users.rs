//! People who can be members.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::Value;
use sidetone_model::conversation::ConversationCommand;
use sidetone_model::ids::PersonId;

use super::answer::{Answer, Failure, Refused};
use super::auth::Asked;
use super::body;
use super::openapi::NameRequest;
use super::request::{Page, id, text};

/// Adds a user. Without a name it gets one.
#[utoipa::path(post, path = "/beta/users", tag = "users", request_body = NameRequest,
    responses((status = 201, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn create(asked: Asked) -> Answer<(StatusCode, Json<Value>)> {
    let person = PersonId::from(asked.new_id("user"));
    let name = text(&asked.body, "name")?.unwrap_or_else(|| format!("NAM-{}", asked.new_id("name")).into());
    let display_name = text(&asked.body, "display_name")?.unwrap_or_default();
    let application = asked.application.clone();
    asked.converse(ConversationCommand::PutPerson { person, application, name, display_name }).await?;
    Ok((StatusCode::CREATED, Json(asked.on_person(person, |view| Ok(body::person(view)))?)))
}

/// Lists users.
#[utoipa::path(get, path = "/beta/users", tag = "users",
    params(("page_size" = Option<u32>, Query), ("cursor" = Option<String>, Query), ("order" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn list(asked: Asked) -> Answer<Json<Value>> {
    let page = Page::<PersonId>::of(&asked.query)?;
    let body = asked.see(|fold| {
        let known = fold.conversations();
        let own = known.persons(&asked.tenant).filter(|view| view.application == asked.application);
        let cut = page.cut(own.map(|view| view.person));
        let shown = cut.keys.iter().filter_map(|id| known.person(&asked.tenant, *id));
        Ok(cut.answer(page.size, "users", shown.map(body::person).collect()))
    })?;
    Ok(Json(body))
}

/// Tells about a user.
#[utoipa::path(get, path = "/beta/users/{user}", tag = "users", params(("user" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn get(Path(user): Path<String>, asked: Asked) -> Answer<Json<Value>> {
    let person = id(&user, "USR-", "user")?;
    Ok(Json(asked.on_person(person, |view| Ok(body::person(view)))?))
}

/// Renames a user.
#[utoipa::path(put, path = "/beta/users/{user}", tag = "users", params(("user" = String, Path)), request_body = NameRequest,
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn update(Path(user): Path<String>, asked: Asked) -> Answer<Json<Value>> {
    let person: PersonId = id(&user, "USR-", "user")?;
    let (name, display_name) = (text(&asked.body, "name")?, text(&asked.body, "display_name")?);
    let present = asked.on_person(person, |view| Ok((view.name.clone(), view.display_name.clone())))?;
    let (name, display_name) = (name.unwrap_or(present.0), display_name.unwrap_or(present.1));
    let application = asked.application.clone();
    asked.converse(ConversationCommand::PutPerson { person, application, name, display_name }).await?;
    Ok(Json(asked.on_person(person, |view| Ok(body::person(view)))?))
}

/// Removes a user.
#[utoipa::path(delete, path = "/beta/users/{user}", tag = "users", params(("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = Refused)))]
pub(crate) async fn delete(Path(user): Path<String>, asked: Asked) -> Result<StatusCode, Failure> {
    let person = id(&user, "USR-", "user")?;
    asked.on_person(person, |_| Ok(()))?;
    asked.converse(ConversationCommand::DeletePerson { person }).await?;
    Ok(StatusCode::NO_CONTENT)
}
