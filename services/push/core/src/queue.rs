//! What is due when, fairly between tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use sidetone_model::ids::{PushId, TenantId};
use sidetone_model::time::Timestamp;

use crate::wake_up::Key;

/// Due times by tenant. Tenants are served in turn, so that the backlog of one does not hold up another.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    tenants: BTreeMap<TenantId, Lane>,
    last_served: Option<TenantId>,
    pub(crate) in_flight: usize,
    pub(crate) open: usize,
}

#[derive(Debug, Default)]
struct Lane {
    due: BTreeSet<(Timestamp, PushId)>,
    in_flight: usize,
    open: usize,
}

impl Queue {
    pub(crate) fn open_of(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).map_or(0, |lane| lane.open)
    }

    /// Something of this tenant begins to be, or is no longer, open.
    pub(crate) fn count_open(&mut self, tenant: &TenantId, open: bool) {
        let lane = self.tenants.entry(tenant.clone()).or_default();
        let step = |count: &mut usize| *count = if open { *count + 1 } else { count.saturating_sub(1) };
        step(&mut lane.open);
        step(&mut self.open);
        self.tidy(tenant);
    }

    pub(crate) fn insert(&mut self, key: &Key, at: Timestamp) {
        self.tenants.entry(key.tenant.clone()).or_default().due.insert((at, key.push));
    }

    pub(crate) fn remove(&mut self, key: &Key, at: Timestamp) {
        if let Some(lane) = self.tenants.get_mut(&key.tenant) {
            lane.due.remove(&(at, key.push));
        }
        self.tidy(&key.tenant);
    }

    /// Takes what is due, of the tenant whose turn it is, and counts it as under way.
    pub(crate) fn take(&mut self, now: Timestamp, per_tenant_max: usize, max: usize) -> Option<Key> {
        if self.in_flight >= max {
            return None;
        }
        let after = match &self.last_served {
            Some(tenant) => Bound::Excluded(tenant.clone()),
            None => Bound::Unbounded,
        };
        let ready = |(_, lane): &(&TenantId, &Lane)| {
            lane.in_flight < per_tenant_max && lane.due.first().is_some_and(|(at, _)| *at <= now)
        };
        let later = self.tenants.range((after, Bound::Unbounded)).find(ready);
        let tenant = later.or_else(|| self.tenants.iter().find(ready)).map(|(tenant, _)| tenant.clone())?;
        let lane = self.tenants.get_mut(&tenant)?;
        let (_, push) = lane.due.pop_first()?;
        lane.in_flight += 1;
        self.in_flight += 1;
        self.last_served = Some(tenant.clone());
        Some(Key { tenant, push })
    }

    pub(crate) fn landed(&mut self, tenant: &TenantId) {
        if let Some(lane) = self.tenants.get_mut(tenant) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.tidy(tenant);
    }

    /// When the next attempt can be made; none while only an attempt's end can make room.
    pub(crate) fn next_due(&self, per_tenant_max: usize, max: usize) -> Option<Timestamp> {
        if self.in_flight >= max {
            return None;
        }
        let lanes = self.tenants.values().filter(|lane| lane.in_flight < per_tenant_max);
        lanes.filter_map(|lane| lane.due.first()).map(|(at, _)| *at).min()
    }

    fn tidy(&mut self, tenant: &TenantId) {
        if self.tenants.get(tenant).is_some_and(|l| l.due.is_empty() && l.in_flight == 0 && l.open == 0) {
            self.tenants.remove(tenant);
        }
    }
}
