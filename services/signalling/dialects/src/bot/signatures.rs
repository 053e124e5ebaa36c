//! Which signatures have been seen, and with which key of the bot's own: as long as they could be used again.
//!
//! Known to this replica alone, and until it ends. Another replica takes a captured request with a fresh key once more.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sidetone_model::ids::TenantId;
use sidetone_model::time::Timestamp;

use super::auth::WINDOW_S;

/// The signed requests of every team.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    teams: Mutex<BTreeMap<Team, Seen>>,
}

/// A team of a tenant.
pub(super) type Team = (TenantId, Box<str>);

/// What one team's bot has asked lately.
#[derive(Debug, Default)]
struct Seen {
    /// By signature and method: the bot's own key, if it gave one.
    keys: HashMap<Box<str>, Option<Box<str>>>,
    /// The oldest first.
    order: VecDeque<(Timestamp, Box<str>)>,
}

/// What a signed request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Not seen before.
    New,
    /// The same as one before.
    Repeated,
    /// One before, with another key beside it: that is not the bot's doing.
    Forged,
    /// As many are known as may be.
    Full,
}

impl Signatures {
    /// Takes note of a request. `signed` is its signature and method, `own` the key beside it.
    pub(super) fn take(&self, team: Team, signed: &str, own: Option<&str>, now: Timestamp) -> Taken {
        let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = teams.entry(team).or_default();
        seen.forget(now);
        match seen.keys.get(signed) {
            Some(known) if known.as_deref() == own => return Taken::Repeated,
            Some(_) => return Taken::Forged,
            None if seen.keys.len() >= SIGNATURES_MAX => return Taken::Full,
            None => {}
        }
        seen.keys.insert(signed.into(), own.map(Into::into));
        seen.order.push_back((now, signed.into()));
        Taken::New
    }
}

impl Seen {
    fn forget(&mut self, now: Timestamp) {
        let is_over = |at: Timestamp| at.as_millis() + KEPT_MS < now.as_millis();
        while self.order.front().is_some_and(|(at, _)| is_over(*at)) {
            if let Some((_, signed)) = self.order.pop_front() {
                self.keys.remove(&signed);
            }
        }
    }
}

/// A time stamp may lie so far ahead of ours, and is good for so long after it.
const KEPT_MS: u64 = 2 * WINDOW_S * 1000;
/// Of one team: a hundred requests each second. More are refused (429): to forget one early would let it be repeated.
const SIGNATURES_MAX: usize = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn team(name: &str) -> Team {
        (TenantId::new("demo").unwrap(), name.into())
    }

    #[test]
    fn a_signature_goes_with_one_key_until_it_is_of_no_use_any_more() {
        let (signatures, at) = (Signatures::default(), Timestamp::from_millis);
        let take = |name, own, now| signatures.take(team(name), "s", own, at(now));
        assert_eq!(take("a", None, 0), Taken::New);
        assert_eq!(take("a", None, 1), Taken::Repeated);
        assert_eq!(take("a", Some("k"), 2), Taken::Forged);
        assert_eq!(take("b", Some("k"), 3), Taken::New, "another team's");
        assert_eq!(take("b", None, 4), Taken::Forged);
        assert_eq!(take("a", Some("k"), 600_000), Taken::Forged);
        assert_eq!(take("a", Some("k"), 600_001), Taken::New);
    }

    #[test]
    fn when_there_are_too_many_the_next_is_refused_and_none_forgotten() {
        let signatures = Signatures::default();
        for n in 0..SIGNATURES_MAX {
            let taken = signatures.take(team("a"), &n.to_string(), None, Timestamp::from_millis(0));
            assert_eq!(taken, Taken::New);
        }
        let take = |name: &str, signed: &str, now| {
            signatures.take(team(name), signed, Some("k"), Timestamp::from_millis(now))
        };
        assert_eq!(take("a", "more", 1), Taken::Full);
        assert_eq!(take("a", "0", 1), Taken::Forged);
        assert_eq!(take("b", "more", 1), Taken::New);
        assert_eq!(take("a", "more", KEPT_MS + 1), Taken::New);
    }
}
