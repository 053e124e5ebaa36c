//! What is owed to receivers, without sockets: order per call, retry, back-off, spilling and dead letters.
//!
//! # What is durable
//! A parcel is a pure function of the log: its [`ParcelId`] is the place of the fact it tells, and projecting the log again
//! gives the same parcel with the same id. So nothing is written for a parcel that is delivered soon. What is kept is one
//! [`Outbox::cursor`] per shard: everything up to that entry is delivered, dead, or in the lane's own stream. After a
//! crash the log is projected again from there, and what had been delivered since is delivered again under the same
//! idempotency key.
//!
//! A lane that falls behind (too many parcels, or one too old) is *spilled*: what it owes goes into a stream of the store,
//! is read back page by page, and no longer holds the cursor.
//!
//! # Order
//! Parcels with one [`Parcel::order`] (a call, a conversation) go out one after the other; different ones side by side, up
//! to a limit per lane. A receiver that does not answer is asked by one attempt at a time until it does. No lane waits
//! for another.
//!
//! # Use
//! Mutate, then drain [`Outbox::poll_attempt`] and [`Outbox::poll_order`]; tell each outcome by the `handle_` method that
//! its documentation names; call [`Outbox::handle_timeout`] no later than [`Outbox::poll_timeout`] says.
#![forbid(unsafe_code)]

mod lane;
mod outbox;
mod parcel;
mod policy;
mod spill;

pub use outbox::{Attempt, Full, Order, Outbox, Owed, Why};
pub use parcel::{Address, DeadLetter, DeadReason, LaneKey, Outcome, Parcel, ParcelId, ParcelIdError};
pub use policy::{Backoff, Limits};
