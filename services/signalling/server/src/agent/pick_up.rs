//! Who may take a call that rings at another user's phone by INVITE with Replaces (RFC 3891, section 5, wants it authorised).
//!
//! A watcher of somebody's calls (RFC 4235) is told the ids of the legs, and to watch is not to take. It takes the own user's
//! calls, everybody's with the right to pick up, and those of the other members of a pick-up group. Who has proved nothing,
//! and what comes over a trunk, takes none.

use std::time::Instant;

use sidetone_directory::{Credential, Directory, DirectoryError};
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::Cause;
use sidetone_sip_core::message::Request;
use sidetone_sip_core::replaces::Replaces;
use sidetone_sip_core::transaction::ServerTx;

use super::Agent;
use super::admission::Pending;
use super::lookup::{self, Finding, Identity, LookupError};

/// Who wants to take a call, while the directory is asked.
#[derive(Debug)]
pub(super) struct Taker {
    identity: Identity,
    credential: Credential,
}

impl Agent {
    /// A call of somebody who is known comes in, perhaps in place of one that rings at another user's phone.
    pub(super) fn offer_if_it_may(
        &mut self,
        tx: ServerTx,
        pending: Pending,
        identity: Identity,
        credential: Credential,
        now: Instant,
    ) {
        let rung = self.rung_at(&pending.request, &identity.tenant);
        let Some(rung) = rung.filter(|rung| *rung != credential.user) else {
            return self.offer(tx, pending, &identity, Some(credential), now);
        };
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        self.pending.insert(tx, pending);
        tokio::spawn(async move {
            let asking = may_take(&directory, &identity.tenant, (&credential.user, &rung));
            let may = lookup::within(async { Ok(asking.await?) }).await;
            let by = Box::new(Taker { identity, credential });
            let _agent_gone = findings.send(Finding::Taking { tx, by, may }).await;
        });
    }

    /// The directory has said whether the call may be taken.
    pub(super) fn handle_taking(
        &mut self,
        tx: ServerTx,
        by: Taker,
        may: Result<bool, LookupError>,
        now: Instant,
    ) {
        // Cancelled meanwhile.
        let Some(pending) = self.pending.remove(&tx) else { return };
        match may {
            Ok(true) => self.offer(tx, pending, &by.identity, Some(by.credential), now),
            Ok(false) => self.refuse_to_take(tx, &pending.request, now),
            Err(error) => self.refuse_for(tx, &pending.request, &error, now),
        }
    }

    pub(super) fn refuse_to_take(&mut self, tx: ServerTx, request: &Request, now: Instant) {
        self.count_refused("pick_up");
        self.refuse(tx, request, Cause::Forbidden, now);
    }

    /// The user whose phone rings on the leg that a watcher names; none when it names none.
    fn rung_at(&self, invite: &Request, tenant: &TenantId) -> Option<UserId> {
        let watched = watched_in(invite)?.leg_watched()?;
        self.legs.get(watched).filter(|entry| entry.tenant == *tenant)?;
        self.durable.device_of(watched).map(|(user, _)| user.clone())
    }
}

/// The Replaces of an INVITE that names a leg as those know it who watch its user.
pub(super) fn watched_in(invite: &Request) -> Option<Replaces> {
    Replaces::of_request(invite).ok().flatten().filter(|replaces| replaces.leg_watched().is_some())
}

/// Whether `by` may take what rings at `rung`.
async fn may_take(
    directory: &Directory,
    tenant: &TenantId,
    (by, rung): (&UserId, &UserId),
) -> Result<bool, DirectoryError> {
    let Some(record) = directory.user(tenant, by).await? else { return Ok(false) };
    if record.may_pick_up {
        return Ok(true);
    }
    let numbers = directory.list_numbers(tenant).await?;
    let leads_to = numbers.into_iter().filter_map(|number| Destination::try_from(number.destination?).ok());
    Ok(leads_to.into_iter().any(|destination| match destination {
        Destination::PickUpGroup { members } => members.contains(by) && members.contains(rung),
        _ => false,
    }))
}
