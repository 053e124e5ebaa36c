//! Conversations: people asked in, callers let in, and the numbers under which it is told.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, connects, ended, media};
use sidetone_call_core::{CommandError, Limits, Routing, Shard};
use sidetone_model::command::CallCommandKind;
use sidetone_model::conversation::{
    ConversationCommand, ConversationFact, ConversationView, EVENTS_BYTES_MAX, EventKind, LegStatus,
    MEMBERS_MAX, MemberState,
};
use sidetone_model::fact::{CommandSubject, Fact, FactKind};
use sidetone_model::fold::{ConversationTotals, Conversations};
use sidetone_model::ids::{ConversationId, LegId, MemberId, PersonId, TenantId};
use sidetone_model::party::Destination;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

struct Talk {
    office: Office,
    conversation: ConversationId,
    person: PersonId,
    asked: usize,
}

impl Talk {
    fn new() -> Self {
        Self::over(Office::new())
    }

    fn over(mut office: Office) -> Self {
        let (conversation, person) = (office.ids.make(office.now), office.ids.make(office.now));
        let mut talk = Self { office, conversation, person, asked: 0 };
        let (application, name, display_name) = ("app".into(), "NAM-1".into(), "".into());
        talk.ask(ConversationCommand::PutPerson { person, application, name, display_name }).unwrap();
        let (application, name, display_name) = ("app".into(), "NAM-2".into(), "".into());
        talk.ask(ConversationCommand::Put { conversation, application, name, display_name }).unwrap();
        talk
    }

    fn ask(&mut self, command: ConversationCommand) -> Result<(), CommandError> {
        self.ask_to(command, Routing::default())
    }

    fn ask_to(&mut self, command: ConversationCommand, to: Routing) -> Result<(), CommandError> {
        self.asked += 1;
        let key = "k".repeat(self.asked);
        let kind = CallCommandKind::Conversation(Box::new(command));
        self.office.ask(&key, kind, Routing::default(), to).map(drop)
    }

    fn invite(&mut self, to: Routing, knocking: Option<LegId>) -> Result<MemberId, CommandError> {
        let member = self.office.ids.make(self.office.now);
        let (conversation, person) = (self.conversation, self.person);
        let (from, to_number) = ("100".into(), "200".into());
        let command =
            ConversationCommand::Invite { conversation, member, person, from, to: to_number, knocking };
        self.ask_to(command, to)?;
        self.office.serve();
        Ok(member)
    }

    fn view(&self) -> &ConversationView {
        self.office.shard.fold().conversations().get(&self.office.tenant, self.conversation).unwrap()
    }

    fn kinds(&self) -> Vec<EventKind> {
        self.view().events.iter().map(|event| event.kind).collect()
    }

    fn leg_of(&self, member: MemberId) -> LegId {
        self.view().member(member).unwrap().leg.unwrap()
    }

    /// A member who was called answers.
    fn answers(&mut self, member: MemberId) {
        let leg = self.leg_of(member);
        self.office.signal(leg, LegSignalKind::Progress { media: None });
        self.office.signal(leg, LegSignalKind::Answered { media: Some(media()) });
        self.office.serve();
    }

    /// A log that is replayed, and a snapshot, say the same.
    fn lasts(&self) {
        let mut replayed = Shard::new(Limits::default(), [9; 32]);
        self.office.log.iter().for_each(|record| replayed.replay(record));
        assert!(replayed.is_same_log(&self.office.shard), "the log says something else");
        let mut restored = Shard::new(Limits::default(), [9; 32]);
        self.office.shard.snapshot().iter().for_each(|record| restored.replay(record));
        let known = self.office.shard.fold().conversations();
        assert_eq!(restored.fold().conversations(), known);
        assert_eq!(known.totals(&self.office.tenant), counted(known, &self.office.tenant));
    }
}

/// What a tenant has, counted one by one.
fn counted(known: &Conversations, tenant: &TenantId) -> ConversationTotals {
    ConversationTotals {
        conversations: known.of(tenant).count(),
        persons: known.persons(tenant).count(),
        event_bytes: known.of(tenant).map(|view| view.event_bytes).sum(),
    }
}

#[test]
fn a_member_is_called_and_its_way_is_numbered_from_one() {
    let mut talk = Talk::new();
    let member = talk.invite(talk.office.to_user(1), None).unwrap();
    assert_eq!(talk.kinds(), [EventKind::MemberInvited]);
    let leg = talk.leg_of(member);
    assert_eq!(talk.office.leg(leg).call, {
        let mut calls = talk.office.shard.fold().calls();
        calls.next().unwrap().call
    });
    talk.answers(member);
    assert_eq!(
        talk.kinds(),
        [
            EventKind::MemberInvited,
            EventKind::LegStatus,
            EventKind::SipRinging,
            EventKind::LegStatus,
            EventKind::SipAnswered,
            EventKind::MemberJoined,
            EventKind::MemberMedia,
        ]
    );
    let ids: Vec<u32> = talk.view().events.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=7).collect::<Vec<_>>());
    talk.lasts();
    talk.office.signal(leg, ended(Cause::Normal, 0));
    let view = talk.view().member(member).unwrap().clone();
    assert_eq!((view.state, view.statuses.last().unwrap().0), (MemberState::Left, LegStatus::Completed));
    assert!(talk.office.shard.fold().calls().all(|call| call.ended.is_some()));
    talk.lasts();
}

#[test]
fn of_several_phones_the_one_that_answers_is_the_member() {
    let mut talk = Talk::new();
    let member = talk.invite(talk.office.to_user(2), None).unwrap();
    let legs = talk.view().member(member).unwrap().legs.clone();
    assert_eq!(legs.len(), 2);
    talk.office.signal(legs[1], LegSignalKind::Answered { media: Some(media()) });
    talk.office.serve();
    assert_eq!(talk.leg_of(member), legs[1]);
    talk.office.hang_up_as_told();
    assert_eq!(
        talk.view().member(member).unwrap().state,
        MemberState::Joined,
        "the other phone was only called off"
    );
    assert_eq!(talk.office.phase(legs[0]), sidetone_model::fold::LegPhase::Ended);
}

#[test]
fn how_a_leg_ended_is_said_in_one_word_to_member_and_log() {
    for (cause, expected) in [
        (Cause::Busy, LegStatus::Busy),
        (Cause::Rejected, LegStatus::Rejected),
        (Cause::NoAnswer, LegStatus::Timeout),
        (Cause::Unavailable, LegStatus::Unanswered),
        (Cause::NotFound, LegStatus::Failed),
    ] {
        let mut talk = Talk::new();
        let member = talk.invite(talk.office.to_user(1), None).unwrap();
        let leg = talk.leg_of(member);
        talk.office.signal(leg, ended(cause, 480));
        let view = talk.view().member(member).unwrap();
        assert_eq!((view.state, view.statuses.last().unwrap().0), (MemberState::Left, expected), "{cause:?}");
        assert_eq!(talk.kinds().last(), Some(&EventKind::MemberLeft));
        talk.lasts();
    }
}

#[test]
fn a_caller_who_knocks_is_let_in_and_talks_with_whoever_is_there() {
    let mut talk = Talk::new();
    let bob = talk.invite(talk.office.to_user(1), None).unwrap();
    talk.answers(bob);
    let caller = talk.office.call(talk.office.to(Destination::Wait, 0));
    let knocked_in = talk.office.leg(caller).call;
    let knock = talk.invite(talk.office.to(Destination::Wait, 0), Some(caller)).unwrap();
    let ended = talk.office.shard.fold().call(knocked_in).unwrap().ended.clone();
    assert_eq!(ended.map(|(_, why)| why.cause), Some(Cause::Diverted), "the caller went on elsewhere");
    let (bobs, callers) = (talk.leg_of(bob), talk.leg_of(knock));
    assert_eq!(callers, caller);
    assert_eq!(talk.office.leg(caller).call, talk.office.leg(bobs).call);
    assert_eq!(talk.office.leg(caller).peer, Some(bobs));
    assert_eq!(talk.office.kinds(caller), ["ring", "answer"]);
    assert_eq!(talk.view().member(knock).unwrap().state, MemberState::Joined);
    assert!(talk.view().member(knock).unwrap().knocked);
    talk.lasts();
}

#[test]
fn without_its_id_the_knock_of_the_same_pair_is_taken_and_without_a_knock_nothing_is_called() {
    let mut talk = Talk::new();
    let to = talk.office.to(Destination::Wait, 0);
    assert_eq!(talk.invite(to.clone(), None), Err(CommandError::WouldLoop));
    assert!(talk.kinds().is_empty());
    let caller = talk.office.call(to.clone());
    let member = talk.invite(to, None).unwrap();
    assert_eq!(talk.leg_of(member), caller);
    // Alone for now: the conversation waits for others.
    assert_eq!(talk.office.phase(caller), sidetone_model::fold::LegPhase::Answered);
    let bob = talk.invite(talk.office.to_user(1), None).unwrap();
    let leg = talk.leg_of(bob);
    talk.office.signal(leg, LegSignalKind::Answered { media: Some(media()) });
    assert!(!connects(&talk.office.serve()).is_empty());
    assert_eq!(talk.office.leg(caller).peer, Some(leg));
}

#[test]
fn a_member_that_is_sent_away_has_left_and_a_deleted_conversation_ends_its_call() {
    let mut talk = Talk::new();
    let bob = talk.invite(talk.office.to_user(1), None).unwrap();
    talk.answers(bob);
    let leg = talk.leg_of(bob);
    let (conversation, member) = (talk.conversation, bob);
    talk.ask(ConversationCommand::Leave { conversation, member }).unwrap();
    talk.office.hang_up_as_told();
    assert_eq!(talk.view().member(bob).unwrap().state, MemberState::Left);
    assert_eq!(talk.kinds().iter().filter(|kind| **kind == EventKind::MemberLeft).count(), 1);
    assert_eq!(talk.office.phase(leg), sidetone_model::fold::LegPhase::Ended);

    let again = talk.invite(talk.office.to_user(1), None).unwrap();
    talk.answers(again);
    talk.ask(ConversationCommand::Delete { conversation }).unwrap();
    talk.office.hang_up_as_told();
    assert!(talk.office.shard.fold().calls().all(|call| call.ended.is_some()));
    assert_eq!(talk.ask(ConversationCommand::Delete { conversation }), Err(CommandError::NoSuchConversation));
    talk.lasts();
}

#[test]
fn what_is_not_there_is_refused_and_changes_nothing() {
    let mut talk = Talk::new();
    let other: ConversationId = talk.office.ids.make(talk.office.now);
    let before = talk.office.log.len();
    let post = ConversationCommand::Post {
        conversation: other,
        member: None,
        r#type: "custom:x".into(),
        body: "{}".into(),
    };
    assert_eq!(talk.ask(post), Err(CommandError::NoSuchConversation));
    let conversation = talk.conversation;
    let gone = ConversationCommand::DeleteEvent { conversation, event: 1 };
    assert_eq!(talk.ask(gone), Err(CommandError::NoSuchEvent));
    talk.person = talk.office.ids.make(talk.office.now);
    assert_eq!(talk.invite(talk.office.to_user(1), None), Err(CommandError::NoSuchPerson));
    assert_eq!(talk.office.log.len(), before);
}

impl Talk {
    fn put(&mut self, name: &str) -> Result<ConversationId, CommandError> {
        let conversation = self.office.ids.make(self.office.now);
        let (application, name, display_name) = ("app".into(), name.into(), "".into());
        self.ask(ConversationCommand::Put { conversation, application, name, display_name })?;
        Ok(conversation)
    }

    fn put_person(&mut self, application: &str, name: &str) -> Result<PersonId, CommandError> {
        let person = self.office.ids.make(self.office.now);
        let (application, name, display_name) = (application.into(), name.into(), "".into());
        self.ask(ConversationCommand::PutPerson { person, application, name, display_name })?;
        Ok(person)
    }

    fn is_there(&self, conversation: ConversationId) -> bool {
        self.office.shard.fold().conversations().get(&self.office.tenant, conversation).is_some()
    }
}

#[test]
fn a_name_is_one_ones_own_until_it_is_given_up() {
    let mut talk = Talk::new();
    assert_eq!(talk.put("NAM-2"), Err(CommandError::NameTaken));
    assert_eq!(talk.put_person("app", "NAM-1"), Err(CommandError::NameTaken));
    talk.put_person("another", "NAM-1").unwrap();
    let hall = talk.put("hall").unwrap();
    let (application, display_name): (Box<str>, Box<str>) = ("app".into(), "".into());
    let rename = |name: &str| ConversationCommand::Put {
        conversation: hall,
        application: application.clone(),
        name: name.into(),
        display_name: display_name.clone(),
    };
    assert_eq!(talk.ask(rename("NAM-2")), Err(CommandError::NameTaken));
    talk.ask(rename("hall")).unwrap();
    talk.ask(rename("attic")).unwrap();
    let other = talk.put("hall").unwrap();
    talk.ask(ConversationCommand::Delete { conversation: other }).unwrap();
    talk.put("hall").unwrap();
    talk.lasts();
}

#[test]
fn past_the_bounds_what_nobody_is_in_goes_and_the_oldest_of_it_first() {
    let limits = Limits { conversations_max: 3, persons_max: 3, ..Limits::default() };
    let mut bounded = Talk::over(Office::with(limits));
    let member = bounded.invite(bounded.office.to_user(1), None).unwrap();
    let (second, third) = (bounded.put("second").unwrap(), bounded.put("third").unwrap());
    let fourth = bounded.put("fourth").unwrap();
    assert!(bounded.is_there(bounded.conversation), "somebody is asked in there");
    assert!(!bounded.is_there(second) && !bounded.is_there(third) && bounded.is_there(fourth));
    let others = [bounded.put_person("app", "a").unwrap(), bounded.put_person("app", "b").unwrap()];
    let last = bounded.put_person("app", "c").unwrap();
    let known = bounded.office.shard.fold().conversations();
    assert_eq!(known.totals(&bounded.office.tenant), counted(known, &bounded.office.tenant));
    assert_eq!(bounded.office.evicted, [("conversations", 2), ("persons", 2)]);
    let is_known = |person: PersonId| known.person(&bounded.office.tenant, person).is_some();
    assert!(is_known(bounded.person) && is_known(last) && !others.into_iter().any(is_known));
    assert_eq!(bounded.view().member(member).unwrap().state, MemberState::Invited);
}

#[test]
fn where_nobody_is_and_nothing_happens_for_long_a_conversation_goes() {
    let mut talk = Talk::new();
    let member = talk.invite(talk.office.to_user(1), None).unwrap();
    talk.answers(member);
    let (empty, day) = (talk.put("empty").unwrap(), std::time::Duration::from_secs(24 * 3600));
    let sweep = |talk: &mut Talk, after| {
        talk.office.now = talk.office.now + after;
        talk.office.shard.handle_timeout(talk.office.now)
    };
    drop(sweep(&mut talk, 89 * day));
    assert!(talk.is_there(empty));
    drop(sweep(&mut talk, 2 * day));
    assert!(!talk.is_there(empty) && talk.is_there(talk.conversation));
}

#[test]
fn a_post_is_answered_with_its_own_number_also_when_it_is_repeated() {
    let mut talk = Talk::new();
    let conversation = talk.conversation;
    let mut post = |key: &str, r#type: &str| {
        let (r#type, body) = (r#type.into(), "{}".into());
        let post = ConversationCommand::Post { conversation, member: None, r#type, body };
        let kind = CallCommandKind::Conversation(Box::new(post));
        talk.office.ask(key, kind, Routing::default(), Routing::default()).unwrap()
    };
    let first = post("post-1", "custom:a");
    assert_eq!(first, CommandSubject::ConversationEvent(conversation, 1));
    assert_eq!(post("post-22", "custom:b"), CommandSubject::ConversationEvent(conversation, 2));
    assert_eq!(post("post-1", "custom:a"), first);
    talk.lasts();
}

#[test]
fn a_room_remembers_who_left_last_and_what_was_said_last() {
    let talk = Talk::new();
    let (conversation, person, at) = (talk.conversation, talk.person, talk.office.now);
    let mut fold = talk.office.shard.fold().clone();
    let mut happens = |fact: ConversationFact| {
        let kind = FactKind::Conversation { fact: Box::new(fact) };
        fold.apply(&Fact { tenant: talk.office.tenant.clone(), at, kind });
    };
    for n in 0..=MEMBERS_MAX as u128 {
        let member = MemberId::from(uuid::Uuid::from_u128(n));
        let (from, to, legs, knocked) = ("100".into(), "200".into(), Vec::new(), false);
        happens(ConversationFact::MemberInvited { conversation, member, person, from, to, legs, knocked });
        if n > 0 {
            happens(ConversationFact::MemberLeft { conversation, member });
        }
    }
    let body = Box::from("x".repeat(4096));
    for _ in 0..2 * EVENTS_BYTES_MAX / 4096 {
        let (r#type, body) = ("custom:a".into(), Box::clone(&body));
        happens(ConversationFact::EventPosted { conversation, member: None, r#type, body });
    }
    let view = fold.conversations().get(&talk.office.tenant, conversation).unwrap();
    let kept = |n: u128| view.member(MemberId::from(uuid::Uuid::from_u128(n))).is_some();
    assert_eq!(view.members.len(), MEMBERS_MAX);
    assert!(kept(0) && !kept(1) && kept(2), "who is asked in stays; who left first goes");
    assert!(view.event_bytes <= EVENTS_BYTES_MAX && view.event_bytes > EVENTS_BYTES_MAX / 2);
    assert_eq!(view.events.back().unwrap().id, view.last_event);
    let known = fold.conversations();
    assert_eq!(known.totals(&talk.office.tenant), counted(known, &talk.office.tenant));
}
