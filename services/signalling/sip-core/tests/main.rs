//! The tests of this crate as one program, which is linked once and runs them side by side. Those that need a process to
//! themselves have one: see Cargo.toml.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers_of_a_former_life;
mod any_order;
mod bodies;
mod call_answered;
mod call_cancelled;
mod call_deflected;
mod call_rejected;
mod dialog_model;
mod digest;
mod encryption;
mod forked_answers;
mod hang_up;
mod harness;
mod identity;
mod info_digits;
mod lossy_network;
mod lost_ack;
mod messages;
mod mutations;
mod prack;
mod refer;
mod registrar;
mod reoffer;
mod sdp;
mod session_changes;
mod session_timers;
mod subscriptions;
mod talk;
mod torture;
mod transactions;
