//! The HTTP dialects: the same calls under the names of several products.
//!
//! # Contract
//! A [`Dialect`] does two things and keeps no call state of its own:
//!
//! - it **projects**: a pure function of the fold before a fact, the fact, and the fold after it, that gives the events
//!   which the dialect's clients are to be told, and
//! - it **routes**: HTTP handlers that parse a request, hand a command to the [`Doorway`], and answer in the dialect's
//!   own words.
//!
//! The door (crate `sidetone-http`) follows call control's facts, calls every dialect for each, delivers what they emit,
//! and mounts their routes. A further dialect is one more folder here and one more line in [`all`].
//!
//! # What it does not do
//! It opens no socket, keeps no clock, and delivers nothing.
#![forbid(unsafe_code)]

pub mod bot;
pub mod conversation;
mod dialling;
mod doorway;
mod emission;
mod idempotency;
mod people;
pub mod telephony;

use std::sync::Arc;

use sidetone_model::fact::Fact;
use sidetone_model::fold::Fold;
use sidetone_model::ids::LegId;
use sidetone_model::time::Timestamp;

pub use doorway::{Behind, CommandRefusal, Doorway, MediaRef, Source, SubscribeError, Subscription, look};
use doorway::{body_fault, with_retry_after};
pub use emission::{Emission, OrderKey, Recipient};
pub use people::{Application, ApplicationKind, People, Person};

/// What a dialect emits for one fact, once the fold has taken it in.
pub type Projected<'a> = Box<dyn FnOnce(&Fold) -> Vec<Emission> + 'a>;

/// One dialect.
pub trait Dialect: Send + Sync + 'static {
    /// Its name: a label of metrics, and a part of keys in the store. Never changes.
    fn name(&self) -> &'static str;

    /// Called with the fold as it was before `fact`; what it returns is called with the fold as it is after it. Pure.
    fn project<'a>(&'a self, before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a>;

    /// What is told when a leg begins or ceases to speak: a sample, told once or not at all. Pure.
    fn speaking(&self, fold: &Fold, leg: LegId, speaks: bool, at: Timestamp) -> Option<Emission> {
        let _ = (fold, leg, speaks, at);
        None
    }

    /// The routes, with their authentication. Their paths are those of the real product, so that a client only changes
    /// its base URL.
    fn routes(&self, door: Arc<dyn Doorway>) -> axum::Router;
}

/// Every dialect.
pub fn all() -> Vec<Arc<dyn Dialect>> {
    vec![Arc::new(telephony::Telephony), Arc::new(bot::Bot), Arc::new(conversation::Conversation)]
}
