//! Signal kernels for telephony: codecs, mixing, resampling, levels, tones and their detection, voice activity, loss
//! concealment, comfort noise, automatic gain and noise suppression.
//!
//! # Contract
//! - Samples are 16-bit linear PCM, one channel. Unless a function takes a rate, it does not care for the sample rate.
//! - No function but a constructor (and the preparation of a thread, [`Denoiser::prepare_thread`]) allocates, and none locks, reads a clock or logs. State is a plain value that the caller owns.
//! - Every vector kernel has a scalar twin with bit-identical results; the set is chosen once, at the first use, from what
//!   the processor offers ([`instruction_set`]).
//! - Slices that belong together must have the same length; a kernel works on the shorter of them and never panics.
//!
//! # What it does not do
//! It knows nothing of RTP packets, of members of a conference or of files.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod agc;
pub mod codec;
pub mod comfort;
mod cpu;
pub mod denoise;
pub mod dtmf;
pub mod duck;
pub mod g711;
pub mod goertzel;
pub mod level;
pub mod mix;
pub mod plc;
pub mod progress;
mod rate;
pub mod resample;
pub mod tone;
pub mod vad;

pub use agc::Agc;
pub use cpu::{InstructionSet, instruction_set};
pub use denoise::Denoiser;
pub use g711::Law;
pub use mix::Gain;
pub use rate::Rate;
pub use resample::Resampler;
