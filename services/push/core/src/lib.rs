//! Wake-ups without sockets: deduplication, retry, deadlines, cancellation and dead letters.
//!
//! [`WakeUps`] decides what is sent when; the shell sends, stores and tells the time. Every [`WakeUp`] is a value that
//! the shell writes into the ledger: [`WakeUps::handle_wake`] only reserves a place, and nothing is attempted before
//! [`WakeUps::handle_stored`] says that the entry is durable.
//!
//! The shell's loop is: [`WakeUps::poll_attempt`] until it has no more, each outcome into
//! [`WakeUps::handle_report`], and [`WakeUps::handle_timeout`] no later than [`WakeUps::poll_timeout`].
//!
//! Delivery is at least once: an attempt that was under way at a crash is made again, and the receiver tells it by the
//! push id. A device that may have been told of a call is also told when that call is over.
#![forbid(unsafe_code)]

mod policy;
mod queue;
mod wake_up;
mod wake_ups;

pub use policy::{Backoff, Limits};
pub use wake_up::{
    Attempt, CancelReason, DeadReason, Key, Kind, Next, Outcome, Report, Request, State, WakeUp,
};
pub use wake_ups::{Admission, Ended, Order, Refusal, WakeUps};
