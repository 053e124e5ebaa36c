//! The HTTP door: one port for every dialect.
//!
//! For each shard a follower takes call control's facts in their order, keeps the fold, and lets every dialect project
//! each fact ([`sidetone_dialects::Dialect::project`]). What they emit goes to the subscriptions of users (`ring`) and to
//! the webhooks of applications (`Outlet`). Requests come in through the routes that each dialect brings, and reach
//! call control as commands.
//!
//! The door runs beside call control, because a shard's facts must be projected once: by its owner.
#![forbid(unsafe_code)]

mod book;
mod config;
mod count;
mod door;
mod follower;
mod media;
mod outlet;
mod ring;
mod server;
mod serving;
mod speaking;
mod speech;

pub use config::Config;
pub use media::{KeptAt, MediaBody, MediaSource, MediaUnavailable, MediaUrls};
pub use outlet::{Mention, Outlet, OutletError, Posted};
pub use server::{Deps, HttpDoor};
pub use speech::Spoken;
