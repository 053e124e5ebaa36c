//! How far a replay of dead letters has come, as text that its client brings back.
//!
//! Receivers are gone through in their order. One of which as many as may are being tried does not hold up those behind it: where to
//! go on with it is kept beside the place up to which all others are done. `team-a/7.0.0,team-b;team-x/2.0.0` says: team-a behind
//! 7.0.0, all of team-b, and whatever is behind 2.0.0 of team-x.

use std::collections::BTreeMap;

use sidetone_model::ids::TenantId;
use sidetone_outbox_core::DeadLetter;

use crate::ledger;

/// How far it has come.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Receivers with which it has to go on, and behind which place; none for the beginning.
    waiting: BTreeMap<Box<str>, Option<Place>>,
    /// Up to where all others are done.
    done: Option<Place>,
}

/// Where a dead letter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    text: String,
    key: String,
}

impl Progress {
    /// What an answer before has said; none when it is no such text.
    pub(crate) fn parse(tenant: &TenantId, text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let (waiting, done) = text.split_once(';')?;
        let mut progress = Self::default();
        if !done.is_empty() {
            progress.done = Some(Place::parse(tenant, done)?);
        }
        for one in waiting.split(',').filter(|one| !one.is_empty()) {
            let (receiver, place) = match one.split_once('/') {
                Some((receiver, _)) => (receiver, Some(Place::parse(tenant, one)?)),
                None => (TenantId::new(one).ok().map(|_| one)?, None),
            };
            progress.waiting.insert(receiver.into(), place);
        }
        (progress.waiting.len() <= WAITING_MAX).then_some(progress)
    }

    /// Empty when everything was tried.
    pub(crate) fn text(&self, broken_off: bool) -> String {
        if self.waiting.is_empty() && !broken_off {
            return String::new();
        }
        let waiting = self.waiting.iter().map(|(receiver, place)| match place {
            Some(place) => place.text.clone(),
            None => receiver.to_string(),
        });
        let waiting: Vec<String> = waiting.collect();
        let done = self.done.as_ref().map(|place| place.text.as_str()).unwrap_or_default();
        format!("{};{done}", waiting.join(","))
    }

    /// Whether one was not tried yet.
    pub(crate) fn is_open(&self, letter: &DeadLetter) -> bool {
        let behind = match self.waiting.get(&letter.lane.receiver) {
            Some(place) => place,
            None => &self.done,
        };
        behind.as_ref().is_none_or(|place| Place::of(letter).key > place.key)
    }

    /// One was tried.
    pub(crate) fn tried(&mut self, letter: &DeadLetter) {
        let place = Place::of(letter);
        if let Some(waiting) = self.waiting.get_mut(&letter.lane.receiver) {
            *waiting = Some(place.clone());
        }
        self.pass(place);
    }

    /// No more of a receiver can be tried now, of which this is the next. False when too many are so.
    pub(crate) fn put_off(&mut self, letter: &DeadLetter, last: Option<Place>) -> bool {
        if !self.waiting.contains_key(&letter.lane.receiver) {
            if self.waiting.len() >= WAITING_MAX {
                return false;
            }
            self.waiting.insert(letter.lane.receiver.clone(), last);
        }
        true
    }

    /// Nothing is left of a receiver.
    pub(crate) fn finish(&mut self, receiver: &str) {
        self.waiting.remove(receiver);
    }

    /// One was passed over: its receiver waits.
    pub(crate) fn passed(&mut self, letter: &DeadLetter) {
        self.pass(Place::of(letter));
    }

    /// The receivers that wait.
    pub(crate) fn waiting(&self) -> Vec<Box<str>> {
        self.waiting.keys().cloned().collect()
    }

    fn pass(&mut self, place: Place) {
        if self.done.as_ref().is_none_or(|done| place.key > done.key) {
            self.done = Some(place);
        }
    }
}

impl Place {
    pub(crate) fn of(letter: &DeadLetter) -> Self {
        Self { text: ledger::place_of(letter), key: ledger::dead_letter(&letter.lane, letter.parcel.id) }
    }

    fn parse(tenant: &TenantId, text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), key: ledger::key_of_place(tenant, text)? })
    }
}

/// Receivers that may wait at a time; those behind are come to later.
const WAITING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::time::Timestamp;
    use sidetone_outbox_core::{DeadReason, LaneKey, Parcel, ParcelId};

    fn letter(receiver: &str, entry: u64) -> DeadLetter {
        let at = Timestamp::from_millis(entry);
        DeadLetter {
            lane: LaneKey { tenant: TenantId::new("demo").unwrap(), receiver: receiver.into() },
            parcel: Parcel {
                id: ParcelId { entry, place: 0, index: 0 },
                at,
                order: "call".into(),
                body: "{}".into(),
                to: None,
            },
            reason: DeadReason::Attempts,
            attempts: 1,
            at,
        }
    }

    #[test]
    fn a_receiver_that_waits_is_gone_on_with_and_the_others_are_done() {
        let tenant = TenantId::new("demo").unwrap();
        let mut progress = Progress::default();
        assert_eq!(progress.text(false), "");
        progress.tried(&letter("a", 1));
        assert!(progress.put_off(&letter("a", 2), Some(Place::of(&letter("a", 1)))));
        progress.passed(&letter("a", 2));
        assert!(progress.put_off(&letter("b", 1), None));
        progress.passed(&letter("b", 1));
        progress.tried(&letter("c", 7));
        let text = progress.text(false);
        assert_eq!(text, "a/1.0.0,b;c/7.0.0");
        let mut again = Progress::parse(&tenant, &text).unwrap();
        assert_eq!(again, progress);
        let open = |progress: &Progress, receiver, entry| progress.is_open(&letter(receiver, entry));
        assert!(!open(&again, "a", 1) && open(&again, "a", 2) && open(&again, "b", 1));
        assert!(!open(&again, "aa", 9), "it came between, and its turn is over");
        assert!(!open(&again, "c", 7) && open(&again, "c", 8) && open(&again, "d", 1));
        again.finish("a");
        again.finish("b");
        assert!(!open(&again, "a", 2) && open(&again, "d", 1));
        assert_eq!((again.text(false).as_str(), again.text(true).as_str()), ("", ";c/7.0.0"));
        for bad in ["nonsense", "a", ";nonsense", "a/x;", "?;", "-"] {
            assert_eq!(Progress::parse(&tenant, bad), None, "{bad}");
        }
        let many: Vec<String> = (0..=WAITING_MAX).map(|n| format!("r{n}")).collect();
        assert_eq!(Progress::parse(&tenant, &format!("{};", many.join(","))), None);
    }
}
