//! Signals of phones, by way of signalling.
//!
//! A signal whose consequences need media's answer (an offer, an answer, a confirmation with a description) is taken into
//! account only when that has come: until then it is not in the log and not acknowledged, so that a new owner is told it
//! again. What comes behind it on its leg waits; the end of the leg does not.

use sidetone_model::call::{HeldBy, LegCause};
use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::{FactKind, SignalCursor};
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{CallId, LegId, ReplicaId};
use sidetone_model::media::MediaDescription;
use sidetone_model::signal::{LegSignal, LegSignalKind, Offered};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::digits::Way;
use crate::effect::{Answers, Effect, MediaRequest, Step};
use crate::input::Routing;
use crate::shard::Shard;

/// Signals that may wait behind one whose consequences wait for media. Past that the leg is ended.
const BEHIND_MAX: usize = 64;

impl Shard {
    /// Takes a signal of `replica`. `routing` is that of the dialled number, for [`LegSignalKind::Offered`].
    ///
    /// A signal that has been taken into account before changes nothing but is acknowledged again.
    pub fn handle_signal(
        &mut self,
        replica: &ReplicaId,
        signal: LegSignal,
        routing: Option<Routing>,
        now: Timestamp,
    ) -> Step {
        let control = self.legs.get(&signal.leg);
        let consumed = control.map_or(0, |control| control.durable.consumed);
        let kept = control.map_or(0, |control| control.passing.last_kept());
        // Ended is the last signal of a leg: whatever comes of it after that has come before.
        if signal.n <= consumed {
            self.acknowledge(replica, signal.leg, signal.n);
            return self.finish();
        }
        if signal.n <= kept {
            return self.finish();
        }
        let offered = matches!(signal.kind, LegSignalKind::Offered(_));
        if self.is_over(signal.leg) || (self.fold.leg(signal.leg).is_none() && !offered) {
            self.on_unknown(replica, &signal, now);
            return self.finish();
        }
        self.unknown.remove(&(replica.clone(), signal.leg));
        self.missing.remove(&signal.leg);
        if let Some(control) = self.legs.get_mut(&signal.leg) {
            control.passing.last_held = None;
        }
        if !offered {
            self.note_trunk(signal.leg, signal.trunk.as_deref(), now);
        }
        if let LegSignalKind::Offered(offered) = signal.kind.clone() {
            self.on_offered(replica, &signal, *offered, routing.unwrap_or_default(), now);
            self.note_trunk(signal.leg, signal.trunk.as_deref(), now);
        } else {
            if let Some(routing) = routing {
                self.control(signal.leg).passing.named.insert(signal.n, routing);
            }
            self.take_signal(signal, now);
        }
        self.finish()
    }

    /// Over which trunk a leg comes or goes is told once, and again when it takes another.
    fn note_trunk(&mut self, leg: LegId, trunk: Option<&str>, now: Timestamp) {
        if let Some(trunk) = trunk
            && let Some(view) = self.live(leg).filter(|view| view.trunk.as_deref() != Some(trunk))
        {
            self.fact(&view.tenant, now, FactKind::LegRouted { leg, trunk: trunk.into() });
        }
    }

    /// Where the number leads that a signal names.
    fn routing_of(&mut self, leg: LegId, n: u64) -> Routing {
        self.control(leg).passing.named.remove(&n).unwrap_or_default()
    }

    /// There is nothing to decide. Unless its end follows, the replica still holds what is over here.
    fn on_unknown(&mut self, replica: &ReplicaId, signal: &LegSignal, now: Timestamp) {
        let key = (replica.clone(), signal.leg);
        if matches!(signal.kind, LegSignalKind::Ended(_)) {
            self.unknown.remove(&key);
        } else {
            self.unknown.entry(key).or_insert(now);
        }
        self.acknowledge(replica, signal.leg, signal.n);
    }

    fn acknowledge(&mut self, replica: &ReplicaId, leg: LegId, n: u64) {
        self.effect(Effect::Acknowledge { replica: replica.clone(), leg, n });
    }

    /// A signal is taken into account with this step.
    pub(crate) fn consume(&mut self, signal: &LegSignal) {
        let replica = self.fold.leg(signal.leg).map(|leg| leg.replica.clone());
        self.consumed(SignalCursor { boot: signal.boot, leg: signal.leg, n: signal.n });
        if let Some(replica) = replica {
            self.acknowledge(&replica, signal.leg, signal.n);
        }
    }

    /// The signal that has waited for media, if it is one of those wanted, is taken into account.
    pub(crate) fn consume_pending(&mut self, leg: LegId) -> Option<LegSignal> {
        let signal = self.legs.get_mut(&leg)?.passing.pending.take()?;
        self.consume(&signal);
        Some(signal)
    }

    /// What has waited behind a signal whose consequences are known now.
    pub(crate) fn take_behind(&mut self, leg: LegId, now: Timestamp) {
        while let Some(control) = self.legs.get_mut(&leg)
            && control.passing.pending.is_none()
            && let Some(signal) = control.passing.behind.pop_front()
        {
            self.take_signal(signal, now);
        }
    }

    fn take_signal(&mut self, signal: LegSignal, now: Timestamp) {
        let Some(leg) = self.live(signal.leg) else { return };
        if let LegSignalKind::Ended(termination) = signal.kind.clone() {
            let passing = &mut self.control(leg.leg).passing;
            passing.pending = None;
            passing.behind.clear();
            self.consume(&signal);
            self.over(&leg, termination, now);
            return;
        }
        let passing = &mut self.control(leg.leg).passing;
        if passing.pending.is_some() {
            if passing.behind.len() < BEHIND_MAX {
                passing.behind.push_back(signal);
            } else {
                let text = "more signals than can wait for the media node";
                self.end(&leg, Termination::new(Cause::NoCapacity).with_text(text));
            }
            return;
        }
        self.on_signal(&leg, signal, now);
    }

    fn on_signal(&mut self, leg: &LegView, signal: LegSignal, now: Timestamp) {
        self.on_offer_closed(&signal);
        match &signal.kind {
            LegSignalKind::Progress { media: Some(remote) } if self.early_listener(leg).is_some() => {
                let request =
                    MediaRequest::UpdateLeg { leg: leg.leg, remote: remote.clone(), answers: Answers::Offer };
                return self.wait_for_media(leg, signal, request);
            }
            LegSignalKind::Answered { media: Some(remote) } if !self.is_ending(leg.leg) => {
                let request =
                    MediaRequest::UpdateLeg { leg: leg.leg, remote: remote.clone(), answers: Answers::Offer };
                return self.wait_for_media(leg, signal, request);
            }
            LegSignalKind::Confirmed { media: Some(remote) } => {
                let request =
                    MediaRequest::UpdateLeg { leg: leg.leg, remote: remote.clone(), answers: Answers::Offer };
                return self.wait_for_media(leg, signal, request);
            }
            LegSignalKind::Reanswered { media: remote } => {
                // A leg that is moved answers the first offer of its new port.
                let elsewhere = self.answering_elsewhere(leg.leg);
                let answers = if elsewhere.is_some() { Answers::Offer } else { Answers::Standing };
                let request = MediaRequest::UpdateLeg { leg: leg.leg, remote: remote.clone(), answers };
                let Some(node) = elsewhere else { return self.wait_for_media(leg, signal, request) };
                self.control(leg.leg).passing.pending = Some(signal);
                return self.ask_node(node, request);
            }
            LegSignalKind::Reoffered { media: Some(remote) } => {
                self.stop_moving(leg.leg);
                self.control(leg.leg).passing.matching.describes_itself(Some(remote));
                let remote = self.like_peer(leg, remote);
                let request = MediaRequest::UpdateLeg { leg: leg.leg, remote, answers: Answers::Nothing };
                return self.wait_for_media(leg, signal, request);
            }
            LegSignalKind::Reoffered { media: None } => {
                self.stop_moving(leg.leg);
                let request = MediaRequest::OfferLeg { leg: leg.leg, prefer: None };
                return self.wait_for_media(leg, signal, request);
            }
            _ => {}
        }
        self.consume(&signal);
        match signal.kind {
            LegSignalKind::Progress { .. } => self.on_progress(leg, now),
            LegSignalKind::Referred(referred) => {
                let routing = self.routing_of(signal.leg, signal.n);
                self.on_referred(leg, &referred, routing, now);
            }
            LegSignalKind::Redirected { targets } => {
                let routing = self.routing_of(signal.leg, signal.n);
                self.on_redirected(leg, &targets, routing, now);
            }
            LegSignalKind::ReofferRefused(_) => self.on_move_refused(leg.leg),
            LegSignalKind::TalkRefused(why)
                if leg.phase == LegPhase::Ringing || leg.held == Some(HeldBy::Phone) =>
            {
                self.fact(&leg.tenant, now, FactKind::LegTalkRefused { leg: leg.leg, why });
            }
            LegSignalKind::Answered { media: None } => {
                self.end(leg, Termination::new(Cause::ProtocolError).with_text("an answer without media"));
            }
            LegSignalKind::Digit { digit, duration_ms } => {
                self.on_digit(leg, (digit, duration_ms), Way::Info, now);
            }
            _ => {}
        }
    }

    fn wait_for_media(&mut self, leg: &LegView, signal: LegSignal, request: MediaRequest) {
        if leg.node.is_none() {
            // Only a phone that answers what it was never offered.
            self.consume(&signal);
            self.end(leg, Termination::new(Cause::ProtocolError).with_text("an answer to nothing"));
            return;
        }
        self.control(leg.leg).passing.pending = Some(signal);
        self.ask(leg, request);
    }

    /// A new call, or one whose port was being taken when call control was restarted.
    fn on_offered(
        &mut self,
        replica: &ReplicaId,
        signal: &LegSignal,
        offered: Offered,
        routing: Routing,
        now: Timestamp,
    ) {
        let known = self.fold.leg(signal.leg).is_some();
        if !known && self.is_repeated(replica, signal, &offered, now) {
            return;
        }
        let place = self.place_of(signal, &offered, &routing);
        let replaced = place.and_then(|old| self.replaceable(&signal.tenant, old));
        match (&replaced, known) {
            (Some(old), false) => self.join_in_place(replica, signal, &offered, old, now),
            (None, false) => self.begin_call(replica, signal, &offered, &routing, now),
            (_, true) => {}
        }
        let passing = &mut self.control(signal.leg).passing;
        passing.matching.describes_itself(offered.media.as_ref());
        passing.offer = offered.media;
        passing.signalling_ip = Some(offered.source.ip());
        passing.pending = Some(signal.clone());
        if self.fold.leg(signal.leg).is_some_and(|leg| leg.node.is_some()) || self.is_ending(signal.leg) {
            self.consume_pending(signal.leg);
            return;
        }
        match (replaced, place) {
            (Some(old), _) => self.admit_in_place(signal.leg, &old, now),
            (None, Some(_)) => self.too_late_to_replace(signal.leg),
            (None, None) => self.admit(signal.leg, routing, now),
        }
        if self.is_ending(signal.leg) {
            self.consume_pending(signal.leg);
        }
    }

    fn begin_call(
        &mut self,
        replica: &ReplicaId,
        signal: &LegSignal,
        offered: &Offered,
        routing: &Routing,
        now: Timestamp,
    ) {
        // Signalling has it before anybody is asked: what was said on the wire until now bears it (decision 49).
        let named = CallId::from(signal.leg.as_uuid());
        let call = if self.fold.call(named).is_none() { named } else { self.ids.make(now) };
        let created = FactKind::CallCreated {
            call,
            from: offered.from.clone(),
            dialled: offered.dialled.clone(),
            destination: routing.told(),
            by_application: false,
            anonymous: offered.anonymous,
            open: false,
            headers: offered.headers.clone(),
            max_forwards: offered.max_forwards,
        };
        self.fact(&signal.tenant, now, created);
        let leg = FactKind::LegCreated {
            leg: signal.leg,
            call,
            party: offered.from.clone(),
            incoming: true,
            replica: replica.clone(),
            boot: Some(signal.boot),
            sip_call_id: offered.sip_call_id.clone(),
            cause: LegCause::Normal,
            by: None,
            assistant: false,
            trunk: signal.trunk.clone().unwrap_or_default(),
        };
        self.fact(&signal.tenant, now, leg);
    }

    /// The called phone is being alerted.
    pub(crate) fn on_progress(&mut self, leg: &LegView, now: Timestamp) {
        self.ring_caller_of(leg, now);
        self.tell_referrers_of_ringing(leg);
        if matches!(leg.phase, LegPhase::SettingUp | LegPhase::Waking) {
            self.fact(&leg.tenant, now, FactKind::LegRinging { leg: leg.leg });
        }
    }

    /// The phone has changed its media: hold, retrieve, another address. Media has answered, or could not.
    pub(crate) fn on_reoffered(
        &mut self,
        leg: &LegView,
        remote: &MediaDescription,
        local: Option<MediaDescription>,
        now: Timestamp,
    ) {
        let taken = local.is_some();
        self.command(leg, LegCommandKind::AnswerReoffer { media: local });
        if taken {
            self.on_described(leg, remote, now);
        }
    }

    /// What a phone describes of itself in a session that stands: by an offer, or by its answer to the offer that it asked for.
    pub(crate) fn on_described(&mut self, leg: &LegView, remote: &MediaDescription, now: Timestamp) {
        if remote.direction != leg.direction {
            let direction = remote.direction;
            self.fact(&leg.tenant, now, FactKind::LegDirectionChanged { leg: leg.leg, direction });
        }
        let holds = !remote.direction.receives() || remote.rtp.ip().is_unspecified();
        match (holds, leg.held) {
            (true, None) if leg.is_answered() => {
                self.fact(&leg.tenant, now, FactKind::LegHeld { leg: leg.leg, by: HeldBy::Phone });
            }
            (false, Some(HeldBy::Phone)) => {
                self.fact(&leg.tenant, now, FactKind::LegRetrieved { leg: leg.leg });
            }
            _ => return,
        }
        self.arrange_media(leg.call);
    }
}
