//! Call detail records: one per leg, one of how it sounded, and one per call; each made of one fact and the fold after it.

use super::{Fold, LegView};
use crate::call::{AnsweredBy, LegQuality};
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, LegId, NodeId, RecordingId, ReplicaId, TenantId};
use crate::party::Party;
use crate::termination::Termination;
use crate::time::Timestamp;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CdrKind {
    /// One leg.
    Leg,
    /// A whole call.
    Call,
    /// How a leg sounded; it comes after the leg's own.
    Quality,
}

/// One call detail record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdr {
    /// What it is about.
    pub kind: CdrKind,
    /// Whose.
    pub tenant: TenantId,
    /// The call.
    pub call: CallId,
    /// The leg, for a leg's record.
    pub leg: Option<LegId>,
    /// The call in which the leg began, when it has moved since: `from` and `to` are those of that call.
    pub first_call: Option<CallId>,
    /// Who passed the call on to the leg, or the leg on; for a call, who did so last while talking.
    pub transferred_by: Option<Party>,
    /// Whether a phone called us; for a call, whether it began so.
    pub incoming: bool,
    /// Who called.
    pub from: Party,
    /// Who was called, as far as known.
    pub to: Party,
    /// When it began.
    pub started_at: Timestamp,
    /// Over which trunk it came or went; of a call, its first leg.
    pub trunk: Option<Box<str>>,
    /// Who answered.
    pub answered_by: AnsweredBy,
    /// Its device had no contact when it was called, and was waited for.
    pub was_asleep: bool,
    /// When that had registered.
    pub woken_at: Option<Timestamp>,
    /// When it was answered. A call that an application makes is, when its two sides first meet.
    pub answered_at: Option<Timestamp>,
    /// When it ended: of what was lost with a process, when it was last known to be there.
    pub ended_at: Timestamp,
    /// Why.
    pub termination: Termination,
    /// The media node.
    pub node: Option<NodeId>,
    /// The signalling replica.
    pub replica: Option<ReplicaId>,
    /// The SIP Call-ID.
    pub sip_call_id: Box<str>,
    /// How it sounded, for a record of quality.
    pub quality: Option<Box<LegQuality>>,
    /// What was recorded of it, for a call's record.
    pub recordings: Vec<RecordingId>,
}

impl Cdr {
    /// From answer to end, in milliseconds; 0 when never answered.
    pub fn talk_ms(&self) -> u64 {
        self.answered_at.map_or(0, |answered| self.ended_at.since(answered).as_millis() as u64)
    }

    /// The record that a fact brings about, if any. `after` has taken the fact in.
    pub fn project(fact: &Fact, after: &Fold) -> Option<Self> {
        match &fact.kind {
            FactKind::LegEnded { leg, termination } => Self::of_leg(*leg, termination, fact.at, after),
            FactKind::LegMeasured { leg, quality } => {
                // What it was told of last stands: a leg is measured when it has ended.
                let (ended_at, termination) = after.leg(*leg)?.ended.clone()?;
                let of_leg = Self::of_leg(*leg, &termination, ended_at, after)?;
                Some(Self { kind: CdrKind::Quality, quality: Some(quality.clone()), ..of_leg })
            }
            FactKind::CallEnded { call, termination } => Self::of_call(*call, termination, fact.at, after),
            _ => None,
        }
    }

    fn of_leg(leg: LegId, termination: &Termination, at: Timestamp, fold: &Fold) -> Option<Self> {
        let view = fold.leg(leg)?;
        let call = fold.call(view.call)?;
        let (from, dialled) = match &view.origin {
            Some(origin) => (&origin.from, &origin.dialled),
            None => (&call.from, &call.dialled),
        };
        let dialled = Party { number: dialled.clone(), ..Party::default() };
        let (from, to) =
            if view.incoming { (view.party.clone(), dialled) } else { (from.clone(), view.party.clone()) };
        Some(Self {
            kind: CdrKind::Leg,
            tenant: view.tenant.clone(),
            call: view.call,
            leg: Some(leg),
            first_call: view.origin.as_ref().map(|origin| origin.call).filter(|first| *first != view.call),
            transferred_by: view.transferred_by.clone(),
            incoming: view.incoming,
            from,
            to,
            started_at: view.created_at,
            trunk: view.trunk.clone(),
            answered_by: view.answered_by,
            was_asleep: view.was_asleep,
            woken_at: view.woken_at,
            answered_at: view.answered_at,
            ended_at: ended_at(view, at),
            termination: termination.clone(),
            node: view.node.as_ref().map(|(node, _)| node.clone()),
            replica: Some(view.replica.clone()),
            sip_call_id: view.sip_call_id.clone(),
            quality: None,
            recordings: Vec::new(),
        })
    }

    fn of_call(call: CallId, termination: &Termination, at: Timestamp, fold: &Fold) -> Option<Self> {
        let view = fold.call(call)?;
        let first = view.first_leg.or_else(|| view.legs.first().copied()).and_then(|leg| fold.leg(leg));
        let answered = first.filter(|_| view.answered_at.is_some());
        let legs = || view.legs.iter().filter_map(|leg| fold.leg(*leg));
        // The last of them, when some were lost before that was found.
        let last = legs().filter_map(|leg| Some(ended_at(leg, leg.ended.as_ref()?.0))).max();
        let ended_at = last.filter(|_| legs().any(|leg| leg.last_held.is_some())).unwrap_or(at);
        Some(Self {
            kind: CdrKind::Call,
            tenant: view.tenant.clone(),
            call,
            leg: None,
            first_call: None,
            transferred_by: view.transferred_by.clone(),
            incoming: !view.by_application,
            from: view.from.clone(),
            to: Party { number: view.dialled.clone(), ..Party::default() },
            started_at: view.created_at,
            trunk: first.and_then(|leg| leg.trunk.clone()),
            answered_by: answered.map(|leg| leg.answered_by).unwrap_or_default(),
            was_asleep: false,
            woken_at: None,
            answered_at: view.answered_at,
            ended_at,
            termination: termination.clone(),
            node: first.and_then(|leg| leg.node.as_ref()).map(|(node, _)| node.clone()),
            replica: first.map(|leg| leg.replica.clone()),
            sip_call_id: first.map(|leg| leg.sip_call_id.clone()).unwrap_or_default(),
            quality: None,
            recordings: view.recordings_moved.iter().chain(&view.recordings).copied().collect(),
        })
    }
}

/// A leg that was lost was last there before that was found, and after it was answered.
fn ended_at(leg: &LegView, told: Timestamp) -> Timestamp {
    let held = leg.last_held.map(|held| held.max(leg.answered_at.unwrap_or(leg.created_at)));
    held.map_or(told, |held| held.min(told))
}
