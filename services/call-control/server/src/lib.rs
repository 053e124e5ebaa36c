//! Call control: owns the shards, writes the log, speaks to signalling, media and push, and answers the API.
//!
//! One task, the owner, is the only writer (`owner`). Around it: the streams of signalling (`streams`), the media nodes
//! (`nodes`), the look-ups (`routing`), the API (`api`) and the CDRs (`cdr`). A restart folds the log, lets replicas
//! and nodes show what they hold, and goes on.
//!
//! A drain is signalling's and media's to carry out: they take no new calls. Call control refuses to place new ones for
//! applications, and serves everything else (also calls that come in, which only a replica that is not draining lets
//! through) until it is stopped. A stop ends between two rounds: what was decided is in the log, and the next life of
//! call control goes on with it.
#![forbid(unsafe_code)]

mod api;
mod cdr;
mod clock;
mod config;
mod content;
mod deadline;
mod devices;
mod entries;
mod execute;
mod facts;
mod follow;
mod forwards;
mod handle;
mod nodes;
mod owner;
mod playable;
mod port;
mod recordings;
mod routing;
mod running;
mod sounding;
mod streams;
mod unknown;
mod views;
mod voicemail;
mod waiting;

pub use config::Config;
pub use content::{Content, NoContent};
pub use handle::{CallControl, Deps, StreamUrls};
