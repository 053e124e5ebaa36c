//! `sidetone calls play` and `sidetone calls playback`.

use sidetone_proto::callcontrol::v1::{Play, PlayManner, SteerPlay, play, steer_play};
use sidetone_proto::types::v1::{self as types, Source, source};

/// What is played, to whom, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct PlayArgs {
    /// The call.
    call: String,
    /// Prompt names, or URLs.
    #[arg(required = true)]
    sources: Vec<String>,
    /// Only this leg hears it.
    #[arg(long)]
    leg: Option<String>,
    /// How often; 0 is for ever.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Where the first round begins, in ms.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    from_ms: u32,
    /// Silence between two sources and two rounds, in ms: up to 60000.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=60_000))]
    pause_ms: u32,
    /// What of whoever hears it ends it, for all who hear it.
    #[arg(long, value_enum, default_value = "none")]
    barge_in: BargeIn,
    #[command(flatten)]
    beside: Beside,
}

/// What ends a playback before its end.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum BargeIn {
    /// Nothing.
    None,
    /// A key.
    Key,
    /// Speech of 120 ms.
    Voice,
    /// A key or speech.
    Any,
}

impl From<BargeIn> for types::BargeIn {
    fn from(barge_in: BargeIn) -> Self {
        match barge_in {
            BargeIn::None => Self::None,
            BargeIn::Key => Self::Key,
            BargeIn::Voice => Self::Voice,
            BargeIn::Any => Self::Any,
        }
    }
}

/// What is played beside something else, and how loud the two are.
#[derive(Debug, clap::Args)]
struct Beside {
    /// Over what is said, which is turned down while it sounds; without it, instead of what is said.
    #[arg(long, conflicts_with = "under")]
    over: bool,
    /// Under what is said: it is turned down while somebody speaks.
    #[arg(long)]
    under: bool,
    /// By how many decibels the one that gives way is turned down: -72 to 0, -15 without.
    #[arg(long, value_name = "DB", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-72..=0))]
    duck: Option<i32>,
    /// How many decibels louder it is played: -72 to 18.
    #[arg(long, value_name = "DB", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-72..=18))]
    gain: i32,
}

impl Beside {
    fn manner(&self) -> PlayManner {
        match (self.over, self.under) {
            (true, _) => PlayManner::Over,
            (_, true) => PlayManner::Under,
            _ => PlayManner::Unspecified,
        }
    }
}

impl From<PlayArgs> for Play {
    fn from(args: PlayArgs) -> Self {
        let PlayArgs { call, sources, leg, repeat, from_ms, pause_ms, barge_in, beside } = args;
        Self {
            audience: Some(leg.map_or(play::Audience::CallId(call), play::Audience::LegId)),
            sources: sources.into_iter().map(source).collect(),
            repeat,
            manner: beside.manner().into(),
            duck_mdb: beside.duck.map(|db| db * 1000),
            gain_mdb: beside.gain * 1000,
            start_ms: from_ms,
            pause_between_ms: pause_ms,
            barge_in: types::BargeIn::from(barge_in).into(),
        }
    }
}

fn source(text: String) -> Source {
    let url = text.starts_with("http://") || text.starts_with("https://");
    let kind = if url { source::Kind::Url(text) } else { source::Kind::Prompt(text) };
    Source { kind: Some(kind) }
}

/// A change of what is played.
#[derive(Debug, clap::Args)]
pub(crate) struct SteerArgs {
    /// The playback, as `play` told it.
    playback: String,
    /// Silence from now on.
    #[arg(long)]
    pause: bool,
    /// Go on where it was paused.
    #[arg(long)]
    resume: bool,
    /// Go to this place of the present round, in ms; past its end the next round begins, or it is over.
    #[arg(long, value_name = "MS")]
    seek_ms: Option<u64>,
}

impl From<SteerArgs> for SteerPlay {
    fn from(args: SteerArgs) -> Self {
        let change = match args.seek_ms {
            Some(position_ms) => steer_play::Change::PositionMs(position_ms),
            None => steer_play::Change::Paused(args.pause),
        };
        Self { playback_id: args.playback, change: Some(change) }
    }
}
