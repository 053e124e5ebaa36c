//! Another thread of the room, as one hears it.

use super::lane::Lane;
use super::notes::{HEAD, Notes};
use super::unpack;
use crate::mixer::Mixer;

/// What was last heard of another thread.
#[derive(Debug)]
pub(super) struct Peer {
    /// None when it is not there.
    notes: Option<Notes>,
    /// Its last sum, and the place for the next.
    sum: Box<[i32]>,
    next: Box<[i32]>,
    /// Voices in its last sum; 0 when it was silent.
    voices: u32,
    /// Its last sum was missed: the next fades in.
    missed: bool,
}

impl Peer {
    pub(super) fn new(samples: usize) -> Self {
        let sum = || vec![0; samples].into_boxed_slice();
        Self { notes: None, sum: sum(), next: sum(), voices: 0, missed: false }
    }

    pub(super) fn notes(&self) -> Option<&Notes> {
        self.notes.as_ref()
    }

    /// Adds what it said in a tick; true when it is there, and that came too late.
    pub(super) fn hear(&mut self, lane: &Lane, is_open: bool, tick: u64, mixer: &mut Mixer) -> bool {
        if let Some(voices) = self.take(lane, tick) {
            let begins = std::mem::take(&mut self.missed);
            self.voices = voices;
            if voices > 0 {
                if begins {
                    ramp(&mut self.sum, Ramp::In);
                }
                mixer.add(&self.sum, voices as usize);
            }
            return false;
        }
        let is_late = is_open && self.notes.is_some();
        if !is_open {
            self.notes = None;
        }
        self.missed = true;
        let voices = std::mem::take(&mut self.voices);
        if voices > 0 {
            // As a member that has stopped: it goes on where the sound was, without a step.
            self.sum.reverse();
            ramp(&mut self.sum, Ramp::Out);
            mixer.add(&self.sum, voices as usize);
        }
        is_late
    }

    /// Takes its notes and its sum of a tick; the voices in that, none when it is not there.
    fn take(&mut self, lane: &Lane, tick: u64) -> Option<u32> {
        let mut head = [0; HEAD];
        let mut places = head.iter_mut();
        let has_notes = lane.read(tick, 0, |word| match places.next() {
            Some(place) => {
                *place = word;
                true
            }
            None => false,
        });
        let (voices, notes) = has_notes.then(|| Notes::read(&head))?;
        if voices > 0 {
            let mut pairs = self.next.chunks_mut(2);
            let has_sum = lane.read(tick, HEAD, |word| match pairs.next() {
                Some(pair) => {
                    pair.copy_from_slice(&unpack(word)[..pair.len()]);
                    true
                }
                None => false,
            });
            if !has_sum {
                return None;
            }
            std::mem::swap(&mut self.sum, &mut self.next);
        }
        self.notes = Some(notes);
        Some(voices)
    }
}

#[derive(Debug, Clone, Copy)]
enum Ramp {
    In,
    Out,
}

/// Fades a sum over its whole length.
fn ramp(sum: &mut [i32], ramp: Ramp) {
    let length = sum.len() as i64;
    for (index, sample) in (1..).zip(sum.iter_mut()) {
        let share = match ramp {
            Ramp::In => index,
            Ramp::Out => length - index,
        };
        // No larger than it was.
        *sample = (i64::from(*sample) * share / length) as i32;
    }
}
