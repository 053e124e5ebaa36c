//! Ends: of legs, and what they mean for their call.

use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::CallId;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::shard::Shard;

impl Shard {
    /// Tells signalling to end a leg, once. The leg is over when signalling says so.
    pub(crate) fn end(&mut self, leg: &LegView, termination: Termination) {
        if leg.is_live() && !self.is_ending(leg.leg) {
            self.command(leg, LegCommandKind::End(termination));
        }
    }

    /// Signalling says that a leg is over.
    pub(crate) fn on_ended(&mut self, leg: &LegView, termination: Termination, now: Timestamp) {
        self.over(leg, termination, now);
    }

    /// A leg that signalling has never heard of is over without it.
    pub(crate) fn drop_unopened(&mut self, leg: &LegView, termination: Termination, now: Timestamp) {
        self.over(leg, termination, now);
    }

    fn over(&mut self, leg: &LegView, termination: Termination, now: Timestamp) {
        // When we ended it, our reason is the reason; the status that carried it is the far side's.
        let ours = self.legs.get(&leg.leg).and_then(|control| control.durable.ended_by_us().cloned());
        let termination = match ours {
            Some(ours) => Termination { sip_status: termination.sip_status.or(ours.sip_status), ..ours },
            None => termination,
        };
        let was_answered = leg.is_answered();
        let peer = leg.peer;
        self.leave(leg, now);
        self.fact(&leg.tenant, now, FactKind::LegEnded { leg: leg.leg, termination: termination.clone() });
        self.ask(leg, MediaRequest::ReleaseLeg { leg: leg.leg });
        if let Some(peer) = peer.and_then(|peer| self.live(peer)) {
            self.end(&peer, of_the_other_side(&termination));
        }
        self.consider_call(leg, was_answered, &termination, now);
    }

    /// What the end of a leg means for the others of its call.
    fn consider_call(&mut self, ended: &LegView, was_answered: bool, why: &Termination, now: Timestamp) {
        let live: Vec<LegView> = self.fold.live_legs(ended.call).cloned().collect();
        if live.is_empty() {
            self.end_call(ended.call, now);
            return;
        }
        let first = self.fold.call(ended.call).and_then(|call| call.legs.first().copied());
        let caller_left = first == Some(ended.leg) && (ended.incoming || was_answered);
        if caller_left {
            for leg in &live {
                let answered = leg.phase == LegPhase::Answered;
                let reason =
                    if answered { of_the_other_side(why) } else { Termination::new(Cause::Cancelled) };
                if self.is_unopened(leg) {
                    self.drop_unopened(leg, reason, now);
                } else {
                    self.end(leg, reason);
                }
            }
            return;
        }
        // The last device of the called user has given up: so does the caller.
        let callers: Vec<&LegView> = live.iter().filter(|leg| leg.incoming || leg.is_answered()).collect();
        if callers.len() == live.len() && self.is_ringing_call(ended) {
            let waiting: Vec<LegView> = callers
                .into_iter()
                .filter(|leg| leg.peer.is_none() && leg.conference.is_none())
                .filter(|leg| !was_answered || leg.phase != LegPhase::Answered)
                .cloned()
                .collect();
            let failure = if was_answered { of_the_other_side(why) } else { self.best_failure(ended.call) };
            for leg in waiting {
                self.end(&leg, failure.clone());
            }
        }
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
        self.fact(&view.tenant, now, FactKind::CallEnded { call, termination });
    }

    /// A call ended as its first leg did, unless that was only told what happened to another one.
    fn call_termination(&self, call: CallId) -> Termination {
        let legs = self.fold.call(call).map_or(&[][..], |call| &call.legs);
        let ends = legs.iter().filter_map(|leg| self.fold.leg(*leg)?.ended.clone()).map(|(_, end)| end);
        let mut ends: Vec<Termination> = ends.collect();
        let first = ends.first().cloned().unwrap_or_else(|| Termination::new(Cause::Internal));
        let trouble = ends.iter().position(|end| {
            !matches!(end.cause, Cause::Normal | Cause::AnsweredElsewhere | Cause::Application)
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
        Cause::Cancelled | Cause::AnsweredElsewhere => Termination::new(Cause::Normal),
        cause => Termination::new(cause).with_text(why.text.clone()),
    }
}
