//! Whoever hears a playback ends it by a key or by speaking.
//!
//! Speech is what stands clear of the noise of the line for long enough, and is louder than an echo of what is played could be: a
//! hybrid or a loudspeaker telephone gives that back some tens or hundreds of ms later, at least [`ECHO_LOSS_DB`] quieter.

use sidetone_dsp::Rate;
use sidetone_dsp::level::level_dbov;
use sidetone_dsp::vad::{Vad, VadConfig};
use sidetone_model::media::BargeIn;
use sidetone_rtp_core::RtpTimestamp;

use crate::worker::leg::Leg;
use crate::worker::playing::{Ending, Playing};

/// What of its hearer ends a playback.
#[derive(Debug)]
pub(crate) struct Barging {
    by_key: bool,
    voice: Option<Hark>,
}

/// Listens for speech.
#[derive(Debug)]
struct Hark {
    /// None while the noise of the line is learnt.
    vad: Option<Vad>,
    learnt_ms: usize,
    quietest_dbov: f32,
    spoken_ms: usize,
    /// Since the last that was spoken.
    silent_ms: usize,
    /// How loud was what was played in the last ticks, in dBov.
    sent_dbov: [f32; SENT_TICKS],
    sent_at: usize,
    last: Option<RtpTimestamp>,
}

/// Speech that ends a playback, in ms: longer than a cough, a click or the beginning of a tone that becomes a digit.
const SPEECH_MS: usize = 120;
/// A pause that is longer begins it anew, in ms: between two syllables it is shorter.
const PAUSE_MS: usize = 60;
/// For so long the noise of the line is learnt, in ms.
const LEARNT_MS: usize = 200;
/// How much quieter an echo is than what was sent, at the least, in dB.
const ECHO_LOSS_DB: f32 = 12.0;
/// How late an echo comes at the most, in ticks: 400 ms, of both ways, the playout of the telephone and its room.
const SENT_TICKS: usize = 20;
/// Quieter than this is no speech, in dBov.
const FLOOR_DBOV: f32 = -50.0;
/// What is that far behind is another run of timestamps: 1 s at 8 kHz.
const BEHIND_TICKS: i32 = 8_000;

impl Barging {
    /// None where nothing ends it.
    pub(crate) fn new(barge_in: BargeIn) -> Option<Box<Self>> {
        let voice = barge_in.by_voice().then(Hark::default);
        (barge_in != BargeIn::None).then(|| Box::new(Self { by_key: barge_in.by_key(), voice }))
    }
}

impl Default for Hark {
    fn default() -> Self {
        Self {
            vad: None,
            learnt_ms: 0,
            quietest_dbov: 0.0,
            spoken_ms: 0,
            silent_ms: 0,
            sent_dbov: [sidetone_dsp::level::SILENCE_DBOV; SENT_TICKS],
            sent_at: 0,
            last: None,
        }
    }
}

impl Hark {
    /// Whether a packet is not one that came before.
    fn is_new(&mut self, timestamp: RtpTimestamp) -> bool {
        let is_old = |last| (-BEHIND_TICKS..=0).contains(&timestamp.distance(last));
        let is_new = !self.last.is_some_and(is_old);
        self.last = if is_new { Some(timestamp) } else { self.last };
        is_new
    }

    /// Takes what the leg says; whether it has spoken for long enough.
    fn hear(&mut self, rate: Rate, sound: &[i16]) -> bool {
        for part in sound.chunks(rate.samples(20)) {
            self.hear_part(level_dbov(part), part.len() / rate.samples(1));
        }
        self.spoken_ms >= SPEECH_MS
    }

    fn hear_part(&mut self, level_dbov: f32, ms: usize) {
        let Some(vad) = &mut self.vad else {
            self.learnt_ms += ms;
            self.quietest_dbov = self.quietest_dbov.min(level_dbov);
            if self.learnt_ms >= LEARNT_MS {
                let config = VadConfig { floor_dbov: FLOOR_DBOV, hangover_frames: 0, ..VadConfig::default() };
                self.vad = Some(Vad::over_noise(config, self.quietest_dbov));
            }
            return;
        };
        let echo_dbov = self.sent_dbov.iter().copied().fold(f32::NEG_INFINITY, f32::max) - ECHO_LOSS_DB;
        if vad.process_level(level_dbov) && level_dbov > echo_dbov {
            self.spoken_ms += ms;
            self.silent_ms = 0;
            return;
        }
        self.silent_ms += ms;
        if self.silent_ms > PAUSE_MS {
            self.spoken_ms = 0;
        }
    }

    fn note_sent(&mut self, level_dbov: f32) {
        self.sent_dbov[self.sent_at] = level_dbov;
        self.sent_at = (self.sent_at + 1) % SENT_TICKS;
    }
}

impl Playing {
    /// Whether speech of its hearer ends it.
    pub(super) fn ends_by_voice(&self) -> bool {
        !self.is_over() && self.barging.as_deref().is_some_and(|barging| barging.voice.is_some())
    }

    /// Its hearer has pressed a key.
    fn note_key(&mut self) {
        if self.barging.as_deref().is_some_and(|barging| barging.by_key) {
            self.end(Ending::Key);
        }
    }

    /// Its hearer says something.
    pub(super) fn note_voice(&mut self, rate: Rate, sound: &[i16], timestamp: RtpTimestamp) {
        let hark = self.barging.as_deref_mut().and_then(|barging| barging.voice.as_mut());
        if hark.is_some_and(|hark| hark.is_new(timestamp) && hark.hear(rate, sound)) {
            self.end(Ending::Voice);
        }
    }

    /// Its hearer is sent 20 ms.
    pub(super) fn note_sent(&mut self, sound: &[i16]) {
        if let Some(hark) = self.barging.as_deref_mut().and_then(|barging| barging.voice.as_mut()) {
            hark.note_sent(level_dbov(sound));
        }
    }
}

impl Leg {
    /// Whether what it says is listened to for speech that ends a playback.
    pub(super) fn listens_for_speech(&self) -> bool {
        self.playing.iter().chain(&self.over).any(|playing| playing.ends_by_voice())
    }

    /// A key was pressed.
    pub(super) fn note_key(&mut self) {
        self.playing.iter_mut().chain(&mut self.over).for_each(|playing| playing.note_key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Rate = Rate::Narrow;

    fn at(dbov: f32, ms: usize) -> Vec<i16> {
        vec![(32_768.0 * 10f32.powf(dbov / 20.0)) as i16; ms * 8]
    }

    /// One that has learnt a line with noise of that level.
    fn learnt(noise_dbov: f32) -> Hark {
        let mut hark = Hark::default();
        assert!(!hark.hear(NARROW, &at(noise_dbov, LEARNT_MS)));
        hark
    }

    #[test]
    fn speech_of_120_ms_with_pauses_as_between_syllables() {
        let mut hark = learnt(-60.0);
        assert!(!hark.hear(NARROW, &at(-30.0, 100)));
        assert!(!hark.hear(NARROW, &at(-60.0, 60)));
        assert!(hark.hear(NARROW, &at(-30.0, 20)));
        let mut hark = learnt(-60.0);
        assert!(!hark.hear(NARROW, &at(-30.0, 100)), "a cough");
        assert!(!hark.hear(NARROW, &at(-60.0, 80)));
        assert!(!hark.hear(NARROW, &at(-30.0, 100)), "another");
    }

    #[test]
    fn the_noise_of_the_line_is_no_speech() {
        let mut hark = learnt(-38.0);
        assert!(!hark.hear(NARROW, &at(-38.0, 2_000)));
        assert!(hark.hear(NARROW, &at(-26.0, 120)));
    }

    #[test]
    fn steady_noise_of_50_db_is_no_speech_and_who_is_5_db_louder_on_a_quiet_line_is() {
        let mut hark = learnt(-49.9);
        assert!(!hark.hear(NARROW, &at(-49.9, 5_000)));
        assert!(hark.hear(NARROW, &at(-40.0, 120)), "louder than the noise");
        assert!(learnt(-65.0).hear(NARROW, &at(-45.0, 120)), "a quiet speaker");
    }

    #[test]
    fn an_echo_is_no_speech_and_who_is_louder_is_heard() {
        let mut hark = learnt(-60.0);
        (0..5).for_each(|_| hark.note_sent(-16.0));
        assert!(!hark.hear(NARROW, &at(-28.5, 1_000)), "12.5 dB below what was sent");
        assert!(hark.hear(NARROW, &at(-25.0, 120)));
        let mut hark = learnt(-60.0);
        (0..5).for_each(|_| hark.note_sent(-16.0));
        (0..SENT_TICKS).for_each(|_| hark.note_sent(-90.0));
        assert!(hark.hear(NARROW, &at(-28.5, 120)), "no echo comes as late");
    }

    #[test]
    fn packets_that_come_twice_count_once() {
        let mut hark = Hark::default();
        assert!(hark.is_new(RtpTimestamp(u32::MAX)));
        assert!(!hark.is_new(RtpTimestamp(u32::MAX)));
        assert!(hark.is_new(RtpTimestamp(159)));
        assert!(!hark.is_new(RtpTimestamp(u32::MAX)));
        assert!(hark.is_new(RtpTimestamp(1_000_000)), "another run");
    }
}
