//! An INVITE of which call control says that it has come to another replica before (decision 80).

use std::time::Instant;

use sidetone_model::ids::{LegId, ReplicaId};
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::message::Status;

use super::Agent;
use crate::handover::{Carried, What};

impl Agent {
    /// The leg is forgotten. Its INVITE goes `at` the replica that has its transaction, which sees that it comes again and says once
    /// more what it has said, over the way that the INVITE came (RFC 3261, section 17.2.3). When it came again by another way it is
    /// refused (section 8.2.2.2).
    pub(super) fn handle_repeated(&mut self, id: LegId, at: Option<ReplicaId>, now: Instant) {
        self.legs.close_outbox(id);
        match at {
            Some(replica) => self.hand_over_invite(id, &replica, now),
            None => {
                self.count_refused("merged");
                let status = Status::LOOP_DETECTED.code();
                let merged = Termination::new(Cause::ProtocolError).with_sip_status(status);
                self.end_leg(id, merged.with_text("the INVITE has come another way, too"), now);
            }
        }
        self.legs.forget_if_done(id);
    }

    fn hand_over_invite(&mut self, id: LegId, replica: &ReplicaId, now: Instant) {
        let Some(leg) = self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut()) else { return };
        let flow = leg.flow().clone();
        let given_up = leg.give_up_offer();
        self.settle_leg(id, now);
        // Cancelled meanwhile, and answered.
        let Some((tx, invite)) = given_up else { return };
        // When it comes once more it goes the same way.
        self.parts.transactions.drop_silently(tx);
        self.hand_on(replica, Carried { flow, what: What::Received(invite.to_bytes()) }, now);
    }
}
