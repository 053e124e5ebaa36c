//! A conference on its worker: who is in it, what is played to it, and who speaks. The sound itself is
//! [`sidetone_mix_core`]'s business.

use sidetone_mix_core::{MemberId, Mixer};
use sidetone_rtp_core::Pulled;

use crate::state::Role;
use crate::worker::FRAME;
use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};
use crate::worker::playing::Playing;
use crate::worker::rings::Slot;

/// Prompts that may be played to one mix at a time.
pub(crate) const MIX_PLAYBACKS_MAX: usize = 4;
/// Ticks between two looks at who speaks: half a second is the most often that a change is told.
const SPEAKER_TICKS: u32 = 25;
/// Who is quieter than this does not speak, in dBov.
const SPEAKS_DBOV: f32 = -45.0;
/// By how much another must be louder to be told of instead, in dB: two who talk at once do not flicker.
const LOUDER_DB: f32 = 6.0;

/// A mix with room for its members, made outside of the worker.
#[derive(Debug)]
pub(crate) struct Mix {
    mixer: Mixer,
    members: Vec<Member>,
    /// Boxed as they came, so that they leave without being moved or freed here.
    #[allow(clippy::vec_box)]
    pub(crate) playing: Vec<Box<Playing>>,
    /// The voices of what is played, in the order of `playing`.
    prompts: [Option<MemberId>; MIX_PLAYBACKS_MAX],
    /// Who was told of last as speaking.
    speaker: Option<u128>,
    speaker_in: u32,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    slot: Slot,
    /// None while every place of the mixer is still taken by those who have just left.
    id: Option<MemberId>,
}

impl Mix {
    /// An empty mix for at most `members_max` legs.
    pub(crate) fn new(members_max: usize) -> Self {
        // A place whose member has left is free only after the next tick: twice as many let everybody change at once.
        let mut mixer = Mixer::new(FRAME, members_max * 2 + MIX_PLAYBACKS_MAX);
        let prompts = std::array::from_fn(|_| mixer.join().ok());
        Self {
            mixer,
            members: Vec::with_capacity(members_max),
            playing: Vec::with_capacity(MIX_PLAYBACKS_MAX),
            prompts,
            speaker: None,
            speaker_in: SPEAKER_TICKS,
        }
    }

    /// Whether there is room for nobody more.
    pub(crate) fn is_full(&self) -> bool {
        self.members.len() == self.members.capacity()
    }

    /// Takes over the members of a smaller one, and their voices in mid-word.
    pub(crate) fn take_over(&mut self, smaller: &mut Self) {
        self.mixer.take_over(&mut smaller.mixer);
        self.members.append(&mut smaller.members);
        self.playing.append(&mut smaller.playing);
        self.prompts = smaller.prompts;
        self.speaker = smaller.speaker;
    }

    /// Adds a leg, which fades in.
    pub(crate) fn join(&mut self, slot: Slot) {
        let id = self.mixer.join().ok();
        self.members.push(Member { slot, id });
    }

    /// Takes a leg out; the last of its voice fades out.
    pub(crate) fn leave(&mut self, slot: Slot) {
        let Some(at) = self.members.iter().position(|member| member.slot == slot) else { return };
        if let Some(id) = self.members.swap_remove(at).id {
            self.mixer.leave(id);
        }
    }

    /// Sets for everybody who hears them, how loud, and what they hear. Coaches need to be looked at whenever anybody
    /// comes or goes.
    pub(crate) fn apply_audio(&mut self, legs: &[Option<Box<Leg>>]) {
        for n in 0..self.members.len() {
            let Member { slot, id: Some(id) } = self.members[n] else { continue };
            let Some(audio) = audio_of(legs, slot) else { continue };
            let hearer = match audio.role {
                Role::Coach { heard_by } => Some(self.member_of(legs, heard_by)),
                Role::Speaker | Role::Listener | Role::Monitor => None,
            };
            self.mixer.set_gain(id, audio.gain);
            self.mixer.set_deaf(id, audio.deafened);
            // A coach whose leg is not here is heard by nobody.
            self.mixer.set_muted(id, audio.is_silent() || hearer == Some(None));
            self.mixer.set_whisper(id, hearer.flatten());
        }
    }

    fn member_of(&self, legs: &[Option<Box<Leg>>], leg: u128) -> Option<MemberId> {
        let is = |member: &&Member| leg_of(legs, member.slot).is_some_and(|found| found.state.leg == leg);
        self.members.iter().find(is)?.id
    }

    /// One tick: 20 ms from everybody, 20 ms to everybody.
    pub(crate) fn tick(&mut self, legs: &mut [Option<Box<Leg>>], now: Now, due_us: u64, counters: &Counters) {
        self.admit(legs);
        self.listen(legs, due_us);
        self.mixer.mix();
        for member in &self.members {
            let Some(leg) = legs.get_mut(member.slot as usize).and_then(Option::as_deref_mut) else {
                continue;
            };
            let free = leg.playing.is_none() && !leg.dialing.sounds();
            let (Some(id), Some(law)) = (member.id, leg.law().filter(|_| free)) else { continue };
            if let Some(sound) = self.mixer.heard_coded(id, law).first_chunk() {
                leg.emit(sound, now, counters);
            }
        }
    }

    /// Gives those a place who found none when they came.
    fn admit(&mut self, legs: &[Option<Box<Leg>>]) {
        let mut admitted = false;
        for member in self.members.iter_mut().filter(|member| member.id.is_none()) {
            member.id = self.mixer.join().ok();
            admitted |= member.id.is_some();
        }
        if admitted {
            self.apply_audio(legs);
        }
    }

    fn listen(&mut self, legs: &mut [Option<Box<Leg>>], due_us: u64) {
        for member in &self.members {
            let Some(leg) = legs.get_mut(member.slot as usize).and_then(Option::as_deref_mut) else {
                continue;
            };
            // Who says nothing must not ask for a place in the sum.
            let mut voice = [0; FRAME];
            if leg.playout.pull(due_us, &mut voice) == Pulled::Sound
                && let Some(place) = member.id.and_then(|id| self.mixer.speak(id))
            {
                place.copy_from_slice(&voice);
            }
        }
        for (playing, id) in self.playing.iter_mut().zip(self.prompts) {
            if playing.is_over() {
                continue;
            }
            if let Some(place) = id.and_then(|id| self.mixer.speak(id)) {
                place.copy_from_slice(playing.linear());
            }
            playing.advance();
        }
    }

    /// Whether the leg that speaks most is another than the one last told of: the leg and true, or the last one and false
    /// when nobody speaks any more.
    pub(crate) fn speaker_change(&mut self, legs: &[Option<Box<Leg>>]) -> Option<(u128, bool)> {
        self.speaker_in -= 1;
        if self.speaker_in > 0 {
            return None;
        }
        self.speaker_in = SPEAKER_TICKS;
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
        let speaker = loudest.map(|(leg, _)| leg);
        let before = std::mem::replace(&mut self.speaker, speaker);
        match (before, speaker) {
            (before, Some(leg)) if before != speaker => Some((leg, true)),
            (Some(leg), None) => Some((leg, false)),
            _ => None,
        }
    }

    /// The last change could not be told.
    pub(crate) fn forget_speaker(&mut self) {
        self.speaker = None;
    }
}

fn leg_of(legs: &[Option<Box<Leg>>], slot: Slot) -> Option<&Leg> {
    legs.get(slot as usize)?.as_deref()
}

fn audio_of(legs: &[Option<Box<Leg>>], slot: Slot) -> Option<crate::state::Audio> {
    leg_of(legs, slot).map(|leg| leg.state.audio)
}
