//! Which leg of ours a phone means by Replaces (RFC 3891), in a REFER or an INVITE. Only names are looked up here: what the
//! legs have to do with each other is call control's.

use std::time::Instant;

use sidetone_model::command::{LegCommandKind, ReferralState};
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::signal::{LegSignalKind, Referred, Target};
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::message::{Request, Status};
use sidetone_sip_core::replaces::Replaces;

use super::Agent;

impl Agent {
    /// A phone passes its call on.
    pub(super) fn refer(&mut self, id: LegId, to: Target, replaces: Option<Replaces>, now: Instant) {
        let Some(tenant) = self.legs.get(id).map(|entry| entry.tenant.clone()) else { return };
        let replaced = replaces.as_ref().map(|replaces| self.replaced(replaces, &tenant));
        match replaced {
            Some(Err(_) | Ok((_, false))) => {
                let why = Termination::new(Cause::NotFound).with_text("Replaces names no call of the tenant");
                let refuse = LegCommandKind::Referral(ReferralState::Failed(why));
                self.with_leg(id, now, |leg| {
                    // It has just asked.
                    let _refused = leg.handle_command(refuse, now);
                });
            }
            Some(Ok((other, true))) => {
                self.signal(id, LegSignalKind::Referred(Referred { to, replaces: Some(other) }), now);
            }
            None => self.signal(id, LegSignalKind::Referred(Referred { to, replaces: None }), now),
        }
    }

    /// The leg whose place a caller takes.
    ///
    /// # Errors
    /// The status with which RFC 3891, section 3, refuses the INVITE.
    pub(super) fn replaced_by(&self, invite: &Request, tenant: &TenantId) -> Result<Option<LegId>, Status> {
        let Some(replaces) = Replaces::of_request(invite).map_err(|_| Status::BAD_REQUEST)? else {
            return Ok(None);
        };
        let (leg, answered) = self.replaced(&replaces, tenant)?;
        if answered && replaces.is_early_only() {
            return Err(Status::BUSY_HERE);
        }
        Ok(Some(leg))
    }

    /// The leg, and whether it is answered. Of those that are not, only phones that we call can be meant: whoever calls us
    /// cannot be replaced before there is anything to take part in.
    fn replaced(&self, replaces: &Replaces, tenant: &TenantId) -> Result<(LegId, bool), Status> {
        if let Some(watched) = replaces.leg_watched() {
            return self.watched_and_ringing(watched, tenant);
        }
        let found = replaces.keys().iter().find_map(|key| self.legs.by_dialog(key));
        let entry = found.and_then(|id| Some((id, self.legs.get(id)?)));
        let (id, entry) =
            entry.filter(|(_, entry)| entry.tenant == *tenant).ok_or(Status::NO_SUCH_TRANSACTION)?;
        let leg = entry.leg.as_ref().ok_or(Status::NO_SUCH_TRANSACTION)?;
        if leg.is_ending() {
            return Err(Status::DECLINE);
        }
        match leg.dialog().remote_tag() {
            Some(tag) if leg.is_answered() && replaces.names_remote(tag) => Ok((id, true)),
            None if leg.rings_as(|tag| replaces.names_remote(tag)) => Ok((id, false)),
            _ => Err(Status::NO_SUCH_TRANSACTION),
        }
    }

    /// A leg that a phone knows because it watches its user (RFC 4235): good for a phone that rings, and for nothing else, because
    /// to watch is not to take part. That its user may take the call was looked at before (`pick_up.rs`).
    fn watched_and_ringing(&self, watched: LegId, tenant: &TenantId) -> Result<(LegId, bool), Status> {
        let entry = self.legs.get(watched).filter(|entry| entry.tenant == *tenant);
        let leg = entry.and_then(|entry| entry.leg.as_ref()).ok_or(Status::NO_SUCH_TRANSACTION)?;
        // What rings outside, behind a trunk, is nobody's phone here.
        if !self.durable.is_device(watched) {
            return Err(Status::NO_SUCH_TRANSACTION);
        }
        if leg.is_answered() {
            return Err(Status::BUSY_HERE);
        }
        if leg.is_ending() || !leg.rings_as(|_| true) {
            return Err(Status::NO_SUCH_TRANSACTION);
        }
        Ok((watched, false))
    }
}
