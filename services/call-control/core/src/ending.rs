//! Ends: of legs, and what they mean for their call.

use sidetone_model::call::LegCause;
use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::CallId;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Connection, MediaRequest, Step};
use crate::forwarding::Awaited;
use crate::input::Later;
use crate::shard::Shard;

impl Shard {
    /// Tells signalling to end a leg, once. The leg is over when signalling says so.
    pub(crate) fn end(&mut self, leg: &LegView, termination: Termination) {
        if self.fold.leg(leg.leg).is_some_and(LegView::is_live) && !self.is_ending(leg.leg) {
            self.command(leg, LegCommandKind::End(termination));
        }
    }

    /// Ends a leg, whether or not signalling has ever heard of it.
    pub(crate) fn end_any(&mut self, leg: &LegView, termination: Termination, now: Timestamp) {
        if self.is_unopened(leg) {
            self.over(leg, termination, now);
        } else {
            self.end(leg, termination);
        }
    }

    /// The process stops, and nobody goes on with its calls: all end.
    pub fn handle_shutdown(&mut self, now: Timestamp) -> Step {
        let live: Vec<LegView> = self.fold.legs().filter(|leg| leg.is_live()).cloned().collect();
        for leg in live {
            let why = Termination::new(Cause::Shutdown).with_text("the installation is being stopped");
            self.end_any(&leg, why, now);
        }
        self.finish()
    }

    /// A leg is over: signalling says so, or it has never heard of it.
    pub(crate) fn over(&mut self, leg: &LegView, termination: Termination, now: Timestamp) {
        let Some(leg) = self.live(leg.leg) else { return };
        self.forget_move(leg.leg);
        self.no_longer_waking(&leg);
        let control = self.legs.get(&leg.leg);
        // When we ended it, our reason is the reason; the status that carried it is the far side's.
        let ours = control.and_then(|control| control.durable.ended_by_us().cloned());
        let asked = control.map_or(Connection::Nothing, |control| control.passing.asked);
        let termination = match ours {
            Some(ours) => Termination { sip_status: termination.sip_status.or(ours.sip_status), ..ours },
            None => termination,
        };
        self.note_last_held(&leg, &termination, now);
        self.change_flow(&leg, &termination, now);
        let mut next = (self.hunt_of(leg.leg), self.awaited_of(leg.leg));
        // Who declines to take a call from somebody else speaks for nobody's phones but the own.
        if declines_for_everywhere(&leg, &termination) {
            if leg.cause != LegCause::PickedUp {
                next.0.clear();
            }
            self.give_up_fork(&leg, now);
        }
        self.leave(&leg, now);
        self.end_playbacks_to(&leg, now);
        self.fact(&leg.tenant, now, FactKind::LegEnded { leg: leg.leg, termination: termination.clone() });
        self.ask(&leg, MediaRequest::ReleaseLeg { leg: leg.leg });
        if let Connection::Peer(peer) = asked
            && self.live(peer).is_some()
        {
            self.control(peer).passing.asked = Connection::Nothing;
        }
        self.let_through(leg.call);
        self.let_in_again(&leg, now);
        self.consider_call(&leg, &termination, next, now);
    }

    /// Whom the one who has left had put aside is let in again, and so is who is left with a single other: no telephone can do it,
    /// and they would sit in silence.
    fn let_in_again(&mut self, gone: &LegView, now: Timestamp) {
        if !gone.is_party() {
            return;
        }
        let parties = self.parties(gone.call);
        let few = parties.len() <= 2;
        for leg in parties {
            if leg.put_aside && (few || leg.put_aside_by == Some(gone.leg)) {
                self.fact(&leg.tenant, now, FactKind::ParticipantRetrieved { leg: leg.leg });
            }
        }
    }

    /// The user wants the call nowhere: the other devices stop ringing, and no other is called.
    fn give_up_fork(&mut self, leg: &LegView, now: Timestamp) {
        for other in self.fork_of(leg).into_iter().filter(|other| other.leg != leg.leg) {
            drop(self.hunt_of(other.leg));
            self.end_any(&other, Termination::new(Cause::Cancelled), now);
        }
    }

    /// What the end of a leg means for the others of its call.
    fn consider_call(
        &mut self,
        ended: &LegView,
        why: &Termination,
        (hunt, awaited): (Vec<Later>, Awaited),
        now: Timestamp,
    ) {
        if self.fold.live_legs(ended.call).next().is_none() {
            self.end_call(ended.call, now);
            return;
        }
        let staying: Vec<LegView> =
            self.fold.live_legs(ended.call).filter(|leg| !self.is_ending(leg.leg)).cloned().collect();
        let (here, called): (Vec<_>, Vec<_>) = staying.into_iter().partition(LegView::is_party);
        let (leaving, here): (Vec<_>, Vec<_>) = here.into_iter().partition(|leg| leg.diverted);
        let was_party = ended.is_party() && !ended.diverted;
        match here.as_slice() {
            // Nobody is left for whom the others would be called.
            [] if was_party => {
                for leg in called.iter().chain(&leaving) {
                    self.end_any(leg, Termination::new(Cause::Cancelled), now);
                }
            }
            [] => {}
            [alone] if called.is_empty() => {
                let untaken = self.untaken(ended, &awaited);
                if !was_party
                    && (self.hunts_on(&untaken, (hunt, &awaited), alone, now)
                        || self.forwards_on(&untaken, awaited, alone, now))
                {
                    return;
                }
                self.consider_alone(ended, &leaving, alone, was_party.then(|| of_the_other_side(why)), now);
            }
            _ => {
                self.leave_to_takers(ended, (hunt, awaited), &called);
                self.arrange(ended.call, now);
            }
        }
    }

    /// One party is left, and nobody rings for it.
    fn consider_alone(
        &mut self,
        ended: &LegView,
        leaving: &[LegView],
        alone: &LegView,
        why: Option<Termination>,
        now: Timestamp,
    ) {
        if let [back] = leaving
            && why.is_none()
        {
            // It was passed on to somebody who did not answer: back to whoever passed it on.
            self.told_transferors(ended.call, Some(self.best_failure(ended.call)));
            // A mix that has one left is over; who is in a room, or with a machine, does not come back out of it.
            self.arrange(ended.call, now);
            let free = |leg: &LegView| leg.conference.is_none() && leg.served_by.is_none();
            if [alone.leg, back.leg].iter().all(|leg| self.live(*leg).is_some_and(|leg| free(&leg))) {
                let bridged = FactKind::LegsBridged { call: ended.call, a: alone.leg, b: back.leg };
                self.fact(&alone.tenant, now, bridged);
                self.arrange_media(ended.call);
            } else {
                self.end(back, Termination::new(Cause::Diverted));
            }
            return;
        }
        // It has just answered, and whom it is to be connected with is called next.
        let goes_on = self.legs.get(&alone.leg).is_some_and(|control| control.passing.then.is_some());
        let open = self.fold.call(ended.call).is_some_and(|call| call.open);
        let in_room = alone
            .conference
            .and_then(|conference| self.fold.conference(conference))
            .is_some_and(|meeting| meeting.room.is_some());
        if open || in_room || goes_on || alone.served_by.is_some() {
            self.arrange(ended.call, now);
            return;
        }
        let why = why.unwrap_or_else(|| self.best_failure(ended.call));
        self.arrange(ended.call, now);
        self.end_any(alone, why, now);
    }

    fn end_call(&mut self, call: CallId, now: Timestamp) {
        let Some(view) = self.fold.call(call).filter(|call| call.ended.is_none()).cloned() else { return };
        let termination = self.call_termination(call);
        let meetings: Vec<_> = self
            .fold
            .conferences()
            .map(|meeting| crate::conference::recording_of(meeting.conference))
            .collect();
        for recording in view.recordings {
            // A meeting's recording lasts as long as the meeting.
            if !meetings.contains(&recording) {
                self.stop_recording_of(recording);
            }
        }
        self.end_playbacks(call, now);
        for stream in view.streams {
            self.stop_stream(stream, now);
        }
        self.fact(&view.tenant, now, FactKind::CallEnded { call, termination });
    }

    /// Whoever is lost was last there before that was found.
    fn note_last_held(&mut self, leg: &LegView, why: &Termination, now: Timestamp) {
        let lost = matches!(why.cause, Cause::SignallingLost | Cause::MediaNodeLost | Cause::Shutdown);
        let held = self.legs.get(&leg.leg).and_then(|control| control.passing.last_held);
        if let Some(held) = held.filter(|held| lost && *held < now) {
            self.fact(&leg.tenant, now, FactKind::LegLastHeld { leg: leg.leg, held });
        }
    }

    /// A call that was answered ended as its last party did, unless that was only told what happened to another one; one that
    /// was not, as whoever called was told.
    fn call_termination(&self, call: CallId) -> Termination {
        let Some(view) = self.fold.call(call) else { return Termination::new(Cause::Internal) };
        let ended = |leg: &LegView| leg.ended.clone().map(|(at, end)| (leg.clone(), at, end));
        let all: Vec<_> = view.legs.iter().filter_map(|leg| ended(self.fold.leg(*leg)?)).collect();
        // Who passed the call on, or was one of several phones, did not end it.
        let stayed = |end: &Termination| !matches!(end.cause, Cause::Diverted | Cause::AnsweredElsewhere);
        let parties: Vec<_> = all
            .iter()
            .filter(|(leg, _, end)| (leg.incoming || leg.answered_at.is_some()) && stayed(end))
            .collect();
        let trouble = |end: &Termination| {
            use Cause::{Internal, MediaNodeLost, MediaTimeout, SignallingLost};
            matches!(end.cause, MediaNodeLost | SignallingLost | MediaTimeout | Internal)
        };
        let answered = view.answered_at.is_some();
        let troubled = parties.iter().find(|(_, _, end)| answered && trouble(end));
        let last = || parties.iter().max_by_key(|(_, at, _)| at);
        let party = troubled.or_else(|| if answered { last() } else { parties.first() });
        match (party, all.first()) {
            // Whoever let it be made gave up before the other side answered.
            (Some((leg, _, end)), _) if !answered && !leg.incoming && end.cause == Cause::Normal => {
                Termination::new(Cause::Cancelled)
            }
            (Some((_, _, end)), _) => end.clone(),
            (None, Some((_, _, first))) => {
                let rung = all.iter().any(|(leg, _, end)| !leg.incoming && stayed(end));
                let told = all.iter().map(|(_, _, end)| end).find(|end| end.cause == Cause::Application);
                told.cloned().unwrap_or_else(|| if rung { self.best_failure(call) } else { first.clone() })
            }
            (None, None) => Termination::new(Cause::Internal),
        }
    }
}

/// How the other party of a call is told that this one is over.
fn of_the_other_side(why: &Termination) -> Termination {
    match why.cause {
        Cause::Cancelled | Cause::AnsweredElsewhere | Cause::Diverted => Termination::new(Cause::Normal),
        cause => Termination::new(cause).with_text(why.text.clone()),
    }
}

/// A final response of 6xx says that it is meant for every device of the user (RFC 3261, section 16.7, step 5).
fn declines_for_everywhere(leg: &LegView, why: &Termination) -> bool {
    !leg.incoming && leg.answered_at.is_none() && why.sip_status.is_some_and(|status| status >= 600)
}
