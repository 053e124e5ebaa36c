//! REGISTER (RFC 3261, section 10.3): the bindings are read from the directory and written back by compare-and-swap.
//!
//! The address-of-record is the user; each device changes only bindings of its own, and the directory keeps one for
//! each of its `+sip.instance`s and one without. The answer lists those of all devices.

use std::time::Instant;

use sidetone_directory::{Credential, Directory, DirectoryError, Registration as Kept};
use sidetone_model::ids::{DeviceId, ReplicaId, TenantId, UserId};
use sidetone_model::party::{Binding, Flow};
use sidetone_model::termination::Cause;
use sidetone_sip_core::message::{Contact, Request};
use sidetone_sip_core::registrar::{self, ContactBinding, RegisterError, RegistrarPolicy, Registration};
use sidetone_sip_core::transaction::ServerTx;
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
        self.follow_device(&identity.tenant, &credential.user, &credential.device, &pending.flow);
        let task = Task {
            directory: self.parts.directory.clone(),
            tenant: identity.tenant.clone(),
            user: credential.user.clone(),
            device: credential.device.clone(),
            replica: self.parts.replica.clone(),
            policy: self.parts.config.registrar(),
            flow: pending.flow.clone(),
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
            Ok(Stored { request, outcome: Ok(registration) }) => {
                self.count_registration(if registration.changed { "ok" } else { "asked" });
                let response = registration.response(&request, &tag, wall_clock());
                self.respond(tx, response, now);
            }
            Ok(Stored { request, outcome: Err(error) }) => {
                use sidetone_model::classify::Classify as _;
                self.count_registration(error.reason());
                self.respond(tx, error.response(&request, &tag), now);
            }
            Err(error) => {
                self.count_registration("store_failed");
                self.refuse_for(tx, &pending.request, &error, now);
            }
        }
    }

    pub(super) fn count_registration(&self, result: &str) {
        self.parts.telemetry.signalling.registrations.with_label_values(&[result]).inc();
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
                Ok(outcome) => return Ok(Box::new(Stored { request: self.request, outcome })),
            }
        }
    }

    async fn attempt(&self) -> Result<Result<Registration, RegisterError>, DirectoryError> {
        let all = self.directory.bindings(&self.tenant, &self.user).await?;
        let (own, others): (Vec<Kept>, Vec<Kept>) =
            all.into_iter().partition(|kept| kept.binding.device == self.device);
        let reg_id = reg_id(&self.request);
        let current: Vec<ContactBinding> = own.iter().map(|kept| contact(kept, reg_id)).collect();
        let now = wall_clock();
        let mut registration =
            match registrar::process(&current, &self.request, &self.flow, &self.policy, now) {
                Ok(registration) => registration,
                Err(error) => return Ok(Err(error)),
            };
        one_per_instance(&mut registration.bindings);
        if registration.changed {
            self.write(&own, &current, &registration.bindings).await?;
        }
        registration.bindings.extend(others.iter().map(|kept| contact(kept, 0)));
        Ok(Ok(registration))
    }

    async fn write(
        &self,
        own: &[Kept],
        before: &[ContactBinding],
        after: &[ContactBinding],
    ) -> Result<(), DirectoryError> {
        for contact in after.iter().filter(|contact| !before.contains(contact)) {
            let replaced = own.iter().find(|kept| kept.instance == contact.instance);
            let expect = replaced.and_then(|kept| kept.revision).map_or(Expect::Absent, Expect::Revision);
            self.directory.put_registration(&self.tenant, &self.kept(contact), expect).await?;
        }
        for gone in own.iter().filter(|kept| !after.iter().any(|c| c.instance == kept.instance)) {
            let expect = gone.revision.map_or(Expect::Any, Expect::Revision);
            self.directory.delete_registration(&self.tenant, gone, expect).await?;
        }
        Ok(())
    }

    fn kept(&self, contact: &ContactBinding) -> Kept {
        Kept {
            binding: Binding {
                user: self.user.clone(),
                device: self.device.clone(),
                contact_uri: contact.uri.clone(),
                replica: self.replica.clone(),
                flow: contact.flow.clone(),
            },
            expires_at: contact.expires_at,
            user_agent: contact.user_agent.clone(),
            sip_call_id: contact.call_id.clone(),
            cseq: contact.cseq,
            instance: contact.instance.clone(),
            revision: None,
        }
    }
}

/// What is kept, as the registrar's rules want it. The directory keeps one flow of each instance, so that the number of
/// the flow says nothing and is taken to be the one that is asked for.
fn contact(kept: &Kept, reg_id: u32) -> ContactBinding {
    ContactBinding {
        uri: kept.binding.contact_uri.clone(),
        instance: kept.instance.clone(),
        reg_id,
        call_id: kept.sip_call_id.clone(),
        cseq: kept.cseq,
        expires_at: kept.expires_at,
        flow: kept.binding.flow.clone(),
        user_agent: kept.user_agent.clone(),
    }
}

fn reg_id(request: &Request) -> u32 {
    let contacts = request.contacts().unwrap_or_default();
    let ids = contacts.iter().filter_map(|contact| match contact {
        Contact::Address(address) => address.param("reg-id")?.parse().ok(),
        Contact::Wildcard => None,
    });
    ids.last().unwrap_or(0)
}

/// A phone without an instance id that came back behind another port is one contact and not two: the last one counts.
fn one_per_instance(bindings: &mut Vec<ContactBinding>) {
    let mut seen: Vec<Box<str>> = Vec::new();
    bindings.reverse();
    bindings.retain(|binding| {
        let new = !seen.contains(&binding.instance);
        if new {
            seen.push(binding.instance.clone());
        }
        new
    });
    bindings.reverse();
}

const ATTEMPTS_MAX: u32 = 4;
