//! Digits that a phone sends. Its media node tells of those that come as events (RFC 4733) or in the sound, and passes them on to
//! whoever it is bridged to; signalling tells of those that come in INFO requests, and they are handed on from here.
//!
//! A limit: whether a phone sends its digits both ways is not known before it has done so (many describe `telephone-event` and send
//! INFO alone). When the INFO of its first one overtakes the event, that digit reaches whoever it talks with twice; it is told of
//! once, as are all that follow, which are left to media.

use std::collections::VecDeque;

use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::time::Timestamp;

use crate::effect::{Connection, MediaRequest};
use crate::shard::Shard;

/// Which way a digit came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Media,
    Info,
}

/// What is known of the digits of a leg.
#[derive(Debug, Default)]
pub(crate) struct Digits {
    /// Those of which one form has come, in their order, and when the other is too late, in ms.
    unmatched: VecDeque<(char, Way, u64)>,
    /// Its media node has told of some: what comes in INFO is the same again, and has been passed on.
    by_media: bool,
}

/// Digits that wait for their other form. One more, and the first no longer does: nobody dials as fast.
const UNMATCHED_MAX: usize = 16;
/// How much later than its length the other form of a digit may come: an INFO is repeated when it is lost.
const TWIN_MS: u64 = 250;

impl Digits {
    /// Takes a digit in; whether it is a new one.
    fn is_new(&mut self, digit: char, duration_ms: u32, way: Way, now: Timestamp) -> bool {
        let now_ms = now.as_millis();
        self.by_media |= way == Way::Media;
        let is_twin = |(other, by, until_ms): &(char, Way, u64)| {
            *other == digit && *by != way && now_ms <= *until_ms + u64::from(duration_ms)
        };
        if let Some(twin) = self.unmatched.iter().position(is_twin) {
            // Both forms come in the order of the keys: what stands before has lost its other one.
            self.unmatched.drain(..=twin);
            return false;
        }
        if self.unmatched.len() == UNMATCHED_MAX {
            self.unmatched.pop_front();
        }
        self.unmatched.push_back((digit, way, now_ms + u64::from(duration_ms) + TWIN_MS));
        true
    }
}

impl Shard {
    /// A phone has sent a digit: told of once, whichever ways it came.
    pub(crate) fn on_digit(
        &mut self,
        view: &LegView,
        (digit, duration_ms): (char, u32),
        way: Way,
        now: Timestamp,
    ) {
        let leg = view.leg;
        let digits = &mut self.control(leg).passing.digits;
        if !digits.is_new(digit, duration_ms, way, now) {
            return;
        }
        let hands_on = way == Way::Info && !digits.by_media;
        // What is secret is written nowhere.
        if !self.dials_a_secret(view) {
            self.fact(&view.tenant, now, FactKind::LegDigit { leg, digit, duration_ms });
        }
        if way == Way::Info {
            self.on_key_by_info(view, now);
        }
        if hands_on && let Some(peer) = self.bridged_to(view) {
            let digits = digit.to_string().into();
            self.ask(&peer, MediaRequest::SendDigits { leg: peer.leg, digits });
        }
        self.on_message_digit(leg, digit, now);
        self.on_mailbox_digit(leg, digit, now);
    }

    /// The leg that media has bridged this one to.
    fn bridged_to(&self, leg: &LegView) -> Option<LegView> {
        let hears = |one: LegId, other: LegId| {
            self.legs.get(&one).is_some_and(|control| control.passing.asked == Connection::Peer(other))
        };
        let mut others = self.fold.live_legs(leg.call).filter(|other| other.leg != leg.leg);
        others.find(|other| hears(leg.leg, other.leg) || hears(other.leg, leg.leg)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn the_same_digit_by_both_ways_is_one_and_the_same_key_twice_is_two() {
        let mut digits = Digits::default();
        assert!(digits.is_new('5', 100, Way::Media, at(1_000)));
        assert!(!digits.is_new('5', 100, Way::Info, at(1_300)));
        assert!(digits.is_new('5', 100, Way::Info, at(1_400)), "its twin has come already");
        assert!(!digits.is_new('5', 100, Way::Media, at(1_500)));
        assert!(digits.is_new('5', 100, Way::Media, at(1_600)));
        assert!(digits.is_new('5', 100, Way::Media, at(1_700)), "the key again");
        assert!(digits.is_new('6', 100, Way::Info, at(1_750)));
        assert!(digits.is_new('6', 100, Way::Media, at(5_000)), "much later");
    }
}
