//! What the tests of the whole program share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses its part, and may panic")]

pub mod baresip;
pub mod browser;
pub mod captured;
pub mod clients;
pub mod kamailio;
pub mod linphone;
pub mod operations;
pub mod phones;
pub mod process;
pub mod receiver;
pub mod sound;
pub mod tls_tunnel;
pub mod views;
pub mod voicemail;
pub mod webrtc;
