//! Calls as one pure state machine per shard: signals and commands in, facts and effects out.
//!
//! # Contract
//! A [`Shard`] is the only writer of its calls. Each `handle_*` takes one input and the time, and returns a [`Step`]:
//!
//! - a [`sidetone_model::fact::FactRecord`], which the shell appends to the shard's log, and
//! - [`Effect`]s, which the shell carries out **after** that append has succeeded, in their order. When an append fails
//!   the shard must be thrown away and folded anew: it has already taken the record in.
//!
//! What a shard knows durably is what its log folds to ([`Shard::replay`]). What it knows beside that (offers, the media
//! steps under way) is found out again after a restart by asking signalling and media what they hold: see
//! [`Shard::handle_hello`] and [`Shard::handle_node_legs`].
//!
//! Look-ups are the shell's: an input that needs to know where a number leads carries a [`Routing`].
//!
//! # The life of a leg
//!
//! ```text
//! phone calls us    Offered ─▶ CreateLeg at media ─▶ by destination:
//!                     room, echo, announcement   Answer, connect
//!                     user                       each registered device becomes a leg of ours; the first answer wins
//!                                                one that is asleep is called where it registers meanwhile
//!                     wait                       Ring, until an application answers it
//! we call a phone   CreateLeg at media (our offer) ─▶ Invite ─▶ Progress* ─▶ Answered ─▶ UpdateLeg ─▶ connect
//! any               End commanded ─▶ Ended signalled ─▶ released at media
//! ```
//!
//! # What it does not do
//! It owns no socket, task, clock or store, and it knows neither SDP text nor gRPC.
#![forbid(unsafe_code)]

mod carrying;
mod command;
mod conference;
mod connect;
mod control;
mod conversation;
mod deciding;
mod device;
mod digits;
mod early;
mod effect;
mod ending;
mod error;
mod flows;
mod forwarding;
mod hunt;
mod input;
mod introduction;
mod mailbox;
mod mailbox_menu;
mod matching;
mod media;
mod moving;
mod operation;
mod place;
mod playing;
mod reconcile;
mod recording;
mod reoffer;
mod repeated;
mod resume;
mod ringing;
mod shard;
mod signal;
mod snapshot;
mod sounds;
mod timeout;
mod topology;
mod voicemail;
mod waking;

pub use effect::{Answers, Connection, Effect, Heard, MediaRequest, Pause, Pin, Step};
pub use error::CommandError;
pub use forwarding::Forwards;
pub use input::{
    HeldMedia, HeldSounds, Later, Limits, MatchCodecs, MediaFailure, MediaReply, NodeCandidate, OtherFlow,
    Redirects, RoomSettings, Routing,
};
pub use mailbox_menu::PIN_DIGITS;
pub use moving::GatheringId;
pub use recording::FinishedRecording;
pub use shard::Shard;
pub use timeout::Reason;
