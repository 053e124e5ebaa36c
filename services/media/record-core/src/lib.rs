//! Recording containers as bytes out: WAV that plays after a crash.
//!
//! # Contract
//! [`WavWriter`] takes samples by their place on the recording's timeline (0 is the first sample, 8,000 a second) and gives out
//! bytes to append and, now and then, a [`Patch`] to write over the start of the file. A file whose writer died at any moment
//! plays up to the last patch; [`repaired_header`] makes all that lies behind it count, too.
//!
//! # What it does not do
//! It opens no file, knows no clock, mixes nothing and encodes nothing: samples come in the format of the file.
#![forbid(unsafe_code)]

mod wav;

pub use wav::{HEADER_LEN, Patch, SampleFormat, WavError, WavFormat, WavWriter, repaired_header};
