//! Conversations: who is asked in, who knocks, who is sent away.
//!
//! The call of a conversation is found by its external name and begun with the first member. Everything that then happens
//! to a member's leg is told by the leg's own facts; see [`sidetone_model::conversation`].

mod keeping;
mod snapshot;

use sidetone_model::call::{ExternalRef, MoveCause};
use sidetone_model::command::CallName;
use sidetone_model::conversation::{CALLS, ConversationCommand, ConversationFact, MEMBERS_MAX, MemberState};
use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{CallId, ConversationId, LegId, MemberId, PersonId, TenantId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::shard::Shard;

/// Who is asked into which conversation.
#[derive(Clone, Copy)]
struct Invitation<'a> {
    conversation: ConversationId,
    member: MemberId,
    person: PersonId,
    from: &'a str,
    to: &'a str,
}

impl Shard {
    /// Carries out a command about conversations. `to` is the routing of an invitation's number.
    pub(crate) fn converse(
        &mut self,
        tenant: &TenantId,
        command: &ConversationCommand,
        to: Routing,
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        let subject = match command {
            ConversationCommand::PutPerson { person, .. } | ConversationCommand::DeletePerson { person } => {
                self.change_person(tenant, *person, command, now)?;
                return Ok(CommandSubject::Conversation(person.as_uuid().into()));
            }
            ConversationCommand::Put { conversation, .. } => {
                self.put_conversation(tenant, *conversation, command, now)?;
                conversation
            }
            ConversationCommand::Delete { conversation } => {
                self.own_conversation(tenant, *conversation)?;
                if let Some(call) = self.call_of(tenant, *conversation) {
                    self.end_conversation_call(call, now);
                }
                self.tell(tenant, ConversationFact::Deleted { conversation: *conversation }, now);
                conversation
            }
            ConversationCommand::Invite { conversation, member, person, from, to: number, knocking } => {
                let (member, person) = (*member, *person);
                let invitation = Invitation { conversation: *conversation, member, person, from, to: number };
                self.invite_member(tenant, invitation, *knocking, to, now)?;
                conversation
            }
            ConversationCommand::Leave { conversation, member } => {
                self.send_away(tenant, *conversation, *member, now)?;
                conversation
            }
            ConversationCommand::Post { conversation, member, r#type, body } => {
                let event = self.post(tenant, (*conversation, *member), (r#type, body), now)?;
                return Ok(CommandSubject::ConversationEvent(*conversation, event));
            }
            ConversationCommand::DeleteEvent { conversation, event } => {
                self.delete_event(tenant, *conversation, *event, now)?;
                conversation
            }
        };
        Ok(CommandSubject::Conversation(*subject))
    }

    /// Adds, changes or removes somebody who can be a member.
    fn change_person(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
        command: &ConversationCommand,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let known = self.fold.conversations();
        let is_new = known.person(tenant, person).is_none();
        if let ConversationCommand::PutPerson { application, name, .. } = command {
            if known.person_named(tenant, application, name).is_some_and(|other| other != person) {
                return Err(CommandError::NameTaken);
            }
            if is_new {
                self.make_room_for_person(tenant, now)?;
            }
        }
        let fact = match fact_of_put(command) {
            Some(put) => put,
            None if is_new => return Err(CommandError::NoSuchPerson),
            None => ConversationFact::PersonDeleted { person },
        };
        self.tell(tenant, fact, now);
        Ok(())
    }

    fn put_conversation(
        &mut self,
        tenant: &TenantId,
        conversation: ConversationId,
        command: &ConversationCommand,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let known = self.fold.conversations();
        let is_new = known.get(tenant, conversation).is_none();
        if let ConversationCommand::Put { application, name, .. } = command
            && known.named(tenant, application, name).is_some_and(|other| other != conversation)
        {
            return Err(CommandError::NameTaken);
        }
        if is_new {
            self.make_room_for_conversation(tenant, now)?;
        }
        if let Some(put) = fact_of_put(command) {
            self.tell(tenant, put, now);
        }
        Ok(())
    }

    fn post(
        &mut self,
        tenant: &TenantId,
        (conversation, member): (ConversationId, Option<MemberId>),
        (r#type, body): (&str, &str),
        now: Timestamp,
    ) -> Result<u32, CommandError> {
        self.own_conversation(tenant, conversation)?;
        if let Some(member) = member {
            self.own_member(tenant, conversation, member)?;
        }
        self.make_room_for_bytes(tenant, conversation, now)?;
        let (r#type, body) = (r#type.into(), body.into());
        self.tell(tenant, ConversationFact::EventPosted { conversation, member, r#type, body }, now);
        let view = self.fold.conversations().get(tenant, conversation);
        Ok(view.map_or(0, |view| view.last_event))
    }

    fn delete_event(
        &mut self,
        tenant: &TenantId,
        conversation: ConversationId,
        event: u32,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let known = self.fold.conversations().get(tenant, conversation);
        let known = known.ok_or(CommandError::NoSuchConversation)?;
        if !known.events.iter().any(|kept| kept.id == event) {
            return Err(CommandError::NoSuchEvent);
        }
        self.tell(tenant, ConversationFact::EventDeleted { conversation, event }, now);
        Ok(())
    }

    fn tell(&mut self, tenant: &TenantId, fact: ConversationFact, now: Timestamp) {
        self.fact(tenant, now, FactKind::Conversation { fact: Box::new(fact) });
    }

    fn own_conversation(&self, tenant: &TenantId, conversation: ConversationId) -> Result<(), CommandError> {
        let known = self.fold.conversations().get(tenant, conversation);
        known.map(drop).ok_or(CommandError::NoSuchConversation)
    }

    fn own_member(
        &self,
        tenant: &TenantId,
        conversation: ConversationId,
        member: MemberId,
    ) -> Result<(MemberState, Vec<LegId>), CommandError> {
        let known = self.fold.conversations().get(tenant, conversation);
        let known = known.ok_or(CommandError::NoSuchConversation)?.member(member);
        known.map(|member| (member.state, member.legs.clone())).ok_or(CommandError::NoSuchMember)
    }

    fn call_of(&self, tenant: &TenantId, conversation: ConversationId) -> Option<CallId> {
        self.fold.call_by_external(tenant, &external(conversation)).map(|call| call.call)
    }

    fn invite_member(
        &mut self,
        tenant: &TenantId,
        invitation: Invitation<'_>,
        knocking: Option<LegId>,
        to: Routing,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        self.own_conversation(tenant, invitation.conversation)?;
        let known = self.fold.conversations();
        known.person(tenant, invitation.person).ok_or(CommandError::NoSuchPerson)?;
        let view = known.get(tenant, invitation.conversation).ok_or(CommandError::NoSuchConversation)?;
        let there = view.members.iter().filter(|member| member.state != MemberState::Left);
        if there.count() >= MEMBERS_MAX {
            return Err(CommandError::TooManyConversations);
        }
        // The number of an application leads to whoever knocks there; calling it would make it knock again, for ever.
        let knocking = match knocking {
            None if to.destination == Some(Destination::Wait) => {
                Some(self.knocks(tenant, invitation).ok_or(CommandError::WouldLoop)?)
            }
            knocking => knocking,
        };
        let (legs, knocked) = match knocking {
            Some(leg) => (vec![self.let_in(tenant, invitation, leg, &to, now)?], true),
            None => (self.call_in(tenant, invitation, to, now)?, false),
        };
        let invited = ConversationFact::MemberInvited {
            conversation: invitation.conversation,
            member: invitation.member,
            person: invitation.person,
            from: invitation.from.into(),
            to: invitation.to.into(),
            legs: legs.clone(),
            knocked,
        };
        self.tell(tenant, invited, now);
        if knocked && let Some(view) = legs.first().and_then(|leg| self.live(*leg)) {
            self.answer_knock(&view, invitation.conversation, now);
        }
        Ok(())
    }

    /// Calls a number into the conversation's call; the legs that were made for it.
    fn call_in(
        &mut self,
        tenant: &TenantId,
        invitation: Invitation<'_>,
        to: Routing,
        now: Timestamp,
    ) -> Result<Vec<LegId>, CommandError> {
        let name = CallName::External(external(invitation.conversation));
        let before: Vec<LegId> = match self.call_of(tenant, invitation.conversation) {
            Some(call) => self.fold.live_legs(call).map(|leg| leg.leg).collect(),
            None => Vec::new(),
        };
        let call = self.join(tenant, &name, (invitation.from, ""), (invitation.to, to), now)?;
        let new = self.fold.live_legs(call).map(|leg| leg.leg).filter(|leg| !before.contains(leg));
        Ok(new.collect())
    }

    /// The caller who waits with the same pair of numbers.
    fn knocks(&self, tenant: &TenantId, invitation: Invitation<'_>) -> Option<LegId> {
        let waiting = self.fold.legs().find(|leg| {
            leg.tenant == *tenant
                && leg.phase == LegPhase::Waiting
                && *leg.party.number == *invitation.from
                && self.fold.call(leg.call).is_some_and(|call| *call.dialled == *invitation.to)
        });
        waiting.map(|leg| leg.leg)
    }

    /// The caller whom an invitation lets in, and the conversation's call.
    pub(crate) fn knocker_parted_from(
        &self,
        tenant: &TenantId,
        command: &ConversationCommand,
    ) -> Option<(LegView, CallId)> {
        let ConversationCommand::Invite { conversation, member, person, from, to, knocking } = command else {
            return None;
        };
        let invitation =
            Invitation { conversation: *conversation, member: *member, person: *person, from, to };
        let leg = knocking.or_else(|| self.knocks(tenant, invitation))?;
        let leg = self.own_leg(tenant, leg).ok().filter(|leg| leg.phase == LegPhase::Waiting)?;
        Some((leg, self.call_of(tenant, *conversation)?))
    }

    /// Sees that a caller can be let in, and begins the conversation's call if there is none.
    fn let_in(
        &mut self,
        tenant: &TenantId,
        invitation: Invitation<'_>,
        leg: LegId,
        to: &Routing,
        now: Timestamp,
    ) -> Result<LegId, CommandError> {
        let view = self.own_leg(tenant, leg)?;
        if view.phase != LegPhase::Waiting || self.is_ending(leg) {
            return Err(CommandError::NotWaiting);
        }
        if self.control(leg).passing.local.is_none() {
            return Err(CommandError::NoMediaNode);
        }
        match self.call_of(tenant, invitation.conversation) {
            Some(call) => {
                if let Some(node) = self.node_of(call) {
                    self.arrive_on(&view, &node, now);
                }
                let now_at = self.live(leg).and_then(|view| view.node);
                let mut others = self.fold.live_legs(call).filter_map(|other| other.node.as_ref());
                if others.any(|node| Some(node) != now_at.as_ref()) {
                    return Err(CommandError::OnTwoNodes);
                }
            }
            None => {
                let numbers = (invitation.from, invitation.to);
                self.begin_open(tenant, numbers, &external(invitation.conversation), to, now);
            }
        }
        Ok(leg)
    }

    /// The caller is answered and goes on in the conversation's call.
    fn answer_knock(&mut self, leg: &LegView, conversation: ConversationId, now: Timestamp) {
        let Some(call) = self.call_of(&leg.tenant, conversation) else { return };
        let from = leg.call;
        let cause = MoveCause::Merged;
        self.fact(&leg.tenant, now, FactKind::LegMoved { leg: leg.leg, from, to: call, cause });
        let termination = Termination::new(Cause::Diverted).with_text("let into a conversation");
        self.fact(&leg.tenant, now, FactKind::CallEnded { call: from, termination });
        if let Some(view) = self.live(leg.leg) {
            self.accept(&view, now);
        }
        self.arrange(call, now);
    }

    fn send_away(
        &mut self,
        tenant: &TenantId,
        conversation: ConversationId,
        member: MemberId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let (state, legs) = self.own_member(tenant, conversation, member)?;
        let live: Vec<LegView> = legs.into_iter().filter_map(|leg| self.live(leg)).collect();
        for leg in live {
            self.end_any(&leg, Termination::new(Cause::Application), now);
        }
        if state != MemberState::Left {
            self.tell(tenant, ConversationFact::MemberLeft { conversation, member }, now);
        }
        Ok(())
    }

    fn end_conversation_call(&mut self, call: CallId, now: Timestamp) {
        let legs: Vec<LegView> = self.fold.live_legs(call).cloned().collect();
        for leg in legs {
            self.end_any(&leg, Termination::new(Cause::Application), now);
        }
    }
}

/// The name that a conversation gives to its call.
fn external(conversation: ConversationId) -> ExternalRef {
    ExternalRef { dialect: CALLS.into(), key: conversation.to_string().into() }
}

/// What a put says, as a fact.
fn fact_of_put(command: &ConversationCommand) -> Option<ConversationFact> {
    match command.clone() {
        ConversationCommand::PutPerson { person, application, name, display_name } => {
            Some(ConversationFact::PersonPut { person, application, name, display_name })
        }
        ConversationCommand::Put { conversation, application, name, display_name } => {
            Some(ConversationFact::Put { conversation, application, name, display_name })
        }
        _ => None,
    }
}
