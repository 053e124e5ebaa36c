//! One shard's facts, folded and projected in their order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sidetone_dialects::{Application, Dialect, Emission, People, Person, Recipient};
use sidetone_model::fact::Fact;
use sidetone_model::fold::Fold;
use sidetone_model::ids::{ShardId, TenantId, UserId};
use sidetone_model::time::Timestamp;
use sidetone_runtime::link::{FactFeed, Followed};
use sidetone_telemetry::Telemetry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::outlet::{Outlet, Posted};
use crate::ring::{Kept, Ring};

/// What the door knows of one shard.
#[derive(Debug)]
pub(crate) struct Shard {
    fold: Mutex<Fold>,
    position: watch::Sender<u64>,
    pub(crate) ring: Arc<Ring>,
}

impl Shard {
    /// A shard of which nothing is known yet.
    pub(crate) fn new(ring: Ring) -> Self {
        Self { fold: Mutex::default(), position: watch::Sender::new(0), ring: Arc::new(ring) }
    }

    /// The fold, as far as it has come.
    pub(crate) fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an entry has been folded.
    pub(crate) async fn reach(&self, entry: u64) {
        let mut position = self.position.subscribe();
        // The sender lives as long as the shard.
        drop(position.wait_for(|reached| *reached >= entry).await);
    }
}

/// What a follower works with.
pub(crate) struct Follower {
    pub(crate) id: ShardId,
    pub(crate) shard: Arc<Shard>,
    pub(crate) dialects: Arc<[Arc<dyn Dialect>]>,
    pub(crate) people: Arc<dyn People>,
    pub(crate) feed: Arc<dyn FactFeed>,
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// The directory, and who listens.
struct Listeners<'a> {
    people: &'a dyn People,
    ring: &'a Ring,
}

impl People for Listeners<'_> {
    fn person(&self, tenant: &TenantId, user: &UserId) -> Option<Person> {
        self.people.person(tenant, user)
    }

    fn user_of_number(&self, tenant: &TenantId, number: &str) -> Option<UserId> {
        self.people.user_of_number(tenant, number)
    }

    fn domain(&self, tenant: &TenantId) -> Option<Box<str>> {
        self.people.domain(tenant)
    }

    fn applications(&self, tenant: &TenantId) -> Vec<Application> {
        self.people.applications(tenant)
    }

    fn base_url(&self) -> Box<str> {
        self.people.base_url()
    }

    fn is_listened_to(&self, tenant: &TenantId, user: &UserId) -> bool {
        self.ring.is_read(tenant, user)
    }
}

/// How long to wait before a feed that broke is asked again.
const RETRY: Duration = Duration::from_millis(500);
/// Ended calls are looked up for so long, as in call control.
const ENDED_KEPT: Duration = Duration::from_secs(3600);
/// How often the ended ones are forgotten, in entries.
const FORGET_EVERY: u64 = 1000;

impl Follower {
    /// Follows until the process stops. A feed that breaks is taken up again where it was.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let following = async {
            // None until anything was folded: then the fold is that of the position.
            let mut position = None;
            loop {
                if let Err(error) = self.follow(&mut position).await {
                    tracing::warn!(shard = %self.id, error = format!("{error:#}"), "the facts cannot be followed; trying again");
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = stopping.cancelled() => {}
        }
    }

    async fn follow(&self, position: &mut Option<u64>) -> anyhow::Result<()> {
        let after = match *position {
            Some(position) => Some(position),
            None => match self.owed_after().await? {
                Some(cursor) => Some(cursor),
                None => Some(self.feed.position(self.id).await?),
            },
        };
        let mut entries = self.feed.follow(self.id, after).await?;
        // Every history begins from nothing.
        *self.shard.fold() = Fold::default();
        if let Some(after) = after {
            // An empty log has no history that could say so.
            self.shard.position.send_if_modified(|reached| after == 0 && *reached == 0);
        }
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            let number = entry.entry;
            if entry.history {
                let mut fold = self.shard.fold();
                entry.facts.iter().for_each(|fact| fold.apply(fact));
            } else {
                let posted = self.take_in(&entry);
                if let Some(outlet) = &self.outlet {
                    outlet.post(self.id, number, posted).await?;
                }
                *position = Some(number);
            }
            self.shard.position.send_replace(number);
        }
        Ok(())
    }

    async fn owed_after(&self) -> anyhow::Result<Option<u64>> {
        match &self.outlet {
            Some(outlet) => outlet.cursor(self.id).await,
            None => Ok(None),
        }
    }

    /// Folds an entry and projects each of its facts; returns what applications are to be told.
    fn take_in(&self, entry: &Followed) -> Vec<Posted> {
        let mut posted = Vec::new();
        let people = Listeners { people: &*self.people, ring: &self.shard.ring };
        let mut fold = self.shard.fold();
        for (place, fact) in (0..).zip(&entry.facts) {
            let projections: Vec<_> = self
                .dialects
                .iter()
                .map(|dialect| (dialect.name(), dialect.project(&fold, fact, &people)))
                .collect();
            fold.apply(fact);
            let mut index = 0;
            for (dialect, projection) in projections {
                for emission in projection(&fold) {
                    self.hand_on(dialect, fact, emission, (entry.entry, place, &mut index), &mut posted);
                }
            }
        }
        if entry.entry.is_multiple_of(FORGET_EVERY)
            && let Some(last) = entry.facts.last()
        {
            let kept = ENDED_KEPT.as_millis() as u64;
            fold.forget_ended(Timestamp::from_millis(last.at.as_millis().saturating_sub(kept)));
        }
        posted
    }

    fn hand_on(
        &self,
        dialect: &'static str,
        fact: &Fact,
        emission: Emission,
        (entry, place, index): (u64, u32, &mut u32),
        posted: &mut Vec<Posted>,
    ) {
        let tenant = fact.tenant.clone();
        self.telemetry.http.emitted.with_label_values(&[dialect]).inc();
        let (application, to) = match emission.recipient {
            Recipient::User(user) => {
                let (body, since) = (emission.body, Instant::now());
                self.shard.ring.push(Kept { dialect, tenant, user, body, since });
                return;
            }
            Recipient::Application(application) => (application, None),
            Recipient::Callback(to) => (to.application.clone(), Some(to)),
        };
        posted.push(Posted {
            entry,
            place,
            index: *index,
            tenant,
            application,
            dialect,
            order: emission.order,
            at: fact.at,
            body: emission.body,
            to,
        });
        *index += 1;
    }
}
