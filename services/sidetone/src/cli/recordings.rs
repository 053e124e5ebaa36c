//! `sidetone recordings`: what was recorded, also of calls that are over for long.

use sidetone_proto::callcontrol::v1::{CallRecording, DeleteRecordingRequest, ListRecordingsRequest};

use super::ClientArgs;
use super::client::explain;
use super::output::{Moment, call_id, duration, line, one, rows, time};
use super::sound::{self, To};

/// What was recorded, oldest first, for as long as call control keeps facts (call_control.retention_days).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone recordings                          the first hundred
  sidetone recordings list --from 2026-11-21 --number 1002
  sidetone recordings list --after 019a... --limit 1000 --output json
  sidetone recordings fetch 019a...            write it to a file
  sidetone recordings delete 019a...           take its files away, on the media node and out of the object storage
The ids are also in the CDRs of calls (recording_ids), and in `sidetone calls show`.")]
pub(crate) struct RecordingsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List them.
    List(Chosen),
    /// Write an ended recording to a file, or each of its files; of a failed one, what was kept of it.
    Fetch {
        /// The recording.
        recording: String,
        #[command(flatten)]
        to: To,
    },
    /// Take the files of an ended recording away, for good.
    Delete {
        /// The recording.
        recording: String,
    },
}

/// Which are listed.
#[derive(Debug, Default, clap::Args)]
struct Chosen {
    /// Begun at or after, for example 2026-11-21 or 2026-11-21T08:00:00Z.
    #[arg(long)]
    from: Option<Moment>,
    /// Begun before.
    #[arg(long)]
    until: Option<Moment>,
    /// Only of calls that this number began or dialled.
    #[arg(long, default_value = "", hide_default_value = true)]
    number: String,
    /// Only of this call.
    #[arg(long, value_parser = call_id)]
    call: Option<String>,
    /// At most so many: 1 to 1000, 100 without.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u32).range(0..=1000))]
    limit: u32,
    /// Those after this one, which was the last of the page before.
    #[arg(long, value_name = "RECORDING", default_value = "", hide_default_value = true)]
    after: String,
}

pub(crate) async fn run(args: RecordingsArgs) -> anyhow::Result<()> {
    let client = args.client;
    match args.action.unwrap_or_else(|| Action::List(Chosen::default())) {
        Action::List(chosen) => list(&client, chosen).await,
        Action::Fetch { recording, to } => sound::fetch(&client, recording, to).await,
        Action::Delete { recording: recording_id } => {
            let request = DeleteRecordingRequest { tenant: client.tenant.clone(), recording_id };
            let deleted = client.calls()?.delete_recording(request).await.map_err(|s| explain(&s))?;
            one(client.output, &deleted.into_inner(), |_| "deleted".to_owned())
        }
    }
}

async fn list(client: &ClientArgs, chosen: Chosen) -> anyhow::Result<()> {
    let millis = |moment: Option<Moment>| moment.map_or(0, Moment::unix_ms);
    let request = ListRecordingsRequest {
        tenant: client.tenant.clone(),
        from_unix_ms: millis(chosen.from),
        until_unix_ms: millis(chosen.until),
        number: chosen.number,
        call_id: chosen.call.unwrap_or_default(),
        limit: chosen.limit,
        after_recording_id: chosen.after,
    };
    let page = client.calls()?.list_recordings(request).await.map_err(|s| explain(&s))?.into_inner();
    let heads = ["recording_id", "state", "begun", "sound", "bytes", "from", "dialled", "call_id"];
    rows(client.output, &heads, &page.recordings, row)?;
    if page.more && client.output == super::Output::Table {
        let last = page.recordings.last().and_then(|of| of.recording.as_ref());
        line(&format!("More: --after {}", last.map_or("", |last| &last.recording_id)))?;
    }
    Ok(())
}

fn row(of: &CallRecording) -> Vec<String> {
    let recording = of.recording.clone().unwrap_or_default();
    let state = recording.state().as_str_name().trim_start_matches("RECORDING_STATE_").to_lowercase();
    let sized = |bytes: u64| if bytes > 0 { bytes.to_string() } else { String::new() };
    vec![
        recording.recording_id,
        state,
        time(of.started_unix_ms),
        duration(recording.duration_ms),
        sized(recording.size_bytes),
        of.from_number.clone(),
        of.dialled.clone(),
        of.call_id.clone(),
    ]
}
