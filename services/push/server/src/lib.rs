//! The push service: providers, the ledger in the store, and the gRPC service.
//!
//! What is accepted is durable: a wake-up stands in the ledger (`push/ledger/<tenant>/<push_id>`) before its request is
//! answered, and everything unfinished is taken up again at the next start. Delivery is at least once; receivers tell
//! repetitions by the push id. One process serves a store at a time: a second one would find its writes refused by the
//! ledger's revisions.
//!
//! Decisions are [`sidetone_push_core`]'s; here are the sockets, the store and the clock.
#![forbid(unsafe_code)]

mod config;
mod engine;
mod error;
mod ledger;
mod providers;
mod registry;
mod service;

pub use config::Config;
pub use error::StartError;
pub use service::{Deps, Push};
