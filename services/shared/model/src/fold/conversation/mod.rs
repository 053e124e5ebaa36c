//! Conversations out of facts: their own, and those of their members' legs.

mod legs;

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::conversation::{
    ConversationEvent, ConversationFact, ConversationView, EVENTS_BYTES_MAX, EVENTS_MAX, EventKind,
    LegStatus, MEMBERS_MAX, MemberState, MemberView, PersonView,
};
use crate::ids::{ConversationId, LegId, MemberId, NodeId, PersonId, RecordingId, TenantId};
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
    /// Kept as they change: asked for with everything that is added.
    totals: BTreeMap<TenantId, ConversationTotals>,
}

/// What a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConversationTotals {
    /// Conversations.
    pub conversations: usize,
    /// Those who can be members.
    pub persons: usize,
    /// What the events of all conversations cost in memory, in bytes, about.
    pub event_bytes: usize,
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

    /// How much a tenant has.
    pub fn totals(&self, tenant: &TenantId) -> ConversationTotals {
        self.totals.get(tenant).copied().unwrap_or_default()
    }

    fn count(&mut self, tenant: &TenantId, change: impl FnOnce(&mut ConversationTotals)) {
        let mut totals = self.totals(tenant);
        change(&mut totals);
        // As if it had never been there: what a snapshot restates is the same.
        if totals == ConversationTotals::default() {
            self.totals.remove(tenant);
        } else {
            self.totals.insert(tenant.clone(), totals);
        }
    }

    /// Changes a conversation, and counts what its events then cost. Everything that changes one goes through here.
    fn change<R>(
        &mut self,
        tenant: &TenantId,
        conversation: ConversationId,
        change: impl FnOnce(&mut ConversationView) -> R,
    ) -> Option<R> {
        let view = self.all.get_mut(&(tenant.clone(), conversation))?;
        let before = view.event_bytes;
        let result = change(view);
        let after = view.event_bytes;
        if after != before {
            self.count(tenant, |totals| totals.event_bytes = totals.event_bytes + after - before);
        }
        Some(result)
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

    /// A finished recording of which a conversation still tells (`audio:record:done`), also when its call is forgotten: the
    /// conversation, the media node and the file there.
    pub fn recording(
        &self,
        tenant: &TenantId,
        recording: RecordingId,
    ) -> Option<(ConversationId, NodeId, Box<str>)> {
        // Its id says when it was begun (RFC 9562, section 5.7): it is told of later, in a conversation of that time.
        let (seconds, nanos) = recording.as_uuid().get_timestamp()?.to_unix();
        let begun = Timestamp::from_millis(seconds * 1000 + u64::from(nanos) / 1_000_000);
        let text = recording.to_string();
        let of_then = self.of(tenant).filter(|view| view.created_at <= begun && begun <= view.last_at());
        let mut found = of_then.flat_map(|view| {
            let first = view.events.partition_point(|event| event.at < begun);
            view.events.range(first..).map(|event| (view.conversation, event))
        });
        let (conversation, done) =
            found.find(|(_, event)| event.kind == EventKind::RecordDone && *event.text == *text)?;
        let (node, file) = done.body.split_once(' ')?;
        Some((conversation, NodeId::new(node).ok()?, file.into()))
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
                let view = PersonView { person, application, name, display_name, created_at };
                if self.persons.insert(key, view).is_none() {
                    self.count(tenant, |totals| totals.persons += 1);
                }
            }
            ConversationFact::PersonDeleted { person } => {
                if let Some(view) = self.persons.remove(&(tenant.clone(), *person)) {
                    let was = Name::new(tenant, &view.application, true, &view.name);
                    self.rename(Some(was), None, person.as_uuid());
                    self.count(tenant, |totals| totals.persons -= 1);
                }
            }
            ConversationFact::Put { conversation, application, name, display_name } => {
                self.put(tenant, *conversation, (application, name, display_name), at);
            }
            ConversationFact::Deleted { conversation } => {
                if let Some(view) = self.all.remove(&(tenant.clone(), *conversation)) {
                    let was = Name::new(tenant, &view.application, false, &view.name);
                    self.rename(Some(was), None, conversation.as_uuid());
                    self.count(tenant, |totals| {
                        totals.conversations -= 1;
                        totals.event_bytes -= view.event_bytes;
                    });
                }
                self.legs.retain(|_, (of, _)| of != conversation);
            }
            ConversationFact::MemberInvited { .. } => self.invited(tenant, fact, at),
            ConversationFact::MemberLeft { conversation, member } => {
                self.left(tenant, *conversation, *member, at);
            }
            ConversationFact::EventPosted { conversation, member, r#type, body } => {
                self.change(tenant, *conversation, |view| {
                    let event = view.event(at, EventKind::Custom, *member, None, r#type.clone());
                    event.body = body.clone();
                    view.event_bytes += body.len();
                    view.trim();
                });
            }
            ConversationFact::EventDeleted { conversation, event } => {
                self.change(tenant, *conversation, |view| {
                    view.events.retain(|kept| kept.id != *event);
                    view.event_bytes = view.events.iter().map(size_of_event).sum();
                });
            }
            ConversationFact::MemberKept { conversation, member } => {
                for leg in &member.legs {
                    self.legs.insert(*leg, (*conversation, member.member));
                }
                self.change(tenant, *conversation, |view| view.members.push((**member).clone()));
            }
            ConversationFact::EventsKept { conversation, last, events } => {
                self.change(tenant, *conversation, |view| {
                    view.events.extend(events.iter().cloned());
                    view.event_bytes += events.iter().map(size_of_event).sum::<usize>();
                    view.last_event = *last;
                });
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
        let known = self.change(tenant, conversation, |view| {
            (view.name, view.display_name) = (name.into(), display_name.into());
            view.event(at, EventKind::Updated, None, None, "".into());
        });
        if known.is_some() {
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
        self.count(tenant, |totals| totals.conversations += 1);
    }

    fn invited(&mut self, tenant: &TenantId, fact: &ConversationFact, at: Timestamp) {
        let ConversationFact::MemberInvited { conversation, member, person, from, to, legs, knocked } = fact
        else {
            return;
        };
        let leg = legs.first().copied();
        let invited = MemberView {
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
        };
        let known = self.change(tenant, *conversation, |view| {
            // A room through which people come and go remembers those who went last.
            let gone = |member: &MemberView| member.state == MemberState::Left;
            if view.members.len() >= MEMBERS_MAX
                && let Some(place) = view.members.iter().position(gone)
            {
                view.members.remove(place);
            }
            view.members.push(invited);
            view.event(at, EventKind::MemberInvited, Some(*member), leg, "".into());
        });
        if known.is_some() {
            self.legs.extend(legs.iter().map(|leg| (*leg, (*conversation, *member))));
        }
    }

    fn left(&mut self, tenant: &TenantId, conversation: ConversationId, member: MemberId, at: Timestamp) {
        self.with_member(tenant, (conversation, member), |view, place| {
            let left = &mut view.members[place];
            if left.state != MemberState::Left {
                (left.state, left.left_at) = (MemberState::Left, Some(at));
                let leg = left.leg;
                view.event(at, EventKind::MemberLeft, Some(member), leg, "".into());
            }
        });
    }

    /// Changes a conversation, given the place of a member in it.
    fn with_member(
        &mut self,
        tenant: &TenantId,
        (conversation, member): (ConversationId, MemberId),
        change: impl FnOnce(&mut ConversationView, usize),
    ) {
        self.change(tenant, conversation, |view| {
            if let Some(place) = view.members.iter().position(|view| view.member == member) {
                change(view, place);
            }
        });
    }

    fn with_leg(&mut self, tenant: &TenantId, leg: LegId, change: impl FnOnce(&mut ConversationView, usize)) {
        if let Some(whose) = self.of_leg(leg) {
            self.with_member(tenant, whose, change);
        }
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

/// What an event costs in memory, about.
fn size_of_event(event: &ConversationEvent) -> usize {
    size_of::<ConversationEvent>() + event.text.len() + event.body.len()
}
