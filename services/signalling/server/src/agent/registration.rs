//! REGISTER (RFC 3261, section 10.3): the bindings are read from the directory and written back by compare-and-swap.
//!
//! The address-of-record is the user; each device changes only bindings of its own, and the directory keeps one for
//! each flow of each of its `+sip.instance`s and one for each URI without. The answer lists those of all devices.
//!
//! A connection over which a device has registered as one of several flows (RFC 5626) takes its registration with it when it
//! closes: the others are used at once, instead of when a call over it has failed. A contact without an instance goes when a call to it
//! got no answer at all (430, 408, a dead flow) and its device has another: a phone that was restarted leaves nothing behind that
//! calls wait for. The only contact of a device stays, since its network may be back before its next refresh.

use std::time::{Duration, Instant};

use sidetone_directory::{Credential, Directory, DirectoryError, Registration as Kept};
use sidetone_model::ids::{DeviceId, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::party::{Binding, Flow, Transport};
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::message::{Contact, Request};
use sidetone_sip_core::registrar::{self, ContactBinding, RegisterError, RegistrarPolicy, Registration};
use sidetone_sip_core::transaction::{ServerTx, flow_back};
use sidetone_sip_core::uri::SipUri;
use sidetone_store::Expect;

use super::Agent;
use super::admission::{Pending, is_own_name};
use super::lookup::{self, Finding, Identity, LookupError};
use crate::replica::wall_clock;

/// What became of a REGISTER that may be.
#[derive(Debug)]
pub(super) struct Stored {
    request: Request,
    outcome: Result<Registration, RegisterError>,
    device: (TenantId, UserId, DeviceId),
}

/// What was registered over a connection by a phone with an instance; `reg_id` is 0 where it is not one of several flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    tenant: TenantId,
    user: UserId,
    device: DeviceId,
    instance: Box<str>,
    reg_id: u32,
}

/// A REGISTER whose sender is known.
struct Task {
    directory: Directory,
    tenant: TenantId,
    user: UserId,
    device: DeviceId,
    replica: ReplicaId,
    policy: RegistrarPolicy,
    flow: Flow,
    request: Request,
}

impl Agent {
    pub(super) fn register(
        &mut self,
        tx: ServerTx,
        pending: Pending,
        identity: &Identity,
        credential: &Credential,
        now: Instant,
    ) {
        if !is_own_name(credential, identity, &pending.request) {
            self.count_registration("foreign_address");
            return self.refuse(tx, &pending.request, Cause::Forbidden, now);
        }
        let flow = flow_back(&pending.request, &pending.flow);
        let (user, device) = (&credential.user, &credential.device);
        self.follow_device(&identity.tenant, (user, device), &instance_of(&pending.request), &flow);
        self.follow_with_subscriptions(&identity.tenant, user, device, (&flow, now));
        let task = Task {
            directory: self.parts.directory.clone(),
            tenant: identity.tenant.clone(),
            user: credential.user.clone(),
            device: credential.device.clone(),
            replica: self.parts.replica.clone(),
            policy: self.parts.config.registrar(),
            flow,
            request: pending.request.clone(),
        };
        let findings = self.findings.clone();
        self.pending.insert(tx, pending);
        tokio::spawn(async move {
            let result = lookup::within(task.run()).await;
            let _agent_gone = findings.send(Finding::Stored { tx, result }).await;
        });
    }

    pub(super) fn handle_stored(
        &mut self,
        tx: ServerTx,
        result: Result<Box<Stored>, LookupError>,
        now: Instant,
    ) {
        let Some(pending) = self.pending.remove(&tx) else { return };
        let tag = self.parts.tokens.tag();
        match result.map(|stored| *stored) {
            Ok(Stored { request, outcome: Ok(registration), device }) => {
                self.note_flow(&pending.flow, &registration, device);
                self.count_registration(if registration.changed { "ok" } else { "asked" });
                let timer = flow_timer_s(&pending.flow, self.parts.config.connection_idle());
                let response = registration.response(&request, &tag, Some(timer), wall_clock());
                self.respond(tx, response, now);
                // Behind the answer: a phone need not take a request over a flow of which it does not know yet that it stands.
                self.send_to_returned(now);
            }
            Ok(Stored { request, outcome: Err(error), .. }) => {
                use sidetone_model::classify::Classify as _;
                self.count_registration(error.reason());
                self.parts.defence.refused(error.reason(), now);
                self.respond(tx, error.response(&request, &tag), now);
            }
            Err(error) => {
                self.count_registration("store_failed");
                self.refuse_for(tx, &pending.request, &error, now);
            }
        }
    }

    /// Remembers what goes with a connection; what is no longer registered over it is forgotten.
    fn note_flow(&mut self, flow: &Flow, made: &Registration, device: (TenantId, UserId, DeviceId)) {
        if !flow.transport.is_reliable() {
            return;
        }
        let (tenant, user, device) = device;
        let over = made.bindings.iter().filter(|it| !it.instance.is_empty() && it.flow == *flow);
        let held: Vec<Held> = over
            .map(|binding| Held {
                tenant: tenant.clone(),
                user: user.clone(),
                device: device.clone(),
                instance: binding.instance.clone(),
                reg_id: binding.reg_id,
            })
            .collect();
        match held.is_empty() {
            true => drop(self.flows.remove(flow)),
            false => drop(self.flows.insert(flow.clone(), held)),
        }
    }

    /// A connection has closed: what was registered over it cannot be reached any more.
    pub(super) fn forget_flow(&mut self, flow: &Flow) {
        let Some(mut held) = self.flows.remove(flow) else { return };
        held.retain(|it| it.reg_id > 0);
        if held.is_empty() {
            return;
        }
        self.count_registration("flow_closed");
        let (directory, flow) = (self.parts.directory.clone(), flow.clone());
        tokio::spawn(async move {
            for it in held {
                let gone = lookup::within(async { Ok(it.remove(&directory, &flow).await?) }).await;
                if let Err(error) = gone {
                    // It expires.
                    tracing::debug!(%error, "a registration outlives its connection");
                }
            }
        });
    }

    /// A call to a device has ended: when nobody was there, and the device has another contact, this one goes.
    pub(super) fn note_failed_contact(&self, id: LegId, termination: &Termination) {
        let never_answered = !self.durable.is_stored(id);
        let (Some((user, device)), Some(entry)) = (self.durable.device_of(id), self.legs.get(id)) else {
            return;
        };
        let Some(leg) = entry.leg.as_ref().filter(|_| never_answered && termination.is_of_flow(false)) else {
            return;
        };
        let (tenant, user, device) = (entry.tenant.clone(), user.clone(), device.clone());
        let (flow, target, directory) =
            (leg.flow().clone(), leg.target().clone(), self.parts.directory.clone());
        let registrations = self.parts.telemetry.signalling.registrations.clone();
        tokio::spawn(async move {
            let removing = async {
                let mut loose = directory.bindings(&tenant, &user).await?;
                loose.retain(|kept| kept.binding.device == device && kept.instance.is_empty());
                let is_it = |kept: &Kept| {
                    let uri = SipUri::parse(kept.binding.contact_uri.as_bytes());
                    kept.binding.flow == flow && uri.is_ok_and(|uri| uri.equivalent(&target))
                };
                let dead = loose.iter().find(|kept| is_it(kept)).filter(|_| loose.len() > 1);
                if let Some(dead) = dead {
                    let expect = dead.revision.map_or(Expect::Any, Expect::Revision);
                    directory.delete_registration(&tenant, dead, expect).await?;
                    registrations.with_label_values(&["contact_failed"]).inc();
                }
                Ok(())
            };
            if let Err(error) = lookup::within(removing).await {
                tracing::debug!(%error, "a contact that nobody answers at stays until it expires");
            }
        });
    }

    /// The instance of a device's phone that has registered over a connection; empty where it is not known.
    pub(super) fn instance_over(&self, flow: &Flow, user: &UserId, device: &DeviceId) -> Box<str> {
        let held = self.flows.get(flow).into_iter().flatten();
        let mut own = held.filter(|it| it.user == *user && it.device == *device);
        own.next().map(|it| it.instance.clone()).unwrap_or_default()
    }

    pub(super) fn count_registration(&self, result: &str) {
        self.parts.telemetry.signalling.registrations.with_label_values(&[result]).inc();
    }
}

impl Held {
    /// Unless the device has come back over another connection meanwhile.
    async fn remove(&self, directory: &Directory, flow: &Flow) -> Result<(), DirectoryError> {
        let Held { tenant, user, device, instance, reg_id } = self;
        let kept = directory.registration(tenant, user, device, (instance, *reg_id)).await?;
        match kept.filter(|kept| kept.binding.flow == *flow) {
            Some(kept) => {
                let expect = kept.revision.map_or(Expect::Any, Expect::Revision);
                directory.delete_registration(tenant, &kept, expect).await
            }
            None => Ok(()),
        }
    }
}

impl Task {
    async fn run(self) -> Result<Box<Stored>, LookupError> {
        let mut attempt = 0;
        loop {
            match self.attempt().await {
                // Another REGISTER of the same contact came in between: judge anew.
                Err(DirectoryError::Changed { .. }) if attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error.into()),
                Ok(outcome) => {
                    let device = (self.tenant, self.user, self.device);
                    return Ok(Box::new(Stored { request: self.request, outcome, device }));
                }
            }
        }
    }

    async fn attempt(&self) -> Result<Result<Registration, RegisterError>, DirectoryError> {
        let all = self.directory.bindings(&self.tenant, &self.user).await?;
        let (own, others): (Vec<Kept>, Vec<Kept>) =
            all.into_iter().partition(|kept| kept.binding.device == self.device);
        let current: Vec<ContactBinding> = own.iter().map(contact).collect();
        let now = wall_clock();
        let registration = match registrar::process(&current, &self.request, &self.flow, &self.policy, now) {
            Ok(registration) => registration,
            Err(error) => return Ok(Err(error)),
        };
        if registration.bindings.len() > current.len() && self.tenant_is_full().await? {
            return Ok(Err(RegisterError::TenantFull));
        }
        if registration.changed {
            self.write(&own, &current, &registration.bindings).await?;
        }
        let mut registration = registration;
        registration.bindings.extend(others.iter().map(contact));
        Ok(Ok(registration))
    }

    async fn write(
        &self,
        own: &[Kept],
        before: &[ContactBinding],
        after: &[ContactBinding],
    ) -> Result<(), DirectoryError> {
        for contact in after.iter().filter(|contact| !before.contains(contact)) {
            let replaced = own.iter().find(|kept| is_same(kept, contact));
            let expect = replaced.and_then(|kept| kept.revision).map_or(Expect::Absent, Expect::Revision);
            self.directory.put_registration(&self.tenant, &self.kept(contact), expect).await?;
            if let Some(former) = replaced.filter(|kept| kept.revision.is_none()) {
                self.directory.delete_registration(&self.tenant, former, Expect::Any).await?;
            }
        }
        for gone in own.iter().filter(|kept| !after.iter().any(|contact| is_same(kept, contact))) {
            let expect = gone.revision.map_or(Expect::Any, Expect::Revision);
            self.directory.delete_registration(&self.tenant, gone, expect).await?;
        }
        Ok(())
    }

    /// Only a new contact asks, and only of a tenant that has a limit.
    async fn tenant_is_full(&self) -> Result<bool, DirectoryError> {
        let max = self.directory.tenant(&self.tenant).await?.map_or(0, |tenant| tenant.registrations_max);
        if max == 0 {
            return Ok(false);
        }
        Ok(self.directory.list_registrations(&self.tenant, None).await?.len() >= max as usize)
    }

    fn kept(&self, contact: &ContactBinding) -> Kept {
        Kept {
            binding: Binding {
                user: self.user.clone(),
                device: self.device.clone(),
                contact_uri: contact.uri.clone(),
                replica: self.replica.clone(),
                flow: contact.flow.clone(),
                path: contact.path.clone(),
            },
            expires_at: contact.expires_at,
            user_agent: contact.user_agent.clone(),
            sip_call_id: contact.call_id.clone(),
            cseq: contact.cseq,
            instance: contact.instance.clone(),
            reg_id: contact.reg_id,
            q_thousandths: contact.q_thousandths,
            revision: None,
        }
    }
}

/// What is kept, as the registrar's rules want it.
fn contact(kept: &Kept) -> ContactBinding {
    ContactBinding {
        uri: kept.binding.contact_uri.clone(),
        instance: kept.instance.clone(),
        reg_id: kept.reg_id,
        call_id: kept.sip_call_id.clone(),
        cseq: kept.cseq,
        expires_at: kept.expires_at,
        flow: kept.binding.flow.clone(),
        user_agent: kept.user_agent.clone(),
        q_thousandths: kept.q_thousandths,
        path: kept.binding.path.clone(),
    }
}

/// The +sip.instance of a REGISTER; empty when it has none.
fn instance_of(register: &Request) -> Box<str> {
    let contacts = register.contacts().unwrap_or_default();
    let named = contacts.iter().find_map(|contact| match contact {
        Contact::Address(address) => address.param("+sip.instance"),
        Contact::Wildcard => None,
    });
    named.unwrap_or_default().into()
}

fn is_same(kept: &Kept, contact: &ContactBinding) -> bool {
    let same_flow = kept.instance == contact.instance && kept.reg_id == contact.reg_id;
    same_flow && (!kept.instance.is_empty() || kept.binding.contact_uri == contact.uri)
}

/// After how much silence a flow counts as dead (RFC 5626, section 5.4): before we close a connection, and before most NATs forget.
fn flow_timer_s(flow: &Flow, idle: Duration) -> u64 {
    match flow.transport {
        Transport::Udp => FLOW_TIMER_UDP_S,
        _ => (idle.as_secs() * 3 / 4).clamp(1, FLOW_TIMER_CONNECTION_S),
    }
}

const ATTEMPTS_MAX: u32 = 4;
/// Keep-alives every so often hold the bindings of NATs (RFC 5626, section 4.4.2, has 24 to 29 s for UDP and 95 to 120 s else).
const FLOW_TIMER_UDP_S: u64 = 29;
const FLOW_TIMER_CONNECTION_S: u64 = 120;
