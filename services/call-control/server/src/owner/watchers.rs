//! Which replicas watch whom (their phones have subscribed), and what they were told last.
//!
//! Everything is computed out of the fold, once it is in the log; nothing is kept that a restart could lose, because the replicas
//! say on each new stream whom they watch. A replica that does not keep up is told later: what counts is how things stand then.

use std::collections::{BTreeMap, BTreeSet};

use sidetone_model::fact::{Fact, FactKind};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{CallId, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::signal::OwnerMessage;
use sidetone_model::watch::{UserState, Watch, Watched, WatchedKind, WatchedState};

use super::replicas::Replicas;

/// Who is watched, and what is still to be told.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// For each replica what it was told last.
    watched: BTreeMap<Watched, BTreeMap<ReplicaId, Option<UserState>>>,
    changed: BTreeSet<Watched>,
}

/// What became of telling.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) sent: u64,
    pub(super) later: u64,
}

impl Watchers {
    /// How many users are watched, each way of watching counted.
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// A replica begins to watch or ends it. False when too many are watched already.
    pub(super) fn handle_watch(&mut self, replica: &ReplicaId, watch: Watch) -> bool {
        let Watch { watched, on } = watch;
        if !on {
            if let Some(replicas) = self.watched.get_mut(&watched) {
                replicas.remove(replica);
                if replicas.is_empty() {
                    self.watched.remove(&watched);
                }
            }
            return true;
        }
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&watched) {
            return false;
        }
        self.watched.entry(watched.clone()).or_default().insert(replica.clone(), None);
        self.changed.insert(watched);
        true
    }

    /// A replica's stream is over, or a new one begins: it says again whom it watches.
    pub(super) fn forget_replica(&mut self, replica: &ReplicaId) {
        self.watched.retain(|_, replicas| {
            replicas.remove(replica);
            !replicas.is_empty()
        });
    }

    /// Facts that have just been folded: who is watched and may have changed by them is looked at when they are in the log.
    pub(super) fn note(&mut self, fold: &Fold, facts: &[Fact]) {
        if self.watched.is_empty() {
            return;
        }
        for fact in facts {
            match touched(&fact.kind) {
                Touched::Mailbox(user) => self.changed(&fact.tenant, user, WatchedKind::Messages),
                Touched::Leg(leg) => {
                    if let Some(leg) = fold.leg(leg) {
                        self.changed_call(fold, &fact.tenant, leg.call);
                    }
                }
                Touched::Calls(calls) => {
                    calls.into_iter().for_each(|call| self.changed_call(fold, &fact.tenant, call));
                }
                Touched::Nobody => {}
            }
        }
    }

    fn changed_call(&mut self, fold: &Fold, tenant: &TenantId, call: CallId) {
        for user in fold.users_of(call) {
            self.changed(tenant, user, WatchedKind::Dialogs);
        }
    }

    fn changed(&mut self, tenant: &TenantId, user: &UserId, what: WatchedKind) {
        let watched = Watched { tenant: tenant.clone(), user: user.clone(), what };
        if self.watched.contains_key(&watched) {
            self.changed.insert(watched);
        }
    }

    /// Tells every replica what has changed for it since it was last told. `fold_of` finds a tenant's fold.
    pub(super) fn tell<'a>(
        &mut self,
        replicas: &Replicas,
        fold_of: impl Fn(&TenantId) -> Option<&'a Fold>,
    ) -> Told {
        let mut told = Told::default();
        for watched in std::mem::take(&mut self.changed) {
            let (Some(by), Some(fold)) = (self.watched.get_mut(&watched), fold_of(&watched.tenant)) else {
                continue;
            };
            let state = state_of(fold, &watched);
            let mut behind = false;
            for (replica, last) in by.iter_mut().filter(|(_, last)| last.as_ref() != Some(&state)) {
                let (tenant, user) = (watched.tenant.clone(), watched.user.clone());
                let message = WatchedState { tenant, user, state: state.clone() };
                if replicas.offer(replica, OwnerMessage::Watched(message)) {
                    *last = Some(state.clone());
                    told.sent += 1;
                } else {
                    behind = true;
                    told.later += 1;
                }
            }
            if behind {
                self.changed.insert(watched);
            }
        }
        told
    }
}

/// How things stand with somebody.
fn state_of(fold: &Fold, watched: &Watched) -> UserState {
    let Watched { tenant, user, what } = watched;
    match what {
        WatchedKind::Messages => {
            let (new, old) = fold.message_counts(tenant, user);
            UserState::Messages { new, old }
        }
        WatchedKind::Dialogs => UserState::Dialogs(fold.dialogs_of(tenant, user)),
    }
}

/// Whose state a fact may change.
enum Touched<'a> {
    Mailbox(&'a UserId),
    Leg(LegId),
    Calls(Vec<CallId>),
    Nobody,
}

fn touched(kind: &FactKind) -> Touched<'_> {
    match kind {
        FactKind::MessageLeft { user, .. }
        | FactKind::MessageHeard { user, .. }
        | FactKind::MessageDeleted { user, .. } => Touched::Mailbox(user),
        FactKind::LegCreated { leg, .. }
        | FactKind::LegRinging { leg }
        | FactKind::LegWaking { leg }
        | FactKind::LegWaiting { leg, .. }
        | FactKind::LegAnswered { leg, .. }
        | FactKind::LegServed { leg, .. }
        | FactKind::LegEnded { leg, .. }
        | FactKind::ParticipantJoined { leg, .. }
        | FactKind::ParticipantLeft { leg, .. } => Touched::Leg(*leg),
        FactKind::LegMoved { from, to, .. } => Touched::Calls(vec![*from, *to]),
        FactKind::LegsBridged { call, .. }
        | FactKind::CallDiverted { call, .. }
        | FactKind::CallConferenced { call, .. }
        | FactKind::CallEnded { call, .. } => Touched::Calls(vec![*call]),
        _ => Touched::Nobody,
    }
}

/// Watched users at most, over all replicas; each replica has a bound of its own.
const WATCHED_MAX: usize = 200_000;
