//! Changes of a leg's media that we ask its phone for.

use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::time::Timestamp;

use crate::shard::Shard;

impl Shard {
    /// A phone whose user is held shows it, where the limits say so: it is offered `sendonly`, and `sendrecv` afterwards
    /// (RFC 3264, section 8.4).
    pub(crate) fn tell_held(&mut self, leg: &LegView) {
        if !self.limits.hold_told || self.is_ending(leg.leg) || self.is_moving(leg.leg) {
            return;
        }
        let wanted = if self.is_held(leg) { Direction::SendOnly } else { Direction::SendRecv };
        if self.offered_direction(leg) == wanted {
            return;
        }
        // After a restart its node tells in a moment what we describe, and then this is asked again.
        let Some(local) = self.legs.get(&leg.leg).and_then(|control| control.passing.local.clone()) else {
            return;
        };
        self.control(leg.leg).passing.offered = Some(wanted);
        self.command(leg, LegCommandKind::Reoffer { media: MediaDescription { direction: wanted, ..local } });
    }

    /// What the phone was offered last. A phone that only listens was told to, by the log.
    pub(crate) fn offered_direction(&self, leg: &LegView) -> Direction {
        let offered = self.legs.get(&leg.leg).and_then(|control| control.passing.offered);
        offered.unwrap_or(match leg.direction {
            Direction::RecvOnly | Direction::Inactive => Direction::SendOnly,
            _ => Direction::SendRecv,
        })
    }

    /// Whether a phone asks for an offer of ours by a re-INVITE without one, and media is making it.
    pub(crate) fn waits_for_offer(&self, leg: LegId) -> bool {
        let waits = self.legs.get(&leg).and_then(|control| control.passing.pending.as_ref());
        waits.is_some_and(|signal| matches!(signal.kind, LegSignalKind::Reoffered { media: None }))
    }

    /// The phone asked for an offer of ours: everything that we could do, in both directions unless it is held, whatever stands
    /// (RFC 3261, section 14.2; RFC 6337, section 5.3). A phone that held so could never come back otherwise. Without an offer
    /// of media's the change is refused, and all stays as it was.
    pub(crate) fn offer_as_asked(&mut self, leg: &LegView, local: Option<MediaDescription>, now: Timestamp) {
        if self.consume_pending(leg.leg).is_none() {
            return;
        }
        let tells = self.limits.hold_told && self.is_held(leg);
        let direction = if tells { Direction::SendOnly } else { Direction::SendRecv };
        if local.is_some() {
            self.control(leg.leg).passing.offered = Some(direction);
        }
        let media = local.map(|local| MediaDescription { direction, ..local });
        self.command(leg, LegCommandKind::AnswerReoffer { media });
        self.take_behind(leg.leg, now);
    }

    /// The phone took an offer of ours, and media knows.
    pub(crate) fn on_reanswered(&mut self, leg: &LegView, remote: &MediaDescription, now: Timestamp) {
        if remote.direction != leg.direction {
            let direction = remote.direction;
            self.fact(&leg.tenant, now, FactKind::LegDirectionChanged { leg: leg.leg, direction });
        }
    }
}
