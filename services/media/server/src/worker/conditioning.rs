//! What is done to the sound that comes from a leg before anybody hears it, where that is asked for: its noise is suppressed, and
//! its level set. Sound that is passed on packet by packet cannot be changed, so who is conditioned is heard with the ticks, also
//! in a call of two.

use sidetone_dsp::{Agc, Denoiser, Rate};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conditioning {
    pub(crate) rate: Rate,
    pub(crate) automatic_gain: bool,
    pub(crate) suppress_noise: bool,
}

/// What does it, for one leg: made outside of the worker.
#[derive(Debug)]
pub(crate) struct Conditioner {
    rate: Rate,
    denoiser: Option<Denoiser>,
    agc: Option<Agc>,
    /// The tick before had sound, the end of which the suppression still holds.
    sounded: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Packets are passed on as they come, and are kept as well, until there is enough to go on without a gap; so many ticks so
    /// far.
    Coming(u32),
    /// It is heard with the ticks.
    Here,
}

/// Ticks within which what is kept must be enough: who sends nothing is not waited for.
const COMING_TICKS_MAX: u32 = 5;

impl Conditioner {
    /// None where nothing is asked for.
    pub(crate) fn new(asked: Conditioning) -> Option<Self> {
        let Conditioning { rate, automatic_gain, suppress_noise } = asked;
        (automatic_gain || suppress_noise).then(|| Self {
            rate,
            denoiser: suppress_noise.then(|| Denoiser::new(rate)),
            agc: automatic_gain.then(Agc::default),
            sounded: false,
            stage: Stage::Coming(0),
        })
    }

    /// Goes on where another one was: the gain that the speaker needs is known.
    pub(crate) fn take_over(&mut self, before: &Self) {
        self.stage = before.stage;
        if let (Some(agc), Some(before)) = (&mut self.agc, &before.agc) {
            agc.clone_from(before);
        }
    }

    /// Whether the leg is heard with the ticks alone.
    pub(crate) fn is_here(&self) -> bool {
        self.stage == Stage::Here
    }

    /// One tick passes before it is heard with the ticks; whether it is from now on. It is at once where nothing is passed on.
    pub(crate) fn comes(&mut self, is_passed_on: bool, has_enough: bool) -> bool {
        if let Stage::Coming(ticks) = self.stage {
            let waits = is_passed_on && !has_enough && ticks < COMING_TICKS_MAX;
            self.stage = if waits { Stage::Coming(ticks + 1) } else { Stage::Here };
        }
        self.is_here()
    }

    /// Takes 20 ms, `said` or silent; whether there is anything to be heard now. A frame at another rate stays as it is.
    pub(crate) fn process(&mut self, said: bool, frame: &mut [i16]) -> bool {
        if frame.len() != self.rate.samples(20) {
            return said;
        }
        let ends = std::mem::replace(&mut self.sounded, said) && !said && self.denoiser.is_some();
        if !said && !ends {
            return false;
        }
        if ends {
            frame.fill(0);
        }
        if let Some(denoiser) = &mut self.denoiser {
            denoiser.process(frame);
        }
        if let Some(agc) = &mut self.agc {
            agc.process(self.rate, frame);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(automatic_gain: bool, suppress_noise: bool) -> Conditioning {
        Conditioning { rate: Rate::Narrow, automatic_gain, suppress_noise }
    }

    #[test]
    fn it_is_there_only_where_it_is_asked_for_and_comes_when_enough_is_kept() {
        assert!(Conditioner::new(asked(false, false)).is_none());
        let mut conditioner = Conditioner::new(asked(true, false)).unwrap();
        assert!(!conditioner.comes(true, false) && !conditioner.is_here());
        assert!(conditioner.comes(true, true) && conditioner.is_here());
        let mut waiting = Conditioner::new(asked(true, false)).unwrap();
        let waited = (0..10).take_while(|_| !waiting.comes(true, false)).count();
        assert_eq!(waited, COMING_TICKS_MAX as usize, "who sends nothing is not waited for");
        assert!(Conditioner::new(asked(false, true)).unwrap().comes(false, false), "nothing is passed on");
        let mut next = Conditioner::new(asked(true, true)).unwrap();
        next.take_over(&conditioner);
        assert!(next.is_here());
    }

    #[test]
    fn what_the_suppression_holds_comes_after_the_last_word_and_then_nothing() {
        let mut conditioner = Conditioner::new(asked(false, true)).unwrap();
        let mut frame = [1_000; 160];
        assert!(conditioner.process(true, &mut frame));
        assert!(conditioner.process(false, &mut frame));
        assert!(!conditioner.process(false, &mut frame));
        let mut other = [7; 320];
        assert!(conditioner.process(true, &mut other), "of another rate");
        assert_eq!(other, [7; 320]);
        let mut gain = Conditioner::new(asked(true, false)).unwrap();
        assert!(gain.process(true, &mut frame) && !gain.process(false, &mut frame));
    }
}
