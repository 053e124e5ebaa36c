//! What the URIs of trunks lead to, looked up beside everything else: names that nobody answers for keep neither the leases nor
//! the other trunks waiting.
//!
//! Each trunk has at most one look-up under way. The resolver keeps answers for as long as their time to live says. What was found
//! last stays until something else is found.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::TrunkKey;
use super::resolve::Target;

/// The look-ups of all trunks.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    known: HashMap<TrunkKey, Known>,
    running: JoinSet<Found>,
}

#[derive(Debug, Default)]
struct Known {
    uri: String,
    targets: Vec<Target>,
    running: bool,
    asked_at: Option<Instant>,
    answered: bool,
}

#[derive(Debug)]
struct Found {
    key: TrunkKey,
    uri: String,
    targets: Vec<Target>,
}

impl Lookups {
    /// Where a URI leads, as far as it is known. Begins `look` when it was last looked up some time ago.
    pub(super) fn targets<F>(
        &mut self,
        key: &TrunkKey,
        uri: &str,
        now: Instant,
        look: impl FnOnce() -> F,
    ) -> Vec<Target>
    where
        F: Future<Output = Vec<Target>> + Send + 'static,
    {
        let known = self.known.entry(key.clone()).or_default();
        if known.uri != uri {
            *known = Known { uri: uri.to_owned(), ..Known::default() };
        }
        if !known.running && known.asked_at.is_none_or(|at| now.duration_since(at) >= AGAIN) {
            (known.running, known.asked_at) = (true, Some(now));
            let (key, uri, looking) = (key.clone(), uri.to_owned(), look());
            self.running.spawn(async move {
                let targets = tokio::time::timeout(LOOKUP_TIMEOUT, looking).await.unwrap_or_default();
                Found { key, uri, targets }
            });
        }
        known.targets.clone()
    }

    /// Whether a look-up of a trunk has come to an end, well or not.
    pub(super) fn is_answered(&self, key: &TrunkKey) -> bool {
        self.known.get(key).is_some_and(|known| known.answered)
    }

    /// What a trunk's URI leads to now.
    pub(super) fn found(&self, key: &TrunkKey) -> Option<&[Target]> {
        self.known.get(key).map(|known| known.targets.as_slice())
    }

    /// Forgets trunks that are no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&TrunkKey) -> bool) {
        self.known.retain(|key, _| is_there(key));
    }

    /// Waits until a look-up has come to its end; for ever when none is under way. True for the first one of its trunk.
    pub(super) async fn next(&mut self) -> bool {
        let Some(ended) = self.running.join_next().await else { return std::future::pending().await };
        let Ok(Found { key, uri, targets }) = ended else {
            // It broke off: nobody knows whose it was, so each may be asked for again.
            self.known.values_mut().for_each(|known| known.running = false);
            return false;
        };
        let Some(known) = self.known.get_mut(&key).filter(|known| known.uri == uri) else { return false };
        known.running = false;
        // A name that leads nowhere for a moment leads where it led.
        if !targets.is_empty() {
            known.targets = targets;
        }
        !std::mem::replace(&mut known.answered, true)
    }
}

const AGAIN: Duration = Duration::from_secs(2);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use sidetone_model::ids::TenantId;
    use sidetone_model::party::Transport;

    use super::*;

    fn key(name: &str) -> TrunkKey {
        (TenantId::new("t").unwrap(), name.to_owned())
    }

    fn target(last: u8) -> Target {
        Target { transport: Transport::Udp, address: ([192, 0, 2, last], 5060).into() }
    }

    #[tokio::test]
    async fn names_without_an_answer_keep_nobody_waiting_and_lead_where_they_led() {
        let (mut lookups, mut now) = (Lookups::default(), Instant::now());
        let good = |last| move || async move { vec![target(last)] };
        let silent = || std::future::pending();
        assert!(lookups.targets(&key("a"), "sip:a", now, good(1)).is_empty(), "nothing is waited for");
        assert!(lookups.targets(&key("b"), "sip:b", now, silent).is_empty());
        assert!(lookups.next().await, "the first of its trunk, whatever the other one does");
        assert_eq!((lookups.is_answered(&key("a")), lookups.is_answered(&key("b"))), (true, false));
        // The names are out of order: what was found stays, however often it is looked for.
        for _ in 0..3 {
            now += AGAIN;
            let led = lookups.targets(&key("a"), "sip:a", now, || async { Vec::new() });
            assert_eq!(led, [target(1)]);
            assert!(!lookups.next().await);
        }
        // They are back, and not asked for all the time.
        lookups.targets(&key("a"), "sip:a", now, good(2));
        assert_eq!(lookups.found(&key("a")), Some(&[target(1)][..]));
        lookups.targets(&key("a"), "sip:a", now + AGAIN, good(2));
        lookups.next().await;
        assert_eq!(lookups.found(&key("a")), Some(&[target(2)][..]));
    }

    #[tokio::test]
    async fn what_an_old_uri_led_to_is_forgotten() {
        let (mut lookups, now) = (Lookups::default(), Instant::now());
        lookups.targets(&key("a"), "sip:old", now, || async { vec![target(1)] });
        assert!(lookups.targets(&key("a"), "sip:new", now, || async { vec![target(2)] }).is_empty());
        let mut firsts = 0;
        for _ in 0..2 {
            firsts += u32::from(lookups.next().await);
        }
        assert_eq!((firsts, lookups.found(&key("a"))), (1, Some(&[target(2)][..])));
        lookups.retain(|_| false);
        assert_eq!(lookups.found(&key("a")), None);
    }
}
