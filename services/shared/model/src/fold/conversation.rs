//! Conversations out of facts: their own, and those of their members' legs.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use super::Fold;
use crate::call::PlaybackEnd;
use crate::conversation::{
    CALLS, ConversationEvent, ConversationFact, ConversationView, EVENTS_BYTES_MAX, EVENTS_MAX, EventKind,
    LegStatus, MEMBERS_MAX, MemberState, MemberView, PersonView, RINGBACK,
};
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, ConversationId, LegId, MemberId, PersonId, TenantId};
use crate::media::Source;
use crate::termination::{Cause, Termination};
use crate::time::Timestamp;

/// What the log says about conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversations {
    persons: BTreeMap<(TenantId, PersonId), PersonView>,
    all: BTreeMap<(TenantId, ConversationId), ConversationView>,
    /// Whose a leg is.
    legs: BTreeMap<LegId, (ConversationId, MemberId)>,
    /// Who and what has a name of an application.
    names: BTreeMap<Name, Uuid>,
}

/// The name of a conversation or of a person. Those of one application are told apart by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    tenant: TenantId,
    application: Box<str>,
    of_person: bool,
    name: Box<str>,
}

impl Name {
    fn new(tenant: &TenantId, application: &str, of_person: bool, name: &str) -> Self {
        Self { tenant: tenant.clone(), application: application.into(), of_person, name: name.into() }
    }
}

impl Conversations {
    /// Somebody who can be a member.
    pub fn person(&self, tenant: &TenantId, person: PersonId) -> Option<&PersonView> {
        self.persons.get(&(tenant.clone(), person))
    }

    /// Everybody of a tenant who can be a member.
    pub fn persons(&self, tenant: &TenantId) -> impl Iterator<Item = &PersonView> {
        let first = (tenant.clone(), PersonId::from(Uuid::nil()));
        self.persons.range(first..).take_while(move |((of, _), _)| of == tenant).map(|(_, view)| view)
    }

    /// A conversation.
    pub fn get(&self, tenant: &TenantId, conversation: ConversationId) -> Option<&ConversationView> {
        self.all.get(&(tenant.clone(), conversation))
    }

    /// Every conversation of a tenant.
    pub fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &ConversationView> {
        let first = (tenant.clone(), ConversationId::from(Uuid::nil()));
        self.all.range(first..).take_while(move |((of, _), _)| of == tenant).map(|(_, view)| view)
    }

    /// The conversation of an application that has a name.
    pub fn named(&self, tenant: &TenantId, application: &str, name: &str) -> Option<ConversationId> {
        self.names.get(&Name::new(tenant, application, false, name)).map(|id| (*id).into())
    }

    /// The person of an application who has a name.
    pub fn person_named(&self, tenant: &TenantId, application: &str, name: &str) -> Option<PersonId> {
        self.names.get(&Name::new(tenant, application, true, name)).map(|id| (*id).into())
    }

    fn rename(&mut self, was: Option<Name>, is: Option<Name>, id: Uuid) {
        if let Some(was) = was
            && self.names.get(&was) == Some(&id)
        {
            self.names.remove(&was);
        }
        if let Some(is) = is {
            self.names.insert(is, id);
        }
    }

    /// Whose a leg is.
    pub fn of_leg(&self, leg: LegId) -> Option<(ConversationId, MemberId)> {
        self.legs.get(&leg).copied()
    }

    /// Every conversation with its tenant.
    pub fn every(&self) -> impl Iterator<Item = (&TenantId, &ConversationView)> {
        self.all.iter().map(|((tenant, _), view)| (tenant, view))
    }

    /// Everybody with the tenant.
    pub fn everybody(&self) -> impl Iterator<Item = (&TenantId, &PersonView)> {
        self.persons.iter().map(|((tenant, _), view)| (tenant, view))
    }

    fn take_in(&mut self, tenant: &TenantId, fact: &ConversationFact, at: Timestamp) {
        match fact {
            ConversationFact::PersonPut { person, application, name, display_name } => {
                let key = (tenant.clone(), *person);
                let before = self.persons.get(&key);
                let created_at = before.map_or(at, |view| view.created_at);
                let was = before.map(|view| Name::new(tenant, &view.application, true, &view.name));
                self.rename(was, Some(Name::new(tenant, application, true, name)), person.as_uuid());
                let (application, name) = (application.clone(), name.clone());
                let display_name = display_name.clone();
                let person = *person;
                self.persons.insert(key, PersonView { person, application, name, display_name, created_at });
            }
            ConversationFact::PersonDeleted { person } => {
                if let Some(view) = self.persons.remove(&(tenant.clone(), *person)) {
                    let was = Name::new(tenant, &view.application, true, &view.name);
                    self.rename(Some(was), None, person.as_uuid());
                }
            }
            ConversationFact::Put { conversation, application, name, display_name } => {
                self.put(tenant, *conversation, (application, name, display_name), at);
            }
            ConversationFact::Deleted { conversation } => {
                if let Some(view) = self.all.remove(&(tenant.clone(), *conversation)) {
                    let was = Name::new(tenant, &view.application, false, &view.name);
                    self.rename(Some(was), None, conversation.as_uuid());
                }
                self.legs.retain(|_, (of, _)| of != conversation);
            }
            ConversationFact::MemberInvited { .. } => self.invited(tenant, fact, at),
            ConversationFact::MemberLeft { conversation, member } => {
                self.left(tenant, *conversation, *member, at);
            }
            ConversationFact::EventPosted { conversation, member, r#type, body } => {
                if let Some(view) = self.all.get_mut(&(tenant.clone(), *conversation)) {
                    let event = view.event(at, EventKind::Custom, *member, None, r#type.clone());
                    event.body = body.clone();
                    view.event_bytes += body.len();
                    view.trim();
                }
            }
            ConversationFact::EventDeleted { conversation, event } => {
                if let Some(view) = self.all.get_mut(&(tenant.clone(), *conversation)) {
                    view.events.retain(|kept| kept.id != *event);
                    view.event_bytes = view.events.iter().map(size_of_event).sum();
                }
            }
            ConversationFact::MemberKept { conversation, member } => {
                for leg in &member.legs {
                    self.legs.insert(*leg, (*conversation, member.member));
                }
                if let Some(view) = self.all.get_mut(&(tenant.clone(), *conversation)) {
                    view.members.push((**member).clone());
                }
            }
            ConversationFact::EventsKept { conversation, last, events } => {
                if let Some(view) = self.all.get_mut(&(tenant.clone(), *conversation)) {
                    view.events.extend(events.iter().cloned());
                    view.event_bytes += events.iter().map(size_of_event).sum::<usize>();
                    view.last_event = *last;
                }
            }
        }
    }

    fn put(
        &mut self,
        tenant: &TenantId,
        conversation: ConversationId,
        (application, name, display_name): (&str, &str, &str),
        at: Timestamp,
    ) {
        let key = (tenant.clone(), conversation);
        let was = self.all.get(&key).map(|view| Name::new(tenant, &view.application, false, &view.name));
        self.rename(was, Some(Name::new(tenant, application, false, name)), conversation.as_uuid());
        if let Some(view) = self.all.get_mut(&key) {
            (view.name, view.display_name) = (name.into(), display_name.into());
            view.event(at, EventKind::Updated, None, None, "".into());
            return;
        }
        let view = ConversationView {
            conversation,
            application: application.into(),
            name: name.into(),
            display_name: display_name.into(),
            created_at: at,
            members: Vec::new(),
            events: VecDeque::new(),
            last_event: 0,
            event_bytes: 0,
        };
        self.all.insert(key, view);
    }

    fn invited(&mut self, tenant: &TenantId, fact: &ConversationFact, at: Timestamp) {
        let ConversationFact::MemberInvited { conversation, member, person, from, to, legs, knocked } = fact
        else {
            return;
        };
        let Some(view) = self.all.get_mut(&(tenant.clone(), *conversation)) else { return };
        let leg = legs.first().copied();
        // A room through which people come and go remembers those who went last.
        let gone = |member: &MemberView| member.state == MemberState::Left;
        if view.members.len() >= MEMBERS_MAX
            && let Some(place) = view.members.iter().position(gone)
        {
            view.members.remove(place);
        }
        view.members.push(MemberView {
            member: *member,
            person: *person,
            state: MemberState::Invited,
            from: from.clone(),
            to: to.clone(),
            leg,
            legs: legs.clone(),
            knocked: *knocked,
            statuses: leg.map(|_| (LegStatus::Started, at)).into_iter().collect(),
            muted: false,
            earmuffed: false,
            held: false,
            invited_at: at,
            joined_at: None,
            left_at: None,
        });
        view.event(at, EventKind::MemberInvited, Some(*member), leg, "".into());
        for leg in legs {
            self.legs.insert(*leg, (*conversation, *member));
        }
    }

    fn left(&mut self, tenant: &TenantId, conversation: ConversationId, member: MemberId, at: Timestamp) {
        let Some((view, at_member)) = self.at(tenant, conversation, member) else { return };
        let left = &mut view.members[at_member];
        if left.state != MemberState::Left {
            (left.state, left.left_at) = (MemberState::Left, Some(at));
            let leg = left.leg;
            view.event(at, EventKind::MemberLeft, Some(member), leg, "".into());
        }
    }

    /// A member by its place.
    fn at(
        &mut self,
        tenant: &TenantId,
        conversation: ConversationId,
        member: MemberId,
    ) -> Option<(&mut ConversationView, usize)> {
        let view = self.all.get_mut(&(tenant.clone(), conversation))?;
        let place = view.members.iter().position(|view| view.member == member)?;
        Some((view, place))
    }

    fn with_leg(&mut self, tenant: &TenantId, leg: LegId, change: impl FnOnce(&mut ConversationView, usize)) {
        let Some((conversation, member)) = self.of_leg(leg) else { return };
        if let Some((view, place)) = self.at(tenant, conversation, member) {
            change(view, place);
        }
    }

    fn of_call(&mut self, tenant: &TenantId, conversation: ConversationId) -> Option<&mut ConversationView> {
        self.all.get_mut(&(tenant.clone(), conversation))
    }
}

impl ConversationView {
    fn event(
        &mut self,
        at: Timestamp,
        kind: EventKind,
        member: Option<MemberId>,
        leg: Option<LegId>,
        text: Box<str>,
    ) -> &mut ConversationEvent {
        self.last_event += 1;
        let id = self.last_event;
        let event = ConversationEvent { id, at, kind, member, leg, text, body: "".into() };
        self.event_bytes += size_of_event(&event);
        self.events.push_back(event);
        self.trim();
        let last = self.events.len() - 1;
        &mut self.events[last]
    }

    /// The oldest events go while there are more than are kept; the last one stays.
    fn trim(&mut self) {
        while self.events.len() > EVENTS_MAX || (self.event_bytes > EVENTS_BYTES_MAX && self.events.len() > 1)
        {
            let Some(gone) = self.events.pop_front() else { return };
            self.event_bytes -= size_of_event(&gone);
        }
    }

    fn status(&mut self, place: usize, status: LegStatus, at: Timestamp) {
        let member = &mut self.members[place];
        member.statuses.push((status, at));
        let (id, leg, count) = (member.member, member.leg, member.statuses.len());
        self.event(at, EventKind::LegStatus, Some(id), leg, count.to_string().into());
    }

    fn media(&mut self, place: usize, at: Timestamp) {
        let member = &self.members[place];
        let (id, leg) = (member.member, member.leg);
        let flags = [member.muted, member.earmuffed, member.held].map(|flag| if flag { '1' } else { '0' });
        let text: String = flags.iter().collect();
        self.event(at, EventKind::MemberMedia, Some(id), leg, text.into());
    }
}

impl Fold {
    /// Conversations, their members and who can be one.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// Called when everything else has taken the fact in.
    pub(super) fn apply_to_conversations(&mut self, fact: &Fact) {
        let (tenant, at) = (&fact.tenant, fact.at);
        match &fact.kind {
            FactKind::Conversation { fact } => self.conversations.take_in(tenant, fact, at),
            FactKind::LegRinging { leg } => self.conversations.with_leg(tenant, *leg, |view, place| {
                // Of several phones the first that rings says it for all.
                let rings =
                    view.members[place].statuses.iter().any(|(status, _)| *status == LegStatus::Ringing);
                if !rings && view.members[place].state == MemberState::Invited {
                    view.members[place].leg = Some(*leg);
                    view.status(place, LegStatus::Ringing, at);
                    let member = view.members[place].member;
                    view.event(at, EventKind::SipRinging, Some(member), Some(*leg), "".into());
                }
            }),
            FactKind::LegAnswered { leg } => self.conversations.with_leg(tenant, *leg, |view, place| {
                answered(view, place, *leg, at);
            }),
            FactKind::LegEnded { leg, termination } => {
                self.conversations.with_leg(tenant, *leg, |view, place| {
                    ended(view, place, *leg, termination, at);
                });
                self.conversations.legs.remove(leg);
            }
            FactKind::LegAudioChanged { leg, muted, deafened } => {
                self.conversations.with_leg(tenant, *leg, |view, place| {
                    audio(view, place, (*muted, *deafened), at);
                });
            }
            FactKind::LegHeld { leg, .. } | FactKind::LegRetrieved { leg } => {
                let call = self.leg(*leg).map(|leg| leg.call);
                self.holding(tenant, call, at);
            }
            FactKind::ParticipantHeld { leg, .. } | FactKind::ParticipantRetrieved { leg } => {
                let call = self.leg(*leg).map(|leg| leg.call);
                self.holding(tenant, call, at);
            }
            FactKind::LegDigit { leg, digit, .. } => {
                self.conversations.with_leg(tenant, *leg, |view, place| {
                    let member = view.members[place].member;
                    let text = digit.to_string().into();
                    view.event(at, EventKind::Dtmf, Some(member), Some(*leg), text);
                });
            }
            _ => self.apply_to_heard(fact),
        }
    }

    /// What is recorded and played in the call of a conversation.
    fn apply_to_heard(&mut self, fact: &Fact) {
        let (call, kind, text) = match &fact.kind {
            FactKind::RecordingStarted { recording, call, .. } => {
                (Some(*call), EventKind::Record, recording.to_string())
            }
            FactKind::RecordingFinished { recording, .. } => {
                let call = self.recording(*recording).map(|view| view.call);
                (call, EventKind::RecordDone, recording.to_string())
            }
            FactKind::RecordingFailed { recording, .. } => {
                let call = self.recording(*recording).map(|view| view.call);
                (call, EventKind::RecordStop, recording.to_string())
            }
            FactKind::PlaybackStarted { playback, call, source, .. } => {
                let kind = if is_ringback(source) { EventKind::RingingStart } else { EventKind::Play };
                (Some(*call), kind, playback.to_string())
            }
            _ => return,
        };
        self.heard(&fact.tenant, call, (kind, text.into()), fact.at);
    }

    /// Called before the playback is forgotten.
    pub(super) fn apply_playback_finished(&mut self, fact: &Fact) {
        if let FactKind::PlaybackFinished { playback, end } = &fact.kind {
            let Some(view) = self.playback(*playback) else { return };
            let kind = match end {
                _ if is_ringback(&view.source) => EventKind::RingingStop,
                PlaybackEnd::Done => EventKind::PlayDone,
                PlaybackEnd::Stopped | PlaybackEnd::Failed => EventKind::PlayStop,
            };
            self.heard(&fact.tenant, Some(view.call), (kind, playback.to_string().into()), fact.at);
        }
    }

    fn heard(
        &mut self,
        tenant: &TenantId,
        call: Option<CallId>,
        (kind, text): (EventKind, Box<str>),
        at: Timestamp,
    ) {
        let conversation = call.and_then(|call| self.conversation_of(call));
        if let Some(view) = conversation.and_then(|of| self.conversations.of_call(tenant, of)) {
            view.event(at, kind, None, None, text);
        }
    }

    /// The conversation whose call it is.
    pub fn conversation_of(&self, call: CallId) -> Option<ConversationId> {
        let externals = &self.call(call)?.externals;
        externals.iter().find(|external| &*external.dialect == CALLS)?.key.parse().ok()
    }

    /// Who is on hold in a call may have changed.
    fn holding(&mut self, tenant: &TenantId, call: Option<CallId>, at: Timestamp) {
        let Some(call) = call else { return };
        let legs: Vec<(LegId, bool)> = self
            .live_legs(call)
            .map(|leg| {
                let peer = leg.peer.and_then(|peer| self.leg(peer));
                (leg.leg, leg.put_aside || peer.is_some_and(|peer| peer.held.is_some()))
            })
            .collect();
        for (leg, held) in legs {
            self.conversations.with_leg(tenant, leg, |view, place| {
                if view.members[place].leg == Some(leg) && view.members[place].held != held {
                    view.members[place].held = held;
                    view.media(place, at);
                }
            });
        }
    }
}

fn answered(view: &mut ConversationView, place: usize, leg: LegId, at: Timestamp) {
    if view.members[place].state != MemberState::Invited {
        return;
    }
    view.members[place].leg = Some(leg);
    view.status(place, LegStatus::Answered, at);
    let member = view.members[place].member;
    view.event(at, EventKind::SipAnswered, Some(member), Some(leg), "".into());
    (view.members[place].state, view.members[place].joined_at) = (MemberState::Joined, Some(at));
    view.event(at, EventKind::MemberJoined, Some(member), Some(leg), "".into());
    view.media(place, at);
}

fn ended(view: &mut ConversationView, place: usize, leg: LegId, why: &Termination, at: Timestamp) {
    let member = &mut view.members[place];
    member.legs.retain(|of| *of != leg);
    let is_its = member.leg == Some(leg) || member.legs.is_empty();
    if !is_its || (member.state == MemberState::Invited && !member.legs.is_empty()) {
        return;
    }
    let status = status_of(why.cause, member.joined_at.is_some());
    let id = member.member;
    view.status(place, status, at);
    view.event(at, EventKind::SipHangup, Some(id), Some(leg), status.name().into());
    let member = &mut view.members[place];
    if member.state != MemberState::Left {
        (member.state, member.left_at) = (MemberState::Left, Some(at));
        view.event(at, EventKind::MemberLeft, Some(id), Some(leg), status.name().into());
    }
}

/// What an event costs in memory, about.
fn size_of_event(event: &ConversationEvent) -> usize {
    size_of::<ConversationEvent>() + event.text.len() + event.body.len()
}

fn is_ringback(source: &Source) -> bool {
    matches!(source, Source::Prompt(name) if name.starts_with(RINGBACK))
}

fn audio(view: &mut ConversationView, place: usize, (muted, earmuffed): (bool, bool), at: Timestamp) {
    let member = &mut view.members[place];
    let (id, leg) = (member.member, member.leg);
    let (was_muted, was_earmuffed) = (member.muted, member.earmuffed);
    (member.muted, member.earmuffed) = (muted, earmuffed);
    let mut changed = false;
    for (was, is, on, off) in [
        (was_muted, muted, EventKind::MuteOn, EventKind::MuteOff),
        (was_earmuffed, earmuffed, EventKind::EarmuffOn, EventKind::EarmuffOff),
    ] {
        if was != is {
            changed = true;
            view.event(at, if is { on } else { off }, Some(id), leg, "".into());
        }
    }
    if changed {
        view.media(place, at);
    }
}

fn status_of(cause: Cause, was_answered: bool) -> LegStatus {
    if was_answered {
        return LegStatus::Completed;
    }
    match cause {
        Cause::Busy => LegStatus::Busy,
        Cause::Cancelled | Cause::Application | Cause::AnsweredElsewhere | Cause::Normal => {
            LegStatus::Cancelled
        }
        Cause::Rejected => LegStatus::Rejected,
        Cause::NoAnswer | Cause::Timeout => LegStatus::Timeout,
        Cause::Unavailable => LegStatus::Unanswered,
        _ => LegStatus::Failed,
    }
}
