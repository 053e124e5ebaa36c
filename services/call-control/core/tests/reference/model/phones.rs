//! What telephones do.

use sidetone_model::call::LegCause;

use super::{Call, DECIDE_MS, Holds, Leg, Model, Place, RING_MS, ROOM_MAX, State, Target, Telephone};

/// How often phones may name each other in turn.
const SENT_ON_MAX: usize = 5;

impl Model {
    /// A phone calls a number, perhaps to take somebody's place (INVITE with Replaces).
    pub(crate) fn incoming(
        &mut self,
        who: (Option<u8>, Option<u8>),
        to: Target,
        replaces: Option<Leg>,
    ) -> Leg {
        let place = replaces.filter(|old| self.can_be_replaced(*old));
        let call = match place {
            Some(old) => self.legs[old].call,
            None => self.begin_call(false),
        };
        let leg = self.add(call, who, true);
        match (place, replaces) {
            (Some(old), _) => self.take_place(leg, old, call),
            (None, Some(_)) => self.end(leg),
            (None, None) => self.admit(leg, to),
        }
        self.come_to_rest();
        leg
    }

    fn can_be_replaced(&self, old: Leg) -> bool {
        let it = &self.legs[old];
        let stands = it.state == State::Talking || !it.called_us;
        // Who sleeps has no dialog that could be named.
        it.is_here() && stands && !it.asleep && !matches!(it.place, Place::Echo | Place::Voicemail)
    }

    fn take_place(&mut self, leg: Leg, old: Leg, call: Call) {
        (self.legs[leg].cause, self.legs[leg].by) = (LegCause::Replaced, Some(old));
        self.accept(leg);
        self.take_over(leg);
        self.release_transferors(call);
        self.waiting_callers(call).into_iter().for_each(|caller| self.accept(caller));
    }

    fn admit(&mut self, leg: Leg, to: Target) {
        let in_room = |room| self.here().filter(|(_, it)| it.place == Place::Room(room)).count();
        match to {
            Target::Nobody | Target::User(_, 0) => self.end(leg),
            Target::Room(room) if in_room(room) >= ROOM_MAX => self.end(leg),
            Target::Wait => {
                let deadline = self.now_ms + DECIDE_MS;
                let it = &mut self.legs[leg];
                (it.state, it.decided_by_ms) = (State::Waiting, Some(deadline));
            }
            _ => self.route(leg, to),
        }
    }

    /// A device registers: it is told of every call that waits for it.
    pub(crate) fn registers(&mut self, user: Option<u8>) {
        let its = self.here().filter(|(_, it)| it.asleep && it.user == user);
        for leg in its.map(|(leg, _)| leg).collect::<Vec<_>>() {
            let it = &mut self.legs[leg];
            (it.asleep, it.decided_by_ms) = (false, None);
            // Which media node is to have it was known before the restart, and is known by who is there beside it.
            if it.forgotten && self.others(leg).all(|(_, other)| other.asleep) {
                self.end(leg);
            }
        }
        self.come_to_rest();
    }

    /// A phone that we call rings, or will once it is awake, and so whoever calls hears that it does.
    pub(crate) fn rings(&mut self, leg: Leg) {
        if let Some(caller) = self.first_unanswered_caller(self.legs[leg].call) {
            self.legs[caller].state = State::Ringing;
        }
        if matches!(self.legs[leg].state, State::SettingUp | State::Waking) && !self.legs[leg].asleep {
            self.legs[leg].state = State::Ringing;
        }
    }

    fn first_unanswered_caller(&self, call: Call) -> Option<Leg> {
        let legs = self.calls[call].legs.iter().copied();
        legs.filter(|leg| self.legs[*leg].called_us).find(|leg| self.legs[*leg].state != State::Talking)
    }

    /// A phone that we call answers.
    pub(crate) fn answers(&mut self, leg: Leg) {
        self.answered(leg);
        self.come_to_rest();
    }

    fn answered(&mut self, leg: Leg) {
        self.accept(leg);
        let (call, cause) = (self.legs[leg].call, self.legs[leg].cause);
        if self.comes_too_late(leg) {
            return self.end(leg);
        }
        self.stop_ringing_beside(leg);
        if let Some(to) = self.legs[leg].then.take() {
            return self.route(leg, to);
        }
        if cause.takes_over() {
            self.take_over(leg);
        }
        self.release_transferors(call);
        self.waiting_callers(call).into_iter().for_each(|caller| self.accept(caller));
        let meets_somebody = self.talkers(call).any(|other| other != leg);
        if !meets_somebody && !self.calls[call].open {
            self.end(leg);
        }
    }

    /// It was to take what rang at somebody, and meanwhile that was answered, or whoever waited has gone.
    fn comes_too_late(&self, leg: Leg) -> bool {
        let it = &self.legs[leg];
        let Some(of) = it.by.filter(|_| it.cause == LegCause::PickedUp) else { return false };
        let waiting = self.talkers(it.call).filter(|other| *other != leg).count();
        let alone = waiting + self.waiting_callers(it.call).len() == 1;
        self.legs[of].was_answered || !(self.legs[of].is_here() || alone)
    }

    /// One of several phones has answered: the others are quiet, and so is who was about to take the call from one of them.
    fn stop_ringing_beside(&mut self, leg: Leg) {
        let others: Vec<Leg> = self.fork_of(leg).into_iter().filter(|other| *other != leg).collect();
        let takes = |taker: &Leg| {
            let it = &self.legs[*taker];
            let of_these = it.by.is_some_and(|by| by == leg || others.contains(&by));
            it.cause == LegCause::PickedUp && !it.is_party() && of_these
        };
        let takers: Vec<Leg> = self.calls[self.legs[leg].call].legs.iter().copied().filter(takes).collect();
        others.into_iter().chain(takers).for_each(|other| self.end(other));
    }

    /// A phone hangs up, or gives up, whatever it is doing.
    pub(crate) fn hangs_up(&mut self, leg: Leg) {
        self.gone(leg);
        self.come_to_rest();
    }

    /// A phone that we call is busy, or its user wants the call nowhere.
    pub(crate) fn declines(&mut self, leg: Leg, everywhere: bool) {
        if everywhere {
            self.fork_of(leg).into_iter().filter(|other| *other != leg).for_each(|other| self.end(other));
        }
        self.hangs_up(leg);
    }

    /// A phone that we call names somebody else (3xx), and ends with that.
    pub(crate) fn names_another(&mut self, leg: Leg, to: Target) {
        let chain = std::iter::successors(Some(leg), |leg| self.legs[*leg].by).take(SENT_ON_MAX + 1);
        let sent_on = chain.filter(|leg| self.legs[*leg].cause == LegCause::Redirected).count();
        if self.legs[leg].then.is_none() && sent_on < SENT_ON_MAX && to.takes_calls() {
            self.send_ringing_on(leg, LegCause::Redirected, to);
        }
        self.hangs_up(leg);
    }

    /// A phone that talks holds by itself, or comes back.
    pub(crate) fn offers_anew(&mut self, leg: Leg, holds: bool) {
        let it = &mut self.legs[leg];
        match (holds, it.holds) {
            (true, Holds::No) if it.state == State::Talking => it.holds = Holds::ByPhone,
            (false, Holds::ByPhone) => it.holds = Holds::No,
            _ => {}
        }
    }

    /// A phone that talks passes its call on (REFER), and stays to hear how that goes where it can.
    pub(crate) fn refers(&mut self, leg: Leg, to: Target) {
        let Some(others) = self.others_to_pass_on(leg) else { return };
        if !to.takes_calls() {
            return;
        }
        self.legs[leg].diverted = true;
        if others > 1 || !matches!(to, Target::User(..)) {
            self.release_transferors(self.legs[leg].call);
        }
        self.send_on(leg, LegCause::Transferred, to);
        self.come_to_rest();
    }

    /// A phone connects those with whom it talks in its two calls (REFER with Replaces).
    pub(crate) fn refers_to(&mut self, leg: Leg, other: Leg) {
        if self.others_to_pass_on(leg).is_none() || !self.legs[other].is_here() {
            return;
        }
        let (one, two) = (&self.legs[leg], &self.legs[other]);
        // Who is outside is known by the number alone, and all who are have the same one here.
        let same_phone = (one.user, one.device) == (two.user, two.device);
        let meets_nobody = self.others(other).next().is_none();
        let with_machine = matches!(two.place, Place::Echo | Place::Voicemail);
        if same_phone && one.call != two.call && two.is_party() && !meets_nobody && !with_machine {
            self.connect_others(other, leg);
        }
        self.come_to_rest();
    }

    fn others_to_pass_on(&self, leg: Leg) -> Option<usize> {
        let talkers: Vec<Leg> = self.talkers(self.legs[leg].call).collect();
        let may = talkers.contains(&leg) && talkers.len() > 1 && !self.legs[leg].aside;
        may.then(|| talkers.len() - 1)
    }

    /// A phone that was asked to take the call by itself, or to talk again, says that it does not do so.
    pub(crate) fn refuses_to_talk(&mut self, leg: Leg) {
        let it = &mut self.legs[leg];
        it.talk_refused |= it.state == State::Ringing || it.holds == Holds::ByPhone;
    }

    /// A moment later, in which nobody looks at the clock.
    pub(crate) fn a_moment_later(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Time goes by. Who rings for too long is not called any more; about whom nobody decides, and who does not wake
    /// up, that one goes.
    pub(crate) fn time_is(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let mut rang: Vec<(u64, Leg)> = self
            .here()
            .filter(|(_, it)| !it.is_party() && it.since_ms + RING_MS <= now_ms)
            .map(|(leg, it)| (it.since_ms, leg))
            .collect();
        rang.sort_unstable();
        let undecided = |it: &Telephone| {
            matches!(it.state, State::Waiting | State::Waking)
                && it.decided_by_ms.is_some_and(|at| at <= now_ms)
        };
        let undecided = self.here().filter(|(_, it)| undecided(it));
        let mut undecided: Vec<(u64, Leg)> =
            undecided.map(|(leg, it)| (it.decided_by_ms.unwrap_or(0), leg)).collect();
        undecided.sort_unstable();
        rang.into_iter().chain(undecided).map(|(_, leg)| leg).for_each(|leg| self.end(leg));
        self.come_to_rest();
    }

    /// Call control is started again. To whom somebody is to be connected who has not answered yet is not in the log.
    pub(crate) fn forgets(&mut self) {
        self.legs.iter_mut().for_each(|it| (it.then, it.forgotten) = (None, it.asleep));
    }
}
