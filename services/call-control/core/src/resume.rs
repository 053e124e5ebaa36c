//! After a restart of call control: media made to be what the log says.
//!
//! Effects are carried out after their record is in the log, so a crash between the two loses them. Commands stand in
//! the log; requests to media do not. What they should have brought about follows from the fold, and is asked for again
//! when a node first tells what it holds. Every request is one that media answers alike when it comes twice.

use sidetone_model::fold::{LegView, RecordingPhase, RecordingView, StreamView};
use sidetone_model::ids::{BootId, LegId, NodeId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::conference::recording_of;
use crate::effect::{Connection, MediaRequest, Pause};
use crate::input::HeldMedia;
use crate::shard::Shard;

impl Shard {
    /// The process that wrote the log is known to have run until then, also if nothing happened any more. Before
    /// [`Self::begin`].
    pub fn ran_until(&mut self, at: Timestamp) {
        self.ran_until = self.ran_until.max(at);
    }

    /// The log has been folded: from now on what nobody shows to hold is missing.
    pub fn begin(&mut self, now: Timestamp) {
        // Of whose device nobody has heard yet, nobody shows anything.
        let live = self.fold.legs().filter(|leg| leg.is_live() && !leg.is_asleep());
        let live: Vec<LegView> = live.cloned().collect();
        self.seen_at = now;
        let last_held = self.ran_until.max(self.last_fact_at).min(now);
        for leg in live {
            self.recall_offer(leg.leg, now);
            let passing = &mut self.control(leg.leg).passing;
            passing.resumed = true;
            passing.last_held = Some(last_held);
            self.missing.insert(leg.leg, now);
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
        if resumed {
            self.resume_early(leg, held);
        }
        if self.is_ending(leg.leg) {
            return;
        }
        if resumed && leg.is_answered() {
            self.resume_home(leg);
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
            self.resume_hearing(leg);
        }
    }

    /// What a leg from before the restart hears, as its node has it. Known of all of a node before any is looked at.
    pub(crate) fn recall(&mut self, held: &HeldMedia) {
        let there = match (held.mix, held.peer) {
            (Some(mix), _) => Connection::Mix(mix),
            (None, Some(peer)) => Connection::Peer(peer),
            (None, None) => Connection::Nothing,
        };
        if let Some(control) = self.legs.get_mut(&held.leg).filter(|control| control.passing.resumed) {
            control.passing.asked = there;
            control.passing.hears_unknown = there == Connection::Nothing;
        }
    }

    /// What applications have set of its sound: the request may have been lost with the process, or the way to the node, that it
    /// was given to.
    pub(crate) fn restore_audio(&mut self, leg: &LegView) {
        if let Some((muted, deafened, voice)) = leg.audio().filter(|_| !self.is_ending(leg.leg)) {
            let muted = muted || self.is_kept_back(leg.leg);
            self.ask(leg, MediaRequest::SetAudio { leg: leg.leg, muted, deafened, voice });
        }
    }

    fn resume_hearing(&mut self, leg: &LegView) {
        if let Some(Destination::Announcement { prompt, repeat }) = leg.served_by.clone() {
            self.announce(leg, prompt, repeat);
        }
        if matches!(leg.served_by, Some(Destination::Voicemail(_))) {
            self.greet(leg);
        }
        if let Some(Destination::Mailbox(user)) = &leg.served_by {
            self.silence_mailbox(leg, user);
            self.listen(leg);
        }
        if leg.served_by.is_none() && leg.conference.is_none() && self.is_forgotten(leg) {
            let text = "call control was restarted while the call was being connected";
            self.end(leg, Termination::new(Cause::Shutdown).with_text(text));
            return;
        }
        self.arrange_media(leg.call);
    }

    /// It was to go somewhere when it had answered, and where is not in the log: nobody is there, and nobody comes.
    fn is_forgotten(&self, leg: &LegView) -> bool {
        let open = self.fold.call(leg.call).is_some_and(|call| call.open);
        !open && self.fold.live_legs(leg.call).all(|other| other.leg == leg.leg)
    }

    fn running_recordings(&self) -> impl Iterator<Item = &RecordingView> {
        self.fold.recordings().filter(|view| view.is_running())
    }

    /// What a recording takes in may have been asked for, or its end: it is asked for again.
    pub(crate) fn resume_recordings(&mut self, node: &NodeId, boot: BootId, now: Timestamp) {
        let running: Vec<RecordingView> =
            self.running_recordings().filter(|view| view.node == *node).cloned().collect();
        for view in running {
            let recording = view.recording;
            if self.recording_life(&view).is_some_and(|life| life != boot) {
                self.finish_recording(recording, now);
                continue;
            }
            if view.stopping || self.recorded_legs(&view).is_empty() {
                self.ask_node(node.clone(), MediaRequest::StopRecording { recording });
                continue;
            }
            self.ask_to_record(&view);
            let pause = (view.phase == RecordingPhase::Paused).then_some(Pause { mask: view.mask });
            self.ask_node(node.clone(), MediaRequest::PauseRecording { recording, pause });
        }
    }

    /// Whom a stream takes in may have been asked for: it is asked for again, and so is one that has not begun.
    pub(crate) fn resume_streams(&mut self, node: &NodeId) {
        let here: Vec<StreamView> = self.fold.streams().filter(|view| view.node == *node).cloned().collect();
        for StreamView { stream, tenant, call, format, .. } in here {
            let on_node = |leg: &&LegView| {
                leg.is_answered()
                    && !self.is_ending(leg.leg)
                    && leg.node.as_ref().is_some_and(|(of, _)| of == node)
            };
            let legs: Vec<LegId> = self.fold.live_legs(call).filter(on_node).map(|leg| leg.leg).collect();
            if !legs.is_empty() {
                let start = MediaRequest::StartStream { stream, tenant, call, legs, format };
                self.ask_node(node.clone(), start);
            }
        }
    }

    /// In which life of its node a recording runs, as far as the legs of its call tell.
    pub(crate) fn recording_life(&self, view: &RecordingView) -> Option<BootId> {
        let legs = self.fold.call(view.call).map_or(&[][..], |call| &call.legs);
        let nodes = legs.iter().filter_map(|leg| self.fold.leg(*leg)?.node.as_ref());
        nodes.filter(|(node, _)| *node == view.node).map(|(_, boot)| *boot).next()
    }

    pub(crate) fn recorded_legs(&self, view: &RecordingView) -> Vec<LegId> {
        let meeting =
            self.fold.conferences().find(|meeting| recording_of(meeting.conference) == view.recording);
        let on_node = |leg: &&LegView| {
            leg.is_answered()
                && !self.is_ending(leg.leg)
                && leg.node.as_ref().is_some_and(|(node, _)| *node == view.node)
        };
        match meeting {
            Some(meeting) => {
                let there = meeting.participants.iter().filter_map(|leg| self.fold.leg(*leg)).filter(on_node);
                there.map(|leg| leg.leg).collect()
            }
            None => {
                let wanted = |leg: &&LegView| view.legs.is_empty() || view.legs.contains(&leg.leg);
                let legs = self.fold.live_legs(view.call).filter(on_node).filter(wanted);
                legs.map(|leg| leg.leg).collect()
            }
        }
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
