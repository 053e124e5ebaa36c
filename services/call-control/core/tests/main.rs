//! The tests of this crate as one program, which is linked once and runs them side by side. Those that need a process to
//! themselves have one: see Cargo.toml.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answered;
mod applications;
mod carried_over;
mod conference;
mod conversations;
mod deciding;
mod digits;
mod early_media;
mod flows;
mod forwarding;
mod groups;
mod hold;
mod hold_told;
mod hunting;
mod introductions;
mod kit;
mod lamps;
mod lost_recordings;
mod lost_sounds;
mod mailbox;
mod mailbox_pin;
mod matching;
mod media_failures;
mod outside;
mod playing;
mod quality;
mod records;
mod referred;
mod remote_answer;
mod repeated_invites;
mod restarts;
mod rooms;
mod transfer;
mod two_nodes;
mod two_parties;
mod voicemail;
mod waking;
