//! RTP and RTCP without sockets: packets, jitter buffer, telephone events, sender and receiver reports, SRTP.
//!
//! # Contract
//! - Time is an argument: `arrival_ms` and `now_ms` are milliseconds of any steady clock, NTP time is given by the caller.
//! - Nothing allocates after construction, so everything may be called on the media tick.
//! - RTP timestamps are in units of the payload's clock (8,000 Hz for G.711 and its telephone events).
//! - Parsers take bytes from anyone: they never panic, and refuse with a typed reason.
//!
//! # What it does not do
//! It agrees on no keys, does not decide whose packets to accept, keeps no table of legs, and decodes no audio.
#![forbid(unsafe_code)]

pub mod event;
pub mod jitter;
pub mod packet;
pub mod report;
pub mod rtcp;
pub mod sender;
pub mod srtp;

pub use jitter::{JitterBuffer, JitterConfig, JitterCounters, Playout};
pub use packet::{Header, PacketError, RtpPacketRef, RtpTimestamp, SequenceNumber, Ssrc, write_header};
pub use sender::SenderState;
