//! What the passing of time does to a leg.

use std::time::Instant;

use sidetone_model::termination::{Cause, Termination};

use super::answer::PROVISIONAL_REFRESH;
use super::state::{Accepted, Change, Ending, State};
use super::{Leg, LegOutput, LegTimer};
use crate::message::Status;

impl Leg {
    /// When [`Self::handle_timeout`] wants to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        let accepted = |accepted: &Accepted| {
            [
                Some((accepted.retransmit_at, LegTimer::AcceptRetransmission)),
                Some((accepted.give_up_at, LegTimer::GiveUp)),
            ]
        };
        let own = match &self.state {
            State::Offered(incoming) => [incoming.expires_at.map(|at| (at, LegTimer::GiveUp)), None],
            State::Early { refresh_at, incoming, .. } => [
                Some((*refresh_at, LegTimer::ProvisionalRefresh)),
                incoming.expires_at.map(|at| (at, LegTimer::GiveUp)),
            ],
            State::Answered(waiting) | State::Ending(Ending::ByeAfterAck { accepted: waiting, .. }) => {
                accepted(waiting)
            }
            State::Confirmed { change: Change::Accepted(waiting) } => accepted(waiting),
            State::Confirmed { change: Change::Asked { give_up_at, .. } }
            | State::Ending(Ending::Bye { give_up_at, .. }) => [Some((*give_up_at, LegTimer::GiveUp)), None],
            State::Ending(Ending::Cancelling { give_up_at, .. }) => {
                [give_up_at.map(|at| (at, LegTimer::GiveUp)), None]
            }
            State::Confirmed { change: Change::None }
            | State::Calling
            | State::Proceeding
            | State::Finished => [None, None],
        };
        let session = match self.state {
            State::Confirmed { .. } => {
                let refresh = self.session.refresh_at().map(|at| (at, LegTimer::SessionRefresh));
                let expiry = self.session.expires_at().map(|at| (at, LegTimer::SessionExpiry));
                refresh.into_iter().chain(expiry).min_by_key(|(at, _)| *at)
            }
            _ => None,
        };
        let early = matches!(self.state, State::Early { .. });
        let reliable = self.reliable.timers().filter(|_| early);
        let reoffer = self.reoffer_at().map(|at| (at, LegTimer::Reoffer));
        let referral = self.referral_until().map(|at| (at, LegTimer::Referral));
        let others = [session, reoffer, referral];
        own.into_iter().chain(others).flatten().chain(reliable).min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Bounded by the number of timers that one state can have.
        for _ in 0..4 {
            match self.poll_timeout() {
                Some((at, timer)) if at <= now => self.fire(timer, now),
                _ => break,
            }
        }
    }

    fn fire(&mut self, timer: LegTimer, now: Instant) {
        match timer {
            LegTimer::AcceptRetransmission => self.retransmit(),
            LegTimer::ProvisionalRefresh => self.refresh_provisional(now),
            LegTimer::ReliableAgain => self.repeat_reliable(),
            LegTimer::ReliableGiveUp => self.give_up_reliable(),
            LegTimer::GiveUp => self.give_up(now),
            LegTimer::Referral => self.put_off_referral(),
            LegTimer::Reoffer => {
                // What could not be written the first time is told by the command.
                let _unwritable = self.make_reoffer(now);
            }
            LegTimer::SessionRefresh => self.refresh_session(now),
            LegTimer::SessionExpiry => {
                self.end_confirmed(Termination::new(Cause::Timeout).with_text("session not refreshed"), now);
            }
        }
    }

    fn refresh_provisional(&mut self, now: Instant) {
        let State::Early { incoming, provisional, refresh_at } = &mut self.state else { return };
        *refresh_at = now + PROVISIONAL_REFRESH;
        if provisional.header("RSeq").is_some() {
            // A number is used once (RFC 3262 section 3). Nothing is early: the state is.
            let _early = self.ring(None, now);
            return;
        }
        let (tx, response) = (incoming.tx, (**provisional).clone());
        self.respond(tx, response);
    }

    fn retransmit(&mut self) {
        let t2 = self.setup.timers.t2;
        let output: Option<LegOutput> = match &mut self.state {
            State::Answered(accepted)
            | State::Ending(Ending::ByeAfterAck { accepted, .. })
            | State::Confirmed { change: Change::Accepted(accepted) } => {
                Some(Self::retransmit_accept(accepted, t2, &self.setup.flow))
            }
            _ => None,
        };
        self.outputs.extend(output);
    }

    fn give_up(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::Finished) {
            // The caller's own limit (RFC 3261 section 13.3.1).
            state @ (State::Offered(_) | State::Early { .. }) => {
                self.state = state;
                self.refuse_invite(Status::REQUEST_TERMINATED, None);
                self.signal_ended(
                    Termination::new(Cause::NoAnswer).with_sip_status(Status::REQUEST_TERMINATED.code()),
                );
                self.finish();
            }
            // RFC 3261 section 13.3.1.4: no ACK in 64 T1, so the session is ended with a BYE.
            State::Answered(_) | State::Confirmed { change: Change::Accepted(_) } => {
                self.state = State::Confirmed { change: Change::None };
                self.end_confirmed(Termination::new(Cause::Timeout).with_text("no ACK"), now);
            }
            State::Ending(Ending::ByeAfterAck { termination, .. }) => self.send_bye(&termination, now),
            State::Confirmed { change: Change::Asked { tx, request, .. } } => {
                self.state = State::Confirmed { change: Change::None };
                self.refuse_change(tx, &request);
            }
            State::Ending(ending) => {
                self.state = State::Ending(ending);
                self.finish();
            }
            other => self.state = other,
        }
    }
}
