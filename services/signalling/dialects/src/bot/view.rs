//! `call/get`: a call as a bot sees it.

use serde::Serialize;
use sidetone_model::fold::{CallView, Fold, LegView};
use sidetone_model::party::Destination;
use utoipa::ToSchema;

use super::request::{contact_of, stream_of};

/// A call. Two of its fields are JSON inside of strings, as the product has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call {
    /// Whom the call is for: a user, a room or a number.
    destination_id: String,
    /// The stream to which the call belongs; empty when it belongs to none.
    stream_id: String,
    /// Who began it: JSON with contactId, phone and trunkId.
    originate_user_id: String,
    /// `thread-incoming` when a phone began it, `thread-outgoing` when an application did.
    type_destination: &'static str,
    /// Everybody in it: JSON, a list.
    destination_contacts: String,
}

/// Who began a call. The order of fields is the product's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Originator<'a> {
    contact_id: &'a str,
    phone: &'a str,
    trunk_id: &'a str,
}

/// Somebody who is only called: without channel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Called<'a> {
    contact_id: &'a str,
    is_mute: bool,
    is_hold: bool,
    is_me_invite: bool,
    is_extension: bool,
    answered: bool,
    is_bot: bool,
    has_originator: bool,
}

/// Somebody who talks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Talking<'a> {
    contact_id: &'a str,
    answered: bool,
    has_originator: bool,
    channel_id: String,
    is_mute: bool,
    /// Milliseconds since the Unix epoch, as text.
    created_at: String,
    is_hold: bool,
    phone: &'a str,
    trunk_id: &'a str,
    is_me_invite: bool,
    is_extension: bool,
    is_bot: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Contact<'a> {
    Called(Called<'a>),
    Talking(Talking<'a>),
}

impl Call {
    pub(crate) fn of(fold: &Fold, call: &CallView, team: &str) -> Self {
        let contacts: Vec<Contact<'_>> = fold
            .live_legs(call.call)
            .map(|leg| contact(leg, is_held(fold, leg), begins(call, leg)))
            .collect();
        Self {
            destination_id: destination_of(call),
            stream_id: stream_of(team, call).to_owned(),
            originate_user_id: originator(fold, call),
            type_destination: type_of(call),
            destination_contacts: json(&contacts),
        }
    }
}

fn contact(leg: &LegView, is_hold: bool, has_originator: bool) -> Contact<'_> {
    let contact_id = contact_of(leg);
    if leg.is_answered() {
        Contact::Talking(Talking {
            contact_id,
            answered: true,
            has_originator,
            channel_id: leg.leg.to_string(),
            is_mute: leg.muted,
            created_at: leg.created_at.as_millis().to_string(),
            is_hold,
            phone: &leg.party.number,
            trunk_id: leg.trunk.as_deref().unwrap_or_default(),
            is_me_invite: false,
            is_extension: false,
            is_bot: false,
        })
    } else {
        Contact::Called(Called {
            contact_id,
            is_mute: leg.muted,
            is_hold,
            is_me_invite: false,
            is_extension: false,
            answered: false,
            is_bot: false,
            has_originator,
        })
    }
}

/// Whether somebody is on hold: put aside in a conference, or held by the one it talks with.
pub(crate) fn is_held(fold: &Fold, leg: &LegView) -> bool {
    let peer = leg.peer.and_then(|peer| fold.leg(peer));
    leg.put_aside || peer.is_some_and(|peer| peer.held.is_some())
}

/// Whether it is the leg of whoever began the call.
fn begins(call: &CallView, leg: &LegView) -> bool {
    leg.incoming || (call.by_application && call.legs.first() == Some(&leg.leg))
}

/// Who began a call, and over which trunk, as JSON in a string.
pub(crate) fn originator(fold: &Fold, call: &CallView) -> String {
    let from = &call.from;
    let contact_id = from.user.as_ref().map_or(&*from.number, |user| user.as_str());
    let mut legs = call.legs.iter().filter_map(|leg| fold.leg(*leg));
    let trunk = legs.find(|leg| begins(call, leg)).and_then(|leg| leg.trunk.as_deref());
    json(&Originator { contact_id, phone: &from.number, trunk_id: trunk.unwrap_or_default() })
}

/// Whom a call is for.
pub(crate) fn destination_of(call: &CallView) -> String {
    let diverted = call.diverted_to.as_ref().and_then(|party| party.user.as_ref());
    match (&call.destination, diverted) {
        (_, Some(user)) | (Some(Destination::User(user) | Destination::Voicemail(user)), None) => {
            user.to_string()
        }
        (Some(Destination::Room(room)), None) => room.to_string(),
        _ => call.dialled.to_string(),
    }
}

/// Inferred: the product's documentation shows `thread-incoming` and no other.
pub(crate) fn type_of(call: &CallView) -> &'static str {
    if call.by_application { "thread-outgoing" } else { "thread-incoming" }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
