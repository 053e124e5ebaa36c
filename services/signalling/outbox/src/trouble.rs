//! Why receivers take nothing: for whoever looks, and one line of log now and then.
//!
//! It never has the URL in it, which may hold a secret, nor anything of the body.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sidetone_outbox_core::LaneKey;

/// Between two lines about one receiver.
const PAUSE: Duration = Duration::from_secs(60);
/// Receivers that are remembered; past that the log says nothing of further ones, and `sidetone outbox owed` has no reason. Attempts at
/// those are counted (`sidetone_outbox_failures_untold_total`).
const RECEIVERS_MAX: usize = 10_000;
/// Characters of a reason.
const TEXT_MAX: usize = 160;

/// What is wrong with each receiver whose last attempt failed.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    lanes: Mutex<BTreeMap<LaneKey, Trouble>>,
}

#[derive(Debug)]
struct Trouble {
    why: Box<str>,
    said: Instant,
    unsaid: u64,
}

/// What becomes of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// A line of log is due: so many failed since the last one.
    Say(u64),
    /// There was one lately.
    Said,
    /// There is no room for the receiver.
    Untold,
}

impl Troubles {
    /// Notes a failed attempt.
    pub(crate) fn note(&self, lane: &LaneKey, why: Box<str>, now: Instant) -> Noted {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trouble) = lanes.get_mut(lane) {
            trouble.why = why;
            trouble.unsaid += 1;
            if now.saturating_duration_since(trouble.said) < PAUSE {
                return Noted::Said;
            }
            trouble.said = now;
            return Noted::Say(std::mem::take(&mut trouble.unsaid));
        }
        if lanes.len() >= RECEIVERS_MAX {
            return Noted::Untold;
        }
        lanes.insert(lane.clone(), Trouble { why, said: now, unsaid: 0 });
        Noted::Say(1)
    }

    /// The receiver takes what it is told; true when it did not before.
    pub(crate) fn over(&self, lane: &LaneKey) -> bool {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(lane).is_some()
    }

    /// What was wrong the last time; empty for nothing.
    pub(crate) fn of(&self, lane: &LaneKey) -> String {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get(lane).map(|trouble| trouble.why.to_string()).unwrap_or_default()
    }
}

/// Why a request had no answer, in the words of who sets the receiver up.
pub(crate) fn why_unreachable(error: &reqwest::Error) -> Box<str> {
    let mut causes: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    let io = causes.iter().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    let texts: Vec<String> = causes.iter().map(ToString::to_string).collect();
    let about = |words: &[&str]| {
        texts.iter().rev().find(|text| words.iter().any(|word| text.to_lowercase().contains(word)))
    };
    match io.map(std::io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => return "connection refused".into(),
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return "connection reset".into(),
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => return "no route".into(),
        _ => {}
    }
    if about(&["dns", "lookup address", "resolve"]).is_some() {
        return "its name is not known (DNS)".into();
    }
    if let Some(text) = about(&["certificate", "tls", "handshake"]) {
        let text: String = text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
        return format!("TLS: {text}").into();
    }
    if error.is_timeout() { "no connection in time".into() } else { "the connection failed".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::ids::TenantId;

    #[test]
    fn of_one_receiver_there_is_a_line_a_minute_and_the_last_reason_is_shown() {
        let troubles = Troubles::default();
        let lane = |name: &str| LaneKey { tenant: TenantId::new("demo").unwrap(), receiver: name.into() };
        let (one, other, now) = (lane("one"), lane("other"), Instant::now());
        assert_eq!(troubles.note(&one, "status 503".into(), now), Noted::Say(1));
        assert!((0..9).all(|_| troubles.note(&one, "status 500".into(), now) == Noted::Said));
        assert_eq!(troubles.note(&other, "connection refused".into(), now), Noted::Say(1));
        assert_eq!(
            (troubles.of(&one), troubles.of(&other)),
            ("status 500".into(), "connection refused".into())
        );
        assert_eq!(troubles.note(&one, "status 500".into(), now + PAUSE), Noted::Say(10));
        assert!(troubles.over(&one) && !troubles.over(&one));
        assert_eq!(troubles.of(&one), "");
    }

    #[test]
    fn of_whom_there_is_no_room_for_nothing_is_said_and_that_is_told() {
        let troubles = Troubles::default();
        let lane =
            |n: usize| LaneKey { tenant: TenantId::new("demo").unwrap(), receiver: format!("r{n}").into() };
        let fails = |n| troubles.note(&lane(n), "status 500".into(), Instant::now());
        assert!((0..RECEIVERS_MAX).all(|n| fails(n) == Noted::Say(1)));
        assert_eq!(fails(RECEIVERS_MAX), Noted::Untold);
        assert_eq!((troubles.of(&lane(RECEIVERS_MAX)), fails(0)), (String::new(), Noted::Said));
        assert!(troubles.over(&lane(0)), "one is well again");
        assert_eq!(fails(RECEIVERS_MAX), Noted::Say(1));
    }
}
