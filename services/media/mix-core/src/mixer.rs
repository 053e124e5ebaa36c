//! The tick.

use sidetone_dsp::{Gain, Law, g711, level, mix};

use crate::coded::Coded;
use crate::member::{Member, MemberId, Presence};

/// How much of the activity remains after one tick in which a member is silent: it halves in about 140 ms.
const ACTIVITY_DECAY: f32 = 0.9;

/// Every place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixerFull;

/// A conference. See the crate's documentation for the order of a tick.
#[derive(Debug)]
pub struct Mixer {
    members: Box<[Member]>,
    here: usize,
    sum: Box<[i32]>,
    /// What everybody hears who did not speak.
    common: Box<[i16]>,
    common_coded: Coded,
    /// What the speaker asked for last hears.
    own: Box<[i16]>,
    own_coded: Box<[u8]>,
    silence: Box<[i16]>,
    silence_coded: Coded,
    voices: usize,
}

impl Mixer {
    /// A mix without members: all memory it will ever use is taken here. `samples` is the length of a frame, at least 1;
    /// `members_max` is how many can be in it at once, at most 65,536 (more voices could wrap the sum).
    pub fn new(samples: usize, members_max: usize) -> Self {
        let samples = samples.max(1);
        let linear = || vec![0; samples].into_boxed_slice();
        Self {
            members: (0..members_max.min(1 << 16)).map(|_| Member::free(samples)).collect(),
            here: 0,
            sum: vec![0; samples].into_boxed_slice(),
            common: linear(),
            common_coded: Coded::new(samples),
            own: linear(),
            own_coded: vec![0; samples].into_boxed_slice(),
            silence: linear(),
            silence_coded: Coded::new(samples),
            voices: 0,
        }
    }

    /// Adds a member. It is heard from its next frame on, faded in.
    ///
    /// # Errors
    /// [`MixerFull`] when every place is taken; one that a member has left is free again after the next tick.
    pub fn join(&mut self) -> Result<MemberId, MixerFull> {
        let free = self.members.iter().position(|member| member.presence == Presence::Free);
        let index = free.ok_or(MixerFull)?;
        self.members[index].begin();
        self.here += 1;
        Ok(MemberId { index: index as u32, generation: self.members[index].generation })
    }

    /// Removes a member: it hears nothing from now on, and its last frame fades out in the next tick.
    pub fn leave(&mut self, id: MemberId) {
        if let Some(member) = self.member_mut(id) {
            member.presence = Presence::Leaving;
            member.speaks = false;
            self.here -= 1;
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.here
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.here == 0
    }

    /// Sets how loud a member is to the others.
    pub fn set_gain(&mut self, id: MemberId, gain: Gain) {
        if let Some(member) = self.member_mut(id) {
            member.gain = gain;
        }
    }

    /// A muted member is not heard.
    pub fn set_muted(&mut self, id: MemberId, muted: bool) {
        if let Some(member) = self.member_mut(id) {
            member.muted = muted;
        }
    }

    /// A deaf member hears silence.
    pub fn set_deaf(&mut self, id: MemberId, deaf: bool) {
        if let Some(member) = self.member_mut(id) {
            member.deaf = deaf;
        }
    }

    /// The slot for a member's frame of this tick; it counts as speaking. Whoever has nothing to say must not ask: what is
    /// in the slot is mixed. None when the member has left.
    pub fn speak(&mut self, id: MemberId) -> Option<&mut [i16]> {
        let member = self.member_mut(id)?;
        member.speaks = true;
        Some(&mut member.voice)
    }

    /// Sums the voices of this tick and makes what the silent members hear.
    pub fn mix(&mut self) {
        self.sum.fill(0);
        self.voices = 0;
        for member in &mut self.members {
            if member.presence == Presence::Free {
                continue;
            }
            let audible = take_in(member);
            if audible {
                mix::accumulate(&mut self.sum, &member.voice);
                self.voices += 1;
            }
            if member.presence == Presence::Leaving {
                member.presence = Presence::Free;
            }
            member.speaks = audible && member.presence == Presence::Here;
        }
        if self.voices > 1 {
            mix::limit(&self.sum, &mut self.common);
        } else {
            mix::saturate(&self.sum, &mut self.common);
        }
        self.common_coded.forget();
    }

    /// How many voices are in the sum of this tick.
    pub fn voices(&self) -> usize {
        self.voices
    }

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

    /// What everybody hears who did not speak: also what a recording of the whole mix takes.
    pub fn common(&self) -> &[i16] {
        &self.common
    }

    /// A member's voice of this tick, after gain; none when it did not speak.
    pub fn voice(&self, id: MemberId) -> Option<&[i16]> {
        self.member(id).filter(|member| member.speaks).map(|member| &*member.voice)
    }

    /// The members who spoke most in the last moments, loudest first, into `ranking`. Returns how many there are.
    pub fn loudest(&self, ranking: &mut [MemberId]) -> usize {
        let mut found = 0;
        for (index, member) in self.members.iter().enumerate() {
            if member.presence != Presence::Here || member.activity <= 0.0 {
                continue;
            }
            let louder = |other: &MemberId| self.members[other.index as usize].activity >= member.activity;
            let place = ranking[..found].iter().take_while(|other| louder(other)).count();
            if place == ranking.len() {
                continue;
            }
            found = (found + 1).min(ranking.len());
            ranking.copy_within(place..found - 1, place + 1);
            ranking[place] = MemberId { index: index as u32, generation: member.generation };
        }
        found
    }

    fn hears(&mut self, id: MemberId) -> Hears {
        let Some(member) = self.members.get(id.index as usize).filter(|member| is(member, id)) else {
            return Hears::Silence;
        };
        if member.deaf || (self.voices == 1 && member.speaks) {
            return Hears::Silence;
        }
        if !member.speaks {
            return Hears::Common;
        }
        if self.voices > 2 {
            mix::subtract_own_and_limit(&self.sum, &member.voice, &mut self.own);
        } else {
            // One voice is left: it passes unchanged.
            mix::subtract_own_and_saturate(&self.sum, &member.voice, &mut self.own);
        }
        Hears::Own
    }

    fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(id.index as usize).filter(|member| is(member, id))
    }

    fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.get_mut(id.index as usize).filter(|member| is(member, id))
    }
}

enum Hears {
    Silence,
    Common,
    Own,
}

fn is(member: &Member, id: MemberId) -> bool {
    member.presence == Presence::Here && member.generation == id.generation
}

/// Brings a member's frame to its gain. Whether it belongs into the sum.
fn take_in(member: &mut Member) -> bool {
    let wanted = member.wanted();
    if !member.speaks && member.reached == Gain::SILENCE {
        member.activity *= ACTIVITY_DECAY;
        return false;
    }
    // Whoever stopped is faded out over the last frame, mirrored: it goes on where the sound was, without a step.
    let fades = !member.speaks;
    let until = if fades { Gain::SILENCE } else { wanted };
    if fades {
        member.voice.reverse();
        mix::ramp(&mut member.voice, Gain::UNITY, Gain::SILENCE);
    } else {
        mix::ramp(&mut member.voice, member.reached, until);
    }
    let silent = member.reached == Gain::SILENCE && until == Gain::SILENCE;
    member.reached = until;
    let loudness = if silent { 0.0 } else { level::mean_square(&member.voice) };
    member.activity = member.activity * ACTIVITY_DECAY + loudness * (1.0 - ACTIVITY_DECAY);
    !silent
}
