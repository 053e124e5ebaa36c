//! The modules of `sidetone-dsp` that depend on the processor, with their tests and what these use, without the crates that
//! the rest needs: what `.ci/neon` compiles for aarch64.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

#[path = "../services/media/dsp/src/cpu.rs"]
mod cpu;
#[path = "../services/media/dsp/src/g711/mod.rs"]
mod g711;
#[path = "../services/media/dsp/src/goertzel.rs"]
mod goertzel;
#[path = "../services/media/dsp/src/level.rs"]
mod level;
#[path = "../services/media/dsp/src/mix.rs"]
mod mix;
#[path = "../services/media/dsp/src/rate.rs"]
mod rate;
#[path = "../services/media/dsp/src/resample/mod.rs"]
mod resample;
#[path = "../services/media/dsp/src/tone.rs"]
mod tone;

use cpu::{InstructionSet, instruction_set};
use rate::Rate;
