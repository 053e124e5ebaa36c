//! What is recorded, streamed and played in a call goes on when those who are heard in it come into another call, or to another
//! media node.
//!
//! A conversation that is recorded as a whole has one recording. When both calls were, that of the call that goes on has the rest,
//! and the other is completed: its end names the one that goes on. A recording is on one node: where the legs go to another, one of
//! the same kind begins there, and the end of the old one names it.

use sidetone_model::fact::FactKind;
use sidetone_model::fold::{RecordingPhase, RecordingView};
use sidetone_model::ids::{CallId, LegId, NodeId, PlaybackId, RecordingId, StreamId};
use sidetone_model::time::Timestamp;

use crate::conference::recording_of;
use crate::effect::{MediaRequest, Pause};
use crate::playing::heard_by;
use crate::shard::Shard;

impl Shard {
    /// `legs` have come from one call into another, or with the same call to another node: what is theirs goes with them. Whoever
    /// else is in the call that goes on is taken in when it is arranged.
    pub(crate) fn carry_over(&mut self, legs: &[LegId], from: CallId, to: CallId, now: Timestamp) {
        let node = legs.iter().find_map(|leg| self.live(*leg)?.node).map(|(node, _)| node);
        let (Some(node), Some(call)) = (node, self.fold.call(from).cloned()) else { return };
        for recording in call.recordings {
            self.carry_recording(recording, (legs, to), &node, now);
        }
        for stream in call.streams {
            self.carry_stream(stream, to, &node, now);
        }
        if from != to {
            for playback in call.playbacks {
                self.carry_playback(playback, legs, to, now);
            }
        }
    }

    fn carry_recording(
        &mut self,
        recording: RecordingId,
        (legs, to): (&[LegId], CallId),
        node: &NodeId,
        now: Timestamp,
    ) {
        let goes_on = |view: &&RecordingView| view.is_running() && !view.stopping;
        let Some(view) = self.fold.recording(recording).filter(goes_on).cloned() else { return };
        // That of a meeting is not the call's.
        let of_meeting = self.fold.conferences().any(|of| recording_of(of.conference) == recording);
        let concerned = view.legs.is_empty() || view.legs.iter().any(|leg| legs.contains(leg));
        if of_meeting || !concerned || (view.call == to && view.node == *node) {
            return;
        }
        let here = self.fold.call(to).map(|call| call.recordings.clone()).unwrap_or_default();
        let mut here = here.into_iter().filter_map(|id| self.fold.recording(id));
        let whole = here.find(|it| goes_on(it) && it.legs.is_empty() && it.recording != recording);
        if let Some(into) = whole.map(|it| it.recording) {
            self.complete_for(&view, into, now);
        } else if view.node == *node {
            let moved = FactKind::RecordingMoved { recording, from: view.call, to };
            self.fact(&view.tenant, now, moved);
        } else if let Some(into) = self.go_on_recording(&view, to, node, now) {
            self.complete_for(&view, into, now);
        }
    }

    /// Nothing more comes into a recording: another has what is said from now on.
    fn complete_for(&mut self, view: &RecordingView, into: RecordingId, now: Timestamp) {
        let recording = view.recording;
        self.fact(&view.tenant, now, FactKind::RecordingStopping { recording, into: Some(into) });
        self.stop_recording_of(recording);
    }

    /// One of the same kind on the node where the legs are now.
    fn go_on_recording(
        &mut self,
        old: &RecordingView,
        call: CallId,
        node: &NodeId,
        now: Timestamp,
    ) -> Option<RecordingId> {
        let recording = self.ids.make(now);
        let started = FactKind::RecordingStarted {
            recording,
            call,
            node: node.clone(),
            stereo: old.stereo,
            format: old.format,
            layout: old.layout,
            name: old.name.clone(),
            legs: old.legs.clone(),
            callback: old.callback.clone(),
            beep: old.beep,
        };
        self.fact(&old.tenant, now, started);
        let view = self.fold.recording(recording).cloned()?;
        self.ask_to_record(&view);
        if old.phase == RecordingPhase::Paused {
            let mask = old.mask;
            self.fact(&old.tenant, now, FactKind::RecordingPaused { recording, mask });
            let pause = Some(Pause { mask });
            self.ask_node(node.clone(), MediaRequest::PauseRecording { recording, pause });
        }
        Some(recording)
    }

    fn carry_stream(&mut self, stream: StreamId, to: CallId, node: &NodeId, now: Timestamp) {
        let Some(view) = self.fold.stream(stream).cloned() else { return };
        if view.call == to && view.node == *node {
            return;
        }
        if view.node != *node {
            self.ask_node(view.node.clone(), MediaRequest::StopStream { stream });
        }
        let moved = FactKind::StreamMoved { stream, from: view.call, to, node: node.clone() };
        self.fact(&view.tenant, now, moved);
    }

    /// Those who hear it go on hearing it; nobody else is disturbed. Who hears it no more is the one that leaves.
    fn carry_playback(&mut self, playback: PlaybackId, legs: &[LegId], to: CallId, now: Timestamp) {
        let Some(view) = self.fold.playback(playback).cloned() else { return };
        let hears = |leg: &LegId| self.hearing.contains_key(&heard_by(playback, *leg));
        let (moves, hearers) = match view.leg {
            Some(one) => (legs.contains(&one), Vec::new()),
            None => {
                let hearers: Vec<LegId> = legs.iter().copied().filter(hears).collect();
                (!hearers.is_empty(), hearers)
            }
        };
        if !moves {
            return;
        }
        let staying: Vec<_> = self.fold.live_legs(view.call).map(|leg| (leg.leg, leg.node.clone())).collect();
        for (leg, node) in staying {
            let own = heard_by(playback, leg);
            if let Some((node, _)) = node.filter(|_| self.hearing.contains_key(&own)) {
                self.ask_node(node, MediaRequest::StopPlay { playback: own });
            }
        }
        let moved = FactKind::PlaybackMoved { playback, from: view.call, to, legs: hearers };
        self.fact(&view.tenant, now, moved);
    }
}
