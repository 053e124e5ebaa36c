//! Prompts that are too long to be held in memory: decoded as they are played, a few seconds ahead.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use symphonia::core::io::MediaSource;

use super::Playable;
use super::decode::Decoding;
use crate::error::MediaError;
use crate::worker::FRAME;
use crate::worker::streamed::Coming;

/// A long prompt, in the form in which it came.
#[derive(Debug)]
pub(crate) struct Long {
    file: Stored,
    ending: &'static str,
    duration_ms: Option<u64>,
}

/// Where a file is.
#[derive(Debug)]
pub(super) enum Stored {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl Stored {
    pub(super) fn open(&self) -> Result<Box<dyn MediaSource>, MediaError> {
        let problem =
            |error: std::io::Error| MediaError::Io { what: "reading a prompt", problem: error.to_string() };
        match self {
            Self::File(path) => Ok(Box::new(std::fs::File::open(path).map_err(problem)?)),
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
        }
    }
}

impl Long {
    pub(super) fn new(file: Stored, ending: &'static str, duration_ms: Option<u64>) -> Self {
        Self { file, ending, duration_ms }
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        match &self.file {
            Stored::File(path) => path.as_os_str().len(),
            Stored::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A walk through the rounds of a playlist of which a part is long.
#[derive(Debug)]
pub(crate) struct Walk {
    parts: Vec<Playable>,
    pause_frames: usize,
    /// How many there are; none is for ever.
    rounds: Option<u32>,
    /// The present one.
    round: u32,
    at: At,
}

/// Where it is: in a part, or in the pause behind it.
#[derive(Debug)]
struct At {
    part: usize,
    /// Frames of the part, or of the pause, that are over.
    frame: usize,
    pauses: bool,
    /// The next frame of the part.
    ready: Option<[i16; FRAME]>,
    /// The part, where it is long.
    decoding: Option<Box<Open>>,
    /// Whether anything of this round was heard: a round without a sound would go round for ever.
    heard: bool,
}

/// Frames that are decoded rather than jumped over: a second.
const WALKED: usize = 50;

#[derive(Debug)]
struct Open {
    decoding: Decoding,
    samples: Vec<i16>,
    goes_on: bool,
}

impl Walk {
    pub(crate) fn new(parts: Vec<Playable>, pause_frames: usize, rounds: Option<u32>) -> Self {
        Self { parts, pause_frames, rounds, round: 0, at: At::start() }
    }

    /// Of one round, as far as it is known, in ms.
    pub(crate) fn duration_ms(&self) -> Option<u64> {
        let pauses = self.parts.len().saturating_sub(1) * self.pause_frames * 20;
        let of = |part: &Playable| match part {
            Playable::Whole(prompt) => Some(prompt.frames() as u64 * 20),
            Playable::Long(long) => long.duration_ms,
        };
        self.parts.iter().map(of).sum::<Option<u64>>().map(|sum| sum + pauses as u64)
    }

    /// Goes to a frame of a round; past its end to the next round, if there is one.
    pub(crate) fn seek(&mut self, round: u32, frame: usize) {
        (self.round, self.at) = (round, At::start());
        let mut left = frame;
        while left > 0 {
            // What a round begins with is heard.
            if self.settle().is_none() || self.round != round {
                return;
            }
            let jumped = self.at.jump(&self.parts, left);
            if jumped == 0 {
                self.next();
            }
            left -= jumped.max(1);
        }
    }

    /// Takes up to so many frames; false when that was the end.
    pub(crate) fn take(&mut self, frames: usize, generation: u32, out: &mut Vec<Coming>) -> bool {
        for _ in 0..frames {
            match self.next() {
                Some((linear, sounds)) => out.push(Coming { generation, round: self.round, sounds, linear }),
                None => return false,
            }
        }
        true
    }

    /// The next 20 ms, and whether they are sound and no pause.
    fn next(&mut self) -> Option<([i16; FRAME], bool)> {
        self.settle()?;
        self.at.heard = true;
        if self.at.pauses {
            self.at.frame += 1;
            return Some(([0; FRAME], false));
        }
        self.at.frame += 1;
        self.at.ready.take().map(|frame| (frame, true))
    }

    /// Goes on to where the next frame is; none when there is none.
    fn settle(&mut self) -> Option<()> {
        loop {
            if self.rounds == Some(self.round) {
                return None;
            }
            if self.at.part >= self.parts.len() {
                if !self.at.heard {
                    return None;
                }
                (self.round, self.at) = (self.round.wrapping_add(1), At::start());
                continue;
            }
            if self.at.pauses {
                if self.at.frame < self.pause_frames && !self.is_last() {
                    return Some(());
                }
                self.at = At { part: self.at.part + 1, heard: self.at.heard, ..At::start() };
                continue;
            }
            if self.at.ready.is_none() {
                self.at.ready = self.at.sound(&self.parts);
            }
            if self.at.ready.is_some() {
                return Some(());
            }
            // What has no sound has no pause behind it either.
            let pauses = self.at.frame > 0;
            let part = self.at.part + usize::from(!pauses);
            self.at = At { part, pauses, heard: self.at.heard, ..At::start() };
        }
    }

    /// Whether this is the last part of the last round, which ends without a pause.
    fn is_last(&self) -> bool {
        self.rounds == Some(self.round + 1) && self.at.part + 1 == self.parts.len()
    }
}

impl At {
    fn start() -> Self {
        Self { part: 0, frame: 0, pauses: false, ready: None, decoding: None, heard: false }
    }

    /// Goes by up to so many frames into a long part that has just begun, without decoding what lies between; by how many. Its last
    /// second is walked through, because a file may be shorter than it says.
    fn jump(&mut self, parts: &[Playable], most: usize) -> usize {
        let Some(Playable::Long(long)) = parts.get(self.part).filter(|_| self.frame == 0 && !self.pauses)
        else {
            return 0;
        };
        let known = long.duration_ms.map_or(usize::MAX, |ms| ms as usize / 20);
        let frame = most.min(known.saturating_sub(WALKED));
        let Some(open) = self.decoding.as_deref_mut().filter(|_| frame > WALKED) else { return 0 };
        if open.decoding.seek(frame * FRAME) {
            (open.goes_on, self.frame, self.heard) = (true, frame, true);
            open.samples.clear();
            self.ready = open.frame();
            if self.ready.is_some() {
                return frame;
            }
        }
        // It is decoded from its beginning instead.
        (self.decoding, self.ready, self.frame) = (None, None, 0);
        self.ready = self.sound(parts);
        0
    }

    /// The next frame of the part; none when it is over, or cannot be read any more: it is heard as far as it goes.
    fn sound(&mut self, parts: &[Playable]) -> Option<[i16; FRAME]> {
        let long = match &parts[self.part] {
            Playable::Whole(prompt) => {
                return (self.frame < prompt.frames()).then(|| *prompt.linear(self.frame));
            }
            Playable::Long(long) => long,
        };
        if self.decoding.is_none() {
            let decoding = Decoding::open(long.file.open().ok()?, long.ending).ok()?;
            self.decoding = Some(Box::new(Open { decoding, samples: Vec::new(), goes_on: true }));
        }
        self.decoding.as_deref_mut()?.frame()
    }
}

impl Open {
    fn frame(&mut self) -> Option<[i16; FRAME]> {
        while self.samples.len() < FRAME && self.goes_on {
            self.goes_on = self.decoding.more(&mut self.samples).unwrap_or(false);
        }
        let length = self.samples.len().min(FRAME);
        let mut frame = [0; FRAME];
        frame[..length].copy_from_slice(&self.samples[..length]);
        self.samples.drain(..length);
        (length > 0).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use sidetone_dsp::Rate;
    use sidetone_record_core::{Container, Encoder, Form};

    use super::*;
    use crate::prompts::Prompt;

    fn whole(level: i16, frames: usize) -> Playable {
        Playable::Whole(Arc::new(Prompt::new(&vec![level; frames * FRAME])))
    }

    /// A file of 8 kHz that counts its frames, as one that is long.
    fn long(frames: usize) -> Playable {
        let bytes: Vec<u8> =
            (0..frames * FRAME).flat_map(|at| ((at / FRAME) as i16 + 100).to_le_bytes()).collect();
        Playable::Long(Arc::new(Long::new(Stored::Bytes(bytes.into()), "sln", Some(frames as u64 * 20))))
    }

    fn heard(walk: &mut Walk, most: usize) -> Vec<i16> {
        let mut out = Vec::new();
        walk.take(most, 0, &mut out);
        out.iter().map(|coming| coming.linear[0]).collect()
    }

    #[test]
    fn it_goes_round_with_pauses_and_ends_without_one_as_short_ones_do() {
        let parts = || vec![whole(1, 2), whole(0, 0), long(1)];
        let mut walk = Walk::new(parts(), 1, Some(2));
        assert_eq!(walk.duration_ms(), Some(3 * 20 + 2 * 20));
        assert_eq!(heard(&mut walk, 99), [1, 1, 0, 100, 0, 1, 1, 0, 100]);
        assert_eq!(heard(&mut walk, 1), [0; 0]);
        assert_eq!(heard(&mut Walk::new(parts(), 1, None), 12).len(), 12);
        assert_eq!(heard(&mut Walk::new(vec![long(0), whole(0, 0)], 3, None), 9), [0; 0]);
    }

    /// Twelve seconds that are nowhere as elsewhere: a tone that climbs, and comes and goes.
    fn climbing(hz: u32) -> Vec<i16> {
        let mut phase = 0.0;
        let climb = (0..12 * hz).map(|n| {
            let at = f64::from(n) / f64::from(hz);
            phase += (300.0 + 200.0 * at) / f64::from(hz);
            (9_000.0 * (0.6 + 0.4 * (at * 7.3).sin()) * (phase * std::f64::consts::TAU).sin()) as i16
        });
        climb.collect()
    }

    /// How far what is heard is from what it should be, in dB below it.
    fn likeness_db(heard: &[i16], expected: &[i16]) -> f64 {
        let power =
            |sound: &mut dyn Iterator<Item = f64>| sound.map(|sample| sample * sample).sum::<f64>() + 1.0;
        let off = heard.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b));
        10.0 * (power(&mut expected.iter().map(|sample| f64::from(*sample))) / power(&mut { off })).log10()
    }

    /// The climbing tone as a file.
    fn file_of(container: Container, rate: Rate) -> Arc<[u8]> {
        let (mut encoder, mut bytes) = Encoder::new(container, Form::new(1, rate)).unwrap();
        encoder.write(&climbing(rate.hz()), &mut bytes).unwrap();
        encoder.finish(&mut bytes).unwrap();
        if let Some(patch) = encoder.patch() {
            bytes[..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        bytes.into()
    }

    fn frames(walk: &mut Walk, most: usize) -> Vec<i16> {
        let mut out = Vec::new();
        walk.take(most, 0, &mut out);
        out.into_iter().flat_map(|coming| coming.linear).collect()
    }

    #[test]
    fn a_place_is_reached_without_decoding_what_lies_before_it() {
        let of_mp3 = Rate::ALL.map(|rate| (Container::Mp3, "mp3", rate, 30.0));
        // Opus goes on from a state that it has after 150 ms, and not from that which it had in the whole.
        let of_opus = Rate::ALL.map(|rate| (Container::OggOpus, "opus", rate, 8.0));
        let others = [(Container::Flac, "flac", Rate::Wide, 30.0), (Container::Wav, "wav", Rate::Full, 30.0)];
        let files = of_mp3.into_iter().chain(of_opus).chain(others);
        for (container, ending, rate, least_db) in files.filter(|(container, ..)| container.is_here()) {
            let stored = file_of(container, rate);
            let part =
                || Playable::Long(Arc::new(Long::new(Stored::Bytes(stored.clone()), ending, Some(12_000))));
            let whole = frames(&mut Walk::new(vec![part()], 0, Some(1)), 560);
            for frame in [60, 301, 507] {
                let mut walk = Walk::new(vec![part()], 0, Some(1));
                walk.seek(0, frame);
                let packets = walk.at.decoding.as_ref().unwrap().decoding.packets();
                let heard = frames(&mut walk, 20);
                let from = frame * FRAME;
                let likeness = |shift: usize| likeness_db(&heard, &whole[from + shift - 8..][..20 * FRAME]);
                let nearest = (0..=16).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap();
                assert_eq!(nearest, 8, "{ending} {rate:?} at {frame}: it is {} dB there", likeness(nearest));
                assert!(likeness(8) > least_db, "{ending} {rate:?} at {frame}: {} dB", likeness(8));
                // Some for the first frame, which is heard before it is known where to go.
                assert!(packets < 40, "{ending} {rate:?} at {frame}: {packets} packets");
            }
        }
    }

    /// The checksum of a page of Ogg (RFC 3533, section 6).
    fn checksum(page: &[u8]) -> u32 {
        page.iter().fold(0, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum: u32, _| {
                sum << 1 ^ if sum >> 31 == 1 { 0x04C1_1DB7 } else { 0 }
            })
        })
    }

    /// Each page of an Ogg file twice, as if another stream with the same sound lay among its own.
    fn with_another_stream(file: &[u8]) -> Arc<[u8]> {
        let (mut both, mut rest) = (Vec::new(), file);
        while !rest.is_empty() {
            let segments = usize::from(rest[26]);
            let body: usize = rest[27..27 + segments].iter().map(|length| usize::from(*length)).sum();
            let (page, after) = rest.split_at(27 + segments + body);
            let mut other = page.to_vec();
            other[14..18].copy_from_slice(b"othe");
            other[22..26].fill(0);
            let sum = checksum(&other);
            other[22..26].copy_from_slice(&sum.to_le_bytes());
            both.extend_from_slice(page);
            both.extend(other);
            rest = after;
        }
        both.into()
    }

    /// Whoever reads Ogg for us waits for ever where a page of another stream comes first.
    #[test]
    fn among_several_streams_a_place_is_come_to_by_decoding() {
        let stored = with_another_stream(&file_of(Container::OggOpus, Rate::Narrow));
        let part = || Playable::Long(Arc::new(Long::new(Stored::Bytes(stored.clone()), "ogg", Some(12_000))));
        let whole = frames(&mut Walk::new(vec![part()], 0, Some(1)), 560);
        assert!(likeness_db(&whole, &climbing(8_000)) > 3.0, "it is the tone");
        let mut walk = Walk::new(vec![part()], 0, Some(1));
        walk.seek(0, 301);
        assert_eq!(frames(&mut walk, 20), whole[301 * FRAME..][..20 * FRAME]);
    }

    #[test]
    fn a_file_that_ends_before_it_says_is_over_there() {
        let bytes: Arc<[u8]> = vec![1; 100 * FRAME].into();
        let part = Playable::Long(Arc::new(Long::new(Stored::Bytes(bytes), "ulaw", Some(3_600_000))));
        let mut walk = Walk::new(vec![part, whole(7, 2)], 0, Some(1));
        walk.seek(0, 5_000);
        assert_eq!(heard(&mut walk, 9), [0; 0], "past the end of the only round");
        walk.seek(0, 101);
        assert_eq!(heard(&mut walk, 9), [7]);
    }

    #[test]
    fn it_goes_to_any_place_of_any_round() {
        let mut walk = Walk::new(vec![long(500), whole(7, 1)], 0, Some(2));
        for (round, frame, expected) in
            [(0, 0, 100), (0, 499, 599), (0, 500, 7), (0, 501, 100), (1, 300, 400), (0, 2, 102)]
        {
            walk.seek(round, frame);
            assert_eq!(heard(&mut walk, 1), [expected], "{round} {frame}");
        }
        walk.seek(1, 501);
        assert_eq!(heard(&mut walk, 1), [0; 0], "past the end of the last round");
        walk.seek(0, usize::MAX);
        assert_eq!(heard(&mut walk, 1), [100], "the next round");
        assert_eq!(walk.round, 1);
    }
}
