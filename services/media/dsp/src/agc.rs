//! Automatic gain control: who speaks quietly is raised, and who shouts is turned down, slowly enough that nobody notices it.
//!
//! Only speech is measured ([`Vad`]), and only while somebody speaks does the gain move: a pause neither raises the noise nor
//! forgets the speaker. A frame that would come out too loud is turned down at once, and what passes the knee meanwhile is bent
//! by the limiter of mixes instead of being cut.

use crate::Rate;
use crate::level;
use crate::mix;
use crate::vad::{Vad, VadConfig};

/// Where the gain goes, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgcConfig {
    /// The level that speech is brought to, in dBov: its mean power while it is spoken.
    pub target_dbov: f32,
    /// The most that is added or taken, in dB.
    pub range_db: f32,
    /// How fast the gain grows, in dB per second of speech.
    pub rise_db_per_s: f32,
    /// How fast it falls, in dB per second of speech.
    pub fall_db_per_s: f32,
    /// The loudest sample that may come out, in dB below full scale.
    pub headroom_db: f32,
}

impl Default for AgcConfig {
    /// -20 dBov, 12 dB either way, 6 dB/s up, 12 dB/s down, 1 dB below full scale.
    fn default() -> Self {
        Self { target_dbov: -20.0, range_db: 12.0, rise_db_per_s: 6.0, fall_db_per_s: 12.0, headroom_db: 1.0 }
    }
}

/// One direction of one leg.
#[derive(Debug, Clone)]
pub struct Agc {
    config: AgcConfig,
    speech: Vad,
    /// Mean square of the speech heard so far, and how many seconds of it there were.
    power: f32,
    heard_s: f32,
    gain_db: f32,
}

/// The longest frame, in samples: 20 ms at the highest rate.
const FRAME_MAX: usize = Rate::Full.samples(20);
/// Speech is averaged over so many seconds.
const MEMORY_S: f32 = 1.5;
/// So much speech must have been heard before the gain moves, in seconds: a click is no speaker.
const LEARNS_S: f32 = 0.1;
/// Nearer to the target than this the gain rests, in dB.
const REST_DB: f32 = 1.0;

impl Agc {
    /// A control that has heard nobody yet.
    pub fn new(config: AgcConfig) -> Self {
        // What hangs over is the end of a word and none of its level.
        let speech = Vad::new(VadConfig { hangover_frames: 0, ..VadConfig::default() });
        Self { config, speech, power: 0.0, heard_s: 0.0, gain_db: 0.0 }
    }

    /// The gain that it has come to, in dB.
    pub fn gain_db(&self) -> f32 {
        self.gain_db
    }

    /// Takes a frame of 10 or 20 ms at `rate` and sets its level. What is longer than 20 ms is left as it is.
    pub fn process(&mut self, rate: Rate, frame: &mut [i16]) {
        if frame.is_empty() || frame.len() > FRAME_MAX {
            return;
        }
        let seconds = frame.len() as f32 / rate.hz() as f32;
        let before_db = self.gain_db;
        let power = level::mean_square(frame);
        if self.speech.process_level(level::dbov_of_mean_square(power)) {
            self.learn(power, seconds);
        }
        self.keep_below_headroom(level::peak(frame));
        apply(before_db, self.gain_db, frame);
    }

    fn learn(&mut self, power: f32, seconds: f32) {
        self.heard_s = (self.heard_s + seconds).min(MEMORY_S);
        self.power += (power - self.power) * seconds / self.heard_s;
        if self.heard_s < LEARNS_S {
            return;
        }
        let AgcConfig { target_dbov, range_db, rise_db_per_s, fall_db_per_s, .. } = self.config;
        let wanted = (target_dbov - level::dbov_of_mean_square(self.power)).clamp(-range_db, range_db);
        let off = wanted - self.gain_db;
        if off.abs() > REST_DB {
            self.gain_db += off.clamp(-fall_db_per_s * seconds, rise_db_per_s * seconds);
        }
    }

    /// A peak that would pass the headroom takes the gain down at once.
    fn keep_below_headroom(&mut self, peak: u16) {
        let peak_db = 20.0 * (f32::from(peak.max(1)) / 32_768.0).log10();
        let most_db = -self.config.headroom_db - peak_db;
        // Who is that loud without any gain is the limiter's business.
        self.gain_db = self.gain_db.min(most_db.max(-self.config.range_db));
    }
}

impl Default for Agc {
    fn default() -> Self {
        Self::new(AgcConfig::default())
    }
}

/// Brings a frame from one gain to the other, over all of its samples.
fn apply(from_db: f32, to_db: f32, frame: &mut [i16]) {
    if from_db == 0.0 && to_db == 0.0 {
        return;
    }
    let linear = |db: f32| 10f32.powf(db / 20.0);
    let (from, to) = (linear(from_db), linear(to_db));
    let step = (to - from) / frame.len() as f32;
    let mut louder = [0i32; FRAME_MAX];
    let louder = &mut louder[..frame.len()];
    for (n, (out, sample)) in louder.iter_mut().zip(&*frame).enumerate() {
        *out = (f32::from(*sample) * (from + step * (n + 1) as f32)).round() as i32;
    }
    mix::limit(louder, frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of 300 ms, with 200 ms between them, at a level in dBov while they are spoken; `noise_dbov` throughout.
    fn talk(rate: Rate, seconds: usize, dbov: f32, noise_dbov: f32) -> Vec<i16> {
        let (hz, mut random) = (rate.hz() as usize, 0x1234_5678u32);
        let amplitude = |dbov: f32| 32_768.0 * 10f32.powf(dbov / 20.0);
        (0..seconds * hz)
            .map(|n| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                let noise = (random as f32 / u32::MAX as f32 - 0.5) * 12f32.sqrt() * amplitude(noise_dbov);
                let speaks = n * 1_000 / hz % 500 < 300;
                let phase = n as f32 * 440.0 / hz as f32;
                let word = (phase.fract() * std::f32::consts::TAU).sin() * 2f32.sqrt() * amplitude(dbov);
                (noise + if speaks { word } else { 0.0 }) as i16
            })
            .collect()
    }

    fn through(agc: &mut Agc, rate: Rate, sound: &[i16], ms: usize) -> Vec<i16> {
        let mut out = sound.to_vec();
        out.chunks_mut(rate.samples(ms)).for_each(|frame| agc.process(rate, frame));
        out
    }

    #[test]
    fn quiet_talkers_are_raised_and_loud_ones_turned_down_at_each_rate_and_frame() {
        for (rate, ms) in [(Rate::Narrow, 20), (Rate::Wide, 10), (Rate::Full, 20)] {
            for (said, heard) in [(-29.0, -20.0), (-45.0, -33.0), (-20.5, -20.5), (-10.0, -20.0)] {
                let mut agc = Agc::default();
                let out = through(&mut agc, rate, &talk(rate, 10, said, -80.0), ms);
                // The last word but one, without its edges.
                let word = &out[rate.samples(9_060)..rate.samples(9_240)];
                let level = level::level_dbov(word);
                assert!((level - heard).abs() < 1.5, "{rate:?}: {said} became {level}");
            }
        }
    }

    #[test]
    fn pauses_and_noise_move_nothing() {
        let rate = Rate::Narrow;
        let mut agc = Agc::default();
        through(&mut agc, rate, &talk(rate, 6, -30.0, -80.0), 20);
        let gain_db = agc.gain_db();
        assert!((8.0..11.0).contains(&gain_db), "{gain_db}");
        through(&mut agc, rate, &vec![0; rate.samples(60_000)], 20);
        assert_eq!(agc.gain_db(), gain_db, "a minute's pause");
        through(&mut agc, rate, &talk(rate, 20, -120.0, -58.0), 20);
        assert_eq!(agc.gain_db(), gain_db, "noise");
        let mut fresh = Agc::default();
        let noise = talk(rate, 30, -120.0, -45.0);
        through(&mut fresh, rate, &noise, 20);
        assert!(fresh.gain_db() < 8.0, "only until the noise is learnt: {}", fresh.gain_db());
    }

    #[test]
    fn it_is_slow_and_a_shout_after_a_whisper_is_not_cut() {
        let rate = Rate::Wide;
        let mut agc = Agc::default();
        let quiet = talk(rate, 5, -40.0, -80.0);
        let mut last = 0.0;
        for frame in quiet.chunks(rate.samples(20)) {
            agc.process(rate, &mut frame.to_vec());
            assert!((agc.gain_db() - last).abs() <= 0.13, "6 dB a second");
            last = agc.gain_db();
        }
        assert!(last > 10.0, "{last}");
        let shout = talk(rate, 1, -6.0, -80.0);
        let out = through(&mut agc, rate, &shout, 20);
        assert!(out.iter().all(|sample| sample.unsigned_abs() < 32_767), "nothing is cut");
        let peak = level::peak(&out[rate.samples(40)..]);
        assert!(peak <= 29_300, "{peak}: under the headroom from the second frame on");
    }

    #[test]
    fn frames_that_are_none_are_left_alone() {
        let mut agc = Agc::default();
        agc.process(Rate::Full, &mut []);
        let mut long = vec![1_000; FRAME_MAX + 1];
        agc.process(Rate::Full, &mut long);
        assert!(long.iter().all(|sample| *sample == 1_000));
    }
}
