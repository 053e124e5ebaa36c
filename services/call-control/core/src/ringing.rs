//! Calling the devices of a user: every one is a leg; the first answer wins.

use sidetone_model::call::LegCause;
use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::media::MediaDescription;
use sidetone_model::party::{Binding, Destination, Party};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// Opens a leg to each device where the user is registered, on the media node of the caller.
    pub(crate) fn call_devices(&mut self, caller: &LegView, routing: &Routing, now: Timestamp) {
        let mut same_node = routing.clone();
        if let Some((node, _)) = &caller.node {
            same_node.nodes.retain(|candidate| candidate.node == *node);
        }
        for binding in &routing.bindings {
            self.call_device(caller, binding, &same_node, None, now);
        }
    }

    /// Opens one leg. With `then`, it goes there when it answers; otherwise it meets the caller.
    pub(crate) fn call_device(
        &mut self,
        of: &LegView,
        binding: &Binding,
        nodes: &Routing,
        then: Option<Routing>,
        now: Timestamp,
    ) {
        let leg = self.ids.make(now);
        let number = self.fold.call(of.call).map(|call| call.dialled.clone()).unwrap_or_default();
        let party = Party {
            user: Some(binding.user.clone()),
            device: Some(binding.device.clone()),
            number,
            display_name: "".into(),
        };
        self.open_leg(of, leg, party, binding, now);
        let passing = &mut self.control(leg).passing;
        passing.call_device = Some(binding.clone());
        passing.signalling_ip = Some(binding.flow.remote.ip());
        passing.then = then;
        if let Some(view) = self.live(leg) {
            self.ask_for_port(&view, nodes);
        }
    }

    fn open_leg(
        &mut self,
        of: &LegView,
        leg: sidetone_model::ids::LegId,
        party: Party,
        binding: &Binding,
        now: Timestamp,
    ) {
        self.fact(
            &of.tenant,
            now,
            FactKind::LegCreated {
                leg,
                call: of.call,
                party,
                incoming: false,
                replica: binding.replica.clone(),
                boot: None,
                sip_call_id: "".into(),
                cause: LegCause::Normal,
                by: None,
            },
        );
    }

    /// The caller hears that it rings, once.
    pub(crate) fn ring_caller_of(&mut self, callee: &LegView, now: Timestamp) {
        let caller = self.fold.live_legs(callee.call).find(|leg| leg.incoming).cloned();
        let Some(caller) = caller else { return };
        let waits = matches!(caller.phase, LegPhase::SettingUp | LegPhase::Waiting);
        if waits && !self.is_ending(caller.leg) {
            self.fact(&caller.tenant, now, FactKind::LegRinging { leg: caller.leg });
        }
        if caller.phase != LegPhase::Answered
            && !std::mem::replace(&mut self.control(caller.leg).passing.rung, true)
        {
            self.command(&caller, LegCommandKind::Ring { media: None });
        }
    }

    /// A phone we called has answered: the others of its user stop ringing.
    pub(crate) fn on_answered(&mut self, leg: &LegView, media: Option<MediaDescription>, now: Timestamp) {
        if self.is_ending(leg.leg) {
            return;
        }
        let Some(remote) = media else {
            self.end(leg, Termination::new(Cause::ProtocolError).with_text("an answer without media"));
            return;
        };
        self.fact(&leg.tenant, now, FactKind::LegAnswered { leg: leg.leg });
        self.control(leg.leg).passing.resumed = false;
        let others: Vec<LegView> = self
            .fold
            .live_legs(leg.call)
            .filter(|other| other.leg != leg.leg && !other.incoming && other.phase != LegPhase::Answered)
            .cloned()
            .collect();
        for other in others {
            let elsewhere = Termination::new(Cause::AnsweredElsewhere);
            if self.is_unopened(&other) {
                self.drop_unopened(&other, elsewhere, now);
            } else {
                self.end(&other, elsewhere);
            }
        }
        self.ask(leg, MediaRequest::UpdateLeg { leg: leg.leg, remote, is_answer: true });
    }

    /// What the caller is told when no device answered: the most telling of their ends.
    pub(crate) fn best_failure(&self, call: sidetone_model::ids::CallId) -> Termination {
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
        let end = telling.or(ends.last()).map_or(Cause::Unavailable, |end| end.cause);
        Termination::new(end).with_text("no device of the user answered")
    }

    /// Whether a call's destination is one that rings.
    pub(crate) fn is_ringing_call(&self, leg: &LegView) -> bool {
        let call = self.fold.call(leg.call);
        matches!(call.and_then(|call| call.destination.as_ref()), Some(Destination::User(_)))
            || call.is_some_and(|call| call.by_application)
    }
}
