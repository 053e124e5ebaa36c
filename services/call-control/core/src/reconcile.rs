//! After a break: what replicas and nodes hold, held against what the log says.
//!
//! A leg that both know goes on. One that the log has and nobody holds is ended as lost. One that somebody holds and the
//! log does not have is released, after a grace in which its first signal may still come.

use std::collections::BTreeSet;

use sidetone_model::fold::LegView;
use sidetone_model::ids::{BootId, LegId, NodeId, RecordingId, ReplicaId};
use sidetone_model::signal::Hello;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Effect, MediaRequest, Step};
use crate::input::HeldMedia;
use crate::shard::Shard;

impl Shard {
    /// A replica has attached and says what it holds.
    pub fn handle_hello(&mut self, hello: &Hello, now: Timestamp) -> Step {
        let held: BTreeSet<LegId> = hello.legs.iter().map(|leg| leg.leg).collect();
        let ours: Vec<LegView> =
            self.fold.legs().filter(|leg| is_held_by(leg, &hello.replica)).cloned().collect();
        for leg in ours {
            if held.contains(&leg.leg) {
                if self.is_to_be_told(&leg) {
                    // Its offer is on its way again, behind this Hello.
                    self.missing.insert(leg.leg, now);
                    continue;
                }
                self.missing.remove(&leg.leg);
                self.control(leg.leg).passing.last_held = None;
                self.end_if_forgotten(&leg);
            } else {
                self.on_not_held(&leg, hello.boot, now);
            }
        }
        for leg in &hello.legs {
            if self.live(leg.leg).is_some() {
                self.acknowledge_commands(leg.leg, leg.last_command_n);
            } else {
                // Its end is on its way, or it was given up here while the replica could not be heard.
                self.unknown.insert((hello.replica.clone(), leg.leg), now);
            }
        }
        self.resend(&hello.replica);
        self.finish()
    }

    /// The stream of a replica broke. It may come back; its legs have the grace.
    pub fn handle_replica_gone(&mut self, replica: &ReplicaId, now: Timestamp) {
        let legs: Vec<LegId> =
            self.fold.legs().filter(|leg| is_held_by(leg, replica)).map(|leg| leg.leg).collect();
        for leg in legs {
            self.missing.entry(leg).or_insert(now);
            self.control(leg).passing.last_held.get_or_insert(now);
        }
        self.unknown.retain(|(of, _), _| of != replica);
    }

    /// A command could not be sent: no stream of the leg's replica is there. If none comes the leg is given up after the grace; it
    /// may be one that was begun towards a replica that is gone for good.
    pub fn handle_unheard(&mut self, leg: LegId, now: Timestamp) {
        if self.live(leg).is_some() {
            self.missing.entry(leg).or_insert(now);
            self.control(leg).passing.last_held.get_or_insert(now);
        }
    }

    /// A replica has acted on the commands of a leg up to `n`.
    pub fn handle_applied(&mut self, leg: LegId, n: u64) {
        self.missing.remove(&leg);
        if let Some(control) = self.legs.get_mut(&leg) {
            control.passing.last_held = None;
        }
        self.acknowledge_commands(leg, n);
    }

    /// A node tells everything it holds.
    pub fn handle_node_legs(
        &mut self,
        node: &NodeId,
        boot: BootId,
        held: &[HeldMedia],
        now: Timestamp,
    ) -> Step {
        self.missing_nodes.remove(node);
        let held_ids: BTreeSet<LegId> = held.iter().map(|leg| leg.leg).collect();
        for leg in self.legs_on(node) {
            let other_life = leg.node.as_ref().is_some_and(|(_, of)| *of != boot);
            if other_life || !held_ids.contains(&leg.leg) {
                self.end_lost_media(&leg, now);
            }
        }
        self.unknown_media.retain(|(of, leg), _| of != node || held_ids.contains(leg));
        // What a node still holds of a leg that has gone to another says nothing of what it hears.
        for held in held {
            if self.live(held.leg).is_some_and(|leg| is_on(&leg, node)) {
                self.recall(held);
            }
        }
        for held in held {
            match self.live(held.leg).filter(|leg| is_on(leg, node)) {
                Some(leg) => {
                    self.resume_leg(&leg, held, now);
                    self.restore_audio(&leg);
                }
                // Its port may just be on its way into the log.
                None => drop(self.unknown_media.entry((node.clone(), held.leg)).or_insert(now)),
            }
        }
        self.resume_recordings(node, boot, now);
        self.resume_streams(node);
        self.finish()
    }

    /// A node is gone: nothing that it held is left.
    pub fn handle_node_lost(&mut self, node: &NodeId, boot: BootId, now: Timestamp) -> Step {
        self.lose_node(node, Some(boot), now);
        self.finish()
    }

    /// What a node held is lost: all of it, or what it held in one life.
    pub(crate) fn lose_node(&mut self, node: &NodeId, life: Option<BootId>, now: Timestamp) {
        self.missing_nodes.remove(node);
        self.give_up_gatherings_to(node);
        let in_life = |of: BootId| life.is_none_or(|life| life == of);
        for leg in self.legs_on(node) {
            if leg.node.as_ref().is_some_and(|(_, of)| in_life(*of)) {
                self.end_lost_media(&leg, now);
            }
        }
        let recordings: Vec<_> = self
            .fold
            .recordings()
            .filter(|view| view.node == *node && self.recording_life(view).is_none_or(in_life))
            .map(|view| view.recording)
            .collect();
        for recording in recordings {
            self.finish_recording(recording, now);
        }
        self.unknown_media.retain(|(of, _), _| of != node);
    }

    pub(crate) fn recording_lost(&mut self, recording: RecordingId, now: Timestamp) {
        let lost =
            Termination::new(Cause::MediaNodeLost).with_text("what there is of it is on the lost node");
        self.recording_failed(recording, lost, now);
    }

    fn legs_on(&self, node: &NodeId) -> Vec<LegView> {
        self.fold.legs().filter(|leg| leg.is_live() && is_on(leg, node)).cloned().collect()
    }

    fn end_lost_media(&mut self, leg: &LegView, now: Timestamp) {
        let gone = Termination::new(Cause::MediaNodeLost).with_text("the media node is gone");
        self.end_any(leg, gone, now);
    }

    /// The replica does not hold a leg of the log.
    fn on_not_held(&mut self, leg: &LegView, boot: BootId, now: Timestamp) {
        let same_life = self.boot_of(leg.leg).is_none_or(|of| of == boot);
        let control = self.control(leg.leg);
        if control.passing.call_device.is_some() {
            // Its port is being taken; the replica has not heard of it yet.
            self.missing.remove(&leg.leg);
            return;
        }
        if same_life && !control.passing.unacknowledged.is_empty() {
            // Its Invite is sent again with this Hello.
            self.missing.entry(leg.leg).or_insert(now);
            return;
        }
        let lost = if self.is_unopened(leg) {
            let text = "call control was restarted while the call was being set up";
            Termination::new(Cause::Shutdown).with_text(text)
        } else {
            Termination::new(Cause::SignallingLost).with_text("the signalling replica was restarted")
        };
        self.over(leg, lost, now);
    }

    /// A caller whose offer was not taken into account before call control was restarted.
    fn is_to_be_told(&self, leg: &LegView) -> bool {
        let control = self.legs.get(&leg.leg);
        leg.incoming
            && control
                .is_none_or(|control| control.durable.consumed == 0 && control.passing.pending.is_none())
    }

    /// A caller whose port was being asked for when call control was restarted: its offer is not in the log, so nothing
    /// would ever move it again.
    fn end_if_forgotten(&mut self, leg: &LegView) {
        let under_way = self.legs.get(&leg.leg).is_some_and(|control| control.passing.then.is_some());
        if leg.incoming && leg.node.is_none() && !under_way {
            let text = "call control was restarted while the call was being set up";
            self.end(leg, Termination::new(Cause::Shutdown).with_text(text));
        }
    }

    fn acknowledge_commands(&mut self, leg: LegId, n: u64) {
        if let Some(control) = self.legs.get_mut(&leg) {
            control.passing.unacknowledged.retain(|command| command.n > n);
        }
    }

    fn resend(&mut self, replica: &ReplicaId) {
        let commands: Vec<_> = self
            .legs
            .values()
            .flat_map(|control| &control.passing.unacknowledged)
            .filter(|command| command.replica == *replica)
            .cloned()
            .collect();
        if !commands.is_empty() {
            self.effect(Effect::Resend { replica: replica.clone(), commands });
        }
    }

    pub(crate) fn end_missing(&mut self, now: Timestamp) {
        let grace = self.limits.grace;
        let missing: Vec<LegId> = self
            .missing
            .iter()
            .filter(|(_, since)| now.since(**since) >= grace)
            .map(|(leg, _)| *leg)
            .collect();
        for leg in missing {
            self.missing.remove(&leg);
            if let Some(view) = self.live(leg) {
                let text = "no signalling replica holds this leg";
                self.over(&view, Termination::new(Cause::SignallingLost).with_text(text), now);
            } else {
                self.legs.remove(&leg);
            }
        }
    }

    pub(crate) fn release_unknown(&mut self, now: Timestamp) {
        let grace = self.limits.grace;
        let due = |since: &Timestamp| now.since(*since) >= grace;
        let legs: Vec<_> =
            self.unknown.iter().filter(|(_, since)| due(since)).map(|(key, _)| key.clone()).collect();
        for key in legs {
            self.unknown.remove(&key);
            let (replica, leg) = key;
            self.effect(Effect::Release { replica, leg });
        }
        let media: Vec<_> =
            self.unknown_media.iter().filter(|(_, since)| due(since)).map(|(key, _)| key.clone()).collect();
        for key in media {
            self.unknown_media.remove(&key);
            let (node, leg) = key;
            if self.live(leg).is_none_or(|leg| !is_on(&leg, &node)) {
                self.ask_node(node, MediaRequest::ReleaseLeg { leg });
            }
        }
    }
}

fn is_on(leg: &LegView, node: &NodeId) -> bool {
    leg.node.as_ref().is_some_and(|(of, _)| of == node)
}

/// Whether a replica is to hold a leg: not yet one whose device is being woken.
fn is_held_by(leg: &LegView, replica: &ReplicaId) -> bool {
    leg.is_live() && !leg.is_asleep() && leg.replica == *replica
}
