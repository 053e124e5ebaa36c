//! The last emissions of a shard, for event channels: whoever comes back within them misses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sidetone_dialects::{SubscribeError, Subscription};
use sidetone_model::ids::{TenantId, UserId};
use sidetone_telemetry::Telemetry;
use tokio::sync::watch;

/// One emission for a user.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) dialect: &'static str,
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) body: serde_json::Value,
    /// When it was emitted.
    pub(crate) since: Instant,
}

/// The ring. Cursors count emissions from 1.
#[derive(Debug)]
pub(crate) struct Ring {
    state: Mutex<State>,
    last: watch::Sender<u64>,
    /// How many channels each user has.
    readers: Mutex<BTreeMap<(TenantId, UserId), usize>>,
    kept_max: usize,
    telemetry: Arc<Telemetry>,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Arc<Kept>>,
    last: u64,
}

impl Ring {
    /// An empty ring. `first` is what cursors begin after, so that those of an earlier life are told from ours.
    pub(crate) fn new(kept_max: usize, first: u64, telemetry: Arc<Telemetry>) -> Self {
        let state = State { last: first, ..State::default() };
        let readers = Mutex::default();
        Self { state: Mutex::new(state), last: watch::Sender::new(first), readers, kept_max, telemetry }
    }

    /// Whether a user has a channel.
    pub(crate) fn is_read(&self, tenant: &TenantId, user: &UserId) -> bool {
        let readers = self.readers();
        !readers.is_empty() && readers.contains_key(&(tenant.clone(), user.clone()))
    }

    /// How many channels a user has.
    pub(crate) fn readers_of(&self, tenant: &TenantId, user: &UserId) -> usize {
        self.readers().get(&(tenant.clone(), user.clone())).copied().unwrap_or(0)
    }

    /// Appends; the oldest goes when the ring is full.
    pub(crate) fn push(&self, kept: Kept) {
        let mut state = self.state();
        if state.kept.len() == self.kept_max {
            state.kept.pop_front();
        }
        state.kept.push_back(Arc::new(kept));
        state.last += 1;
        let last = state.last;
        drop(state);
        self.last.send_replace(last);
    }

    /// What is emitted for a user after `after`; from now on when it is none.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        dialect: &'static str,
        (tenant, user): (TenantId, UserId),
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        let state = self.state();
        let after = after.unwrap_or(state.last);
        let oldest = state.last - state.kept.len() as u64;
        if after < oldest || after > state.last {
            return Err(SubscribeError::TooOld(after));
        }
        drop(state);
        *self.readers().entry((tenant.clone(), user.clone())).or_default() += 1;
        let reader = Reader {
            ring: Arc::clone(self),
            news: self.last.subscribe(),
            next: after + 1,
            dialect,
            tenant,
            user,
        };
        let events = futures_util::stream::unfold(reader, |mut reader| async move {
            let event = reader.event().await?;
            Some((event, reader))
        });
        Ok(Box::pin(events))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<(TenantId, UserId), usize>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event channel's place in the ring.
struct Reader {
    ring: Arc<Ring>,
    news: watch::Receiver<u64>,
    next: u64,
    dialect: &'static str,
    tenant: TenantId,
    user: UserId,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut readers = self.ring.readers();
        let who = (self.tenant.clone(), self.user.clone());
        if let Some(count) = readers.get_mut(&who) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&who);
            }
        }
    }
}

enum Look {
    Event(u64, Arc<Kept>),
    Nothing,
    /// The ring has gone past the reader.
    Lost,
}

impl Reader {
    async fn event(&mut self) -> Option<(u64, serde_json::Value)> {
        loop {
            match self.look() {
                Look::Event(cursor, kept) => {
                    let delay = &self.ring.telemetry.http.channel_delay;
                    delay.observe(kept.since.elapsed().as_secs_f64());
                    return Some((cursor, kept.body.clone()));
                }
                Look::Lost => {
                    self.ring.telemetry.http.channels_lost.inc();
                    return None;
                }
                Look::Nothing => self.news.changed().await.ok()?,
            }
        }
    }

    fn look(&mut self) -> Look {
        self.news.mark_unchanged();
        let state = self.ring.state();
        let first = state.last - state.kept.len() as u64 + 1;
        if self.next < first {
            return Look::Lost;
        }
        while self.next <= state.last {
            let (cursor, kept) = (self.next, &state.kept[(self.next - first) as usize]);
            self.next += 1;
            if kept.dialect == self.dialect && kept.tenant == self.tenant && kept.user == self.user {
                return Look::Event(cursor, Arc::clone(kept));
            }
        }
        Look::Nothing
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn kept(user: &str, n: u64) -> Kept {
        Kept {
            dialect: "d",
            tenant: TenantId::new("t").unwrap(),
            user: UserId::new(user).unwrap(),
            body: n.into(),
            since: Instant::now(),
        }
    }

    fn who(user: &str) -> (TenantId, UserId) {
        (TenantId::new("t").unwrap(), UserId::new(user).unwrap())
    }

    #[tokio::test]
    async fn a_channel_gets_its_own_and_resumes_where_it_was() {
        let ring = Arc::new(Ring::new(4, 100, Telemetry::new().unwrap()));
        let mut channel = ring.subscribe("d", who("a"), None).unwrap();
        ring.push(kept("b", 1));
        ring.push(kept("a", 2));
        assert_eq!(channel.next().await, Some((102, 2.into())));
        assert!(channel.next().now_or_never().is_none(), "nothing more yet");
        ring.push(kept("a", 3));
        let mut again = ring.subscribe("d", who("a"), Some(102)).unwrap();
        assert_eq!(again.next().await, Some((103, 3.into())));
        assert_eq!(channel.next().await, Some((103, 3.into())));
        let is_read = |user: &str| ring.is_read(&who(user).0, &who(user).1);
        assert!(is_read("a") && !is_read("b"));
        drop(channel);
        assert!(is_read("a"), "there is another one");
        drop(again);
        assert!(!is_read("a"));
    }

    #[tokio::test]
    async fn who_is_too_far_behind_is_told() {
        let ring = Arc::new(Ring::new(2, 0, Telemetry::new().unwrap()));
        let mut slow = ring.subscribe("d", who("a"), None).unwrap();
        (1..=3).for_each(|n| ring.push(kept("a", n)));
        assert_eq!(slow.next().await, None);
        assert_eq!(ring.subscribe("d", who("a"), Some(0)).err(), Some(SubscribeError::TooOld(0)));
        assert_eq!(ring.subscribe("d", who("a"), Some(9)).err(), Some(SubscribeError::TooOld(9)));
        assert!(ring.subscribe("d", who("a"), Some(1)).is_ok());
    }
}
