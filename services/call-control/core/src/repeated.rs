//! An INVITE that has come to two signalling replicas makes one call.
//!
//! Within a replica the transactions see to that. Between two it is seen here, where both offer a leg. Call-ID, From tag and CSeq
//! number say that it is the same request (RFC 3261, section 8.2.2.2), and the sent-by and branch whether it is the same transaction
//! (section 17.2.3). None of that is in the log: after a restart of call control an INVITE that comes again is a new call.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sidetone_model::ids::{LegId, ReplicaId, TenantId};
use sidetone_model::signal::{LegSignal, Offered};
use sidetone_model::termination::Cause;
use sidetone_model::time::Timestamp;

use crate::effect::Effect;
use crate::shard::Shard;

/// Tenant, Call-ID, From tag and CSeq number.
type Request = (TenantId, Box<str>, Box<str>, u32);

/// The INVITEs by which calls came in that live, or are over for a short while.
#[derive(Debug, Default)]
pub(crate) struct Invites {
    known: BTreeMap<Request, Came>,
    /// Bounded by the live legs and [`OVER_MAX`].
    by_leg: BTreeMap<LegId, Request>,
    over: VecDeque<(Timestamp, LegId)>,
}

/// To whom an INVITE came first.
#[derive(Debug, Clone)]
struct Came {
    leg: LegId,
    replica: ReplicaId,
    transaction: Box<str>,
}

impl Invites {
    fn note(&mut self, request: Request, came: Came) {
        self.by_leg.insert(came.leg, request.clone());
        if let Some(before) = self.known.insert(request, came) {
            self.by_leg.remove(&before.leg);
        }
    }

    /// A leg is over. Its INVITE may still come again until its transaction is forgotten.
    pub(crate) fn over(&mut self, leg: LegId, now: Timestamp) {
        if self.by_leg.contains_key(&leg) {
            self.over.push_back((now, leg));
        }
    }

    /// Forgets what cannot come again; how many had to make room before their time, the oldest first.
    fn tidy(&mut self, now: Timestamp) -> usize {
        while let Some((at, _)) = self.over.front()
            && now.since(*at) >= TRANSACTION
        {
            self.forget_oldest();
        }
        let too_many = self.over.len().saturating_sub(OVER_MAX);
        for _ in 0..too_many {
            self.forget_oldest();
        }
        too_many
    }

    fn forget_oldest(&mut self) {
        if let Some((_, leg)) = self.over.pop_front()
            && let Some(request) = self.by_leg.remove(&leg)
        {
            self.known.remove(&request);
        }
    }
}

impl Shard {
    /// Whether the INVITE of an offered leg is one that came to another replica before. Then its replica is told so, and there is
    /// nothing more to do with it.
    pub(crate) fn is_repeated(
        &mut self,
        replica: &ReplicaId,
        signal: &LegSignal,
        offered: &Offered,
        now: Timestamp,
    ) -> bool {
        if offered.invite.transaction.is_empty() {
            return false;
        }
        for _ in 0..self.invites.tidy(now) {
            self.effect(Effect::InviteRepeated { result: "made_room" });
        }
        let id = &offered.invite;
        let request = (signal.tenant.clone(), offered.sip_call_id.clone(), id.from_tag.clone(), id.cseq);
        let before = self.invites.known.get(&request).filter(|came| came.leg != signal.leg).cloned();
        let Some(at) = before.and_then(|came| self.answered_by(&came, replica, &id.transaction)) else {
            let came =
                Came { leg: signal.leg, replica: replica.clone(), transaction: id.transaction.clone() };
            self.invites.note(request, came);
            return false;
        };
        let result = if at.is_some() { "handed_over" } else { "merged" };
        self.effect(Effect::InviteRepeated { result });
        self.effect(Effect::Acknowledge { replica: replica.clone(), leg: signal.leg, n: signal.n });
        self.effect(Effect::Repeated { replica: replica.clone(), leg: signal.leg, at });
        true
    }

    /// Who answers an INVITE in the place of the replica that offers it: the one that has its transaction; the inner none when nobody
    /// has, and it has come over another way. None when it is a call of its own.
    fn answered_by(&self, came: &Came, replica: &ReplicaId, transaction: &str) -> Option<Option<ReplicaId>> {
        let leg = self.fold.leg(came.leg)?;
        // Its transaction is gone with the life in which it was, or cannot be heard; a replica knows its own.
        let lost = |cause: Cause| matches!(cause, Cause::SignallingLost | Cause::Shutdown);
        let gone = leg.ended.as_ref().is_some_and(|(_, end)| lost(end.cause));
        if gone || self.missing.contains_key(&came.leg) || came.replica == *replica {
            return None;
        }
        if *came.transaction == *transaction {
            return Some(Some(came.replica.clone()));
        }
        // Whoever was refused may try the next address with another branch (RFC 3263, section 4.3).
        leg.is_live().then_some(None)
    }
}

/// How long a transaction may still be asked again after its final response: 64 times T1 (RFC 3261, section 17.2.1; RFC 6026).
const TRANSACTION: Duration = Duration::from_secs(32);
/// INVITEs of calls that are over.
const OVER_MAX: usize = 16_384;
