//! Conversations, members and legs in the product's JSON.

use jiff::Timestamp as Moment;
use serde_json::{Value, json};
use sidetone_model::conversation::{ConversationView, LegStatus, MemberState, MemberView, PersonView};
use sidetone_model::ids::{ConversationId, MemberId, PersonId};
use sidetone_model::time::Timestamp;

pub(crate) fn con(id: ConversationId) -> String {
    format!("CON-{id}")
}

pub(crate) fn mem(id: MemberId) -> String {
    format!("MEM-{id}")
}

pub(crate) fn usr(id: PersonId) -> String {
    format!("USR-{id}")
}

/// ISO 8601 in UTC with milliseconds.
pub(crate) fn time(at: Timestamp) -> String {
    let moment = i64::try_from(at.as_millis()).ok().and_then(|ms| Moment::from_millisecond(ms).ok());
    moment.map_or_else(String::new, |moment| format!("{moment:.3}"))
}

pub(crate) fn conversation(view: &ConversationView) -> Value {
    let mut body = json!({
        "id": con(view.conversation),
        "name": &*view.name,
        "timestamp": {"created": time(view.created_at)},
        "state": "ACTIVE",
    });
    if !view.display_name.is_empty() {
        body["display_name"] = json!(&*view.display_name);
    }
    body
}

pub(crate) fn person(view: &PersonView) -> Value {
    let mut body = json!({
        "id": usr(view.person),
        "name": &*view.name,
        "timestamp": {"created": time(view.created_at)},
    });
    if !view.display_name.is_empty() {
        body["display_name"] = json!(&*view.display_name);
    }
    body
}

/// What is heard of and by somebody: nothing before the answer.
pub(crate) fn media(enabled: bool, muted: bool, earmuffed: bool, held: bool) -> Value {
    let hears = enabled && !held;
    json!({
        "audio_settings": {"enabled": hears, "earmuffed": earmuffed, "muted": muted},
        "audio": hears,
    })
}

pub(crate) fn endpoint(number: &str) -> Value {
    json!({"type": "phone", "number": number})
}

/// The channel of a member: its id is that of its leg, which is the first.
pub(crate) fn channel(view: &MemberView, status: LegStatus) -> Value {
    let leg = view.leg.map(|leg| leg.to_string());
    let legs: Vec<Value> = leg.iter().map(|leg| json!({"leg_id": leg, "status": status.name()})).collect();
    json!({
        "type": "phone",
        "id": leg,
        "from": endpoint(&view.from),
        "to": endpoint(&view.to),
        "legs": legs,
        "leg_ids": leg.iter().collect::<Vec<_>>(),
    })
}

pub(crate) fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Invited => "invited",
        MemberState::Joined => "joined",
        MemberState::Left => "left",
    }
}

pub(crate) fn member(of: &ConversationView, view: &MemberView, name: &str) -> Value {
    let mut timestamp = json!({"invited": time(view.invited_at)});
    for (key, at) in [("joined", view.joined_at), ("left", view.left_at)] {
        if let Some(at) = at {
            timestamp[key] = json!(time(at));
        }
    }
    let status = view.statuses.last().map_or(LegStatus::Started, |(status, _)| *status);
    json!({
        "id": mem(view.member),
        "conversation_id": con(of.conversation),
        "user_id": usr(view.person),
        "name": name,
        "state": state(view.state),
        "timestamp": timestamp,
        "channel": channel(view, status),
        "media": media(view.state == MemberState::Joined, view.muted, view.earmuffed, view.held),
        "initiator": {"invited": {"isSystem": true}},
    })
}
