//! One leg on its way to another media node: a port there, the phone's word, and the old port closed, or the way back.

use sidetone_model::command::{LegCommand, LegCommandKind};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{BootId, LegId, NodeId};
use sidetone_model::media::MediaDescription;
use sidetone_model::party::Destination;
use sidetone_model::signal::{LegSignal, LegSignalKind};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use super::GatheringId;
use crate::effect::{Answers, Connection, MediaRequest};
use crate::error::CommandError;
use crate::input::{MediaFailure, MediaReply};
use crate::shard::Shard;
use crate::topology::Meanwhile;

/// How far a leg is on its way.
#[derive(Debug)]
pub(crate) struct Moving {
    gathering: GatheringId,
    to: NodeId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The node is being asked for a port.
    Port,
    /// The phone has been told of the port; its answer, or media's to that, is awaited.
    Told { boot: BootId },
    /// The phone is there, or need not be told.
    Ready { boot: BootId, local: MediaDescription, told: bool },
}

impl Shard {
    /// Whether a leg can get another port now: it is answered and at nothing that stays behind, or it waits and knows no port yet.
    pub(super) fn can_move(&self, leg: &LegView) -> bool {
        let Some(control) = self.legs.get(&leg.leg) else { return false };
        let passing = &control.passing;
        let idle = passing.moving.is_none() && passing.pending.is_none() && passing.behind.is_empty();
        let own_mix = self.fold.call(leg.call).and_then(|call| call.conference);
        let free = (leg.conference.is_none() || leg.conference == own_mix)
            && matches!(leg.served_by, None | Some(Destination::Echo));
        // Which of two offers a phone answers could not be told.
        let offer = |command: &LegCommand| matches!(command.kind, LegCommandKind::Reoffer { .. });
        let recently = self.seen_at.since(passing.offered_at) < OFFER_ANSWERED_WITHIN;
        let asked = passing.unacknowledged.iter().any(offer) || (passing.offers_open > 0 && recently);
        let reachable = if leg.is_answered() {
            !asked && passing.local.is_some()
        } else {
            leg.incoming && passing.matching.offer().is_some()
        };
        leg.node.is_some() && idle && free && reachable && !self.is_ending(leg.leg)
    }

    pub(super) fn begin_move(&mut self, leg: &LegView, gathering: GatheringId, to: NodeId) {
        let passing = &mut self.control(leg.leg).passing;
        passing.moving = Some(Moving { gathering, to: to.clone(), stage: Stage::Port });
        // What the phone spoke until now tells what may be offered to it.
        let local = passing.local.as_ref();
        let (private_path, browser) = (
            local.is_some_and(|local| !local.crypto.is_empty()),
            local.is_some_and(|local| local.dtls.is_some()),
        );
        let remote = if leg.is_answered() { None } else { passing.matching.offer().cloned() };
        let signalling_ip = passing.signalling_ip;
        let request = MediaRequest::CreateLeg {
            leg: leg.leg,
            call: leg.call,
            tenant: leg.tenant.clone(),
            remote,
            signalling_ip,
            private_path,
            browser,
        };
        self.ask_node(to, request);
    }

    pub(super) fn is_ready_on(&self, leg: LegId, node: &NodeId) -> bool {
        let moving = self.legs.get(&leg).and_then(|control| control.passing.moving.as_ref());
        moving.is_some_and(|moving| moving.to == *node && matches!(moving.stage, Stage::Ready { .. }))
    }

    pub(crate) fn is_moving(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|control| control.passing.moving.is_some())
    }

    /// A node that does not hold a leg answers about it: the one to which it goes, or one where it was.
    pub(crate) fn on_other_node(
        &mut self,
        leg: &LegView,
        node: &NodeId,
        request: &MediaRequest,
        answer: Result<MediaReply, MediaFailure>,
        now: Timestamp,
    ) {
        let moving = self.legs.get(&leg.leg).and_then(|control| control.passing.moving.as_ref());
        let here = moving.filter(|moving| moving.to == *node).map(|moving| moving.gathering);
        match (request, answer, here) {
            (MediaRequest::CreateLeg { .. }, Ok(MediaReply::Created { local, boot }), Some(gathering)) => {
                self.on_new_port(leg, gathering, (boot, local), now);
            }
            (MediaRequest::CreateLeg { .. }, Err(_), Some(gathering)) => {
                self.give_up_gathering(gathering, CommandError::NoMediaNode);
            }
            (MediaRequest::CreateLeg { .. }, Ok(_), None) => {
                self.ask_node(node.clone(), MediaRequest::ReleaseLeg { leg: leg.leg });
            }
            (MediaRequest::UpdateLeg { remote, answers: Answers::Offer, .. }, answer, Some(gathering)) => {
                self.on_new_port_agreed(leg, gathering, remote, answer, now);
            }
            (MediaRequest::UpdateLeg { answers: Answers::Offer, .. }, _, None) => {
                // It was led back in between.
                self.consume_pending(leg.leg);
                self.take_behind(leg.leg, now);
            }
            _ => {}
        }
    }

    fn on_new_port(
        &mut self,
        leg: &LegView,
        gathering: GatheringId,
        (boot, local): (BootId, MediaDescription),
        now: Timestamp,
    ) {
        let direction = self.offered_direction(leg);
        let passing = &mut self.control(leg.leg).passing;
        let Some(moving) = passing.moving.as_mut().filter(|moving| matches!(moving.stage, Stage::Port))
        else {
            return;
        };
        if leg.is_answered() {
            moving.stage = Stage::Told { boot };
            passing.offered = Some(direction);
            self.command(leg, LegCommandKind::Reoffer { media: MediaDescription { direction, ..local } });
        } else {
            moving.stage = Stage::Ready { boot, local, told: false };
            self.on_ready(leg.leg, gathering, now);
        }
    }

    /// The node at which a phone's answer to the offer that moves it is to be known.
    pub(crate) fn answering_elsewhere(&self, leg: LegId) -> Option<NodeId> {
        let moving = self.legs.get(&leg)?.passing.moving.as_ref()?;
        matches!(moving.stage, Stage::Told { .. }).then(|| moving.to.clone())
    }

    fn on_new_port_agreed(
        &mut self,
        leg: &LegView,
        gathering: GatheringId,
        remote: &MediaDescription,
        answer: Result<MediaReply, MediaFailure>,
        now: Timestamp,
    ) {
        self.consume_pending(leg.leg);
        let passing = &mut self.control(leg.leg).passing;
        match (answer, passing.moving.take()) {
            (
                Ok(MediaReply::Updated { local }),
                Some(Moving { gathering, to, stage: Stage::Told { boot, .. } }),
            ) => {
                passing.matching.settled(remote, Answers::Offer, &local);
                passing.moving =
                    Some(Moving { gathering, to, stage: Stage::Ready { boot, local, told: true } });
                self.on_ready(leg.leg, gathering, now);
            }
            (_, moving) => {
                passing.moving = moving;
                self.give_up_gathering(gathering, CommandError::MoveRefused);
            }
        }
        self.take_behind(leg.leg, now);
    }

    /// The phone keeps the session as it was (RFC 3261, section 14.1).
    pub(crate) fn on_move_refused(&mut self, leg: LegId) {
        if self.answering_elsewhere(leg).is_none() {
            return self.on_home_refused(leg);
        }
        let Some(moving) = self.control(leg).passing.moving.take() else { return };
        self.ask_node(moving.to, MediaRequest::ReleaseLeg { leg });
        self.give_up_gathering(moving.gathering, CommandError::MoveRefused);
    }

    /// A phone that has taken the new port does not want the old one back: that is asked a few times, since nobody hears it.
    fn on_home_refused(&mut self, leg: LegId) {
        let tries = self.legs.get(&leg).map_or(0, |control| control.passing.led_home);
        let Some(view) = self.live(leg).filter(|view| tries > 0 && !self.is_ending(view.leg)) else { return };
        if tries < LED_HOME_MAX {
            self.offer_home(&view);
        } else {
            let text = "the phone did not come back to its media address";
            self.end(&view, Termination::new(Cause::ProtocolError).with_text(text));
        }
    }

    /// Something happens to a leg that does not go together with being moved.
    pub(crate) fn stop_moving(&mut self, leg: LegId) {
        let moving = self.legs.get(&leg).and_then(|control| control.passing.moving.as_ref());
        if let Some(gathering) = moving.map(|moving| moving.gathering) {
            self.give_up_gathering(gathering, CommandError::CapabilityMissing);
        }
    }

    /// The leg is on `node` from now on, if it was brought there.
    pub(crate) fn arrive_on(&mut self, leg: &LegView, node: &NodeId, now: Timestamp) {
        if self.is_ready_on(leg.leg, node) {
            self.arrive(leg, now);
        }
    }

    /// The leg is on its new node from now on: the old port closes, and it hears nothing until that is asked for.
    pub(super) fn arrive(&mut self, leg: &LegView, now: Timestamp) {
        let passing = &mut self.control(leg.leg).passing;
        let Some(Moving { to, stage: Stage::Ready { boot, local, .. }, .. }) = passing.moving.take() else {
            return;
        };
        passing.local = Some(local);
        passing.hears_unknown = false;
        passing.resumed = false;
        passing.music = Meanwhile::Nothing;
        passing.captured = false;
        passing.matching.talks_anew();
        let asked = std::mem::take(&mut passing.asked);
        if let Connection::Peer(peer) = asked
            && self.live(peer).is_some()
        {
            self.control(peer).passing.asked = Connection::Nothing;
        }
        self.end_playbacks_to(leg, now);
        self.ask(leg, MediaRequest::ReleaseLeg { leg: leg.leg });
        let allocated = FactKind::LegMediaAllocated { leg: leg.leg, node: to.clone(), boot };
        self.fact(&leg.tenant, now, allocated);
        if let Some((muted, deafened, voice)) = leg.audio() {
            self.ask_node(to, MediaRequest::SetAudio { leg: leg.leg, muted, deafened, voice });
        }
    }

    /// A leg that did not arrive: its phone is told of the old port again if it may know the new one, which closes.
    pub(super) fn end_move(&mut self, leg: LegId, gathering: GatheringId) {
        let passing = &mut self.control(leg).passing;
        let Some(moving) = passing.moving.take_if(|moving| moving.gathering == gathering) else { return };
        let told = match moving.stage {
            // Its port is given back when it comes.
            Stage::Port => return,
            Stage::Told { .. } => true,
            Stage::Ready { told, .. } => told,
        };
        self.ask_node(moving.to, MediaRequest::ReleaseLeg { leg });
        if let Some(view) = self.live(leg).filter(|view| told && !self.is_ending(view.leg)) {
            self.offer_home(&view);
        }
    }

    fn offer_home(&mut self, leg: &LegView) {
        let direction = self.offered_direction(leg);
        let passing = &mut self.control(leg.leg).passing;
        if let Some(local) = passing.local.clone() {
            passing.led_home += 1;
            self.command(leg, LegCommandKind::Reoffer { media: MediaDescription { direction, ..local } });
        }
    }

    /// After a restart: what the phone was told last is a port that its node does not describe. It was being moved.
    pub(crate) fn resume_home(&mut self, leg: &LegView) {
        let Some(control) = self.legs.get(&leg.leg) else { return };
        let (told, local) = (control.durable.told(), control.passing.local.as_ref());
        if told.zip(local).is_some_and(|(told, local)| told.rtp != local.rtp) {
            self.offer_home(leg);
        }
    }

    /// A leg that ends leaves nothing on the node to which it was going.
    pub(crate) fn forget_move(&mut self, leg: LegId) {
        let Some(moving) = self.legs.get_mut(&leg).and_then(|control| control.passing.moving.take()) else {
            return;
        };
        if !matches!(moving.stage, Stage::Port) {
            self.ask_node(moving.to, MediaRequest::ReleaseLeg { leg });
        }
        self.give_up_gathering(moving.gathering, CommandError::CapabilityMissing);
    }

    /// After a restart: what was offered within the session last may still be without an answer.
    pub(crate) fn recall_offer(&mut self, leg: LegId, now: Timestamp) {
        let control = self.control(leg);
        let described = control.durable.described.as_ref().map(|command| &command.kind);
        if matches!(described, Some(LegCommandKind::Reoffer { .. })) {
            (control.passing.offers_open, control.passing.offered_at) = (1, now);
        }
    }

    /// The phone has answered, one way or the other, an offer of ours within the session.
    pub(crate) fn on_offer_closed(&mut self, signal: &LegSignal) {
        let closes =
            matches!(signal.kind, LegSignalKind::Reanswered { .. } | LegSignalKind::ReofferRefused(_));
        if let Some(control) = self.legs.get_mut(&signal.leg).filter(|_| closes) {
            let passing = &mut control.passing;
            passing.offers_open = passing.offers_open.saturating_sub(1);
            if matches!(signal.kind, LegSignalKind::Reanswered { .. }) && passing.offers_open == 0 {
                passing.led_home = 0;
            }
        }
    }
}

/// How often a phone is asked to come back.
const LED_HOME_MAX: u8 = 4;
/// An offer that has not been answered by then will not be (RFC 3261, timer B). Signalling makes one out of several that wait.
const OFFER_ANSWERED_WITHIN: std::time::Duration = std::time::Duration::from_secs(32);
