//! What is played, on its way to a leg or a mix.

use std::sync::Arc;

use rtrb::Consumer;
use sidetone_dsp::{Law, g711};

use crate::prompts::Prompt;
use crate::worker::FRAME;
use crate::worker::overlay::Lay;

/// One playback. What it plays is shared by all who hear it, unless it is made as it is heard.
#[derive(Debug)]
pub(crate) struct Playing {
    /// The playback, by its number in this process.
    pub(crate) playback: u64,
    sound: Sound,
    /// How it is laid over what is heard besides; none is heard instead of everything else, and in a mix added as it is.
    pub(crate) lay: Option<Box<Lay>>,
    /// Ended by command; it leaves on the next tick.
    pub(crate) stopped: bool,
}

#[derive(Debug)]
enum Sound {
    Prompts(Rounds),
    Live(Box<Live>),
}

/// Where a playback of prompts is.
#[derive(Debug)]
struct Rounds {
    program: Arc<Program>,
    /// Rounds left; none is for ever.
    left: Option<u32>,
    part: usize,
    /// The next frame of the part.
    frame: usize,
}

/// Sound that comes as it is made; where none came in time there is silence. It is over when nobody will send more.
#[derive(Debug)]
struct Live {
    frames: Consumer<[i16; FRAME]>,
    linear: [i16; FRAME],
    /// `linear` came out of the ring, and is not silence for want of it.
    came: bool,
    coded: [u8; FRAME],
}

/// One round: prompts one after the other, with pauses.
#[derive(Debug)]
pub(crate) struct Program {
    parts: Box<[Part]>,
    /// Parts of the last round, which ends without a pause.
    last_round: usize,
    frames: usize,
}

#[derive(Debug)]
enum Part {
    Sound(Arc<Prompt>),
    /// Frames of silence.
    Pause(usize),
}

const SILENCE: [i16; FRAME] = [0; FRAME];
const SILENCE_MU: [u8; FRAME] = [0xff; FRAME];
const SILENCE_A: [u8; FRAME] = [0xd5; FRAME];

impl Program {
    /// Prompts with so many frames of silence after each; those without sound are left out.
    pub(crate) fn new(prompts: Vec<Arc<Prompt>>, pause_frames: usize) -> Self {
        let mut parts = Vec::new();
        for prompt in prompts.into_iter().filter(|prompt| prompt.frames() > 0) {
            parts.push(Part::Sound(prompt));
            if pause_frames > 0 {
                parts.push(Part::Pause(pause_frames));
            }
        }
        let last_round = parts.len() - usize::from(matches!(parts.last(), Some(Part::Pause(_))));
        let frames = parts[..last_round].iter().map(Part::frames).sum();
        Self { parts: parts.into(), last_round, frames }
    }

    /// Of one round.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.frames as u64 * 20
    }
}

impl Part {
    fn frames(&self) -> usize {
        match self {
            Self::Sound(prompt) => prompt.frames(),
            Self::Pause(frames) => *frames,
        }
    }
}

impl Playing {
    /// Begins so many frames into the first round.
    pub(crate) fn new(
        playback: u64,
        program: Arc<Program>,
        rounds: Option<u32>,
        offset_frames: usize,
    ) -> Self {
        let sound = Sound::Prompts(Rounds::new(program, rounds, offset_frames));
        Self { playback, sound, lay: None, stopped: false }
    }

    /// Plays what comes out of a ring, until its other end is gone and it is empty.
    pub(crate) fn live(playback: u64, frames: Consumer<[i16; FRAME]>) -> Self {
        let mut live = Live { frames, linear: [0; FRAME], came: false, coded: [0; FRAME] };
        live.advance();
        Self { playback, sound: Sound::Live(Box::new(live)), lay: None, stopped: false }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stopped
            || match &self.sound {
                Sound::Prompts(rounds) => rounds.is_over(),
                Sound::Live(live) => !live.came && live.frames.is_abandoned() && live.frames.is_empty(),
            }
    }

    /// Whether the present 20 ms are sound, and not a pause.
    pub(crate) fn sounds(&self) -> bool {
        match &self.sound {
            Sound::Prompts(rounds) => rounds.sounds(),
            Sound::Live(live) => live.came,
        }
    }

    /// The present 20 ms in one law.
    pub(crate) fn encoded(&mut self, law: Law) -> &[u8; FRAME] {
        match &mut self.sound {
            Sound::Prompts(rounds) => rounds.encoded(law),
            Sound::Live(live) => {
                g711::encode(law, &live.linear, &mut live.coded);
                &live.coded
            }
        }
    }

    /// The present 20 ms.
    pub(crate) fn linear(&self) -> &[i16; FRAME] {
        match &self.sound {
            Sound::Prompts(rounds) => rounds.linear(),
            Sound::Live(live) => &live.linear,
        }
    }

    pub(crate) fn advance(&mut self) {
        match &mut self.sound {
            Sound::Prompts(rounds) => rounds.advance(),
            Sound::Live(live) => live.advance(),
        }
    }
}

impl Live {
    fn advance(&mut self) {
        let next = self.frames.pop();
        self.came = next.is_ok();
        self.linear = next.unwrap_or([0; FRAME]);
    }
}

impl Rounds {
    fn new(program: Arc<Program>, left: Option<u32>, offset_frames: usize) -> Self {
        let (mut part, mut frame) = (0, offset_frames.checked_rem(program.frames).unwrap_or(0));
        while let Some(length) = program.parts.get(part).map(Part::frames).filter(|length| frame >= *length) {
            frame -= length;
            part += 1;
        }
        Self { program, left, part, frame }
    }

    fn is_over(&self) -> bool {
        self.left == Some(0) || self.program.frames == 0
    }

    fn sounds(&self) -> bool {
        !self.is_over() && matches!(self.program.parts[self.part], Part::Sound(_))
    }

    fn encoded(&self, law: Law) -> &[u8; FRAME] {
        match (&self.program.parts[self.part], law) {
            (Part::Sound(prompt), law) => prompt.encoded(law, self.frame),
            (Part::Pause(_), Law::Mu) => &SILENCE_MU,
            (Part::Pause(_), Law::A) => &SILENCE_A,
        }
    }

    fn linear(&self) -> &[i16; FRAME] {
        match &self.program.parts[self.part] {
            Part::Sound(prompt) => prompt.linear(self.frame),
            Part::Pause(_) => &SILENCE,
        }
    }

    fn advance(&mut self) {
        self.frame += 1;
        if self.frame < self.program.parts[self.part].frames() {
            return;
        }
        self.frame = 0;
        self.part += 1;
        let end = if self.left == Some(1) { self.program.last_round } else { self.program.parts.len() };
        if self.part >= end {
            self.part = 0;
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(rounds: Option<u32>, offset: usize) -> Vec<i16> {
        let prompt = |level: i16, frames: usize| Arc::new(Prompt::new(&vec![level; frames * FRAME]));
        let program = Arc::new(Program::new(vec![prompt(1, 2), prompt(0, 0), prompt(2, 1)], 1));
        let mut playing = Playing::new(1, program, rounds, offset);
        let mut heard = Vec::new();
        while !playing.is_over() && heard.len() < 12 {
            heard.push(playing.linear()[0]);
            playing.advance();
        }
        heard
    }

    #[test]
    fn a_playlist_goes_round_with_pauses_and_ends_without_one() {
        assert_eq!(played(Some(1), 0), [1, 1, 0, 2]);
        assert_eq!(played(Some(2), 0), [1, 1, 0, 2, 0, 1, 1, 0, 2]);
        assert_eq!(played(Some(1), 3), [2]);
        assert_eq!(played(Some(2), 6), [0, 2, 0, 1, 1, 0, 2], "an offset is within the round");
        assert_eq!(played(None, 0).len(), 12);
        let nothing = Playing::new(1, Arc::new(Program::new(Vec::new(), 3)), None, 9);
        assert!(nothing.is_over());
    }

    #[test]
    fn live_sound_is_silent_while_none_comes_and_over_when_none_will() {
        let (mut say, heard) = rtrb::RingBuffer::new(4);
        let mut playing = Playing::live(1, heard);
        assert_eq!((playing.linear()[0], playing.is_over()), (0, false));
        say.push([500; FRAME]).unwrap();
        playing.advance();
        assert_eq!(playing.linear()[0], 500);
        assert_ne!(playing.encoded(Law::Mu), &SILENCE_MU);
        playing.advance();
        assert_eq!((playing.linear()[0], playing.is_over()), (0, false));
        say.push([700; FRAME]).unwrap();
        drop(say);
        assert!(!playing.is_over(), "the last word is heard");
        playing.advance();
        assert_eq!((playing.linear()[0], playing.is_over()), (700, false));
        playing.advance();
        assert!(playing.is_over());
    }
}
