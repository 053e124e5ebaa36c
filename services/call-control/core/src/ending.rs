//! Ends: of legs, and what they mean for their call.

use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::CallId;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Connection, MediaRequest};
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

    /// A leg is over: signalling says so, or it has never heard of it.
    pub(crate) fn over(&mut self, leg: &LegView, termination: Termination, now: Timestamp) {
        let Some(leg) = self.live(leg.leg) else { return };
        self.forget_move(leg.leg);
        let control = self.legs.get(&leg.leg);
        // When we ended it, our reason is the reason; the status that carried it is the far side's.
        let ours = control.and_then(|control| control.durable.ended_by_us().cloned());
        let asked = control.map_or(Connection::Nothing, |control| control.passing.asked);
        let termination = match ours {
            Some(ours) => Termination { sip_status: termination.sip_status.or(ours.sip_status), ..ours },
            None => termination,
        };
        self.change_flow(&leg, &termination, now);
        let mut hunt = self.hunt_of(leg.leg);
        if declines_for_everywhere(&leg, &termination) {
            hunt.clear();
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
        self.consider_call(&leg, &termination, hunt, now);
    }

    /// The user wants the call nowhere: the other devices stop ringing, and no other is called.
    fn give_up_fork(&mut self, leg: &LegView, now: Timestamp) {
        for other in self.fork_of(leg).into_iter().filter(|other| other.leg != leg.leg) {
            drop(self.hunt_of(other.leg));
            self.end_any(&other, Termination::new(Cause::Cancelled), now);
        }
    }

    /// What the end of a leg means for the others of its call.
    fn consider_call(&mut self, ended: &LegView, why: &Termination, hunt: Vec<Later>, now: Timestamp) {
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
                if !was_party && self.hunts_on(ended, hunt, alone, now) {
                    return;
                }
                self.consider_alone(ended, &leaving, alone, was_party.then(|| of_the_other_side(why)), now);
            }
            _ => self.arrange(ended.call, now),
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
        let open = self.fold.call(ended.call).is_some_and(|call| call.open);
        let in_room = alone
            .conference
            .and_then(|conference| self.fold.conference(conference))
            .is_some_and(|meeting| meeting.room.is_some());
        if open || in_room || alone.served_by.is_some() {
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

    /// A call ended as its first leg did, unless that was only told what happened to another one.
    fn call_termination(&self, call: CallId) -> Termination {
        let legs = self.fold.call(call).map_or(&[][..], |call| &call.legs);
        let ends = legs.iter().filter_map(|leg| self.fold.leg(*leg)?.ended.clone()).map(|(_, end)| end);
        let mut ends: Vec<Termination> = ends.collect();
        // Whoever passed the call on did not end it.
        if ends.iter().any(|end| end.cause != Cause::Diverted) {
            ends.retain(|end| end.cause != Cause::Diverted);
        }
        let first = ends.first().cloned().unwrap_or_else(|| Termination::new(Cause::Internal));
        let trouble = ends.iter().position(|end| {
            !matches!(
                end.cause,
                Cause::Normal | Cause::AnsweredElsewhere | Cause::Application | Cause::Diverted
            )
        });
        let answered = self.fold.call(call).is_some_and(|call| call.answered_at.is_some());
        match trouble {
            Some(trouble) if answered && first.cause == Cause::Normal => {
                let end = ends.swap_remove(trouble);
                // A fork that was busy is no trouble of a call that was answered.
                if matches!(
                    end.cause,
                    Cause::MediaNodeLost | Cause::SignallingLost | Cause::MediaTimeout | Cause::Internal
                ) {
                    end
                } else {
                    first
                }
            }
            _ => first,
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
