//! What becomes of a subscription over time: whether its phone may still be told, and where it is now.

use std::time::{Duration, Instant};

use sidetone_model::ids::{DeviceId, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::party::Flow;
use sidetone_model::watch::{Watch, Watched, WatchedKind};
use sidetone_sip_core::events::{EndReason, SubscribeError, Subscription};

use super::table::Subscriber;
use super::whom;
use crate::agent::Agent;
use crate::agent::lookup::{self, Finding, LookupError};
use crate::agent::moved::Search;

impl Agent {
    /// Asks the directory again, as often as a phone refreshes and after a restart, whether it is still one of the tenant's
    /// and may watch whom it watches.
    pub(super) fn look_again(&self, ids: Vec<LegId>) {
        let asked: Vec<(LegId, Subscriber, Watched)> = ids
            .into_iter()
            .filter_map(|id| self.subscriptions.get(id).map(|it| (id, it.by.clone(), it.watched.clone())))
            .collect();
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        tokio::spawn(async move {
            for (id, by, watched) in asked {
                let asking = whom::may_still(&directory, &by, &watched);
                let seen = lookup::within(async { Ok(asking.await?) }).await;
                if findings.send(Finding::Seen { id, seen }).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Whether somebody may still be watched, and whether without names. A directory that does not answer changes nothing.
    pub(in crate::agent) fn handle_seen(
        &mut self,
        id: LegId,
        seen: Result<Result<bool, SubscribeError>, LookupError>,
        now: Instant,
    ) {
        let Some(entry) = self.subscriptions.get_mut(id) else { return };
        match seen {
            Err(_) => return self.settle_subscription(id, now),
            Ok(Ok(nameless)) if nameless == entry.nameless => return self.settle_subscription(id, now),
            Ok(Ok(nameless)) => {
                entry.nameless = nameless;
                // What is known is told without names at once; with them when call control has said it again.
                if let Some(known) = entry.subscription.state().cloned() {
                    entry.subscription.set_state(whom::visible(&known, nameless));
                }
                let watched = entry.watched.clone();
                self.say_watch(Watch { watched, on: true });
            }
            Ok(Err(SubscribeError::NotFound)) => entry.subscription.end(EndReason::NoResource),
            Ok(Err(_)) => entry.subscription.end(EndReason::Rejected),
        }
        self.store_subscription(id, now);
        self.settle_subscription(id, now);
    }

    /// A device has registered over a new connection: its subscriptions over one that is gone follow it.
    pub(in crate::agent) fn follow_with_subscriptions(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
        (flow, now): (&Flow, Instant),
    ) {
        if !flow.transport.is_reliable() || !self.subscriptions.has_any(tenant, user) {
            return;
        }
        let by = Subscriber { tenant: tenant.clone(), user: user.clone(), device: device.clone() };
        for id in self.subscriptions.of_device(&by) {
            self.move_subscription(id, flow, now);
        }
    }

    /// A subscription goes on over another connection, when its own is gone.
    fn move_subscription(&mut self, id: LegId, flow: &Flow, now: Instant) {
        let present = self.subscriptions.get(id).map(|entry| entry.subscription.flow());
        let gone = present.is_some_and(|it| it.transport == flow.transport && !self.stands(it));
        let Some(advertised) = self.parts.outputs.advertised(flow).filter(|_| gone) else { return };
        if let Some(entry) = self.subscriptions.get_mut(id) {
            entry.subscription.move_to(flow, advertised);
        }
        self.store_subscription(id, now);
        self.settle_subscription(id, now);
    }

    /// The connection of a phone that is to be told something is gone: it may have registered at another replica since.
    pub(super) fn look_for_subscriber(&mut self, id: LegId, now: Instant) {
        let Some(entry) = self.subscriptions.get_mut(id) else { return };
        if !entry.subscription.is_unreachable() {
            entry.search = None;
            return;
        }
        if entry.search.is_some_and(|(at, _)| at > now) {
            return;
        }
        let times = entry.search.map_or(0, |(_, times)| times);
        let pause = BETWEEN_SEARCHES * (1 << times.min(SEARCH_DOUBLINGS));
        entry.search = Some((now + pause, times.saturating_add(1)));
        self.subscriptions.schedule(id);
        let Some(entry) = self.subscriptions.get(id) else { return };
        let before = entry.subscription.flow().clone();
        let Subscriber { tenant, user, device } = entry.by.clone();
        let search = Search { tenant, device: (user, device), instance: "".into(), before };
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        tokio::spawn(async move {
            let found = lookup::within(async { Ok(search.run(&directory).await?) }).await;
            // One that is not found is looked for again.
            if let Some(found) = found.unwrap_or_default().into_iter().next() {
                let _agent_gone = findings.send(Finding::SubscriberMoved { id, found }).await;
            }
        });
    }

    pub(in crate::agent) fn handle_subscriber_moved(
        &mut self,
        id: LegId,
        (replica, flow): (ReplicaId, Flow),
        now: Instant,
    ) {
        let waits = self.subscriptions.get(id).is_some_and(|entry| entry.subscription.is_unreachable());
        if !waits {
            return;
        }
        if replica != self.parts.replica {
            self.borrow(flow.clone(), &replica, now);
        }
        self.move_subscription(id, &flow, now);
    }

    /// Whether a phone has subscribed to its mailbox, and need not be told beside that. One whose connection is gone must be.
    pub(in crate::agent) fn watches_mailbox(
        &self,
        tenant: &TenantId,
        user: &UserId,
        device: &DeviceId,
    ) -> bool {
        let watched = Watched { tenant: tenant.clone(), user: user.clone(), what: WatchedKind::Messages };
        let ids = self.subscriptions.watching(&watched);
        let reached = |it: &Subscription| it.is_active() && self.is_reached(it.flow());
        ids.into_iter()
            .filter_map(|id| self.subscriptions.get(id))
            .any(|entry| entry.by.user == *user && entry.by.device == *device && reached(&entry.subscription))
    }

    fn is_reached(&self, flow: &Flow) -> bool {
        !flow.transport.is_reliable() || self.stands(flow)
    }
}

/// Longer than a search takes, and twice as long after each that found nothing.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(3);
/// How often that is doubled: to 48 s.
const SEARCH_DOUBLINGS: u32 = 4;
