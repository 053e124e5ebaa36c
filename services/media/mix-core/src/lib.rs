//! The conference graph and its tick: no lock and no allocation after set-up.
//!
//! # Contract
//! A [`Mixer`] mixes one frame length (for example 160 samples: 20 ms at 8 kHz) of at most a fixed number of members. One
//! tick is always these steps, in this order:
//!
//! 1. for every member whose voice has come, [`Mixer::speak`] hands out the slot into which its frame is decoded;
//! 2. [`Mixer::mix`] sums all voices once, in 32 bits;
//! 3. for every member, [`Mixer::heard`] (linear) or [`Mixer::heard_coded`] (G.711) gives what it is to hear.
//!
//! Everybody hears all but themselves: a speaker's own voice is subtracted from the sum, and the result is limited once.
//! Whoever did not speak hears the same as every other silent member: that mix is limited once, and encoded once per law.
//! A member that joins, is muted or leaves is faded over one frame, so that nothing clicks; one that begins to speak after it said
//! nothing, over an eighth of a frame.
//!
//! Members, gains and levels are plain values in memory that is taken when the mixer is made. Handles carry a generation:
//! one that is kept after its member left reaches nobody else.
//!
//! # A room on several threads
//! A room that is too large for one thread has a [`Mixer`] on each of several, and a [`Submix`] beside it: step 2 is then
//! [`Mixer::sum_up`], [`Submix::exchange`] and [`Mixer::finish`].
//!
//! # What it does not do
//! It knows no clock, no packet, no codec but G.711, and nothing of calls. Who decodes, and when a tick is due, is the
//! caller's business.
#![forbid(unsafe_code)]

mod coded;
mod hearing;
mod member;
mod mixer;
mod submix;

pub use member::MemberId;
pub use mixer::{Mixer, MixerFull};
pub use submix::{Notes, Submix};
