//! A conference on its worker, or the part of it that is here: who is in it and what is played to it. The sound itself is
//! [`sidetone_mix_core`]'s business.

use sidetone_dsp::codec::Codec;
use sidetone_dsp::duck::{Duck, DuckConfig};
use sidetone_dsp::{Gain, Rate, Resampler};
use sidetone_mix_core::{MemberId, Mixer, Notes};

use crate::state::Role;
use crate::worker::coding::CODED_MAX;
use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};
use crate::worker::overlay::{Yields, times};
use crate::worker::phases::Phase;
use crate::worker::playing::Playing;
use crate::worker::rings::Slot;
use crate::worker::speaking::SPEAKER_TICKS;
use crate::worker::spread::Spread;
use crate::worker::tick::FRAME_MAX;

/// Prompts that may be played to one mix at a time.
pub(crate) const MIX_PLAYBACKS_MAX: usize = 4;
/// From so many members on, who has long been quiet is decoded only where its packets may hold a voice: in a smaller room that saves
/// little, and what is no voice (a tone, music) would be noticed late.
const CROWD: usize = 8;

/// A mix with room for its members, made outside of the worker.
#[derive(Debug)]
pub(crate) struct Mix {
    /// When it has its turn, and all its members with it.
    pub(super) phase: Phase,
    pub(super) mixer: Mixer,
    /// The rate at which it is mixed; legs at another one are not heard and hear nothing until they were changed, too.
    rate: Rate,
    pub(super) members: Vec<Member>,
    /// What silent members hear, in each codec.
    shared: Box<[Shared; SHARED_MAX]>,
    /// Boxed as they came, so that they leave without being moved or freed here.
    #[allow(clippy::vec_box)]
    pub(crate) playing: Vec<Box<Playing>>,
    /// The voices of what is played, in the order of `playing`.
    prompts: [Option<MemberId>; MIX_PLAYBACKS_MAX],
    /// From 8 kHz to the rate of the mix.
    raise: [Resampler; MIX_PLAYBACKS_MAX],
    /// How voices give way to a prompt that is laid over them, and the gain that they have by that.
    duck: Duck,
    voices: Gain,
    /// Who was told of last as speaking.
    pub(super) speaker: Option<u128>,
    pub(super) speaker_in: u32,
    /// The rest of the room on other workers; none when all of it is here.
    pub(super) spread: Option<Box<Spread>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) slot: Slot,
    /// None while every place of the mixer is still taken by those who have just left.
    pub(super) id: Option<MemberId>,
}

/// The common frame in one codec: encoded once, by the encoder of one of those who hear it.
#[derive(Debug)]
struct Shared {
    codec: Option<Codec>,
    /// Whose encoder: kept for as long as it is silent, so that the packets stay one stream.
    leader: Slot,
    /// 0 when it was not made in this tick.
    length: usize,
    payload: [u8; CODED_MAX],
}

/// Codecs that may be shared in one mix.
const SHARED_MAX: usize = 7;

impl Mix {
    /// An empty mix for at most `members_max` legs.
    pub(crate) fn new(members_max: usize, rate: Rate, phase: Phase) -> Self {
        // A place whose member has left is free only after the next tick: twice as many let everybody change at once.
        let mut mixer = Mixer::new(rate.samples(20), members_max * 2 + MIX_PLAYBACKS_MAX);
        let prompts = std::array::from_fn(|_| mixer.join().ok());
        Self {
            phase,
            mixer,
            rate,
            shared: Box::new(std::array::from_fn(|_| Shared {
                codec: None,
                leader: 0,
                length: 0,
                payload: [0; CODED_MAX],
            })),
            raise: std::array::from_fn(|_| Resampler::new(Rate::Narrow, rate)),
            members: Vec::with_capacity(members_max),
            playing: Vec::with_capacity(MIX_PLAYBACKS_MAX),
            prompts,
            duck: Duck::new(DuckConfig::of_depth(0.0)),
            voices: Gain::UNITY,
            speaker: None,
            speaker_in: SPEAKER_TICKS,
            spread: None,
        }
    }

    /// The same as a part of a room on several workers.
    pub(crate) fn part(self, spread: Spread) -> Self {
        Self { spread: Some(Box::new(spread)), ..self }
    }

    /// Whether there is room for nobody more.
    pub(crate) fn is_full(&self) -> bool {
        self.members.len() == self.members.capacity()
    }

    /// Takes over the members of another one that is no larger, and their voices in mid-word; from another rate they fade
    /// in anew.
    pub(crate) fn take_over(&mut self, before: &mut Self) {
        if self.rate == before.rate {
            self.mixer.take_over(&mut before.mixer);
            self.members.append(&mut before.members);
            self.prompts = before.prompts;
            std::mem::swap(&mut self.shared, &mut before.shared);
            std::mem::swap(&mut self.raise, &mut before.raise);
        } else {
            for member in before.members.drain(..) {
                self.join(member.slot);
            }
        }
        self.playing.append(&mut before.playing);
        (self.duck, self.voices) = (before.duck.clone(), before.voices);
        self.speaker = before.speaker;
        if self.spread.is_none() {
            self.spread = before.spread.take();
        }
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
            self.mixer.set_gain(id, times(audio.gain, self.voices));
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
        self.turn_down(legs);
        self.listen(legs, due_us);
        self.mixer.sum_up();
        self.join_sums(due_us, counters);
        self.mixer.finish();
        self.lead(legs);
        for n in 0..self.members.len() {
            let Member { slot, id: Some(id) } = self.members[n] else { continue };
            let Some(leg) = legs.get_mut(slot as usize).and_then(Option::as_deref_mut) else { continue };
            if leg.rate() != self.rate {
                continue;
            }
            if leg.backdrop.is_kept() {
                self.hear_over(id, leg, now, counters);
                continue;
            }
            if leg.playing.is_some() || leg.dialing.sounds() {
                continue;
            }
            if let Some(law) = leg.law() {
                if let Some(sound) = self.mixer.heard_coded(id, law).first_chunk() {
                    leg.emit(sound, now, counters);
                }
            } else if let Some(place) = self.share(slot, id, leg) {
                let shared = &self.shared[place];
                let common = (self.rate, self.mixer.common());
                leg.emit_shared(&shared.payload[..shared.length], common, now, counters);
            } else {
                leg.emit_linear(self.rate, self.mixer.heard(id), now, counters);
            }
        }
    }

    /// Plays besides; gives it back where there is no room.
    pub(crate) fn play(&mut self, playing: Box<Playing>) -> Option<Box<Playing>> {
        if self.playing.len() == MIX_PLAYBACKS_MAX {
            return Some(playing);
        }
        if let Some(lay) = playing.lay.as_deref().filter(|lay| lay.yields == Yields::Speech) {
            self.duck = self.duck.onto(lay.depth);
        }
        self.playing.push(playing);
        None
    }

    /// Voices give way to a prompt that is laid over them.
    fn turn_down(&mut self, legs: &[Option<Box<Leg>>]) {
        let down = self.playing.iter().any(|playing| !playing.is_over() && playing.turns_speech_down());
        let (_, voices) = self.duck.next(down);
        let voices = self.spread.as_ref().and_then(|spread| spread.voices()).unwrap_or(voices);
        if std::mem::replace(&mut self.voices, voices) == voices {
            return;
        }
        for member in &self.members {
            if let (Some(id), Some(audio)) = (member.id, audio_of(legs, member.slot)) {
                self.mixer.set_gain(id, times(audio.gain, voices));
            }
        }
    }

    /// Brings a member what it hears, and what is laid over that for it alone.
    fn hear_over(&mut self, id: MemberId, leg: &mut Leg, now: Now, counters: &Counters) {
        leg.backdrop.comes(false, true);
        let mut frame = [0; FRAME_MAX];
        let frame = &mut frame[..self.rate.samples(20)];
        frame.copy_from_slice(self.mixer.heard(id));
        leg.hear_over(self.rate, frame, now, counters);
        if !leg.is_laid_over() {
            leg.backdrop.leaves(true, now.ms);
        }
    }

    /// Encodes the common frame by those encoders that did so in the tick before.
    fn lead(&mut self, legs: &mut [Option<Box<Leg>>]) {
        let common = self.mixer.common();
        for shared in self.shared.iter_mut() {
            shared.length = 0;
            let Some(codec) = shared.codec else { continue };
            let member = self.members.iter().find(|member| member.slot == shared.leader);
            let is_silent = member.and_then(|member| member.id).is_some_and(|id| self.mixer.hears_common(id));
            let leader = legs.get_mut(shared.leader as usize).and_then(Option::as_deref_mut);
            match leader.filter(|leg| is_silent && leg.rate() == self.rate && leg.shares() == Some(codec)) {
                Some(leg) => shared.length = leg.encode_for_all(common, &mut shared.payload).unwrap_or(0),
                None => shared.codec = None,
            }
        }
    }

    /// Where among `shared` is what a member who did not speak hears, in its codec: encoded once for all of them.
    fn share(&mut self, slot: Slot, id: MemberId, leg: &mut Leg) -> Option<usize> {
        let codec = leg.shares().filter(|_| self.mixer.hears_common(id))?;
        let place = self.shared.iter().position(|shared| shared.codec == Some(codec));
        let place = place.or_else(|| self.shared.iter().position(|shared| shared.codec.is_none()))?;
        let shared = &mut self.shared[place];
        if shared.codec.is_none() {
            shared.length = leg.encode_for_all(self.mixer.common(), &mut shared.payload)?;
            (shared.codec, shared.leader) = (Some(codec), slot);
        }
        (shared.length > 0).then_some(place)
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
        let elsewhere = self.spread.as_ref().map_or(0, |spread| spread.members_elsewhere());
        let crowded = self.members.len() + elsewhere >= CROWD;
        for member in &self.members {
            let Some(leg) = legs.get_mut(member.slot as usize).and_then(Option::as_deref_mut) else {
                continue;
            };
            // Who says nothing must not ask for a place in the sum.
            let mut voice = [0; FRAME_MAX];
            let voice = &mut voice[..self.rate.samples(20)];
            if leg.rate() == self.rate
                && leg.voice_of_tick(due_us, voice, crowded)
                && let Some(place) = member.id.and_then(|id| self.mixer.speak(id))
            {
                place.copy_from_slice(voice);
            }
        }
        let speech = self.asks() && self.somebody_speaks();
        for ((playing, id), raise) in self.playing.iter_mut().zip(self.prompts).zip(&mut self.raise) {
            if playing.is_over() {
                continue;
            }
            let gain = playing.lay.as_deref_mut().map_or(Gain::UNITY, |lay| lay.gain(speech).1);
            if let Some(id) = id {
                self.mixer.set_gain(id, gain);
            }
            if let Some(place) = id.and_then(|id| self.mixer.speak(id)) {
                raise.process(playing.linear(), place);
            }
            playing.advance();
        }
    }

    /// Whether somebody speaks in the whole room.
    fn somebody_speaks(&self) -> bool {
        self.somebody_speaks_here() || self.spread.as_ref().is_some_and(|spread| spread.speaks_elsewhere())
    }

    /// Adds what is said in the parts of the room that are on other workers.
    fn join_sums(&mut self, due_us: u64, counters: &Counters) {
        let Some(mut spread) = self.spread.take() else { return };
        let notes = Notes {
            members: self.members.len() as u32,
            speaks: spread.is_asked() && self.somebody_speaks_here(),
            asks: self.asks(),
            voices: self.voices,
            loudest: spread.loudest,
            speaker: self.speaker,
        };
        let late = spread.exchange(due_us, &notes, &mut self.mixer);
        counters.sums_late.add(late.into());
        self.spread = Some(spread);
    }

    /// Whether what is played gives way to speech.
    fn asks(&self) -> bool {
        let yields = |playing: &Playing| playing.lay.as_deref().map(|lay| lay.yields);
        self.playing.iter().any(|playing| yields(playing) == Some(Yields::Prompt))
    }

    /// It is to be taken away: the room's other parts hear nothing more of it.
    pub(crate) fn close(&self) {
        if let Some(spread) = self.spread.as_deref() {
            spread.close();
        }
    }
}

pub(super) fn leg_of(legs: &[Option<Box<Leg>>], slot: Slot) -> Option<&Leg> {
    legs.get(slot as usize)?.as_deref()
}

fn audio_of(legs: &[Option<Box<Leg>>], slot: Slot) -> Option<crate::state::Audio> {
    leg_of(legs, slot).map(|leg| leg.state.audio)
}
