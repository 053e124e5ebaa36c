//! After a restart of call control: media made to be what the log says.
//!
//! Effects are carried out after their record is in the log, so a crash between the two loses them. Commands stand in
//! the log; requests to media do not. What they should have brought about follows from the fold, and is asked for again
//! when a node first tells what it holds. Every request is one that media answers alike when it comes twice.

use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::{LegView, RecordingPhase, RecordingView};
use sidetone_model::ids::{BootId, NodeId, RecordingId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::conference::recording_of;
use crate::effect::{Connection, MediaRequest};
use crate::input::HeldMedia;
use crate::shard::Shard;

impl Shard {
    /// The log has been folded: from now on what nobody shows to hold is missing.
    pub fn begin(&mut self, now: Timestamp) {
        let live: Vec<LegView> = self.fold.legs().filter(|leg| leg.is_live()).cloned().collect();
        for leg in live {
            let passing = &mut self.control(leg.leg).passing;
            passing.missing_since = Some(now);
            passing.resumed = true;
            if let Some((node, _)) = leg.node {
                self.missing_nodes.insert(node, now);
            }
        }
        let recording: Vec<NodeId> = self.running_recordings().map(|view| view.node.clone()).collect();
        self.missing_nodes.extend(recording.into_iter().map(|node| (node, now)));
    }

    /// A leg from before the restart, as its node holds it. Looked at once: what is asked from now on is answered.
    pub(crate) fn resume_leg(&mut self, leg: &LegView, held: &HeldMedia, now: Timestamp) {
        let passing = &mut self.control(leg.leg).passing;
        if passing.local.is_none() {
            passing.local = held.local.clone();
        }
        let resumed = std::mem::take(&mut passing.resumed);
        if self.is_ending(leg.leg) {
            return;
        }
        if !leg.is_answered() {
            // It was decided where it goes before the node had told what it offers.
            let then = if leg.incoming { self.control(leg.leg).passing.then.take() } else { None };
            if let Some(routing) = then {
                self.route(leg, routing, now);
            }
            return;
        }
        if resumed {
            self.reconnect(leg, held);
        }
    }

    fn reconnect(&mut self, leg: &LegView, held: &HeldMedia) {
        if let Some(conference) = leg.conference {
            if held.mix != Some(conference) {
                self.connect(leg, Connection::Mix(conference));
            }
            return;
        }
        if let Some(peer) = leg.peer {
            // Asked for at either end, a bridge is there for both.
            if held.peer != Some(peer) {
                self.connect(leg, Connection::Peer(peer));
            }
            return;
        }
        match self.fold.call(leg.call).and_then(|call| call.destination.clone()) {
            Some(Destination::Echo) => self.connect(leg, Connection::Echo),
            Some(Destination::Announcement { prompt, repeat }) => {
                self.ask(leg, MediaRequest::Play { leg: leg.leg, prompt, repeat });
            }
            Some(Destination::User(_) | Destination::Room(_)) if !leg.incoming && self.is_alone(leg) => {
                self.end_unconnected(leg);
            }
            Some(Destination::User(_)) if !leg.incoming && !self.is_first(leg) => self.end_unconnected(leg),
            // Where an application sent a waiting leg is not in the log: it stays as its node has it.
            _ => {}
        }
    }

    /// The phone's description came with its answer, which has been taken into account, and is gone.
    fn end_unconnected(&mut self, leg: &LegView) {
        let text = "call control was restarted while the call was being connected";
        self.end(leg, Termination::new(Cause::Shutdown).with_text(text));
    }

    fn is_alone(&self, leg: &LegView) -> bool {
        self.fold.live_legs(leg.call).all(|other| other.leg == leg.leg)
    }

    fn is_first(&self, leg: &LegView) -> bool {
        self.fold.live_legs(leg.call).next().is_some_and(|first| first.leg == leg.leg)
    }

    fn running_recordings(&self) -> impl Iterator<Item = &RecordingView> {
        self.fold.recordings().filter(|view| view.phase == RecordingPhase::Running)
    }

    /// What a recording takes in may have been asked for, or its end: it is asked for again.
    pub(crate) fn resume_recordings(&mut self, node: &NodeId, boot: BootId, now: Timestamp) {
        let running: Vec<RecordingView> =
            self.running_recordings().filter(|view| view.node == *node).cloned().collect();
        for view in running {
            let recording = view.recording;
            if self.recording_life(&view).is_some_and(|life| life != boot) {
                self.recording_lost(recording, now);
                continue;
            }
            let legs = self.recorded_legs(&view);
            if legs.is_empty() || self.is_stop_asked(recording) {
                self.ask_node(node.clone(), MediaRequest::StopRecording { recording });
                continue;
            }
            let (tenant, call, stereo) = (view.tenant, view.call, view.stereo);
            let start = MediaRequest::StartRecording { recording, tenant, call, legs, stereo };
            self.ask_node(node.clone(), start);
        }
    }

    /// In which life of its node a recording runs, as far as the legs of its call tell.
    pub(crate) fn recording_life(&self, view: &RecordingView) -> Option<BootId> {
        let legs = self.fold.call(view.call).map_or(&[][..], |call| &call.legs);
        let nodes = legs.iter().filter_map(|leg| self.fold.leg(*leg)?.node.as_ref());
        nodes.filter(|(node, _)| *node == view.node).map(|(_, boot)| *boot).next()
    }

    fn recorded_legs(&self, view: &RecordingView) -> Vec<sidetone_model::ids::LegId> {
        let meeting =
            self.fold.conferences().find(|meeting| recording_of(meeting.conference) == view.recording);
        let on_node = |leg: &&LegView| {
            leg.is_answered() && leg.node.as_ref().is_some_and(|(node, _)| *node == view.node)
        };
        match meeting {
            Some(meeting) => meeting.participants.clone(),
            None => self.fold.live_legs(view.call).filter(on_node).map(|leg| leg.leg).collect(),
        }
    }

    /// Whether an application has ended it: the command is in the log, its consequence may not be.
    fn is_stop_asked(&self, recording: RecordingId) -> bool {
        let meeting = self.fold.conferences().any(|meeting| recording_of(meeting.conference) == recording);
        let about = CommandSubject::Recording(recording);
        let commands = self.completed.values().filter(|done| done.subject == about).count();
        commands > usize::from(!meeting)
    }

    /// Nodes that held something when call control stopped, and have not been heard of since.
    pub(crate) fn give_up_missing_nodes(&mut self, now: Timestamp) {
        let grace = self.limits.grace;
        let gone = self.missing_nodes.iter().filter(|(_, since)| now.since(**since) >= grace);
        let gone: Vec<NodeId> = gone.map(|(node, _)| node.clone()).collect();
        for node in gone {
            self.lose_node(&node, None, now);
        }
    }
}
