//! Recording containers as bytes out.
//!
//! # Contract
//! - [`wav::WavWriter`] places sound on the recording's own timeline: every block comes with the position of its first
//!   frame. A gap becomes silence, an overlap is dropped and counted; the file never runs ahead of or behind the call.
//! - It writes nothing itself. It appends to the caller's buffer, and hands out [`Patch`]es for the sizes in the header.
//!   A caller that carries out the patches at least every second has a file that plays, whenever it is killed.
//! - [`wav::repair`] makes the sizes of a file that was left behind match its length, so that no byte of it is lost.
//! - Positions and lengths are frames: one sample of each channel, at the file's rate.
//!
//! # What it does not do
//! It opens no file, mixes nothing and knows no codec other than G.711's two laws, which a WAV file holds as they are.
#![forbid(unsafe_code)]

mod error;
pub mod wav;

pub use error::RecordError;

/// Bytes that belong at a place of the file that has been written before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// From the start of the file.
    pub offset: u64,
    /// What to put there.
    pub bytes: [u8; 4],
}
