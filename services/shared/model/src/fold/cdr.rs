//! Call detail records: one per leg, one of how it sounded, and one per call; each made of one fact and the fold after it.

use super::Fold;
use crate::call::LegQuality;
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, LegId, NodeId, ReplicaId, TenantId};
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
    /// Whether a phone called us; for a call, of its first leg.
    pub incoming: bool,
    /// Who called.
    pub from: Party,
    /// Who was called, as far as known.
    pub to: Party,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
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
        let dialled = Party { number: call.dialled.clone(), ..Party::default() };
        let (from, to) = if view.incoming {
            (view.party.clone(), dialled)
        } else {
            (call.from.clone(), view.party.clone())
        };
        Some(Self {
            kind: CdrKind::Leg,
            tenant: view.tenant.clone(),
            call: view.call,
            leg: Some(leg),
            incoming: view.incoming,
            from,
            to,
            started_at: view.created_at,
            answered_at: view.answered_at,
            ended_at: at,
            termination: termination.clone(),
            node: view.node.as_ref().map(|(node, _)| node.clone()),
            replica: Some(view.replica.clone()),
            sip_call_id: view.sip_call_id.clone(),
            quality: None,
        })
    }

    fn of_call(call: CallId, termination: &Termination, at: Timestamp, fold: &Fold) -> Option<Self> {
        let view = fold.call(call)?;
        let first = view.legs.first().and_then(|leg| fold.leg(*leg));
        Some(Self {
            kind: CdrKind::Call,
            tenant: view.tenant.clone(),
            call,
            leg: None,
            incoming: first.is_some_and(|leg| leg.incoming),
            from: view.from.clone(),
            to: Party { number: view.dialled.clone(), ..Party::default() },
            started_at: view.created_at,
            answered_at: view.answered_at,
            ended_at: at,
            termination: termination.clone(),
            node: first.and_then(|leg| leg.node.as_ref()).map(|(node, _)| node.clone()),
            replica: first.map(|leg| leg.replica.clone()),
            sip_call_id: first.map(|leg| leg.sip_call_id.clone()).unwrap_or_default(),
            quality: None,
        })
    }
}
