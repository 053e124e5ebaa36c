//! A phone that was called names others in its place (3xx, RFC 3261, section 8.1.3.4).

use std::iter::successors;

use sidetone_model::call::{DivertCause, LegCause};
use sidetone_model::fold::LegView;
use sidetone_model::signal::Target;
use sidetone_model::time::Timestamp;

use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// Its caller goes on to the first of them that may be called: what one device says is said for all of the user's that
    /// ring. `routing` is that target's. Where it cannot be followed, the end of the leg, which comes next, is all there is.
    pub(crate) fn on_redirected(
        &mut self,
        leg: &LegView,
        targets: &[Target],
        routing: Routing,
        now: Timestamp,
    ) {
        let foreign = self.limits.foreign_as_numbers;
        let Some(target) = targets.iter().find(|target| target.is_callable(foreign)) else { return };
        // The phone of whoever makes a call is rung for a purpose of its own.
        let for_itself = self.legs.get(&leg.leg).is_some_and(|control| control.passing.then.is_some());
        let follows = self.limits.redirects && !leg.is_party() && !for_itself && !self.is_ending(leg.leg);
        if !follows
            || self.redirections_before(leg) >= REDIRECTIONS_MAX
            || self.check_target(&routing).is_err()
        {
            return;
        }
        let to = (&*target.number, routing);
        self.send_ringing_on(leg, (DivertCause::Redirected, LegCause::Redirected), to, now);
    }

    /// How often the call came from one phone to the next already.
    fn redirections_before(&self, leg: &LegView) -> usize {
        let before = |leg: &&LegView| leg.by.and_then(|by| self.fold.leg(by));
        successors(Some(leg), before)
            .take(REDIRECTIONS_MAX + 1)
            .filter(|leg| leg.cause == LegCause::Redirected)
            .count()
    }
}

/// Phones that name each other in turn must come to an end.
const REDIRECTIONS_MAX: usize = 5;
