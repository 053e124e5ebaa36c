//! Who is worth hearing in a room: the noise of many who only listen must neither add up nor cost an encoder each.
//!
//! A leg quieter than a threshold for a while is not mixed, and hears what all the silent hear: one frame, encoded once. In a
//! crowd it sleeps after a second of that: its packets are decoded only as far as it takes to know that it is still quiet (see
//! [`Doze`](crate::worker::coding::Doze)), and its playout is not asked. The first loud frame wakes it.

use sidetone_dsp::level::mean_square;

/// Whether one leg is heard in its room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// The mean square from which on sound is loud; 0 lets everything through.
    loud_from: f32,
    /// Frames since the last loud one.
    quiet: u16,
}

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
        Self { loud_from, quiet: HANGOVER }
    }

    /// Takes a frame; whether it is to be heard.
    pub(crate) fn passes(&mut self, frame: &[i16]) -> bool {
        if self.is_loud(frame) {
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
        mean_square(frame) >= self.loud_from
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
        sidetone_dsp::level::dbov_of_mean_square(self.loud_from)
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

    #[test]
    fn switched_off_it_lets_digital_silence_through() {
        let mut gate = Gate::new(-127);
        (0..1_000).for_each(|_| gate.note_silence());
        assert!(gate.passes(&[0; 160]) && !gate.is_asleep());
    }
}
