//! What a node is asked about playing, recording and streaming.

use sidetone_call_core::{Heard, MediaRequest, Pause};
use sidetone_model::media::{Beside, FileFormat, Layout, Manner, PlayOptions, PlaySteer, Source};
use sidetone_model::wire::number;
use sidetone_proto::media::v1::*;
use sidetone_runtime::link::MediaService;
use tonic::{Request, Status};

/// Asks for playbacks, recordings and streams; what is something else is no matter of this.
pub(super) async fn ask(service: &MediaService, request: MediaRequest) -> Result<(), Status> {
    match request {
        MediaRequest::Play { playback, to, sources, repeat, manner, options } => {
            let target = match to {
                Heard::Leg(leg) => play_request::Target::LegId(leg.to_string()),
                Heard::Mix(mix) => play_request::Target::MixId(mix.to_string()),
            };
            let sources = sources.into_iter().map(play_source).collect();
            let request = PlayRequest {
                playback_id: playback.to_string(),
                target: Some(target),
                sources,
                repeat,
                ..how(manner, options)
            };
            service.play(Request::new(request)).await?;
        }
        MediaRequest::SteerPlay { playback, steer } => {
            let change = match steer {
                PlaySteer::Pause => steer_play_request::Change::Paused(true),
                PlaySteer::Resume => steer_play_request::Change::Paused(false),
                PlaySteer::Seek { to_ms } => steer_play_request::Change::PositionMs(to_ms),
            };
            let request = SteerPlayRequest { playback_id: playback.to_string(), change: Some(change) };
            service.steer_play(Request::new(request)).await?;
        }
        MediaRequest::StopPlay { playback } => {
            let request = StopPlayRequest { playback_id: playback.to_string(), ..Default::default() };
            service.stop_play(Request::new(request)).await?;
        }
        MediaRequest::StartStream { stream, tenant, call, legs, format } => {
            let request = StartStreamRequest {
                stream_id: stream.to_string(),
                tenant: tenant.to_string(),
                call_id: call.to_string(),
                leg_ids: legs.iter().map(ToString::to_string).collect(),
                format: audio_format(format).into(),
                ..Default::default()
            };
            service.start_stream(Request::new(request)).await?;
        }
        MediaRequest::StopStream { stream } => {
            let request = StopStreamRequest { stream_id: stream.to_string() };
            service.stop_stream(Request::new(request)).await?;
        }
        other => record(service, other).await?,
    }
    Ok(())
}

/// How something is to be played.
fn how(manner: Manner, options: PlayOptions) -> PlayRequest {
    let (manner, beside) = match manner {
        Manner::Instead => (PlayManner::Unspecified, Beside::default()),
        Manner::Over(beside) => (PlayManner::Over, beside),
        Manner::Under(beside) => (PlayManner::Under, beside),
    };
    PlayRequest {
        manner: manner.into(),
        duck_mdb: beside.duck_mdb(),
        gain_mdb: beside.gain_mdb(),
        start_offset_ms: options.start_ms,
        pause_between_ms: options.pause_ms,
        barge_in: number(options.barge_in),
        ..Default::default()
    }
}

async fn record(service: &MediaService, request: MediaRequest) -> Result<(), Status> {
    match request {
        MediaRequest::StartRecording { recording, tenant, call, legs, layout, format, beep } => {
            let layout = match layout {
                Layout::Mono => RecordingLayout::Mono,
                Layout::Stereo => RecordingLayout::Stereo,
                Layout::TrackPerLeg => RecordingLayout::TrackPerLeg,
            };
            let request = StartRecordingRequest {
                recording_id: recording.to_string(),
                tenant: tenant.to_string(),
                call_id: call.to_string(),
                leg_ids: legs.iter().map(ToString::to_string).collect(),
                layout: layout.into(),
                format: audio_format(format).into(),
                beep,
                ..Default::default()
            };
            service.start_recording(Request::new(request)).await?;
        }
        MediaRequest::PauseRecording { recording, pause: Some(Pause { mask }) } => {
            let request = PauseRecordingRequest { recording_id: recording.to_string(), mask };
            service.pause_recording(Request::new(request)).await?;
        }
        MediaRequest::PauseRecording { recording, pause: None } => {
            let request = ResumeRecordingRequest { recording_id: recording.to_string() };
            service.resume_recording(Request::new(request)).await?;
        }
        MediaRequest::StopRecording { recording } => {
            let request = StopRecordingRequest { recording_id: recording.to_string() };
            service.stop_recording(Request::new(request)).await?;
        }
        MediaRequest::FinishRecording { recording, tenant, format } => {
            let request = FinishRecordingRequest {
                recording_id: recording.to_string(),
                tenant: tenant.to_string(),
                format: audio_format(format).into(),
            };
            service.finish_recording(Request::new(request)).await?;
        }
        MediaRequest::AckRecording { recording } => {
            let request = AckRecordingRequest { recording_id: recording.to_string() };
            service.ack_recording(Request::new(request)).await?;
        }
        _ => {}
    }
    Ok(())
}

/// What is to be played, as nodes are told.
pub(crate) fn play_source(source: Source) -> PlaySource {
    let source = match source {
        Source::Prompt(name) => play_source::Source::Prompt(name.into()),
        Source::Url(url) => play_source::Source::Url(url.into()),
    };
    PlaySource { source: Some(source) }
}

fn audio_format(format: FileFormat) -> AudioFormat {
    match format {
        FileFormat::Wav => AudioFormat::Wav,
        FileFormat::Mp3 => AudioFormat::Mp3,
        FileFormat::OggOpus => AudioFormat::OggOpus,
        FileFormat::Flac => AudioFormat::Flac,
        FileFormat::L16 => AudioFormat::L16,
        FileFormat::Pcmu => AudioFormat::Pcmu,
    }
}
