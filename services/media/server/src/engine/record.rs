//! Recordings: which legs are in them, and their ends.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;
use sidetone_record_core::Container;

use super::link::Reply;
use super::{Control, Engine, RecordingEntry};
use crate::error::MediaError;
use crate::recorder::{Finished, NewRecording, Place, Spool, TRACKS_MAX};
use crate::storage::Stored;

/// What a stream of a recording's bytes gives.
pub(crate) type RecordingBytes = BoxStream<'static, Result<pb::RecordingBytes, MediaError>>;

impl Engine {
    /// Begins a recording, or adds legs to it.
    pub(crate) async fn start_recording(
        self: &Arc<Self>,
        legs: Vec<LegId>,
        request: pb::StartRecordingRequest,
    ) -> Result<(), MediaError> {
        let added = self.add_to_recording(&legs, &request).await?;
        if request.beep {
            for leg in added {
                // A leg that went away meanwhile needs no warning.
                let _ = self.beep(leg, &request.recording_id).await;
            }
        }
        Ok(())
    }

    async fn add_to_recording(
        &self,
        legs: &[LegId],
        request: &pb::StartRecordingRequest,
    ) -> Result<Vec<LegId>, MediaError> {
        let container = container(request.format())?;
        let layout = layout(request);
        let mut control = self.control.lock().await;
        let control = &mut *control;
        if legs.iter().any(|leg| !control.legs.contains_key(leg)) {
            return Err(MediaError::NotFound("leg"));
        }
        let known = control.recordings.get(request.recording_id.as_str());
        let (number, had) = match known {
            Some(entry) if !continues(&entry.request, request) => {
                return Err(MediaError::Reused("recording"));
            }
            Some(entry) => (entry.number, entry.request.leg_ids.clone()),
            None => (self.begin(control, request, container, layout).await?, Vec::new()),
        };
        let mut all = had.clone();
        all.extend(request.leg_ids.iter().filter(|leg| !had.contains(leg)).cloned());
        let entry = RecordingEntry {
            request: pb::StartRecordingRequest { leg_ids: all.clone(), ..request.clone() },
            number,
        };
        control.recordings.insert(request.recording_id.as_str().into(), entry);
        self.telemetry.media.recordings.set(control.recordings.len() as i64);
        let mut added = Vec::new();
        for (id, text) in legs.iter().zip(&request.leg_ids) {
            if had.contains(text) || added.contains(id) {
                continue;
            }
            let index = all.iter().position(|leg| leg == text).unwrap_or(0);
            self.feed(control, *id, place(layout, number, index)?).await?;
            added.push(*id);
        }
        Ok(added)
    }

    async fn begin(
        &self,
        control: &mut Control,
        request: &pb::StartRecordingRequest,
        container: Container,
        layout: pb::RecordingLayout,
    ) -> Result<u32, MediaError> {
        if control.recordings.len() >= self.config.recordings_max {
            return Err(MediaError::TooMany("recordings"));
        }
        let number = control.number() as u32;
        let new = NewRecording {
            number,
            id: request.recording_id.clone(),
            tenant: request.tenant.clone(),
            container,
            channels: if layout == pb::RecordingLayout::Stereo { 2 } else { 1 },
            began_ms: self.now_ms(),
        };
        self.recorder.begin(new).await?;
        Ok(number)
    }

    /// Takes in no more of what is said until it is resumed.
    pub(crate) async fn hold_recording(&self, id: &str, mask: bool) -> Result<(), MediaError> {
        let number = self.recording_number(id).await?;
        self.recorder.hold(number, mask)
    }

    /// Takes in again what is said.
    pub(crate) async fn resume_recording(&self, id: &str) -> Result<(), MediaError> {
        let number = self.recording_number(id).await?;
        self.recorder.resume(number)
    }

    async fn recording_number(&self, id: &str) -> Result<u32, MediaError> {
        let control = self.control.lock().await;
        control.recordings.get(id).map(|entry| entry.number).ok_or(MediaError::NotFound("recording"))
    }

    /// Ends a recording; its file is complete then. Ended ones are answered until they are acknowledged.
    pub(crate) async fn stop_recording(&self, id: &str) -> Result<Finished, MediaError> {
        let number = self.control.lock().await.recordings.get(id).map(|entry| entry.number);
        let Some(number) = number else {
            return self.recorder.finished(id).ok_or(MediaError::NotFound("recording"));
        };
        self.end_recording(number, None).await
    }

    /// A worker could not get rid of what a leg said.
    pub(super) async fn recording_lost(&self, feed: u32) {
        for output in self.lose_feed(feed).await {
            // It was ended meanwhile, or it is a stream, which goes on without that leg.
            let _ = self.end_recording(output, Some("the recorder could not keep up")).await;
        }
    }

    /// The recorder could not write.
    pub(crate) async fn recording_failed(&self, number: u32, problem: &'static str) {
        let _ = self.end_recording(number, Some(problem)).await;
    }

    async fn end_recording(
        &self,
        number: u32,
        failure: Option<&'static str>,
    ) -> Result<Finished, MediaError> {
        let pending = {
            let mut control = self.control.lock().await;
            if !control.recordings.values().any(|entry| entry.number == number) {
                return Err(MediaError::NotFound("recording"));
            }
            self.drop_output(&mut control, number).await?
        };
        for done in pending {
            // From here on the worker adds nothing: all it had is in the ring, before the end that follows.
            if !matches!(done.await, Ok(Reply::Done)) {
                return Err(MediaError::Stopping);
            }
        }
        let finished = self.recorder.end(number, failure).await?;
        let mut control = self.control.lock().await;
        let before = control.recordings.len();
        control.recordings.retain(|_, entry| entry.number != number);
        self.telemetry.media.recordings.set(control.recordings.len() as i64);
        if control.recordings.len() < before {
            let result = if finished.failure.is_some() { "failed" } else { "finished" };
            self.telemetry.media.recordings_ended.with_label_values(&[result]).inc();
            self.tell(pb::media_event::Kind::RecordingFinished((&finished).into()));
        }
        Ok(finished)
    }

    /// Recordings that ended and were not acknowledged.
    pub(crate) fn unacknowledged(&self) -> Vec<pb::FinishedRecording> {
        self.recorder.all_finished().iter().map(Into::into).collect()
    }

    /// The end of a recording is known where it must be known.
    pub(crate) async fn ack_recording(&self, id: &str) -> Result<(), MediaError> {
        self.recorder.acknowledge(id).await
    }

    /// The bytes of an ended recording's file.
    pub(crate) async fn read_recording(
        &self,
        request: pb::ReadRecordingRequest,
    ) -> Result<RecordingBytes, MediaError> {
        let name = self.recorder.file_of(&request.recording_id, request.track, &request.file)?;
        let file = self.recorder.read(&name, request.offset).await?;
        let first = pb::RecordingBytes {
            data: Vec::new(),
            size_bytes: file.size_bytes,
            content_type: file.content_type.into(),
        };
        let rest = file
            .parts
            .map(|part| part.map(|data| pb::RecordingBytes { data: data.into(), ..Default::default() }));
        Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
    }

    /// A recording is in the bucket as a whole.
    pub(crate) fn recording_stored(&self, stored: Stored) {
        self.tell(pb::media_event::Kind::RecordingStored(pb::RecordingStored {
            recording_id: stored.id,
            objects: stored.objects,
            size_bytes: stored.size_bytes,
        }));
    }

    /// Where recordings are.
    pub(crate) fn spool(&self) -> Spool {
        self.recorder.spool()
    }

    /// Takes an ended recording away.
    pub(crate) async fn delete_recording(
        &self,
        request: pb::DeleteRecordingRequest,
    ) -> Result<(), MediaError> {
        if self.control.lock().await.recordings.contains_key(request.recording_id.as_str()) {
            return Err(MediaError::Invalid { field: "recording_id", problem: "is still recording" });
        }
        self.recorder.delete(&request.recording_id, &request.files).await.map(drop)
    }
}

/// Whether a request adds to a running recording: all but the legs is the same.
fn continues(running: &pb::StartRecordingRequest, request: &pb::StartRecordingRequest) -> bool {
    *running == pb::StartRecordingRequest { leg_ids: running.leg_ids.clone(), ..request.clone() }
}

fn layout(request: &pb::StartRecordingRequest) -> pb::RecordingLayout {
    match request.layout() {
        pb::RecordingLayout::Unspecified if request.stereo => pb::RecordingLayout::Stereo,
        pb::RecordingLayout::Unspecified => pb::RecordingLayout::Mono,
        layout => layout,
    }
}

/// Where the leg of an index is heard.
fn place(layout: pb::RecordingLayout, output: u32, index: usize) -> Result<Place, MediaError> {
    let place = |track, channel| Place { output, track, channel };
    match layout {
        pb::RecordingLayout::Stereo => Ok(place(0, usize::from(index > 0))),
        pb::RecordingLayout::TrackPerLeg if index >= TRACKS_MAX => Err(MediaError::TooMany("tracks")),
        pb::RecordingLayout::TrackPerLeg => Ok(place(index, 0)),
        pb::RecordingLayout::Unspecified | pb::RecordingLayout::Mono => Ok(place(0, 0)),
    }
}

/// What a file or stream is to be made of; refused where the node has no encoder for it.
pub(super) fn container(format: pb::AudioFormat) -> Result<Container, MediaError> {
    let container = match format {
        pb::AudioFormat::Unspecified | pb::AudioFormat::Wav => Container::Wav,
        pb::AudioFormat::Mp3 => Container::Mp3,
        pb::AudioFormat::OggOpus => Container::OggOpus,
        pb::AudioFormat::Flac => Container::Flac,
        pb::AudioFormat::L16 | pb::AudioFormat::Pcmu => {
            return Err(MediaError::Invalid { field: "format", problem: "is for streams, not for files" });
        }
    };
    let absent = MediaError::Invalid { field: "format", problem: "this node cannot make it" };
    if container.is_here() { Ok(container) } else { Err(absent) }
}
