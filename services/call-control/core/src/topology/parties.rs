//! From parties to bridges and mixes.

use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{CallId, ConferenceId};
use sidetone_model::time::Timestamp;

use crate::shard::Shard;

impl Shard {
    /// Makes bridges and mixes of a call what its parties ask for, and media follow.
    pub(crate) fn arrange(&mut self, call: CallId, now: Timestamp) {
        let parties = self.parties(call);
        let conference = self.fold.call(call).and_then(|call| call.conference);
        match (conference, parties.as_slice()) {
            (None, [a, b]) if a.peer != Some(b.leg) => self.bridge(a, b, now),
            (None, [_, _, _, ..]) => self.begin_mix(call, &parties, now),
            (Some(conference), [_, _, _, ..]) => self.fill_mix(conference, &parties, now),
            (Some(conference), _) => self.end_mix(conference, &parties, now),
            (None, _) => {}
        }
        self.arrange_media(call);
        self.capture_newcomers(call);
    }

    /// Who talks in a call, or would if nobody held: answered, staying, and with no machine or room.
    pub(crate) fn parties(&self, call: CallId) -> Vec<LegView> {
        let mix = self.fold.call(call).and_then(|call| call.conference);
        self.fold
            .live_legs(call)
            .filter(|leg| leg.is_answered() && !leg.diverted && leg.served_by.is_none())
            .filter(|leg| leg.conference.is_none() || leg.conference == mix)
            .filter(|leg| !self.is_ending(leg.leg))
            .cloned()
            .collect()
    }

    fn bridge(&mut self, a: &LegView, b: &LegView, now: Timestamp) {
        self.fact(&a.tenant, now, FactKind::LegsBridged { call: a.call, a: a.leg, b: b.leg });
    }

    fn begin_mix(&mut self, call: CallId, parties: &[LegView], now: Timestamp) {
        let Some((node, _)) = parties.iter().find_map(|leg| leg.node.clone()) else { return };
        let Some(tenant) = parties.first().map(|leg| leg.tenant.clone()) else { return };
        let conference = self.ids.make(now);
        self.fact(&tenant, now, FactKind::CallConferenced { call, conference, node });
        self.fill_mix(conference, parties, now);
    }

    fn fill_mix(&mut self, conference: ConferenceId, parties: &[LegView], now: Timestamp) {
        let mixed = self.fold.conference(conference).map(|mix| mix.participants.clone()).unwrap_or_default();
        for leg in mixed.into_iter().filter_map(|leg| self.fold.leg(leg).cloned()).collect::<Vec<_>>() {
            if leg.diverted {
                self.fact(&leg.tenant, now, FactKind::ParticipantLeft { conference, leg: leg.leg });
            }
        }
        for leg in parties.iter().filter(|leg| leg.conference != Some(conference)) {
            self.fact(&leg.tenant, now, FactKind::ParticipantJoined { conference, leg: leg.leg });
        }
    }

    /// Two talk without a mix, one has nobody to talk with.
    fn end_mix(&mut self, conference: ConferenceId, parties: &[LegView], now: Timestamp) {
        let Some(view) = self.fold.conference(conference).cloned() else { return };
        for leg in view.participants {
            self.fact(&view.tenant, now, FactKind::ParticipantLeft { conference, leg });
        }
        self.fact(&view.tenant, now, FactKind::ConferenceEnded { conference });
        if let [a, b] = parties {
            self.bridge(a, b, now);
        }
    }
}
