//! `sidetone calls fetch` and `sidetone calls listen`: sound out of a call, into a file or a player.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sidetone_proto::callcontrol::v1::execute_request::Command;
use sidetone_proto::callcontrol::v1::{
    ExecuteRequest, ListenRequest, ReadRecordingRequest, Sound, StartStream, StopStream,
    command_response::Subject,
};
use sidetone_proto::types::v1::FileFormat;
use tonic::Streaming;

use super::ClientArgs;
use super::client::{explain, idempotency_key};
use super::output::new_file;

/// Where a recording is written to.
#[derive(Debug, clap::Args)]
pub(super) struct To {
    /// The file, or - for a player; the recording's id with its ending when not given. Of several files the others have
    /// their number before the ending.
    #[arg(long)]
    to: Option<PathBuf>,
    /// Only this one of several files; 0 is the first.
    #[arg(long)]
    track: Option<u32>,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

/// Writes a recording to files, one for each of its tracks, or one of them to one file, and tells their names.
pub(super) async fn fetch(client: &ClientArgs, recording_id: String, to: To) -> anyhow::Result<()> {
    let To { to, track, force } = to;
    let player = to.as_deref() == Some(Path::new("-"));
    let mut tracks = track.unwrap_or(0)..=track.unwrap_or(0);
    while let Some(n) = tracks.next() {
        let (tenant, recording_id) = (client.tenant.clone(), recording_id.clone());
        let request = ReadRecordingRequest { tenant, recording_id: recording_id.clone(), track: n };
        let mut sound = client.calls()?.read_recording(request).await.map_err(|s| explain(&s))?.into_inner();
        let first = sound.message().await.map_err(|s| explain(&s))?.context("the recording is empty")?;
        if player {
            return copy(first, sound, &mut stdout()).await;
        }
        if n == 0 && track.is_none() && first.tracks > 0 {
            tracks = 1..=first.tracks;
        }
        let file =
            to.clone().unwrap_or_else(|| format!("{recording_id}.{}", ending(&first.content_type)).into());
        let file = if n > 0 && (track.is_none() || to.is_none()) { of_track(&file, n) } else { file };
        let mut out = new_file(&file, force)?;
        copy(first, sound, &mut out).await?;
        eprintln!("{}", file.display());
    }
    Ok(())
}

/// The name of another file of a recording: `a.wav` becomes `a.2.wav`.
fn of_track(file: &Path, track: u32) -> PathBuf {
    let ending = file.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    file.with_extension(format!("{track}{ending}").trim_end_matches('.'))
}

/// Lets a player hear a call until it ends, or the player or the user has heard enough.
pub(super) async fn listen(client: &ClientArgs, call_id: String) -> anyhow::Result<()> {
    let mut calls = client.calls()?;
    let execute = |command| ExecuteRequest {
        tenant: client.tenant.clone(),
        idempotency_key: idempotency_key(),
        command: Some(command),
    };
    let start = Command::StartStream(StartStream { call_id, format: FileFormat::Wav.into() });
    let started = calls.execute(execute(start)).await.map_err(|s| explain(&s))?.into_inner();
    let Some(Subject::StreamId(stream_id)) = started.subject else { anyhow::bail!("no stream was begun") };
    let request = ListenRequest { tenant: client.tenant.clone(), stream_id: stream_id.clone() };
    let hear = async {
        let mut sound = calls.clone().listen(request).await.map_err(|s| explain(&s))?.into_inner();
        match sound.message().await.map_err(|s| explain(&s))? {
            Some(first) => copy(first, sound, &mut stdout()).await,
            None => Ok(()),
        }
    };
    let heard = tokio::select! {
        heard = hear => heard,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    // A call that has ended has ended the stream.
    let _ = calls.execute(execute(Command::StopStream(StopStream { stream_id }))).await;
    match heard {
        // A player that was closed is no fault.
        Err(error) if is_closed(&error) => Ok(()),
        heard => heard,
    }
}

async fn copy(first: Sound, mut rest: Streaming<Sound>, out: &mut impl Write) -> anyhow::Result<()> {
    out.write_all(&first.data)?;
    while let Some(sound) = rest.message().await.map_err(|s| explain(&s))? {
        out.write_all(&sound.data)?;
        out.flush()?;
    }
    out.flush().map_err(Into::into)
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn ending(content_type: &str) -> &'static str {
    match content_type {
        "audio/mpeg" => "mp3",
        "audio/ogg" => "ogg",
        "audio/flac" => "flac",
        _ => "wav",
    }
}
