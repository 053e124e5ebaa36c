//! A conference: everybody hears the sum without oneself.
//!
//! On each tick the voices are taken out of the members' playouts and summed once in 32 bits. Who was silent gets the
//! common sound, encoded once per law; who spoke gets the sum without the own voice.

use sidetone_dsp::{Law, g711, mix};

use crate::playout::FRAME;
use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};
use crate::worker::playing::Playing;
use crate::worker::rings::Slot;

/// Prompts that may be played to one mix at a time.
pub(crate) const MIX_PLAYBACKS_MAX: usize = 4;

/// A mix with room for its members, made outside of the worker.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(crate) members: Vec<Slot>,
    /// Boxed as they came, so that they leave without being moved or freed here.
    #[allow(clippy::vec_box)]
    pub(crate) playing: Vec<Box<Playing>>,
    /// The members' voices of this tick, in their order.
    voices: Vec<Voice>,
    sum: [i32; FRAME],
}

/// What one member said in this tick.
#[derive(Debug, Clone, Copy)]
struct Voice {
    speaks: bool,
    samples: [i16; FRAME],
}

/// The common sound of a tick, by law, encoded when the first silent member needs it.
struct Common {
    linear: [i16; FRAME],
    encoded: [Option<[u8; FRAME]>; 2],
}

impl Mix {
    /// An empty mix for at most `members_max` legs.
    pub(crate) fn new(members_max: usize) -> Self {
        Self {
            members: Vec::with_capacity(members_max),
            playing: Vec::with_capacity(MIX_PLAYBACKS_MAX),
            voices: Vec::with_capacity(members_max),
            sum: [0; FRAME],
        }
    }

    /// How many legs it has room for.
    pub(crate) fn members_max(&self) -> usize {
        self.members.capacity().min(self.voices.capacity())
    }

    /// Takes over the members of a smaller one.
    pub(crate) fn take_over(&mut self, smaller: &mut Self) {
        self.members.append(&mut smaller.members);
        self.playing.append(&mut smaller.playing);
    }

    /// One tick: 20 ms from everybody, 20 ms to everybody.
    pub(crate) fn tick(&mut self, legs: &mut [Option<Box<Leg>>], now: Now, counters: &Counters) {
        self.listen(legs);
        let mut common = Common { linear: [0; FRAME], encoded: [None; 2] };
        mix::limit(&self.sum, &mut common.linear);
        for (slot, voice) in self.members.iter().zip(&self.voices) {
            let Some(leg) = legs.get_mut(*slot as usize).and_then(Option::as_deref_mut) else { continue };
            let Some(law) = leg.law().filter(|_| leg.playing.is_none()) else { continue };
            if voice.speaks {
                let mut own = [0; FRAME];
                let mut encoded = [0; FRAME];
                mix::subtract_own_and_limit(&self.sum, &voice.samples, &mut own);
                g711::encode(law, &own, &mut encoded);
                leg.emit(&encoded, now, counters);
            } else {
                leg.emit(common.encoded(law), now, counters);
            }
        }
    }

    fn listen(&mut self, legs: &mut [Option<Box<Leg>>]) {
        self.sum = [0; FRAME];
        self.voices.clear();
        for slot in &self.members {
            let mut voice = Voice { speaks: false, samples: [0; FRAME] };
            if let Some(leg) = legs.get_mut(*slot as usize).and_then(Option::as_deref_mut) {
                voice.speaks = leg.playout.pull(&mut voice.samples);
            }
            if voice.speaks {
                mix::accumulate(&mut self.sum, &voice.samples);
            }
            self.voices.push(voice);
        }
        for playing in &mut self.playing {
            if !playing.is_over() {
                mix::accumulate(&mut self.sum, playing.linear());
                playing.advance();
            }
        }
    }
}

impl Common {
    fn encoded(&mut self, law: Law) -> &[u8; FRAME] {
        let linear = &self.linear;
        self.encoded[law as usize].get_or_insert_with(|| {
            let mut bytes = [0; FRAME];
            g711::encode(law, linear, &mut bytes);
            bytes
        })
    }
}
