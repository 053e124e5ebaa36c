//! The model that every service shares: ids, signals, commands, facts, folds and terminations.
//!
//! One call is one stream of facts. Phones speak through [`signal::LegSignal`]s, applications through
//! [`command::CallCommand`]s; call control answers with [`fact::FactRecord`]s, and everything that is shown
//! to anybody (lists, CDRs, webhooks, dialects) is a pure function of those.
//!
//! No IO, no async, no clock, no global random source: time and randomness are arguments. The [`wire`] module
//! turns every type into its protocol-buffer form and back, and is the only place that does.
#![forbid(unsafe_code)]

pub mod call;
pub mod callback;
pub mod cidr;
pub mod classify;
pub mod command;
pub mod conversation;
pub mod fact;
pub mod fold;
pub mod ids;
pub mod media;
pub mod party;
pub mod signal;
pub mod termination;
pub mod time;
pub mod voice;
pub mod watch;
pub mod wire;
