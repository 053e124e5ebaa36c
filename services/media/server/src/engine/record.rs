//! Recordings: which legs are in them, and their ends.

use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;

use super::link::Reply;
use super::{Control, Engine, RecordingEntry};
use crate::error::MediaError;
use crate::recorder::{Finished, NewRecording};
use crate::state::Tap;
use crate::worker::rings::Command;

impl Engine {
    /// Begins a recording, or adds legs to it.
    pub(crate) async fn start_recording(
        &self,
        legs: Vec<LegId>,
        request: pb::StartRecordingRequest,
    ) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let control = &mut *control;
        if legs.iter().any(|leg| !control.legs.contains_key(leg)) {
            return Err(MediaError::NotFound("leg"));
        }
        let known = control.recordings.get(request.recording_id.as_str());
        let (number, began_ms, had) = match known {
            Some(entry) if !continues(&entry.request, &request) => {
                return Err(MediaError::Reused("recording"));
            }
            Some(entry) => (entry.number, entry.began_ms, entry.request.leg_ids.clone()),
            None => {
                let (number, began_ms) = self.begin(control, &request).await?;
                (number, began_ms, Vec::new())
            }
        };
        let mut all = had.clone();
        all.extend(request.leg_ids.iter().filter(|leg| !had.contains(leg)).cloned());
        for (id, text) in legs.iter().zip(&request.leg_ids) {
            if had.contains(text) {
                continue;
            }
            let Some(entry) = control.legs.get(id) else { continue };
            let channel = u8::from(request.stereo && all.first() != Some(text));
            let tap = Tap { recording: number, channel, began_ms, anchor: None };
            control.workers[entry.worker].push(Command::Tap { slot: entry.slot, tap }).await?;
        }
        let entry = RecordingEntry {
            request: pb::StartRecordingRequest { leg_ids: all, ..request.clone() },
            number,
            began_ms,
        };
        control.recordings.insert(request.recording_id.into(), entry);
        self.telemetry.media.recordings.set(control.recordings.len() as i64);
        Ok(())
    }

    async fn begin(
        &self,
        control: &mut Control,
        request: &pb::StartRecordingRequest,
    ) -> Result<(u32, u64), MediaError> {
        if control.recordings.len() >= self.config.recordings_max {
            return Err(MediaError::TooMany("recordings"));
        }
        let number = control.number() as u32;
        let began_ms = self.now_ms();
        let new = NewRecording {
            number,
            id: request.recording_id.clone(),
            tenant: request.tenant.clone(),
            channels: if request.stereo { 2 } else { 1 },
            began_ms,
        };
        self.recorder.begin(new).await?;
        Ok((number, began_ms))
    }

    /// Ends a recording; its file is complete then. Ended ones are answered until they are acknowledged.
    pub(crate) async fn stop_recording(&self, id: &str) -> Result<Finished, MediaError> {
        let number = self.control.lock().await.recordings.get(id).map(|entry| entry.number);
        let Some(number) = number else {
            return self.recorder.finished(id).ok_or(MediaError::NotFound("recording"));
        };
        self.end_recording(number, None).await
    }

    /// A worker could not get rid of what it heard.
    pub(super) async fn recording_lost(&self, number: u32) {
        // It was ended meanwhile, or it could not be; both are told elsewhere.
        let _ = self.end_recording(number, Some("the recorder could not keep up")).await;
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
            let mut pending = Vec::new();
            for link in &mut control.workers {
                let (token, done) = self.replies.open();
                link.push(Command::Untap { recording: number, token }).await?;
                pending.push(done);
            }
            pending
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
}

/// Whether a request adds to a running recording: all but the legs is the same.
fn continues(running: &pb::StartRecordingRequest, request: &pb::StartRecordingRequest) -> bool {
    running.tenant == request.tenant && running.call_id == request.call_id && running.stereo == request.stereo
}
