//! Voice activity by energy: speech is what stands clear of the noise that was there before.

use crate::level;

/// Thresholds of the detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadConfig {
    /// How far above the noise floor speech must be, in dB.
    pub margin_db: f32,
    /// Below this level nothing is speech, in dBov.
    pub floor_dbov: f32,
    /// No line is taken to be quieter than this, in dBov: after digital silence any noise would be speech.
    pub quietest_dbov: f32,
    /// At or above this level everything is speech, in dBov.
    pub ceiling_dbov: f32,
    /// How many frames after the last loud one still count as speech: ends of words are quiet.
    pub hangover_frames: u16,
}

impl Default for VadConfig {
    /// 9 dB above noise, floor -55 dBov, noise from -65 dBov on, ceiling -25 dBov, 15 frames (300 ms of 20 ms frames).
    fn default() -> Self {
        Self {
            margin_db: 9.0,
            floor_dbov: -55.0,
            quietest_dbov: -65.0,
            ceiling_dbov: -25.0,
            hangover_frames: 15,
        }
    }
}

/// One direction of one leg.
#[derive(Debug, Clone)]
pub struct Vad {
    config: VadConfig,
    noise_dbov: f32,
    hangover: u16,
}

impl Vad {
    /// A detector that assumes a quiet line.
    pub fn new(config: VadConfig) -> Self {
        Self { noise_dbov: config.floor_dbov, config, hangover: 0 }
    }

    /// A detector for a line whose noise is known, in dBov.
    pub fn over_noise(config: VadConfig, noise_dbov: f32) -> Self {
        Self { noise_dbov: noise_dbov.max(config.quietest_dbov), ..Self::new(config) }
    }

    /// Takes one frame and says whether it belongs to speech.
    pub fn process(&mut self, samples: &[i16]) -> bool {
        self.process_level(level::level_dbov(samples))
    }

    /// Takes the level of one frame, when it is known already, in dBov.
    pub fn process_level(&mut self, level_dbov: f32) -> bool {
        let c = &self.config;
        let loud = level_dbov >= c.ceiling_dbov
            || level_dbov >= c.floor_dbov && level_dbov >= self.noise_dbov + c.margin_db;
        // The floor falls fast into a pause and creeps up under speech, so that steady noise is learnt in seconds.
        let step = if level_dbov < self.noise_dbov { 0.25 } else { 0.01 };
        self.noise_dbov += step * (level_dbov.max(c.quietest_dbov) - self.noise_dbov);
        if loud {
            self.hangover = c.hangover_frames;
            return true;
        }
        let active = self.hangover > 0;
        self.hangover = self.hangover.saturating_sub(1);
        active
    }

    /// The learnt noise level in dBov.
    pub fn noise_dbov(&self) -> f32 {
        self.noise_dbov
    }
}

impl Default for Vad {
    fn default() -> Self {
        Self::new(VadConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_opens_at_once_and_hangs_over() {
        let mut vad = Vad::default();
        assert!(!vad.process(&[0; 160]));
        assert!(vad.process(&[4_000; 160]));
        let silent = (0..100).take_while(|_| vad.process(&[0; 160])).count();
        assert_eq!(silent, 15);
    }

    #[test]
    fn who_is_quiet_on_a_quiet_line_speaks_and_noise_that_is_as_loud_does_not() {
        let mut quiet_line = Vad::over_noise(VadConfig::default(), -65.0);
        assert!(!quiet_line.process_level(-65.0) && quiet_line.process_level(-54.0));
        let mut noisy_line = Vad::over_noise(VadConfig::default(), -50.0);
        assert!((0..500).all(|_| !noisy_line.process_level(-50.0)), "a fan");
        assert!(noisy_line.process_level(-40.0), "speech over it");
        // A line that becomes noisy is learnt anew.
        let active = (0..500).filter(|_| quiet_line.process_level(-50.0)).count();
        assert!(active < 150, "{active} frames");
    }

    #[test]
    fn steady_noise_stops_counting_as_speech() {
        let mut vad = Vad::default();
        let noise = [300; 160];
        let active = (0..1_000).map(|_| vad.process(&noise)).collect::<Vec<_>>();
        assert!(active[0] && !active[999]);
        assert!(vad.process(&[1_500; 160]), "speech over noise");
    }
}
