//! Conversations in snapshots: piece by piece, since one may be larger than a value of the store.

use sidetone_model::conversation::{ConversationEvent, ConversationFact, ConversationView};
use sidetone_model::fact::{Fact, FactKind, FactRecord};
use sidetone_model::ids::TenantId;
use sidetone_model::time::Timestamp;

use crate::shard::Shard;

impl Shard {
    /// Records that fold to the conversations of this shard.
    pub(crate) fn conversation_records(&self) -> Vec<FactRecord> {
        let known = self.fold.conversations();
        let persons = known.everybody().map(|(tenant, view)| {
            let put = ConversationFact::PersonPut {
                person: view.person,
                application: view.application.clone(),
                name: view.name.clone(),
                display_name: view.display_name.clone(),
            };
            record(tenant, view.created_at, put)
        });
        persons.chain(known.every().flat_map(|(tenant, view)| records(tenant, view))).collect()
    }
}

fn records(tenant: &TenantId, view: &ConversationView) -> Vec<FactRecord> {
    let conversation = view.conversation;
    let at = view.created_at;
    let put = ConversationFact::Put {
        conversation,
        application: view.application.clone(),
        name: view.name.clone(),
        display_name: view.display_name.clone(),
    };
    let mut all = vec![record(tenant, at, put)];
    for member in &view.members {
        let member = Box::new(member.clone());
        all.push(record(tenant, at, ConversationFact::MemberKept { conversation, member }));
    }
    let last = view.last_event;
    let mut events: Vec<ConversationEvent> = Vec::new();
    let mut bytes = 0;
    for event in &view.events {
        events.push(event.clone());
        bytes += event.body.len() + event.text.len() + OVERHEAD_BYTES;
        if bytes >= PIECE_BYTES {
            let events = std::mem::take(&mut events);
            all.push(record(tenant, at, ConversationFact::EventsKept { conversation, last, events }));
            bytes = 0;
        }
    }
    if last > 0 {
        all.push(record(tenant, at, ConversationFact::EventsKept { conversation, last, events }));
    }
    all
}

fn record(tenant: &TenantId, at: Timestamp, fact: ConversationFact) -> FactRecord {
    let kind = FactKind::Conversation { fact: Box::new(fact) };
    FactRecord { facts: vec![Fact { tenant: tenant.clone(), at, kind }], ..FactRecord::default() }
}

const PIECE_BYTES: usize = 128 * 1024;
/// What an event costs beside its texts, at most.
const OVERHEAD_BYTES: usize = 128;
