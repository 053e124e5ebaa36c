//! A subscription's events as an endless chunked answer, one JSON object a line.
//!
//! A connection that breaks is taken up by the next request: behind the event that was written last, or behind as many
//! events as the client says it has (`after`). The last [`KEPT`] events are kept for that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sidetone_model::classify::Class;
use tokio::sync::watch;

use super::answer::Failure;
use super::session::Asker;
use crate::Subscription;

/// A subscription.
pub(crate) struct Channel {
    /// Held by the connection that waits for the next event.
    feed: tokio::sync::Mutex<Subscription>,
    kept: Mutex<Kept>,
    /// Events written so far.
    written: AtomicU64,
    /// Counts connections; the latest is served. [`u64::MAX`] when the subscription is over.
    turn: watch::Sender<u64>,
    names: Vec<Box<str>>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Value>,
    /// Events taken from the feed so far: the number of the last in `events`.
    taken: u64,
}

impl Kept {
    /// Whether a client can go on behind this event.
    fn can_follow(&self, after: u64) -> bool {
        after <= self.taken && after + self.events.len() as u64 >= self.taken
    }

    fn push(&mut self, event: Value) {
        self.taken += 1;
        self.events.push_back(event);
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    /// The event of a number that was taken; none when it is kept no more.
    fn event(&self, n: u64) -> Option<Value> {
        let back = usize::try_from(self.taken.checked_sub(n)?).ok()?;
        self.events.get(self.events.len().checked_sub(back + 1)?).cloned()
    }
}

/// One connection's place.
struct Reader {
    channel: Arc<Channel>,
    asker: Asker,
    turn: watch::Receiver<u64>,
    mine: u64,
    next: u64,
    over: bool,
}

impl Channel {
    /// The events of `names` among what comes; of all when there are none.
    pub(crate) fn new(events: Subscription, names: Vec<Box<str>>) -> Self {
        let (feed, kept) = (tokio::sync::Mutex::new(events), Mutex::default());
        Self { feed, kept, written: AtomicU64::new(0), turn: watch::Sender::new(0), names }
    }

    /// Ends it, for good.
    pub(crate) fn close(&self) {
        self.turn.send_replace(u64::MAX);
    }

    /// The answer's body. Whoever was connected before is cut.
    pub(crate) fn connect(self: Arc<Self>, asker: Asker, after: Option<u64>) -> Result<Body, Failure> {
        // Who asks for what cannot be had does not cut the one who is connected.
        if after.is_some_and(|after| !self.kept().can_follow(after)) {
            return Err(Failure::new(
                Class::Stale,
                "events_gone",
                "after: these events are kept no more, or not there yet",
            ));
        }
        let mut mine = 0;
        self.turn.send_modify(|turn| {
            *turn = turn.saturating_add(1);
            mine = *turn;
        });
        if mine == u64::MAX {
            return Err(Failure::not_found("subscription"));
        }
        let next = after.unwrap_or_else(|| self.written.load(Ordering::Acquire)) + 1;
        let turn = self.turn.subscribe();
        let reader = Reader { channel: self, asker, turn, mine, next, over: false };
        let first = line(&json!({ "eventName": "OnChannelInformation", "text": "channel is started" }));
        let first = futures_util::stream::once(async move { Ok::<_, std::io::Error>(first) });
        let rest = futures_util::stream::unfold(reader, |mut reader| async move {
            let chunk = reader.chunk().await?;
            Some((Ok(chunk), reader))
        });
        Ok(Body::from_stream(first.chain(rest)))
    }

    fn wants(&self, event: &Value) -> bool {
        self.names.is_empty()
            || event["eventName"].as_str().is_some_and(|name| self.names.iter().any(|own| **own == *name))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event of a number, waited for; none when the feed has gone past us.
    async fn event(&self, n: u64) -> Option<Value> {
        let mut feed = self.feed.lock().await;
        while self.kept().taken < n {
            let (_, event) = feed.next().await?;
            if self.wants(&event) {
                self.kept().push(event);
            }
        }
        self.kept().event(n)
    }
}

impl Reader {
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mine = self.mine;
        let channel = Arc::clone(&self.channel);
        tokio::select! {
            biased;
            _ = self.turn.wait_for(|turn| *turn != mine) => None,
            event = channel.event(self.next) => {
                let Some(event) = event else {
                    self.over = true;
                    channel.close();
                    let lost = "events were lost: subscribe anew and read the state";
                    return Some(line(&json!({ "eventName": "OnChannelInformation", "text": lost })));
                };
                // Steady events are use as good as an empty line is.
                if !self.asker.keep_alive() {
                    return None;
                }
                channel.written.store(self.next, Ordering::Release);
                self.next += 1;
                Some(line(&event))
            }
            () = tokio::time::sleep(ALIVE) => self.asker.keep_alive().then(|| Bytes::from_static(b"\n")),
        }
    }
}

fn line(event: &Value) -> Bytes {
    format!("{event}\n").into()
}

/// Events of a subscription that are kept for a client that comes back.
const KEPT: usize = 1024;
/// An empty line as often as this tells both ends that the other is there.
const ALIVE: Duration = Duration::from_secs(20);
