//! The owner: one task that is the only writer of every shard it owns.
//!
//! It takes what has gathered in its queue, makes a step of each, appends the steps of each shard as one entry, and only
//! then does what follows from them. While an append is under way the queue grows, and the next entry holds more steps:

mod input;
pub(crate) mod log;
mod recent;
mod replicas;
pub(crate) mod snapshots;
mod task;
mod waiting;
mod watchers;

pub(crate) use input::{INPUTS_MAX, Input, ReplicaStream};
pub(crate) use recent::{Entry, Recent};
pub(crate) use replicas::ReplicaInfo;
pub(crate) use task::{Owner, OwnerParts};
