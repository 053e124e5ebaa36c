//! Dialect 002: telephony events and operations, as clients of OpenTouch know them.
//!
//! Every user sees the own calls: the same `callRef` for all, with what that user may do now. Events go to the user's
//! subscriptions.

mod project;

use std::sync::Arc;

use axum::Router;
use sidetone_model::fact::Fact;
use sidetone_model::fold::Fold;

use crate::{Dialect, Doorway, People, Projected};

/// The dialect's name: in metrics and keys.
pub const NAME: &str = "telephony";

/// Dialect 002.
#[derive(Debug, Clone, Copy, Default)]
pub struct Telephony;

impl Dialect for Telephony {
    fn name(&self) -> &'static str {
        NAME
    }

    fn project<'a>(&'a self, before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
        project::project(before, fact, people)
    }

    fn routes(&self, _: Arc<dyn Doorway>) -> Router {
        Router::new()
    }
}
