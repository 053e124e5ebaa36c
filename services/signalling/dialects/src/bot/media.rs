//! The methods on what is heard: playing, recording, listening.

use std::time::Duration;

use serde::Serialize;
use sidetone_model::command::{Audience, CallCommandKind, RecordingOptions};
use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::{CallView, Fold, RecordingView};
use sidetone_model::ids::RecordingId;
use sidetone_model::media::{Beside, FileFormat, Manner, PlayOptions, Source};
use utoipa::ToSchema;

use super::answer::{Answer, Done, Failure, Refused, Told, done, told};
use super::auth::Asked;
use super::openapi::{PlayRequest, StopRequest, StreamRequest, ThreadRequest};
use super::request::{Thread, call_of, ended_call_of};
use crate::{MediaRef, look};

/// Where a recording is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    /// Plays for whoever has it, for a limited time.
    file_url: String,
    /// The same of the other files, when each leg has one of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_urls: Vec<String>,
}

/// Where a call can be listened to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stream {
    /// Plays the call as it goes on, for whoever has it.
    stream_url: String,
}

/// Plays a file to everybody in the call, or to one contact.
#[utoipa::path(post, path = "/bot/{team}/call.audio/play", tag = "media", request_body = PlayRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn play(asked: Asked) -> Answer<Done> {
    let url = asked.text("url")?.ok_or_else(|| Failure::invalid("url", "it is missing"))?;
    check_url(&url)?;
    let repeat = u32::from(!asked.flag("isLoop")?);
    let (to, manner) = (audience(&asked)?, manner(&asked)?);
    let (sources, options) = (vec![Source::Url(url)], PlayOptions::default());
    asked.execute(0, CallCommandKind::Play { to, sources, repeat, manner, options }).await?;
    done()
}

/// Stops what plays from a URL, or everything.
#[utoipa::path(post, path = "/bot/{team}/call.audio/stop", tag = "media", request_body = StopRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn stop(asked: Asked) -> Answer<Done> {
    let url = asked.text("url")?.map(Source::Url);
    if asked.done_before().await.is_some() {
        return done();
    }
    let playing = asked.on_call(|fold, call| {
        let all = call.playbacks.iter().filter_map(|playback| fold.playback(*playback));
        let these = all.filter(|view| url.as_ref().is_none_or(|url| view.source == *url));
        let these = these.map(|view| {
            let to = view.leg.map_or(Audience::Call(view.call), Audience::Leg);
            (view.playback, CallCommandKind::StopPlay { to, playback: Some(view.playback) })
        });
        Ok(these.collect::<Vec<_>>())
    })?;
    if playing.is_empty() && url.is_some() {
        return Err(Failure::not_found("url", "it is not being played"));
    }
    asked.execute_all(playing).await?;
    done()
}

/// Records the call.
#[utoipa::path(post, path = "/bot/{team}/call.recording/start", tag = "media", request_body = ThreadRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn record(asked: Asked) -> Answer<Done> {
    let call = asked.on_call(|_, call| Ok(call.call))?;
    let options = RecordingOptions::default();
    asked.execute(0, CallCommandKind::StartRecording { call, options }).await?;
    done()
}

/// Ends the recording and tells where it is. One that has ended by itself, or with its call, is told of as well.
#[utoipa::path(post, path = "/bot/{team}/call.recording/stop", tag = "media", request_body = ThreadRequest, params(("team" = String, Path)),
    responses((status = 200, body = Told<File>), (status = "4XX", body = Refused)))]
pub(crate) async fn stop_recording(asked: Asked) -> Answer<Told<File>> {
    let thread = asked.thread()?;
    let recording = match asked.done_before().await {
        Some(CommandSubject::Recording(recording)) => recording,
        _ => stop_last(&asked, &thread).await?,
    };
    until_complete(&asked, recording).await;
    let url = |media| asked.state.door.media_url(&asked.tenant, media);
    let tracks = look(&*asked.state.door, &asked.tenant, |fold| {
        fold.recording(recording)?.sound.as_ref().map(|sound| sound.tracks.len() as u32)
    });
    told(File {
        file_url: url(MediaRef::Recording(recording)),
        track_urls: (1..=tracks.flatten().unwrap_or(0)).map(|n| url(MediaRef::Track(recording, n))).collect(),
    })
}

/// The recording of a thread that runs, which it then does no more, or the last that there was.
async fn stop_last(asked: &Asked, thread: &Thread) -> Result<RecordingId, Failure> {
    let (recording, runs) = asked.see(|fold| {
        let live = call_of(fold, asked, thread);
        let of_live =
            live.and_then(|call| recording_of(fold, call)).map(|view| (view.recording, view.is_running()));
        // That of a call that is over ends without being told.
        let of_ended = || ended_call_of(fold, asked, thread).and_then(|call| recording_of(fold, call));
        let found = of_live.or_else(|| of_ended().map(|view| (view.recording, false)));
        let none = || match live {
            Some(_) => Failure::state("the call is not being recorded"),
            None => thread.has_no_call(),
        };
        found.ok_or_else(none)
    })?;
    if runs {
        asked.execute(0, CallCommandKind::StopRecording { recording }).await?;
    }
    Ok(recording)
}

/// The recording of a call that runs, else the last of which there is something to be heard.
fn recording_of<'a>(fold: &'a Fold, call: &CallView) -> Option<&'a RecordingView> {
    let recordings = || call.recordings.iter().filter_map(|recording| fold.recording(*recording));
    let audible = |view: &&RecordingView| view.sound.is_some();
    fold.running_recording(call.call).or_else(|| recordings().rfind(audible))
}

/// A file is complete a moment after its end was commanded. Whoever gets its URL shall be able to play it at once; if it
/// takes unusually long the URL is given all the same, and works when the file is there.
async fn until_complete(asked: &Asked, recording: RecordingId) {
    let mut left = COMPLETE_MAX;
    while !left.is_zero() {
        let running = look(&*asked.state.door, &asked.tenant, |fold| {
            fold.recording(recording).is_some_and(RecordingView::is_running)
        });
        if running != Some(true) {
            return;
        }
        tokio::time::sleep(COMPLETE_STEP).await;
        left = left.saturating_sub(COMPLETE_STEP);
    }
}

/// Lets people listen to the call, or an application of speech take part in it: the URL of an `l16` or `pcmu` stream becomes
/// a WebSocket.
#[utoipa::path(post, path = "/bot/{team}/call.stream/start", tag = "media", request_body = StreamRequest, params(("team" = String, Path)),
    responses((status = 200, body = Told<Stream>), (status = "4XX", body = Refused)))]
pub(crate) async fn stream(asked: Asked) -> Answer<Told<Stream>> {
    let format = match asked.text("format")?.as_deref() {
        None | Some("mp3") => FileFormat::Mp3,
        Some("wav") => FileFormat::Wav,
        Some("ogg") => FileFormat::OggOpus,
        Some("flac") => FileFormat::Flac,
        Some("l16") => FileFormat::L16,
        Some("pcmu") => FileFormat::Pcmu,
        Some(_) => return Err(Failure::invalid("format", "expected mp3, wav, ogg, flac, l16 or pcmu")),
    };
    let call = asked.on_call(|_, call| Ok(call.call))?;
    let started = asked.execute(0, CallCommandKind::StartStream { call, format }).await?;
    let CommandSubject::Stream(stream) = started else {
        return Err(Failure::state("the call cannot be streamed now"));
    };
    let media = MediaRef::Stream(stream.to_string().into());
    told(Stream { stream_url: asked.state.door.media_url(&asked.tenant, media) })
}

/// Lets nobody listen to the call any more.
#[utoipa::path(post, path = "/bot/{team}/call.stream/stop", tag = "media", request_body = ThreadRequest, params(("team" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Refused)))]
pub(crate) async fn stop_stream(asked: Asked) -> Answer<Done> {
    if asked.done_before().await.is_some() {
        return done();
    }
    let streams = asked.on_call(|_, call| Ok(call.streams.clone()))?;
    if streams.is_empty() {
        return Err(Failure::state("the call is not being streamed"));
    }
    let stop = |stream| (stream, CallCommandKind::StopStream { stream });
    asked.execute_all(streams.into_iter().map(stop).collect()).await?;
    done()
}

/// Everybody, unless the request names a contact.
fn audience(asked: &Asked) -> Result<Audience, Failure> {
    let contact = asked.contact()?;
    asked.on_call(|fold, call| {
        if contact.is_nobody() {
            return Ok(Audience::Call(call.call));
        }
        Ok(Audience::Leg(contact.leg_in(fold, call)?.leg))
    })
}

/// `manner`: instead of everything else as it always was, over it or under it.
fn manner(asked: &Asked) -> Result<Manner, Failure> {
    match asked.text("manner")?.as_deref() {
        None | Some("instead") => Ok(Manner::Instead),
        Some("over") => Ok(Manner::Over(Beside::default())),
        Some("under") => Ok(Manner::Under(Beside::default())),
        Some(_) => Err(Failure::invalid("manner", "expected instead, over or under")),
    }
}

/// What can be told from the address; the size, and whether it may be fetched at all, is told by the media node.
fn check_url(url: &str) -> Result<(), Failure> {
    if url.len() > URL_BYTES_MAX {
        return Err(Failure::invalid("url", "it is longer than 2048 bytes"));
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| Failure::invalid("url", "expected http or https"))?;
    let path = rest.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    if !path.contains('/') || !(path.ends_with(".mp3") || path.ends_with(".wav")) {
        return Err(Failure::invalid("url", "expected a file whose name ends in mp3 or wav"));
    }
    Ok(())
}

const URL_BYTES_MAX: usize = 2048;
const COMPLETE_MAX: Duration = Duration::from_secs(3);
const COMPLETE_STEP: Duration = Duration::from_millis(20);
