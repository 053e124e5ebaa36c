//! Carriers that say nothing. Timer B of RFC 3261 gives a datagram 32 s, and callers hang up before; a carrier that lives sends
//! a 100 within 200 ms (section 17.2.1). Where another way is left, it is taken after a few seconds of silence, and what the
//! first says after all is a call that we do not want: it is cancelled, or hung up.

use std::time::Instant;

use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::LegId;
use sidetone_model::termination::{Cause, Termination};

use super::Trunking;
use crate::agent::Agent;
use crate::replica::wall_clock;

impl Trunking {
    /// A carrier has said something.
    pub(in crate::agent) fn heard(&mut self, leg: LegId) {
        if let Some(attempt) = self.attempts.get_mut(&leg) {
            attempt.silent_until = None;
        }
    }

    /// Calls whose carriers have been silent for too long.
    fn take_silent(&mut self, now: Instant) -> Vec<LegId> {
        let due = |at: &mut Instant| *at <= now;
        let silent = self
            .attempts
            .iter_mut()
            .filter_map(|(leg, attempt)| attempt.silent_until.take_if(due).map(|_| *leg));
        let mut silent: Vec<LegId> = silent.collect();
        silent.sort_unstable();
        silent.retain(|leg| self.attempts.get(leg).is_some_and(|attempt| !attempt.rest.is_empty()));
        silent
    }
}

impl Agent {
    /// Takes calls away from carriers that say nothing.
    pub(in crate::agent) fn leave_silent_carriers(&mut self, now: Instant) {
        for id in self.trunking.take_silent(now) {
            let leg = self.legs.get(id).and_then(|entry| Some((entry.tenant.clone(), entry.leg.as_ref()?)));
            let Some((tenant, leg)) = leg else { continue };
            let Some(request) = leg.opening_request().cloned() else { continue };
            let name = self.trunking.attempts.get(&id).map(|attempt| attempt.way.key.1.clone());
            // The old dialog goes on under a name that nobody else knows, until it is certain that nothing comes of it.
            let left: LegId = self.parts.ids.make(wall_clock());
            if !self.parts.transactions.reassign(&request, left) {
                continue;
            }
            self.count_trunk(name.as_deref().unwrap_or_default(), "silent");
            let why = Termination::new(Cause::Timeout).with_text("the carrier says nothing");
            match self.next_leg(id, &why, now) {
                Some(next) => {
                    let before = self.legs.replace(id, next);
                    self.legs.insert(left, tenant, before, None);
                    self.legs.close_outbox(left);
                    self.with_leg(left, now, |leg| {
                        // It waits for an answer to its INVITE, and can be ended.
                        let _ended = leg.handle_command(LegCommandKind::End(why), now);
                    });
                }
                None => self.end_leg(id, why, now),
            }
            self.settle_leg(id, now);
        }
    }
}
