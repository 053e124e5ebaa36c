//! `sidetone calls`.

use std::time::Duration;

use clap::Subcommand;
use sidetone_proto::callcontrol::v1::{
    AnswerLegRequest, Call, ExecuteRequest, GetCallRequest, HangUpRequest, Leg, LegSound, LegState,
    ListCallsRequest, Record, StopRecordingRequest, command_response::Subject as Done,
    execute_request::Command, hang_up_request::Subject,
};
use sidetone_proto::types::v1::{FileFormat, Layout, Proof};

use super::call::done;
use super::client::{explain, idempotency_key};
use super::ladder::LadderArgs;
use super::operations::Operation;
use super::output::{one, rows, time};
use super::{ClientArgs, Output, sound};

/// Live calls.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone calls                            the live ones
  sidetone calls show 019a...               one, with its legs
  sidetone calls ladder 019a...             its SIP messages; --pcap FILE for Wireshark
  sidetone calls hang-up 019a...            end it
  sidetone calls record 019a... --stereo    record it, caller left, the others right
  sidetone calls fetch 019a...              write a finished recording to a file
  sidetone calls listen 019a... | aplay     hear it as it goes on
  sidetone calls stream 019a...             the same at a URL, for any player
  sidetone calls hold 019a...               a leg (of `show`) holds whoever it talks with
  sidetone calls transfer 019a... 1003      a leg passes its call on without asking
  sidetone calls transfer 019a... --held 019b...  connect whom it talks with and whom it holds
  sidetone calls add 019a... 1003           a leg asks 1003 into its conversation
  sidetone calls play 019a... welcome --over  everybody hears a prompt over what is said
  sidetone calls play 019a... menu --barge-in any  until somebody presses a key or speaks
  sidetone calls playback 019a... --seek-ms 5000   go to another place in what is played
  sidetone calls --output json | jq '.[].call_id'")]
pub(crate) struct CallsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The live calls, oldest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One call with its legs.
    Show {
        /// The call.
        call: String,
    },
    /// What the phones of a call and we said to each other, in SIP.
    Ladder(LadderArgs),
    /// End a call.
    HangUp {
        /// The call.
        call: String,
    },
    /// End one leg of a call.
    HangUpLeg {
        /// The leg.
        leg: String,
    },
    /// Answer a leg that waits, and connect it.
    Answer {
        /// The leg.
        leg: String,
        /// The number to connect it to.
        to: String,
    },
    /// Record a call.
    Record {
        /// The call.
        call: String,
        /// Caller left, everybody else right.
        #[arg(long)]
        stereo: bool,
        /// A file for every leg.
        #[arg(long, conflicts_with = "stereo")]
        tracks: bool,
        /// What the file is made of.
        #[arg(long, value_enum, default_value = "wav")]
        format: RecordingFormat,
        /// Everybody who is recorded hears a beep at its beginning and every 15 s.
        #[arg(long)]
        beep: bool,
    },
    /// End a recording.
    StopRecording {
        /// The recording.
        recording: String,
    },
    /// Write an ended recording to a file, or each of its files; of a failed one, what was kept of it.
    Fetch {
        /// The recording.
        recording: String,
        #[command(flatten)]
        to: sound::To,
    },
    /// Hear a call: WAV on standard output until it ends.
    Listen {
        /// The call.
        call: String,
    },
    #[command(flatten)]
    Operate(Operation),
}

/// What a recording is made of.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RecordingFormat {
    /// 16 bit PCM.
    Wav,
    /// 32 kbit/s a channel.
    Mp3,
    /// Opus in Ogg, 25 kbit/s a channel.
    Ogg,
    /// As WAV, in about half the bytes.
    Flac,
}

impl From<RecordingFormat> for FileFormat {
    fn from(format: RecordingFormat) -> Self {
        match format {
            RecordingFormat::Wav => Self::Wav,
            RecordingFormat::Mp3 => Self::Mp3,
            RecordingFormat::Ogg => Self::OggOpus,
            RecordingFormat::Flac => Self::Flac,
        }
    }
}

pub(crate) async fn run(args: CallsArgs) -> anyhow::Result<()> {
    let client = args.client;
    let mut calls = client.calls()?;
    let tenant = client.tenant.clone();
    let idempotency_key = idempotency_key();
    let response = match args.action.unwrap_or(Action::List { limit: 100 }) {
        Action::List { limit } => return list(&client, limit).await,
        Action::Show { call } => return show(&client, call).await,
        Action::Ladder(args) => return super::ladder::run(&client, args).await,
        Action::HangUp { call } => {
            let subject = Some(Subject::CallId(call));
            calls.hang_up(HangUpRequest { tenant, idempotency_key, subject }).await
        }
        Action::HangUpLeg { leg } => {
            let subject = Some(Subject::LegId(leg));
            calls.hang_up(HangUpRequest { tenant, idempotency_key, subject }).await
        }
        Action::Answer { leg, to } => {
            calls.answer_leg(AnswerLegRequest { tenant, idempotency_key, leg_id: leg, to }).await
        }
        Action::Record { call, stereo, tracks, format, beep } => {
            let layout = match (stereo, tracks) {
                (true, _) => Layout::Stereo,
                (_, true) => Layout::TrackPerLeg,
                _ => Layout::Mono,
            };
            let format = FileFormat::from(format).into();
            let record =
                Record { call_id: call.clone(), format, layout: layout.into(), beep, ..Default::default() };
            let command = Some(Command::Record(record));
            let begun = calls.execute(ExecuteRequest { tenant, idempotency_key, command }).await;
            let begun = begun.map_err(|s| explain(&s))?.into_inner();
            if let Some(Done::RecordingId(recording)) = &begun.subject {
                must_record(&client, call, recording).await?;
            }
            return one(client.output, &begun, done);
        }
        Action::StopRecording { recording } => {
            let request = StopRecordingRequest { tenant, idempotency_key, recording_id: recording };
            calls.stop_recording(request).await
        }
        Action::Fetch { recording, to } => return sound::fetch(&client, recording, to).await,
        Action::Listen { call } => return sound::listen(&client, call).await,
        Action::Operate(operation) => {
            let command = Some(operation.command());
            calls.execute(ExecuteRequest { tenant, idempotency_key, command }).await
        }
    };
    one(client.output, &response.map_err(|s| explain(&s))?.into_inner(), done)
}

/// The command is carried out when it is written down; that the media node cannot record is known a moment later.
async fn must_record(client: &ClientArgs, call_id: String, recording: &str) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + FAILS_WITHIN;
    while tokio::time::Instant::now() < until {
        tokio::time::sleep(FAILED_LOOK).await;
        let request = GetCallRequest { tenant: client.tenant.clone(), call_id: call_id.clone() };
        // A call that is over has recorded until then.
        let Ok(call) = client.calls()?.get_call(request).await else { return Ok(()) };
        let found = call.into_inner().recordings.into_iter().find(|found| found.recording_id == recording);
        if let Some(failure) = found.and_then(|found| found.failure) {
            let cause = failure.cause().as_str_name().trim_start_matches("CAUSE_").to_lowercase();
            anyhow::bail!("recording {recording} has failed: {cause}, {}", failure.text);
        }
    }
    Ok(())
}

/// How long it is looked whether a recording fails at its beginning: a node opens a file in a few milliseconds.
const FAILS_WITHIN: Duration = Duration::from_millis(800);
const FAILED_LOOK: Duration = Duration::from_millis(100);

async fn list(client: &ClientArgs, limit: u32) -> anyhow::Result<()> {
    let tenant = client.tenant.clone();
    let request = ListCallsRequest { tenant, limit, after_call_id: String::new(), with_sound: true };
    let page = client.calls()?.list_calls(request).await.map_err(|s| explain(&s))?.into_inner();
    rows(
        client.output,
        &["call_id", "from", "dialled", "legs", "mos", "created", "answered"],
        &page.calls,
        |call| {
            vec![
                call.call_id.clone(),
                call.from.as_ref().map(|party| party.number.clone()).unwrap_or_default(),
                call.dialled.clone(),
                call.legs.iter().filter(|leg| leg.state() != LegState::Ended).count().to_string(),
                worst(call),
                time(call.created_unix_ms),
                time(call.answered_unix_ms),
            ]
        },
    )
}

/// The mean opinion score of the leg that sounds worst.
fn worst(call: &Call) -> String {
    let sounds = call.legs.iter().filter_map(|leg| leg.sound.as_ref());
    sounds.map(|sound| sound.mean_opinion_hundredths).min().map(score).unwrap_or_default()
}

fn score(hundredths: u32) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// How a leg sounds, in a few words.
fn sounding(sound: &LegSound) -> String {
    let mut text = format!(
        "\n    sounds {} in {}, {} out, lost {} of {}, jitter {} ms",
        score(sound.mean_opinion_hundredths),
        sound.encoding_received,
        sound.encoding_sent,
        sound.packets_lost,
        sound.packets_received + sound.packets_lost,
        sound.jitter_us / 1000,
    );
    if sound.far_mean_opinion_hundredths > 0 {
        text += &format!(", hears {}", score(sound.far_mean_opinion_hundredths));
    }
    text
}

async fn show(client: &ClientArgs, call_id: String) -> anyhow::Result<()> {
    let request = GetCallRequest { tenant: client.tenant.clone(), call_id };
    let call = client.calls()?.get_call(request).await.map_err(|s| explain(&s))?.into_inner();
    match client.output {
        Output::Csv => rows(Output::Csv, &LEG_HEADS, &call.legs, |leg| leg_row(&call, leg)),
        output => one(output, &call, describe),
    }
}

/// The columns of one call in CSV: a row for each leg.
const LEG_HEADS: [&str; 20] = [
    "call_id",
    "dialled",
    "leg_id",
    "direction",
    "number",
    "user",
    "device",
    "state",
    "cause",
    "peer_leg_id",
    "holds",
    "muted",
    "created_unix_ms",
    "answered_unix_ms",
    "ended_unix_ms",
    "end",
    "node_id",
    "replica_id",
    "trunk",
    "mean_opinion_hundredths",
];

fn leg_row(call: &Call, leg: &Leg) -> Vec<String> {
    let party = leg.party.clone().unwrap_or_default();
    let end = leg
        .termination
        .as_ref()
        .map(|end| end.cause().as_str_name().trim_start_matches("CAUSE_").to_lowercase());
    vec![
        call.call_id.clone(),
        call.dialled.clone(),
        leg.leg_id.clone(),
        if leg.incoming { "incoming" } else { "outgoing" }.to_owned(),
        party.number,
        party.user,
        party.device,
        leg.state().as_str_name().trim_start_matches("LEG_STATE_").to_lowercase(),
        leg.cause().as_str_name().trim_start_matches("LEG_CAUSE_").to_lowercase(),
        leg.peer_leg_id.clone(),
        leg.holds.to_string(),
        leg.muted.to_string(),
        leg.created_unix_ms.to_string(),
        leg.answered_unix_ms.to_string(),
        leg.ended_unix_ms.to_string(),
        end.unwrap_or_default(),
        leg.node_id.clone(),
        leg.replica_id.clone(),
        leg.trunk.clone(),
        leg.sound.as_ref().map(|sound| sound.mean_opinion_hundredths.to_string()).unwrap_or_default(),
    ]
}

fn describe(call: &Call) -> String {
    use std::fmt::Write as _;
    let mut text = format!("call {} to {}, {}", call.call_id, call.dialled, time(call.created_unix_ms));
    for leg in &call.legs {
        let number = leg.party.as_ref().map_or("", |party| &party.number);
        let direction = if leg.incoming { "in " } else { "out" };
        let state = leg.state().as_str_name().trim_start_matches("LEG_STATE_").to_lowercase();
        let _ =
            write!(text, "\n  leg {} {direction} {number:<16} {state:<10} media {}", leg.leg_id, leg.node_id);
        let proof = leg.party.as_ref().map_or(Proof::Unspecified, |party| party.proof());
        if proof != Proof::Unspecified {
            let proof = proof.as_str_name().trim_start_matches("PROOF_").to_lowercase();
            let _ = write!(text, ", number vouched for: {proof}");
        }
        for (is, word) in [(leg.holds, "holds"), (leg.put_aside, "aside"), (leg.muted, "muted")] {
            text += if is { " " } else { "" };
            text += if is { word } else { "" };
        }
        text += &leg.voice.as_ref().map(super::audio::in_words).unwrap_or_default();
        text += &leg.sound.as_ref().map(sounding).unwrap_or_default();
    }
    for recording in &call.recordings {
        let state = recording.state().as_str_name().trim_start_matches("RECORDING_STATE_").to_lowercase();
        let _ = write!(text, "\n  recording {} {state}", recording.recording_id);
        if let Some(failure) = &recording.failure {
            let cause = failure.cause().as_str_name().trim_start_matches("CAUSE_").to_lowercase();
            let _ = write!(text, " ({cause} {})", failure.text);
        }
        for file in Some(&recording.file).filter(|file| !file.is_empty()).into_iter().chain(&recording.tracks)
        {
            let _ = write!(text, " {file}");
        }
        if !recording.file.is_empty() {
            let kept = if recording.failure.is_some() { " kept" } else { "" };
            let _ = write!(text, ", {:.1} s{kept}", recording.duration_ms as f64 / 1000.0);
        }
        if !recording.goes_on_in_recording_id.is_empty() {
            let _ = write!(text, ", goes on in {}", recording.goes_on_in_recording_id);
        }
    }
    if let Some(end) = &call.termination {
        let cause = end.cause().as_str_name().trim_start_matches("CAUSE_").to_lowercase();
        let _ = write!(text, "\n  ended {}: {cause} {}", time(call.ended_unix_ms), end.text);
    }
    text
}
