//! What media nodes do: they answer, refuse, finish recordings and playbacks, and are lost.

use rand::{RngExt as _, seq::IndexedRandom as _};
use sidetone_call_core::{Connection, FinishedRecording, MediaFailure, MediaReply, MediaRequest};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::classify::Class;
use sidetone_model::ids::{LegId, NodeId, RecordingId};

use crate::{World, media_of};

impl World {
    pub(crate) fn answer_request(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let (node, request) = self.requests.remove(0);
        let boot = self.node_boots[&node];
        // A node that cannot even release is lost, which comes by itself.
        let release = matches!(request, MediaRequest::ReleaseLeg { .. });
        if !self.calm && !release && self.rng.random_range(0..12) == 0 {
            let class = [Class::Exhausted, Class::FailedPrecondition, Class::Unavailable, Class::NotFound]
                [self.rng.random_range(0..4)];
            let failure = MediaFailure { class, text: "no".into() };
            let step = self.shard.handle_media(&node, request, Err(failure), self.now);
            return self.take(step);
        }
        let reply = match &request {
            MediaRequest::CreateLeg { leg, .. } => {
                self.held.entry((node.clone(), *leg)).or_insert(Connection::Nothing);
                MediaReply::Created { local: media_of(&node), boot }
            }
            MediaRequest::UpdateLeg { .. } => MediaReply::Updated { local: media_of(&node) },
            MediaRequest::OfferLeg { .. } => MediaReply::Offered { local: media_of(&node) },
            MediaRequest::ReleaseLeg { leg } => {
                self.held.remove(&(node.clone(), *leg));
                self.unbridge(&node, *leg);
                MediaReply::Done
            }
            MediaRequest::StartRecording { recording, .. } => {
                self.recording.insert((node.clone(), *recording));
                MediaReply::Done
            }
            MediaRequest::StopRecording { recording } => {
                self.finish_recording(&node, *recording);
                MediaReply::Done
            }
            MediaRequest::FinishRecording { recording, .. } => {
                self.finish_recording(&node, *recording);
                MediaReply::Done
            }
            MediaRequest::AckRecording { recording } => {
                self.recording.remove(&(node.clone(), *recording));
                MediaReply::Done
            }
            MediaRequest::Play { playback, .. }
            | MediaRequest::PlayGreeting { playback, .. }
            | MediaRequest::PlayMessage { playback, .. } => {
                self.playing.push(*playback);
                MediaReply::Done
            }
            MediaRequest::ConnectLeg { leg, to } => {
                self.connect(&node, *leg, *to);
                MediaReply::Done
            }
            _ => MediaReply::Done,
        };
        let step = self.shard.handle_media(&node, request, Ok(reply), self.now);
        self.take(step);
    }

    pub(crate) fn connect(&mut self, node: &NodeId, leg: LegId, to: Connection) {
        self.unbridge(node, leg);
        if let Connection::Peer(peer) = to {
            self.unbridge(node, peer);
            self.held.entry((node.clone(), peer)).and_modify(|there| *there = Connection::Peer(leg));
        }
        self.held.entry((node.clone(), leg)).and_modify(|here| *here = to);
    }

    pub(crate) fn unbridge(&mut self, node: &NodeId, leg: LegId) {
        for ((of, _), to) in &mut self.held {
            if of == node && *to == Connection::Peer(leg) {
                *to = Connection::Nothing;
            }
        }
    }

    /// Some playback comes to its end, in whatever order.
    pub(crate) fn finish_playback(&mut self) {
        let Some(playback) = self.playing.choose(&mut self.rng).copied() else { return };
        self.playing.retain(|other| *other != playback);
        let end = match self.rng.random_range(0..7) {
            0 => PlaybackEnd::Failed,
            1 => PlaybackEnd::Stopped,
            2 => PlaybackEnd::Key,
            3 => PlaybackEnd::Voice,
            _ => PlaybackEnd::Done,
        };
        let step = self.shard.handle_playback_finished(playback, end, self.now);
        self.take(step);
    }

    pub(crate) fn finish_recording(&mut self, node: &NodeId, recording: RecordingId) {
        let finished = FinishedRecording {
            recording,
            file: "f.wav".into(),
            duration_ms: 2000,
            size_bytes: 2,
            tracks: Vec::new(),
            failure: None,
        };
        let step = self.shard.handle_recording_finished(node, finished, self.now);
        self.take(step);
    }

    pub(crate) fn lose_node(&mut self) {
        let node = self.node_boots.keys().next().cloned().expect("there are nodes");
        let old = self.node_boots[&node];
        self.held.retain(|(of, _), _| *of != node);
        self.recording.retain(|(of, _)| *of != node);
        let unanswered: Vec<_> = std::mem::take(&mut self.requests);
        let (gone, kept): (Vec<_>, Vec<_>) = unanswered.into_iter().partition(|(of, _)| *of == node);
        self.requests = kept;
        let step = self.shard.handle_node_lost(&node, old, self.now);
        self.take(step);
        for (of, request) in gone {
            let failure = MediaFailure { class: Class::Unavailable, text: "gone".into() };
            let step = self.shard.handle_media(&of, request, Err(failure), self.now);
            self.take(step);
        }
        let boot = self.ids.make(self.now);
        self.node_boots.insert(node, boot);
    }
}
