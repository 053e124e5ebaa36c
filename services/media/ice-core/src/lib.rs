//! ICE without sockets (RFC 8445): STUN messages (RFC 8489) and an agent that only answers checks.
//!
//! # Contract
//! - Time is an argument: `now_ms` is of any steady clock.
//! - Whoever does not know the password gets no byte back and changes nothing (RFC 8445, section 19).
//! - An answer is never larger than what asked for it, as an authentic request carries a name, a priority and two proofs.
//! - Parsers take bytes from anyone: they never panic, and refuse with a typed reason.
//!
//! # What it does not do
//! It gathers no candidates and checks none: a node has one address that everybody can reach, and those who call check it
//! (RFC 8445, section 2.5).
#![forbid(unsafe_code)]

pub mod lite;
pub mod stun;

pub use lite::{Credentials, Handled, Lite, Outcome, PAIRS_MAX, Pairs};
