//! What is recorded, streamed and played, fact by fact.

use super::{Fold, PlaybackView, RecordingPhase, RecordingView, StreamView};
use crate::fact::{Fact, FactKind, RecordedSound};
use crate::ids::{CallId, NodeId, PlaybackId, RecordingId, StreamId};

impl Fold {
    pub(super) fn apply_to_recording(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::RecordingStarted {
                recording,
                call,
                node,
                stereo,
                format,
                layout,
                name,
                legs,
                callback,
                beep,
            } => {
                let view = RecordingView {
                    recording: *recording,
                    call: *call,
                    tenant: fact.tenant.clone(),
                    node: node.clone(),
                    stereo: *stereo,
                    format: *format,
                    layout: *layout,
                    name: name.clone(),
                    legs: legs.clone(),
                    callback: callback.clone(),
                    beep: *beep,
                    phase: RecordingPhase::Running,
                    mask: false,
                    stopping: false,
                    into: None,
                    sound: None,
                };
                self.recordings.insert(*recording, view);
                if let Some(call) = self.calls.get_mut(call) {
                    call.recordings.push(*recording);
                }
            }
            FactKind::RecordingPaused { recording, mask } => {
                self.with_recording(*recording, |view| {
                    (view.phase, view.mask) = (RecordingPhase::Paused, *mask);
                });
            }
            FactKind::RecordingResumed { recording } => {
                self.with_recording(*recording, |view| {
                    (view.phase, view.mask) = (RecordingPhase::Running, false);
                });
            }
            FactKind::RecordingStopping { recording, into } => {
                self.with_recording(*recording, |view| (view.stopping, view.into) = (true, *into));
            }
            FactKind::RecordingMoved { recording, from, to } => self.recording_moved(*recording, *from, *to),
            FactKind::RecordingFinished { recording, file, duration_ms, size_bytes, tracks } => {
                let (file, tracks) = (file.clone(), tracks.clone());
                let (duration_ms, size_bytes) = (*duration_ms, *size_bytes);
                let sound = RecordedSound { file, tracks, duration_ms, size_bytes };
                self.end_recording(*recording, RecordingPhase::Finished, Some(sound));
            }
            FactKind::RecordingFailed { recording, termination, kept } => {
                let phase = RecordingPhase::Failed(termination.clone());
                self.end_recording(*recording, phase, kept.as_deref().cloned());
            }
            _ => {}
        }
    }

    /// The call that it leaves keeps to have been recorded. In a snapshot that call says so, too, when the recording is not known
    /// yet, or in its present call already.
    fn recording_moved(&mut self, recording: RecordingId, from: CallId, to: CallId) {
        if let Some(call) = self.calls.get_mut(&from) {
            call.recordings.retain(|of| *of != recording);
            if !call.recordings_moved.contains(&recording) {
                call.recordings_moved.push(recording);
            }
        }
        let Some(view) = self.recordings.get_mut(&recording).filter(|view| view.call == from) else { return };
        view.call = to;
        if let Some(call) = self.calls.get_mut(&to) {
            call.recordings.push(recording);
        }
    }

    pub(super) fn apply_to_playback(&mut self, fact: &Fact) {
        let (tenant, started_at) = (fact.tenant.clone(), fact.at);
        match &fact.kind {
            FactKind::PlaybackStarted { playback, call, leg, source, barge_in } => {
                let Some(of) = self.calls.get_mut(call) else { return };
                of.playbacks.push(*playback);
                let (playback, call, leg, source) = (*playback, *call, *leg, source.clone());
                let barge_in = *barge_in;
                let view = PlaybackView { playback, tenant, call, leg, source, started_at, barge_in };
                self.playbacks.insert(playback, view);
            }
            FactKind::PlaybackFinished { playback, .. } => {
                let Some(view) = self.playbacks.remove(playback) else { return };
                if let Some(call) = self.calls.get_mut(&view.call) {
                    call.playbacks.retain(|of| of != playback);
                }
            }
            FactKind::PlaybackMoved { playback, to, .. } => self.playback_moved(*playback, *to),
            FactKind::StreamMoved { stream, to, node, .. } => self.stream_moved(*stream, *to, node),
            FactKind::StreamStarted { stream, call, format, node } => {
                let Some(of) = self.calls.get_mut(call) else { return };
                of.streams.push(*stream);
                let (stream, call, format, node) = (*stream, *call, *format, node.clone());
                self.streams.insert(stream, StreamView { stream, tenant, call, format, node, started_at });
            }
            FactKind::StreamStopped { stream } => {
                let Some(view) = self.streams.remove(stream) else { return };
                if let Some(call) = self.calls.get_mut(&view.call) {
                    call.streams.retain(|of| of != stream);
                }
            }
            _ => {}
        }
    }

    /// In a snapshot it is where it was: there it is told who hears it.
    fn playback_moved(&mut self, playback: PlaybackId, to: CallId) {
        let Some(view) = self.playbacks.get_mut(&playback).filter(|view| view.call != to) else { return };
        let from = std::mem::replace(&mut view.call, to);
        if let Some(call) = self.calls.get_mut(&from) {
            call.playbacks.retain(|of| *of != playback);
        }
        if let Some(call) = self.calls.get_mut(&to) {
            call.playbacks.push(playback);
        }
    }

    fn stream_moved(&mut self, stream: StreamId, to: CallId, node: &NodeId) {
        let Some(view) = self.streams.get_mut(&stream) else { return };
        view.node = node.clone();
        let from = std::mem::replace(&mut view.call, to);
        if let Some(call) = self.calls.get_mut(&from) {
            call.streams.retain(|of| *of != stream);
        }
        if let Some(call) = self.calls.get_mut(&to) {
            call.streams.push(stream);
        }
    }

    fn end_recording(&mut self, recording: RecordingId, phase: RecordingPhase, sound: Option<RecordedSound>) {
        self.with_recording(recording, |view| (view.phase, view.sound) = (phase, sound));
    }

    fn with_recording(&mut self, recording: RecordingId, change: impl FnOnce(&mut RecordingView)) {
        if let Some(view) = self.recordings.get_mut(&recording) {
            change(view);
        }
    }
}
