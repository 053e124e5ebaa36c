//! What the URIs of trunks lead to, looked up beside everything else: names that nobody answers for keep neither the leases nor
//! the other trunks waiting.
//!
//! Each trunk has at most one look-up under way. The resolver keeps answers for as long as their time to live says. What was found
//! last stays until something else is found.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

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

/// What look-ups have brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    /// A trunk of which nothing was known has its first answer, which may be that it leads nowhere.
    pub(super) first: bool,
    /// A trunk leads elsewhere than it did.
    pub(super) elsewhere: bool,
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

    /// Waits until a look-up has come to its end, and takes in all that have by then; for ever when none is under way.
    pub(super) async fn next(&mut self) -> News {
        let Some(mut ended) = self.running.join_next().await else { return std::future::pending().await };
        let mut news = News::default();
        loop {
            self.take_in(ended, &mut news);
            let Some(another) = self.running.try_join_next() else { return news };
            ended = another;
        }
    }

    fn take_in(&mut self, ended: Result<Found, JoinError>, news: &mut News) {
        let Ok(Found { key, uri, targets }) = ended else {
            // It broke off: nobody knows whose it was, so each may be asked for again.
            self.known.values_mut().for_each(|known| known.running = false);
            return;
        };
        let Some(known) = self.known.get_mut(&key).filter(|known| known.uri == uri) else { return };
        known.running = false;
        // A name that leads nowhere for a moment leads where it led.
        if !targets.is_empty() && targets != known.targets {
            known.targets = targets;
            news.elsewhere = true;
        }
        news.first |= !std::mem::replace(&mut known.answered, true);
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
        let news = lookups.next().await;
        assert!(news.first && news.elsewhere, "the first of its trunk, whatever the other one does");
        assert_eq!((lookups.is_answered(&key("a")), lookups.is_answered(&key("b"))), (true, false));
        // The names are out of order: what was found stays, however often it is looked for.
        for _ in 0..3 {
            now += AGAIN;
            let led = lookups.targets(&key("a"), "sip:a", now, || async { Vec::new() });
            assert_eq!(led, [target(1)]);
            assert_eq!(lookups.next().await, News::default());
        }
        // They are back, and not asked for all the time.
        lookups.targets(&key("a"), "sip:a", now, good(2));
        assert_eq!(lookups.found(&key("a")), Some(&[target(1)][..]));
        lookups.targets(&key("a"), "sip:a", now + AGAIN, good(2));
        assert_eq!(lookups.next().await, News { first: false, elsewhere: true });
        assert_eq!(lookups.found(&key("a")), Some(&[target(2)][..]));
        // The same again is no news.
        lookups.targets(&key("a"), "sip:a", now + 2 * AGAIN, good(2));
        assert_eq!(lookups.next().await, News::default());
    }

    #[tokio::test]
    async fn what_an_old_uri_led_to_is_forgotten() {
        let (mut lookups, now) = (Lookups::default(), Instant::now());
        lookups.targets(&key("a"), "sip:old", now, || async { vec![target(1)] });
        assert!(lookups.targets(&key("a"), "sip:new", now, || async { vec![target(2)] }).is_empty());
        let deadline = now + Duration::from_secs(30);
        while !lookups.is_answered(&key("a")) {
            assert!(Instant::now() < deadline);
            lookups.next().await;
        }
        assert_eq!(lookups.found(&key("a")), Some(&[target(2)][..]));
        lookups.retain(|_| false);
        assert_eq!(lookups.found(&key("a")), None);
    }
}
