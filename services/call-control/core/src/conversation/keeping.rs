//! How long conversations are kept, and how many.
//!
//! An application may begin a conversation and add a user for every call and never remove them. So one in which nobody is goes
//! when nothing has happened there for long, and earlier when its tenant has as many as it may have: those of long ago first,
//! several at a time. Its application is told as if it had been deleted. Whoever is in a conversation keeps it.

use std::collections::BTreeSet;
use std::time::Duration;

use sidetone_model::conversation::{ConversationFact, ConversationView, MemberState};
use sidetone_model::ids::{ConversationId, PersonId, TenantId};
use sidetone_model::time::Timestamp;

use crate::effect::Effect;
use crate::error::CommandError;
use crate::shard::Shard;

impl Shard {
    /// Sees that a tenant may have one more conversation.
    pub(super) fn make_room_for_conversation(
        &mut self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        if self.fold.conversations().totals(tenant).conversations < self.limits.conversations_max {
            return Ok(());
        }
        let idle = self.idle(tenant, None);
        if idle.is_empty() {
            return Err(CommandError::TooManyConversations);
        }
        let going = idle.into_iter().take(CONVERSATIONS_AT_ONCE).map(|(_, conversation)| conversation);
        self.evict(tenant, "conversations", going.collect(), now);
        Ok(())
    }

    /// Sees that what is said in a tenant's conversations may become more.
    pub(super) fn make_room_for_bytes(
        &mut self,
        tenant: &TenantId,
        wanted: ConversationId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let mut bytes = self.fold.conversations().totals(tenant).event_bytes;
        if bytes < TENANT_BYTES_MAX {
            return Ok(());
        }
        let mut going = Vec::new();
        let mut idle = self.idle(tenant, Some(wanted)).into_iter().take(CONVERSATIONS_AT_ONCE);
        while bytes >= TENANT_BYTES_MAX {
            // Nothing goes for what is refused all the same.
            let (_, conversation) = idle.next().ok_or(CommandError::TooManyConversations)?;
            let of = self.fold.conversations().get(tenant, conversation).map_or(0, |view| view.event_bytes);
            bytes = bytes.saturating_sub(of);
            going.push(conversation);
        }
        self.evict(tenant, "bytes", going, now);
        Ok(())
    }

    /// Sees that a tenant may have one more person who can be a member.
    pub(super) fn make_room_for_person(
        &mut self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let known = self.fold.conversations();
        if known.totals(tenant).persons < self.limits.persons_max {
            return Ok(());
        }
        let members = known.of(tenant).flat_map(|view| &view.members);
        let there = members.filter(|member| member.state != MemberState::Left);
        let needed: BTreeSet<PersonId> = there.map(|member| member.person).collect();
        let others = known.persons(tenant).filter(|view| !needed.contains(&view.person));
        let mut others: Vec<(Timestamp, PersonId)> =
            others.map(|view| (view.created_at, view.person)).collect();
        if others.is_empty() {
            return Err(CommandError::TooManyConversations);
        }
        others.sort_unstable();
        others.truncate(PERSONS_AT_ONCE);
        self.effect(Effect::Evicted { why: "persons", count: others.len() });
        for (_, person) in others {
            self.tell(tenant, ConversationFact::PersonDeleted { person }, now);
        }
        Ok(())
    }

    /// Deletes conversations in which nobody is and nothing has happened for too long.
    pub(crate) fn forget_idle_conversations(&mut self, now: Timestamp) {
        let kept = self.limits.conversation_idle;
        if kept.is_zero() || now.since(self.conversations_swept) < SWEEP_EVERY {
            return;
        }
        self.conversations_swept = now;
        let known = self.fold.conversations().every();
        let over = known.filter(|(_, view)| view.is_empty() && view.last_at() + kept <= now);
        let over: Vec<(TenantId, ConversationId)> = over
            .filter(|(tenant, view)| self.call_of(tenant, view.conversation).is_none())
            .map(|(tenant, view)| (tenant.clone(), view.conversation))
            .take(SWEPT_AT_ONCE)
            .collect();
        for (tenant, conversation) in over {
            self.evict(&tenant, "idle", vec![conversation], now);
        }
    }

    fn evict(&mut self, tenant: &TenantId, why: &'static str, going: Vec<ConversationId>, now: Timestamp) {
        self.effect(Effect::Evicted { why, count: going.len() });
        for conversation in going {
            self.tell(tenant, ConversationFact::Deleted { conversation }, now);
        }
    }

    /// The conversations in which nobody is and that have no call, those of long ago first.
    fn idle(&self, tenant: &TenantId, but: Option<ConversationId>) -> Vec<(Timestamp, ConversationId)> {
        let is_idle = |view: &&ConversationView| {
            view.is_empty()
                && but != Some(view.conversation)
                && self.call_of(tenant, view.conversation).is_none()
        };
        let idle = self.fold.conversations().of(tenant).filter(is_idle);
        let mut idle: Vec<(Timestamp, ConversationId)> =
            idle.map(|view| (view.last_at(), view.conversation)).collect();
        idle.sort_unstable();
        idle
    }
}

/// What the events of a tenant's conversations may cost in memory, in bytes.
const TENANT_BYTES_MAX: usize = 64 << 20;
/// Looking for the oldest takes as long as there are many: several go at a time, in one record.
const CONVERSATIONS_AT_ONCE: usize = 64;
const PERSONS_AT_ONCE: usize = 256;
const SWEPT_AT_ONCE: usize = 256;
const SWEEP_EVERY: Duration = Duration::from_secs(600);
