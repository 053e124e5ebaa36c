//! A subscription's events as an endless chunked answer, one JSON object a line.
//!
//! A connection that breaks is taken up by the next request: behind the event that was written last, or behind as many
//! events as the client says it has (`after`). The last [`KEPT`] events are kept for that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sidetone_model::classify::Class;
use tokio::sync::{Mutex, watch};

use super::answer::Failure;
use super::session::Asker;
use crate::Subscription;

/// A subscription.
pub(crate) struct Channel {
    feed: Mutex<Feed>,
    /// Events written so far.
    written: AtomicU64,
    /// Counts connections; the latest is served. [`u64::MAX`] when the subscription is over.
    turn: watch::Sender<u64>,
    names: Vec<Box<str>>,
}

struct Feed {
    events: Subscription,
    kept: VecDeque<Value>,
    /// Events taken from the feed so far: the number of the last in `kept`.
    taken: u64,
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
        let feed = Feed { events, kept: VecDeque::new(), taken: 0 };
        Self { feed: Mutex::new(feed), written: AtomicU64::new(0), turn: watch::Sender::new(0), names }
    }

    /// Ends it, for good.
    pub(crate) fn close(&self) {
        self.turn.send_replace(u64::MAX);
    }

    /// The answer's body. Whoever was connected before is cut.
    pub(crate) async fn connect(self: Arc<Self>, asker: Asker, after: Option<u64>) -> Result<Body, Failure> {
        let mut mine = 0;
        self.turn.send_modify(|turn| {
            *turn = turn.saturating_add(1);
            mine = *turn;
        });
        if mine == u64::MAX {
            return Err(Failure::not_found("subscription"));
        }
        let feed = self.feed.lock().await;
        let next = after.unwrap_or_else(|| self.written.load(Ordering::Acquire)) + 1;
        if next > feed.taken + 1 || next + feed.kept.len() as u64 <= feed.taken {
            return Err(Failure::new(
                Class::Stale,
                "events_gone",
                "after: these events are kept no more, or not there yet",
            ));
        }
        drop(feed);
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

    /// The event of a number, waited for; none when the feed has gone past us.
    async fn event(&self, n: u64) -> Option<Value> {
        let mut feed = self.feed.lock().await;
        while feed.taken < n {
            let (_, event) = feed.events.next().await?;
            if self.wants(&event) {
                feed.taken += 1;
                feed.kept.push_back(event);
                if feed.kept.len() > KEPT {
                    feed.kept.pop_front();
                }
            }
        }
        let back = (feed.taken - n) as usize;
        let place = feed.kept.len().checked_sub(back + 1)?;
        feed.kept.get(place).cloned()
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
