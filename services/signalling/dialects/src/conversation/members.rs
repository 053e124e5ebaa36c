//! Members: asked in, muted, sent away.

use std::fmt;
use std::str::FromStr;

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Map, Value};
use sidetone_model::command::CallCommandKind;
use sidetone_model::conversation::{ConversationCommand, ConversationView, MemberView};
use sidetone_model::fold::{Fold, LegPhase};
use sidetone_model::ids::{ConversationId, LegId, MemberId};
use sidetone_model::party::Destination;
use uuid::Uuid;

use super::answer::{Answer, Failure, Refused};
use super::auth::Asked;
use super::body;
use super::openapi::{MemberRequest, MemberUpdate};
use super::request::{Page, id, text};

/// Calls somebody into a conversation, or lets in a caller who knocks.
#[utoipa::path(post, path = "/beta/conversations/{conversation}/members", tag = "members",
    params(("conversation" = String, Path)), request_body = MemberRequest,
    responses((status = 201, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn create(
    Path(conversation): Path<String>,
    asked: Asked,
) -> Answer<(StatusCode, Json<Value>)> {
    let conversation: ConversationId = id(&conversation, "CON-", "conversation")?;
    asked.on(conversation, |_, _| Ok(()))?;
    match text(&asked.body, "action")?.as_deref() {
        Some("invite" | "join") => {}
        Some(_) => return Err(Failure::invalid("action", "expected invite or join")),
        None => return Err(Failure::invalid("action", "it is missing")),
    }
    let user = text(&asked.body, "user_id")?.ok_or_else(|| Failure::invalid("user_id", "it is missing"))?;
    let person = id(&user, "USR-", "user")?;
    asked.on_person(person, |_| Ok(()))?;
    let channel = match asked.body.get("channel") {
        Some(Value::Object(channel)) => channel,
        Some(_) => return Err(Failure::invalid("channel", "expected an object")),
        None => return Err(Failure::invalid("channel", "it is missing")),
    };
    if text(channel, "type")?.as_deref() != Some("phone") {
        return Err(Failure::invalid("channel.type", "expected phone"));
    }
    let (from, to) = (number(channel, "from")?, number(channel, "to")?);
    let knocking = text(&asked.body, "knocking_id")?.map(|knock| knocking(&knock)).transpose()?;
    may_let_in(&asked, knocking, &to).await?;
    let member = MemberId::from(asked.new_id("member"));
    let command = ConversationCommand::Invite { conversation, member, person, from, to, knocking };
    asked.converse(command).await?;
    let body = on(&asked, conversation, member, |fold, of, view| Ok(shown_as(&asked, fold, of, view)))?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// The number of one end of a channel.
fn number(channel: &Map<String, Value>, end: &str) -> Result<Box<str>, Failure> {
    let field = format!("channel.{end}");
    let Some(Value::Object(endpoint)) = channel.get(end) else {
        return Err(Failure::invalid(&field, "expected an object with type and number"));
    };
    match endpoint.get("number") {
        Some(Value::String(number)) if (1..=64).contains(&number.len()) => Ok(number.as_str().into()),
        Some(Value::Number(number)) => Ok(number.to_string().into()),
        _ => Err(Failure::invalid(&field, "expected a number of 1 to 64 characters")),
    }
}

/// Whether a caller who waits is the application's to be let in: who knocks elsewhere is another's, whether named by the leg or
/// by the pair of numbers.
async fn may_let_in(asked: &Asked, knocking: Option<LegId>, to: &str) -> Result<(), Failure> {
    let all = asked.state.door.people().applications(&asked.tenant);
    let own = |dialled: &str| all.iter().any(|one| one.id == asked.application && one.is_knocked_at(dialled));
    let of_another = match knocking {
        Some(leg) => asked.see(|fold| {
            let waits = fold.leg(leg).filter(|leg| leg.phase == LegPhase::Waiting);
            let call = waits.and_then(|leg| fold.call(leg.call));
            Ok(call.is_some_and(|call| call.tenant != asked.tenant || !own(&call.dialled)))
        })?,
        None if own(to) => false,
        None => {
            let found = asked.state.door.directory().resolve(&asked.tenant, to).await;
            let found = found.map_err(|error| Failure::of(&error))?;
            found.is_some_and(|found| found.destination == Destination::Wait)
        }
    };
    if of_another { Err(Failure::not_found("knocker")) } else { Ok(()) }
}

/// `knocker:` and the leg's id, with or without its dashes and prefix.
fn knocking(text: &str) -> Result<LegId, Failure> {
    let rest = text.strip_prefix("knocker:").unwrap_or(text);
    Uuid::try_parse(rest)
        .map(LegId::from)
        .map_err(|_| Failure::invalid("knocking_id", "expected the id of a knocker"))
}

/// Lists the members of a conversation.
#[utoipa::path(get, path = "/beta/conversations/{conversation}/members", tag = "members",
    params(("conversation" = String, Path), ("page_size" = Option<u32>, Query), ("cursor" = Option<String>, Query), ("order" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn list(Path(conversation): Path<String>, asked: Asked) -> Answer<Json<Value>> {
    let conversation = id(&conversation, "CON-", "conversation")?;
    let page = Page::<Place>::of(&asked.query)?;
    let body = asked.on(conversation, |fold, of| {
        let cut = page.cut(of.members.iter().map(Place::of));
        let shown = cut.keys.iter().filter_map(|place| of.member(place.member));
        Ok(cut.answer(page.size, "members", shown.map(|view| shown_as(&asked, fold, of, view)).collect()))
    })?;
    Ok(Json(body))
}

/// Where a member stands in the list: in the order in which they were invited. As text the time in milliseconds, a dot, and
/// the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    invited_ms: u64,
    member: MemberId,
}

impl Place {
    fn of(view: &MemberView) -> Self {
        Self { invited_ms: view.invited_at.as_millis(), member: view.member }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.invited_ms, self.member)
    }
}

impl FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (invited, member) = text.split_once('.').ok_or(())?;
        let invited_ms = invited.parse().map_err(|_| ())?;
        Ok(Self { invited_ms, member: member.parse().map_err(|_| ())? })
    }
}

/// Tells about a member.
#[utoipa::path(get, path = "/beta/conversations/{conversation}/members/{member}", tag = "members",
    params(("conversation" = String, Path), ("member" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn get(Path(path): Path<(String, String)>, asked: Asked) -> Answer<Json<Value>> {
    let (conversation, member) = ids(&path)?;
    let body = on(&asked, conversation, member, |fold, of, view| Ok(shown_as(&asked, fold, of, view)))?;
    Ok(Json(body))
}

/// Sends a member away (`state` left), or changes what is heard of and by it (`media.audio_settings`).
#[utoipa::path(put, path = "/beta/conversations/{conversation}/members/{member}", tag = "members",
    params(("conversation" = String, Path), ("member" = String, Path)), request_body = MemberUpdate,
    responses((status = 200, body = Value), (status = "4XX", body = Refused)))]
pub(crate) async fn update(Path(path): Path<(String, String)>, asked: Asked) -> Answer<Json<Value>> {
    let (conversation, member) = ids(&path)?;
    let (leg, muted, earmuffed) =
        on(&asked, conversation, member, |_, _, view| Ok((view.leg, view.muted, view.earmuffed)))?;
    let settings = match asked.body.get("media") {
        None | Some(Value::Null) => None,
        Some(media) => Some(
            media
                .get("audio_settings")
                .and_then(Value::as_object)
                .ok_or_else(|| Failure::invalid("media.audio_settings", "expected an object"))?,
        ),
    };
    let flag = |field: &str, present: bool| match settings.and_then(|settings| settings.get(field)) {
        None | Some(Value::Null) => Ok(present),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Failure::invalid(&format!("media.audio_settings.{field}"), "expected true or false")),
    };
    match text(&asked.body, "state")?.map(|state| state.to_ascii_lowercase()) {
        Some(state) if state == "left" => {
            asked.converse(ConversationCommand::Leave { conversation, member }).await?;
        }
        Some(_) => return Err(Failure::invalid("state", "only left can be asked for")),
        None if settings.is_none() => return Err(Failure::invalid("state", "state or media is needed")),
        None => {
            let leg = leg.ok_or_else(|| Failure::state("the member has no leg"))?;
            let (muted, deafened) = (flag("muted", muted)?, flag("earmuffed", earmuffed)?);
            let kind = CallCommandKind::SetAudio { leg, muted, deafened, voice: None };
            asked.execute("", kind).await?;
        }
    }
    let body = on(&asked, conversation, member, |fold, of, view| Ok(shown_as(&asked, fold, of, view)))?;
    Ok(Json(body))
}

/// Sends a member away.
#[utoipa::path(delete, path = "/beta/conversations/{conversation}/members/{member}", tag = "members",
    params(("conversation" = String, Path), ("member" = String, Path)),
    responses((status = 204), (status = "4XX", body = Refused)))]
pub(crate) async fn delete(Path(path): Path<(String, String)>, asked: Asked) -> Result<StatusCode, Failure> {
    let (conversation, member) = ids(&path)?;
    on(&asked, conversation, member, |_, _, _| Ok(()))?;
    asked.converse(ConversationCommand::Leave { conversation, member }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn ids((conversation, member): &(String, String)) -> Result<(ConversationId, MemberId), Failure> {
    Ok((id(conversation, "CON-", "conversation")?, id(member, "MEM-", "member")?))
}

fn on<T>(
    asked: &Asked,
    conversation: ConversationId,
    member: MemberId,
    see: impl FnOnce(&Fold, &ConversationView, &MemberView) -> Result<T, Failure>,
) -> Result<T, Failure> {
    asked.on(conversation, |fold, of| {
        let view = of.member(member).ok_or_else(|| Failure::not_found("member"))?;
        see(fold, of, view)
    })
}

fn shown_as(asked: &Asked, fold: &Fold, of: &ConversationView, view: &MemberView) -> Value {
    let person = fold.conversations().person(&asked.tenant, view.person);
    body::member(of, view, person.map_or("", |person| &person.name))
}
