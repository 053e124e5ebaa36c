//! One shard's facts, folded and projected in their order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
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
    /// What had happened before the door began is folded.
    is_current: watch::Sender<bool>,
    pub(crate) ring: Arc<Ring>,
}

impl Shard {
    /// A shard of which nothing is known yet.
    pub(crate) fn new(ring: Ring) -> Self {
        Self {
            fold: Mutex::default(),
            position: watch::Sender::new(0),
            is_current: watch::Sender::new(false),
            ring: Arc::new(ring),
        }
    }

    /// The fold, as far as it has come.
    pub(crate) fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything that had happened when the shard was first followed has been folded.
    pub(crate) async fn current(&self) {
        let mut is_current = self.is_current.subscribe();
        // The sender lives as long as the shard.
        drop(is_current.wait_for(|is| *is).await);
    }

    /// Puts a history that is complete in the place of what was known.
    fn take_over(&self, fold: Fold, position: u64) {
        *self.fold() = fold;
        self.position.send_replace(position);
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

    fn share_pick_up_group(&self, tenant: &TenantId, one: &UserId, other: &UserId) -> bool {
        self.people.share_pick_up_group(tenant, one, other)
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
            Some(position) => position,
            None => match self.owed_after().await? {
                Some(cursor) => cursor,
                None => self.feed.position(self.id).await?,
            },
        };
        let last = self.feed.position(self.id).await?;
        let mut entries = self.feed.follow(self.id, Some(after)).await?;
        // Every history begins from nothing, and is folded aside: until it is complete what was known is shown.
        let (mut history, mut reached) = (Some(Fold::default()), 0);
        loop {
            let ready =
                if history.is_some() && reached >= after { entries.next().now_or_never() } else { None };
            let next = match ready {
                Some(next) => next,
                None => {
                    // A history comes in one piece; its end is that nothing more of it is there.
                    if reached >= after
                        && let Some(fold) = history.take()
                    {
                        self.shard.take_over(fold, reached);
                        // A feed that breaks now is taken up here: the log may have become longer since.
                        *position = Some(reached);
                        self.is_at(reached, last);
                    }
                    entries.next().await
                }
            };
            let Some(entry) = next else { return Ok(()) };
            let entry = entry?;
            reached = entry.entry;
            if entry.history {
                let mut known = history.is_none().then(|| self.shard.fold());
                let fold = known.as_deref_mut().or(history.as_mut());
                fold.into_iter().for_each(|fold| entry.facts.iter().for_each(|fact| fold.apply(fact)));
                continue;
            }
            if let Some(fold) = history.take() {
                self.shard.take_over(fold, after);
                *position = Some(after);
            }
            let posted = self.take_in(&entry);
            self.post(reached, posted).await;
            *position = Some(reached);
            self.shard.position.send_replace(reached);
            self.is_at(reached, last);
        }
    }

    /// Hands on what an entry owes. It is folded and its events are told by now: following anew would tell them twice.
    async fn post(&self, entry: u64, posted: Vec<Posted>) {
        let Some(outlet) = &self.outlet else { return };
        while let Err(error) = outlet.post(self.id, entry, posted.clone()).await {
            tracing::warn!(shard = %self.id, error = format!("{error:#}"), "what is owed cannot be handed on; trying again");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// An entry has been folded; `last` was the last one when following began.
    fn is_at(&self, entry: u64, last: u64) {
        if entry >= last {
            self.shard.is_current.send_replace(true);
        }
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
        for (place, fact) in (0..).zip(entry.facts.iter()) {
            let projections: Vec<_> = self
                .dialects
                .iter()
                .map(|dialect| (dialect.name(), dialect.project(&fold, fact, &people)))
                .collect();
            fold.apply(fact);
            let mut told = BTreeMap::new();
            for (dialect, projection) in projections {
                for emission in projection(&fold) {
                    self.hand_on(dialect, fact, emission, (entry.entry, place, &mut told), &mut posted);
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
        (entry, place, told): (u64, u32, &mut BTreeMap<Box<str>, u32>),
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
        // Counted for each receiver: what others are told must not change the names of its messages.
        let next = told.entry(application.clone()).or_default();
        let index = *next;
        *next += 1;
        posted.push(Posted {
            entry,
            place,
            index,
            tenant,
            application,
            dialect,
            order: emission.order,
            at: fact.at,
            body: emission.body,
            to,
        });
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
