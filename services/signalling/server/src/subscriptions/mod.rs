//! What subscriptions of phones (RFC 6665) are allowed, and their records in the store. What is done with them is the agent's.

mod config;
mod records;

pub use config::SubscriptionsConfig;
pub(crate) use records::{Record, Records};
