//! After a break: what replicas and nodes hold, held against what the log says.
//!
//! A leg that both know goes on. One that the log has and nobody holds is ended as lost. One that somebody holds and the
//! log does not have is released, after a grace in which its first signal may still come.

use std::collections::BTreeSet;

use sidetone_model::fold::LegView;
use sidetone_model::ids::{BootId, LegId, NodeId, ReplicaId};
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
            self.fold.legs().filter(|leg| leg.is_live() && leg.replica == hello.replica).cloned().collect();
        for leg in ours {
            if held.contains(&leg.leg) {
                self.control(leg.leg).passing.missing_since = None;
                self.end_if_forgotten(&leg);
            } else {
                self.on_not_held(&leg, hello.boot, now);
            }
        }
        for leg in &hello.legs {
            let known = self.fold.leg(leg.leg).is_some();
            if known {
                self.acknowledge_commands(leg.leg, leg.last_command_n);
            } else {
                self.unknown.insert((hello.replica.clone(), leg.leg), now);
            }
        }
        self.resend(&hello.replica);
        self.finish()
    }

    /// The stream of a replica broke. It may come back; its legs have the grace.
    pub fn handle_replica_gone(&mut self, replica: &ReplicaId, now: Timestamp) {
        let legs: Vec<LegId> = self
            .fold
            .legs()
            .filter(|leg| leg.is_live() && leg.replica == *replica)
            .map(|leg| leg.leg)
            .collect();
        for leg in legs {
            self.control(leg).passing.missing_since.get_or_insert(now);
        }
        self.unknown.retain(|(of, _), _| of != replica);
    }

    /// A replica has acted on the commands of a leg up to `n`.
    pub fn handle_applied(&mut self, leg: LegId, n: u64) {
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
        let held_ids: BTreeSet<LegId> = held.iter().map(|leg| leg.leg).collect();
        for leg in held {
            match self.live(leg.leg) {
                Some(_) => {
                    let passing = &mut self.control(leg.leg).passing;
                    if passing.local.is_none() {
                        passing.local = leg.local.clone();
                    }
                }
                None => {
                    self.unknown_media.entry((node.clone(), leg.leg)).or_insert(now);
                }
            }
        }
        self.unknown_media.retain(|(of, leg), _| of != node || held_ids.contains(leg));
        for leg in self.legs_on(node) {
            let other_life = leg.node.as_ref().is_some_and(|(_, of)| *of != boot);
            if other_life || !held_ids.contains(&leg.leg) {
                self.end_lost_media(&leg);
            }
        }
        self.finish()
    }

    /// A node is gone: nothing that it held is left.
    pub fn handle_node_lost(&mut self, node: &NodeId, boot: BootId, now: Timestamp) -> Step {
        for leg in self.legs_on(node) {
            if leg.node.as_ref().is_some_and(|(_, of)| *of == boot) {
                self.end_lost_media(&leg);
            }
        }
        let recordings: Vec<_> =
            self.fold.recordings().filter(|view| view.node == *node).map(|view| view.recording).collect();
        for recording in recordings {
            let lost =
                Termination::new(Cause::MediaNodeLost).with_text("what there is of it is on the lost node");
            self.recording_failed(recording, lost, now);
        }
        self.unknown_media.retain(|(of, _), _| of != node);
        self.finish()
    }

    fn legs_on(&self, node: &NodeId) -> Vec<LegView> {
        let on = |leg: &&LegView| leg.is_live() && leg.node.as_ref().is_some_and(|(of, _)| of == node);
        self.fold.legs().filter(on).cloned().collect()
    }

    fn end_lost_media(&mut self, leg: &LegView) {
        self.end(leg, Termination::new(Cause::MediaNodeLost).with_text("the media node is gone"));
    }

    /// The replica does not hold a leg of the log.
    fn on_not_held(&mut self, leg: &LegView, boot: BootId, now: Timestamp) {
        let same_life = self.boot_of(leg.leg).is_none_or(|of| of == boot);
        let invited =
            self.legs.get(&leg.leg).is_some_and(|control| !control.passing.unacknowledged.is_empty());
        if same_life && invited {
            // Its Invite is still on the way.
            return;
        }
        let lost = Termination::new(Cause::SignallingLost).with_text("the signalling replica was restarted");
        self.drop_unopened(leg, lost, now);
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
            .legs
            .iter()
            .filter(|(_, control)| {
                control.passing.missing_since.is_some_and(|since| now.since(since) >= grace)
            })
            .map(|(leg, _)| *leg)
            .collect();
        for leg in missing {
            self.control(leg).passing.missing_since = None;
            if let Some(view) = self.live(leg) {
                let text = "no signalling replica holds this leg";
                self.drop_unopened(&view, Termination::new(Cause::SignallingLost).with_text(text), now);
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
            if self.live(leg).is_none() {
                self.ask_node(node, MediaRequest::ReleaseLeg { leg });
            }
        }
    }
}
