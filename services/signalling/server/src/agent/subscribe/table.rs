//! The subscriptions that a replica holds, found by their dialog, by whom they watch, and by when they are due.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use sidetone_model::ids::{DeviceId, LegId, TenantId, UserId};
use sidetone_model::watch::{Watch, Watched};
use sidetone_sip_core::events::{Package, Subscription};
use sidetone_sip_core::message::DialogKey;

use crate::subscriptions::SubscriptionsConfig;

/// Whose device has subscribed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subscriber {
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) subscription: Subscription,
    pub(super) by: Subscriber,
    pub(super) watched: Watched,
    /// It is not told with whom the watched user talks.
    pub(super) nameless: bool,
    /// Its connection is gone: when its phone is to be looked for again, and how often it was.
    pub(super) search: Option<(Instant, u32)>,
    due: Option<Instant>,
}

/// All of them. Their ids are of the kind that transactions know as owners.
#[derive(Debug, Default)]
pub(in crate::agent) struct Subscriptions {
    entries: HashMap<LegId, Entry>,
    by_dialog: HashMap<DialogKey, LegId>,
    by_watched: HashMap<Watched, BTreeSet<LegId>>,
    due: BTreeSet<(Instant, LegId)>,
    of_tenant: HashMap<TenantId, usize>,
    of_user: HashMap<(TenantId, UserId), BTreeSet<LegId>>,
    of_package: HashMap<Package, usize>,
    /// What is to be said to the owner, in order.
    watches: VecDeque<Watch>,
}

impl Subscriptions {
    /// Whether one more would be too many for the replica, the tenant or the user.
    pub(super) fn is_full(&self, tenant: &TenantId, user: &UserId, config: &SubscriptionsConfig) -> bool {
        let of_user = self.of_user.get(&(tenant.clone(), user.clone())).map_or(0, BTreeSet::len);
        self.entries.len() >= config.max
            || self.of_tenant.get(tenant).copied().unwrap_or(0) >= config.per_tenant_max
            || of_user >= config.per_user_max
    }

    /// Puts one in.
    pub(super) fn insert(
        &mut self,
        id: LegId,
        subscription: Subscription,
        by: Subscriber,
        (watched, nameless): (Watched, bool),
    ) {
        self.by_dialog.insert(subscription.dialog_key(), id);
        *self.of_tenant.entry(by.tenant.clone()).or_default() += 1;
        self.of_user.entry((by.tenant.clone(), by.user.clone())).or_default().insert(id);
        *self.of_package.entry(subscription.package()).or_default() += 1;
        self.by_watched.entry(watched.clone()).or_default().insert(id);
        let entry = Entry { subscription, by, watched, nameless, search: None, due: None };
        self.entries.insert(id, entry);
    }

    /// Takes one out; with it whom nobody watches any more.
    pub(super) fn remove(&mut self, id: LegId) -> Option<(Entry, Option<Watched>)> {
        let entry = self.entries.remove(&id)?;
        self.by_dialog.remove(&entry.subscription.dialog_key());
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
        less(&mut self.of_tenant, &entry.by.tenant);
        less(&mut self.of_package, &entry.subscription.package());
        leave(&mut self.of_user, &(entry.by.tenant.clone(), entry.by.user.clone()), id);
        let last = leave(&mut self.by_watched, &entry.watched, id);
        let unwatched = last.then(|| entry.watched.clone());
        Some((entry, unwatched))
    }

    pub(super) fn get_mut(&mut self, id: LegId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(super) fn get(&self, id: LegId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(in crate::agent) fn by_dialog(&self, key: &DialogKey) -> Option<LegId> {
        self.by_dialog.get(key).copied()
    }

    /// Those that watch somebody.
    pub(super) fn watching(&self, watched: &Watched) -> Vec<LegId> {
        self.by_watched.get(watched).into_iter().flatten().copied().collect()
    }

    /// Everybody who is watched.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.by_watched.keys()
    }

    /// Those of a device.
    pub(super) fn of_device(&self, by: &Subscriber) -> Vec<LegId> {
        let of_user = self.of_user.get(&(by.tenant.clone(), by.user.clone())).into_iter().flatten();
        of_user.filter(|id| self.entries.get(id).is_some_and(|entry| entry.by == *by)).copied().collect()
    }

    /// Whether a user's phone has any.
    pub(super) fn has_any(&self, tenant: &TenantId, user: &UserId) -> bool {
        self.of_user.contains_key(&(tenant.clone(), user.clone()))
    }

    /// How many there are of a package.
    pub(super) fn count(&self, package: Package) -> usize {
        self.of_package.get(&package).copied().unwrap_or(0)
    }

    /// Notes when one is due.
    pub(super) fn schedule(&mut self, id: LegId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let search = entry.search.filter(|_| entry.subscription.is_unreachable()).map(|(at, _)| at);
        let due = [entry.subscription.poll_timeout(), search].into_iter().flatten().min();
        if due == entry.due {
            return;
        }
        if let Some(before) = entry.due {
            self.due.remove(&(before, id));
        }
        entry.due = due;
        self.due.extend(due.map(|due| (due, id)));
    }

    pub(in crate::agent) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<LegId> {
        let (at, id) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, id));
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.due = None;
        }
        Some(id)
    }

    /// A new stream to the owner: everything is said again.
    pub(super) fn forget_said(&mut self) {
        self.watches.clear();
    }

    pub(super) fn say(&mut self, watch: Watch) {
        self.watches.push_back(watch);
    }

    /// What is to be said next.
    pub(in crate::agent) fn front(&self) -> Option<&Watch> {
        self.watches.front()
    }

    pub(in crate::agent) fn pop(&mut self) {
        self.watches.pop_front();
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

/// Takes one out of a set; true when it was the last.
fn leave<K: std::hash::Hash + Eq>(sets: &mut HashMap<K, BTreeSet<LegId>>, key: &K, id: LegId) -> bool {
    let Some(set) = sets.get_mut(key) else { return false };
    set.remove(&id);
    let last = set.is_empty();
    if last {
        sets.remove(key);
    }
    last
}
