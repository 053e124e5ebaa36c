//! What an application is told of a fact: whatever events of its conversations are new, and knocks.

use serde_json::{Value, json};
use sidetone_model::conversation::{
    ConversationEvent, ConversationFact, ConversationView, EventKind, LegStatus, MemberView,
};
use sidetone_model::fact::{Fact, FactKind};
use sidetone_model::fold::{CallView, Fold, LegPhase, LegView};
use sidetone_model::ids::{ConversationId, TenantId};
use sidetone_model::time::Timestamp;
use uuid::Uuid;

use super::body::{channel, con, endpoint, media, mem, time, usr};
use crate::{Application, ApplicationKind, Emission, OrderKey, People, Projected, Recipient};

pub(crate) fn project<'a>(before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
    let tenant = &fact.tenant;
    let concerned = concerned(before, fact);
    let last: Vec<(ConversationId, Option<u32>)> = concerned
        .iter()
        .map(|of| (*of, before.conversations().get(tenant, *of).map(|view| view.last_event)))
        .collect();
    let deleted = deleted(before, fact);
    let knocked = matches!(&fact.kind, FactKind::LegEnded { leg, .. }
        if before.leg(*leg).is_some_and(|leg| leg.phase == LegPhase::Waiting));
    Box::new(move |after| {
        let mut told = Vec::new();
        for (conversation, last) in last {
            let Some(view) = after.conversations().get(tenant, conversation) else { continue };
            if last.is_none() {
                told.push(emission(view, created(view)));
            }
            let new = view.events.iter().filter(|event| last.is_none_or(|last| event.id > last));
            told.extend(new.map(|event| emission(view, render(after, tenant, view, event))));
        }
        told.extend(deleted);
        told.extend(knocks(after, fact, people, knocked));
        told.extend(recorded(after, fact, people));
        told
    })
}

/// The conversations of which a fact may tell something.
fn concerned(before: &Fold, fact: &Fact) -> Vec<ConversationId> {
    let of_call = |call| before.conversation_of(call);
    let found = match &fact.kind {
        FactKind::Conversation { fact } => match &**fact {
            // Only in snapshots: nothing happens.
            ConversationFact::MemberKept { .. } | ConversationFact::EventsKept { .. } => None,
            other => other.conversation(),
        },
        FactKind::LegRinging { leg }
        | FactKind::LegAnswered { leg }
        | FactKind::LegEnded { leg, .. }
        | FactKind::LegAudioChanged { leg, .. }
        | FactKind::LegDigit { leg, .. } => before.conversations().of_leg(*leg).map(|(of, _)| of),
        FactKind::LegHeld { leg, .. }
        | FactKind::LegRetrieved { leg }
        | FactKind::ParticipantHeld { leg, .. }
        | FactKind::ParticipantRetrieved { leg } => before.leg(*leg).and_then(|leg| of_call(leg.call)),
        FactKind::RecordingStarted { call, .. } | FactKind::PlaybackStarted { call, .. } => of_call(*call),
        FactKind::RecordingFinished { recording, .. } | FactKind::RecordingFailed { recording, .. } => {
            before.recording(*recording).and_then(|view| of_call(view.call))
        }
        FactKind::RecordingMoved { from, to, .. } | FactKind::PlaybackMoved { from, to, .. } => {
            let mut both = Vec::from_iter([*from, *to].into_iter().filter_map(of_call));
            both.dedup();
            return both;
        }
        FactKind::PlaybackFinished { playback, .. } => {
            before.playback(*playback).and_then(|view| of_call(view.call))
        }
        _ => None,
    };
    found.into_iter().collect()
}

fn emission(view: &ConversationView, body: Value) -> Emission {
    Emission {
        recipient: Recipient::Application(view.application.clone()),
        order: OrderKey::Conversation(con(view.conversation).into()),
        body,
    }
}

fn created(view: &ConversationView) -> Value {
    json!({
        "body": super::body::conversation(view),
        "application_id": &*view.application,
        "timestamp": time(view.created_at),
        "type": "conversation:created",
    })
}

fn deleted(before: &Fold, fact: &Fact) -> Option<Emission> {
    let FactKind::Conversation { fact: said } = &fact.kind else { return None };
    let ConversationFact::Deleted { conversation } = &**said else { return None };
    let view = before.conversations().get(&fact.tenant, *conversation)?;
    let body = json!({
        "body": {"id": con(*conversation), "name": &*view.name},
        "conversation_id": con(*conversation),
        "application_id": &*view.application,
        "timestamp": time(fact.at),
        "type": "conversation:deleted",
    });
    Some(emission(view, body))
}

/// An event as it is told, and as the event log shows it.
pub(crate) fn render(
    fold: &Fold,
    tenant: &TenantId,
    view: &ConversationView,
    event: &ConversationEvent,
) -> Value {
    let (r#type, body) = (type_of(event), body_of(fold, tenant, view, event));
    let mut told = json!({
        "conversation_id": con(view.conversation),
        "body": body,
        "id": event.id,
        "application_id": &*view.application,
        "timestamp": time(event.at),
        "type": r#type,
    });
    if let Some(member) = event.member {
        told["from"] = json!(mem(member));
    }
    told
}

pub(crate) fn type_of(event: &ConversationEvent) -> &str {
    match event.kind {
        EventKind::Updated => "conversation:updated",
        EventKind::MemberInvited => "member:invited",
        EventKind::MemberJoined => "member:joined",
        EventKind::MemberLeft => "member:left",
        EventKind::MemberMedia => "member:media",
        EventKind::LegStatus => "leg:status:update",
        EventKind::SipRinging => "sip:ringing",
        EventKind::SipAnswered => "sip:answered",
        EventKind::SipHangup => "sip:hangup",
        EventKind::MuteOn => "audio:mute:on",
        EventKind::MuteOff => "audio:mute:off",
        EventKind::EarmuffOn => "audio:earmuff:on",
        EventKind::EarmuffOff => "audio:earmuff:off",
        EventKind::Dtmf => "audio:dtmf",
        EventKind::Record => "audio:record",
        EventKind::RecordStop => "audio:record:stop",
        EventKind::RecordDone => "audio:record:done",
        EventKind::Play => "audio:play",
        EventKind::PlayStop => "audio:play:stop",
        EventKind::PlayDone => "audio:play:done",
        EventKind::RingingStart => "audio:ringing:start",
        EventKind::RingingStop => "audio:ringing:stop",
        EventKind::Custom => &event.text,
    }
}

fn body_of(fold: &Fold, tenant: &TenantId, view: &ConversationView, event: &ConversationEvent) -> Value {
    let member = event.member.and_then(|member| view.member(member));
    match (event.kind, member) {
        (EventKind::MemberInvited | EventKind::MemberJoined | EventKind::MemberLeft, Some(member)) => {
            let person = fold.conversations().person(tenant, member.person);
            member_body(view, event, member, person.map_or("", |person| &person.name))
        }
        (EventKind::LegStatus, Some(member)) => leg_status_body(view, event, member),
        (EventKind::SipRinging | EventKind::SipAnswered | EventKind::SipHangup, Some(member)) => {
            sip_body(event, member)
        }
        (EventKind::MemberMedia, Some(member)) => {
            let mut flags = event.text.bytes().map(|flag| flag == b'1');
            let mut flag = || flags.next().unwrap_or(false);
            let heard = media(true, flag(), flag(), flag());
            json!({"media": heard, "user": {"member_id": mem(member.member), "user_id": usr(member.person)}})
        }
        (EventKind::Dtmf, _) => json!({"digit": &*event.text, "channel": {"type": "phone"}}),
        (EventKind::Record | EventKind::RecordStop | EventKind::RecordDone, _) => {
            json!({"recording_id": &*event.text})
        }
        (
            EventKind::Play
            | EventKind::PlayStop
            | EventKind::PlayDone
            | EventKind::RingingStart
            | EventKind::RingingStop,
            _,
        ) => json!({"play_id": &*event.text}),
        (EventKind::Custom, _) => serde_json::from_str(&event.body).unwrap_or_default(),
        (EventKind::Updated, _) => super::body::conversation(view),
        _ => json!({"user": event.member.map(|member| json!({"member_id": mem(member)}))}),
    }
}

/// Somebody was asked in, came or left. `name` is the user's.
fn member_body(view: &ConversationView, event: &ConversationEvent, member: &MemberView, name: &str) -> Value {
    let heard = media(event.kind == EventKind::MemberJoined, false, false, false);
    let (status, when) = match event.kind {
        EventKind::MemberInvited => (LegStatus::Started, json!({"invited": time(member.invited_at)})),
        EventKind::MemberJoined => {
            (LegStatus::Answered, json!({"invited": time(member.invited_at), "joined": time(event.at)}))
        }
        _ => (
            status_before(view, event, member),
            json!({"invited": time(member.invited_at), "left": time(event.at)}),
        ),
    };
    let mut channel = channel(member, status);
    if let Some(leg) = event.leg {
        let leg = leg.to_string();
        channel["id"] = json!(leg);
        channel["legs"] = json!([{"leg_id": leg, "status": status.name()}]);
        channel["leg_ids"] = json!([leg]);
    }
    let mut body = json!({
        "cname": &*view.name,
        "conversation": {"conversation_id": con(view.conversation), "name": &*view.name},
        "invited_by": usr(member.person),
        "user": {
            "member_id": mem(member.member), "user_id": usr(member.person), "name": name,
            "media": heard.clone(),
        },
        "channel": channel,
        "media": heard,
        "timestamp": when,
        "initiator": {"invited": {"isSystem": true}},
    });
    if event.kind == EventKind::MemberLeft {
        body["reason"] = json!({"text": &*event.text});
    }
    body
}

/// How far a member's leg is, and how far it was before.
fn leg_status_body(view: &ConversationView, event: &ConversationEvent, member: &MemberView) -> Value {
    let count: usize = event.text.parse().unwrap_or(0);
    let history = member.statuses.iter().take(count).map(|(status, at)| {
        json!({
            "status": status.name(), "date": time(*at),
            "member_id": mem(member.member), "conversation_id": con(view.conversation),
        })
    });
    let history: Vec<Value> = history.collect();
    json!({
        "leg_id": event.leg.map(|leg| leg.to_string()),
        "type": "phone",
        "direction": direction(member.knocked),
        "status": history.last().map(|last| last["status"].clone()),
        "statusHistory": history,
    })
}

/// What became of a member's leg, as SIP has it.
fn sip_body(event: &ConversationEvent, member: &MemberView) -> Value {
    let mut body = json!({
        "direction": direction(member.knocked),
        "channel": {
            "id": event.leg.map(|leg| leg.to_string()), "type": "phone",
            "to": endpoint(&member.to), "from": endpoint(&member.from),
        },
    });
    if event.kind == EventKind::SipHangup {
        body["reason"] = json!({"text": &*event.text});
    }
    body
}

/// The status of a member's leg when something happened, as far as it was told before: the log shows later what the webhook
/// said then.
fn status_before(view: &ConversationView, event: &ConversationEvent, member: &MemberView) -> LegStatus {
    let told = |one: &&ConversationEvent| {
        one.id < event.id && one.kind == EventKind::LegStatus && one.member == event.member
    };
    let count = view.events.iter().rev().find(told).and_then(|told| told.text.parse::<usize>().ok());
    let (status, _) = count
        .and_then(|count| member.statuses.get(count.checked_sub(1)?))
        .or(member.statuses.last())
        .copied()
        .unwrap_or((LegStatus::Completed, event.at));
    status
}

fn direction(knocked: bool) -> &'static str {
    if knocked { "inbound" } else { "outbound" }
}

/// A recording can be fetched, told to the address that its application gave for that (Voice API, webhook reference).
fn recorded(after: &Fold, fact: &Fact, people: &dyn People) -> Option<Emission> {
    let (recording, duration_ms, size_bytes) = match &fact.kind {
        FactKind::RecordingFinished { recording, duration_ms, size_bytes, .. } => {
            (recording, duration_ms, size_bytes)
        }
        FactKind::RecordingFailed { recording, kept: Some(kept), .. } => {
            (recording, &kept.duration_ms, &kept.size_bytes)
        }
        _ => return None,
    };
    let view = after.recording(*recording)?;
    let callback = view.callback.as_deref()?;
    // It was complete when the last of it was written.
    let began = Timestamp::from_millis(fact.at.as_millis().saturating_sub(*duration_ms));
    let body = json!({
        "recording_url": format!("{}/v1/files/{recording}", people.base_url()),
        "recording_uuid": recording.to_string(),
        "conversation_uuid": after.conversation_of(view.call).map(con),
        "start_time": time(began),
        "end_time": time(fact.at),
        "size": size_bytes,
        "timestamp": time(fact.at),
    });
    let recipient = Recipient::Callback(callback.clone());
    Some(Emission { recipient, order: OrderKey::Recording(*recording), body })
}

/// A caller waits, or waits no more without having been let in.
fn knocks(after: &Fold, fact: &Fact, people: &dyn People, gave_up: bool) -> Vec<Emission> {
    let (leg, types): (_, &[&str]) = match &fact.kind {
        FactKind::LegWaiting { leg } => (*leg, &["app:knocking", "sip:ringing"]),
        FactKind::LegEnded { leg, .. } if gave_up => (*leg, &["app:knocking:cancel", "sip:hangup"]),
        _ => return Vec::new(),
    };
    let Some((leg, call)) = after.leg(leg).and_then(|leg| Some((leg, after.call(leg.call)?))) else {
        return Vec::new();
    };
    let all = people.applications(&fact.tenant).into_iter();
    let conversations = all.filter(|application| application.kind == ApplicationKind::Conversation);
    let own = conversations.filter(|application| application.is_knocked_at(&call.dialled));
    own.flat_map(|application| {
        let told = types.iter().map(move |r#type| knock(&application, leg, call, r#type, fact.at));
        told.collect::<Vec<_>>()
    })
    .collect()
}

fn knock(application: &Application, leg: &LegView, call: &CallView, r#type: &str, at: Timestamp) -> Emission {
    let headers: serde_json::Map<String, Value> =
        call.headers.iter().map(|(name, value)| (name.to_string(), json!(&**value))).collect();
    let channel = json!({
        "type": "phone",
        "to": endpoint(&call.dialled),
        "from": endpoint(&leg.party.number),
        "id": leg.leg.as_uuid().simple().to_string(),
        "headers": headers,
        "legs": [],
        "leg_ids": [],
    });
    let body = if r#type.starts_with("app:") {
        json!({"user": {"id": format!("USR-{}", caller(&leg.party.number))}, "channel": channel})
    } else {
        json!({"direction": "inbound", "channel": channel})
    };
    Emission {
        recipient: Recipient::Application(application.id.clone()),
        order: OrderKey::Call(leg.call),
        body: json!({
            "application_id": &*application.id,
            "from": format!("knocker:{}", leg.leg),
            "body": body,
            "timestamp": time(at),
            "type": r#type,
        }),
    }
}

/// A caller is the same user for every call from the same number.
fn caller(number: &str) -> Uuid {
    use aws_lc_rs::digest::{SHA256, digest};
    let hash = digest(&SHA256, number.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
