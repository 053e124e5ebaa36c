//! Conversations in `sidetone.events.v1`.

use sidetone_proto::events::v1 as pb;

use super::{WireError, id, kind, optional_id};
use crate::conversation::{
    ConversationEvent, ConversationFact, EventKind, LegStatus, MemberState, MemberView,
};
use crate::ids::{ConversationId, LegId};
use crate::time::Timestamp;

impl From<&ConversationFact> for pb::ConversationFact {
    fn from(value: &ConversationFact) -> Self {
        Self { kind: Some(to_kind(value)) }
    }
}

fn to_kind(value: &ConversationFact) -> pb::conversation_fact::Kind {
    use pb::conversation_fact::Kind;
    match value {
        ConversationFact::PersonPut { person, application, name, display_name } => {
            Kind::PersonPut(pb::PersonPut {
                person_id: person.to_string(),
                application: text(application),
                name: text(name),
                display_name: text(display_name),
            })
        }
        ConversationFact::PersonDeleted { person } => {
            Kind::PersonDeleted(pb::PersonDeleted { person_id: person.to_string() })
        }
        ConversationFact::Put { conversation, application, name, display_name } => {
            Kind::Put(pb::ConversationPut {
                conversation_id: conversation.to_string(),
                application: text(application),
                name: text(name),
                display_name: text(display_name),
            })
        }
        ConversationFact::Deleted { conversation } => {
            Kind::Deleted(pb::ConversationDeleted { conversation_id: conversation.to_string() })
        }
        ConversationFact::MemberInvited { conversation, member, person, from, to, legs, knocked } => {
            Kind::MemberInvited(pb::MemberInvited {
                conversation_id: conversation.to_string(),
                member_id: member.to_string(),
                person_id: person.to_string(),
                from: text(from),
                to: text(to),
                leg_ids: legs.iter().map(ToString::to_string).collect(),
                knocked: *knocked,
            })
        }
        ConversationFact::MemberLeft { conversation, member } => Kind::MemberLeft(pb::MemberLeft {
            conversation_id: conversation.to_string(),
            member_id: member.to_string(),
        }),
        ConversationFact::EventPosted { conversation, member, r#type, body } => {
            Kind::EventPosted(pb::ConversationEventPosted {
                conversation_id: conversation.to_string(),
                member_id: super::optional_text(member.as_ref()),
                r#type: text(r#type),
                body: text(body),
            })
        }
        ConversationFact::EventDeleted { conversation, event } => {
            let conversation_id = conversation.to_string();
            Kind::EventDeleted(pb::ConversationEventDeleted { conversation_id, event: *event })
        }
        ConversationFact::MemberKept { conversation, member } => {
            Kind::MemberKept(to_member(*conversation, member))
        }
        ConversationFact::EventsKept { conversation, last, events } => Kind::EventsKept(pb::EventsKept {
            conversation_id: conversation.to_string(),
            last: *last,
            events: events.iter().map(Into::into).collect(),
        }),
    }
}

fn to_member(conversation: ConversationId, value: &MemberView) -> pb::MemberKept {
    pb::MemberKept {
        conversation_id: conversation.to_string(),
        member_id: value.member.to_string(),
        person_id: value.person.to_string(),
        state: state_name(value.state).to_owned(),
        from: text(&value.from),
        to: text(&value.to),
        leg_id: super::optional_text(value.leg.as_ref()),
        leg_ids: value.legs.iter().map(ToString::to_string).collect(),
        knocked: value.knocked,
        statuses: value
            .statuses
            .iter()
            .map(|(status, at)| pb::LegStatusAt {
                status: status.name().to_owned(),
                at_unix_ms: at.as_millis(),
            })
            .collect(),
        muted: value.muted,
        earmuffed: value.earmuffed,
        held: value.held,
        invited_unix_ms: value.invited_at.as_millis(),
        joined_unix_ms: value.joined_at.map(Timestamp::as_millis),
        left_unix_ms: value.left_at.map(Timestamp::as_millis),
    }
}

impl From<&ConversationEvent> for pb::ConversationEvent {
    fn from(value: &ConversationEvent) -> Self {
        Self {
            id: value.id,
            at_unix_ms: value.at.as_millis(),
            kind: value.kind.name().to_owned(),
            member_id: super::optional_text(value.member.as_ref()),
            leg_id: super::optional_text(value.leg.as_ref()),
            text: text(&value.text),
            body: text(&value.body),
        }
    }
}

impl TryFrom<pb::ConversationFact> for ConversationFact {
    type Error = WireError;
    fn try_from(value: pb::ConversationFact) -> Result<Self, WireError> {
        use pb::conversation_fact::Kind;
        Ok(match kind("ConversationFact.kind", value.kind)? {
            Kind::PersonPut(it) => Self::PersonPut {
                person: id("PersonPut.person_id", &it.person_id)?,
                application: it.application.into(),
                name: it.name.into(),
                display_name: it.display_name.into(),
            },
            Kind::PersonDeleted(it) => {
                Self::PersonDeleted { person: id("PersonDeleted.person_id", &it.person_id)? }
            }
            Kind::Put(it) => Self::Put {
                conversation: conversation(&it.conversation_id)?,
                application: it.application.into(),
                name: it.name.into(),
                display_name: it.display_name.into(),
            },
            Kind::Deleted(it) => Self::Deleted { conversation: conversation(&it.conversation_id)? },
            Kind::MemberInvited(it) => Self::MemberInvited {
                conversation: conversation(&it.conversation_id)?,
                member: id("MemberInvited.member_id", &it.member_id)?,
                person: id("MemberInvited.person_id", &it.person_id)?,
                from: it.from.into(),
                to: it.to.into(),
                legs: legs(&it.leg_ids)?,
                knocked: it.knocked,
            },
            Kind::MemberLeft(it) => Self::MemberLeft {
                conversation: conversation(&it.conversation_id)?,
                member: id("MemberLeft.member_id", &it.member_id)?,
            },
            Kind::EventPosted(it) => Self::EventPosted {
                conversation: conversation(&it.conversation_id)?,
                member: optional_id("ConversationEventPosted.member_id", &it.member_id)?,
                r#type: it.r#type.into(),
                body: it.body.into(),
            },
            Kind::EventDeleted(it) => {
                Self::EventDeleted { conversation: conversation(&it.conversation_id)?, event: it.event }
            }
            Kind::MemberKept(it) => Self::MemberKept {
                conversation: conversation(&it.conversation_id)?,
                member: Box::new(of_member(it)?),
            },
            Kind::EventsKept(it) => Self::EventsKept {
                conversation: conversation(&it.conversation_id)?,
                last: it.last,
                events: it.events.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            },
        })
    }
}

fn of_member(it: pb::MemberKept) -> Result<MemberView, WireError> {
    let status = |it: pb::LegStatusAt| {
        let status = LegStatus::from_name(&it.status)
            .ok_or(WireError::Invalid { field: "LegStatusAt.status", reason: "no status has this name" })?;
        Ok((status, Timestamp::from_millis(it.at_unix_ms)))
    };
    Ok(MemberView {
        member: id("MemberKept.member_id", &it.member_id)?,
        person: id("MemberKept.person_id", &it.person_id)?,
        state: state_of(&it.state)?,
        from: it.from.into(),
        to: it.to.into(),
        leg: optional_id("MemberKept.leg_id", &it.leg_id)?,
        legs: legs(&it.leg_ids)?,
        knocked: it.knocked,
        statuses: it.statuses.into_iter().map(status).collect::<Result<_, WireError>>()?,
        muted: it.muted,
        earmuffed: it.earmuffed,
        held: it.held,
        invited_at: Timestamp::from_millis(it.invited_unix_ms),
        joined_at: it.joined_unix_ms.map(Timestamp::from_millis),
        left_at: it.left_unix_ms.map(Timestamp::from_millis),
    })
}

impl TryFrom<pb::ConversationEvent> for ConversationEvent {
    type Error = WireError;
    fn try_from(it: pb::ConversationEvent) -> Result<Self, WireError> {
        Ok(Self {
            id: it.id,
            at: Timestamp::from_millis(it.at_unix_ms),
            kind: EventKind::from_name(&it.kind)
                .ok_or(WireError::UnknownKind { field: "ConversationEvent.kind" })?,
            member: optional_id("ConversationEvent.member_id", &it.member_id)?,
            leg: optional_id("ConversationEvent.leg_id", &it.leg_id)?,
            text: it.text.into(),
            body: it.body.into(),
        })
    }
}

fn state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::Invited => "invited",
        MemberState::Joined => "joined",
        MemberState::Left => "left",
    }
}

fn state_of(name: &str) -> Result<MemberState, WireError> {
    [MemberState::Invited, MemberState::Joined, MemberState::Left]
        .into_iter()
        .find(|state| state_name(*state) == name)
        .ok_or(WireError::Invalid { field: "MemberKept.state", reason: "expected invited, joined or left" })
}

fn conversation(text: &str) -> Result<ConversationId, WireError> {
    id("conversation_id", text)
}

fn legs(texts: &[String]) -> Result<Vec<LegId>, WireError> {
    texts.iter().map(|text| id("leg_ids", text)).collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}
