//! What a dialect wants told to somebody.

use sidetone_model::callback::Callback;
use sidetone_model::ids::{CallId, RecordingId, UserId};

/// One event in a dialect's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// Who is to be told.
    pub recipient: Recipient,
    /// Emissions with the same key reach a recipient in their order.
    pub order: OrderKey,
    /// The event.
    pub body: serde_json::Value,
}

/// Somebody of the fact's tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recipient {
    /// A user, by way of the user's subscriptions.
    User(UserId),
    /// An application or a team, by the webhook in its directory record.
    Application(Box<str>),
    /// An application at an address that it gave for this one thing.
    Callback(Callback),
}

/// Within what an order is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderKey {
    /// A call.
    Call(CallId),
    /// A user or one of the user's devices.
    User(UserId),
    /// A conversation, by its id.
    Conversation(Box<str>),
    /// A recording.
    Recording(RecordingId),
}
