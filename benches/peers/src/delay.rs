//! How long a sound takes through a peer: from its onset at who says it to its onset at who hears it.
//!
//! While packets go and come only their time is noted and what is in them kept; all of it is decoded afterwards, so that the
//! generator is no later than it is without measuring. Both onsets are found in what a decoder makes of the packets, to
//! the sample: the delay of the speaker's own encoder is in neither.

use std::time::{Duration, Instant};

use sidetone_dsp::codec::Codec;

use crate::sounds::{Ear, SOUND_FRAMES};

/// A sound a second from each who takes a turn.
pub(crate) const SOUND_EVERY: u64 = 50;
/// What is heard later than this after a sound began is not that sound: another may have begun.
const WITHIN: Duration = Duration::from_millis(200);

/// Who says when something, of legs that are numbered in groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// Legs that hear each other.
    pub(crate) group: usize,
    /// So many of each group take turns.
    pub(crate) speakers: usize,
    /// The first frame.
    pub(crate) begin: u64,
}

impl Turns {
    /// Which frame of its second a leg sends. Groups take turns, too, so that not all sound at once.
    fn place(self, leg: usize, frame: u64) -> u64 {
        let (group, member) = ((leg / self.group) as u64, (leg % self.group) as u64);
        let ahead = group * 7 + member * SOUND_EVERY / self.speakers.max(1) as u64;
        (frame - self.begin + ahead) % SOUND_EVERY
    }

    /// Which frame of its second a leg sends that says something; none where it sends quiet. In the first second what was said
    /// before ends. The end of a sound of Opus is in the packet after it.
    pub(crate) fn says(self, leg: usize, frame: u64) -> Option<u64> {
        let place = self.place(leg, frame);
        let began = frame - self.begin > SOUND_EVERY + SOUND_FRAMES;
        (self.takes_part(leg) && (began || place > SOUND_FRAMES)).then_some(place)
    }

    /// Whether a leg ever says anything.
    fn takes_part(self, leg: usize) -> bool {
        leg % self.group < self.speakers
    }
}

/// A packet, and when it went or came.
#[derive(Debug)]
struct Noted {
    at: Instant,
    payload: Vec<u8>,
}

/// The packets of a stretch of time, by leg.
#[derive(Debug)]
pub(crate) struct Log {
    turns: Turns,
    said: Vec<Vec<Noted>>,
    heard: Vec<Vec<Noted>>,
}

impl Log {
    pub(crate) fn new(turns: Turns, legs: usize) -> Self {
        let none = || (0..legs).map(|_| Vec::new()).collect();
        Self { turns, said: none(), heard: none() }
    }

    pub(crate) fn turns(&self) -> Turns {
        self.turns
    }

    /// A packet goes out now, if its leg is one of those that say something.
    pub(crate) fn note_sent(&mut self, leg: usize, payload: &[u8]) {
        if self.turns.takes_part(leg) {
            self.said[leg].push(Noted { at: Instant::now(), payload: payload.to_vec() });
        }
    }

    /// A packet has come.
    pub(crate) fn note_heard(&mut self, leg: usize, payload: &[u8]) {
        self.heard[leg].push(Noted { at: Instant::now(), payload: payload.to_vec() });
    }

    /// How long each sound took to each leg of its group that heard it.
    pub(crate) fn delays(&self, codecs: &[Codec]) -> anyhow::Result<Vec<Duration>> {
        let group = self.turns.group;
        let mut said = vec![Vec::new(); codecs.len().div_ceil(group)];
        for (leg, (packets, codec)) in self.said.iter().zip(codecs).enumerate() {
            said[leg / group].extend(onsets(packets, *codec)?);
        }
        let mut delays = Vec::new();
        for (leg, (packets, codec)) in self.heard.iter().zip(codecs).enumerate() {
            let heard = onsets(packets, *codec)?;
            for began in &said[leg / group] {
                let took = heard.iter().filter_map(|at| at.checked_duration_since(*began));
                delays.extend(took.min().filter(|took| *took < WITHIN));
            }
        }
        Ok(delays)
    }
}

/// When each sound began.
fn onsets(packets: &[Noted], codec: Codec) -> anyhow::Result<Vec<Instant>> {
    let mut ear = Ear::new(codec)?;
    let mut sounding = true;
    let mut onsets = Vec::new();
    for packet in packets {
        let onset = ear.onset(&packet.payload);
        if let (Some(onset), false) = (onset, sounding) {
            onsets.push(packet.at + onset);
        }
        sounding = onset.is_some();
    }
    Ok(onsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;
    use crate::sounds::Sounds;

    /// What one leg says in its turns and another hears so much later.
    fn through(job: Job, codec: Codec, delay: Duration) -> Vec<Duration> {
        let turns = Turns { group: 2, speakers: 1, begin: 0 };
        let sounds = Sounds::of(job).unwrap();
        let (_, sounds) = sounds.iter().find(|(of, _)| *of == codec).unwrap();
        let (origin, mut log) = (Instant::now(), Log::new(turns, 2));
        for frame in 0..4 * SOUND_EVERY {
            let payload = turns.says(0, frame).map_or(sounds.quiet(frame), |place| sounds.burst(0, place));
            let at = origin + Duration::from_millis(20) * frame as u32;
            log.said[0].push(Noted { at, payload: payload.to_vec() });
            log.heard[1].push(Noted { at: at + delay, payload: payload.to_vec() });
        }
        log.delays(&[codec, codec]).unwrap()
    }

    #[test]
    fn what_packets_take_is_what_their_sound_takes() {
        for job in [Job::Room, Job::OpusRoom, Job::OpusToMuLaw] {
            let delay = Duration::from_millis(31);
            assert_eq!(through(job, job.codec(0), delay), [delay; 2], "{job}");
        }
    }

    #[test]
    fn a_sound_of_opus_begins_where_its_encoder_put_it() {
        let sounds = Sounds::of(Job::OpusRoom).unwrap();
        let mut ear = Ear::new(Codec::Opus).unwrap();
        (6..50).for_each(|place| assert_eq!(ear.onset(sounds[0].1.burst(0, place)), None, "{place}"));
        let onset = ear.onset(sounds[0].1.burst(0, 0)).unwrap();
        assert!(onset < Duration::from_millis(12), "{onset:?}: the encoder looks 6.5 ms ahead");
    }

    #[test]
    fn members_of_a_group_take_turns_after_a_second() {
        let turns = Turns { group: 3, speakers: 3, begin: 10 };
        let says = |leg: usize, frame: u64| turns.says(leg, frame).is_some_and(|place| place < SOUND_FRAMES);
        assert!((0..3).all(|leg| (10..=65).all(|frame| !says(leg, frame))));
        let said = |leg: usize| (66..116).filter(|frame| says(leg, *frame)).collect::<Vec<u64>>();
        assert_eq!(said(0), [110, 111, 112, 113, 114]);
        assert_eq!(said(1), [94, 95, 96, 97, 98]);
        assert_eq!(said(2), [77, 78, 79, 80, 81]);
        assert!((10..116).all(|frame| Turns { speakers: 2, ..turns }.says(2, frame).is_none()));
    }
}
