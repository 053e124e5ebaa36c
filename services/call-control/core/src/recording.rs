//! Recordings: one start, and exactly one end.

use sidetone_model::command::RecordingOptions;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegView, RecordingPhase, RecordingView};
use sidetone_model::ids::{CallId, LegId, NodeId, RecordingId};
use sidetone_model::media::Layout;
use sidetone_model::termination::Termination;
use sidetone_model::time::Timestamp;

use crate::effect::{MediaRequest, Pause, Step};
use crate::error::CommandError;
use crate::shard::Shard;

/// A recording that a media node has completed, or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRecording {
    /// Which.
    pub recording: RecordingId,
    /// Relative to the node's recording folder.
    pub file: Box<str>,
    /// Milliseconds of sound.
    pub duration_ms: u64,
    /// Bytes.
    pub size_bytes: u64,
    /// Why it failed, if it did.
    pub failure: Option<Termination>,
}

impl Shard {
    /// A node tells that a recording is over. Told twice, it is acknowledged twice and written down once.
    pub fn handle_recording_finished(
        &mut self,
        node: &NodeId,
        finished: FinishedRecording,
        now: Timestamp,
    ) -> Step {
        let recording = finished.recording;
        let Some(view) = self.fold.recording(recording).cloned() else { return self.finish() };
        if view.is_running() {
            let whole = (finished.failure.is_none(), finished.file.clone(), finished.duration_ms);
            let kind = match finished.failure {
                Some(termination) => FactKind::RecordingFailed { recording, termination },
                None => FactKind::RecordingFinished {
                    recording,
                    file: finished.file,
                    duration_ms: finished.duration_ms,
                    size_bytes: finished.size_bytes,
                },
            };
            self.fact(&view.tenant, now, kind);
            if let (true, file, duration_ms) = whole {
                self.message_left(&view, file, duration_ms, now);
            }
        }
        self.ask_node(node.clone(), MediaRequest::AckRecording { recording });
        self.finish()
    }

    pub(crate) fn start_recording(
        &mut self,
        call: CallId,
        options: &RecordingOptions,
        now: Timestamp,
    ) -> Result<RecordingId, CommandError> {
        let running =
            |shard: &Self, id: &RecordingId| shard.fold.recording(*id).is_some_and(RecordingView::is_running);
        let view = self.fold.call(call).ok_or(CommandError::NoSuchCall)?;
        if view.recordings.iter().any(|recording| running(self, recording)) {
            return Err(CommandError::AlreadyRecording);
        }
        let first =
            self.fold.live_legs(call).find(|leg| leg.is_answered()).ok_or(CommandError::NotAnswered)?;
        if !self.fold.capabilities(first.leg).contains(Capability::StartRecording) {
            return Err(CommandError::CapabilityMissing);
        }
        self.record(call, options, now)
    }

    pub(crate) fn record(
        &mut self,
        call: CallId,
        options: &RecordingOptions,
        now: Timestamp,
    ) -> Result<RecordingId, CommandError> {
        let answered: Vec<LegView> =
            self.fold.live_legs(call).filter(|leg| leg.is_answered()).cloned().collect();
        let first = answered.first().ok_or(CommandError::NotAnswered)?;
        let (node, _) = first.node.clone().ok_or(CommandError::NotAnswered)?;
        let recording = self.ids.make(now);
        let tenant = first.tenant.clone();
        let (layout, format) = (options.layout, options.format);
        let started = FactKind::RecordingStarted {
            recording,
            call,
            node: node.clone(),
            stereo: layout == Layout::Stereo,
            format,
            layout,
            name: options.name.clone(),
            legs: options.legs.clone(),
            callback: options.callback.clone(),
        };
        self.fact(&tenant, now, started);
        let wanted = |leg: &&LegView| options.legs.is_empty() || options.legs.contains(&leg.leg);
        let legs = answered.iter().filter(wanted).map(|leg| leg.leg).collect();
        self.ask_node(node, MediaRequest::StartRecording { recording, tenant, call, legs, layout, format });
        Ok(recording)
    }

    pub(crate) fn stop_recording(&mut self, recording: RecordingId) -> Result<(), CommandError> {
        let view = self.fold.recording(recording).ok_or(CommandError::NoSuchRecording)?;
        if !view.is_running() {
            return Err(CommandError::NotRecording);
        }
        self.stop_recording_of(recording);
        Ok(())
    }

    /// Leaves out what is said from now on, or, with no pause, takes it in again.
    pub(crate) fn pause_recording(
        &mut self,
        recording: RecordingId,
        pause: Option<Pause>,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let view = self.fold.recording(recording).cloned().ok_or(CommandError::NoSuchRecording)?;
        let kind = match (&view.phase, pause) {
            (RecordingPhase::Running, Some(_)) => FactKind::RecordingPaused { recording },
            (RecordingPhase::Paused, None) => FactKind::RecordingResumed { recording },
            (RecordingPhase::Running | RecordingPhase::Paused, _) => {
                return Err(CommandError::CapabilityMissing);
            }
            _ => return Err(CommandError::NotRecording),
        };
        self.fact(&view.tenant, now, kind);
        self.ask_node(view.node, MediaRequest::PauseRecording { recording, pause });
        Ok(())
    }

    /// Whoever comes into a call that is recorded or listened to as a whole is taken in.
    pub(crate) fn capture_newcomers(&mut self, call: CallId) {
        let Some(view) = self.fold.call(call) else { return };
        if view.recordings.is_empty() && view.streams.is_empty() {
            return;
        }
        let (recordings, streams) = (view.recordings.clone(), view.streams.clone());
        let legs: Vec<LegView> = self.fold.live_legs(call).filter(|leg| leg.is_answered()).cloned().collect();
        let fresh =
            legs.iter().any(|leg| !std::mem::replace(&mut self.control(leg.leg).passing.captured, true));
        if !fresh {
            return;
        }
        let all: Vec<LegId> = legs.iter().map(|leg| leg.leg).collect();
        for id in recordings {
            let running = self.fold.recording(id).filter(|view| view.is_running() && view.legs.is_empty());
            let running = running.cloned().filter(|_| !self.is_stop_asked(id));
            let Some(view) = running else { continue };
            let (recording, tenant, layout, format) = (id, view.tenant, view.layout, view.format);
            let legs = all.clone();
            self.ask_node(
                view.node,
                MediaRequest::StartRecording { recording, tenant, call, legs, layout, format },
            );
        }
        for id in streams {
            let Some(view) = self.fold.stream(id).cloned() else { continue };
            let (stream, tenant, format) = (id, view.tenant, view.format);
            let legs = all.clone();
            self.ask_node(view.node, MediaRequest::StartStream { stream, tenant, call, legs, format });
        }
    }

    /// Asks the node to complete a recording, if it runs. The fact comes with the node's answer.
    pub(crate) fn stop_recording_of(&mut self, recording: RecordingId) {
        let running = self.fold.recording(recording).filter(|view| view.is_running());
        if let Some(node) = running.map(|view| view.node.clone()) {
            self.ask_node(node, MediaRequest::StopRecording { recording });
        }
    }

    pub(crate) fn recording_failed(
        &mut self,
        recording: RecordingId,
        termination: Termination,
        now: Timestamp,
    ) {
        let running = self.fold.recording(recording).filter(|view| view.is_running());
        if let Some(tenant) = running.map(|view| view.tenant.clone()) {
            self.fact(&tenant, now, FactKind::RecordingFailed { recording, termination });
        }
    }
}
