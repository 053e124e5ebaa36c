//! RTP and RTCP without sockets: packets, playout, telephone events, sender and receiver reports, SRTP.
//!
//! # Contract
//! - Time is an argument: `now_ms` and `now_us` are of any steady clock.
//! - Nothing allocates after construction, so everything may be called on the media tick.
//! - RTP timestamps are in units of the payload's clock (8,000 Hz for G.711 and its telephone events).
//! - Parsers take bytes from anyone: they never panic, and refuse with a typed reason.
//!
//! # What it does not do
//! It agrees on no keys, does not decide whose packets to accept, keeps no table of legs, and knows no codec.
#![forbid(unsafe_code)]

mod bursts;
pub mod event;
pub mod packet;
pub mod playout;
pub mod quality;
pub mod recut;
pub mod report;
pub mod reporter;
pub mod rtcp;
pub mod sender;
pub mod srtp;
pub mod xr;

pub use bursts::{BurstSummary, Bursts};
pub use packet::{Header, PacketError, RtpPacketRef, RtpTimestamp, SequenceNumber, Ssrc, write_header};
pub use playout::{Playout, PlayoutConfig, PlayoutCounters, Pulled};
pub use recut::Recut;
pub use report::ReceiverStats;
pub use reporter::{Reporter, Told};
pub use sender::{Mapping, SenderState};
pub use xr::VoipMetrics;
