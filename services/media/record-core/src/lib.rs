//! Recordings as bytes out: a timeline, voices put together on it, and containers that play after a crash.
//!
//! # Contract
//! [`WavWriter`] takes samples by their place on the recording's timeline (0 is the first sample, as many a second as its [`Form`] says) and gives out
//! bytes to append and, now and then, a [`Patch`] to write over the start of the file. A file whose writer died at any moment
//! plays up to the last patch; [`repaired_header`] makes all that lies behind it count, too.
//!
//! [`Timeline`] says where sound belongs when a recording is paused or masked, [`Mixdown`] adds voices up, [`Encoder`] makes
//! WAV, Opus in Ogg, FLAC or (feature `mp3-encode`) MP3 of them, [`Units`] finds what of a file is whole, [`Segments`] cuts
//! it into pieces that play alone, and [`Joiner`] makes one file of such pieces again.
//!
//! # What it does not do
//! It opens no file and knows no clock.
#![forbid(unsafe_code)]

mod container;
mod flac;
mod form;
mod join;
mod mixdown;
#[cfg(feature = "mp3-encode")]
mod mp3;
mod mp3_frame;
mod opus;
mod segment;
mod timeline;
mod units;
mod wav;

pub use container::{Container, EncodeError, Encoder};
pub use form::Form;
pub use join::{JoinError, Joiner};
pub use mixdown::Mixdown;
pub use segment::{Segment, Segments};
pub use timeline::Timeline;
pub use units::{Repair, Units};
pub use wav::{HEADER_LEN, Patch, SampleFormat, WavError, WavFormat, WavWriter, repaired_header};
