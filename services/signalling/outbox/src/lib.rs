//! Delivers what dialects emit to applications.
//!
//! The shell around [`sidetone_outbox_core`]: the store behind its orders, HTTP behind its attempts, the clock. The door
//! hands in what each entry of the log projects to ([`Outbox`] is its [`sidetone_http::Outlet`]) and begins, after a start,
//! where [`sidetone_http::Outlet::cursor`] says.
//!
//! | key | value |
//! |---|---|
//! | `outbox/cursor/<shard>` | the entry up to which nothing needs the log any more |
//! | `outbox/lanes/<tenant>/<receiver>` | the shard of a lane that was ever spilled |
//! | stream `outbox/spill/<tenant>/<receiver>` | what a lane that fell behind owes |
//! | `outbox/dead/<tenant>/<receiver>/<id>` | a dead letter, expires |
#![forbid(unsafe_code)]

mod config;
mod engine;
mod ledger;
mod mention;
mod outlet;
mod progress;
mod service;
mod trouble;
mod webhook;

pub use config::Config;
pub use engine::{Deps, Outbox};
