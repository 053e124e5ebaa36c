//! One member of a mix.

use sidetone_dsp::Gain;

/// A member's handle. It reaches nobody once the member has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Where a member is in its life. Sound of the last state is heard one frame longer, faded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The slot is free.
    Free,
    /// It is in the mix.
    Here,
    /// It has left; its last frame fades out in the next tick.
    Leaving,
}

/// One slot.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) presence: Presence,
    pub(crate) generation: u32,
    /// The frame of this tick, after gain; the last one, when it did not speak in this tick.
    pub(crate) voice: Box<[i16]>,
    /// Its frame of the tick to come is there.
    pub(crate) asked: bool,
    /// It had nothing to say in the tick before: what it says next is a beginning, and not the middle of a word.
    pub(crate) rested: bool,
    /// Its voice is in the sum of this tick.
    pub(crate) speaks: bool,
    /// The gain that is wanted, and the one at which its last frame ended.
    pub(crate) gain: Gain,
    pub(crate) reached: Gain,
    pub(crate) muted: bool,
    pub(crate) deaf: bool,
    /// What it hears fades out or in in this tick, and how it was before.
    pub(crate) deafens: bool,
    pub(crate) was_deaf: bool,
    /// It is heard by this member alone.
    pub(crate) whispers_to: Option<MemberId>,
    /// Who is to be the one from the next tick on: it is faded out before, for those who heard it so far.
    pub(crate) next_whisper: Option<Option<MemberId>>,
    /// Its voice of this tick is for one member alone.
    pub(crate) whispers: bool,
    /// Somebody whispers to it in this tick.
    pub(crate) is_coached: bool,
    /// Smoothed energy of its voice (mean square), for the ranking of speakers.
    pub(crate) activity: f32,
}

impl Member {
    pub(crate) fn free(samples: usize) -> Self {
        Self {
            presence: Presence::Free,
            generation: 0,
            voice: vec![0; samples].into_boxed_slice(),
            asked: false,
            rested: false,
            speaks: false,
            gain: Gain::UNITY,
            reached: Gain::SILENCE,
            muted: false,
            deaf: false,
            deafens: false,
            was_deaf: false,
            whispers_to: None,
            next_whisper: None,
            whispers: false,
            is_coached: false,
            activity: 0.0,
        }
    }

    /// Takes the slot into use. A new member fades in.
    pub(crate) fn begin(&mut self) {
        self.presence = Presence::Here;
        self.generation = self.generation.wrapping_add(1);
        self.voice.fill(0);
        self.asked = false;
        self.rested = false;
        self.speaks = false;
        self.gain = Gain::UNITY;
        self.reached = Gain::SILENCE;
        self.muted = false;
        self.deaf = false;
        self.deafens = false;
        self.was_deaf = false;
        self.whispers_to = None;
        self.next_whisper = None;
        self.whispers = false;
        self.is_coached = false;
        self.activity = 0.0;
    }

    /// The gain at which the frame of this tick is to end.
    pub(crate) fn wanted(&self) -> Gain {
        if self.muted || self.presence == Presence::Leaving || self.next_whisper.is_some() {
            Gain::SILENCE
        } else {
            self.gain
        }
    }
}
