//! What applications ask.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};
use sha::derived;
use sidetone_model::call::ExternalRef;
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::conversation::{CALLS, ConversationCommand, ConversationView, PersonView};
use sidetone_model::fact::CommandSubject;
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
        self.carry_out(which, kind).await.map(drop)
    }

    /// Carries out a command: what it made or acted upon. `which` tells several commands of one request apart.
    pub(crate) async fn carry_out(
        &self,
        which: &str,
        kind: CallCommandKind,
    ) -> Result<CommandSubject, Failure> {
        let key = format!("{}{which}", self.key).into();
        Ok(self.state.door.execute(CallCommand { tenant: self.tenant.clone(), key, kind }).await?)
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
        look(&*self.state.door, &self.tenant, see).unwrap_or_else(|| Err(Failure::behind()))
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

/// One page of a list: `page_size` (10, at most 100), `cursor` (what the page before gave), `order`. `K` is what the list is
/// ordered by, and what cursors are made of: a page goes on behind a cursor whether or not its item is still there.
pub(crate) struct Page<K> {
    pub(crate) size: usize,
    cursor: Option<K>,
    descending: bool,
}

/// What one page shows, and what the next one goes on behind.
pub(crate) struct Cut<K> {
    pub(crate) keys: Vec<K>,
    pub(crate) next: Option<K>,
}

impl<K: Ord + Copy + FromStr> Page<K> {
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
        let cursor = text(query, "cursor")?.map(|cursor| {
            cursor.parse().map_err(|_| Failure::invalid("cursor", "expected what the page before gave"))
        });
        Ok(Self { size: size as usize, cursor: cursor.transpose()?, descending })
    }

    /// The page's keys out of all, in whatever order those come: no more than a page is held at any time.
    pub(crate) fn cut(&self, all: impl Iterator<Item = K>) -> Cut<K> {
        let mut page = BTreeSet::new();
        let is_behind = |key: &K| match &self.cursor {
            Some(cursor) if self.descending => key < cursor,
            Some(cursor) => key > cursor,
            None => true,
        };
        for key in all.filter(is_behind) {
            page.insert(key);
            if page.len() > self.size + 1 {
                if self.descending {
                    page.pop_first()
                } else {
                    page.pop_last()
                };
            }
        }
        let mut keys: Vec<K> =
            if self.descending { page.into_iter().rev().collect() } else { page.into_iter().collect() };
        let more = keys.len() > self.size;
        keys.truncate(self.size);
        Cut { next: keys.last().copied().filter(|_| more), keys }
    }
}

impl<K: fmt::Display> Cut<K> {
    /// The answer: the items under their name, and the way to the next page.
    pub(crate) fn answer(&self, size: usize, name: &str, items: Vec<Value>) -> Value {
        json!({
            "page_size": size,
            "_embedded": {name: items},
            "_links": {"next": self.next.as_ref().map(|cursor| json!({"cursor": cursor.to_string()}))},
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: Value) -> Result<Page<u32>, Failure> {
        Page::of(query.as_object().unwrap())
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended_although_that_item_is_gone() {
        let first = page(json!({"page_size": "3"})).unwrap().cut([9, 1, 5, 3, 7].into_iter());
        assert_eq!((first.keys, first.next), (vec![1, 3, 5], Some(5)));
        let rest = page(json!({"page_size": "3", "cursor": "5"})).unwrap().cut([9, 1, 3, 7].into_iter());
        assert_eq!((rest.keys, rest.next), (vec![7, 9], None));
        let back = page(json!({"page_size": "2", "cursor": "5", "order": "desc"})).unwrap();
        let back = back.cut([9, 1, 2, 3, 7].into_iter());
        assert_eq!((back.keys, back.next), (vec![3, 2], Some(2)));
        let whole = page(json!({"page_size": "2"})).unwrap().cut([1, 2].into_iter());
        assert_eq!((whole.keys, whole.next), (vec![1, 2], None), "nothing follows a page that is just full");
    }

    #[test]
    fn a_cursor_that_no_page_gave_is_refused() {
        let refused = page(json!({"cursor": "nonsense"})).map(drop);
        assert_eq!(refused, Err(Failure::invalid("cursor", "expected what the page before gave")));
    }
}
