//! Calling the devices of a user: every one is a leg; the first answer wins.

use sidetone_model::call::{DivertCause, HeldBy, LegCause};
use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{CallId, LegId, NodeId, TenantId};
use sidetone_model::party::{Binding, Party, Proof};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::input::{NodeCandidate, Routing};
use crate::shard::Shard;

/// Somebody is to be called into a call.
pub(crate) struct Ring {
    pub(crate) call: CallId,
    pub(crate) tenant: TenantId,
    /// The number under which it is called.
    pub(crate) number: Box<str>,
    pub(crate) cause: LegCause,
    /// The leg that caused it.
    pub(crate) by: Option<LegId>,
    /// The phone is asked to take the call by itself.
    pub(crate) auto_answer: bool,
    /// Under which name an application knows it; empty for the user or the number.
    pub(crate) contact: Box<str>,
    /// Where the leg goes when it is answered; none into its call.
    pub(crate) then: Option<Routing>,
}

impl Shard {
    /// Opens a leg to each binding, on the node where the call has its media.
    pub(crate) fn ring(&mut self, ring: &Ring, routing: &Routing, now: Timestamp) -> Vec<LegId> {
        let mut nodes = Routing { later: Vec::new(), ..routing.clone() };
        if let Some(node) = self.present_node(ring.call) {
            // Also one that takes no new calls: this one it has.
            nodes.nodes = vec![node];
        } else if let Some(node) = self.node_of(ring.call) {
            nodes.nodes.retain(|candidate| candidate.node == node);
        } else if self.fold.call(ring.call).is_some_and(|call| call.open) {
            // Whoever comes will talk with the others: all go where the first goes.
            nodes.nodes.truncate(1);
        }
        let rung: Vec<LegId> =
            routing.bindings.iter().map(|binding| self.ring_device(ring, binding, &nodes, now)).collect();
        if let Some(asleep) = rung.iter().find_map(|leg| self.live(*leg).filter(LegView::is_asleep)) {
            self.ring_caller_of(&asleep, now);
        }
        self.begin_hunt(&rung, &routing.later, now);
        self.await_at(ring, &rung, &routing.forwards, now);
        let answered = self.fold.live_legs(ring.call).filter(|leg| leg.is_answered() && leg.node.is_some());
        for waiting in answered.cloned().collect::<Vec<_>>() {
            self.make_music(&waiting);
        }
        rung
    }

    /// Phones that are called without telling them who calls. Without a node for it, a leg may be over already.
    pub(crate) fn ring_discreetly(&mut self, rung: &[LegId], anonymous: bool) {
        for leg in rung {
            if self.live(*leg).is_some() {
                self.control(*leg).passing.anonymous = anonymous;
            }
        }
    }

    fn ring_device(&mut self, ring: &Ring, binding: &Binding, nodes: &Routing, now: Timestamp) -> LegId {
        let leg = self.ids.make(now);
        let (number, contact) = (ring.number.clone(), ring.contact.clone());
        let party = if binding.outside_number().is_some() {
            // Nobody of ours, and no device: all that is known is the number.
            Party { number, contact, ..Party::default() }
        } else {
            let (user, device) = (Some(binding.user.clone()), Some(binding.device.clone()));
            // Its device has registered; whose number was dialled is not looked at here.
            Party { user, device, number, contact, proof: Proof::User, ..Party::default() }
        };
        // Who is asleep is nowhere yet; the replica of whoever calls stands for the one that is not known.
        let caller = self.fold.live_legs(ring.call).next().map(|leg| leg.replica.clone());
        let replica = caller.filter(|_| binding.is_asleep()).unwrap_or_else(|| binding.replica.clone());
        let created = FactKind::LegCreated {
            leg,
            call: ring.call,
            party,
            incoming: false,
            replica,
            boot: None,
            sip_call_id: leg.sip_call_id().into(),
            cause: ring.cause,
            by: ring.by,
            assistant: nodes.assistant,
            trunk: "".into(),
        };
        self.fact(&ring.tenant, now, created);
        let passing = &mut self.control(leg).passing;
        passing.auto_answer = ring.auto_answer;
        passing.then = ring.then.clone();
        if binding.is_asleep() {
            self.let_wake(leg, binding, nodes, now);
            return leg;
        }
        passing.call_device = Some(binding.clone());
        passing.signalling_ip = Some(binding.flow.remote.ip());
        self.watch_flow(leg, binding, nodes, now);
        if let Some(view) = self.live(leg) {
            self.ask_for_port(&view, nodes, now);
        }
        leg
    }

    /// The media node of a call, once one of its legs is there.
    pub(crate) fn present_node(&self, call: CallId) -> Option<NodeCandidate> {
        let (node, boot) = self.fold.live_legs(call).find_map(|leg| leg.node.clone())?;
        Some(NodeCandidate { node, boot })
    }

    /// The media node of a call: all its legs are on it.
    pub(crate) fn node_of(&self, call: CallId) -> Option<NodeId> {
        let asked = |leg: &LegView| self.legs.get(&leg.leg)?.passing.asked_node.clone();
        let mut legs = self.fold.live_legs(call);
        legs.find_map(|leg| leg.node.as_ref().map(|(node, _)| node.clone()).or_else(|| asked(leg)))
    }

    /// Who waits, and was not answered, hears that it rings, once.
    pub(crate) fn ring_caller_of(&mut self, callee: &LegView, now: Timestamp) {
        let caller = self.fold.live_legs(callee.call).find(|leg| leg.incoming && !leg.is_answered()).cloned();
        let Some(caller) = caller else { return };
        if self.is_ending(caller.leg) {
            return;
        }
        if matches!(caller.phase, LegPhase::SettingUp | LegPhase::Waiting) {
            self.fact(&caller.tenant, now, FactKind::LegRinging { leg: caller.leg });
        }
        let passing = &mut self.control(caller.leg).passing;
        // What it heard of another phone is over: its own ringing tone again (RFC 3960, section 3.2).
        let heard_another = passing.early.take_if(|early| *early != callee.leg).is_some();
        if !std::mem::replace(&mut passing.rung, true) || heard_another {
            self.command(&caller, LegCommandKind::Ring { media: None });
        }
    }

    /// A phone we called has answered, and its media is ready: it meets whom it is to meet.
    pub(crate) fn on_answered(&mut self, leg: &LegView, now: Timestamp) {
        self.fact(&leg.tenant, now, FactKind::LegAnswered { leg: leg.leg });
        if self.is_too_late(leg) {
            self.end(leg, Termination::new(Cause::AnsweredElsewhere));
            return;
        }
        self.stop_fork(leg, &Termination::new(Cause::AnsweredElsewhere), now);
        self.let_through(leg.call);
        let Some(leg) = self.live(leg.leg) else { return };
        if let Some(routing) = self.control(leg.leg).passing.then.take() {
            self.route(&leg, routing, now);
            return;
        }
        if leg.cause.takes_over() {
            self.take_over(&leg, now);
        }
        self.told_transferors(leg.call, None);
        for caller in self.callers_waiting(leg.call) {
            self.accept(&caller, now);
        }
        let open = self.fold.call(leg.call).is_some_and(|call| call.open);
        let others = self.parties(leg.call).iter().any(|other| other.leg != leg.leg);
        if !others && !open {
            self.end(&leg, Termination::new(Cause::Cancelled));
            return;
        }
        self.arrange(leg.call, now);
    }

    /// Callers that were not answered yet.
    pub(crate) fn callers_waiting(&self, call: CallId) -> Vec<LegView> {
        // Whoever comes in another's place (RFC 3891) was called by nobody here, and is answered when its media is there.
        let calls = |leg: &&LegView| leg.incoming && !leg.is_answered() && leg.cause != LegCause::Replaced;
        let waiting = self.fold.live_legs(call).filter(calls);
        waiting.filter(|leg| !self.is_ending(leg.leg)).cloned().collect()
    }

    /// The other phones that ring for the same reason at the same user stop ringing, and so do those of others who were about
    /// to take the call from one of them.
    pub(crate) fn stop_fork(&mut self, leg: &LegView, why: &Termination, now: Timestamp) {
        let others: Vec<LegView> =
            self.fork_of(leg).into_iter().filter(|other| other.leg != leg.leg).collect();
        let rang: Vec<LegId> = others.iter().map(|other| other.leg).chain([leg.leg]).collect();
        let takes = |other: &&LegView| {
            other.cause == LegCause::PickedUp
                && !other.is_party()
                && other.by.is_some_and(|by| rang.contains(&by))
        };
        let takers: Vec<LegView> = self.fold.live_legs(leg.call).filter(takes).cloned().collect();
        for other in others.iter().chain(&takers) {
            self.end_any(other, why.clone(), now);
        }
    }

    /// Whoever picks up takes what rings. Meanwhile it was answered: the conversation is not taken from anybody. Where it has only
    /// stopped ringing, whoever waits is alone, and is taken.
    fn is_too_late(&self, leg: &LegView) -> bool {
        let of = leg.by.filter(|_| leg.cause == LegCause::PickedUp).and_then(|of| self.fold.leg(of));
        let Some(of) = of else { return false };
        let others = || self.parties(leg.call).into_iter().filter(|other| other.leg != leg.leg);
        let alone = || others().chain(self.callers_waiting(leg.call)).count() == 1;
        of.answered_at.is_some() || !(of.is_live() || alone())
    }

    /// The phones that ring for the same reason at the same user or, outside, at the same number; this one among them unless it
    /// was answered.
    pub(crate) fn fork_of(&self, leg: &LegView) -> Vec<LegView> {
        let same = |other: &&LegView| {
            // Whoever is outside is nobody's device: there every number is somebody else.
            let same_one = leg.party.proof.is_of_tenant() || other.party.number == leg.party.number;
            !other.is_party() && other.party.user == leg.party.user && other.cause == leg.cause && same_one
        };
        self.fold.live_legs(leg.call).filter(same).cloned().collect()
    }

    /// An answered leg takes the place of the one for which it was called.
    pub(crate) fn take_over(&mut self, leg: &LegView, now: Timestamp) {
        let Some(old) = leg.by.and_then(|old| self.live(old)) else { return };
        let why = Termination::new(Cause::Diverted);
        if old.is_party() {
            // What an application did goes with the place. What the old phone did by its offer does not: the new one's own
            // says what it sends and takes (a transferor that held before it sent Replaces, RFC 5589).
            if old.held == Some(HeldBy::Application) {
                let by = HeldBy::Application;
                self.fact(&leg.tenant, now, FactKind::LegHeld { leg: leg.leg, by });
            }
            if let Some((muted, deafened, voice)) = old.audio() {
                let leg_id = leg.leg;
                self.fact(
                    &leg.tenant,
                    now,
                    FactKind::LegAudioChanged { leg: leg_id, muted, deafened, voice },
                );
                self.ask(leg, MediaRequest::SetAudio { leg: leg_id, muted, deafened, voice });
            }
            self.end_any(&old, why, now);
            return;
        }
        let diverted = FactKind::CallDiverted {
            call: old.call,
            leg: old.leg,
            cause: DivertCause::PickedUp,
            to: leg.party.clone(),
        };
        self.fact(&leg.tenant, now, diverted);
        for ringing in self.fork_of(&old) {
            self.end_any(&ringing, why.clone(), now);
        }
    }

    /// What the caller is told when no device answered: the most telling of their ends.
    pub(crate) fn best_failure(&self, call: CallId) -> Termination {
        const TELLING: [Cause; 6] = [
            Cause::Rejected,
            Cause::Busy,
            Cause::NoCommonCodec,
            Cause::NoAnswer,
            Cause::NoCapacity,
            Cause::Unavailable,
        ];
        let legs = self.fold.call(call).map_or(&[][..], |call| &call.legs);
        let ends: Vec<&Termination> = legs
            .iter()
            .filter_map(|leg| self.fold.leg(*leg))
            .filter(|leg| !leg.incoming)
            .filter_map(|leg| leg.ended.as_ref().map(|(_, termination)| termination))
            .collect();
        let telling = TELLING.iter().find_map(|cause| ends.iter().find(|end| end.cause == *cause));
        let end = telling.or(ends.last());
        let cause = end.map_or(Cause::Unavailable, |end| end.cause);
        // The phone named others, and nobody was led there (RFC 3261, section 21.3).
        let elsewhere = end.is_some_and(|end| end.sip_status.is_some_and(|status| status / 100 == 3));
        let cause = if cause == Cause::Diverted { Cause::Unavailable } else { cause };
        let text = match elsewhere {
            true => "the phone sends its calls elsewhere, and from here they cannot go there",
            false => "no device of the user answered",
        };
        let told = Termination::new(cause).with_text(text);
        // That the call goes in circles is told as it was heard.
        match end.map(|end| (end.refusal_status(), cause.sip_status())) {
            Some((heard, usual)) if heard != usual && cause != Cause::Unavailable => {
                told.with_sip_status(heard)
            }
            _ => told,
        }
    }
}
