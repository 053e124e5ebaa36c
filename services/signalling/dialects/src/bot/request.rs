//! What bots ask, as forgiving as the product is: unknown fields are left alone, numbers may be texts.

use serde_json::{Map, Value};
use sidetone_model::call::ExternalRef;
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::{CallView, Fold, LegView};
use sidetone_model::ids::{CallId, UserId};
use sidetone_model::party::Party;
use uuid::Uuid;

use super::NAME;
use super::answer::Failure;
use super::auth::Asked;
use crate::look;

/// Somebody that a request names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contact {
    pub(crate) contact: Option<Box<str>>,
    pub(crate) phone: Option<Box<str>>,
}

/// What a request calls the call that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    key: Box<str>,
    /// It is the key of a stream.
    of_stream: bool,
}

impl Thread {
    const FIELD: &str = "threadId";
    const STREAM: &str = "streamId";

    fn field(&self) -> &'static str {
        if self.of_stream { Self::STREAM } else { Self::FIELD }
    }

    /// The dialect of names of its kind.
    fn dialect(&self) -> &'static str {
        if self.of_stream { STREAM } else { NAME }
    }

    /// The name under which a team's bot knows a call. Threads of two teams are two, whatever they are called.
    pub(crate) fn of_team(&self, team: &str) -> ExternalRef {
        ExternalRef { dialect: format!("{}/{team}", self.dialect()).into(), key: self.key.clone() }
    }

    /// A name that somebody else has given to a call for bots: it is every team's whose call it is.
    fn shared(&self) -> ExternalRef {
        ExternalRef { dialect: self.dialect().into(), key: self.key.clone() }
    }

    pub(crate) fn has_no_call(&self) -> Failure {
        Failure::not_found(self.field(), "there is no call of this name")
    }
}

impl Asked {
    /// The call's name: the thread, or without one the stream to which it belongs.
    pub(crate) fn thread(&self) -> Result<Thread, Failure> {
        let (key, of_stream) = match text(&self.body, Thread::FIELD)? {
            Some(key) => (key, false),
            None => (text(&self.body, Thread::STREAM)?.ok_or_else(|| missing(Thread::FIELD))?, true),
        };
        let thread = Thread { key, of_stream };
        if thread.key.len() > THREAD_BYTES_MAX {
            return Err(Failure::invalid(thread.field(), "it is longer than 256 bytes"));
        }
        Ok(thread)
    }

    pub(crate) fn contact(&self) -> Result<Contact, Failure> {
        Contact::read(&self.body)
    }

    /// The contacts of an invitation: one by itself or several in a list.
    pub(crate) fn contacts(&self) -> Result<Vec<Contact>, Failure> {
        let one = self.contact()?;
        let many = match self.body.get("userIds") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(many)) => many.iter().map(Contact::of_element).collect::<Result<_, _>>()?,
            Some(_) => return Err(Failure::invalid("userIds", "expected a list")),
        };
        if many.len() > CONTACTS_MAX {
            return Err(Failure::invalid("userIds", "more than 64"));
        }
        match (one.contact.is_some(), many.is_empty()) {
            (true, true) => Ok(vec![one]),
            (false, false) => Ok(many),
            (true, false) => Err(Failure::invalid("userIds", "either contactId or userIds is expected")),
            (false, true) => Err(Failure::invalid("contactId", "contactId or userIds is needed")),
        }
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<Box<str>>, Failure> {
        text(&self.body, field)
    }

    pub(crate) fn flag(&self, field: &str) -> Result<bool, Failure> {
        match self.body.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Failure::invalid(field, "expected true or false")),
        }
    }

    /// Looks at what there is.
    pub(crate) fn see<T>(&self, see: impl FnOnce(&Fold) -> Result<T, Failure>) -> Result<T, Failure> {
        let seen = look(&*self.state.door, &self.tenant, see);
        seen.unwrap_or_else(|| Err(Failure::state("the calls of the team cannot be seen now")))
    }

    /// What the request has done already; none when it is new.
    pub(crate) async fn done_before(&self) -> Option<CommandSubject> {
        self.state.door.done_before(&self.tenant, &self.key).await
    }

    /// Looks at the live call of the request's thread.
    pub(crate) fn on_call<T>(
        &self,
        see: impl FnOnce(&Fold, &CallView) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let thread = self.thread()?;
        self.see(|fold| {
            let call = call_of(fold, self, &thread).ok_or_else(|| thread.has_no_call())?;
            see(fold, call)
        })
    }

    /// Carries out a command of the request; `n` tells several of one request apart.
    pub(crate) async fn execute(&self, n: usize, kind: CallCommandKind) -> Result<CommandSubject, Failure> {
        let key = if n == 0 { self.key.clone() } else { format!("{}.{n}", self.key).into() };
        Ok(self.state.door.execute(CallCommand { tenant: self.tenant.clone(), key, kind }).await?)
    }

    /// Carries out a request's commands on things that are there no more when they are done. Each is known by what it is about;
    /// the last has the request's own key, which is done with when all are.
    pub(crate) async fn execute_all<T: std::fmt::Display>(
        &self,
        commands: Vec<(T, CallCommandKind)>,
    ) -> Result<(), Failure> {
        let last = commands.len().saturating_sub(1);
        for (n, (about, kind)) in commands.into_iter().enumerate() {
            let key = if n == last { self.key.clone() } else { format!("{}.{about}", self.key).into() };
            self.state.door.execute(CallCommand { tenant: self.tenant.clone(), key, kind }).await?;
        }
        Ok(())
    }
}

impl Contact {
    fn read(object: &Map<String, Value>) -> Result<Self, Failure> {
        let contact = match text(object, "contactId")? {
            Some(contact) => Some(contact),
            None => text(object, "userId")?,
        };
        let phone = match object.get("phone") {
            Some(Value::Number(phone)) => Some(phone.to_string().into()),
            _ => text(object, "phone")?,
        };
        if phone.as_deref().is_some_and(|phone: &str| phone.len() > PHONE_BYTES_MAX) {
            return Err(Failure::invalid("phone", "it is longer than 64 characters"));
        }
        Ok(Self { contact, phone })
    }

    fn of_element(element: &Value) -> Result<Self, Failure> {
        let object = element.as_object().ok_or_else(|| Failure::invalid("userIds", "expected objects"))?;
        let contact = Self::read(object)?;
        if contact.contact.is_none() {
            return Err(Failure::invalid("userIds", "one is without contactId"));
        }
        Ok(contact)
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.contact.is_none() && self.phone.is_none()
    }

    /// Whether a leg is this contact's.
    pub(crate) fn is(&self, leg: &LegView) -> bool {
        let contact = self.contact.as_deref().is_none_or(|contact| contact == contact_of(leg));
        let phone = self.phone.as_deref().is_none_or(|phone| digits(phone) == digits(&leg.party.number));
        contact && phone
    }

    /// The contact's leg in a call: one that talks rather than one that rings.
    pub(crate) fn leg_in<'a>(&self, fold: &'a Fold, call: &CallView) -> Result<&'a LegView, Failure> {
        let legs = || fold.live_legs(call.call).filter(|leg| self.is(leg));
        let found = legs().find(|leg| leg.is_answered()).or_else(|| legs().next());
        found.ok_or_else(|| Failure::not_found(self.field(), "nobody of that name is in the call"))
    }

    pub(crate) fn field(&self) -> &'static str {
        if self.contact.is_some() { "contactId" } else { "phone" }
    }
}

/// Under which id the far end of a leg is known: the name under which it was asked in, the user's, or the number.
pub(crate) fn contact_of(leg: &LegView) -> &str {
    let Party { user, number, contact, .. } = &leg.party;
    if contact.is_empty() { user.as_ref().map_or(&**number, UserId::as_str) } else { contact }
}

/// The thread of a call as a team knows it: its bot's key, one for all, or the call's own id.
pub(crate) fn thread_of(team: &str, call: &CallView) -> Box<str> {
    match named(NAME, team, call) {
        Some(key) => key.into(),
        None => call.call.as_uuid().simple().to_string().into(),
    }
}

/// The stream of a call as a team knows it, when a client has named one; else empty.
pub(crate) fn stream_of<'a>(team: &str, call: &'a CallView) -> &'a str {
    named(STREAM, team, call).unwrap_or_default()
}

/// The team's own name for a call, or the one for all.
fn named<'a>(dialect: &str, team: &str, call: &'a CallView) -> Option<&'a str> {
    let of_team = |external: &&ExternalRef| {
        external.dialect.strip_prefix(dialect).and_then(|rest| rest.strip_prefix('/')) == Some(team)
    };
    let own = call.externals.iter().find(of_team);
    let found = own.or_else(|| call.externals.iter().find(|external| *external.dialect == *dialect));
    found.map(|external| &*external.key)
}

/// The live call of a thread.
pub(crate) fn call_of<'a>(fold: &'a Fold, asked: &Asked, thread: &Thread) -> Option<&'a CallView> {
    let own = fold.call_by_external(&asked.tenant, &thread.of_team(&asked.team.application));
    let others = || {
        let shared = fold.call_by_external(&asked.tenant, &thread.shared());
        shared.or_else(|| call_by_id(fold, asked, thread).filter(|call| call.ended.is_none()))
    };
    own.or_else(|| others().filter(|call| is_of_team(asked, call)))
}

/// The call of a thread that ended last. Looked for among all that are not forgotten yet: only where no live one will do.
pub(crate) fn ended_call_of<'a>(fold: &'a Fold, asked: &Asked, thread: &Thread) -> Option<&'a CallView> {
    let (own, shared) = (thread.of_team(&asked.team.application), thread.shared());
    let is_named = |call: &&CallView| {
        let own = call.externals.contains(&own);
        call.tenant == asked.tenant && (own || (call.externals.contains(&shared) && is_of_team(asked, call)))
    };
    let by_id = || call_by_id(fold, asked, thread).filter(|call| is_of_team(asked, call));
    let ended = fold.calls().filter(|call| call.ended.is_some());
    ended.filter(is_named).last().or_else(by_id)
}

fn call_by_id<'a>(fold: &'a Fold, asked: &Asked, thread: &Thread) -> Option<&'a CallView> {
    let key = Some(&thread.key).filter(|_| !thread.of_stream)?;
    let call = fold.call(CallId::from(Uuid::try_parse(key).ok()?))?;
    (call.tenant == asked.tenant).then_some(call)
}

/// Whether a call is from or to a number of the team; without any, all calls of the tenant are.
fn is_of_team(asked: &Asked, call: &CallView) -> bool {
    let numbers = &asked.team.numbers;
    let own = |number: &str| numbers.iter().any(|known| known == number);
    numbers.is_empty() || own(&call.from.number) || own(&call.dialled)
}

fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

fn text(object: &Map<String, Value>, field: &str) -> Result<Option<Box<str>>, Failure> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(Failure::invalid(field, "it is empty")),
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            Err(Failure::invalid(field, "it has control characters"))
        }
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(_) => Err(Failure::invalid(field, "expected a text")),
    }
}

fn missing(field: &str) -> Failure {
    Failure::invalid(field, "it is missing")
}

/// The dialect of the names of streams.
const STREAM: &str = "bot-stream";
const THREAD_BYTES_MAX: usize = 256;
const PHONE_BYTES_MAX: usize = 64;
const CONTACTS_MAX: usize = 64;
