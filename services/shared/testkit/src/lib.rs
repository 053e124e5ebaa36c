//! What tests are made of: a scripted SIP phone, its media with a generated tone, an ear that says what is heard, and a network
//! that loses what it is told to lose.
//!
//! The phone writes and reads SIP by itself and shares nothing with the server's SIP code, so that a mistake in one does
//! not hide the same mistake in the other.

#![forbid(unsafe_code)]

pub mod coding;
pub mod line;
mod marker;
pub mod netem;
pub mod phone;
pub mod rtp;
pub mod stir;
