//! The tests of this crate as one program, which is linked once and runs them side by side. Those that need a process to
//! themselves have one: see Cargo.toml.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod barge_in;
mod carried_over;
mod codecs;
mod connections;
mod dtls;
mod flac;
mod inband_digits;
mod leg_audio;
mod limits;
mod long_prompts;
mod moving_legs;
mod muted_digits;
mod object_storage;
mod opus_adapts;
mod packet_times;
mod pauses;
mod playbacks;
mod prompts_over_speech;
mod quiet_listeners;
mod random_moves;
mod receive_policy;
mod recorder_warning;
mod recording_forms;
mod recordings;
mod shared_prompts;
mod speech;
mod srtp;
mod streams;
mod support;
mod voip_metrics;
mod wideband_recordings;
