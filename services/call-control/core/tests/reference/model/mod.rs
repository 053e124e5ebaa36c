//! What a telephone system does, told a second time and as plainly as it can be: telephones, calls, and who is in which.
//!
//! It shares no code with the shard and looks at nothing of it. It is told what phones and applications do and says what becomes
//! of it: which phones ring, who is in which call and how far, who hears whom, and what each may do. Names are numbers in the
//! order of their coming.
//!
//! The rules in short. Whoever was answered in a call and stays is a talker of it: one alone hears nothing, two hear each other,
//! three and more are mixed; who holds or is put aside is silent. A call in which one is left for whom nobody rings is over.
//!
//! It is told of things one at a time, each when everything before has come to rest. What happens while something is under
//! way, what is lost, and two media nodes are for `any_order`; recordings, streams and early media have tests of their own.

pub(crate) mod capabilities;
pub(crate) mod operations;
mod phones;

use std::collections::VecDeque;

use sidetone_model::call::LegCause;

pub(crate) type Leg = usize;
pub(crate) type Call = usize;

/// Where a number leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Nobody,
    /// A user, and at how many phones.
    User(u8, u8),
    Echo,
    Voicemail,
    Room(u8),
    Wait,
}

impl Target {
    /// Whether calls may be sent on to it.
    fn takes_calls(self) -> bool {
        !matches!(self, Self::Nobody | Self::Wait | Self::User(_, 0))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    SettingUp,
    Waiting,
    /// It was called while it was not registered; it has to register before it can ring.
    Waking,
    Ringing,
    Talking,
    Gone,
}

/// With whom a leg is: the others of its call, or a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Call,
    Echo,
    Voicemail,
    Room(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    No,
    ByApplication,
    ByPhone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hears {
    Nothing,
    Other(Leg),
    /// Everybody of the call.
    Mix(Call),
    Room(u8),
    Itself,
}

#[derive(Debug, Clone)]
pub(crate) struct Telephone {
    pub(crate) call: Call,
    pub(crate) user: Option<u8>,
    pub(crate) device: Option<u8>,
    /// It called us; otherwise it is one that we call.
    pub(crate) called_us: bool,
    pub(crate) cause: LegCause,
    by: Option<Leg>,
    pub(crate) state: State,
    pub(crate) place: Place,
    pub(crate) holds: Holds,
    pub(crate) aside: bool,
    aside_by: Option<Leg>,
    /// It passed the call on, and goes.
    pub(crate) diverted: bool,
    /// It was told to end.
    ending: bool,
    was_answered: bool,
    /// Where it is connected once it answers: it is the phone of whoever has a call made.
    then: Option<Target>,
    talk_refused: bool,
    pub(crate) muted: bool,
    pub(crate) deafened: bool,
    since_ms: u64,
    decided_by_ms: Option<u64>,
    /// It is not registered, and nobody can tell it anything.
    pub(crate) asleep: bool,
    /// Call control was started again meanwhile.
    forgotten: bool,
}

impl Telephone {
    /// Somebody is there: it called us, or it was answered.
    pub(crate) fn is_party(&self) -> bool {
        self.called_us || self.state == State::Talking
    }

    pub(crate) fn is_here(&self) -> bool {
        self.state != State::Gone
    }

    /// What a phone holds by itself it takes back itself: it is asked to, unless it has said that it cannot be asked.
    fn can_be_retrieved(&self) -> bool {
        match self.holds {
            Holds::No => false,
            Holds::ByApplication => true,
            Holds::ByPhone => !self.talk_refused,
        }
    }
}

#[derive(Debug, Default)]
struct Conversation {
    /// Who is in it and has not gone, in the order of coming.
    legs: Vec<Leg>,
    /// One alone does not end it: people are asked in one by one.
    open: bool,
}

/// How many are in a room at most, how long a phone rings, and how long an application may take to decide, and a phone to register.
/// The last device of every user sleeps whenever it is in no call.
pub(crate) const ROOM_MAX: usize = 3;
pub(crate) const RING_MS: u64 = 60_000;
pub(crate) const DECIDE_MS: u64 = 120_000;
pub(crate) const WAKE_MS: u64 = 30_000;
pub(crate) const SLEEPER: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct Model {
    now_ms: u64,
    legs: Vec<Telephone>,
    calls: Vec<Conversation>,
    /// Phones that are to be rung, in this order.
    pub(crate) rung: VecDeque<Leg>,
    ending: VecDeque<Leg>,
    /// The call that people are asked into by its name, while it goes on.
    named: Option<Call>,
}

impl Model {
    pub(crate) fn leg(&self, leg: Leg) -> &Telephone {
        &self.legs[leg]
    }

    /// Everybody who is in a call.
    pub(crate) fn here(&self) -> impl Iterator<Item = (Leg, &Telephone)> {
        self.calls.iter().flat_map(|call| &call.legs).map(|leg| (*leg, &self.legs[*leg]))
    }

    pub(crate) fn calls_here(&self) -> usize {
        self.calls.iter().filter(|call| !call.legs.is_empty()).count()
    }

    /// The others with whom a leg shares its call.
    pub(crate) fn others(&self, leg: Leg) -> impl Iterator<Item = (Leg, &Telephone)> {
        let all = self.calls[self.legs[leg].call].legs.iter();
        all.filter(move |other| **other != leg).map(|other| (*other, &self.legs[*other]))
    }

    /// Those of a call who talk with each other, or would if nobody held.
    pub(crate) fn talkers(&self, call: Call) -> impl Iterator<Item = Leg> {
        let talks = |leg: &&Leg| {
            let it = &self.legs[**leg];
            it.state == State::Talking && it.place == Place::Call && !it.diverted && !it.ending
        };
        self.calls[call].legs.iter().filter(talks).copied()
    }

    /// The one other with whom a leg talks.
    pub(crate) fn peer(&self, leg: Leg) -> Option<Leg> {
        let mut talkers = self.talkers(self.legs[leg].call);
        match (talkers.next(), talkers.next(), talkers.next()) {
            (Some(one), Some(other), None) if one == leg => Some(other),
            (Some(other), Some(one), None) if one == leg => Some(other),
            _ => None,
        }
    }

    pub(crate) fn hears(&self, leg: Leg) -> Hears {
        let it = &self.legs[leg];
        let silent = |it: &Telephone| it.holds != Holds::No || it.aside;
        if it.state != State::Talking || silent(it) || it.diverted {
            return Hears::Nothing;
        }
        match it.place {
            Place::Echo => return Hears::Itself,
            Place::Voicemail => return Hears::Nothing,
            Place::Room(room) => return Hears::Room(room),
            Place::Call => {}
        }
        match self.peer(leg) {
            Some(peer) if silent(&self.legs[peer]) => Hears::Nothing,
            Some(peer) => Hears::Other(peer),
            None if self.talkers(it.call).count() > 2 => Hears::Mix(it.call),
            None => Hears::Nothing,
        }
    }

    /// The other calls in which the same phone holds.
    pub(crate) fn held_beside(&self, leg: Leg) -> Vec<Leg> {
        let it = &self.legs[leg];
        let same = |other: &Telephone| {
            it.user.is_some() && (other.user, other.device) == (it.user, it.device) && other.call != it.call
        };
        let holds = |other: &Telephone| other.state == State::Talking && other.holds != Holds::No;
        let beside = self.here().filter(|(_, other)| same(other) && holds(other));
        beside.map(|(leg, _)| leg).collect()
    }

    // What follows changes something.

    fn begin_call(&mut self, open: bool) -> Call {
        self.calls.push(Conversation { legs: Vec::new(), open });
        self.calls.len() - 1
    }

    fn add(&mut self, call: Call, (user, device): (Option<u8>, Option<u8>), called_us: bool) -> Leg {
        self.legs.push(Telephone {
            call,
            user,
            device,
            called_us,
            cause: LegCause::Normal,
            by: None,
            state: State::SettingUp,
            place: Place::Call,
            holds: Holds::No,
            aside: false,
            aside_by: None,
            diverted: false,
            ending: false,
            was_answered: false,
            then: None,
            talk_refused: false,
            muted: false,
            deafened: false,
            since_ms: self.now_ms,
            decided_by_ms: None,
            asleep: false,
            forgotten: false,
        });
        let leg = self.legs.len() - 1;
        self.calls[call].legs.push(leg);
        leg
    }

    /// A phone is to ring.
    fn ring(&mut self, call: Call, (user, device): (u8, u8), (cause, by): (LegCause, Option<Leg>)) -> Leg {
        let leg = self.add(call, (Some(user), Some(device)), false);
        (self.legs[leg].cause, self.legs[leg].by) = (cause, by);
        self.rung.push_back(leg);
        if device == SLEEPER {
            let it = &mut self.legs[leg];
            (it.state, it.asleep) = (State::Waking, true);
            it.decided_by_ms = Some(self.now_ms + WAKE_MS);
            self.rings(leg);
        }
        leg
    }

    /// Every phone of a user is to ring.
    fn ring_all(&mut self, call: Call, (user, devices): (u8, u8), why: (LegCause, Option<Leg>)) {
        for device in 0..devices {
            self.ring(call, (user, device), why);
        }
    }

    fn end(&mut self, leg: Leg) {
        if self.legs[leg].is_here() && !self.legs[leg].ending {
            self.legs[leg].ending = true;
            self.ending.push_back(leg);
        }
    }

    /// Whoever was told to end says so, one after the other.
    fn come_to_rest(&mut self) {
        while let Some(leg) = self.ending.pop_front() {
            self.gone(leg);
        }
    }

    /// A caller is answered, unless it was before.
    fn accept(&mut self, leg: Leg) {
        let it = &mut self.legs[leg];
        if it.is_here() && !it.ending {
            (it.state, it.was_answered, it.decided_by_ms) = (State::Talking, true, None);
        }
    }

    /// Callers of a call who were not answered yet. Who comes in another's place was called by nobody.
    fn waiting_callers(&self, call: Call) -> Vec<Leg> {
        let waits = |leg: &&Leg| {
            let it = &self.legs[**leg];
            it.called_us && it.state != State::Talking && !it.ending && it.cause != LegCause::Replaced
        };
        self.calls[call].legs.iter().filter(waits).copied().collect()
    }

    /// The phones that ring for one reason at one user: the first answer wins.
    fn fork_of(&self, leg: Leg) -> Vec<Leg> {
        let of = &self.legs[leg];
        let same = |leg: &&Leg| {
            let it = &self.legs[**leg];
            !it.is_party() && it.user == of.user && it.cause == of.cause
        };
        self.calls[of.call].legs.iter().filter(same).copied().collect()
    }

    /// A leg goes where a number leads.
    fn route(&mut self, leg: Leg, to: Target) {
        let place = match to {
            Target::Nobody => return self.end(leg),
            Target::Wait => return,
            Target::User(user, devices) => {
                return self.ring_all(self.legs[leg].call, (user, devices), (LegCause::Normal, None));
            }
            Target::Echo => Place::Echo,
            Target::Voicemail => Place::Voicemail,
            Target::Room(room) => Place::Room(room),
        };
        self.accept(leg);
        self.legs[leg].place = place;
    }

    /// A leg has gone, and what that means for the others.
    fn gone(&mut self, leg: Leg) {
        let gone = self.legs[leg].clone();
        if !gone.is_here() {
            return;
        }
        self.legs[leg].state = State::Gone;
        self.calls[gone.call].legs.retain(|other| *other != leg);
        if gone.is_party() {
            self.let_in_again(leg, gone.call);
        }
        if self.calls[gone.call].legs.is_empty() {
            self.named = self.named.filter(|call| *call != gone.call);
            return;
        }
        let stays = |leg: &Leg| !self.legs[*leg].ending;
        let staying = self.calls[gone.call].legs.iter().copied().filter(stays);
        let (parties, called): (Vec<_>, Vec<_>) = staying.partition(|leg| self.legs[*leg].is_party());
        let (leaving, parties): (Vec<_>, Vec<_>) =
            parties.into_iter().partition(|leg| self.legs[*leg].diverted);
        let was_party = gone.is_party() && !gone.diverted;
        match parties.as_slice() {
            // Nobody is left for whom it would ring.
            [] if was_party => called.iter().chain(&leaving).for_each(|leg| self.end(*leg)),
            [alone] if called.is_empty() => self.left_alone(*alone, &leaving, was_party),
            _ => {}
        }
    }

    /// Whom somebody put aside comes back when that one goes, and so does who is left with a single other.
    fn let_in_again(&mut self, gone: Leg, call: Call) {
        let talkers: Vec<Leg> = self.talkers(call).collect();
        for leg in &talkers {
            let it = &mut self.legs[*leg];
            if talkers.len() <= 2 || it.aside_by == Some(gone) {
                (it.aside, it.aside_by) = (false, None);
            }
        }
    }

    /// One party is left, and nobody rings for it.
    fn left_alone(&mut self, alone: Leg, leaving: &[Leg], party_left: bool) {
        let open = self.calls[self.legs[alone].call].open;
        let with_machine = |leg: Leg| self.legs[leg].place != Place::Call;
        match *leaving {
            // It was passed on to somebody who did not answer: back to whoever did so.
            [back] if !party_left && !with_machine(alone) && !with_machine(back) => {
                self.legs[back].diverted = false;
            }
            [back] if !party_left => self.end(back),
            _ if open || with_machine(alone) => {}
            _ => self.end(alone),
        }
    }

    /// Whoever passed the call on, and stayed to hear how that went, goes.
    fn release_transferors(&mut self, call: Call) {
        let stays = |leg: &Leg| self.legs[*leg].diverted && self.legs[*leg].state == State::Talking;
        let all: Vec<Leg> = self.calls[call].legs.iter().copied().filter(stays).collect();
        all.into_iter().for_each(|leg| self.end(leg));
    }

    /// An answered leg takes the place of the one for which it was called.
    fn take_over(&mut self, leg: Leg) {
        let Some(old) = self.legs[leg].by.filter(|old| self.legs[*old].is_here()) else { return };
        if !self.legs[old].is_party() {
            self.legs[old].diverted = true;
            self.fork_of(old).into_iter().for_each(|ringing| self.end(ringing));
            return;
        }
        let (holds, muted, deafened) = {
            let old = &self.legs[old];
            (old.holds, old.muted, old.deafened)
        };
        let it = &mut self.legs[leg];
        (it.muted, it.deafened) = (it.muted || muted, it.deafened || deafened);
        if holds == Holds::ByApplication {
            it.holds = holds;
        }
        self.end(old);
    }

    /// Those who stay in the call of `by` get somebody else: phones ring, or a machine serves who is alone.
    fn send_on(&mut self, by: Leg, cause: LegCause, to: Target) {
        let call = self.legs[by].call;
        if let Target::User(user, devices) = to {
            return self.ring_all(call, (user, devices), (cause, Some(by)));
        }
        let stays = |leg: &Leg| {
            let it = &self.legs[*leg];
            *leg != by && it.is_party() && !it.diverted && !it.ending
        };
        let staying: Vec<Leg> = self.calls[call].legs.iter().copied().filter(stays).collect();
        if let [alone] = staying[..] {
            self.route(alone, to);
        }
    }

    /// What rings goes elsewhere: first the new ones, so that nobody is left alone in between.
    fn send_ringing_on(&mut self, leg: Leg, cause: LegCause, to: Target) {
        let fork = self.fork_of(leg);
        self.legs[leg].diverted = true;
        self.send_on(leg, cause, to);
        fork.into_iter().for_each(|ringing| self.end(ringing));
    }
}
