//! Recordings: one start, and exactly one end.

use std::time::Duration;

use sidetone_model::classify::Class;
use sidetone_model::command::RecordingOptions;
use sidetone_model::fact::{FactKind, RecordedSound};
use sidetone_model::fold::{Capability, LegView, RecordingPhase, RecordingView};
use sidetone_model::ids::{CallId, LegId, NodeId, RecordingId};
use sidetone_model::media::Layout;
use sidetone_model::termination::Termination;
use sidetone_model::time::Timestamp;

use crate::effect::{MediaRequest, Pause, Step};
use crate::error::CommandError;
use crate::input::MediaFailure;
use crate::shard::Shard;

/// A recording that a media node has completed, or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRecording {
    /// Which.
    pub recording: RecordingId,
    /// Relative to the node's recording folder.
    pub file: Box<str>,
    /// The files of the other legs, where each has one of its own.
    pub tracks: Vec<Box<str>>,
    /// Milliseconds of sound.
    pub duration_ms: u64,
    /// Bytes.
    pub size_bytes: u64,
    /// Why it failed, if it did.
    pub failure: Option<Termination>,
}

/// A recording whose node is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfinished {
    since: Timestamp,
    asked: Timestamp,
}

/// How often it is asked for: whoever was asked may have died, too.
const ASKED_AGAIN: Duration = Duration::from_secs(30);
/// How long somebody may take to have it: a machine is back by then, and an hour of sound is joined.
const UNFINISHED_MAX: Duration = Duration::from_secs(600);

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
        self.unfinished.remove(&recording);
        if view.is_running() {
            let FinishedRecording { file, tracks, duration_ms, size_bytes, failure, .. } = finished;
            let (message, greeting, failed) = (file.clone(), file.clone(), failure.clone());
            let kind = match failure {
                Some(termination) => {
                    let kept = RecordedSound { file, tracks, duration_ms, size_bytes };
                    // Without a sound there is nothing that anybody would fetch.
                    let kept = (kept.duration_ms > 0).then(|| Box::new(kept));
                    FactKind::RecordingFailed { recording, termination, kept }
                }
                None => FactKind::RecordingFinished { recording, file, duration_ms, size_bytes, tracks },
            };
            self.fact(&view.tenant, now, kind);
            // What was said until then is a message, too, when the disk was full.
            self.message_left(&view, message, duration_ms, now);
            self.greeting_spoken(&view, failed.is_none().then_some(greeting), now);
            if let Some(why) = failed {
                self.message_failed(&view, &why);
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
        let mut answered: Vec<LegView> =
            self.fold.live_legs(call).filter(|leg| leg.is_answered()).cloned().collect();
        // Who is on the way out may be gone from the node first, which then refuses it all.
        if answered.iter().any(|leg| !self.is_ending(leg.leg)) {
            answered.retain(|leg| !self.is_ending(leg.leg));
        }
        let first = answered.first().ok_or(CommandError::NotAnswered)?;
        let (node, _) = first.node.clone().ok_or(CommandError::NotAnswered)?;
        let recording = self.ids.make(now);
        let tenant = first.tenant.clone();
        let (layout, format, beep) = (options.layout, options.format, options.beep);
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
            beep: options.beep,
        };
        self.fact(&tenant, now, started);
        let wanted = |leg: &&LegView| options.legs.is_empty() || options.legs.contains(&leg.leg);
        let legs = answered.iter().filter(wanted).map(|leg| leg.leg).collect();
        let start = MediaRequest::StartRecording { recording, tenant, call, legs, layout, format, beep };
        self.ask_node(node, start);
        Ok(recording)
    }

    pub(crate) fn stop_recording(
        &mut self,
        recording: RecordingId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let view = self.fold.recording(recording).ok_or(CommandError::NoSuchRecording)?;
        if !view.is_running() {
            return Err(CommandError::NotRecording);
        }
        // The log has it before the node: after a restart between the two it is asked again.
        if !view.stopping {
            let tenant = view.tenant.clone();
            self.fact(&tenant, now, FactKind::RecordingStopping { recording, into: None });
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
            (RecordingPhase::Running, Some(Pause { mask })) => FactKind::RecordingPaused { recording, mask },
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
        // Who is on the way out may be gone from the node before this is asked, which would then refuse it all.
        let stays = |leg: &&LegView| leg.is_answered() && !self.is_ending(leg.leg);
        let legs: Vec<LegView> = self.fold.live_legs(call).filter(stays).cloned().collect();
        let fresh =
            legs.iter().any(|leg| !std::mem::replace(&mut self.control(leg.leg).passing.captured, true));
        if !fresh {
            return;
        }
        let all: Vec<LegId> = legs.iter().map(|leg| leg.leg).collect();
        for id in recordings {
            let takes_in =
                |view: &&RecordingView| view.is_running() && !view.stopping && view.legs.is_empty();
            let Some(view) = self.fold.recording(id).filter(takes_in).cloned() else { continue };
            let (recording, legs) = (id, all.clone());
            let RecordingView { tenant, layout, format, beep, node, .. } = view;
            let start = MediaRequest::StartRecording { recording, tenant, call, legs, layout, format, beep };
            self.ask_node(node, start);
        }
        for id in streams {
            let Some(view) = self.fold.stream(id).cloned() else { continue };
            let (stream, tenant, format) = (id, view.tenant, view.format);
            let legs = all.clone();
            self.ask_node(view.node, MediaRequest::StartStream { stream, tenant, call, legs, format });
        }
    }

    /// One of those whom a recording was to take in has left its node meanwhile: it is asked for those who are there now. Where
    /// nobody is left, or it is being stopped, what was recorded before is kept: the answer to the stop says what became of it.
    /// False where the node should know them.
    pub(crate) fn records_others(&mut self, recording: RecordingId, asked: &[LegId]) -> bool {
        let running = self.fold.recording(recording).filter(|view| view.is_running());
        let Some(view) = running.cloned() else { return false };
        if view.stopping {
            return true;
        }
        let legs = self.recorded_legs(&view);
        if legs.is_empty() {
            self.stop_recording_of(recording);
            return true;
        }
        if legs.iter().all(|leg| asked.contains(leg)) && legs.len() == asked.len() {
            return false;
        }
        self.ask_to_record(&view);
        true
    }

    /// Asks the node for those who are there now.
    pub(crate) fn ask_to_record(&mut self, view: &RecordingView) {
        let legs = self.recorded_legs(view);
        let (recording, tenant, call) = (view.recording, view.tenant.clone(), view.call);
        let (layout, format, beep) = (view.layout, view.format, view.beep);
        let start = MediaRequest::StartRecording { recording, tenant, call, legs, layout, format, beep };
        self.ask_node(view.node.clone(), start);
    }

    /// Asks the node to complete a recording, if it runs. The fact comes with the node's answer.
    pub(crate) fn stop_recording_of(&mut self, recording: RecordingId) {
        let running = self.fold.recording(recording).filter(|view| view.is_running());
        if let Some(node) = running.map(|view| view.node.clone()) {
            self.ask_node(node, MediaRequest::StopRecording { recording });
        }
    }

    /// The node of a recording is gone, or has begun another life. Somebody has what was recorded: that node when it comes back
    /// with its disk, or, with object storage, any node. Whoever is asked twice does it once.
    pub(crate) fn finish_recording(&mut self, recording: RecordingId, now: Timestamp) {
        let running = self.fold.recording(recording).filter(|view| view.is_running()).cloned();
        if let Some(view) = running {
            let since = self.unfinished.get(&recording).map_or(now, |one| one.since);
            self.unfinished.insert(recording, Unfinished { since, asked: now });
            self.ask_to_finish(&view);
        }
    }

    /// Nobody can finish it yet. What its own node does not have, and cannot find in a bucket, is lost.
    pub(crate) fn on_not_finished(
        &mut self,
        node: &NodeId,
        recording: RecordingId,
        failure: &MediaFailure,
        now: Timestamp,
    ) {
        let own = self.fold.recording(recording).is_some_and(|view| view.node == *node);
        if own && failure.class == Class::NotFound {
            self.recording_lost(recording, now);
        }
    }

    /// When recordings have to be looked after whose node is gone.
    pub(crate) fn unfinished_timeout(&self) -> Option<Timestamp> {
        let due = |one: &Unfinished| (one.asked + ASKED_AGAIN).min(one.since + UNFINISHED_MAX);
        self.unfinished.values().map(due).min()
    }

    /// Asks again who may have died meanwhile, or come back; at last gives up.
    pub(crate) fn finish_recordings(&mut self, now: Timestamp) {
        let all: Vec<(RecordingId, Unfinished)> =
            self.unfinished.iter().map(|(recording, one)| (*recording, *one)).collect();
        for (recording, Unfinished { since, asked }) in all {
            let running = self.fold.recording(recording).filter(|view| view.is_running()).cloned();
            let Some(view) = running else {
                self.unfinished.remove(&recording);
                continue;
            };
            if since + UNFINISHED_MAX <= now {
                self.recording_lost(recording, now);
            } else if asked + ASKED_AGAIN <= now {
                self.unfinished.insert(recording, Unfinished { since, asked: now });
                self.ask_to_finish(&view);
            }
        }
    }

    fn ask_to_finish(&mut self, view: &RecordingView) {
        let (recording, tenant, format) = (view.recording, view.tenant.clone(), view.format);
        let request = MediaRequest::FinishRecording { recording, tenant, format };
        self.ask_node(view.node.clone(), request);
    }

    pub(crate) fn recording_failed(
        &mut self,
        recording: RecordingId,
        termination: Termination,
        now: Timestamp,
    ) {
        self.unfinished.remove(&recording);
        let running = self.fold.recording(recording).filter(|view| view.is_running()).cloned();
        if let Some(view) = running {
            let why = termination.clone();
            self.fact(&view.tenant, now, FactKind::RecordingFailed { recording, termination, kept: None });
            self.message_failed(&view, &why);
            self.greeting_spoken(&view, None, now);
        }
    }
}
