//! A phone that was called names others in its place (3xx, RFC 3261, section 8.1.3.4).

use std::iter::successors;

use sidetone_model::call::{DivertCause, LegCause};
use sidetone_model::fold::LegView;
use sidetone_model::signal::Target;
use sidetone_model::time::Timestamp;

use super::referred::{leads_out, may_lead_to};
use crate::effect::Effect;
use crate::input::{Later, Redirects, Routing};
use crate::shard::Shard;

/// Why a redirection is not followed, as a metric label.
type Refused = &'static str;

impl Shard {
    /// Its caller goes on to the first of them that can be called, and when nobody takes the call there to the next: what one
    /// device says is said for all of the user's that ring. `routing` is the first target's, with the others behind it. Where it
    /// cannot be followed, the end of the leg, which comes next, is all there is (decision 76).
    pub(crate) fn on_redirected(
        &mut self,
        leg: &LegView,
        targets: &[Target],
        routing: Routing,
        now: Timestamp,
    ) {
        let result = match self.way_of(leg, targets, routing) {
            Ok((number, to)) => {
                let why = (DivertCause::Redirected, LegCause::Redirected);
                self.send_ringing_on(leg, why, (&number, to), now);
                "followed"
            }
            Err(refused) => refused,
        };
        self.effect(Effect::Redirected { result });
    }

    /// Where a call goes on that a phone sends on, or why it does not.
    fn way_of(
        &self,
        leg: &LegView,
        targets: &[Target],
        routing: Routing,
    ) -> Result<(Box<str>, Routing), Refused> {
        if !self.limits.redirects || routing.redirects == Redirects::Never {
            return Err("never");
        }
        // The phone of whoever makes a call is rung for a purpose of its own.
        let for_itself = self.legs.get(&leg.leg).is_some_and(|control| control.passing.then.is_some());
        if leg.is_party() || for_itself || self.is_ending(leg.leg) {
            return Err("not_wanted");
        }
        if self.is_sent_on_too_often(leg) {
            return Err("too_often");
        }
        let foreign = self.limits.foreign_as_numbers;
        let target = targets.iter().find(|target| target.is_callable(foreign)).ok_or("foreign")?;
        self.first_way(leg, &target.number, routing)
    }

    /// The first of several numbers at which somebody can be called and to which this phone may lead, and behind it those after it.
    fn first_way(
        &self,
        leg: &LegView,
        number: &str,
        mut first: Routing,
    ) -> Result<(Box<str>, Routing), Refused> {
        let policy = first.redirects;
        let mut later = std::mem::take(&mut first.later).into_iter();
        let mut way = Later { number: number.into(), routing: first };
        let mut refused = None;
        while let Err(why) = self.may_go_to(leg, &way.routing, policy) {
            // That a number is closed says more than that nobody has the next one.
            let told = refused.filter(|told| *told != NOBODY).unwrap_or(why);
            refused = Some(told);
            way = later.next().ok_or(told)?;
        }
        way.routing.later = later.filter(|next| may_be_led(leg, &next.routing, policy).is_ok()).collect();
        Ok((way.number, way.routing))
    }

    fn may_go_to(&self, leg: &LegView, to: &Routing, policy: Redirects) -> Result<(), Refused> {
        may_be_led(leg, to, policy)?;
        self.check_target(to).map_err(|_| NOBODY)
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

/// A carrier leads nobody to another number outside: that would be called at the tenant's cost. How far phones may lead is the
/// tenant's choice.
fn may_be_led(leg: &LegView, to: &Routing, policy: Redirects) -> Result<(), Refused> {
    if !may_lead_to(leg, to) {
        return Err("carrier");
    }
    if policy == Redirects::Inside && leads_out(to) {
        return Err("outside");
    }
    Ok(())
}

/// Nobody has the number, or can be reached there.
const NOBODY: Refused = "nobody";

/// Phones that name each other in turn must come to an end.
pub(crate) const REDIRECTIONS_MAX: usize = 5;
