//! What is played, on its way to a leg or a mix.

use std::sync::Arc;

use rtrb::Consumer;
use sidetone_dsp::{Law, g711};

use crate::prompts::{Form, Prompt};
use crate::worker::FRAME;
use crate::worker::barging::Barging;
use crate::worker::overlay::Lay;
use crate::worker::streamed::Streamed;

/// One playback. What it plays is shared by all who hear it, unless it is made as it is heard.
#[derive(Debug)]
pub(crate) struct Playing {
    /// The playback, by its number in this process.
    pub(crate) playback: u64,
    sound: Sound,
    /// How it is laid over what is heard besides; none is heard instead of everything else, and in a mix added as it is.
    pub(crate) lay: Option<Box<Lay>>,
    /// What of its hearer ends it; none where nothing does.
    pub(crate) barging: Option<Box<Barging>>,
    /// What ended it before its end; it leaves on the next tick.
    pub(crate) ended: Option<Ending>,
    /// It is silent and stays where it is.
    paused: bool,
}

/// What ended a playback before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A command, another playback, or the end of its hearer.
    Stopped,
    /// A key of its hearer.
    Key,
    /// Speech of its hearer.
    Voice,
}

impl Ending {
    /// By what its hearer ended it, if he did.
    pub(crate) const fn of_hearer(self) -> Option<&'static str> {
        match self {
            Self::Key => Some("key"),
            Self::Voice => Some("voice"),
            Self::Stopped => None,
        }
    }
}

/// A change of a playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steer {
    /// It is silent, or goes on.
    Paused(bool),
    /// It goes on so many frames behind the beginning of the present round. Each time has a number that follows the one before.
    To { frame: usize, generation: u32 },
}

#[derive(Debug)]
enum Sound {
    Prompts(Rounds),
    Live(Box<Live>),
    Streamed(Box<Streamed>),
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
    packets: Packets,
}

/// Whose packets a hearer of a part gets: decided once, because those of two encoders do not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packets {
    Undecided,
    /// Those of its own encoder.
    Own,
    /// Those that were made for all, and where they are.
    Shared(Form, usize),
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

    fn prompts(&self) -> impl Iterator<Item = &Arc<Prompt>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Sound(prompt) => Some(prompt),
            Part::Pause(_) => None,
        })
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
        Self { playback, sound, lay: None, barging: None, ended: None, paused: false }
    }

    /// Plays what comes out of a ring, until its other end is gone and it is empty.
    pub(crate) fn live(playback: u64, frames: Consumer<[i16; FRAME]>) -> Self {
        let mut live = Live { frames, linear: [0; FRAME], came: false, coded: [0; FRAME] };
        live.advance();
        let sound = Sound::Live(Box::new(live));
        Self { playback, sound, lay: None, barging: None, ended: None, paused: false }
    }

    /// Plays what is decoded meanwhile.
    pub(crate) fn streamed(playback: u64, streamed: Streamed) -> Self {
        let sound = Sound::Streamed(Box::new(streamed));
        Self { playback, sound, lay: None, barging: None, ended: None, paused: false }
    }

    /// Ends it before its end, unless it was before.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.ended.get_or_insert(ending);
    }

    /// Changes where it is. What is said as it comes has but one place.
    pub(crate) fn steer(&mut self, steer: Steer) {
        match (steer, &mut self.sound) {
            (Steer::Paused(paused), _) => self.paused = paused,
            (Steer::To { frame, .. }, Sound::Prompts(rounds)) => rounds.seek(frame),
            (Steer::To { generation, .. }, Sound::Streamed(streamed)) => streamed.seek(generation),
            (Steer::To { .. }, Sound::Live(_)) => {}
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some()
            || match &self.sound {
                Sound::Prompts(rounds) => rounds.is_over(),
                Sound::Live(live) => !live.came && live.frames.is_abandoned() && live.frames.is_empty(),
                Sound::Streamed(streamed) => streamed.is_over(),
            }
    }

    /// Whether the present 20 ms are sound, and not a pause.
    pub(crate) fn sounds(&self) -> bool {
        !self.paused
            && match &self.sound {
                Sound::Prompts(rounds) => rounds.sounds(),
                Sound::Live(live) => live.came,
                Sound::Streamed(streamed) => streamed.sounds,
            }
    }

    /// The present 20 ms in one law.
    pub(crate) fn encoded(&mut self, law: Law) -> &[u8; FRAME] {
        match &mut self.sound {
            _ if self.paused => silent(law),
            Sound::Prompts(rounds) => rounds.encoded(law),
            Sound::Live(live) => {
                g711::encode(law, &live.linear, &mut live.coded);
                &live.coded
            }
            Sound::Streamed(streamed) => {
                g711::encode(law, &streamed.linear, &mut streamed.coded);
                &streamed.coded
            }
        }
    }

    /// The present 20 ms.
    pub(crate) fn linear(&self) -> &[i16; FRAME] {
        match &self.sound {
            _ if self.paused => &SILENCE,
            Sound::Prompts(rounds) => rounds.linear(),
            Sound::Live(live) => &live.linear,
            Sound::Streamed(streamed) => &streamed.linear,
        }
    }

    /// Decides whether the present 20 ms go out as they were encoded for all who hear them in this form.
    pub(crate) fn settle(&mut self, form: Option<Form>) {
        if let (false, Sound::Prompts(rounds)) = (self.paused, &mut self.sound) {
            rounds.settle(form);
        }
    }

    /// The present 20 ms as a packet that was encoded for all, if so it was [settled](Self::settle).
    pub(crate) fn packet(&self) -> Option<&[u8]> {
        match &self.sound {
            Sound::Prompts(rounds) if !self.paused => rounds.packet(),
            _ => None,
        }
    }

    /// The prompts of it that are all in memory.
    pub(crate) fn prompts(&self) -> Vec<Arc<Prompt>> {
        match &self.sound {
            Sound::Prompts(rounds) => rounds.program.prompts().cloned().collect(),
            Sound::Live(_) | Sound::Streamed(_) => Vec::new(),
        }
    }

    pub(crate) fn advance(&mut self) {
        match &mut self.sound {
            _ if self.paused => {}
            Sound::Prompts(rounds) => rounds.advance(),
            Sound::Live(live) => live.advance(),
            Sound::Streamed(streamed) => streamed.advance(),
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
        let frame = offset_frames.checked_rem(program.frames).unwrap_or(0);
        let mut rounds = Self { program, left, part: 0, frame: 0, packets: Packets::Undecided };
        rounds.seek(frame);
        rounds
    }

    /// Goes to a frame of the present round; past its end to the next round, if there is one.
    fn seek(&mut self, frame: usize) {
        (self.part, self.frame) = (0, frame);
        self.packets = Packets::Undecided;
        let end = self.end();
        while let Some(length) = self.program.parts[..end].get(self.part).map(Part::frames)
            && self.frame >= length
        {
            self.frame -= length;
            self.part += 1;
        }
        self.end_round();
    }

    /// Parts of the present round.
    fn end(&self) -> usize {
        if self.left == Some(1) { self.program.last_round } else { self.program.parts.len() }
    }

    /// Begins the next round behind the last part of this one.
    fn end_round(&mut self) {
        if self.part >= self.end() {
            (self.part, self.frame) = (0, 0);
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
    }

    fn is_over(&self) -> bool {
        self.left == Some(0) || self.program.frames == 0
    }

    fn sounds(&self) -> bool {
        !self.is_over() && matches!(self.program.parts[self.part], Part::Sound(_))
    }

    fn encoded(&self, law: Law) -> &[u8; FRAME] {
        match &self.program.parts[self.part] {
            Part::Sound(prompt) => prompt.encoded(law, self.frame),
            Part::Pause(_) => silent(law),
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
        self.packets = Packets::Undecided;
        self.part += 1;
        self.end_round();
    }

    fn settle(&mut self, form: Option<Form>) {
        self.packets = match (self.packets, form, &self.program.parts[self.part]) {
            (Packets::Undecided, Some(form), Part::Sound(prompt)) => {
                prompt.place(&form).map_or(Packets::Own, |place| Packets::Shared(form, place))
            }
            (Packets::Shared(shared, place), Some(form), _) if shared == form => {
                Packets::Shared(shared, place)
            }
            _ => Packets::Own,
        };
    }

    fn packet(&self) -> Option<&[u8]> {
        match (self.packets, &self.program.parts[self.part]) {
            (Packets::Shared(_, place), Part::Sound(prompt)) => prompt.packet(place, self.frame),
            _ => None,
        }
    }
}

fn silent(law: Law) -> &'static [u8; FRAME] {
    match law {
        Law::Mu => &SILENCE_MU,
        Law::A => &SILENCE_A,
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
    fn it_is_paused_and_goes_to_other_places() {
        let prompt = |level: i16, frames: usize| Arc::new(Prompt::new(&vec![level; frames * FRAME]));
        let program = Arc::new(Program::new(vec![prompt(1, 2), prompt(2, 1)], 1));
        let mut playing = Playing::new(1, program, Some(3), 0);
        playing.steer(Steer::Paused(true));
        playing.advance();
        assert_eq!((playing.linear()[0], playing.sounds(), playing.is_over()), (0, false, false));
        assert_eq!(playing.encoded(Law::A), &SILENCE_A);
        playing.steer(Steer::Paused(false));
        assert_eq!((playing.linear()[0], playing.sounds()), (1, true));
        playing.steer(Steer::To { frame: 3, generation: 1 });
        assert_eq!(playing.linear()[0], 2);
        playing.steer(Steer::To { frame: 5, generation: 1 });
        assert_eq!(playing.linear()[0], 1, "the second round");
        playing.steer(Steer::To { frame: 9, generation: 1 });
        playing.steer(Steer::To { frame: 3, generation: 1 });
        assert!(!playing.is_over());
        playing.steer(Steer::To { frame: 4, generation: 1 });
        assert!(playing.is_over(), "the third is the last, and ends without a pause");
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

    #[test]
    fn packets_made_for_all_are_taken_from_the_beginning_of_a_prompt_on() {
        use sidetone_dsp::Rate;
        use sidetone_dsp::codec::{Codec, OpusSettings};
        let form = |codec| Form::new(codec, Rate::Narrow, OpusSettings::default());
        let prompt = Arc::new(Prompt::new(&vec![1000; 3 * FRAME]));
        let program = Arc::new(Program::new(vec![Arc::clone(&prompt)], 1));
        let mut playing = Playing::new(1, program, Some(3), 0);
        let mut next = |form: Option<Form>| {
            playing.settle(form);
            let packet = playing.packet().map(<[u8]>::to_vec);
            playing.advance();
            packet
        };
        assert_eq!(next(form(Codec::Gsm)), None, "not made yet");
        assert!(prompt.claim(form(Codec::Gsm).unwrap()) && prompt.make(form(Codec::Gsm).unwrap()) > 0);
        assert_eq!(next(form(Codec::Gsm)), None, "those of its own encoder go on");
        assert_eq!(next(form(Codec::Gsm)), None);
        assert_eq!(next(form(Codec::Gsm)), None, "a pause");
        let place = prompt.place(&form(Codec::Gsm).unwrap()).unwrap();
        assert_eq!(next(form(Codec::Gsm)).as_deref(), prompt.packet(place, 0));
        assert_eq!(next(form(Codec::Gsm)).as_deref(), prompt.packet(place, 1));
        assert_eq!(next(form(Codec::G722)), None, "another form");
        assert_eq!(next(form(Codec::Gsm)), None, "a pause");
        assert_eq!(next(None), None, "it cannot take them");
        assert_eq!(next(form(Codec::Gsm)), None, "what began with its own encoder");
    }
}
