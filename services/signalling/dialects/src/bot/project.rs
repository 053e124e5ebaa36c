//! What a team is told of a fact.
//!
//! A contact that rings on several devices is one member: it is invited with the first leg, and its invitation ends with the
//! first answer or the last refusal. A call is told of with its first leg, because only then is its thread's id known.

use sidetone_model::fact::{Fact, FactKind};
use sidetone_model::fold::{CallView, Fold, LegView};
use sidetone_model::ids::{CallId, LegId};

use super::event::{self, Happened};
use super::request::contact_of;
use super::view::is_held;
use crate::{Application, ApplicationKind, Emission, OrderKey, People, Projected, Recipient};

/// Somebody in a call, and what became of it.
type Happening = (LegId, Happened);

pub(crate) fn project<'a>(before: &Fold, fact: &'a Fact, people: &'a dyn People) -> Projected<'a> {
    let left = left_before(before, fact);
    let held = held_before(before, fact);
    let was_answered = match &fact.kind {
        FactKind::LegEnded { leg, .. } => before.leg(*leg).is_some_and(LegView::is_answered),
        _ => false,
    };
    Box::new(move |after| {
        let teams: Vec<Application> = people
            .applications(&fact.tenant)
            .into_iter()
            .filter(|application| application.kind == ApplicationKind::Bot)
            .collect();
        if teams.is_empty() {
            return Vec::new();
        }
        let mut told = Vec::new();
        let mut tell = |call: &CallView, body: &dyn Fn(&str) -> serde_json::Value| {
            for team in teams.iter().filter(|team| team.has([&call.from.number, &call.dialled])) {
                told.push(Emission {
                    recipient: Recipient::Application(team.id.clone()),
                    order: OrderKey::Call(call.call),
                    body: body(&team.id),
                });
            }
        };
        if let FactKind::LegCreated { call, .. } = &fact.kind
            && let Some(call) = after.call(*call).filter(|call| call.legs.len() == 1)
        {
            tell(call, &|team| event::created(team, after, call));
        }
        if let Some((call, leg)) = left.and_then(|(call, leg)| Some((after.call(call)?, after.leg(leg)?))) {
            tell(call, &|team| event::member(team, call, leg, Happened::Left));
        }
        for (leg, happened) in happenings(after, fact, was_answered, held.as_deref()) {
            if let Some((call, leg)) = after.leg(leg).and_then(|leg| Some((after.call(leg.call)?, leg))) {
                tell(call, &|team| event::member(team, call, leg, happened));
            }
        }
        if let FactKind::CallEnded { call, .. } = &fact.kind
            && let Some(call) = after.call(*call)
        {
            tell(call, &|team| event::ended(team, call));
        }
        told
    })
}

/// A leg that goes to another call leaves the one that it was in.
fn left_before(before: &Fold, fact: &Fact) -> Option<(CallId, LegId)> {
    match &fact.kind {
        FactKind::LegMoved { leg, from, .. } if before.leg(*leg)?.is_answered() => Some((*from, *leg)),
        _ => None,
    }
}

/// Who was on hold before a fact that may change that.
fn held_before(before: &Fold, fact: &Fact) -> Option<Vec<LegId>> {
    let leg = match &fact.kind {
        FactKind::LegHeld { leg, .. }
        | FactKind::LegRetrieved { leg }
        | FactKind::ParticipantHeld { leg, .. }
        | FactKind::ParticipantRetrieved { leg } => before.leg(*leg)?,
        _ => return None,
    };
    Some(held_in(before, leg.call))
}

fn held_in(fold: &Fold, call: CallId) -> Vec<LegId> {
    fold.live_legs(call).filter(|leg| is_held(fold, leg)).map(|leg| leg.leg).collect()
}

fn happenings(after: &Fold, fact: &Fact, was_answered: bool, held: Option<&[LegId]>) -> Vec<Happening> {
    match &fact.kind {
        FactKind::LegCreated { leg, incoming: false, .. } if !rings_elsewhere(after, *leg) => {
            vec![(*leg, Happened::Invited)]
        }
        FactKind::LegAnswered { leg } if after.leg(*leg).is_some_and(|leg| !leg.incoming) => {
            vec![(*leg, Happened::InviteEnded { answered: true })]
        }
        FactKind::LegMoved { leg, .. } if after.leg(*leg).is_some_and(LegView::is_answered) => {
            vec![(*leg, Happened::Invited), (*leg, Happened::InviteEnded { answered: true })]
        }
        FactKind::LegDigit { leg, digit, .. } => vec![(*leg, Happened::Digit(*digit))],
        FactKind::LegEnded { leg, .. } => ended(after, *leg, was_answered).into_iter().collect(),
        FactKind::LegHeld { leg, .. }
        | FactKind::LegRetrieved { leg }
        | FactKind::ParticipantHeld { leg, .. }
        | FactKind::ParticipantRetrieved { leg } => {
            let (Some(before), Some(leg)) = (held, after.leg(*leg)) else { return Vec::new() };
            let now = held_in(after, leg.call);
            let newly = now.iter().filter(|leg| !before.contains(leg)).map(|leg| (*leg, Happened::Held));
            let again = before.iter().filter(|leg| !now.contains(leg)).map(|leg| (*leg, Happened::Unheld));
            newly.chain(again).collect()
        }
        _ => Vec::new(),
    }
}

fn ended(after: &Fold, leg: LegId, was_answered: bool) -> Option<Happening> {
    let view = after.leg(leg)?;
    if was_answered || view.incoming {
        return Some((leg, Happened::Left));
    }
    // Another device of the same contact has answered, or may still.
    (!rings_elsewhere(after, leg)).then_some((leg, Happened::InviteEnded { answered: false }))
}

/// Whether the contact of a leg has another live one in the same call.
fn rings_elsewhere(fold: &Fold, leg: LegId) -> bool {
    let Some(view) = fold.leg(leg) else { return false };
    let mut others = fold.live_legs(view.call).filter(|other| other.leg != leg && !other.incoming);
    others.any(|other| contact_of(other) == contact_of(view))
}
