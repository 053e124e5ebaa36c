//! How a leg sounds to the others, beyond whether it is let through at all.

use crate::ids::LegId;

/// What an application sets for the sound of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegVoice {
    /// How loud it is to the others, in thousandths of a decibel: [`GAIN_MDB_MIN`] to [`GAIN_MDB_MAX`], 0 leaves it.
    pub gain_mdb: i32,
    /// Its part in the conversation.
    pub role: VoiceRole,
    /// What it says is brought to the level of usual speech.
    pub automatic_gain: bool,
    /// What is no speech is taken out of what it says.
    pub suppress_noise: bool,
}

/// The part of a leg in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiceRole {
    /// Heard by everybody.
    #[default]
    Speaker,
    /// Hears, and is not heard.
    Listener,
    /// Hears everybody, and is heard by one leg alone: by nobody when that one is elsewhere or gone.
    Coach {
        /// That leg.
        heard_by: LegId,
    },
    /// As a listener, and never told of as speaking.
    Monitor,
}

/// As good as silence.
pub const GAIN_MDB_MIN: i32 = -72_000;
/// Eight times the amplitude.
pub const GAIN_MDB_MAX: i32 = 18_000;
