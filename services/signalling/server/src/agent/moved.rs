//! A phone whose connection is gone is looked for where it has registered since, at whatever replica: a BYE of ours must reach it.
//! One that has not yet is waited for ([`super::awaited`]).

use std::time::Instant;

use sidetone_directory::{Directory, DirectoryError, Registration};
use sidetone_model::ids::{DeviceId, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::party::Flow;
use sidetone_sip_core::message::{Method, Request};
use sidetone_sip_core::transaction::Failure;

use super::Agent;
use super::awaited::Awaited;
use super::lookup::{self, Finding};

/// Whose connection is wanted, and in place of which.
pub(super) struct Search {
    pub(super) tenant: TenantId,
    pub(super) device: (UserId, DeviceId),
    /// The +sip.instance of the phone; empty where it is not known.
    pub(super) instance: Box<str>,
    pub(super) before: Flow,
}

impl Agent {
    /// A request that can go now; one within a dialog whose connection is gone waits until its phone has been found.
    pub(super) fn goes_now(
        &mut self,
        id: LegId,
        flow: Flow,
        request: Request,
        now: Instant,
    ) -> Option<(Flow, Request)> {
        if self.stands(&flow) || !self.is_of_phone(id, &flow, &request) {
            return Some((flow, request));
        }
        if !self.durable.may_search(id, now) {
            // It was looked for a moment ago, and will be again.
            if Awaited::may_wait(&request) {
                self.await_phone(id, flow, Box::new(request), now);
                return None;
            }
            return Some((flow, request));
        }
        let Some(search) = self.search(id, &flow) else { return Some((flow, request)) };
        self.look_for(id, search, Some((flow, Box::new(request))));
        None
    }

    /// The connection broke while a request within a dialog was on its way over it: it goes out once more when the phone has
    /// another. True when that is being tried.
    pub(super) fn reaches_device_again(
        &mut self,
        id: LegId,
        request: Box<Request>,
        failure: Failure,
        now: Instant,
    ) -> bool {
        let flow = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).map(|leg| leg.flow().clone());
        let Some(flow) = flow.filter(|_| failure == Failure::Transport) else { return false };
        if !self.is_of_phone(id, &flow, &request) || !self.durable.may_search(id, now) {
            return false;
        }
        let Some(search) = self.search(id, &flow) else { return false };
        self.look_for(id, search, Some((flow, request)));
        true
    }

    /// Whether a request is one within a call, to a phone of ours that is reached over a connection.
    fn is_of_phone(&self, id: LegId, flow: &Flow, request: &Request) -> bool {
        let within = request.to().tag().is_some() && request.method() != Method::Cancel;
        within && flow.transport.is_reliable() && self.durable.is_device(id)
    }

    /// Looks a phone up, for a request that has not waited so far or, without, for the one that waits.
    pub(super) fn look_for(&self, id: LegId, search: Search, request: Option<(Flow, Box<Request>)>) {
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        tokio::spawn(async move {
            let found = lookup::within(async { Ok(search.run(&directory).await?) }).await;
            let found = found.unwrap_or_default();
            let _agent_gone = findings.send(Finding::Moved { leg: id, request, found }).await;
        });
    }

    pub(super) fn handle_moved(
        &mut self,
        id: LegId,
        (flow, request): (Flow, Box<Request>),
        found: Vec<(ReplicaId, Flow)>,
        now: Instant,
    ) {
        let over = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).map(|leg| leg.flow().clone());
        // It may have registered here meanwhile.
        let over = over.filter(|over| self.stands(over)).or_else(|| self.take_up(id, found, now));
        match over.and_then(|over| Some((self.rewritten(&request, &over)?, over))) {
            Some((rewritten, over)) => self.send_request(id, over, rewritten, now),
            None if Awaited::may_wait(&request) => self.await_phone(id, flow, request, now),
            None => self.send_request(id, flow, *request, now),
        }
        self.settle_leg(id, now);
    }

    /// The leg goes on over the first of these flows that there is.
    pub(super) fn take_up(&mut self, id: LegId, found: Vec<(ReplicaId, Flow)>, now: Instant) -> Option<Flow> {
        let here = &self.parts.replica;
        let (replica, over) =
            found.into_iter().find(|(replica, flow)| replica != here || self.stands(flow))?;
        if replica != self.parts.replica {
            self.borrow(over.clone(), &replica, now);
        }
        self.legs.move_to(id, &over);
        Some(over)
    }
}

impl Search {
    /// Over what the phone is registered, best first: where several telephones share one device's password, the very phone where it
    /// is known by its instance; the last that came before the others.
    pub(super) async fn run(&self, directory: &Directory) -> Result<Vec<(ReplicaId, Flow)>, DirectoryError> {
        let (user, device) = &self.device;
        let mut all = directory.bindings(&self.tenant, user).await?;
        let is_other = |kept: &Registration| {
            let binding = &kept.binding;
            let same_kind = binding.flow.transport == self.before.transport;
            binding.device == *device
                && same_kind
                && binding.flow != self.before
                && may_be_same(&self.instance, &kept.instance)
        };
        all.retain(is_other);
        all.sort_by_key(|kept| {
            std::cmp::Reverse((kept.instance == self.instance && !kept.instance.is_empty(), kept.expires_at))
        });
        Ok(all.into_iter().map(|kept| (kept.binding.replica, kept.binding.flow)).collect())
    }
}

/// Whether two contacts of a device may be of one phone (RFC 5626, section 4.1): what has no instance may be any.
pub(super) fn may_be_same(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one == other
}
