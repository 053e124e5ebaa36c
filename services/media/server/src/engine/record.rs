//! Recordings: which legs are in them, and their ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sidetone_dsp::Rate;
use sidetone_model::ids::LegId;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::media::v1 as pb;
use sidetone_record_core::{Container, Form};
use tokio_util::sync::CancellationToken;

use super::coding::native_rate;
use super::link::Reply;
use super::{Control, Engine, RecordingEntry};
use crate::error::MediaError;
use crate::recorder::{Begun, Finished, NewRecording, Place, Room, Spool, TRACKS_MAX};
use crate::storage::{Joined, Stored, Wanted};

/// What a stream of a recording's bytes gives.
pub(crate) type RecordingBytes = BoxStream<'static, Result<pb::RecordingBytes, MediaError>>;

/// How often is looked for nodes that are gone: a pod that is replaced ends after its successor has begun.
const TAKE_OVER_EVERY: Duration = Duration::from_secs(15);

impl Engine {
    /// Begins a recording, or adds legs to it.
    pub(crate) async fn start_recording(
        self: &Arc<Self>,
        legs: Vec<LegId>,
        request: pb::StartRecordingRequest,
    ) -> Result<(), MediaError> {
        let (added, new) = self.add_to_recording(&legs, &request).await?;
        // A disk that takes its time keeps nobody else waiting: the books are free by now. What is said meanwhile is not lost.
        if let Some((number, begun)) = new
            && let Err(error) = begun.await.unwrap_or(Err(MediaError::Stopping))
        {
            let (recording, call) = (&request.recording_id, &request.call_id);
            let folder = self.config.recordings_dir.display();
            tracing::error!(%recording, %call, %folder, %error, "a recording cannot be begun");
            self.forget_recording(number).await;
            return Err(error);
        }
        if request.beep {
            let mut control = self.control.lock().await;
            self.warn(&mut control, &added).await?;
        }
        Ok(())
    }

    async fn add_to_recording(
        &self,
        legs: &[LegId],
        request: &pb::StartRecordingRequest,
    ) -> Result<(Vec<LegId>, Option<(u32, Begun)>), MediaError> {
        let container = container(request.format())?;
        let layout = layout(request);
        let mut control = self.control.lock().await;
        let control = &mut *control;
        if legs.iter().any(|leg| !control.legs.contains_key(leg)) {
            return Err(MediaError::NotFound("leg"));
        }
        let known = control.recordings.get(request.recording_id.as_str());
        let mut new = None;
        let paused = known.is_some_and(|entry| entry.paused);
        let (number, rate, had) = match known {
            Some(entry) if !continues(&entry.request, request) => {
                return Err(MediaError::Reused("recording"));
            }
            Some(entry) => (entry.number, entry.rate, entry.request.leg_ids.clone()),
            None => {
                let rate = self.rate_of(control, &request.call_id, legs);
                let form = Form::new(if layout == pb::RecordingLayout::Stereo { 2 } else { 1 }, rate);
                let (number, begun) = self.begin(control, request, (container, form))?;
                new = Some((number, begun));
                (number, rate, Vec::new())
            }
        };
        let mut all = had.clone();
        all.extend(request.leg_ids.iter().filter(|leg| !had.contains(leg)).cloned());
        let entry = RecordingEntry {
            request: pb::StartRecordingRequest { leg_ids: all.clone(), ..request.clone() },
            number,
            rate,
            paused,
        };
        control.recordings.insert(request.recording_id.as_str().into(), entry);
        self.telemetry.media.recordings.set(control.recordings.len() as i64);
        let mut added = Vec::new();
        for (id, text) in legs.iter().zip(&request.leg_ids) {
            if had.contains(text) || added.contains(id) {
                continue;
            }
            let index = all.iter().position(|leg| leg == text).unwrap_or(0);
            self.feed(control, *id, place(layout, (number, rate), index)?).await?;
            added.push(*id);
        }
        Ok((added, new))
    }

    fn begin(
        &self,
        control: &mut Control,
        request: &pb::StartRecordingRequest,
        (container, form): (Container, Form),
    ) -> Result<(u32, Begun), MediaError> {
        if control.recordings.len() >= self.config.recordings_max {
            return Err(self.not_begun("recordings_max", MediaError::TooMany("recordings")));
        }
        if self.recorder.full().load(Ordering::Relaxed) {
            return Err(self.not_begun("disk", MediaError::DiskFull));
        }
        let number = control.number() as u32;
        let new = NewRecording {
            number,
            id: request.recording_id.clone(),
            tenant: request.tenant.clone(),
            container,
            form,
            began_ms: self.now_ms(),
        };
        Ok((number, self.recorder.begin(new)?))
    }

    /// The rate of a recording or stream that is begun now of some legs: what the best of them carries, or any of their call.
    pub(super) fn rate_of(&self, control: &Control, call_id: &str, legs: &[LegId]) -> Rate {
        let sources = control.of_call(call_id).chain(legs.iter().filter_map(|leg| control.legs.get(leg)));
        self.config.recording_hz.of(sources.map(native_rate))
    }

    /// A recording that could not be begun was none.
    async fn forget_recording(&self, number: u32) {
        let mut control = self.control.lock().await;
        self.remove_recording(&mut control, number).await;
        // Workers may go on for a moment: nobody takes it in.
        let _ = self.drop_output(&mut control, number).await;
        drop(control);
        let _ = self.recorder.end(number, None).await;
    }

    /// Takes a recording out of the books; whether it was there.
    async fn remove_recording(&self, control: &mut Control, number: u32) -> bool {
        let found = control.recordings.iter().find(|(_, entry)| entry.number == number);
        let Some(id) = found.map(|(id, _)| id.clone()) else { return false };
        let legs = control.recordings.remove(&id).map(|entry| entry.legs()).unwrap_or_default();
        self.telemetry.media.recordings.set(control.recordings.len() as i64);
        // A worker that takes no commands is past being told.
        let _ = self.warn(control, &legs).await;
        true
    }

    fn not_begun(&self, bound: &str, error: MediaError) -> MediaError {
        self.telemetry.media.recordings_refused.with_label_values(&[bound]).inc();
        error
    }

    /// Looks after the room for recordings.
    pub(crate) fn room(&self) -> Room {
        let (full, telemetry) = (Arc::clone(self.recorder.full()), Arc::clone(&self.telemetry));
        Room::new(self.recorder.spool(), self.config.room(), full, telemetry)
    }

    /// Takes in no more of what is said until it is resumed.
    pub(crate) async fn hold_recording(&self, id: &str, mask: bool) -> Result<(), MediaError> {
        let number = self.recording_number(id).await?;
        self.recorder.hold(number, mask)?;
        self.note_paused(id, true).await
    }

    /// Takes in again what is said.
    pub(crate) async fn resume_recording(&self, id: &str) -> Result<(), MediaError> {
        let number = self.recording_number(id).await?;
        self.recorder.resume(number)?;
        self.note_paused(id, false).await
    }

    /// Who is not recorded for a while is not told that it is.
    async fn note_paused(&self, id: &str, paused: bool) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let Some(entry) = control.recordings.get_mut(id) else { return Ok(()) };
        entry.paused = paused;
        let legs = entry.legs();
        self.warn(&mut control, &legs).await
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

    /// Finishes a recording whose node is gone, or has begun another life. Its end is told when it is there.
    pub(crate) async fn finish_recording(
        &self,
        request: pb::FinishRecordingRequest,
    ) -> Result<(), MediaError> {
        let id = request.recording_id.as_str();
        let container = container(request.format())?;
        if self.control.lock().await.recordings.contains_key(id) {
            return self.stop_recording(id).await.map(drop);
        }
        if let Some(finished) = self.recorder.finished(id) {
            self.tell(pb::media_event::Kind::RecordingFinished((&finished).into()));
            return Ok(());
        }
        let joins = self.joins.as_ref().ok_or(MediaError::NotFound("recording"))?;
        joins.ask(Wanted { id: id.to_owned(), tenant: request.tenant, container })
    }

    /// What came of a recording of another node.
    pub(crate) async fn recording_joined(&self, joined: Joined) {
        let (told, result) = match joined {
            Joined::Whole { finished, objects } => {
                self.recorder.take_over(finished.clone()).await;
                let (id, size_bytes) = (finished.id.clone(), finished.size_bytes);
                self.recording_stored(Stored { id, objects, size_bytes });
                ((&finished).into(), "finished")
            }
            Joined::Nothing { id } => {
                let failure = Termination::new(Cause::MediaNodeLost).with_text("nothing of it was stored");
                let told = pb::FinishedRecording {
                    recording_id: id,
                    failure: Some((&failure).into()),
                    ..Default::default()
                };
                (told, "failed")
            }
        };
        self.telemetry.media.recordings_ended.with_label_values(&[result]).inc();
        self.tell(pb::media_event::Kind::RecordingFinished(told));
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
        if self.remove_recording(&mut control, number).await {
            let result = if finished.failure.is_some() { "failed" } else { "finished" };
            self.telemetry.media.recordings_ended.with_label_values(&[result]).inc();
            self.tell(pb::media_event::Kind::RecordingFinished((&finished).into()));
        }
        Ok(finished)
    }

    /// Tells of what nodes have left in the folder of recordings that are gone, until `stopping`.
    pub(crate) async fn take_over(&self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(TAKE_OVER_EVERY) => {}
                () = stopping.cancelled() => return,
            }
            for finished in self.recorder.take_over_others().await {
                self.tell(pb::media_event::Kind::RecordingFinished((&finished).into()));
            }
        }
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

impl RecordingEntry {
    /// Where the leg of an index is heard.
    pub(super) fn place(&self, index: usize) -> Result<Place, MediaError> {
        place(layout(&self.request), (self.number, self.rate), index)
    }
}

/// Whether a request adds to a running recording: all but the legs is the same, and the call, which may have come into another.
fn continues(running: &pb::StartRecordingRequest, request: &pb::StartRecordingRequest) -> bool {
    let (leg_ids, call_id) = (running.leg_ids.clone(), running.call_id.clone());
    *running == pb::StartRecordingRequest { leg_ids, call_id, ..request.clone() }
}

fn layout(request: &pb::StartRecordingRequest) -> pb::RecordingLayout {
    match request.layout() {
        pb::RecordingLayout::Unspecified if request.stereo => pb::RecordingLayout::Stereo,
        pb::RecordingLayout::Unspecified => pb::RecordingLayout::Mono,
        layout => layout,
    }
}

/// Where the leg of an index is heard.
fn place(
    layout: pb::RecordingLayout,
    (output, rate): (u32, Rate),
    index: usize,
) -> Result<Place, MediaError> {
    let place = |track, channel| Place { output, track, channel, rate };
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
