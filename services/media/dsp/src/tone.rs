//! Tones without seams: phase runs on from frame to frame.

use std::f32::consts::TAU;

/// One frequency at one level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Frequency in Hz, below half the sample rate.
    pub freq_hz: f32,
    /// Level in dBm0; a sine at digital full scale is +3.14 dBm0 (G.711, section 5).
    pub level_dbm0: f32,
}

/// Sum of up to [`MAX_TONES`] sines.
#[derive(Debug, Clone)]
pub struct ToneGenerator {
    voices: [Voice; MAX_TONES],
    count: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Voice {
    /// A whole turn is 2^32.
    phase: u32,
    step: u32,
    amplitude: f32,
}

impl ToneGenerator {
    /// A generator at phase 0. Tones beyond [`MAX_TONES`] are left out; a frequency at or above half the rate is silent.
    pub fn new(rate_hz: u32, tones: &[Tone]) -> Self {
        let mut voices = [Voice::default(); MAX_TONES];
        let count = tones.len().min(MAX_TONES);
        for (voice, tone) in voices.iter_mut().zip(tones) {
            let turns = f64::from(tone.freq_hz) / f64::from(rate_hz.max(1));
            if turns > 0.0 && turns < 0.5 {
                voice.step = (turns * 4_294_967_296.0).round() as u32;
                voice.amplitude = amplitude_of_dbm0(tone.level_dbm0);
            }
        }
        Self { voices, count }
    }

    /// Writes the next samples over what was in `out`, saturating where tones add up beyond full scale.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let mut value = 0.0;
            for voice in &mut self.voices[..self.count] {
                value += voice.amplitude * (voice.phase as f32 * (TAU / 4_294_967_296.0)).sin();
                voice.phase = voice.phase.wrapping_add(voice.step);
            }
            // A float cast saturates.
            *sample = value.round() as i16;
        }
    }

    /// Starts again at phase 0.
    pub fn restart(&mut self) {
        for voice in &mut self.voices {
            voice.phase = 0;
        }
    }
}

/// Peak amplitude of a sine of that level, in linear 16-bit steps.
pub fn amplitude_of_dbm0(level_dbm0: f32) -> f32 {
    32_768.0 * 10f32.powf((level_dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// Most tones that sound at once.
pub const MAX_TONES: usize = 4;

/// Level of a full-scale sine. It is G.711's overload point, not a circle's circumference.
#[allow(clippy::approx_constant)]
pub const FULL_SCALE_DBM0: f32 = 3.14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goertzel::tone_level_dbov;

    #[test]
    fn level_is_as_asked_and_frames_have_no_seam() {
        let tones =
            [Tone { freq_hz: 425.0, level_dbm0: -10.0 }, Tone { freq_hz: 1_400.0, level_dbm0: -20.0 }];
        let mut whole = vec![0; 1_600];
        ToneGenerator::new(8_000, &tones).fill(&mut whole);
        let mut generator = ToneGenerator::new(8_000, &tones);
        let mut pieces = vec![0; 1_600];
        for piece in pieces.chunks_mut(160) {
            generator.fill(piece);
        }
        assert_eq!(whole, pieces);
        // A sine of +3.14 dBm0 has -3.01 dBov.
        assert!((tone_level_dbov(&whole, 8_000, 425.0) - (-10.0 - 6.15)).abs() < 0.1);
        assert!((tone_level_dbov(&whole, 8_000, 1_400.0) - (-20.0 - 6.15)).abs() < 0.1);
        generator.restart();
        generator.fill(&mut pieces[..160]);
        assert_eq!(pieces[..160], whole[..160]);
    }

    #[test]
    fn frequencies_that_cannot_be_are_silent() {
        let mut out = [1; 80];
        ToneGenerator::new(8_000, &[Tone { freq_hz: 4_000.0, level_dbm0: 0.0 }]).fill(&mut out);
        assert_eq!(out, [0; 80]);
    }
}
