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

/// Writes a recording to a file and tells its name.
pub(super) async fn fetch(
    client: &ClientArgs,
    recording_id: String,
    to: Option<PathBuf>,
) -> anyhow::Result<()> {
    let request = ReadRecordingRequest { tenant: client.tenant.clone(), recording_id: recording_id.clone() };
    let mut sound = client.calls()?.read_recording(request).await.map_err(|s| explain(&s))?.into_inner();
    let first = sound.message().await.map_err(|s| explain(&s))?.context("the recording is empty")?;
    let file = to.unwrap_or_else(|| PathBuf::from(format!("{recording_id}.{}", ending(&first.content_type))));
    if file == Path::new("-") {
        return copy(first, sound, &mut stdout()).await;
    }
    let mut out = std::fs::File::create(&file).with_context(|| format!("{}", file.display()))?;
    copy(first, sound, &mut out).await?;
    eprintln!("{}", file.display());
    Ok(())
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
