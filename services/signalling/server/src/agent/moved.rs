//! A phone whose connection is gone is looked for where it has registered since, at whatever replica: a BYE of ours must reach it.

use std::time::Instant;

use sidetone_directory::{Directory, Registration};
use sidetone_model::ids::{DeviceId, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::party::Flow;
use sidetone_sip_core::message::{Method, Request};
use sidetone_sip_core::transaction::Failure;

use super::Agent;
use super::lookup::{self, Finding};

/// Whose connection is wanted, and in place of which.
pub(super) struct Search {
    pub(super) tenant: TenantId,
    pub(super) device: (UserId, DeviceId),
    pub(super) before: Flow,
}

impl Agent {
    /// A request that can go now; one within a dialog whose connection is gone waits until its phone has been looked for.
    pub(super) fn goes_now(
        &mut self,
        id: LegId,
        flow: Flow,
        request: Request,
        now: Instant,
    ) -> Option<(Flow, Request)> {
        if self.stands(&flow) {
            return Some((flow, request));
        }
        let Some(search) = self.search_for(id, &flow, &request, now) else { return Some((flow, request)) };
        self.look_for(id, search, Box::new(request));
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
        let Some(search) = self.search_for(id, &flow, &request, now) else { return false };
        self.look_for(id, search, request);
        true
    }

    /// What to look for; none when that makes no sense, or was done a moment ago.
    fn search_for(&mut self, id: LegId, flow: &Flow, request: &Request, now: Instant) -> Option<Search> {
        let within = request.to().tag().is_some() && request.method() != Method::Cancel;
        let tenant = self.legs.get(id)?.tenant.clone();
        let search = within && flow.transport.is_reliable() && self.durable.may_search(id, now);
        let device = self.durable.device_of(id).filter(|_| search)?.clone();
        Some(Search { tenant, device, before: flow.clone() })
    }

    fn look_for(&self, id: LegId, search: Search, request: Box<Request>) {
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        tokio::spawn(async move {
            let found = lookup::within(async { Ok(search.run(&directory).await?) }).await;
            let (found, flow) = (found.unwrap_or_default(), search.before);
            let _agent_gone = findings.send(Finding::Moved { leg: id, flow, request, found }).await;
        });
    }

    pub(super) fn handle_moved(
        &mut self,
        id: LegId,
        (mut flow, mut request): (Flow, Request),
        found: Option<(ReplicaId, Flow)>,
        now: Instant,
    ) {
        if let Some((replica, over)) = found
            && let Some(rewritten) = self.rewritten(&request, &over)
        {
            if replica != self.parts.replica {
                self.borrow(over.clone(), &replica, now);
            }
            self.legs.move_to(id, &over);
            (flow, request) = (over, rewritten);
        }
        self.send_request(id, flow, request, now);
        self.settle_leg(id, now);
    }
}

impl Search {
    /// The connection over which the device has registered last.
    pub(super) async fn run(
        &self,
        directory: &Directory,
    ) -> Result<Option<(ReplicaId, Flow)>, sidetone_directory::DirectoryError> {
        let (user, device) = &self.device;
        let all = directory.bindings(&self.tenant, user).await?;
        let is_other = |kept: &Registration| {
            let binding = &kept.binding;
            let same_kind = binding.flow.transport == self.before.transport;
            binding.device == *device && same_kind && binding.flow != self.before
        };
        let last = all.into_iter().filter(is_other).max_by_key(|kept| kept.expires_at);
        Ok(last.map(|kept| (kept.binding.replica, kept.binding.flow)))
    }
}
