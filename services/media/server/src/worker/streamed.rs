//! Sound that is decoded while it plays: it comes out of a ring, a few seconds ahead. The tick waits for none of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rtrb::Consumer;

use crate::worker::FRAME;

/// 20 ms on their way to a playback.
#[derive(Debug)]
pub(crate) struct Coming {
    /// How often another place was gone to before: what was decoded for an earlier one is not heard.
    pub(crate) generation: u32,
    /// Which round it belongs to.
    pub(crate) round: u32,
    /// It is sound, and no pause.
    pub(crate) sounds: bool,
    pub(crate) linear: [i16; FRAME],
}

/// What whoever decodes it has to know of the playback.
#[derive(Debug, Default)]
pub(crate) struct Playback {
    /// Frames that did not come in time.
    pub(crate) late: AtomicU64,
    /// The round that is heard.
    pub(crate) round: AtomicU32,
}

/// A playback of such sound.
#[derive(Debug)]
pub(crate) struct Streamed {
    frames: Consumer<Coming>,
    generation: u32,
    /// The present 20 ms.
    pub(super) linear: [i16; FRAME],
    pub(super) sounds: bool,
    pub(super) coded: [u8; FRAME],
    came: bool,
    /// Sound has come since the beginning, or since another place was gone to.
    runs: bool,
    told: Arc<Playback>,
}

impl Streamed {
    pub(crate) fn new(frames: Consumer<Coming>, told: Arc<Playback>) -> Self {
        let mut streamed = Self {
            frames,
            generation: 0,
            linear: [0; FRAME],
            sounds: false,
            coded: [0; FRAME],
            came: false,
            runs: false,
            told,
        };
        streamed.advance();
        streamed
    }

    pub(super) fn is_over(&self) -> bool {
        !self.came && self.frames.is_abandoned() && self.frames.is_empty()
    }

    pub(super) fn advance(&mut self) {
        // The ring is small: what is out of date in it is left out at once.
        while let Ok(coming) = self.frames.pop() {
            if coming.generation.wrapping_sub(self.generation) > u32::MAX / 2 {
                continue;
            }
            self.generation = coming.generation;
            (self.linear, self.sounds) = (coming.linear, coming.sounds);
            self.told.round.store(coming.round, Ordering::Relaxed);
            (self.came, self.runs) = (true, true);
            return;
        }
        if self.runs && !self.frames.is_abandoned() {
            self.told.late.fetch_add(1, Ordering::Relaxed);
        }
        (self.linear, self.sounds, self.came) = ([0; FRAME], false, false);
    }

    /// Another place is gone to.
    pub(super) fn seek(&mut self, generation: u32) {
        self.generation = generation;
        (self.linear, self.sounds, self.runs) = ([0; FRAME], false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coming(generation: u32, level: i16) -> Coming {
        Coming { generation, round: 3, sounds: true, linear: [level; FRAME] }
    }

    #[test]
    fn what_is_late_is_silent_and_counted_and_what_is_out_of_date_is_not_heard() {
        let (mut say, heard) = rtrb::RingBuffer::new(8);
        let told = Arc::new(Playback::default());
        let mut streamed = Streamed::new(heard, Arc::clone(&told));
        streamed.advance();
        assert_eq!(
            (streamed.is_over(), told.late.load(Ordering::Relaxed)),
            (false, 0),
            "nothing was there yet"
        );
        say.push(coming(0, 5)).unwrap();
        streamed.advance();
        assert_eq!((streamed.linear[0], streamed.sounds, told.round.load(Ordering::Relaxed)), (5, true, 3));
        streamed.advance();
        assert_eq!((streamed.linear[0], streamed.sounds, told.late.load(Ordering::Relaxed)), (0, false, 1));
        (0..6).for_each(|_| say.push(coming(0, 6)).unwrap());
        streamed.seek(1);
        say.push(coming(1, 7)).unwrap();
        streamed.advance();
        assert_eq!(streamed.linear[0], 7);
        say.push(coming(2, 8)).unwrap();
        streamed.advance();
        assert_eq!(streamed.linear[0], 8, "the word of it was lost, the sound was not");
        drop(say);
        assert!(!streamed.is_over());
        streamed.advance();
        assert_eq!((streamed.is_over(), told.late.load(Ordering::Relaxed)), (true, 1));
    }
}
