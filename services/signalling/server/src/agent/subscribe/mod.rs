//! SUBSCRIBE and NOTIFY (RFC 6665): phones watch their mailbox (RFC 3842) and the calls of others (RFC 4235).
//!
//! Who may watch whom is asked of the directory; how things stand is told by call control, whose facts are the only source. A
//! subscription lives in this replica and in its store, so that it outlives the process.

mod table;
mod upkeep;
mod whom;

use std::time::Instant;

use sidetone_directory::Credential;
use sidetone_model::classify::Classify as _;
use sidetone_model::ids::{DeviceId, LegId, TenantId, UserId};
use sidetone_model::party::Flow;
use sidetone_model::watch::{Watch, Watched, WatchedKind, WatchedState};
use sidetone_sip_core::events::{
    ALLOW_EVENTS, Granted, NotifyFailure, Package, SubscribeError, Subscription, SubscriptionSetup,
};
use sidetone_sip_core::message::{Method, Request, Response, ResponseBuilder, Status};
use sidetone_sip_core::transaction::{Failure, ServerTx, flow_back};

use super::Agent;
use super::admission::{Pending, is_own_name};
use super::lookup::{self, Finding, Identity, LookupError};
use super::requests::PRODUCT;
use super::upstream::Said;
use crate::replica::wall_clock;
use crate::subscriptions::Record;
use table::Subscriber;
pub(super) use table::Subscriptions;
pub(super) use whom::Watchable;
use whom::Wish;

impl Agent {
    /// A SUBSCRIBE outside of any dialog, whose sender is known.
    pub(super) fn subscribe(
        &mut self,
        tx: ServerTx,
        pending: Pending,
        identity: &Identity,
        credential: &Credential,
        now: Instant,
    ) {
        let package = match Package::of(&pending.request) {
            Ok(package) => package,
            Err(error) => return self.refuse_subscribe(tx, &pending.request, error, now),
        };
        let (tenant, config) = (&identity.tenant, &self.parts.config.subscriptions);
        let error = if !is_own_name(credential, identity, &pending.request) {
            Some(SubscribeError::Forbidden)
        } else {
            let full = self.subscriptions.is_full(tenant, &credential.user, config);
            full.then_some(SubscribeError::TooMany)
        };
        if let Some(error) = error {
            return self.refuse_subscribe(tx, &pending.request, error, now);
        }
        let wish = Wish {
            package,
            tenant: tenant.clone(),
            user: credential.user.clone(),
            device: credential.device.clone(),
            number: pending.request.uri().user(),
        };
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        self.pending.insert(tx, pending);
        tokio::spawn(async move {
            let result = lookup::within(async { Ok(wish.resolve(&directory).await?) }).await;
            let _agent_gone = findings.send(Finding::Watchable { tx, result }).await;
        });
    }

    /// The directory has said who is meant.
    pub(super) fn handle_watchable(
        &mut self,
        tx: ServerTx,
        result: Result<Result<Watchable, SubscribeError>, LookupError>,
        now: Instant,
    ) {
        let Some(pending) = self.pending.remove(&tx) else { return };
        let Pending { flow, request, .. } = pending;
        let made = match result {
            Ok(found) => found.and_then(|found| self.make_subscription(&flow, &request, found, now)),
            Err(error) => return self.refuse_for(tx, &request, &error, now),
        };
        match made {
            Ok((id, granted)) => {
                self.accept_subscribe(tx, id, &request, granted, now);
                self.store_subscription(id, now);
                self.settle_subscription(id, now);
            }
            Err(error) => self.refuse_subscribe(tx, &request, error, now),
        }
    }

    fn make_subscription(
        &mut self,
        flow: &Flow,
        request: &Request,
        found: Watchable,
        now: Instant,
    ) -> Result<(LegId, Granted), SubscribeError> {
        let Watchable { tenant, user, device, watched, nameless } = found;
        if self.subscriptions.is_full(&tenant, &user, &self.parts.config.subscriptions) {
            return Err(SubscribeError::TooMany);
        }
        let flow = flow_back(request, flow);
        let advertised = self.parts.outputs.advertised(&flow).ok_or(SubscribeError::BadContact)?;
        let setup = SubscriptionSetup { flow, advertised, product: PRODUCT.into() };
        let policy = self.parts.config.subscriptions.policy();
        let (subscription, granted) =
            Subscription::new(setup, request, &policy, &mut self.parts.tokens, now)?;
        let id: LegId = self.parts.ids.make(wall_clock());
        self.take_in(id, subscription, Subscriber { tenant, user, device }, (watched, nameless));
        Ok((id, granted))
    }

    fn take_in(&mut self, id: LegId, subscription: Subscription, by: Subscriber, watched: (Watched, bool)) {
        let whom = watched.0.clone();
        // Also those that are not the first: how things stand is said anew with each.
        self.subscriptions.insert(id, subscription, by, watched);
        self.say_watch(Watch { watched: whom, on: true });
    }

    fn say_watch(&mut self, watch: Watch) {
        if self.upstream.is_open() {
            self.upstream.say(Said::Watch);
            self.subscriptions.say(watch);
        }
    }

    /// A SUBSCRIBE, or whatever else, in the dialog of a subscription: nobody else knows our tag.
    pub(super) fn handle_in_subscription(
        &mut self,
        tx: ServerTx,
        id: LegId,
        flow: &Flow,
        request: &Request,
        now: Instant,
    ) {
        if request.method() != Method::Subscribe {
            return self.answer(tx, request, Status::METHOD_NOT_ALLOWED, now);
        }
        let flow = flow_back(request, flow);
        let policy = self.parts.config.subscriptions.policy();
        let (Some(entry), Some(advertised)) =
            (self.subscriptions.get_mut(id), self.parts.outputs.advertised(&flow))
        else {
            return self.answer(tx, request, Status::NO_SUCH_TRANSACTION, now);
        };
        match entry.subscription.handle_subscribe(request, (&flow, advertised), &policy, now) {
            Ok(granted) => {
                self.accept_subscribe(tx, id, request, granted, now);
                self.store_subscription(id, now);
                // How things stand is told when the directory has said that the phone may still be told.
                self.look_again(vec![id]);
            }
            Err(error) => self.refuse_subscribe(tx, request, error, now),
        }
    }

    fn accept_subscribe(
        &mut self,
        tx: ServerTx,
        id: LegId,
        request: &Request,
        granted: Granted,
        now: Instant,
    ) {
        let Some(entry) = self.subscriptions.get(id) else { return };
        let subscription = &entry.subscription;
        self.count_subscribe(request, if granted.expires_s == 0 { "ended" } else { "ok" });
        let ok = ResponseBuilder::new(request, Status::OK, subscription.local_tag())
            .header("Server", PRODUCT)
            .copy("Record-Route", request)
            .header("Contact", subscription.local_contact())
            .header("Expires", granted.expires_s.to_string())
            .header("Allow-Events", ALLOW_EVENTS);
        self.respond(tx, ok.build(), now);
    }

    fn refuse_subscribe(&mut self, tx: ServerTx, request: &Request, error: SubscribeError, now: Instant) {
        self.count_subscribe(request, error.reason());
        let tag = self.parts.tokens.tag();
        self.respond(tx, error.response(request, &tag), now);
    }

    /// How things stand with somebody who is watched.
    pub(super) fn handle_watched(&mut self, state: &WatchedState, now: Instant) {
        for id in self.subscriptions.watching(&state.watched()) {
            if let Some(entry) = self.subscriptions.get_mut(id) {
                entry.subscription.set_state(whom::visible(&state.state, entry.nameless));
            }
            self.settle_subscription(id, now);
            self.look_for_subscriber(id, now);
        }
    }

    /// A phone has answered a NOTIFY. False when it was none of these.
    pub(super) fn handle_notify_response(&mut self, id: LegId, response: &Response, now: Instant) -> bool {
        let Some(entry) = self.subscriptions.get_mut(id) else { return false };
        let status = response.status();
        entry.subscription.handle_response(status, now);
        if status.is_final() {
            let package = entry.subscription.package();
            self.count_notified(package, if status.is_success() { "ok" } else { "refused" });
        }
        self.settle_subscription(id, now);
        true
    }

    /// Nobody has answered a NOTIFY, or it could not be sent. False when it was none of these.
    pub(super) fn handle_notify_failure(&mut self, id: LegId, failure: Failure, now: Instant) -> bool {
        let Some(entry) = self.subscriptions.get_mut(id) else { return false };
        entry.subscription.handle_failure(NotifyFailure::Sent(failure), now);
        let (package, result) = (
            entry.subscription.package(),
            match failure {
                Failure::Timeout => "timeout",
                Failure::Transport => "transport",
            },
        );
        self.count_notified(package, result);
        self.settle_subscription(id, now);
        self.look_for_subscriber(id, now);
        true
    }

    /// Does what is due.
    pub(super) fn tend_subscriptions(&mut self, now: Instant) {
        while let Some(id) = self.subscriptions.pop_due(now) {
            self.settle_subscription(id, now);
            self.look_for_subscriber(id, now);
        }
    }

    /// Sends what is to be sent, and forgets what is over.
    fn settle_subscription(&mut self, id: LegId, now: Instant) {
        let Some(entry) = self.subscriptions.get_mut(id) else { return };
        if let Some(notify) = entry.subscription.poll_notify(now) {
            let flow = entry.subscription.flow().clone();
            if self.parts.transactions.send_request(notify, &flow, id, now).is_err() {
                entry.subscription.handle_failure(NotifyFailure::Full, now);
                let package = entry.subscription.package();
                self.count_notified(package, "full");
            }
        }
        if self.subscriptions.get(id).is_some_and(|entry| entry.subscription.is_over()) {
            self.forget_subscription(id);
        } else {
            self.subscriptions.schedule(id);
        }
    }

    fn forget_subscription(&mut self, id: LegId) {
        let Some((entry, unwatched)) = self.subscriptions.remove(id) else { return };
        if let Some(watched) = unwatched {
            self.say_watch(Watch { watched, on: false });
        }
        if !self.parts.subscription_records.remove(id) {
            self.count_notified(entry.subscription.package(), "not_removed");
        }
        self.show_subscriptions();
    }

    fn store_subscription(&mut self, id: LegId, now: Instant) {
        self.show_subscriptions();
        let Some(entry) = self.subscriptions.get(id) else { return };
        // One that asks only once is not worth it.
        if !entry.subscription.is_active() {
            return;
        }
        let wall = wall_clock();
        let stored = entry.subscription.export(now, wall);
        let expires_at = stored.expires_at();
        let record = Record {
            tenant: entry.by.tenant.to_string(),
            user: entry.by.user.to_string(),
            device: entry.by.device.to_string(),
            watched: entry.watched.user.to_string(),
            subscription: Some(stored),
            nameless: entry.nameless,
        };
        let package = entry.subscription.package();
        if !self.parts.subscription_records.put(id, &record, expires_at) {
            self.count_notified(package, "not_stored");
        }
    }

    /// Takes up the subscriptions of a former life. Phones are told how things stand as soon as call control has said it.
    pub(super) fn restore_subscriptions(&mut self, found: Vec<(LegId, Record)>, now: Instant) {
        let mut taken_up = Vec::with_capacity(found.len());
        for (id, record) in found {
            let Record { tenant, user, device, watched, subscription, nameless } = record;
            let restored =
                subscription.and_then(|stored| Subscription::restore(stored, PRODUCT, now, wall_clock()));
            let who =
                TenantId::new(&tenant).ok().zip(UserId::new(&user).ok()).zip(DeviceId::new(&device).ok());
            let (Some(subscription), Some(((tenant, user), device)), Ok(watched)) =
                (restored, who, UserId::new(&watched))
            else {
                self.parts.subscription_records.remove(id);
                continue;
            };
            let what = kind_of(subscription.package());
            let watched = Watched { tenant: tenant.clone(), user: watched, what };
            self.take_in(id, subscription, Subscriber { tenant, user, device }, (watched, nameless));
            self.subscriptions.schedule(id);
            taken_up.push(id);
        }
        self.show_subscriptions();
        self.look_again(taken_up);
    }

    /// A new stream to the owner: it knows nothing of whom this replica watches.
    pub(super) fn say_watches_again(&mut self) {
        self.subscriptions.forget_said();
        let all: Vec<Watched> = self.subscriptions.watched().cloned().collect();
        all.into_iter().for_each(|watched| self.say_watch(Watch { watched, on: true }));
    }

    fn show_subscriptions(&self) {
        let gauge = &self.parts.telemetry.signalling.subscriptions;
        for package in Package::ALL {
            gauge.with_label_values(&[package.token()]).set(self.subscriptions.count(package) as i64);
        }
    }

    fn count_subscribe(&self, request: &Request, result: &str) {
        let package = Package::of(request).map_or("other", Package::token);
        self.parts.telemetry.signalling.subscribes.with_label_values(&[package, result]).inc();
    }

    fn count_notified(&self, package: Package, result: &str) {
        self.parts.telemetry.signalling.notifications.with_label_values(&[package.token(), result]).inc();
    }
}

/// What call control is asked for.
fn kind_of(package: Package) -> WatchedKind {
    match package {
        Package::MessageSummary => WatchedKind::Messages,
        Package::Dialog => WatchedKind::Dialogs,
    }
}
