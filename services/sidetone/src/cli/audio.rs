//! How a leg sounds: `sidetone calls audio`.

use sidetone_proto::callcontrol::v1::SetAudio;
use sidetone_proto::types::v1::{LegVoice, VoiceRole};

/// What is let through of a leg, and how it sounds.
#[derive(Debug, clap::Args)]
pub(crate) struct AudioArgs {
    /// The leg.
    leg: String,
    /// The others do not hear it.
    #[arg(long)]
    muted: bool,
    /// It does not hear the others.
    #[arg(long)]
    deafened: bool,
    /// How loud it is to the others, in dB: -72 to 18.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = gain_db)]
    gain_db: f32,
    /// Its part in the conversation.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Who alone hears a coach: a leg.
    #[arg(long, required_if_eq("role", "coach"))]
    heard_by: Option<String>,
    /// Bring what it says to the level of usual speech.
    #[arg(long)]
    agc: bool,
    /// Take what is no speech out of what it says.
    #[arg(long)]
    suppress_noise: bool,
    /// Leave how it sounds as it is, and set only what is let through.
    #[arg(long, conflicts_with_all = ["gain_db", "role", "heard_by", "agc", "suppress_noise"])]
    same_voice: bool,
}

/// The part of a leg in a conversation.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Role {
    /// Heard by everybody.
    #[default]
    Speaker,
    /// Hears, and is not heard.
    Listener,
    /// Hears everybody, and is heard by one leg alone.
    Coach,
    /// As a listener, and never told of as speaking.
    Monitor,
}

/// A gain as it is typed, in dB.
fn gain_db(text: &str) -> Result<f32, String> {
    let gain = text.parse().ok().filter(|gain| (-72.0..=18.0).contains(gain));
    gain.ok_or_else(|| "expected a gain in dB, -72 to 18".to_owned())
}

impl From<AudioArgs> for SetAudio {
    fn from(args: AudioArgs) -> Self {
        let role = match args.role {
            Role::Speaker => VoiceRole::Speaker,
            Role::Listener => VoiceRole::Listener,
            Role::Coach => VoiceRole::Coach,
            Role::Monitor => VoiceRole::Monitor,
        };
        let voice = LegVoice {
            gain_mdb: (args.gain_db * 1_000.0).round() as i32,
            role: role.into(),
            heard_by_leg_id: args.heard_by.unwrap_or_default(),
            automatic_gain: args.agc,
            suppress_noise: args.suppress_noise,
        };
        Self {
            leg_id: args.leg,
            muted: args.muted,
            deafened: args.deafened,
            voice: (!args.same_voice).then_some(voice),
        }
    }
}

/// How a leg sounds, in words behind a space; nothing where it sounds as it is spoken.
pub(super) fn in_words(voice: &LegVoice) -> String {
    let mut text = String::new();
    if voice.gain_mdb != 0 {
        text += &format!(" {:+} dB", f64::from(voice.gain_mdb) / 1_000.0);
    }
    if voice.role() != VoiceRole::Speaker {
        text += " ";
        text += &voice.role().as_str_name().trim_start_matches("VOICE_ROLE_").to_lowercase();
    }
    for (is, word) in [(voice.automatic_gain, " agc"), (voice.suppress_noise, " suppresses-noise")] {
        text += if is { word } else { "" };
    }
    text
}
