//! A call as one of its users sees it.

use sidetone_model::call::LegCause;
use sidetone_model::fold::{CallView, Fold, LegView, RecordingPhase};
use sidetone_model::ids::{CallId, LegId, TenantId, UserId};

use super::standing::{Standing, is_passed_on, leaves, makes_call};
use crate::telephony::words::{CallState, RecordState};

/// A call as one of its users sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) call: CallId,
    pub(crate) initial_called: Box<str>,
    pub(crate) state: CallState,
    pub(crate) capabilities: Vec<&'static str>,
    /// How it is being recorded, between people.
    pub(crate) record: Option<RecordState>,
    /// The user made it, and is not to be named.
    pub(crate) anonymous: bool,
    pub(crate) cause: LegCause,
    /// The number of whoever asked the user in.
    pub(crate) initiator: Option<Box<str>>,
    pub(crate) legs: Vec<SeenLeg>,
    pub(crate) participants: Vec<SeenParticipant>,
}

/// What may be done beside what events tell: the document's events are shown as they are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Beside {
    pub(crate) call: Vec<&'static str>,
    pub(crate) legs: Vec<(LegId, Vec<&'static str>)>,
}

/// One device of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenLeg {
    pub(crate) leg: LegId,
    pub(crate) device: Box<str>,
    pub(crate) state: CallState,
    pub(crate) capabilities: Vec<&'static str>,
}

/// Somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenParticipant {
    pub(crate) number: Box<str>,
    pub(crate) user: Option<UserId>,
    pub(crate) display_name: Box<str>,
    pub(crate) anonymous: bool,
    /// Told of those who were asked in only.
    pub(crate) state: Option<CallState>,
}

impl Seen {
    /// A call as a user of a tenant sees it; none when the user does not.
    pub(crate) fn of(fold: &Fold, call: CallId, (tenant, user): (&TenantId, &UserId)) -> Option<Self> {
        // A shard holds several tenants, and users of all of them may have the same name.
        let call = fold.call(call).filter(|call| call.tenant == *tenant)?;
        let mut own: Vec<(Standing, &LegView)> = fold
            .live_legs(call.call)
            .filter(|leg| leg.party.user.as_ref() == Some(user))
            .filter_map(|leg| Some((Standing::of(fold, call, leg)?, leg)))
            .collect();
        // Telephones are told of in the order in which they began to ring, whatever the order in which they were called.
        own.sort_by_key(|(_, leg)| leg.rang_at.unwrap_or(leg.created_at));
        // One who talks on one phone is not asked about the others.
        let (standing, main) = *own.iter().find(|(_, leg)| leg.is_answered()).or(own.first())?;
        let legs = own.iter().map(|(standing, leg)| SeenLeg {
            leg: leg.leg,
            device: leg.party.device.as_ref().map_or("", |device| device.as_str()).into(),
            state: standing.state(),
            capabilities: standing.of_leg(fold.capabilities(leg.leg), leg),
        });
        let asked_anew = matches!(main.cause, LegCause::Transferred | LegCause::Conferenced);
        let asker = main.by.and_then(|by| fold.leg(by)).filter(|_| main.cause == LegCause::Conferenced);
        Some(Self {
            call: call.call,
            initial_called: if asked_anew { main.party.number.clone() } else { call.dialled.clone() },
            state: standing.state(),
            capabilities: standing.of_call(fold.capabilities(main.leg)),
            record: record_state(fold, call).filter(|_| standing != Standing::Served),
            anonymous: call.anonymous && makes_call(call, main),
            cause: main.cause,
            initiator: asker.map(|asker| asker.party.number.clone()),
            legs: legs.collect(),
            participants: participants(fold, call, user),
        })
    }

    /// What the user may do beside what events tell.
    pub(crate) fn beside(&self, fold: &Fold) -> Beside {
        let main = self.legs.iter().find_map(|leg| fold.leg(leg.leg).filter(|leg| leg.is_answered()));
        let of_leg = |leg: &SeenLeg| {
            let view = fold.leg(leg.leg)?;
            Some((leg.leg, Standing::of_leg_beside(fold.capabilities(leg.leg), view)))
        };
        Beside {
            call: main.map_or(Vec::new(), |leg| Standing::of_call_beside(fold.capabilities(leg.leg))),
            legs: self.legs.iter().filter_map(of_leg).collect(),
        }
    }

    /// Whether the user is busy with it.
    pub(crate) fn is_busy(&self) -> bool {
        self.state != CallState::RingingIncoming
    }

    /// Every call that a user sees, in the order in which they began.
    pub(crate) fn all(fold: &Fold, tenant: &TenantId, user: &UserId) -> Vec<Self> {
        let mut calls: Vec<CallId> = fold.live_legs_of(tenant, user).map(|leg| leg.call).collect();
        calls.sort_unstable();
        calls.dedup();
        calls.into_iter().filter_map(|call| Self::of(fold, call, (tenant, user))).collect()
    }
}

fn record_state(fold: &Fold, call: &CallView) -> Option<RecordState> {
    let running = fold.running_recording(call.call)?;
    let paused = running.phase == RecordingPhase::Paused;
    Some(if paused { RecordState::Paused } else { RecordState::Recording })
}

/// Whoever else is in the call, in the order in which they joined; or whoever is awaited.
fn participants(fold: &Fold, call: &CallView, user: &UserId) -> Vec<SeenParticipant> {
    let mut found: Vec<SeenParticipant> = Vec::new();
    let others = fold.live_legs(call.call).filter(|leg| leg.party.user.as_ref() != Some(user));
    for leg in others.filter(|leg| !leaves(fold, leg)) {
        let state = leg
            .joins()
            .then(|| if leg.is_answered() { CallState::Active } else { CallState::RingingIncoming });
        let anonymous = call.anonymous && makes_call(call, leg);
        match found.iter_mut().find(|other| other.number == leg.party.number) {
            Some(other) if leg.is_answered() => other.state = state,
            Some(_) => {}
            None => found.push(SeenParticipant {
                number: leg.party.number.clone(),
                user: leg.party.user.clone(),
                display_name: leg.party.display_name.clone(),
                anonymous,
                state,
            }),
        }
    }
    if found.is_empty() {
        found.extend(awaited(fold, call));
    }
    found
}

/// Whom the only party of a call waits for, while that has no leg.
fn awaited(fold: &Fold, call: &CallView) -> Option<SeenParticipant> {
    let none_yet = call.legs.len() <= 1 && call.ended.is_none();
    let served = fold.live_legs(call.call).any(|leg| leg.served_by.is_some() || leg.conference.is_some());
    let party = match &call.diverted_to {
        Some(to) if is_passed_on(fold, call) || served => Some(to.clone()),
        _ if none_yet || (served && call.diverted_to.is_none()) => None,
        _ => return None,
    };
    let (number, user, display_name) = match party {
        Some(party) => (party.number, party.user, party.display_name),
        None => {
            let user = match &call.destination {
                Some(sidetone_model::party::Destination::User(user)) => Some(user.clone()),
                _ => None,
            };
            (call.dialled.clone(), user, "".into())
        }
    };
    Some(SeenParticipant { number, user, display_name, anonymous: false, state: None })
}
