//! Requests of ours within a call whose phone has no connection: they wait until it registers again.
//!
//! When a replica was killed, its connections died with it, and a phone behind a NAT cannot be connected to. It comes back by itself
//! (RFC 5626, section 4.5), within seconds to minutes. A BYE, and a change of the session, wait for that as long as their
//! transaction would have waited for an answer (64 T1: timers B and F of RFC 3261); then they fail, and are counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sidetone_model::ids::{LegId, ReplicaId};
use sidetone_model::party::Flow;
use sidetone_sip_core::leg::Leg;
use sidetone_sip_core::message::{Method, Request};

use super::Agent;
use super::moved::Search;

/// What waits for phones: one request of each leg, the last one, so that legs are the bound.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    waiting: HashMap<LegId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    flow: Flow,
    request: Box<Request>,
    until: Instant,
    /// When the directory is asked again: a phone may come back at another replica.
    look_at: Instant,
}

impl Awaited {
    /// When something is to be done about it.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.values().map(|it| it.until.min(it.look_at)).min()
    }

    fn legs(&self) -> Vec<LegId> {
        self.waiting.keys().copied().collect()
    }

    /// Whether a request waits for its phone at all: digits that come half a minute late are none.
    pub(super) fn may_wait(request: &Request) -> bool {
        matches!(request.method(), Method::Bye | Method::Invite | Method::Update)
    }
}

impl Agent {
    /// A request waits until its phone is back.
    pub(super) fn await_phone(&mut self, id: LegId, flow: Flow, request: Box<Request>, now: Instant) {
        let until = now + self.parts.timers.timeout();
        let waiting = Waiting { flow, request, until, look_at: now + BETWEEN_LOOKS };
        // A BYE makes whatever waited before it pointless.
        self.awaited.waiting.insert(id, waiting);
        self.count_awaited("waits");
    }

    /// Sends what waited for phones that are back.
    pub(super) fn send_to_returned(&mut self, now: Instant) {
        for id in self.awaited.legs() {
            let flow = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).map(Leg::flow).cloned();
            if let Some(flow) = flow.filter(|flow| self.stands(flow)) {
                self.send_awaited(id, &flow, now);
            }
        }
    }

    /// Gives up what has waited for too long, and looks for the other phones from time to time. One that is just registering has its
    /// answer first, which is why nothing is sent between two looks.
    pub(super) fn tend_awaited(&mut self, now: Instant) {
        for id in self.awaited.legs() {
            let flow = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).map(Leg::flow).cloned();
            let Some(flow) = flow else {
                self.forget_awaited(id);
                continue;
            };
            let stands = self.stands(&flow);
            let Some(waiting) = self.awaited.waiting.get_mut(&id) else { continue };
            if waiting.until <= now {
                self.give_up_phone(id, now);
            } else if waiting.look_at <= now {
                waiting.look_at = now + BETWEEN_LOOKS;
                let before = waiting.flow.clone();
                if stands {
                    self.send_awaited(id, &flow, now);
                } else if let Some(search) = self.search(id, &before) {
                    self.look_for(id, search, None);
                }
            }
        }
    }

    /// The directory says over what a phone that is waited for is registered now, best first.
    pub(super) fn handle_found_again(&mut self, id: LegId, found: Vec<(ReplicaId, Flow)>, now: Instant) {
        if !self.awaited.waiting.contains_key(&id) {
            return;
        }
        if let Some(over) = self.take_up(id, found, now) {
            self.send_awaited(id, &over, now);
        }
    }

    fn send_awaited(&mut self, id: LegId, over: &Flow, now: Instant) {
        let Some(waiting) = self.awaited.waiting.remove(&id) else { return };
        self.count_awaited("came");
        let (flow, request) = match self.rewritten(&waiting.request, over) {
            Some(rewritten) => (over.clone(), rewritten),
            None => (waiting.flow, *waiting.request),
        };
        self.send_request(id, flow, request, now);
        self.settle_leg(id, now);
    }

    fn give_up_phone(&mut self, id: LegId, now: Instant) {
        let Some(waiting) = self.awaited.waiting.remove(&id) else { return };
        self.count_awaited("gave_up");
        tracing::debug!(leg = %id, "a phone whose connection is gone has not come back");
        // It fails, since there is no connection, and the leg hears of that.
        self.send_request(id, waiting.flow, *waiting.request, now);
        self.settle_leg(id, now);
    }

    /// The leg is over, by its phone's BYE for example.
    fn forget_awaited(&mut self, id: LegId) {
        if self.awaited.waiting.remove(&id).is_some() {
            self.count_awaited("over");
        }
    }

    fn count_awaited(&self, result: &str) {
        self.parts.telemetry.signalling.phones_awaited.with_label_values(&[result]).inc();
    }

    pub(super) fn search(&self, id: LegId, before: &Flow) -> Option<Search> {
        let tenant = self.legs.get(id)?.tenant.clone();
        let device = self.durable.device_of(id)?.clone();
        let instance = self.durable.instance_of(id).into();
        Some(Search { tenant, device, instance, before: before.clone() })
    }
}

/// Between two looks into the directory for one phone.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
