//! A phone that was called names others in its place (3xx, RFC 3261, section 8.1.3.4).

use std::iter::successors;

use sidetone_model::call::{DivertCause, LegCause};
use sidetone_model::fold::LegView;
use sidetone_model::signal::Target;
use sidetone_model::time::Timestamp;

use super::referred::may_lead_to;
use crate::input::{Later, Routing};
use crate::shard::Shard;

impl Shard {
    /// Its caller goes on to the first of them that can be called, and when nobody takes the call there to the next: what one
    /// device says is said for all of the user's that ring. `routing` is the first target's, with the others behind it. Where it
    /// cannot be followed, the end of the leg, which comes next, is all there is.
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
        if !follows || self.is_sent_on_too_often(leg) {
            return;
        }
        if let Some((number, to)) = self.first_way(leg, &target.number, routing) {
            self.send_ringing_on(leg, (DivertCause::Redirected, LegCause::Redirected), (&number, to), now);
        }
    }

    /// The first of several numbers at which somebody can be called, and behind it those after it. A carrier leads nobody to
    /// another number outside: that would be called at the tenant's cost.
    fn first_way(&self, leg: &LegView, number: &str, mut first: Routing) -> Option<(Box<str>, Routing)> {
        let mut later = std::mem::take(&mut first.later).into_iter();
        let mut way = Later { number: number.into(), routing: first };
        while self.check_target(&way.routing).is_err() || !may_lead_to(leg, &way.routing) {
            way = later.next()?;
        }
        way.routing.later = later.filter(|next| may_lead_to(leg, &next.routing)).collect();
        Some((way.number, way.routing))
    }

    /// Whether the call came from one user to the next so often already that it stays.
    pub(crate) fn is_sent_on_too_often(&self, leg: &LegView) -> bool {
        self.times_sent_on(leg) >= REDIRECTIONS_MAX
    }

    /// How often the call was sent on before it came to a leg, counted up to [`REDIRECTIONS_MAX`].
    pub(crate) fn times_sent_on(&self, leg: &LegView) -> usize {
        let before = |leg: &&LegView| leg.by.and_then(|by| self.fold.leg(by));
        successors(Some(leg), before)
            .take(REDIRECTIONS_MAX + 1)
            .filter(|leg| leg.cause == LegCause::Redirected)
            .count()
    }
}

/// Phones that name each other in turn must come to an end.
pub(crate) const REDIRECTIONS_MAX: usize = 5;
