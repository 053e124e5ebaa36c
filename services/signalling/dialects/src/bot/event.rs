//! The events of a team's webhook, field by field.

use serde::Serialize;
use serde_json::Value;
use sidetone_model::fold::{CallView, Fold, LegView};

use super::request::{contact_of, stream_of, thread_of};
use super::view::{destination_of, originator, type_of};

/// What every event begins with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    team_id: &'a str,
    event_type: &'static str,
    stream_id: &'a str,
    thread_id: Box<str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    originate_user_id: String,
    destination_id: String,
    r#type: &'static str,
    /// Milliseconds since the Unix epoch.
    created_at: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Member<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    user_id: &'a str,
    phone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dtmf_number: Option<String>,
}

fn head<'a>(team: &'a str, event_type: &'static str, call: &'a CallView) -> Head<'a> {
    Head { team_id: team, event_type, stream_id: stream_of(team, call), thread_id: thread_of(team, call) }
}

pub(crate) fn created(team: &str, fold: &Fold, call: &CallView) -> Value {
    value(&Created {
        head: head(team, "Call.created", call),
        originate_user_id: originator(fold, call),
        destination_id: destination_of(call),
        r#type: type_of(call),
        created_at: call.created_at.as_millis(),
    })
}

pub(crate) fn ended(team: &str, call: &CallView) -> Value {
    value(&head(team, "Call.ended", call))
}

/// What became of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    Invited,
    InviteEnded { answered: bool },
    Left,
    Held,
    Unheld,
    Digit(char),
}

pub(crate) fn member(team: &str, call: &CallView, leg: &LegView, happened: Happened) -> Value {
    let event_type = match happened {
        Happened::Invited => "Call.Member.invited",
        Happened::InviteEnded { .. } => "Call.Member.Invite.ended",
        Happened::Left => "Call.Member.leaved",
        Happened::Held => "Call.Member.held",
        Happened::Unheld => "Call.Member.unheld",
        Happened::Digit(_) => "Call.Member.dtmf",
    };
    let answered = match happened {
        Happened::InviteEnded { answered } => Some(answered),
        _ => None,
    };
    let dtmf_number = match happened {
        Happened::Digit(digit) => Some(digit.to_string()),
        _ => None,
    };
    value(&Member {
        head: head(team, event_type, call),
        user_id: contact_of(leg),
        phone: &leg.party.number,
        answered,
        dtmf_number,
    })
}

fn value(event: &impl Serialize) -> Value {
    serde_json::to_value(event).unwrap_or_default()
}
