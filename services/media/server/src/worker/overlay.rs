//! A prompt over what a leg or a mix hears, or under it: one of the two gives way while the other is there.

use sidetone_dsp::duck::{Duck, DuckConfig};
use sidetone_dsp::vad::Vad;
use sidetone_dsp::{Gain, Rate, Resampler, mix};

use crate::worker::FRAME;
use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};
use crate::worker::playing::Playing;
use crate::worker::tick::FRAME_MAX;

/// Which of the two gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yields {
    /// What is said, while the prompt sounds.
    Speech,
    /// The prompt, while somebody speaks.
    Prompt,
}

/// How a playback is laid over, or under, what is heard besides.
#[derive(Debug)]
pub(crate) struct Lay {
    pub(crate) yields: Yields,
    pub(crate) depth: DuckConfig,
    /// How loud the prompt is by itself.
    gain: Gain,
    /// The gain of a prompt that gives way.
    duck: Duck,
    speech: Vad,
    /// From 8 kHz to each rate that a leg may have.
    raise: [Resampler; 2],
}

/// What a leg hears while something is laid over it, and until it has come back to its full level: it is brought with the
/// ticks instead of packet by packet.
#[derive(Debug)]
pub(crate) struct Backdrop {
    duck: Duck,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Packets are passed on as they come.
    Away,
    /// They still are, and are kept as well, until there is enough to go on without a gap; so many ticks so far.
    Coming(u32),
    /// It goes with the ticks.
    Here,
    /// It may be left from this time on in a pause, and soon after it in any case, in ms.
    Leaving { since_ms: u64 },
}

/// Ticks within which what is kept must be enough: who sends nothing is not waited for.
const COMING_TICKS_MAX: u32 = 3;
/// For so long a pause is waited for in which the delay of the ticks can be given up without being heard, in ms.
const LEAVING_MS_MAX: u64 = 3_000;
/// Quieter than this is a pause, in dBov.
const PAUSE_DBOV: f32 = -48.0;

impl Lay {
    /// `depth_db` is by how much the one that gives way is turned down.
    pub(crate) fn new(yields: Yields, depth_db: f32, gain: Gain) -> Self {
        let depth = DuckConfig::of_depth(depth_db);
        Self {
            yields,
            depth,
            gain,
            duck: Duck::new(depth),
            speech: Vad::default(),
            raise: [Rate::Wide, Rate::Full].map(|rate| Resampler::new(Rate::Narrow, rate)),
        }
    }

    /// The gain with which the prompt's next frame begins and ends, beside speech or not.
    pub(crate) fn gain(&mut self, speech: bool) -> (Gain, Gain) {
        let (from, to) = self.duck.next(speech && self.yields == Yields::Prompt);
        (times(self.gain, from), times(self.gain, to))
    }

    /// Whether this sound, 20 ms of what is heard besides, is speech.
    fn is_speech(&mut self, frame: &[i16]) -> bool {
        self.yields == Yields::Prompt && self.speech.process(frame)
    }

    /// 20 ms of a prompt at another rate.
    fn raised(&mut self, rate: Rate, sound: &[i16; FRAME], out: &mut [i16]) {
        match rate {
            Rate::Narrow => out.copy_from_slice(sound),
            Rate::Wide => _ = self.raise[0].process(sound, out),
            Rate::Full => _ = self.raise[1].process(sound, out),
        }
    }
}

/// One gain after the other.
pub(crate) fn times(one: Gain, other: Gain) -> Gain {
    let product = u32::from(one.q12()) * u32::from(other.q12()) / u32::from(Gain::UNITY.q12());
    Gain::from_q12(product.min(u32::from(Gain::MAX.q12())) as u16)
}

impl Default for Backdrop {
    fn default() -> Self {
        Self { duck: Duck::new(DuckConfig::of_depth(0.0)), stage: Stage::Away }
    }
}

impl Backdrop {
    /// Something is to be laid over it. One that is turned down already stays so.
    pub(crate) fn begin(&mut self, lay: &Lay) {
        let depth_db = if lay.yields == Yields::Speech { lay.depth.depth_db } else { 0.0 };
        self.duck = self.duck.onto(DuckConfig { depth_db, ..lay.depth });
        self.keep();
    }

    /// Something is to be added to it, and nothing gives way.
    fn keep(&mut self) {
        self.stage = match self.stage {
            Stage::Away => Stage::Coming(0),
            Stage::Leaving { .. } => Stage::Here,
            stage => stage,
        };
    }

    /// Whether it is kept for the ticks.
    pub(crate) fn is_kept(&self) -> bool {
        self.stage != Stage::Away
    }

    /// Whether it goes with the ticks, and nothing is passed on besides.
    pub(crate) fn goes_with_ticks(&self) -> bool {
        matches!(self.stage, Stage::Here | Stage::Leaving { .. })
    }

    /// One tick passes before it goes with the ticks; whether it does so from now on. It does at once where nothing is passed
    /// on as it comes.
    pub(crate) fn comes(&mut self, is_passed_on: bool, has_enough: bool) -> bool {
        if let Stage::Coming(ticks) = self.stage {
            let waits = is_passed_on && !has_enough && ticks < COMING_TICKS_MAX;
            self.stage = if waits { Stage::Coming(ticks + 1) } else { Stage::Here };
        }
        self.goes_with_ticks()
    }

    /// After the last frame of what was laid over it: whether packets may be passed on as they come again. A delay is given
    /// up by that, so a pause is waited for.
    pub(crate) fn leaves(&mut self, pauses: bool, now_ms: u64) -> bool {
        if !self.duck.is_open() {
            return false;
        }
        let since_ms = match self.stage {
            Stage::Leaving { since_ms } => since_ms,
            Stage::Away | Stage::Coming(_) | Stage::Here => now_ms,
        };
        self.stage = Stage::Leaving { since_ms };
        if pauses || now_ms.saturating_sub(since_ms) >= LEAVING_MS_MAX {
            self.stage = Stage::Away;
        }
        self.stage == Stage::Away
    }
}

/// Whether 20 ms are as good as silent.
pub(crate) fn is_pause(frame: &[i16]) -> bool {
    sidetone_dsp::level::level_dbov(frame) < PAUSE_DBOV
}

impl Leg {
    /// Begins to lay a playback over what the leg hears; the one that it takes the place of.
    pub(crate) fn lay_over(&mut self, playing: Box<Playing>) -> Option<Box<Playing>> {
        if let Some(lay) = playing.lay.as_deref() {
            self.backdrop.begin(lay);
        }
        self.over.replace(playing)
    }

    /// Goes on by 20 ms towards the next time that the leg is told that it is recorded: what it hears besides goes with the ticks as
    /// long as it is.
    pub(super) fn tick_warning(&mut self) {
        let Some(warning) = self.warning.as_deref_mut().filter(|_| self.playing.is_none()) else { return };
        if warning.sounds() {
            self.backdrop.keep();
        } else if !self.backdrop.goes_with_ticks() {
            warning.advance();
        }
    }

    /// The same while something plays instead of what is said: both together, when it is told.
    pub(super) fn warn_over(&mut self, playing: &[i16; FRAME]) -> Option<[i16; FRAME]> {
        let warning = self.warning.as_deref_mut()?;
        let sum = |warning: &Playing| {
            let (mut sum, mut both) = ([0; FRAME], [0; FRAME]);
            mix::accumulate(&mut sum, playing);
            mix::accumulate(&mut sum, warning.linear());
            mix::limit(&sum, &mut both);
            both
        };
        let both = warning.sounds().then(|| sum(warning));
        warning.advance();
        both
    }

    /// Whether something is laid over what it hears, or sounds beside it.
    pub(super) fn is_laid_over(&self) -> bool {
        self.over.is_some() || self.warning.as_deref().is_some_and(|warning| warning.sounds())
    }

    /// Adds what is laid over it to 20 ms of what the leg hears besides, and sends that.
    pub(crate) fn hear_over(&mut self, rate: Rate, frame: &mut [i16], now: Now, counters: &Counters) {
        let over = self.over.as_deref_mut().filter(|playing| !playing.is_over());
        let speech_yields = over.as_ref().is_some_and(|playing| playing.turns_speech_down());
        let (from, to) = self.backdrop.duck.next(speech_yields);
        let (mut prompt, mut warning) = ([0; FRAME_MAX], [0; FRAME_MAX]);
        let (prompt, warning) = (&mut prompt[..frame.len()], &mut warning[..frame.len()]);
        let sounds = over.is_some_and(|playing| playing.lay_onto(rate, frame, prompt));
        // While something plays instead of what is said, it comes with that.
        let warns = self.warning.as_deref_mut().filter(|_| self.playing.is_none());
        let warned = warns.is_some_and(|playing| playing.lay_onto(rate, frame, warning));
        mix::ramp(frame, from, to);
        if sounds || warned {
            let mut sum = [0; FRAME_MAX];
            let sum = &mut sum[..frame.len()];
            mix::accumulate(sum, frame);
            mix::accumulate(sum, prompt);
            mix::accumulate(sum, warning);
            mix::limit(sum, frame);
        }
        if let Some(over) = self.over.as_deref_mut().filter(|playing| playing.ends_by_voice()) {
            over.note_sent(frame);
        }
        if self.playing.is_none() && !self.dialing.sounds() {
            self.emit_linear(rate, frame, now, counters);
        }
    }
}

impl Playing {
    /// Whether what is said is to be quieter now.
    pub(crate) fn turns_speech_down(&self) -> bool {
        self.lay.as_deref().is_some_and(|lay| lay.yields == Yields::Speech) && self.sounds()
    }

    /// Goes on by 20 ms, which are put into `prompt` at a rate, as loud as they may be beside what is in `heard`; false when
    /// there is nothing to be added.
    fn lay_onto(&mut self, rate: Rate, heard: &[i16], prompt: &mut [i16]) -> bool {
        let sounds = self.sounds();
        let sound = *self.linear();
        let Some(lay) = self.lay.as_deref_mut() else { return false };
        let speech = lay.is_speech(heard);
        let (from, to) = lay.gain(speech);
        lay.raised(rate, &sound, prompt);
        mix::ramp(prompt, from, to);
        self.advance();
        // What was raised comes a little later than it went in.
        sounds || rate != Rate::Narrow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(yields: Yields) -> Lay {
        Lay::new(yields, -12.0, Gain::UNITY)
    }

    #[test]
    fn it_comes_when_enough_is_kept_and_leaves_in_a_pause() {
        let mut backdrop = Backdrop::default();
        assert!(!backdrop.is_kept());
        backdrop.begin(&lay(Yields::Speech));
        assert!(backdrop.is_kept() && !backdrop.goes_with_ticks());
        assert!(!backdrop.comes(true, false));
        assert!(backdrop.comes(true, true));
        for _ in 0..4 {
            backdrop.duck.next(true);
        }
        assert!(!backdrop.leaves(true, 1_000), "it is still turned down");
        for _ in 0..40 {
            backdrop.duck.next(false);
        }
        assert!(!backdrop.leaves(false, 2_000));
        assert!(!backdrop.leaves(false, 2_000 + LEAVING_MS_MAX - 1));
        assert!(backdrop.goes_with_ticks());
        assert!(backdrop.leaves(false, 2_000 + LEAVING_MS_MAX));
        assert!(!backdrop.is_kept());
    }

    #[test]
    fn who_sends_nothing_is_not_waited_for_and_what_is_transcoded_needs_no_wait() {
        let mut backdrop = Backdrop::default();
        backdrop.begin(&lay(Yields::Prompt));
        let waited = (0..10).take_while(|_| !backdrop.comes(true, false)).count();
        assert_eq!(waited, COMING_TICKS_MAX as usize);
        assert!(backdrop.leaves(true, 0), "nothing was turned down");
        backdrop.begin(&lay(Yields::Prompt));
        assert!(backdrop.comes(false, false));
    }

    #[test]
    fn gains_multiply_and_a_prompt_yields_to_speech_alone() {
        assert_eq!(times(Gain::UNITY, Gain::UNITY), Gain::UNITY);
        assert_eq!(times(Gain::MAX, Gain::MAX), Gain::MAX);
        assert_eq!(times(Gain::from_db(-6.0), Gain::SILENCE), Gain::SILENCE);
        let mut over = lay(Yields::Speech);
        assert_eq!(over.gain(true), (Gain::UNITY, Gain::UNITY));
        let mut under = Lay::new(Yields::Prompt, -12.0, Gain::from_db(-6.0));
        let (from, to) = under.gain(true);
        assert_eq!(from, Gain::from_db(-6.0));
        assert!(to < from);
    }
}
