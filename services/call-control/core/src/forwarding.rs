//! Where the calls of a user go that nobody takes, as the directory has it for that user (decision 87).
//!
//! A rule comes last: after every device of the user, whatever the order in which they ring. What happened at the user stays in
//! the log as a leg of the call that ended, from which the call was diverted; where no device is registered that leg has none.
//! Rules are looked up with the number and are not in the log: after a restart of call control those that ring are the last.

use std::time::Duration;

use sidetone_model::call::{DivertCause, LegCause};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::party::{Destination, Party, Proof};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::input::{Later, Routing};
use crate::operation::REDIRECTIONS_MAX;
use crate::ringing::Ring;
use crate::shard::Shard;

/// Where calls of a user go that nobody takes; none where the caller is told so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwards {
    /// When the user is busy (486 or 600).
    pub busy: Option<Box<Later>>,
    /// When nobody answers.
    pub no_answer: Option<Box<Later>>,
    /// How long it rings before, at most [`crate::Limits::ring_timeout`]; none for that.
    pub no_answer_after: Option<Duration>,
    /// When no device of the user is registered, or none of them can be reached.
    pub unregistered: Option<Box<Later>>,
}

/// Why nobody took the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Busy,
    NoAnswer,
    /// None of them rang, and at least one was not woken in time.
    NotWoken,
    Unregistered,
}

impl Forwards {
    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = &mut Later> {
        let Self { busy, no_answer, unregistered, .. } = self;
        [busy, no_answer, unregistered].into_iter().filter_map(|next| next.as_deref_mut())
    }

    fn when(self, why: Why) -> Option<Later> {
        let next = match why {
            Why::Busy => self.busy,
            Why::NoAnswer => self.no_answer,
            // It did not answer; but who has no rule for that has no device that could be reached.
            Why::NotWoken => self.no_answer.or(self.unregistered),
            Why::Unregistered => self.unregistered,
        };
        next.map(|next| *next)
    }

    fn is_empty(&self) -> bool {
        self.busy.is_none() && self.no_answer.is_none() && self.unregistered.is_none()
    }
}

/// What becomes of a call when a phone that rings does not take it. Not in the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Awaited {
    forwards: Forwards,
    /// When it has rung for long enough.
    until: Option<Timestamp>,
    /// The phone that nobody has taken up, where another leg that would have taken the call from it is left.
    of: Option<LegId>,
}

impl Awaited {
    /// Whether it has rung for so long that no other device of the user is called.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// For further devices of the user, which ring for what is left of the time.
    pub(crate) fn for_next(&self, now: Timestamp) -> Forwards {
        let left = |until: Timestamp| until.as_millis().saturating_sub(now.as_millis());
        let no_answer_after = self.until.map(|until| Duration::from_millis(left(until)));
        Forwards { no_answer_after, ..self.forwards.clone() }
    }
}

impl Shard {
    /// These ring at a user; when nobody takes the call, it goes where the user's rules say.
    pub(crate) fn await_at(&mut self, ring: &Ring, rung: &[LegId], forwards: &Forwards, now: Timestamp) {
        let open = self.fold.call(ring.call).is_some_and(|call| call.open);
        let for_call = matches!(
            ring.cause,
            LegCause::Normal | LegCause::Enquiry | LegCause::Transferred | LegCause::Redirected
        );
        // The phone of whoever makes a call is rung for a purpose of its own, and a conversation goes nowhere else.
        if forwards.is_empty() || ring.then.is_some() || open || !for_call {
            return;
        }
        let until =
            forwards.no_answer_after.filter(|_| forwards.no_answer.is_some()).map(|after| now + after);
        for leg in rung {
            if self.live(*leg).is_none() {
                continue;
            }
            self.control(*leg).passing.awaited = Awaited { forwards: forwards.clone(), until, of: None };
            self.hunting.extend(until.map(|until| (until, *leg)));
        }
    }

    /// What becomes of the call when a leg, that is about to be over, has not taken it.
    pub(crate) fn awaited_of(&mut self, leg: LegId) -> Awaited {
        self.legs
            .get_mut(&leg)
            .map(|control| std::mem::take(&mut control.passing.awaited))
            .unwrap_or_default()
    }

    /// Nobody has taken the call at a user while somebody else was about to take it from there: what becomes of it is decided
    /// when that one does not.
    pub(crate) fn leave_to_takers(
        &mut self,
        ended: &LegView,
        next: (Vec<Later>, Awaited),
        called: &[LegView],
    ) {
        let (later, awaited) = next;
        if ended.is_party() || (later.is_empty() && awaited.forwards.is_empty()) {
            return;
        }
        let of_same =
            |of: &LegView| of.party.user == ended.party.user && (of.cause, of.by) == (ended.cause, ended.by);
        let takes = |leg: &&LegView| {
            let from = leg.by.filter(|_| leg.cause == LegCause::PickedUp).and_then(|by| self.fold.leg(by));
            from.is_some_and(of_same)
        };
        let takers: Vec<LegId> = called.iter().filter(takes).map(|leg| leg.leg).collect();
        for taker in takers {
            let passing = &mut self.control(taker).passing;
            passing.later = later.clone();
            passing.awaited = Awaited { of: Some(ended.leg), ..awaited.clone() };
        }
    }

    /// For whom the call is over that a leg has not taken: for itself, or for the phone from which it would have taken it.
    pub(crate) fn untaken(&self, ended: &LegView, awaited: &Awaited) -> LegView {
        awaited.of.and_then(|of| self.fold.leg(of)).unwrap_or(ended).clone()
    }

    /// Nobody has taken the call at a user: the caller goes where the user's rule says; false when it says nothing. `ended` was
    /// the last that rang.
    pub(crate) fn forwards_on(
        &mut self,
        ended: &LegView,
        awaited: Awaited,
        alone: &LegView,
        now: Timestamp,
    ) -> bool {
        if ended.answered_at.is_some() || awaited.forwards.is_empty() {
            return false;
        }
        let next = self.why_not_taken(ended).and_then(|why| awaited.forwards.when(why));
        next.is_some_and(|next| self.forward(ended, next, alone, now))
    }

    /// A caller has a port, and no device of whom it calls is registered.
    pub(crate) fn forward_unregistered(&mut self, caller: &LegView, routing: Routing, now: Timestamp) {
        let Some(call) = self.fold.call(caller.call) else { return };
        let number = match routing.number.is_empty() {
            true => call.diverted_to.as_ref().map_or(&call.dialled, |party| &party.number).clone(),
            false => routing.number.clone(),
        };
        let rule = routing.forwards.unregistered.as_deref();
        let forwarded = rule.is_some_and(|next| self.reaches(caller, &next.routing, caller))
            && self.forward_from_nowhere(caller, (LegCause::Normal, None), &number, routing, now);
        if !forwarded {
            self.end(caller, no_device());
        }
    }

    /// Whether somebody is reached at a number whose user has no device registered.
    pub(crate) fn leads_on(&self, routing: &Routing) -> bool {
        let next = routing.forwards.unregistered.as_ref();
        next.is_some_and(|next| self.check_target(&next.routing).is_ok())
    }

    /// Why the devices of a user have not taken the call, the most telling of their ends; none where it was refused, or taken
    /// from them.
    fn why_not_taken(&self, ended: &LegView) -> Option<Why> {
        let legs = &self.fold.call(ended.call)?.legs;
        let same = |leg: &&LegView| {
            !leg.incoming
                && (&leg.party.user, &leg.party.number) == (&ended.party.user, &ended.party.number)
                && (leg.cause, leg.by) == (ended.cause, ended.by)
        };
        let fork: Vec<&LegView> = legs.iter().filter_map(|leg| self.fold.leg(*leg)).filter(same).collect();
        let ends: Vec<(Cause, bool)> = fork
            .iter()
            .filter_map(|leg| leg.ended.as_ref().map(|(_, end)| (end.cause, leg.rang_at.is_some())))
            .collect();
        let any =
            |wanted: &dyn Fn(Cause, bool) -> bool| ends.iter().any(|(cause, rang)| wanted(*cause, *rang));
        let unreached = |cause| {
            use Cause::{NotFound, SignallingLost, Timeout, TransportFailure, Unavailable};
            matches!(cause, Unavailable | Timeout | TransportFailure | NotFound | SignallingLost)
        };
        let refused = |cause| {
            use Cause::{AnsweredElsewhere, Application, Diverted, Rejected};
            matches!(cause, Rejected | Application | Diverted | AnsweredElsewhere)
        };
        if any(&|cause, _| refused(cause)) {
            return None;
        }
        if any(&|cause, _| cause == Cause::Busy) {
            return Some(Why::Busy);
        }
        let asleep = fork.iter().any(|leg| leg.was_asleep);
        if asleep && fork.iter().all(|leg| leg.rang_at.is_none()) && any(&|cause, _| cause == Cause::NoAnswer)
        {
            return Some(Why::NotWoken);
        }
        if any(&|cause, rang| cause == Cause::NoAnswer || (rang && unreached(cause))) {
            return Some(Why::NoAnswer);
        }
        any(&|cause, _| unreached(cause)).then_some(Why::Unregistered)
    }

    /// Whether a rule leads to somebody, over all users without phones that it passes: before anything is told of it.
    fn reaches(&self, from: &LegView, to: &Routing, alone: &LegView) -> bool {
        let (mut to, mut times) = (to, self.times_sent_on(from));
        loop {
            if times >= REDIRECTIONS_MAX || self.check_target(to).is_err() {
                return false;
            }
            match (to.is_unregistered(), to.forwards.unregistered.as_deref()) {
                (true, Some(next)) => (to, times) = (&next.routing, times + 1),
                (true, None) => return false,
                // A machine takes who is with nobody: neither in a meeting, nor with another machine.
                (false, _) if to.bindings.is_empty() => {
                    return alone.conference.is_none() && alone.served_by.is_none() && alone.peer.is_none();
                }
                (false, _) => return true,
            }
        }
    }

    /// Sends a call on from a leg that is over, unless nobody is reached there.
    fn forward(&mut self, from: &LegView, next: Later, alone: &LegView, now: Timestamp) -> bool {
        let Later { number, routing } = next;
        if !self.reaches(from, &routing, alone) {
            return false;
        }
        let is_machine = routing.bindings.is_empty();
        let number = if number.is_empty() { from.party.number.clone() } else { number };
        let (diverted, cause) = match &routing.destination {
            Some(Destination::Voicemail(_)) => (DivertCause::Overflown, LegCause::Overflown),
            _ => (DivertCause::Redirected, LegCause::Redirected),
        };
        self.divert(from, diverted, (&number, &routing), now);
        if routing.is_unregistered() {
            return self.forward_from_nowhere(alone, (cause, Some(from.leg)), &number, routing, now);
        }
        self.send_on(from, cause, (&number, routing), now);
        if is_machine {
            self.told_transferors(from.call, None);
        }
        true
    }

    /// A user without registered devices: a leg that ends with its beginning says so.
    fn forward_from_nowhere(
        &mut self,
        alone: &LegView,
        (cause, by): (LegCause, Option<LegId>),
        number: &str,
        routing: Routing,
        now: Timestamp,
    ) -> bool {
        let (Some(Destination::User(user)), Some(next)) =
            (routing.destination, routing.forwards.unregistered)
        else {
            return false;
        };
        let leg = self.ids.make(now);
        let party = Party { user: Some(user), number: number.into(), proof: Proof::User, ..Party::default() };
        let created = FactKind::LegCreated {
            leg,
            call: alone.call,
            party,
            incoming: false,
            replica: alone.replica.clone(),
            boot: None,
            sip_call_id: "".into(),
            cause,
            by,
            assistant: routing.assistant,
            trunk: "".into(),
        };
        self.fact(&alone.tenant, now, created);
        let Some(nowhere) = self.live(leg) else { return false };
        self.fact(&alone.tenant, now, FactKind::LegEnded { leg, termination: no_device() });
        self.forward(&nowhere, *next, alone, now)
    }
}

/// What the caller is told where no rule leads on.
pub(crate) fn no_device() -> Termination {
    Termination::new(Cause::Unavailable).with_text("no device of the user is registered")
}
