//! Who is worth hearing in a room: the noise of many who only listen must neither add up nor cost an encoder each.
//!
//! A leg quieter than a threshold for a while, or no louder than the noise that is always on it, is not mixed, and hears what all the silent hear: one frame, encoded once. In a
//! crowd it sleeps after a second of that: its packets are decoded only as far as it takes to know that it is still quiet (see
//! [`Doze`](crate::worker::coding::Doze)), and its playout is not asked. The first loud frame wakes it.

use sidetone_dsp::level::{dbov_of_mean_square, mean_square};

/// Whether one leg is heard in its room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// The mean square from which on sound is loud; 0 lets everything through.
    loud_from: f32,
    /// The mean square of the noise of the line, as far as it is known.
    noise: f32,
    /// Frames since the last loud one.
    quiet: u16,
}

/// How much louder than the noise of the line speech is, as a power: 9 dB.
const OVER_NOISE: f32 = 7.94;
/// From this mean square on everything is heard, however steady it is: -40 dBov. What is as loud as that is meant to be heard.
const HEARD_FROM: f32 = 107_374.2;
/// No line is taken to be quieter than this mean square: -75 dBov.
const QUIETEST: f32 = 33.95;
/// What is louder than the noise that was learnt makes it louder by 4 dB a second, so that a fan is learnt in some seconds and no
/// sentence is; what is quieter brings it down in a few frames, in the first gap between two words.
const CREEP: f32 = 1.018_6;
const FALL: f32 = 0.25;
/// Ends of words are quiet: for so many frames after a loud one everything is heard.
const HANGOVER: u16 = 20;
/// After so many quiet frames a leg sleeps.
const ASLEEP: u16 = 50;

impl Gate {
    /// Opens at a level in dBov; at -127 it is always open.
    pub(crate) fn new(level_dbov: i8) -> Self {
        let loud_from =
            if level_dbov <= -127 { 0.0 } else { 10f32.powf(f32::from(level_dbov) / 10.0 + 9.030_9) };
        // Closed, and awake.
        Self { loud_from, noise: QUIETEST, quiet: HANGOVER }
    }

    /// Takes a frame; whether it is to be heard.
    pub(crate) fn passes(&mut self, frame: &[i16]) -> bool {
        let power = mean_square(frame);
        let is_loud = power >= self.threshold();
        self.learn(power);
        if is_loud {
            self.quiet = 0;
            return true;
        }
        self.note_silence();
        self.quiet < HANGOVER
    }

    /// A tick without sound.
    pub(crate) fn note_silence(&mut self) {
        if self.loud_from > 0.0 {
            self.quiet = self.quiet.saturating_add(1);
        }
    }

    /// Whether a frame is loud. Remembers nothing.
    pub(crate) fn is_loud(&self, frame: &[i16]) -> bool {
        mean_square(frame) >= self.threshold()
    }

    fn learn(&mut self, power: f32) {
        self.noise = if power > self.noise {
            (self.noise * CREEP).min(power)
        } else {
            (self.noise + FALL * (power - self.noise)).max(QUIETEST)
        };
    }

    /// The mean square from which on sound is loud on this line.
    fn threshold(&self) -> f32 {
        if self.loud_from > 0.0 { self.loud_from.max((self.noise * OVER_NOISE).min(HEARD_FROM)) } else { 0.0 }
    }

    /// Somebody wants to hear it again, or it became loud.
    pub(crate) fn wake(&mut self) {
        self.quiet = HANGOVER;
    }

    /// It is worth listening to all the time, however quiet it is.
    pub(crate) fn keep_awake(&mut self) {
        self.quiet = self.quiet.min(ASLEEP - 1);
    }

    /// Whether nothing of it was loud for so long that its sound need not be made.
    pub(crate) fn is_asleep(&self) -> bool {
        self.quiet >= ASLEEP
    }

    /// The level in dBov from which on sound is loud.
    pub(crate) fn level_dbov(&self) -> f32 {
        dbov_of_mean_square(self.threshold())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_to_their_end_and_noise_is_not() {
        let mut gate = Gate::new(-54);
        assert!((gate.level_dbov() + 54.0).abs() < 0.01);
        // A constant of 32 has -60.2 dBov, one of 100 has -50.3.
        let (noise, voice) = ([32; 160], [100; 160]);
        assert!(!gate.passes(&noise) && !gate.is_asleep());
        assert!(gate.passes(&voice));
        let heard = (0..100).take_while(|_| gate.passes(&noise)).count();
        assert_eq!(heard, 19);
        let awake = (0..100).take_while(|_| !gate.is_asleep() && !gate.passes(&noise)).count();
        assert_eq!(awake, 30, "a second in all");
        gate.keep_awake();
        assert!(!gate.is_asleep() && !gate.passes(&noise), "awake, and not heard");
        gate.wake();
        assert!(!gate.is_asleep() && gate.passes(&voice));
    }

    /// A frame of a level in dBov.
    fn at(dbov: f32) -> [i16; 160] {
        [(32_768.0 * 10f32.powf(dbov / 20.0)).round() as i16; 160]
    }

    #[test]
    fn steady_noise_is_learnt_and_who_speaks_over_it_is_heard() {
        let mut gate = Gate::new(-54);
        let heard = (0..500).take_while(|_| gate.passes(&at(-50.0))).count();
        assert!((100..250).contains(&heard), "{heard} frames until a fan is known for one");
        assert!((0..3_000).all(|_| !gate.passes(&at(-50.0))));
        assert!(gate.passes(&at(-38.0)), "speech over it");
        let mut gate = Gate::new(-54);
        assert!((0..3_000).all(|_| gate.passes(&at(-39.0))), "what is loud is meant to be heard");
    }

    #[test]
    fn a_quiet_speaker_on_a_quiet_line_is_heard_all_the_time() {
        let mut gate = Gate::new(-54);
        for _ in 0..200 {
            // A long phrase without a breath, and a pause: two minutes of them.
            assert!((0..20).all(|_| gate.passes(&at(-45.0))));
            for _ in 0..10 {
                gate.passes(&at(-65.0));
            }
        }
    }

    #[test]
    fn switched_off_it_lets_digital_silence_through() {
        let mut gate = Gate::new(-127);
        (0..1_000).for_each(|_| gate.note_silence());
        assert!(gate.passes(&[0; 160]) && !gate.is_asleep());
    }
}
