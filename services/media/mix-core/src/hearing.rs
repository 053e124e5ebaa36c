//! What each member hears.

use sidetone_dsp::{Gain, Law, g711, mix};

use crate::member::{Member, MemberId};
use crate::mixer::{Mixer, is};

/// Which of the mixer's frames a member hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hears {
    Silence,
    Common,
    Own,
}

impl Mixer {
    /// What a member hears in this tick; silence when it has left or is deaf.
    pub fn heard(&mut self, id: MemberId) -> &[i16] {
        match self.hears(id) {
            Hears::Silence => &self.silence,
            Hears::Common => &self.common,
            Hears::Own => &self.own,
        }
    }

    /// What a member hears in this tick, in G.711.
    pub fn heard_coded(&mut self, id: MemberId, law: Law) -> &[u8] {
        match self.hears(id) {
            Hears::Silence => self.silence_coded.get(law, &self.silence),
            Hears::Common => self.common_coded.get(law, &self.common),
            Hears::Own => {
                g711::encode(law, &self.own, &mut self.own_coded);
                &self.own_coded
            }
        }
    }

    /// Whether a member hears in this tick what everybody hears who did not speak: [`Mixer::common`].
    pub fn hears_common(&self, id: MemberId) -> bool {
        let member = self.members.get(id.index as usize).filter(|member| is(member, id));
        member.is_some_and(|member| !(member.deaf || member.deafens || member.is_coached || member.speaks))
    }

    fn hears(&mut self, id: MemberId) -> Hears {
        let Some(member) = self.members.get(id.index as usize).filter(|member| is(member, id)) else {
            return Hears::Silence;
        };
        let (deaf, deafens) = (member.deaf, member.deafens);
        if deaf && !deafens {
            return Hears::Silence;
        }
        let hears = self.undimmed(id);
        if !deafens || hears == Hears::Silence {
            return hears;
        }
        if hears == Hears::Common {
            self.own.copy_from_slice(&self.common);
        }
        let (from, to) = if deaf { (Gain::UNITY, Gain::SILENCE) } else { (Gain::SILENCE, Gain::UNITY) };
        mix::ramp(&mut self.own, from, to);
        Hears::Own
    }

    /// What a member that is not deaf hears.
    fn undimmed(&mut self, id: MemberId) -> Hears {
        let member = &self.members[id.index as usize];
        if member.is_coached {
            self.add_whispers(id);
            return Hears::Own;
        }
        if !member.speaks {
            return Hears::Common;
        }
        match self.voices {
            0 | 1 => return Hears::Silence,
            // One voice is left: it passes unchanged.
            2 => mix::subtract_own_and_saturate(&self.sum, &member.voice, &mut self.own),
            _ => mix::subtract_own_and_limit(&self.sum, &member.voice, &mut self.own),
        }
        Hears::Own
    }

    /// The sum without the own voice, and with what is said to this member alone.
    fn add_whispers(&mut self, id: MemberId) {
        self.private.copy_from_slice(&self.sum);
        let member = &self.members[id.index as usize];
        if member.speaks {
            mix::deduct(&mut self.private, &member.voice);
        }
        let to_it = |other: &&Member| other.whispers && other.whispers_to == Some(id);
        for coach in self.members.iter().filter(to_it) {
            mix::accumulate(&mut self.private, &coach.voice);
        }
        mix::limit(&self.private, &mut self.own);
    }
}
