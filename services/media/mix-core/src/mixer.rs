//! The tick.

use sidetone_dsp::{Gain, level, mix};

use crate::coded::Coded;
use crate::member::{Member, MemberId, Presence};

/// How much of the activity remains after one tick in which a member is silent: it halves in about 140 ms.
const ACTIVITY_DECAY: f32 = 0.9;

/// Sums of several mixes stay within this: a voice can still be taken out of them.
const SUM_MAX: i32 = i32::MAX - (1 << 16);

/// The part of a frame over which a voice that begins is faded in: 2.5 ms of 20.
const BEGINS_IN: usize = 8;

/// Every place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixerFull;

/// A conference. See the crate's documentation for the order of a tick.
#[derive(Debug)]
pub struct Mixer {
    pub(crate) members: Box<[Member]>,
    here: usize,
    pub(crate) sum: Box<[i32]>,
    /// What everybody hears who did not speak.
    pub(crate) common: Box<[i16]>,
    pub(crate) common_coded: Coded,
    /// What the speaker asked for last hears.
    pub(crate) own: Box<[i16]>,
    pub(crate) own_coded: Box<[u8]>,
    pub(crate) silence: Box<[i16]>,
    pub(crate) silence_coded: Coded,
    pub(crate) voices: usize,
    /// The sum as one member hears it to whom somebody whispers.
    pub(crate) private: Box<[i32]>,
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
            private: vec![0; samples].into_boxed_slice(),
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
            member.asked = false;
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

    /// Makes a member heard by one other alone (a coach), or by everybody again. It is faded out for those who heard it and
    /// in for those who hear it then. Whoever whispers to somebody that has left is heard by nobody.
    pub fn set_whisper(&mut self, id: MemberId, to: Option<MemberId>) {
        if let Some(member) = self.member_mut(id) {
            member.next_whisper = (member.whispers_to != to).then_some(to);
        }
    }

    /// Takes over everybody of a smaller mix of the same frame length, in the state in which they are: handles stay good,
    /// and nobody fades in again. What was in this mix is lost; the smaller one is not to be used any more.
    pub fn take_over(&mut self, smaller: &mut Self) {
        debug_assert!(self.sum.len() == smaller.sum.len() && self.members.len() >= smaller.members.len());
        for (mine, theirs) in self.members.iter_mut().zip(&mut smaller.members) {
            std::mem::swap(mine, theirs);
        }
        self.here = smaller.here;
    }

    /// The slot for a member's frame of this tick; it counts as speaking. Whoever has nothing to say must not ask: what is
    /// in the slot is mixed. None when the member has left.
    pub fn speak(&mut self, id: MemberId) -> Option<&mut [i16]> {
        let member = self.member_mut(id)?;
        member.asked = true;
        Some(&mut member.voice)
    }

    /// Sums the voices of this tick and makes what the silent members hear.
    pub fn mix(&mut self) {
        self.sum_up();
        self.finish();
    }

    /// The first half of [`Mixer::mix`]: sums the voices of this tick.
    pub fn sum_up(&mut self) {
        self.sum.fill(0);
        self.voices = 0;
        let mut whispers = false;
        for member in &mut self.members {
            if member.presence == Presence::Free {
                continue;
            }
            member.is_coached = false;
            member.deafens = member.deaf != std::mem::replace(&mut member.was_deaf, member.deaf);
            let audible = take_in(member);
            let whispered = member.whispers_to.is_some();
            if audible && !whispered {
                mix::accumulate(&mut self.sum, &member.voice);
                self.voices += 1;
            }
            if member.presence == Presence::Leaving {
                member.presence = Presence::Free;
            }
            let here = audible && member.presence == Presence::Here;
            member.speaks = here && !whispered;
            member.whispers = here && whispered;
            whispers |= member.whispers;
        }
        if whispers {
            self.mark_coached();
        }
    }

    /// Adds so many `voices` that are mixed elsewhere, between [`Mixer::sum_up`] and [`Mixer::finish`].
    pub fn add(&mut self, sum: &[i32], voices: usize) {
        for (total, sample) in self.sum.iter_mut().zip(sum) {
            *total = total.saturating_add(*sample).clamp(-SUM_MAX, SUM_MAX);
        }
        self.voices += voices;
    }

    /// The second half of [`Mixer::mix`]: makes what the silent members hear.
    pub fn finish(&mut self) {
        if self.voices > 1 {
            mix::limit(&self.sum, &mut self.common);
        } else {
            mix::saturate(&self.sum, &mut self.common);
        }
        self.common_coded.forget();
    }

    fn mark_coached(&mut self) {
        for n in 0..self.members.len() {
            let whisper = self.members[n].whispers_to.filter(|_| self.members[n].whispers);
            if let Some(coached) = whisper.and_then(|id| self.member_mut(id)) {
                coached.is_coached = true;
            }
        }
    }

    /// The sum of all voices of this tick.
    pub fn sum(&self) -> &[i32] {
        &self.sum
    }

    /// How many voices are in the sum of this tick.
    pub fn voices(&self) -> usize {
        self.voices
    }

    /// What everybody hears who did not speak: also what a recording of the whole mix takes.
    pub fn common(&self) -> &[i16] {
        &self.common
    }

    /// A member's voice of this tick, after gain; none when it did not speak.
    pub fn voice(&self, id: MemberId) -> Option<&[i16]> {
        self.member(id).filter(|member| member.speaks).map(|member| &*member.voice)
    }

    /// How loud a member was in the last moments, in dBov, whoever heard it.
    pub fn activity_dbov(&self, id: MemberId) -> f32 {
        self.member(id).map_or(level::SILENCE_DBOV, |member| level::dbov_of_mean_square(member.activity))
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

    fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(id.index as usize).filter(|member| is(member, id))
    }

    fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.get_mut(id.index as usize).filter(|member| is(member, id))
    }
}

pub(crate) fn is(member: &Member, id: MemberId) -> bool {
    member.presence == Presence::Here && member.generation == id.generation
}

/// Brings a member's frame to its gain. Whether it belongs into the sum.
fn take_in(member: &mut Member) -> bool {
    let wanted = member.wanted();
    let speaks = std::mem::take(&mut member.asked);
    let rested = std::mem::replace(&mut member.rested, !speaks);
    if !speaks && member.reached == Gain::SILENCE {
        if let Some(next) = member.next_whisper.take() {
            member.whispers_to = next;
        }
        member.activity *= ACTIVITY_DECAY;
        return false;
    }
    // Whoever stopped is faded out over the last frame, mirrored: it goes on where the sound was, without a step.
    let fades = !speaks;
    let until = if fades { Gain::SILENCE } else { wanted };
    if fades {
        member.voice.reverse();
        mix::ramp(&mut member.voice, Gain::UNITY, Gain::SILENCE);
    } else if rested {
        begin(&mut member.voice, until);
    } else {
        mix::ramp(&mut member.voice, member.reached, until);
    }
    let silent = member.reached == Gain::SILENCE && until == Gain::SILENCE;
    member.reached = until;
    if until == Gain::SILENCE
        && let Some(next) = member.next_whisper.take()
    {
        member.whispers_to = next;
    }
    let loudness = if silent { 0.0 } else { level::mean_square(&member.voice) };
    member.activity = member.activity * ACTIVITY_DECAY + loudness * (1.0 - ACTIVITY_DECAY);
    !silent
}

/// Fades in who begins to say something: so fast that the first sound of a word is heard as what it is, and no faster than a
/// word begins by itself.
fn begin(voice: &mut [i16], until: Gain) {
    let (first, rest) = voice.split_at_mut(voice.len() / BEGINS_IN);
    mix::ramp(first, Gain::SILENCE, until);
    mix::ramp(rest, until, until);
}
