//! What users are told of a fact: the difference between what they saw before it and what they see after it.
//!
//! Bodies of one fact go out in the order in which the users joined the call; what a fact changes in a user's other calls
//! follows behind the call itself, and the user's own state last.

mod event;
mod seen;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use sidetone_model::call::{DivertCause, LegCause};
use sidetone_model::fact::{Fact, FactKind};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{CallId, LegId, TenantId, UserId};
use sidetone_model::termination::{Cause, Termination};

pub(crate) use event::{Speaker, call_data, call_ref, device_state_body, leg_body, participant_body, said};
pub(crate) use seen::{Beside, Seen};

use crate::telephony::words::Cause as Told;
use crate::{Emission, OrderKey, People, Projected, Recipient};

/// Why something happened, as it is told.
#[derive(Debug, Clone, Default)]
struct Why {
    /// To everybody in the call.
    all: Option<Told>,
    /// Where whoever passed the call on sent it.
    new_destination: Option<Box<str>>,
    /// The call to which legs went, and that they left.
    moved: Option<(CallId, CallId)>,
}

/// What the users of the calls that a fact concerns see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Sight {
    /// Of those calls, and of the users' other ones as far as the fact may change what they see of them.
    seen: BTreeMap<(UserId, CallId), Seen>,
    /// What users have beside that.
    elsewhere: BTreeMap<UserId, Elsewhere>,
}

/// Calls of a user that look the same whatever happens to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Elsewhere {
    /// There are some.
    any: bool,
    /// In one of them the user is busy.
    busy: bool,
}

impl Sight {
    fn of(&self, user: &UserId, call: CallId) -> Option<&Seen> {
        self.seen.get(&(user.clone(), call))
    }

    /// The calls of which there is something to say, in the order in which they began.
    fn calls_of(&self, user: &UserId) -> impl Iterator<Item = (CallId, &Seen)> {
        let first = (user.clone(), CallId::from(uuid::Uuid::nil()));
        let own = self.seen.range(first..).take_while(move |((of, _), _)| of == user);
        own.map(|((_, call), seen)| (*call, seen))
    }

    fn is_of_somebody(&self) -> bool {
        !self.seen.is_empty() || self.elsewhere.values().any(|they| they.any)
    }

    fn has_calls(&self, user: &UserId) -> bool {
        self.calls_of(user).next().is_some() || self.elsewhere.get(user).is_some_and(|they| they.any)
    }

    fn is_busy(&self, user: &UserId) -> bool {
        self.calls_of(user).any(|(_, seen)| seen.is_busy())
            || self.elsewhere.get(user).is_some_and(|they| they.busy)
    }
}

pub(crate) fn project<'a>(before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
    if let FactKind::DeviceStateChanged { user, device, in_service } = &fact.kind {
        if !people.is_listened_to(&fact.tenant, user) {
            return Box::new(|_| Vec::new());
        }
        return Box::new(move |_| {
            let body = event::device_state(user, device.as_str(), *in_service);
            vec![emission(user, OrderKey::User(user.clone()), body)]
        });
    }
    let calls = calls_of(before, &fact.kind);
    if calls.is_empty() {
        return Box::new(|_| Vec::new());
    }
    let mut users = users_of(before, &calls);
    if let FactKind::LegCreated { party, .. } = &fact.kind
        && let Some(user) = party.user.as_ref().filter(|user| !users.contains(user))
    {
        users.push(user.clone());
    }
    users.retain(|user| people.is_listened_to(&fact.tenant, user));
    if users.is_empty() {
        return Box::new(|_| Vec::new());
    }
    let holds = matches!(fact.kind, FactKind::LegHeld { .. });
    // Of calls that the fact is not about, what may be done in one changes only with whom else the user holds.
    let wide: Vec<bool> = users
        .iter()
        .map(|user| holds || before.holding_legs_of(&fact.tenant, user).next().is_some())
        .collect();
    let was = sight(before, &fact.tenant, (&users, &wide), &calls);
    Box::new(move |after| {
        let is = sight(after, &fact.tenant, (&users, &wide), &calls);
        if was == is {
            return Vec::new();
        }
        let why = why(after, &fact.kind, &was);
        Telling { speaker: Speaker { people, tenant: &fact.tenant }, calls: &calls, was, is, why }
            .tell(&users)
    })
}

struct Telling<'a> {
    speaker: Speaker<'a>,
    calls: &'a [CallId],
    was: Sight,
    is: Sight,
    why: Why,
}

impl Telling<'_> {
    fn tell(&self, users: &[UserId]) -> Vec<Emission> {
        let mut told = Vec::new();
        for user in users {
            self.other_phones_first(user, &mut told);
        }
        for user in users {
            let (mut late, mut order) = (Vec::new(), self.calls.first().copied());
            for (call, was, is) in self.calls_of(user) {
                order.get_or_insert(call);
                let mut bodies = self.bodies(user, call, was, is);
                late.extend(bodies.split_off(bodies.len().min(1)).into_iter().map(|body| (call, body)));
                told.extend(bodies.into_iter().map(|body| emission(user, OrderKey::Call(call), body)));
            }
            if let Some(busy) = self.state_change(user)
                && let Some(call) = order
            {
                told.push(emission(user, OrderKey::Call(call), event::user_state(user, busy)));
            }
            told.extend(late.into_iter().map(|(call, body)| emission(user, OrderKey::Call(call), body)));
        }
        told
    }

    /// When a call that rings on several phones is sent on, all but the first fall silent first.
    fn other_phones_first(&self, user: &UserId, told: &mut Vec<Emission>) {
        if self.why.new_destination.is_none() {
            return;
        }
        for (call, was, is) in self.calls_of(user) {
            if let (Some(was), None) = (was, is) {
                for leg in was.legs.iter().skip(1) {
                    told.push(emission(user, OrderKey::Call(call), event::leg_removed(user, call, leg)));
                }
            }
        }
    }

    /// A user's calls: first those that the fact is about.
    fn calls_of(&self, user: &UserId) -> Vec<(CallId, Option<&Seen>, Option<&Seen>)> {
        let others = self.was.calls_of(user).chain(self.is.calls_of(user)).map(|(call, _)| call);
        let mut told: BTreeSet<CallId> = self.calls.iter().copied().collect();
        // A call that both know is told of in the place where it was known first.
        let others: Vec<CallId> = others.filter(|call| told.insert(*call)).collect();
        let seen = |call| (call, self.was.of(user, call), self.is.of(user, call));
        self.calls.iter().copied().chain(others).map(seen).collect()
    }

    fn bodies(
        &self,
        user: &UserId,
        call: CallId,
        was: Option<&Seen>,
        is: Option<&Seen>,
    ) -> Vec<serde_json::Value> {
        match (was, is) {
            (None, None) => Vec::new(),
            (None, Some(is)) => {
                let cause = self.why.all.or_else(|| cause_of_arrival(is.cause));
                vec![self.speaker.created(user, is, (cause, self.previous(user, call)))]
            }
            (Some(was), Some(is)) => {
                let about = self.calls.contains(&call);
                let why = (self.why.all.filter(|_| about), self.previous(user, call));
                self.speaker.modified(user, (was, is), why)
            }
            (Some(was), None) => {
                let last = !self.is.has_calls(user);
                let replaced = self.why.moved.filter(|(from, _)| *from == call).map(|(_, to)| to);
                let why = (self.why.all, self.why.new_destination.as_deref(), replaced);
                vec![event::removed(user, was, why, last)]
            }
        }
    }

    /// The call of the user in whose place this one now is.
    fn previous(&self, user: &UserId, call: CallId) -> Option<CallId> {
        let (from, _) = self.why.moved.filter(|(_, to)| *to == call)?;
        let left = self.was.of(user, from).is_some() && self.is.of(user, from).is_none();
        left.then_some(from)
    }

    /// Whether the user has become busy, or free.
    fn state_change(&self, user: &UserId) -> Option<bool> {
        let (was, is) = (self.was.is_busy(user), self.is.is_busy(user));
        (was != is).then_some(is)
    }
}

fn emission(user: &UserId, order: OrderKey, body: serde_json::Value) -> Emission {
    Emission { recipient: Recipient::User(user.clone()), order, body }
}

/// What these users see of these calls, and of all others that they are in: `wide` says of whom in full.
fn sight(fold: &Fold, tenant: &TenantId, (users, wide): (&[UserId], &[bool]), calls: &[CallId]) -> Sight {
    let mut sight = Sight::default();
    for (user, wide) in users.iter().zip(wide) {
        for call in calls {
            if let Some(seen) = Seen::of(fold, *call, (tenant, user)) {
                sight.seen.insert((user.clone(), *call), seen);
            }
        }
        if *wide {
            for seen in Seen::all(fold, tenant, user) {
                sight.seen.insert((user.clone(), seen.call), seen);
            }
        } else {
            sight.elsewhere.insert(user.clone(), elsewhere(fold, tenant, user, calls));
        }
    }
    sight
}

/// Whether a user has other calls, and is busy in one: whoever has hundreds is, in the first that is looked at.
fn elsewhere(fold: &Fold, tenant: &TenantId, user: &UserId, but: &[CallId]) -> Elsewhere {
    let mut they = Elsewhere::default();
    for leg in fold.live_legs_of(tenant, user).filter(|leg| !but.contains(&leg.call)) {
        if let Some(seen) = Seen::of(fold, leg.call, (tenant, user)) {
            they = Elsewhere { any: true, busy: seen.is_busy() };
        }
        if they.busy {
            break;
        }
    }
    they
}

/// Who is in these calls, in the order in which they joined.
fn users_of(fold: &Fold, calls: &[CallId]) -> Vec<UserId> {
    let mut users: Vec<UserId> = Vec::new();
    for leg in calls.iter().flat_map(|call| fold.live_legs(*call)) {
        match &leg.party.user {
            Some(user) if !users.contains(user) => users.push(user.clone()),
            _ => {}
        }
    }
    users
}

/// The calls that a fact is about.
fn calls_of(fold: &Fold, kind: &FactKind) -> Vec<CallId> {
    use FactKind::{
        CallDiverted, CallEnded, ConferenceEnded, LegAnswered, LegAudioChanged, LegCreated, LegEnded,
        LegHeld, LegMoved, LegRetrieved, LegRinging, LegServed, LegTalkRefused, LegWaiting, LegWaking,
        LegsBridged, ParticipantHeld, ParticipantJoined, ParticipantLeft, ParticipantRetrieved,
        RecordingFailed, RecordingFinished, RecordingMoved, RecordingPaused, RecordingResumed,
        RecordingStarted,
    };
    let of_leg = |leg: &LegId| fold.leg(*leg).map(|leg| leg.call);
    let of_recording = |id| fold.recording(id).map(|recording| recording.call);
    match kind {
        LegMoved { from, to, .. } | RecordingMoved { from, to, .. } => vec![*from, *to],
        LegCreated { call, .. }
        | CallDiverted { call, .. }
        | CallEnded { call, .. }
        | LegsBridged { call, .. }
        | RecordingStarted { call, .. } => vec![*call],
        LegRinging { leg }
        | LegWaking { leg }
        | LegTalkRefused { leg, .. }
        | LegWaiting { leg }
        | LegAnswered { leg }
        | LegAudioChanged { leg, .. }
        | LegHeld { leg, .. }
        | LegRetrieved { leg }
        | LegServed { leg, .. }
        | LegEnded { leg, .. }
        | ParticipantJoined { leg, .. }
        | ParticipantLeft { leg, .. }
        | ParticipantHeld { leg, .. }
        | ParticipantRetrieved { leg } => of_leg(leg).into_iter().collect(),
        ConferenceEnded { conference } => {
            fold.conference(*conference).and_then(|meeting| meeting.call).into_iter().collect()
        }
        RecordingPaused { recording, .. }
        | RecordingResumed { recording }
        | RecordingFinished { recording, .. }
        | RecordingFailed { recording, .. } => of_recording(*recording).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn why(after: &Fold, kind: &FactKind, was: &Sight) -> Why {
    match kind {
        FactKind::CallDiverted { cause, to, .. } => {
            let all = match cause {
                DivertCause::Transferred => Told::Transferred,
                DivertCause::Redirected => Told::Redirected,
                DivertCause::Overflown => Told::Overflown,
                DivertCause::PickedUp => Told::PickedUp,
            };
            Why { all: Some(all), new_destination: Some(to.number.clone()), moved: None }
        }
        FactKind::LegMoved { from, to, cause, .. } => {
            use sidetone_model::call::MoveCause;
            let all = match cause {
                MoveCause::Transferred => Told::Transferred,
                MoveCause::Merged => Told::Conferenced,
            };
            Why { all: Some(all), new_destination: None, moved: Some((*from, *to)) }
        }
        FactKind::LegCreated { leg, .. }
        | FactKind::LegWaking { leg }
        | FactKind::LegRinging { leg }
        | FactKind::LegAnswered { leg } => {
            let joins = after.leg(*leg).is_some_and(|leg| leg.cause == LegCause::Conferenced);
            Why { all: joins.then_some(Told::Conferenced), ..Why::default() }
        }
        FactKind::LegEnded { leg, termination } => {
            let answered = after.leg(*leg).is_some_and(|leg| leg.answered_at.is_some());
            let all = (!answered && was.is_of_somebody()).then(|| cause_of_end(termination)).flatten();
            Why { all, ..Why::default() }
        }
        _ => Why::default(),
    }
}

/// What brought a call to somebody.
fn cause_of_arrival(cause: LegCause) -> Option<Told> {
    match cause {
        LegCause::Transferred => Some(Told::Transferred),
        LegCause::Redirected => Some(Told::Redirected),
        LegCause::Overflown => Some(Told::Overflown),
        LegCause::Conferenced => Some(Told::Conferenced),
        LegCause::PickedUp => Some(Told::PickedUp),
        LegCause::Intrusion => Some(Told::SupervisorIntrusion),
        _ => None,
    }
}

/// Why a call was not answered; none where nothing is to be said of it.
fn cause_of_end(termination: &Termination) -> Option<Told> {
    match termination.cause {
        Cause::Busy => Some(Told::Busy),
        Cause::NoAnswer => Some(Told::NotAnswered),
        Cause::NotFound => Some(Told::InvalidNumber),
        Cause::Unavailable => Some(Told::DestinationNotObtainable),
        Cause::Cancelled => Some(Told::Abandoned),
        Cause::NoCapacity => Some(Told::ResourcesNotAvailable),
        _ => None,
    }
}
