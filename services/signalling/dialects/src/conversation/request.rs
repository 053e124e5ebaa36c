//! What applications ask.

use serde_json::{Map, Value};
use sha::derived;
use sidetone_model::call::ExternalRef;
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::conversation::{CALLS, ConversationCommand, ConversationView, PersonView};
use sidetone_model::fold::{CallView, Fold};
use sidetone_model::ids::{ConversationId, PersonId};
use uuid::Uuid;

use super::answer::Failure;
use super::auth::Asked;
use crate::look;

impl Asked {
    /// An id for something new: another for every request, the same when a request is repeated with its key.
    pub(crate) fn new_id(&self, what: &str) -> Uuid {
        derived(&format!("{}\n{}\n{}\n{what}", self.tenant, self.application, self.key))
    }

    pub(crate) async fn converse(&self, command: ConversationCommand) -> Result<(), Failure> {
        self.execute("", CallCommandKind::Conversation(Box::new(command))).await
    }

    pub(crate) async fn execute(&self, which: &str, kind: CallCommandKind) -> Result<(), Failure> {
        let key = format!("{}{which}", self.key).into();
        self.state.door.execute(CallCommand { tenant: self.tenant.clone(), key, kind }).await?;
        Ok(())
    }

    /// Whether the request's command was carried out already.
    pub(crate) async fn is_repeated(&self) -> bool {
        self.state.door.done_before(&self.tenant, &self.key).await.is_some()
    }

    /// Looks at the conversation's call.
    pub(crate) fn on_call<T>(
        &self,
        conversation: ConversationId,
        see: impl FnOnce(&Fold, &ConversationView, &CallView) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let external = ExternalRef { dialect: CALLS.into(), key: conversation.to_string().into() };
        self.on(conversation, |fold, view| {
            let call = fold.call_by_external(&self.tenant, &external);
            see(fold, view, call.ok_or_else(|| Failure::state("nobody talks in the conversation"))?)
        })
    }

    pub(crate) fn see<T>(&self, see: impl FnOnce(&Fold) -> Result<T, Failure>) -> Result<T, Failure> {
        look(&*self.state.door, &self.tenant, see)
            .unwrap_or_else(|| Err(Failure::state("conversations cannot be seen now")))
    }

    /// Looks at a conversation of the application.
    pub(crate) fn on<T>(
        &self,
        conversation: ConversationId,
        see: impl FnOnce(&Fold, &ConversationView) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.see(|fold| {
            let found = fold.conversations().get(&self.tenant, conversation);
            let found = found.filter(|view| view.application == self.application);
            see(fold, found.ok_or_else(|| Failure::not_found("conversation"))?)
        })
    }

    pub(crate) fn on_person<T>(
        &self,
        person: PersonId,
        see: impl FnOnce(&PersonView) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.see(|fold| {
            let found = fold.conversations().person(&self.tenant, person);
            let found = found.filter(|view| view.application == self.application);
            see(found.ok_or_else(|| Failure::not_found("user"))?)
        })
    }
}

/// An id of the product in ours: `prefix` and a UUID.
pub(crate) fn id<T: From<Uuid>>(text: &str, prefix: &str, what: &str) -> Result<T, Failure> {
    let uuid = text.strip_prefix(prefix).and_then(|rest| Uuid::try_parse(rest).ok());
    uuid.map(T::from).ok_or_else(|| Failure::not_found(what))
}

/// A text field that may be absent.
pub(crate) fn text(object: &Map<String, Value>, field: &str) -> Result<Option<Box<str>>, Failure> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > TEXT_BYTES_MAX => {
            Err(Failure::invalid(field, "it is longer than 256 bytes"))
        }
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            Err(Failure::invalid(field, "it has control characters"))
        }
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(_) => Err(Failure::invalid(field, "expected a text")),
    }
}

/// A number out of a query.
pub(crate) fn number(query: &Map<String, Value>, field: &str) -> Result<Option<u32>, Failure> {
    match query.get(field).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Failure::invalid(field, "expected a number")),
    }
}

/// One page of a list: `page_size` (10, at most 100), `cursor` (what the page before gave), `order`.
pub(crate) struct Page {
    pub(crate) size: usize,
    pub(crate) cursor: Option<Box<str>>,
    pub(crate) descending: bool,
}

impl Page {
    pub(crate) fn of(query: &Map<String, Value>) -> Result<Self, Failure> {
        let size = number(query, "page_size")?.unwrap_or(10);
        if !(1..=100).contains(&size) {
            return Err(Failure::invalid("page_size", "must be 1 to 100"));
        }
        let descending = match query.get("order").and_then(Value::as_str) {
            None | Some("asc" | "ASC") => false,
            Some("desc" | "DESC") => true,
            Some(_) => return Err(Failure::invalid("order", "expected asc or desc")),
        };
        Ok(Self { size: size as usize, cursor: text(query, "cursor")?, descending })
    }

    /// The page, and the cursor of the next one. `key` is what cursors are made of; it ascends with the items.
    pub(crate) fn cut<T>(&self, mut items: Vec<(String, T)>) -> (Vec<T>, Option<String>) {
        if self.descending {
            items.reverse();
        }
        let begin = match &self.cursor {
            None => 0,
            Some(cursor) => {
                items.iter().position(|(key, _)| **key == **cursor).map_or(items.len(), |at| at + 1)
            }
        };
        let rest = items.len().saturating_sub(begin);
        let page: Vec<(String, T)> = items.into_iter().skip(begin).take(self.size).collect();
        let next = (rest > page.len()).then(|| page.last().map(|(key, _)| key.clone())).flatten();
        (page.into_iter().map(|(_, item)| item).collect(), next)
    }
}

mod sha {
    use aws_lc_rs::digest::{SHA256, digest};
    use uuid::{Builder, Uuid};

    /// A UUID (version 8, RFC 9562) out of a text.
    pub(super) fn derived(text: &str) -> Uuid {
        let hash = digest(&SHA256, text.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

const TEXT_BYTES_MAX: usize = 256;
