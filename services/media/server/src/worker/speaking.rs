//! Who speaks in a room.

use crate::state::Role;
use crate::worker::leg::Leg;
use crate::worker::mix::{Mix, leg_of};

/// Ticks between two looks at who speaks: half a second is the most often that a change is told.
pub(super) const SPEAKER_TICKS: u32 = 25;
/// Who is quieter than this does not speak, in dBov; steady noise does not come as far (see [`Gate`](crate::worker::gate::Gate)).
const SPEAKS_DBOV: f32 = -49.0;
/// By how much another must be louder to be told of instead, in dB: two who talk at once do not flicker.
const LOUDER_DB: f32 = 6.0;

impl Mix {
    /// Whether somebody speaks on this worker.
    pub(super) fn somebody_speaks_here(&self) -> bool {
        let mut ids = self.members.iter().filter_map(|member| member.id);
        ids.any(|id| self.mixer.activity_dbov(id) > SPEAKS_DBOV)
    }

    /// Whether the leg that speaks most is another than the one last told of: the leg and true, or the last one and false
    /// when nobody speaks any more. Of a room on several workers only its home tells.
    pub(crate) fn speaker_change(&mut self, legs: &[Option<Box<Leg>>]) -> Option<(u128, bool)> {
        self.speaker_in -= 1;
        if self.speaker_in > 0 {
            return None;
        }
        self.speaker_in = SPEAKER_TICKS;
        if let Some(told) = self.spread.as_ref().and_then(|spread| spread.speaker()) {
            self.speaker = told;
        }
        let mut loudest = self.loudest(legs);
        if let Some(spread) = self.spread.as_deref_mut() {
            spread.loudest = loudest;
            if !spread.is_home() {
                return None;
            }
            let elsewhere = spread.loudest_elsewhere().map(Some);
            loudest =
                elsewhere.fold(loudest, |one, other| if level(other) > level(one) { other } else { one });
        }
        let speaker = loudest.map(|(leg, _)| leg);
        let before = std::mem::replace(&mut self.speaker, speaker);
        match (before, speaker) {
            (before, Some(leg)) if before != speaker => Some((leg, true)),
            (Some(leg), None) => Some((leg, false)),
            _ => None,
        }
    }

    /// Who speaks most on this worker, and how loud, in dBov; with something added for the one last told of.
    fn loudest(&self, legs: &[Option<Box<Leg>>]) -> Option<(u128, f32)> {
        let mut loudest: Option<(u128, f32)> = None;
        for member in &self.members {
            let (Some(id), Some(leg)) = (member.id, leg_of(legs, member.slot)) else { continue };
            let bonus = if self.speaker == Some(leg.state.leg) { LOUDER_DB } else { 0.0 };
            let level = self.mixer.activity_dbov(id);
            let public = matches!(leg.state.audio.role, Role::Speaker | Role::Listener);
            if public && level > SPEAKS_DBOV && loudest.is_none_or(|(_, other)| level + bonus > other) {
                loudest = Some((leg.state.leg, level + bonus));
            }
        }
        loudest
    }

    /// The last change could not be told.
    pub(crate) fn forget_speaker(&mut self) {
        self.speaker = None;
    }
}

fn level(speaker: Option<(u128, f32)>) -> f32 {
    speaker.map_or(f32::NEG_INFINITY, |(_, level)| level)
}
