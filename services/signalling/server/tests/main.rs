//! The tests of this crate as one program, which is linked once and runs them side by side. Those that need a process to
//! themselves have one: see Cargo.toml.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bans;
mod caller_gone;
mod calls;
mod carrier_routes;
mod challenges;
mod defence;
mod durable;
mod encryption;
mod flows;
mod handover;
mod harness;
mod hep_decoders;
mod hostile;
mod identity;
mod ladder;
mod lamps;
mod limits;
mod outgoing_tls;
mod pick_up;
mod registrations;
mod repeated_invites;
mod sipvicious;
mod stir;
mod subscriptions;
mod transports;
mod trunks;
