//! Opus (RFC 6716, RFC 7587), one channel, over one of two libraries with the same face.
//!
//! `opus-rs` is written in Rust and always there; with the feature `opus-c` it is libopus. Both run the same tests.

#[cfg(feature = "opus-c")]
mod libopus;
mod loudness;
mod pure;
mod settings;
mod toc;

#[cfg(feature = "opus-c")]
pub use libopus::{LibopusDecoder, LibopusEncoder};
pub use loudness::{Loudness, LoudnessReader};
pub use pure::{PureDecoder, PureEncoder};
pub use settings::OpusSettings;
pub use toc::packet_duration;

use super::CodecError;
use crate::Rate;

/// The library that a build uses.
#[cfg(feature = "opus-c")]
pub(super) type Encoder = LibopusEncoder;
/// The library that a build uses.
#[cfg(feature = "opus-c")]
pub(super) type Decoder = LibopusDecoder;
/// The library that a build uses.
#[cfg(not(feature = "opus-c"))]
pub(super) type Encoder = PureEncoder;
/// The library that a build uses.
#[cfg(not(feature = "opus-c"))]
pub(super) type Decoder = PureDecoder;

/// An Opus encoder of one channel.
pub trait OpusEncode: Sized {
    /// An encoder that takes samples at `rate`.
    ///
    /// # Errors
    /// [`CodecError::Library`] when the library refuses.
    fn new(rate: Rate, settings: &OpusSettings) -> Result<Self, CodecError>;

    /// Encodes one packet of 10, 20, 40 or 60 ms and returns its length in bytes.
    ///
    /// # Errors
    /// [`CodecError::FrameLength`] for another duration, [`CodecError::Library`] when the library refuses.
    fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError>;

    /// Changes what may change in mid-stream: bit rate, complexity, and how much loss the far side reports.
    fn adapt(&mut self, settings: &OpusSettings);
}

/// An Opus decoder of one channel; stereo packets are mixed down.
pub trait OpusDecode: Sized {
    /// A decoder that gives samples at `rate`.
    ///
    /// # Errors
    /// [`CodecError::Library`] when the library refuses.
    fn new(rate: Rate) -> Result<Self, CodecError>;

    /// Decodes a packet and returns how many samples it gave.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for what is no Opus packet or does not fit `out`.
    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize, CodecError>;

    /// Fills `out`, a multiple of 2.5 ms of at most 60 ms, in place of what was lost. With the packet that follows the gap,
    /// its in-band error correction is used where it has one; the packet is still to be decoded after that.
    ///
    /// # Errors
    /// [`CodecError::FrameLength`] for another length of `out`.
    fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> Result<(), CodecError>;
}

/// Longest packet, in ms (RFC 6716, section 3.2.5).
pub(super) const PACKET_MS_MAX: usize = 120;
/// Longest packet we make, in bytes: it has to fit a datagram with SRTP.
const BYTES_MAX: usize = 1_275;

fn is_packet_time(rate: Rate, samples: usize) -> bool {
    [10, 20, 40, 60].into_iter().any(|ms| rate.samples(ms) == samples)
}

fn is_concealable(rate: Rate, samples: usize) -> bool {
    samples > 0 && samples.is_multiple_of(rate.samples(10) / 4) && samples <= rate.samples(60)
}

#[cfg(test)]
mod tests;
