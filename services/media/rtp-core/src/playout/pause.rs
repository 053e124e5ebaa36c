//! What is heard while the far side sends nothing on purpose: comfort noise, and no concealment.

use sidetone_dsp::Rate;
use sidetone_dsp::comfort::{Noise, NoiseGenerator};

use super::config::PlayoutConfig;

/// Where the far side pauses, in samples from the stream's first one, and the noise meanwhile.
#[derive(Debug)]
pub(super) struct Pause {
    /// From this place on it pauses, until there is sound again.
    from: Option<i64>,
    /// The same of the pause after this one, where the words between them are still to be played.
    next: Option<i64>,
    generator: NoiseGenerator,
}

/// What is to be heard where there is no sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// So many samples of concealment.
    Lost(usize),
    /// So many samples of noise.
    Pause(usize),
}

impl Pause {
    pub(super) fn new(config: &PlayoutConfig) -> Self {
        // Comfort noise has the rate of the RTP clock (RFC 3389, section 4); that of Opus is found in what was decoded.
        let native = match config.clock_hz {
            16_000 => Rate::Wide,
            48_000 => config.rate,
            _ => Rate::Narrow,
        };
        Self { from: None, next: None, generator: NoiseGenerator::new(native, config.rate) }
    }

    /// Another stream follows.
    pub(super) fn clear(&mut self) {
        (self.from, self.next) = (None, None);
    }

    /// Whether a pause was told of whose end was not played yet.
    pub(super) fn is_told(&self) -> bool {
        self.from.is_some()
    }

    /// Whether a place is in a pause, if there is no sound for it.
    pub(super) fn holds(&self, place: i64) -> bool {
        self.from.is_some_and(|from| from <= place)
    }

    /// Takes word of a pause from a place on; sound was put in up to `sound_end`.
    pub(super) fn tell(&mut self, place: i64, sound_end: i64, noise: &Noise) {
        match self.from {
            None => {
                self.from = Some(place);
                self.generator.begin(noise);
            }
            Some(from) => {
                if sound_end > from {
                    self.next = Some(place);
                }
                self.generator.set(noise);
            }
        }
    }

    /// Sound was played up to a place.
    pub(super) fn played(&mut self, end: i64) {
        if self.from.is_some_and(|from| from < end) {
            self.from = self.next.take();
        }
    }

    /// What is to be heard from a place on, in a gap of so many samples.
    pub(super) fn gap(&self, place: i64, length: usize) -> Gap {
        match self.from {
            Some(from) if from <= place => Gap::Pause(length),
            Some(from) => Gap::Lost(length.min((from - place) as usize)),
            None => Gap::Lost(length),
        }
    }

    pub(super) fn fill(&mut self, out: &mut [i16]) {
        self.generator.fill(out);
    }
}
