//! Which call a message belongs to, for HOMER: the legs of one call have Call-IDs that have nothing in common (topology is
//! hidden), so every message of them bears the id of their call.
//!
//! Call control knows which legs are one call, and tells with each INVITE that it orders. A call that comes in begins with a leg of
//! ours, and bears its id. What is said before there is a leg (the first INVITE, its challenge) has the same Call-ID as
//! what follows: such messages wait for a moment.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sidetone_model::ids::{CallId, LegId};

/// What is known. Bounded: the oldest Call-IDs of legs that are over fall out.
#[derive(Debug, Default)]
pub(super) struct Correlations {
    /// By Call-ID.
    calls: HashMap<Box<[u8]>, CallId>,
    legs: HashMap<LegId, Known>,
    /// Call-IDs of legs that are over, and since when: stragglers follow.
    over: VecDeque<(Instant, Box<[u8]>)>,
}

/// A leg, as far as its messages are to be found.
#[derive(Debug)]
struct Known {
    call: CallId,
    /// More than one where a carrier was left for another.
    call_ids: Vec<Box<[u8]>>,
}

impl Correlations {
    /// A leg is one of a call that another leg has begun.
    pub(super) fn belongs(&mut self, leg: LegId, call: CallId) {
        let known = self.legs.entry(leg).or_insert_with(|| Known { call, call_ids: Vec::new() });
        known.call = call;
        for call_id in &known.call_ids {
            self.calls.insert(call_id.clone(), call);
        }
    }

    /// A leg has a dialog now. One that call control did not open has come in, and began its call.
    pub(super) fn begin(&mut self, leg: LegId, call_id: &[u8]) {
        let begun = || Known { call: CallId::from(leg.as_uuid()), call_ids: Vec::new() };
        let known = self.legs.entry(leg).or_insert_with(begun);
        self.calls.insert(call_id.into(), known.call);
        if !known.call_ids.iter().any(|it| **it == *call_id) {
            known.call_ids.push(call_id.into());
        }
    }

    /// A leg is over.
    pub(super) fn ended(&mut self, leg: LegId, now: Instant) {
        let Some(known) = self.legs.remove(&leg) else { return };
        self.over.extend(known.call_ids.into_iter().map(|call_id| (now, call_id)));
        while let Some((since, _)) = self.over.front()
            && (self.over.len() > OVER_MAX || now.duration_since(*since) > STRAGGLERS)
            && let Some((_, call_id)) = self.over.pop_front()
        {
            self.calls.remove(&call_id);
        }
    }

    /// To which call of a leg it belongs; the leg may have been opened by a former life.
    pub(super) fn call_of(&self, leg: LegId) -> Option<CallId> {
        self.legs.get(&leg).map(|known| known.call)
    }

    /// To which call a message belongs.
    pub(super) fn of(&self, call_id: &[u8]) -> Option<CallId> {
        self.calls.get(call_id).copied()
    }
}

/// As long as a transaction repeats itself (RFC 3261, timers H and J).
const STRAGGLERS: Duration = Duration::from_secs(32);
const OVER_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::ids::IdSource;
    use sidetone_model::time::Timestamp;

    #[test]
    fn both_legs_bear_the_id_of_the_call_until_nothing_more_can_come() {
        let mut ids = IdSource::seeded([1; 32]);
        let (caller, callee): (LegId, LegId) =
            (ids.make(Timestamp::default()), ids.make(Timestamp::default()));
        let (mut known, now) = (Correlations::default(), Instant::now());
        known.begin(caller, b"a@phone");
        let call = known.of(b"a@phone").unwrap();
        assert_eq!(call.as_uuid(), caller.as_uuid());
        known.belongs(callee, call);
        known.begin(callee, b"b1@us");
        known.begin(callee, b"b2@us");
        assert_eq!((known.of(b"b1@us"), known.of(b"b2@us"), known.of(b"c")), (Some(call), Some(call), None));
        known.ended(callee, now);
        known.ended(caller, now + Duration::from_secs(1));
        assert_eq!(known.of(b"b2@us"), Some(call), "a BYE may be said again");
        known.begin(caller, b"x");
        known.ended(caller, now + Duration::from_secs(40));
        assert_eq!((known.of(b"b1@us"), known.of(b"a@phone")), (None, None));
        assert_eq!((known.legs.len(), known.over.len()), (0, 1));
    }
}
