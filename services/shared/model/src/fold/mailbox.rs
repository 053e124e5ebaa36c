//! Voicemail messages, by the user for whom they were left. They outlive the calls in which they were.

use std::collections::BTreeMap;

use super::Fold;
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, NodeId, RecordingId, TenantId, UserId};
use crate::party::Party;
use crate::time::Timestamp;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageView {
    /// The recording that it is.
    pub message: RecordingId,
    /// The call in which it was left.
    pub call: CallId,
    /// Who left it.
    pub from: Party,
    /// When.
    pub left_at: Timestamp,
    /// The node that recorded it.
    pub node: NodeId,
    /// Relative to the recording folder of that node.
    pub file: Box<str>,
    /// Milliseconds of sound.
    pub duration_ms: u64,
    /// The user has listened to it.
    pub heard: bool,
}

/// Messages in the order in which they were begun.
pub(super) type Mailboxes = BTreeMap<(TenantId, UserId), BTreeMap<RecordingId, MessageView>>;

impl Fold {
    /// The messages of a user, oldest first.
    pub fn messages(&self, tenant: &TenantId, user: &UserId) -> impl Iterator<Item = &MessageView> {
        self.mailboxes.get(&(tenant.clone(), user.clone())).into_iter().flat_map(BTreeMap::values)
    }

    /// Messages of a user: not heard yet, and heard.
    pub fn message_counts(&self, tenant: &TenantId, user: &UserId) -> (u32, u32) {
        let messages = self.messages(tenant, user);
        messages.fold((0, 0), |(new, old), view| if view.heard { (new, old + 1) } else { (new + 1, old) })
    }

    /// One message of a user.
    pub fn message(&self, tenant: &TenantId, user: &UserId, message: RecordingId) -> Option<&MessageView> {
        self.mailboxes.get(&(tenant.clone(), user.clone()))?.get(&message)
    }

    /// Every mailbox with a message in it.
    pub fn mailboxes(
        &self,
    ) -> impl Iterator<Item = (&TenantId, &UserId, impl Iterator<Item = &MessageView>)> {
        self.mailboxes.iter().map(|((tenant, user), messages)| (tenant, user, messages.values()))
    }

    /// Wrong PINs in a row at a user's mailbox, and when the last was dialled; none when the last was right.
    pub fn wrong_pins(&self, tenant: &TenantId, user: &UserId) -> Option<(u32, Timestamp)> {
        self.wrong_pins.get(&(tenant.clone(), user.clone())).copied()
    }

    /// Every mailbox at which the last PIN was wrong.
    pub fn all_wrong_pins(&self) -> impl Iterator<Item = (&TenantId, &UserId, u32, Timestamp)> {
        self.wrong_pins.iter().map(|((tenant, user), (wrong, at))| (tenant, user, *wrong, *at))
    }

    pub(super) fn apply_to_mailbox(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::MailboxPinTried { user, wrong } => {
                let key = (fact.tenant.clone(), user.clone());
                match wrong {
                    0 => drop(self.wrong_pins.remove(&key)),
                    _ => drop(self.wrong_pins.insert(key, (*wrong, fact.at))),
                }
            }
            FactKind::MessageLeft { message, user, call, from, node, file, duration_ms } => {
                let view = MessageView {
                    message: *message,
                    call: *call,
                    from: from.clone(),
                    left_at: fact.at,
                    node: node.clone(),
                    file: file.clone(),
                    duration_ms: *duration_ms,
                    heard: false,
                };
                let mailbox = self.mailboxes.entry((fact.tenant.clone(), user.clone())).or_default();
                mailbox.insert(*message, view);
            }
            FactKind::MessageHeard { message, user } => {
                let mailbox = self.mailboxes.get_mut(&(fact.tenant.clone(), user.clone()));
                if let Some(view) = mailbox.and_then(|messages| messages.get_mut(message)) {
                    view.heard = true;
                }
            }
            FactKind::MessageDeleted { message, user } => {
                let key = (fact.tenant.clone(), user.clone());
                let Some(mailbox) = self.mailboxes.get_mut(&key) else { return };
                mailbox.remove(message);
                if mailbox.is_empty() {
                    self.mailboxes.remove(&key);
                }
            }
            _ => {}
        }
    }
}
