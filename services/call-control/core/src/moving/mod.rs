//! Calls that lie on two media nodes come together: the legs of one get ports on the other's node, and their phones are told by a
//! re-INVITE (RFC 3264, section 8.3.1, a new address), which every phone understands.
//!
//! Nothing changes until all of them have answered: each leg keeps its old port and what it hears, and the log knows nothing. Then
//! whoever wanted them together has them together in one step, and the old ports close. When a phone refuses, or something else comes in
//! between, those that have answered are led back to their old ports, which are still there. After a restart of call control in
//! between they are led back likewise.

mod leg;

use std::collections::BTreeSet;

use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{CallId, LegId, NodeId, RoomId};
use sidetone_model::time::Timestamp;

pub(crate) use leg::Moving;

use crate::effect::{Effect, Step};
use crate::error::CommandError;
use crate::input::Routing;
use crate::shard::Shard;

/// Legs on their way to another node for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatheringId(u64);

/// One of them.
#[derive(Debug)]
pub(crate) struct Gathering {
    to: NodeId,
    legs: Vec<LegId>,
    under_way: BTreeSet<LegId>,
    until: Timestamp,
    then: Then,
}

/// What they come together for.
#[derive(Debug)]
pub(crate) enum Then {
    /// A command, which the shell holds.
    Command,
    /// A phone's attended transfer: its leg, and its other one.
    Refer(LegId, LegId),
    /// A meeting on the other node.
    Enter(LegId, RoomId, Box<Routing>),
}

impl Shard {
    /// Before a command is carried out: whether legs must come together on one media node first. The shell keeps the command then
    /// until [`Effect::Gathered`], hands it in if that went well, and calls [`Shard::end_gathering`] afterwards in any case.
    pub fn gather(&mut self, command: &CallCommand, now: Timestamp) -> Option<(GatheringId, Step)> {
        if self.remembers(&command.tenant, &command.key) {
            return None;
        }
        let (legs, to) = self.parted_by(command)?;
        let gathering = self.begin_gathering(&legs, to, Then::Command, now)?;
        Some((gathering, self.finish()))
    }

    /// Whoever was brought to another node, and is not needed there after all, is led back.
    pub fn end_gathering(&mut self, gathering: GatheringId) -> Step {
        if let Some(ended) = self.gatherings.remove(&gathering) {
            self.lead_back(gathering, &ended);
        }
        self.finish()
    }

    fn parted_by(&self, command: &CallCommand) -> Option<(Vec<LegView>, NodeId)> {
        // What would be refused anyway moves nobody.
        let two = |legs, what| self.two_calls(&command.tenant, legs, what).ok();
        match &command.kind {
            CallCommandKind::Merge { active, held } => {
                let (active, held) = two((*active, *held), Capability::Merge)?;
                self.parted(&held, active.call)
            }
            CallCommandKind::TransferAttended { active, held } => {
                let (active, held) = two((*active, *held), Capability::Transfer)?;
                self.parted(&active, held.call)
            }
            CallCommandKind::Conversation(conversation) => {
                let (leg, call) = self.knocker_parted_from(&command.tenant, conversation)?;
                let to = self.node_of(call)?;
                (leg.node.as_ref().is_some_and(|(node, _)| *node != to)).then(|| (vec![leg], to))
            }
            _ => None,
        }
    }

    /// Those with whom `but` shares its call, and the node of the call into which they are to come; none when they are there.
    pub(crate) fn parted(&self, but: &LegView, to: CallId) -> Option<(Vec<LegView>, NodeId)> {
        let node = self.node_of(to)?;
        let elsewhere = |leg: &LegView| leg.node.as_ref().is_some_and(|(of, _)| *of != node);
        let apart = self.node_of(but.call).is_some_and(|of| of != node);
        let others = self.fold.live_legs(but.call);
        let others = others.filter(|leg| leg.leg != but.leg && !self.is_ending(leg.leg));
        // Who rings has no port there either.
        let others = others.filter(|leg| elsewhere(leg) || (apart && leg.node.is_none()));
        let others: Vec<LegView> = others.cloned().collect();
        (!others.is_empty()).then_some((others, node))
    }

    /// Asks for the new ports; none when one of the legs cannot be moved now.
    pub(crate) fn begin_gathering(
        &mut self,
        legs: &[LegView],
        to: NodeId,
        then: Then,
        now: Timestamp,
    ) -> Option<GatheringId> {
        self.seen_at = self.seen_at.max(now);
        if legs.is_empty() || !legs.iter().all(|leg| self.can_move(leg)) {
            return None;
        }
        self.gathered += 1;
        let gathering = GatheringId(self.gathered);
        let ids: Vec<LegId> = legs.iter().map(|leg| leg.leg).collect();
        let under_way = ids.iter().copied().collect();
        let until = now + self.limits.gathering;
        let begun = Gathering { to: to.clone(), legs: ids, under_way, until, then };
        self.gatherings.insert(gathering, begun);
        for leg in legs {
            self.begin_move(leg, gathering, to.clone());
        }
        Some(gathering)
    }

    /// The legs besides `but` are on the node of `to`, or go there now: their phones have been told.
    ///
    /// # Errors
    /// When they are on another node and are not on their way, or not there yet.
    pub(crate) fn come_together(
        &mut self,
        but: &LegView,
        to: CallId,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let Some((legs, node)) = self.parted(but, to) else { return Ok(()) };
        if !legs.iter().all(|leg| self.is_ready_on(leg.leg, &node)) {
            return Err(CommandError::OnTwoNodes);
        }
        for leg in legs {
            self.arrive(&leg, now);
        }
        Ok(())
    }

    /// A leg is where it was to go. When all are, what they came for is done.
    fn on_ready(&mut self, leg: LegId, gathering: GatheringId, now: Timestamp) {
        let Some(open) = self.gatherings.get_mut(&gathering) else { return };
        open.under_way.remove(&leg);
        if !open.under_way.is_empty() {
            return;
        }
        if matches!(open.then, Then::Command) {
            self.effect(Effect::Gathered { gathering, outcome: Ok(()) });
            return;
        }
        let Some(mut open) = self.gatherings.remove(&gathering) else { return };
        match std::mem::replace(&mut open.then, Then::Command) {
            Then::Refer(leg, other) => self.refer_gathered(leg, other, now),
            Then::Enter(leg, room, routing) => self.enter_gathered(leg, &room, &routing, now),
            Then::Command => {}
        }
        self.lead_back(gathering, &open);
    }

    /// Something came in between: everybody goes back, and whoever wanted them together is told.
    pub(crate) fn give_up_gathering(&mut self, gathering: GatheringId, why: CommandError) {
        let Some(open) = self.gatherings.remove(&gathering) else { return };
        self.lead_back(gathering, &open);
        match open.then {
            Then::Command => self.effect(Effect::Gathered { gathering, outcome: Err(why) }),
            Then::Refer(leg, _) => self.refer_not_gathered(leg, why),
            Then::Enter(leg, ..) => self.enter_not_gathered(leg, why),
        }
    }

    fn lead_back(&mut self, gathering: GatheringId, open: &Gathering) {
        for leg in &open.legs {
            self.end_move(*leg, gathering);
        }
    }

    /// When the next gathering has taken too long.
    pub(crate) fn gathering_timeout(&self) -> Option<Timestamp> {
        self.gatherings.values().map(|open| open.until).min()
    }

    pub(crate) fn give_up_long_gatherings(&mut self, now: Timestamp) {
        self.give_up_gatherings(|open| open.until <= now);
    }

    /// A node is gone to which some were on their way.
    pub(crate) fn give_up_gatherings_to(&mut self, node: &NodeId) {
        self.give_up_gatherings(|open| open.to == *node);
    }

    fn give_up_gatherings(&mut self, which: impl Fn(&Gathering) -> bool) {
        let due: Vec<GatheringId> =
            self.gatherings.iter().filter(|(_, open)| which(open)).map(|(id, _)| *id).collect();
        for gathering in due {
            self.give_up_gathering(gathering, CommandError::MoveRefused);
        }
    }
}
