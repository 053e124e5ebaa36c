use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::BoxStream;
use sidetone_model::conversation::ConversationFact;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::PersonId;
use sidetone_runtime::link::{LinkError, Speaker};
use tokio::sync::{broadcast, mpsc};

use super::*;

type Entries = mpsc::UnboundedReceiver<Followed>;

/// A log whose entries come when the test says so.
#[derive(Default)]
struct Log {
    position: AtomicU64,
    followed: Mutex<VecDeque<Entries>>,
    /// After what it was followed, each time.
    after: Mutex<Vec<Option<u64>>>,
}

#[async_trait::async_trait]
impl FactFeed for Log {
    fn shards(&self) -> u16 {
        1
    }

    async fn position(&self, _: ShardId) -> Result<u64, LinkError> {
        Ok(self.position.load(Ordering::SeqCst))
    }

    async fn follow(
        &self,
        _: ShardId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<Followed, LinkError>>, LinkError> {
        self.after.lock().unwrap().push(after);
        let entries = self.followed.lock().unwrap().pop_front();
        Ok(match entries {
            Some(entries) => futures_util::stream::unfold(entries, |mut entries| async move {
                let entry = entries.recv().await?;
                Some((Ok(entry), entries))
            })
            .boxed(),
            None => futures_util::stream::pending().boxed(),
        })
    }

    fn speakers(&self) -> broadcast::Receiver<Speaker> {
        broadcast::channel(1).1
    }
}

/// Nobody is there.
struct Nobody;

impl People for Nobody {
    fn person(&self, _: &TenantId, _: &UserId) -> Option<Person> {
        None
    }
    fn user_of_number(&self, _: &TenantId, _: &str) -> Option<UserId> {
        None
    }
    fn domain(&self, _: &TenantId) -> Option<Box<str>> {
        None
    }
}

/// Tells one user of every fact.
struct Names;

impl Dialect for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn project<'a>(
        &'a self,
        _: &Fold,
        fact: &'a Fact,
        _: &'a dyn People,
    ) -> sidetone_dialects::Projected<'a> {
        let body = serde_json::json!(fact.at.as_millis());
        let user = UserId::new("u").unwrap();
        let order = sidetone_dialects::OrderKey::User(user.clone());
        Box::new(move |_| vec![Emission { recipient: Recipient::User(user), order, body }])
    }

    fn routes(&self, _: Arc<dyn sidetone_dialects::Doorway>) -> axum::Router {
        axum::Router::new()
    }
}

/// Nothing was handed over yet, and the first time that something is, the store does not answer.
#[derive(Default)]
struct FailsOnce {
    asked: AtomicU64,
}

#[async_trait::async_trait]
impl Outlet for FailsOnce {
    async fn cursor(&self, _: ShardId) -> Result<Option<u64>, crate::outlet::OutletError> {
        Ok(None)
    }

    async fn post(&self, _: ShardId, _: u64, _: Vec<Posted>) -> Result<(), crate::outlet::OutletError> {
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => Err(anyhow::anyhow!("the store does not answer")),
            _ => Ok(()),
        }
    }

    fn mention(&self, _: crate::outlet::Mention) {}
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

fn id(n: u64) -> PersonId {
    uuid::Uuid::from_u128(u128::from(n)).into()
}

/// An entry that adds the person of its number.
fn entry(entry: u64, history: bool) -> Followed {
    let put = ConversationFact::PersonPut {
        person: id(entry),
        application: "app".into(),
        name: "somebody".into(),
        display_name: "".into(),
    };
    let kind = FactKind::Conversation { fact: Box::new(put) };
    let fact = Fact { tenant: tenant(), at: Timestamp::from_millis(entry), kind };
    Followed { entry, history, facts: [fact].into() }
}

struct Scene {
    log: Arc<Log>,
    shard: Arc<Shard>,
    stopping: CancellationToken,
}

impl Scene {
    /// A door that begins when the log is as long as `position`; it gets what is sent into the senders, one for each time
    /// that it follows.
    fn begin(position: u64, followed: Vec<Entries>) -> Self {
        Self::begin_with(position, followed, None)
    }

    fn begin_with(position: u64, followed: Vec<Entries>, outlet: Option<Arc<dyn Outlet>>) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let shard = Arc::new(Shard::new(Ring::new(100, 0, Arc::clone(&telemetry))));
        let log = Arc::new(Log {
            position: position.into(),
            followed: Mutex::new(followed.into()),
            ..Log::default()
        });
        let follower = Follower {
            id: ShardId(0),
            shard: Arc::clone(&shard),
            dialects: [Arc::new(Names) as Arc<dyn Dialect>].into(),
            people: Arc::new(Nobody),
            feed: Arc::clone(&log) as Arc<dyn FactFeed>,
            outlet,
            telemetry,
        };
        let stopping = CancellationToken::new();
        tokio::spawn(follower.run(stopping.clone()));
        Self { log, shard, stopping }
    }

    fn knows(&self, person: u64) -> bool {
        self.shard.fold().conversations().person(&tenant(), id(person)).is_some()
    }

    fn is_current(&self) -> bool {
        *self.shard.is_current.borrow()
    }

    /// The entries of which the user has been told.
    async fn told(&self, count: usize) -> Vec<u64> {
        let whom = (tenant(), UserId::new("u").unwrap());
        let events = self.shard.ring.subscribe("names", whom, Some(0)).unwrap();
        events.take(count).map(|(_, body)| body.as_u64().unwrap()).collect().await
    }

    /// Lets the follower do all that it can do now.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_door_is_ready_when_it_knows_what_had_happened_before_it_began() {
    let (send, entries) = mpsc::unbounded_channel();
    let scene = Scene::begin(3, vec![entries]);
    scene.settle().await;
    assert!(!scene.is_current());
    send.send(entry(1, true)).unwrap();
    send.send(entry(2, true)).unwrap();
    scene.settle().await;
    assert!(!scene.is_current() && !scene.knows(1), "half of it would be told as all");
    send.send(entry(3, true)).unwrap();
    scene.shard.current().await;
    assert!((1..=3).all(|n| scene.knows(n)));
    scene.shard.reach(3).await;
    send.send(entry(4, false)).unwrap();
    scene.shard.reach(4).await;
    assert!(scene.knows(4));
    scene.stopping.cancel();
}

#[tokio::test]
async fn a_door_over_an_empty_log_is_ready_at_once() {
    let scene = Scene::begin(0, Vec::new());
    scene.shard.current().await;
    scene.stopping.cancel();
}

#[tokio::test]
async fn while_the_log_is_followed_anew_what_was_known_is_shown() {
    let (first, entries) = mpsc::unbounded_channel();
    let (second, again) = mpsc::unbounded_channel();
    let scene = Scene::begin(1, vec![entries, again]);
    first.send(entry(1, true)).unwrap();
    first.send(entry(2, false)).unwrap();
    scene.shard.reach(2).await;
    drop(first);
    scene.log.position.store(3, Ordering::SeqCst);
    // After a moment the follower follows again.
    while !scene.log.followed.lock().unwrap().is_empty() {
        tokio::time::sleep(RETRY).await;
    }
    second.send(entry(1, true)).unwrap();
    scene.settle().await;
    assert!(scene.knows(1) && scene.knows(2) && scene.is_current());
    second.send(entry(2, true)).unwrap();
    second.send(entry(3, false)).unwrap();
    scene.shard.reach(3).await;
    assert!((1..=3).all(|n| scene.knows(n)));
    scene.stopping.cancel();
}

#[tokio::test]
async fn what_happens_while_a_feed_is_broken_is_told_even_if_nothing_was_told_before() {
    let (first, entries) = mpsc::unbounded_channel();
    let (second, again) = mpsc::unbounded_channel();
    let scene = Scene::begin(1, vec![entries, again]);
    first.send(entry(1, true)).unwrap();
    scene.shard.current().await;
    scene.log.position.store(3, Ordering::SeqCst);
    drop(first);
    (1..=3).for_each(|n| second.send(entry(n, n <= 1)).unwrap());
    scene.shard.reach(3).await;
    assert_eq!(*scene.log.after.lock().unwrap(), [Some(1), Some(1)]);
    assert_eq!(scene.told(2).await, [2, 3]);
    scene.stopping.cancel();
}

#[tokio::test]
async fn what_could_not_be_handed_on_at_once_is_told_once_all_the_same() {
    let (send, entries) = mpsc::unbounded_channel();
    let outlet = Arc::new(FailsOnce::default());
    let scene = Scene::begin_with(1, vec![entries], Some(Arc::clone(&outlet) as Arc<dyn Outlet>));
    (1..=3).for_each(|n| send.send(entry(n, n <= 1)).unwrap());
    scene.shard.reach(3).await;
    assert_eq!(scene.told(2).await, [2, 3]);
    assert_eq!(outlet.asked.load(Ordering::SeqCst), 3, "the second of the two entries is handed on once");
    assert_eq!(scene.log.after.lock().unwrap().len(), 1, "the log is not followed anew");
    scene.stopping.cancel();
}
